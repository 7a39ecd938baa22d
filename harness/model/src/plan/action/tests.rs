//! The change of each action, in one table.

use std::fmt::Debug;

use super::*;
use crate::plan::{Own, Settles};

fn node() -> NodeName {
    "bob".parse().unwrap()
}

fn actions() -> Vec<Action> {
    let pod = || "db".parse::<PodName>().unwrap();
    let tamper = |what, settles| Action::Tamper {
        node: node(),
        what,
        settles,
    };
    let repaired = || tamper(Tamper::Delete(Own::Everything), Settles::Repaired);
    vec![
        Action::Enable,
        Action::Disable,
        Action::Configure(Configuration {
            node: None,
            set: BTreeMap::new(),
            annotations: BTreeMap::new(),
            unset: BTreeSet::new(),
        }),
        Action::StopEngine { node: None },
        Action::KillEngine { node: Some(node()) },
        Action::StartEngine { node: Some(node()) },
        Action::RestartEngine { node: None },
        Action::RotateKey { node: node() },
        Action::OverwriteKey {
            node: node(),
            key: None,
        },
        repaired(),
        tamper(Tamper::Delete(Own::TunnelProcess), Settles::Unchanged),
        Action::Store(StoreAction::Down),
        Action::AddPod { pod: pod() },
        Action::RemovePod { pod: pod() },
        Action::MovePod {
            pod: pod(),
            to: "ada".parse().unwrap(),
        },
        Action::AddNode { node: node() },
        Action::RemoveNode { node: node() },
        Action::ReaddressNode {
            node: node(),
            address: Ipv4Addr::LOCALHOST,
        },
        Action::RebootNode { node: node() },
        Action::PauseNode {
            node: node(),
            millis: 5,
        },
        Action::Partition { node: node() },
        Action::Heal { node: node() },
        Action::SetMtu {
            node: node(),
            mtu: 1400,
        },
        Action::SetMetric {
            node: node(),
            metric: 7,
        },
        Action::WaitResyncs { count: 0 },
        Action::WaitResyncs { count: 3 },
        Action::CrashEverywhere {
            node: node(),
            provoke: Box::new(repaired()),
        },
    ]
}

/// What an action answers, without what most answer.
fn answers(action: &Action) -> String {
    fn push(parts: &mut Vec<String>, name: &str, answer: Option<impl Debug>) {
        parts.extend(answer.map(|answer| format!("{name} {answer:?}")));
    }
    let change = action.change();
    let mut parts = Vec::new();
    if let Change::Agents { change, .. } = change {
        push(&mut parts, "agents", Some(change));
    }
    push(&mut parts, "command", change.command());
    push(&mut parts, "need", change.need());
    let presence = change.presence();
    push(
        &mut parts,
        "presence",
        presence.map(|(name, there)| (name.to_string(), there)),
    );
    let name = |node: Option<&NodeName>| node.map(ToString::to_string);
    push(&mut parts, "new address", name(change.new_address()));
    push(&mut parts, "new host", name(change.new_host()));
    let waits = change.comparisons();
    push(
        &mut parts,
        "waits",
        waits.map(|waits| (waits.count, waits.key)),
    );
    let flags = [
        ("of intent", change.is_of_intent()),
        ("of hosts", change.is_of_hosts()),
        ("can be undone", change.can_be_undone()),
    ];
    parts.extend(
        flags
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| name.to_owned()),
    );
    match change.drops() {
        Drops::Nowhere => {}
        drops @ (Drops::At(_) | Drops::Everywhere) => parts.push(format!("drops {drops:?}")),
    }
    match change.excuse() {
        Excuse::Nothing => {}
        excuse @ (Excuse::SentBy { .. } | Excuse::SentTo { .. } | Excuse::Everything) => {
            parts.push(format!("excuses {excuse:?}"))
        }
    }
    let about: Vec<_> = action
        .nodes()
        .iter()
        .map(|(key, node)| format!("{key}={node}"))
        .collect();
    format!(
        "{}({}): {}",
        action.as_str(),
        about.join(" "),
        parts.join("; ")
    )
}

#[test]
fn each_action_answers_every_question() {
    let found: Vec<_> = actions()
        .iter()
        .map(|action| answers(action).trim_end().to_owned())
        .collect();
    let found = found.join("\n").replace("NodeName(\"bob\")", "bob");
    assert_eq!(found, EXPECTED.trim(), "\n{found}");
}

const EXPECTED: &str = r#"
enable(): command Enable; of intent
disable(): command Disable; of intent
configure(): of intent; can be undone
stop-engine(): agents End; command Agent
kill-engine(node=bob): agents End; command Agent
start-engine(node=bob): agents Start; command Agent
restart-engine(): agents Restart; command Agent
rotate-key(node=bob): command RotateKey
overwrite-key(node=bob): drops Everywhere; excuses Everything
tamper(node=bob): of hosts; can be undone; drops At(bob); excuses SentBy { node: bob, strict: true }
tamper(node=bob): need Userspace; waits (2, "settles"); of hosts; drops At(bob); excuses SentBy { node: bob, strict: false }
store-down():
add-pod(): presence ("db", true); of hosts
remove-pod(): presence ("db", false); of hosts; excuses SentTo { end: EndpointName("db"), strict: false }
move-pod(to=ada): presence ("db", false); of hosts; drops Everywhere; excuses SentTo { end: EndpointName("db"), strict: false }
add-node(): presence ("bob", true); new address "bob"; new host "bob"; of hosts
remove-node(node=bob): presence ("bob", false); new host "bob"; of hosts; drops Everywhere
readdress-node(node=bob): new address "bob"; new host "bob"; of hosts; drops Everywhere; excuses SentTo { end: EndpointName("bob"), strict: true }
reboot-node(node=bob): new host "bob"; of hosts; drops Everywhere; excuses SentBy { node: bob, strict: false }
pause-node(node=bob):
partition(node=bob):
heal(node=bob):
set-mtu(node=bob): of hosts
set-metric(node=bob): of hosts
wait-resyncs():
wait-resyncs(): waits (3, "count")
crash-everywhere(node=bob provoke=bob): command TestAgent; of intent; of hosts; drops Everywhere; excuses Everything
"#;
