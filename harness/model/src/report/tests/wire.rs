//! Effects of the fabric in reports, and skipped runs.

use super::report_of;
use crate::evidence::{ANSWERED, Evidence, Tally};
use crate::judge::tests::world::{World, mixed, parsed};
use crate::plan::{Impairment, ImpairmentKind, Need, WireDirection};
use crate::verdict::Outcome;

fn tally(name: &str, packets: u64) -> Tally {
    Tally {
        name: name.into(),
        packets,
        bytes: packets * 100,
    }
}

/// A run whose wire should have lost packets from `ada`.
fn lossy(kind: ImpairmentKind) -> World {
    let mut world = mixed();
    world.plan.fabric.impairments = vec![Impairment {
        line: 7,
        node: Some(parsed("ada")),
        way: WireDirection::From,
        kind,
    }];
    world
}

#[test]
fn an_impairment_that_hit_a_packet_is_reported() {
    let mut world = lossy(ImpairmentKind::Loss { percent: 10 });
    world.evidence.wire = vec![tally("line7", 3), tally(ANSWERED, 2)];
    assert_eq!(report_of(&world, |report| report.exit_status()), 0);
    let table = report_of(&world, |report| report.table("", false));
    assert!(table.contains("10 % of the packets from ada are lost (line 7): 3 packets"));
    assert!(table.contains("answers of the fabric that a packet is too big: 2 packets"));
    let snapshot = report_of(&world, |report| report.snapshot());
    assert!(snapshot.contains("from ada are lost (line 7): some packets"));
    assert_eq!(report_of(&world, |report| report.failure("")), "");
}

#[test]
fn an_impairment_that_hit_nothing_leaves_the_run_open() {
    let mut world = lossy(ImpairmentKind::EveryNth { nth: 9 });
    for wire in [vec![], vec![tally("line7", 0)], vec![tally("line8", 4)]] {
        world.evidence.wire = wire;
        assert_eq!(report_of(&world, |report| report.exit_status()), 3);
        let failure = report_of(&world, |report| report.failure(""));
        assert!(failure.starts_with(
            "INCONCLUSIVE line 7: of 9 packets from ada one is lost, but there was none to hit"
        ));
        let snapshot = report_of(&world, |report| report.snapshot());
        assert!(snapshot.contains("(line 7): INCONCLUSIVE: hit no packet"));
    }
}

#[test]
fn a_missing_need_of_the_machine_skips_every_promise() {
    let mut world = lossy(ImpairmentKind::Delay {
        millis: 20,
        jitter: 0,
        reorder: 0,
    });
    assert!(world.plan.needs().contains(&Need::Netem));
    world.evidence = Evidence {
        skipped: Some("this machine has no netem".into()),
        ..Evidence::none()
    };
    let verdicts = world.verdicts();
    assert_eq!(verdicts.len(), world.plan.every_promise().len());
    for verdict in verdicts {
        assert_eq!(verdict.outcome, Outcome::Skipped);
        assert_eq!(verdict.fact, "this machine has no netem");
    }
    assert_eq!(report_of(&world, |report| report.exit_status()), 3);
}
