//! The effect of each key on the plan, and the promises of the cluster's intent.

use super::{EVERY_KEY, TWO_NODES, planned, promise};
use crate::plan::{Class, Origin, Plan, Protection, Protocol};

const SEED: &str = include_str!("seed-cluster.toml");

/// A pair's class and protection, if anything is promised about it.
type Promised = Option<(Class, Protection)>;

/// Class and protection of the promise about `from` and `to`, the same for every protocol.
fn promised(plan: &Plan, from: &str, to: &str) -> Promised {
    let [icmp, udp, tcp] = Protocol::IPV4.map(|protocol| {
        promise(plan, from, to, protocol).map(|found| (found.class, found.protection))
    });
    assert_eq!((icmp, udp), (udp, tcp), "{from} to {to}");
    icmp
}

#[track_caller]
fn check(text: &str, expected: &[(&str, &str, Promised)]) {
    let plan = planned(text);
    for (from, to, promise) in expected {
        assert_eq!(promised(&plan, from, to), *promise, "{from} to {to}");
    }
}

fn addresses(plan: &Plan) -> Vec<String> {
    plan.endpoints()
        .iter()
        .map(|endpoint| format!("{} {}", endpoint.name, endpoint.address))
        .collect()
}

const CLEAR_AT_HOME: Promised = Some((Class::SameHost, Protection::Plaintext));
const SECRET: Promised = Some((Class::CrossHost, Protection::Encrypted));

#[test]
fn the_seed_cluster_is_as_written() {
    let plan = planned(SEED);
    assert_eq!(
        addresses(&plan),
        [
            "node-33 10.240.0.33",
            "pod-34 10.240.0.34",
            "pod-35 10.240.0.35",
            "node-4 10.240.0.4",
            "pod-5 10.240.0.5",
            "pod-6 10.240.0.6",
            "node-64 10.240.0.64",
            "pod-65 10.240.0.65",
            "pod-66 10.240.0.66",
        ]
    );
    assert_eq!(plan.cluster.cluster_type.as_deref(), Some("aks"));
    assert_eq!(plan.fabric.mtu, 1400);
    assert_eq!(plan.probes.len(), 9 * 8 * 3);
    assert_eq!(plan.promises.len(), plan.probes.len());
    check(
        SEED,
        &[
            ("pod-5", "pod-6", CLEAR_AT_HOME),
            ("node-4", "pod-5", CLEAR_AT_HOME),
            ("pod-5", "pod-65", SECRET),
            ("pod-5", "node-64", SECRET),
            ("node-64", "pod-5", SECRET),
            (
                "node-4",
                "node-64",
                Some((Class::HostToHost, Protection::Encrypted)),
            ),
        ],
    );
}

#[test]
fn every_key_has_an_effect() {
    let all = planned(EVERY_KEY);
    for line in EVERY_KEY.lines().filter(|line| line.contains(" = ")) {
        let without = match line {
            // Without these the scenario is wrong, or another key makes up for it.
            "title = \"every key\"" => EVERY_KEY.replace(line, "title = \"another\""),
            "node = \"bob\"" => EVERY_KEY.replace(line, "node = \"ada\""),
            "pods = [\"web\"]" => EVERY_KEY.replace(line, "pods = [\"web\", \"more\"]"),
            "action = \"enable\"" => EVERY_KEY.replace(line, "action = \"disable\""),
            "from = \"web\"" => EVERY_KEY.replace(line, "from = \"ada\""),
            "to = \"db\"" => EVERY_KEY.replace(line, "to = \"bob\""),
            "expect = \"encrypted\"" => EVERY_KEY.replace(line, "expect = \"plaintext\""),
            // The addresses of this subnet go with it.
            "subnet = \"10.9.0.0/16\"" => EVERY_KEY.replace("10.9.", "10.8."),
            _ => EVERY_KEY.replacen(&format!("{line}\n"), "", 1),
        };
        assert_ne!(planned(&without), all, "{line}");
    }
}

#[test]
fn two_nodes_with_defaults_are_encrypted() {
    let plan = planned(TWO_NODES);
    assert_eq!(
        addresses(&plan),
        [
            "ada 10.240.0.4",
            "web 10.240.0.5",
            "bob 10.240.0.20",
            "db 10.240.0.21"
        ]
    );
    assert_eq!(plan.engine.as_str(), "wiremesh");
    assert_eq!(plan.fabric.gateway.to_string(), "10.240.0.1");
    assert_eq!(
        (plan.deadlines.ready, plan.deadlines.probe),
        (20_000, 3_000)
    );
    check(
        TWO_NODES,
        &[
            ("web", "db", SECRET),
            ("web", "bob", SECRET),
            ("web", "ada", CLEAR_AT_HOME),
        ],
    );
}

