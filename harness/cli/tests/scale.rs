//! Large clusters on a machine as it comes: the kernel has one table of neighbours for all namespaces,
//! with room for 1024, and a mesh of 34 nodes that asks for all of them fills it.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use wireproof_model::evidence::{Role, SavedEvidence};
use wireproof_model::frame::Frame;
use wireproof_model::plan::Plan;

/// The addresses that nodes ask the wire for in a run of so many nodes, which holds.
fn asked(nodes: usize, more: &str) -> BTreeSet<Ipv4Addr> {
    let folder = tempfile::tempdir().unwrap();
    let (scenario, runs) = (folder.path().join("mesh.toml"), folder.path().join("runs"));
    let mut text = format!("title = \"a mesh\"\n{more}\n");
    for number in 1..=nodes {
        text += &format!("[node.n{number}]\n");
    }
    fs::write(&scenario, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wireproof"))
        .arg("run")
        .arg(&scenario)
        .args(["--lane", "host", "--patience", "5", "--runs"])
        .arg(&runs)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let plan: Plan = serde_json::from_str(&saved(&runs, "plan.json")).unwrap();
    let evidence = SavedEvidence::parse(&saved(&runs, "evidence.json"));
    let evidence = evidence.unwrap().open(&plan);
    assert_eq!(evidence.lost, []);
    let ports = evidence.interfaces.iter();
    let ports: BTreeSet<_> = ports
        .filter(|interface| matches!(interface.role, Role::Port(_)))
        .map(|interface| interface.id)
        .collect();
    let at_ports = evidence.sightings.iter();
    at_ports
        .filter(|sighting| ports.contains(&sighting.interface))
        .filter_map(|sighting| match sighting.frame {
            Frame::Arp {
                operation: 1,
                target,
                ..
            } => Some(target),
            _ => None,
        })
        .collect()
}

/// A file of the one run below a folder.
fn saved(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    if file.is_file() {
        return fs::read_to_string(file).unwrap();
    }
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    saved(&folders.next().unwrap().path(), name)
}

#[test]
fn a_large_mesh_asks_for_nobody() {
    let asked = asked(17, "");
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn on_a_switch_a_large_mesh_asks_for_the_gateway_at_most() {
    let asked = asked(17, "fabric.kind = \"flat\"");
    let others: Vec<_> = asked
        .iter()
        .filter(|address| **address != Ipv4Addr::new(10, 240, 0, 1))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

/// What an engine does about ARP is tested where nodes ask.
#[test]
fn a_small_mesh_asks_for_its_nodes() {
    assert_eq!(asked(3, "").len(), 3);
}
