//! Excuses for a readable packet of a protected flow.

use super::step_windows::{packet, stepped};
use super::world::{World, parsed};
use crate::judge::step_windows;
use crate::plan::{Action, Own, Settles, Tamper};
use crate::verdict::Outcome::{self, Broken, Held};

/// A cluster whose three nodes encrypt, and a step.
fn base() -> World {
    let mut world = stepped(Action::Enable);
    for node in &mut world.plan.nodes {
        node.wireguard = true;
    }
    world
}

/// How secrecy before and in a step is decided if a packet of the flow from `web` to that endpoint is
/// readable at that millisecond.
fn leaking(base: &World, action: &Action, to: &str, millis: u64, drops: bool) -> [Outcome; 2] {
    let number = u32::try_from(millis / 10 - 1).unwrap();
    late(base, action, to, (number, millis), drops)
}

/// The same of the packet with that number, which is sent at 10 ms and 10 ms more for each number.
fn late(
    base: &World,
    action: &Action,
    to: &str,
    (number, millis): (u32, u64),
    drops: bool,
) -> [Outcome; 2] {
    let mut world = base.clone();
    world.plan.steps[0].action = action.clone();
    if drops {
        let annotations = &mut world.plan.cluster.settings.annotations;
        annotations.insert("wiremesh/strict".into(), "true".into());
    }
    world.plan.flows.flows[0].to = parsed(to);
    world.leak(millis, "web", to, packet(0, number));
    let verdicts = step_windows::judge(&world.plan, &world.evidence);
    [0, 1].map(|step| verdicts[step].outcome)
}

fn tamper(node: &str, own: Own) -> Action {
    Action::Tamper {
        node: parsed(node),
        what: Tamper::Delete(own),
        settles: Settles::Repaired,
    }
}

/// An action and a flow's end: whether it excuses the flow while it is under way, and whether it does
/// where what cannot be encrypted is dropped.
type Row = (Action, &'static str, [bool; 2]);

fn rows() -> Vec<Row> {
    let reboot = |node| Action::RebootNode { node: parsed(node) };
    let readdress = |node| Action::ReaddressNode {
        node: parsed(node),
        address: parsed("10.240.0.99"),
    };
    let remove = |pod| Action::RemovePod { pod: parsed(pod) };
    let movement = |pod, to| Action::MovePod {
        pod: parsed(pod),
        to: parsed(to),
    };
    let killed = || Action::KillEngine { node: None };
    vec![
        // Who sends from a node that lost its dataplane.
        (reboot("ada"), "db", [true, false]),
        (reboot("cal"), "db", [false, false]),
        (tamper("ada", Own::Rule), "db", [true, false]),
        (tamper("ada", Own::Nft), "db", [true, true]),
        (tamper("ada", Own::Everything), "db", [true, true]),
        (tamper("cal", Own::Nft), "db", [false, false]),
        // To an address that nobody has been told of, whatever is dropped.
        (readdress("bob"), "bob", [true, true]),
        (readdress("cal"), "bob", [false, false]),
        // To a pod that left.
        (movement("db", "cal"), "db", [true, false]),
        (movement("app", "cal"), "db", [false, false]),
        (remove("app"), "db", [false, false]),
        // Whatever is sent.
        (
            Action::CrashEverywhere {
                node: parsed("cal"),
                provoke: Box::new(killed()),
            },
            "db",
            [true, true],
        ),
        (
            Action::OverwriteKey {
                node: parsed("cal"),
                key: None,
            },
            "db",
            [true, true],
        ),
        // Nothing that an agent goes through itself.
        (killed(), "db", [false, false]),
        (
            Action::RotateKey {
                node: parsed("ada"),
            },
            "db",
            [false, false],
        ),
    ]
}

#[test]
fn a_step_excuses_what_it_breaks_and_only_until_it_has_settled() {
    let base = base();
    for (action, to, excused) in rows() {
        for (drops, excused) in [false, true].into_iter().zip(excused) {
            let row = format!("{} {to} {drops}", action.describe());
            let outcome = if excused { Held } else { Broken };
            assert_eq!(leaking(&base, &action, to, 150, drops)[1], outcome, "{row}");
            assert_eq!(leaking(&base, &action, to, 250, drops)[1], Broken, "{row}");
        }
    }
}

/// The step is under way from 100 ms to 200 ms.
#[test]
fn a_packet_that_was_on_its_way_to_an_address_that_left_is_excused_when_it_comes_out() {
    let base = base();
    let readdress = Action::ReaddressNode {
        node: parsed("bob"),
        address: parsed("10.240.0.99"),
    };
    let movement = Action::MovePod {
        pod: parsed("db"),
        to: parsed("cal"),
    };
    let killed = Action::KillEngine { node: None };
    for (action, to, excused) in [
        (&readdress, "bob", Held),
        (&movement, "db", Held),
        // The same packet, to an address that stays.
        (&readdress, "db", Broken),
        (&killed, "bob", Broken),
    ] {
        let row = format!("{} {to}", action.describe());
        // Sent at 60 ms, and out of a tunnel at 250 ms.
        let found = late(&base, action, to, (5, 250), false);
        assert_eq!(found, [Held, excused], "{row}");
        // Sent during the step.
        assert_eq!(
            late(&base, action, to, (15, 250), false)[1],
            excused,
            "{row}"
        );
        // Sent when every sender has another target.
        assert_eq!(
            late(&base, action, to, (20, 250), false)[1],
            Broken,
            "{row}"
        );
        // Out of the tunnel before the step began.
        assert_eq!(late(&base, action, to, (5, 90), false)[0], Broken, "{row}");
    }
}

#[test]
fn a_pod_that_is_gone_has_nothing_that_must_be_hidden() {
    let base = base();
    let gone = Action::RemovePod { pod: parsed("db") };
    assert_eq!(leaking(&base, &gone, "db", 150, false)[1], Held);
    assert_eq!(leaking(&base, &gone, "db", 50, false)[0], Broken);
}