#[test]
fn without_host_encryption_nodes_send_in_clear_and_pod_to_node_is_not_promised() {
    let text = format!("{TWO_NODES}[cluster]\nhost-encryption = false\n");
    check(
        &text,
        &[
            ("web", "db", SECRET),
            (
                "ada",
                "bob",
                Some((Class::HostToHost, Protection::Plaintext)),
            ),
            ("web", "bob", None),
            ("bob", "web", None),
            ("ada", "web", CLEAR_AT_HOME),
        ],
    );
    assert_eq!(
        planned(&text).probes.len(),
        36,
        "what is not promised is probed all the same"
    );
}

#[test]
fn a_node_without_wireguard_gets_and_sends_plaintext() {
    let mixed = Some((Class::Mixed, Protection::Plaintext));
    let text = format!("{TWO_NODES}wireguard = false\n[node.eve]\npods = [\"spy\"]\n");
    check(
        &text,
        &[
            ("web", "db", mixed),
            ("db", "web", mixed),
            ("ada", "bob", mixed),
            ("web", "spy", SECRET),
            ("bob", "db", CLEAR_AT_HOME),
        ],
    );
}

#[test]
fn the_last_step_decides() {
    let clear = Some((Class::CrossHost, Protection::Plaintext));
    let off = format!("{TWO_NODES}[cluster]\nwireguard = false\n");
    let step = |action: &str| format!("[[step]]\naction = \"{action}\"\n");
    check(
        &off,
        &[
            ("web", "db", clear),
            (
                "ada",
                "bob",
                Some((Class::HostToHost, Protection::Plaintext)),
            ),
        ],
    );
    check(
        &format!("{off}{}", step("enable")),
        &[("web", "db", SECRET)],
    );
    check(
        &format!("{off}{}{}", step("enable"), step("disable")),
        &[("web", "db", clear)],
    );
    check(
        &format!("{TWO_NODES}{}", step("disable")),
        &[("web", "db", clear)],
    );
}

#[test]
fn a_stated_promise_takes_the_place_of_the_derived_one() {
    let text = format!(
        "{TWO_NODES}[[promise]]\nfrom = \"web\"\nto = \"db\"\nprotocols = [\"udp\"]\nexpect = \"plaintext\"\n"
    );
    let plan = planned(&text);
    let stated = promise(&plan, "web", "db", Protocol::Udp).unwrap();
    assert_eq!(stated.protection, Protection::Plaintext);
    assert_eq!(stated.origin, Origin::Stated { line: 7 });
    for (from, to, protocol) in [("web", "db", Protocol::Tcp), ("db", "web", Protocol::Udp)] {
        let derived = promise(&plan, from, to, protocol).unwrap();
        assert_eq!(
            (derived.protection, derived.origin),
            (Protection::Encrypted, Origin::Derived)
        );
    }
    assert_eq!(plan.promises.len(), planned(TWO_NODES).promises.len());
}

#[test]
fn a_stated_promise_is_added_where_none_is_derived() {
    let text = format!(
        "{TWO_NODES}[cluster]\nhost-encryption = false\n[[promise]]\nfrom = \"web\"\nto = \"bob\"\nexpect = \"encrypted\"\n"
    );
    check(&text, &[("web", "bob", SECRET), ("bob", "web", None)]);
}

#[test]
fn a_pod_may_be_placed_twice_when_both_agree() {
    let plan = planned(&format!("{TWO_NODES}[pod.web]\nnode = \"ada\"\n"));
    assert_eq!(plan, planned(TWO_NODES));
}

#[test]
fn allocation_goes_round_what_the_author_gave() {
    let plan = planned(&format!("{TWO_NODES}[pod.db]\naddress = \"10.240.0.4\"\n"));
    assert_eq!(
        addresses(&plan),
        [
            "ada 10.240.0.20",
            "web 10.240.0.21",
            "bob 10.240.0.36",
            "db 10.240.0.4"
        ]
    );
}

#[test]
fn the_last_free_address_is_found() {
    let text = format!("{TWO_NODES}[fabric]\nsubnet = \"10.0.0.0/29\"\n")
        .replace("\"db\"", "\"db\", \"log\"");
    let addresses = addresses(&planned(&text));
    let mut used: Vec<_> = addresses
        .iter()
        .filter_map(|line| line.split('.').next_back())
        .collect();
    used.sort_unstable();
    assert_eq!(used, ["2", "3", "4", "5", "6"]);
}

