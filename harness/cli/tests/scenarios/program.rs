//! Scenarios on WireGuards that are other people's programs: they hold there too.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use wireproof::engines;
use wireproof::lane::Prepared;
use wireproof::scenario::{self, Asked};
use wireproof_model::report::Report;

use crate::{files, good, name, runs, snapshot};

/// What runs on which program. boringtun does not pad, and so has other largest packets; it keeps a
/// control connection for as long as the other side does, and so cannot be waited for at its end.
const CHOSEN: &[(&str, &[&str])] = &[
    (
        "wireguard-go",
        &[
            "scenarios/azure-cni",
            "scenarios/first",
            "scenarios/lifecycle",
            "scenarios/mixed",
            "scenarios/engine/families/two-meshes-side-by-side.toml",
            "scenarios/mtu/aks-leaves-room-for-its-network.toml",
        ],
    ),
    (
        "boringtun-cli",
        &[
            "scenarios/azure-cni/seed-cluster.toml",
            "scenarios/azure-cni/pods-only-encryption.toml",
            "scenarios/lifecycle/a-restarted-agent-takes-over-the-mesh.toml",
            "scenarios/lifecycle/one-command-encrypts-the-cluster.toml",
            "scenarios/mixed",
        ],
    ),
];

/// How many times as long everything may take. Two wireguard-go that begin a handshake at the same
/// moment may have to do so again, each time 5 s later (WireGuard paper, section 6.1: REKEY_TIMEOUT);
/// packets wait for it.
const PATIENCE: u32 = 5;

/// The line of a node's own key, which boringtun does not report.
const KEY: &str = "public key: ";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (program, folders) in CHOSEN {
        let there = engines::wireguard(program).is_ok();
        for path in folders.iter().flat_map(|folder| files(folder)) {
            let named = format!("{program} {}", name(&path));
            let trial = Trial::test(named, move || holds(program, &path));
            trials.push(trial.with_ignored_flag(!there));
        }
    }
    trials
}

fn holds(program: &str, path: &Path) -> Result<(), Failed> {
    let asked = Asked {
        wireguard: Some(program),
        patience: Some(PATIENCE),
        ..Asked::default()
    };
    let one = Prepared::read(path, asked).map_err(Failed::from)?;
    let name = format!("{}/{program}", one.name);
    let judged = scenario::prove(one.plan, &one.engine, &runs(), &name, |_| {});
    let judged = judged.map_err(Failed::from)?;
    let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
    if report.exit_status() != 0 {
        return Err(report
            .failure(&judged.directory.display().to_string())
            .into());
    }
    for (node, text) in good::dataplanes(&judged) {
        let usual = snapshot::known(path, node.as_str()).unwrap_or_default();
        let (usual, text) = (shown(program, &usual), shown(program, &text));
        if usual != text {
            let diff = similar::TextDiff::from_lines(&usual, &text);
            return Err(format!("{node} differs:\n{}", diff.unified_diff()).into());
        }
    }
    Ok(())
}

/// A dataplane as far as the program reports it.
fn shown(program: &str, text: &str) -> String {
    let shows_key = program != "boringtun-cli";
    let lines = text.trim_end().lines();
    let lines = lines.filter(|line| shows_key || !line.trim_start().starts_with(KEY));
    lines.collect::<Vec<_>>().join("\n")
}
