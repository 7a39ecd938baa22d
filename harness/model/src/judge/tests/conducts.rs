//! Verdicts about every engine's conduct, and what a scenario excuses.

use super::run_promises::wrong;
use super::world::*;
use crate::dataplane::LinkKind;
use crate::evidence::{ConductEvidence, End, LogWarning, Process, StateEvidence};
use crate::name::NodeName;
use crate::plan::{Conduct, LogForm, Warning};
use crate::verdict::Outcome;

/// Every node's engine is as it claims.
fn behaved() -> World {
    let mut world = mixed();
    world.plan.conduct = Conduct {
        log: Some(LogForm {
            harmless: vec![" INFO ".into()],
            warning: vec![" WARN ".into()],
        }),
        memory: Some(1_000),
        ends_within: Some(100),
        keeps_device: true,
        keys_in_state: false,
    };
    let conduct = ConductEvidence {
        lines: 3,
        warnings: Vec::new(),
        processes: vec![Process {
            command: "engine".into(),
            peak: 1_000,
        }],
        ends: vec![End {
            how: Some("exit status 0".into()),
            clean: true,
            asked: true,
            micros: 100_000,
        }],
        device: Some((true, true)),
    };
    let nodes = world.plan.nodes.iter().map(|node| node.name.clone());
    world.evidence.conduct = nodes.map(|name| (name, conduct.clone())).collect();
    world
}

fn breaches(world: &World) -> Vec<String> {
    let all = wrong(&world.plan, &world.evidence);
    all.iter().map(|breach| breach.text()).collect()
}

/// The breach when one thing about ada's engine is another.
#[track_caller]
fn check(change: impl FnOnce(&mut ConductEvidence), expected: &str) {
    let mut world = behaved();
    assert_eq!(breaches(&world), Vec::<String>::new());
    let ada: NodeName = parsed("ada");
    change(world.evidence.conduct.get_mut(&ada).unwrap());
    assert_eq!(breaches(&world), [expected]);
    world.plan.conduct = Conduct::default();
    assert_eq!(breaches(&world), Vec::<String>::new(), "nothing is claimed");
}

fn warned(world: &mut World, text: &str) {
    let ada: NodeName = parsed("ada");
    let ada = world.evidence.conduct.get_mut(&ada).unwrap();
    ada.warnings.push(LogWarning {
        text: text.into(),
        times: 2,
    });
}

fn expected(part: &str, node: Option<&str>, sometimes: bool) -> Warning {
    Warning {
        part: part.into(),
        node: node.map(parsed),
        sometimes,
        wireguard: None,
        line: 7,
    }
}

#[test]
fn memory_ends_and_silence_are_judged() {
    check(
        |ada| ada.processes[0].peak += 1,
        "ada: `engine` has had 1001 KiB of memory, not at most 1000",
    );
    check(
        |ada| ada.processes.clear(),
        "ada: nobody has seen how much memory its engine has",
    );
    check(
        |ada| ada.lines = 0,
        "ada: no line of its engine's log has a level that the descriptor knows",
    );
    check(
        |ada| ada.ends[0].micros = 100_001,
        "ada: its agent took 100 ms to end, not at most 100",
    );
    check(
        |ada| ada.ends[0].how = None,
        "ada: its agent had not ended 100 ms after it was asked to",
    );
    check(
        |ada| ada.ends[0].asked = false,
        "ada: its agent ended unasked: exit status 0",
    );
    check(
        |ada| ada.ends[0].clean = false,
        "ada: its agent, asked to end, ended with exit status 0",
    );
    check(
        |ada| ada.device = Some((true, false)),
        "ada: the tunnel device went when its agent ended",
    );
}

#[test]
fn a_device_may_go_with_its_agent_where_nothing_else_is_claimed_and_stay_away() {
    let device = |keeps: bool, device: Option<(bool, bool)>| {
        let mut world = behaved();
        world.plan.conduct.keeps_device = keeps;
        let ada: NodeName = parsed("ada");
        world.evidence.conduct.get_mut(&ada).unwrap().device = device;
        breaches(&world).len()
    };
    assert_eq!(device(false, Some((true, false))), 0);
    for seen in [None, Some((false, false)), Some((false, true))] {
        assert_eq!(device(true, seen), 0, "{seen:?}");
    }
}

