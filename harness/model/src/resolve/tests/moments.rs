//! The state of a cluster after each of its steps.

use std::time::Duration;

use super::{TWO_NODES, planned, promise, refused};
use crate::plan::{Patience, Plan, Protection, Protocol, Timeout};

fn steps(lines: &[&str]) -> String {
    let steps: String = lines
        .iter()
        .map(|line| format!("[[step]]\n{}\n", line.replace("; ", "\n")))
        .collect();
    format!("{TWO_NODES}{steps}")
}

/// Who is where after some of the steps: each node with its pods.
fn there(plan: &Plan, after: usize) -> Vec<String> {
    let state = plan.after(after);
    let texts = state.nodes.iter().map(|node| {
        let pods: Vec<_> = node.pods.iter().map(|pod| pod.name.as_str()).collect();
        format!("{}: {}", node.name, pods.join(" "))
    });
    texts.collect()
}

#[test]
fn a_node_or_pod_that_a_step_adds_is_absent_before() {
    let text = steps(&["action = \"add-node\"; node = \"bob\""]);
    let plan = planned(&text);
    assert_eq!(there(&plan, 0), ["ada: web"]);
    assert_eq!(there(&plan, 1), ["ada: web", "bob: db"]);

    let text = steps(&[
        "action = \"remove-pod\"; pod = \"db\"",
        "action = \"add-pod\"; pod = \"db\"",
    ]);
    let plan = planned(&text);
    assert_eq!(there(&plan, 0), ["ada: web", "bob: db"]);
    assert_eq!(there(&plan, 1), ["ada: web", "bob: "]);
    assert_eq!(there(&plan, 2), ["ada: web", "bob: db"]);
}

#[test]
fn a_pod_that_moves_is_promised_what_its_new_node_is() {
    let text = steps(&["action = \"move-pod\"; pod = \"web\"; to = \"bob\""]);
    let plan = planned(&text);
    assert_eq!(there(&plan, 1), ["ada: ", "bob: db web"]);
    let kept = promise(&plan, "web", "db", Protocol::Udp).unwrap();
    assert_eq!(kept.protection, Protection::Plaintext);
    let new = promise(&plan, "web", "ada", Protocol::Udp).unwrap();
    assert_eq!(new.protection, Protection::Encrypted);
}

/// The resource of a node is overwritten by another one: its Node is deleted, and its pods are not.
#[test]
fn under_encrypt_or_drop_nothing_passes_to_a_node_that_is_deleted_before_its_pods() {
    let strict = "[cluster.annotations]\n\"wiremesh/strict\" = \"true\"\n";
    let garbage =
        |text: &str| format!("action = \"store-garbage\"; node = \"bob\"; text = '''{text}'''");
    let pool = garbage("{\"kind\":\"IPPool\",\"metadata\":{\"name\":\"p\"}}");
    let promised = |more: &str, list: &[&str]| {
        let plan = planned(&format!("{}{more}", steps(list)));
        let of = |from, to| promise(&plan, from, to, Protocol::Udp).map(|one| one.protection);
        (of("web", "db"), of("bob", "ada"))
    };
    let both = |protection| (Some(protection), Some(protection));
    let (blocked, encrypted) = (both(Protection::Blocked), both(Protection::Encrypted));
    let killed = "action = \"kill-engine\"; node = \"bob\"";
    assert_eq!(promised(strict, &[killed, &pool]), blocked);
    assert_eq!(promised(strict, &[&pool]), blocked);
    // Without encrypt or drop the one may speak in clear, and the other into its tunnel.
    assert_eq!(promised("", &[&pool]), (None, None));
    let listed = format!("{strict}\"wiremesh/plain-nodes\" = \"bob\"\n");
    assert_eq!(promised(&listed, &[&pool]), (None, None));
    let pods_only = format!("{strict}[cluster]\nhost-encryption = false\n");
    assert_eq!(
        promised(&pods_only, &[&pool]),
        (Some(Protection::Blocked), None)
    );
    // An agent that does not run has not heard of it; nor does one that reaches no store.
    let of_ada = "action = \"kill-engine\"; node = \"ada\"";
    assert_eq!(promised(strict, &[of_ada, &pool]), (None, None));
    let down = "action = \"store-down\"";
    assert_eq!(promised(strict, &[down, &pool]), encrypted);
    let up = "action = \"store-up\"";
    assert_eq!(promised(strict, &[down, &pool, up]), blocked);
    // Nothing is asked for any more, or not in that family.
    let disabled = [pool.as_str(), "action = \"disable\""];
    assert_eq!(promised(strict, &disabled), (None, None));
    let both_families = format!("{strict}[cluster]\nfamilies = [\"ipv4\", \"ipv6\"]\n");
    let without_ipv6 = "action = \"configure\"; set = { wireguardEnabledV6 = false }";
    for (list, expected) in [
        (&[pool.as_str()][..], Some(Protection::Blocked)),
        (&[pool.as_str(), without_ipv6], None),
    ] {
        let plan = planned(&format!("{}{both_families}", steps(list)));
        let of = |protocol| promise(&plan, "web", "db", protocol).map(|one| one.protection);
        assert_eq!(of(Protocol::Udp), Some(Protection::Blocked));
        assert_eq!(of(Protocol::Udp6), expected);
    }
    // It is back.
    let repaired = [pool.as_str(), "action = \"store-repair\""];
    assert_eq!(promised(strict, &repaired), encrypted);
    let (gone, new) = ["remove-node", "add-node"]
        .map(|action| format!("action = \"{action}\"; node = \"bob\""))
        .into();
    assert_eq!(promised(strict, &[&pool, &gone, &new]), encrypted);
    // What cannot be read counts as it was, and what does not say which resource it is may be the same.
    for kept in [
        "{\"kind\":\"IPPool\"",
        "{\"kind\":\"IPPool\"}",
        "{\"kind\":\"Node\",\"metadata\":{\"name\":\"bob\"}}",
    ] {
        assert_eq!(promised(strict, &[&garbage(kept)]), encrypted, "{kept}");
    }
    let etcd = format!("{strict}[cluster]\n");
    let plan = planned(&format!("store = \"etcd\"\n{}{etcd}", steps(&[&pool])));
    let kept = promise(&plan, "web", "db", Protocol::Udp).unwrap();
    assert_eq!(kept.protection, Protection::Encrypted);
}

