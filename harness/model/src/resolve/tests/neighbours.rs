//! Permanent neighbour entries of the nodes of a large cluster.

use std::net::Ipv4Addr;

use crate::name::EngineName;
use crate::plan::Plan;
use crate::resolve;

fn mesh(nodes: usize, more: &str) -> Plan {
    let mut text = format!("title = \"a mesh\"\n{more}\n");
    for number in 1..=nodes {
        text += &format!("[node.n{number}]\npods = [\"p{number}\"]\n");
    }
    let engine: EngineName = "wiremesh".parse().unwrap();
    resolve::plan("mesh.toml", &text, &[engine]).unwrap()
}

#[test]
fn a_small_cluster_asks() {
    assert!(mesh(3, "").given_neighbours().is_empty());
    assert!(
        mesh(8, "fabric.kind = \"flat\"")
            .given_neighbours()
            .is_empty()
    );
}

#[test]
fn the_nodes_of_a_large_cluster_are_given_all_that_is_on_their_link() {
    let vnet = mesh(40, "");
    let given = vnet.given_neighbours();
    assert_eq!(given.len(), 81, "nodes, pods and the gateway");
    assert!(given.contains(&vnet.fabric.gateway));
    let flat = mesh(40, "fabric.kind = \"flat\"").given_neighbours();
    assert_eq!(flat.len(), 40, "pods are behind their nodes");
    let routed = mesh(40, "fabric.kind = \"routed\"").given_neighbours();
    assert!(routed.is_empty(), "a rack has one node");
}

#[test]
fn nodes_that_are_added_or_readdressed_later_get_neighbour_entries_too() {
    let more = "[[step]]\naction = \"readdress-node\"\nnode = \"n1\"\naddress = \"10.240.9.9\"\n";
    let mut text = "title = \"a mesh\"\n".to_owned();
    for number in 1..=20 {
        text += &format!("[node.n{number}]\n");
    }
    let engine: EngineName = "wiremesh".parse().unwrap();
    let plan = resolve::plan("mesh.toml", &(text + more), &[engine]).unwrap();
    let given = plan.given_neighbours();
    assert!(given.contains(&Ipv4Addr::new(10, 240, 9, 9)), "{given:?}");
    assert!(given.contains(&plan.nodes[0].address), "{given:?}");
}
