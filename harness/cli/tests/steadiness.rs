//! The same cluster gives the same verdicts, however busy the machine is.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

/// How often the seed cluster is run, two at a time.
const RUNS: usize = 20;

#[test]
fn twenty_runs_two_at_a_time_beside_a_cpu_hog_agree() {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let lanes: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..RUNS / 2).map(|_| verdicts(&run())).collect::<Vec<_>>()))
            .collect();
        let all: Vec<_> = lanes
            .into_iter()
            .flat_map(|lane| lane.join().unwrap_or_default())
            .collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(all.len(), RUNS, "a run ended without verdicts");
        assert_eq!(all[0].len(), 72 * 3);
        for (number, verdicts) in all.iter().enumerate() {
            for (first, this) in all[0].iter().zip(verdicts) {
                assert_eq!(first, this, "run {number}");
            }
        }
        assert!(all[0].iter().all(|verdict| verdict.ends_with("held")));
    });
}

fn run() -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    Command::new(env!("CARGO_BIN_EXE_wireproof"))
        .args(["run", "--json"])
        .arg(root.join("scenarios/azure-cni/seed-cluster.toml"))
        .arg("--runs")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("steadiness"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Each pair's verdict, as one line.
fn verdicts(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no JSON ({error}); standard error: {text}"));
    let pairs = document["scenarios"][0]["pairs"].as_array();
    pairs
        .unwrap_or_else(|| panic!("no pairs in {document:#}; standard error: {text}"))
        .iter()
        .map(|pair| {
            let part = |name: &str| pair[name].as_str().unwrap_or("?").to_owned();
            format!(
                "{} > {} {}: {}",
                part("from"),
                part("to"),
                part("protocol"),
                part("verdict")
            )
        })
        .collect()
}