#[test]
fn the_address_that_a_node_gets_later_is_nobody_else_s() {
    // The address that `bob` would get.
    let text = steps(&["action = \"readdress-node\"; node = \"ada\"; address = \"10.240.0.20\""]);
    let plan = planned(&text);
    let (before, after) = (plan.after(0), plan.at_last());
    assert_ne!(before.nodes[1].address, after.nodes[0].address);
    assert_ne!(before.nodes[0].address, after.nodes[0].address);
}

#[test]
fn a_command_takes_effect_once_the_agent_runs() {
    let text = steps(&[
        "action = \"kill-engine\"; node = \"bob\"",
        "action = \"disable\"",
        "action = \"start-engine\"",
    ]);
    let plan = planned(&text);
    let encrypting = |after| {
        let names = plan.after(after).encrypting.into_iter();
        names.map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(encrypting(0), ["ada", "bob"]);
    assert_eq!(encrypting(2), ["bob"]);
    assert!(encrypting(3).is_empty());
}

#[test]
fn fields_of_a_configuration_go_before_keys() {
    let text = steps(&[
        "action = \"configure\"; set = { wireguardListeningPort = 7, wireguardMTU = 1300 }",
        "action = \"configure\"; unset = [\"wireguardListeningPort\"]",
        "action = \"configure\"; node = \"ada\"; set = { wireguardEnabled = false }",
    ]);
    let plan = planned(&text);
    let ports: Vec<_> = (0..3)
        .map(|after| plan.after(after).cluster.listen_port)
        .collect();
    assert_eq!(ports, [51820, 7, 51820]);
    assert_eq!(plan.at_last().cluster.mtu, Some(1300));
    let udp = promise(&plan, "web", "db", Protocol::Udp).unwrap();
    assert_eq!(udp.protection, Protection::Plaintext);
}

#[test]
fn a_partition_removes_promises_across_it() {
    let plan = planned(&steps(&["action = \"partition\"; node = \"ada\""]));
    assert!(promise(&plan, "web", "db", Protocol::Tcp).is_none());
    assert!(promise(&plan, "web", "ada", Protocol::Tcp).is_some());
}

#[test]
fn a_slow_machine_has_as_many_times_as_long_for_everything() {
    let text = steps(&["action = \"enable\"; deadline = \"3s\"; outage = \"1s\""]);
    let (plan, mut slow) = (planned(&text), planned(&text));
    slow.wait_longer(Patience::times(20));
    let limits = |plan: &Plan| {
        let (deadlines, step) = (plan.deadlines, &plan.steps[0]);
        let allowed = [
            deadlines.ready(),
            deadlines.probe(),
            deadlines.of_step(step),
            deadlines.outage(step),
            deadlines.patience.allows(Duration::from_secs(30)),
        ];
        allowed.map(Timeout::time)
    };
    assert_eq!(limits(&slow), limits(&plan).map(|time| 20 * time));
    let times = |plan: &Plan| {
        let step = &plan.steps[0];
        let Plan {
            deadlines, flows, ..
        } = plan;
        [
            deadlines.ready,
            deadlines.probe,
            flows.every,
            step.deadline,
            step.outage,
        ]
    };
    assert_eq!(times(&slow), times(&plan).map(|time| 20 * time));
    assert!(times(&plan).iter().all(|time| *time > 0));
    // A wire that carries so much in a second, or delays what comes, does so on any machine.
    let mut slow = planned(&format!("{text}[[impairment]]\nrate = 30\n"));
    let every = slow.flows.every;
    slow.wait_longer(Patience::times(20));
    assert_eq!(slow.flows.every, every);
    // Nor where it does so only later.
    let later = steps(&["action = \"drop-nth\"; node = \"ada\"; direction = \"to\"; every = 5"]);
    let mut slow = planned(&later);
    assert!(slow.fabric.impairments.is_empty());
    let every = slow.flows.every;
    slow.wait_longer(Patience::times(20));
    assert_eq!(slow.flows.every, every);
}

#[test]
fn a_node_that_comes_back_or_boots_again_can_be_ended_and_cut_off_anew() {
    let (gone, back, boots, killed, cut_off) = (
        "action = \"remove-node\"; node = \"bob\"",
        "action = \"add-node\"; node = \"bob\"",
        "action = \"reboot-node\"; node = \"bob\"",
        "action = \"kill-engine\"; node = \"bob\"",
        "action = \"partition\"; node = \"bob\"",
    );
    planned(&steps(&[killed, gone, back, killed]));
    planned(&steps(&[cut_off, gone, back, cut_off]));
    planned(&steps(&[killed, boots, killed]));
    // Nothing else makes either possible.
    refused(&steps(&[killed, killed]));
    refused(&steps(&[cut_off, boots, cut_off]));
}

#[test]
fn the_intent_s_promises_return_once_every_agent_runs_again() {
    let (of_ada, of_bob) = (
        "action = \"kill-engine\"; node = \"ada\"",
        "action = \"kill-engine\"; node = \"bob\"",
    );
    let removed = "action = \"remove-pod\"; pod = \"db\"";
    let start = |node: &str| format!("action = \"start-engine\"; node = \"{node}\"");
    let again = "action = \"restart-engine\"; node = \"ada\"";
    let plan = planned(&steps(&[
        of_ada,
        of_bob,
        removed,
        &start("ada"),
        again,
        &start("bob"),
    ]));
    let unclear = |after: usize| -> Vec<_> {
        let unclear = plan.after(after).unclear;
        unclear.iter().map(ToString::to_string).collect()
    };
    assert_eq!(unclear(2), [""; 0]);
    for after in [3, 4, 5] {
        assert_eq!(unclear(after), ["ada", "bob"], "{after}");
    }
    assert_eq!(unclear(6), [""; 0]);
}

#[test]
fn a_node_that_boots_without_the_store_does_not_encrypt_and_one_that_is_deleted_publishes_no_key() {
    let (down, boots, up) = (
        "action = \"store-down\"",
        "action = \"reboot-node\"; node = \"bob\"",
        "action = \"store-up\"",
    );
    let plan = planned(&format!("store = \"etcd\"\n{}", steps(&[down, boots, up])));
    let publishes = |after: usize| {
        ["ada", "bob"].map(|node| plan.after(after).publishes(&node.parse().unwrap()))
    };
    assert_eq!(publishes(1), [true, true]);
    assert_eq!(publishes(2), [true, false]);
    assert_eq!(publishes(3), [true, true]);

    let pool = "{\"kind\":\"IPPool\",\"metadata\":{\"name\":\"p\"}}";
    let garbage = format!("action = \"store-garbage\"; node = \"bob\"; text = '{pool}'");
    let plan = planned(&steps(&[&garbage]));
    let bob = "bob".parse().unwrap();
    assert!(plan.after(0).publishes(&bob) && !plan.after(1).publishes(&bob));
    // Nobody can write a key into a Node that is not there.
    for action in ["rotate-key", "overwrite-key"] {
        let key = format!("action = \"{action}\"; node = \"bob\"");
        let problems = refused(&steps(&[&garbage, &key])).render();
        assert!(
            problems.contains("its Node is not in the store at this step"),
            "{problems}"
        );
        planned(&steps(&[&garbage, "action = \"store-repair\"", &key]));
    }
    // Of both nodes that a step names.
    let key = "action = \"overwrite-key\"; node = \"ada\"; key = \"bob\"";
    let problems = refused(&steps(&[&garbage, key])).render();
    let why = "its Node is not in the store at this step";
    assert!(problems.contains(why), "{problems}");
}
