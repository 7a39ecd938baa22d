//! The result of several scenarios: the exit status, and what is printed.

use std::fs;

use clap::Parser;
use wireproof_lab::base::error::LabError;
use wireproof_model::plan::Plan;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    run: Arguments,
}

fn arguments(words: &[&str]) -> Arguments {
    let words = [&["run"], words].concat();
    Command::try_parse_from(words).unwrap().run
}

fn unfit() -> Failure {
    LabError::machine("start a machine", "no memory").into()
}

fn wrong() -> Failure {
    Failure::Unknown {
        what: "what".into(),
        help: "help".into(),
    }
}

fn complaint() -> Failure {
    Failure::Kernel {
        complaints: vec!["BUG".into()],
        directory: "runs".into(),
    }
}

/// A scenario of two nodes that is about nobody's engine.
fn prepared() -> Prepared {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.toml");
    let text = "title = \"two\"\nengine = \"none\"\n[node.ada]\n[node.bob]\n";
    fs::write(&path, text).unwrap();
    Prepared::read(&path, Asked::default()).unwrap()
}

#[test]
fn a_broken_lane_is_in_the_exit_status_though_every_scenario_held() {
    let mut summary = Summary::new(true);
    assert_eq!(summary.worst, Status::Held);
    summary.blame(&Lane::Host, &unfit());
    assert_eq!(summary.worst, Status::Unfit);
    summary.blame(&Lane::Host, &complaint());
    assert_eq!(summary.worst, Status::Broken);
    // What is broken is so whatever else is open.
    summary.blame(&Lane::Host, &unfit());
    assert_eq!(summary.worst, Status::Broken);
    let document = summary.json();
    assert_eq!(document["status"], 1);
    let lanes = document["lanes"].as_array().unwrap();
    let status = |lane: &Value| lane["status"].as_u64();
    assert_eq!(
        lanes.iter().filter_map(status).collect::<Vec<_>>(),
        [3, 1, 3]
    );
    assert!(summary.text().contains("no memory"), "{}", summary.text());
}

#[test]
fn of_several_mistakes_the_worst_is_the_exit_status() {
    for wrong in [[wrong(), complaint()], [complaint(), wrong()]] {
        let wrong = wrong.map(|failure| (PathBuf::from("x.toml"), failure));
        let status = print_failures(&arguments(&["x.toml"]), &wrong);
        assert_eq!(status, Status::BadInput);
    }
}

#[test]
fn a_scenario_without_an_end_has_its_title_its_lane_and_a_word() {
    let one = prepared();
    for (failure, status, word) in [
        (unfit(), Status::Unfit, "inconclusive"),
        (complaint(), Status::Broken, "failed"),
        (wrong(), Status::BadInput, "failed"),
    ] {
        let mut summary = Summary::new(true);
        let lane = Lane::Vm("debian-6.1".into());
        summary.add(&one, Some(&lane), &Err(failure));
        assert_eq!(summary.worst, status);
        let document = summary.json();
        assert_eq!(document["status"], status as u8);
        assert_eq!(document["counts"], json!({ word: 1 }));
        let scenario = &document["scenarios"][0];
        assert_eq!(scenario["title"], "two");
        assert_eq!(scenario["lane"], "vm:debian-6.1");
        assert_eq!(scenario["outcome"], word);
        assert_eq!(scenario["scenario"], one.path.display().to_string());
        assert!(scenario["memory_mib"].is_u64(), "{scenario}");
    }
}

#[test]
fn one_scenario_has_no_summary_table() {
    let text = Summary::new(false);
    assert!(text.document(1).is_none());
    assert!(matches!(text.document(2), Some(Document::Text(_))));
    for scenarios in [1, 2] {
        let document = Summary::new(true).document(scenarios);
        assert!(matches!(document, Some(Document::Json(_))));
    }
}

#[test]
fn much_memory_is_announced_to_everybody() {
    let path = Path::new("two.toml");
    let small = announcement(path, &Demand::of(&prepared().plan));
    assert!(matches!(small, Announcement::Watcher(_)), "{small:?}");
    let mut large: Plan = prepared().plan;
    let node = large.nodes[0].clone();
    large.nodes = vec![node; 2000];
    let Announcement::Everybody(text) = announcement(path, &Demand::of(&large)) else {
        panic!("told to who watches alone");
    };
    assert!(text.starts_with("two.toml: needs about "), "{text}");
}