#[test]
fn neighbouring_probes_have_ciphertext_of_different_length() {
    let plan = planned(SEED);
    // IPv4 with ICMP or UDP; IPv4 with TCP, without and with timestamps.
    for tcp_header in [40, 52] {
        let padded = |index: usize| {
            let probe = &plan.probes[index];
            let header = match probe.protocol {
                Protocol::Icmp | Protocol::Udp => 28,
                Protocol::Tcp => tcp_header,
                Protocol::Icmp6 | Protocol::Udp6 | Protocol::Tcp6 => {
                    unreachable!("a cluster of IPv4")
                }
            };
            (probe.payload + header).next_multiple_of(16)
        };
        for index in 1..plan.probes.len() {
            assert_ne!(
                padded(index - 1),
                padded(index),
                "probes {} and {index}",
                index - 1
            );
        }
    }
}

#[test]
fn payloads_fit_the_smallest_mtu() {
    // The device on AKS takes 160 bytes of the uplink's MTU, and TCP 52 of that.
    let most = crate::scenario::MTU_MIN - 160 - 52;
    for probe in planned(SEED).probes {
        assert!((48..=most).contains(&probe.payload), "{}", probe.payload);
    }
}

#[test]
fn of_several_promises_the_most_specific_one_counts() {
    let stated = |expect: &str, rest: &str| format!("[[promise]]\n{rest}expect = \"{expect}\"\n");
    let text = [
        TWO_NODES.to_owned(),
        stated("delivered", ""),
        stated("blocked", "class = \"cross-host\"\n"),
        stated("encrypted", "from = \"web\"\nclass = \"cross-host\"\n"),
        stated(
            "plaintext",
            "from = [\"web\", \"db\"]\nto = [\"bob\", \"ada\"]\nprotocols = [\"udp\"]\n",
        ),
    ]
    .concat();
    let plan = planned(&text);
    let found = |from, to, protocol| promise(&plan, from, to, protocol).unwrap().protection;
    assert_eq!(found("ada", "bob", Protocol::Udp), Protection::Delivered);
    assert_eq!(found("db", "web", Protocol::Udp), Protection::Blocked);
    assert_eq!(found("web", "db", Protocol::Udp), Protection::Encrypted);
    assert_eq!(found("web", "bob", Protocol::Tcp), Protection::Encrypted);
    assert_eq!(found("web", "bob", Protocol::Udp), Protection::Plaintext);
    assert_eq!(found("db", "ada", Protocol::Udp), Protection::Plaintext);
}

#[test]
fn a_payload_gets_probes_of_its_own_beside_the_usual_ones() {
    let usual = planned(TWO_NODES);
    let text = format!(
        "{TWO_NODES}[[promise]]\nclass = \"cross-host\"\npayload = 1300\nprotocols = [\"udp\", \"tcp\"]\nexpect = \"delivered\"\n"
    );
    let plan = planned(&text);
    let (kept, own) = plan.probes.split_at(usual.probes.len());
    assert_eq!(kept, usual.probes);
    assert_eq!(own.len(), 12, "six ordered pairs, two protocols");
    assert!(own.iter().all(|probe| probe.wanted == Some(1300)));
    assert!(
        own.iter()
            .all(|probe| (1300..=1540).contains(&probe.payload))
    );
    let promised = plan.promises.iter().filter(|one| one.payload == Some(1300));
    let delivered = promised.filter(|one| one.protection == Protection::Delivered);
    assert_eq!(delivered.count(), 12);
    let encrypted = |plan: &Plan| {
        let all = plan.promises.iter();
        all.filter(|one| one.protection == Protection::Encrypted)
            .count()
    };
    assert_eq!(
        encrypted(&plan),
        encrypted(&usual),
        "those that there are anyway"
    );
}

#[test]
fn never_plaintext_covers_every_pair_of_the_run_and_has_flows() {
    let text = format!(
        "{TWO_NODES}[[step]]\naction = \"remove-pod\"\npod = \"db\"\n\
         [[promise]]\nfrom = \"web\"\nto = \"db\"\nexpect = \"never-plaintext\"\n\
         [[promise]]\nclass = \"host-to-host\"\nexpect = \"never-plaintext\"\n\
         [flows]\ncount = 1\n"
    );
    let plan = planned(&text);
    let pairs: Vec<_> = plan
        .never_plaintext
        .iter()
        .map(|promise| promise.pairs.len())
        .collect();
    assert_eq!(pairs, [1, 2]);
    let between = |from: &str, to: &str| {
        let mut flows = plan.flows.flows.iter();
        flows.any(|flow| (flow.from.as_str(), flow.to.as_str()) == (from, to))
    };
    assert!(
        between("web", "db"),
        "a pair that is named is watched by itself"
    );
    let ids: Vec<_> = plan
        .never_plaintext
        .iter()
        .map(|promise| promise.id.0)
        .collect();
    let before = plan.promises.len() + plan.flows.promises.len();
    assert_eq!(ids, [before as u32, before as u32 + 1]);
}