#[test]
fn an_engine_that_nobody_looked_at_is_not_taken_for_a_quiet_one() {
    let mut world = behaved();
    let ada: NodeName = parsed("ada");
    world.evidence.conduct.remove(&ada);
    assert_eq!(breaches(&world), ["ada: nobody looked at its engine"]);
}

#[test]
fn a_warning_is_a_breach_unless_it_is_named() {
    let mut world = behaved();
    warned(&mut world, "WARN it rains");
    let breach = "ada: its engine's log has `WARN it rains`, which the scenario does not name";
    assert_eq!(breaches(&world), [breach]);
    for node in [None, Some("ada")] {
        world.plan.warnings = vec![expected("it rains", node, false)];
        assert_eq!(breaches(&world), Vec::<String>::new());
    }
    world.plan.warnings = vec![expected("it rains", Some("bob"), true)];
    assert_eq!(breaches(&world), [breach]);
}

#[test]
fn a_named_warning_has_to_come_unless_chance_decides() {
    let mut world = behaved();
    world.plan.warnings = vec![expected("it rains", None, true)];
    assert_eq!(breaches(&world), Vec::<String>::new());
    world.plan.warnings = vec![expected("it rains", None, false)];
    let missing = "line 7, no warning of any engine has `it rains`";
    assert_eq!(breaches(&world), [missing]);
    warned(&mut world, "WARN it snows");
    assert_eq!(breaches(&world).len(), 2);
}

#[test]
fn an_agent_that_dies_leaves_open_what_an_engine_without_claims_has_shown() {
    let died = |how: Option<&str>, clean, asked| {
        let mut world = behaved();
        world.plan.conduct = Conduct::default();
        let ada = world.evidence.conduct.get_mut(&parsed("ada")).unwrap();
        ada.ends = vec![End {
            how: how.map(str::to_owned),
            clean,
            asked,
            micros: 0,
        }];
        world
    };
    let world = died(Some("signal 11"), false, false);
    assert_eq!(
        breaches(&world),
        ["ada: its engine's agent died: signal 11"]
    );
    let all = wrong(&world.plan, &world.evidence);
    assert_eq!(all[0].outcome, Outcome::Inconclusive);
    // One that has done its work, and one that was asked to end, have not died.
    for (clean, asked) in [(true, false), (false, true)] {
        let world = died(Some("exit status 0"), clean, asked);
        assert_eq!(breaches(&world), Vec::<String>::new());
    }
    // Who claims how agents end is held to the claim, and told once.
    let mut claims = died(Some("signal 11"), false, false);
    claims.plan.conduct = behaved().plan.conduct;
    assert_eq!(breaches(&claims).len(), 1);
    let all = wrong(&claims.plan, &claims.evidence);
    assert_eq!(all[0].outcome, Outcome::Broken);
}

#[test]
fn a_warning_of_one_wireguard_need_not_come_with_another() {
    use crate::plan::WireGuardKind::{Kernel, Userspace};
    for (kind, runs_on_kernel, missing) in [
        (Some(Userspace), false, 1),
        (Some(Userspace), true, 0),
        (Some(Kernel), true, 1),
        (Some(Kernel), false, 0),
        (None, true, 1),
    ] {
        let mut world = behaved();
        world.plan.warnings = vec![Warning {
            wireguard: kind,
            ..expected("put right", None, false)
        }];
        let nodes = world.evidence.nodes.values_mut();
        let links = nodes.flat_map(|node| &mut node.dataplane.links);
        for link in links.filter(|link| link.kind == LinkKind::Tun && runs_on_kernel) {
            link.kind = LinkKind::Wireguard;
        }
        assert_eq!(breaches(&world).len(), missing, "{kind:?} {runs_on_kernel}");
    }
}

#[test]
fn kernel_wireguard_that_only_an_earlier_state_had_counts() {
    let mut world = behaved();
    world.plan.warnings = vec![Warning {
        wireguard: Some(crate::plan::WireGuardKind::Userspace),
        ..expected("put right", None, false)
    }];
    assert_eq!(breaches(&world).len(), 1);
    let node = world.plan.nodes[0].name.clone();
    let mut dataplane = world.evidence.nodes[&node].dataplane.clone();
    for link in &mut dataplane.links {
        if link.kind == LinkKind::Tun {
            link.kind = LinkKind::Wireguard;
        }
    }
    world.evidence.states = vec![StateEvidence {
        node,
        after: 0,
        dataplane,
        keys: Default::default(),
    }];
    assert_eq!(breaches(&world).len(), 0);
}
