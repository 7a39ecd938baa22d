//! Networks of every kind, and their addresses.

use super::{planned, promise};
use crate::plan::{BeyondMtu, Class, Family, ImpairmentKind, Protection, Protocol};

const ROUTED: &str = r#"
title = "racks"
[fabric]
kind = "routed"
[node.ada]
pods = ["web", "app"]
[node.bob]
address = "10.240.0.9"
[node.cal]
pods = ["log"]
"#;

#[test]
fn each_rack_has_one_node_and_its_pods() {
    let plan = planned(ROUTED);
    let addresses: Vec<_> = plan
        .endpoints()
        .iter()
        .map(|end| format!("{} {}", end.name, end.address))
        .collect();
    // The first rack is taken by the one who asked for it.
    let expected = [
        "ada 10.240.1.4",
        "app 10.240.1.130",
        "web 10.240.1.131",
        "bob 10.240.0.9",
        "cal 10.240.2.4",
        "log 10.240.2.130",
    ];
    assert_eq!(addresses, expected);
    for node in &plan.nodes {
        let (link, gateway) = (
            plan.fabric.link_of(node.address),
            plan.fabric.gateway_of(node.address),
        );
        assert_eq!(link.prefix_len(), 25);
        assert!(link.contains(&node.address) && link.contains(&gateway));
        assert!(node.pods.iter().all(|pod| !link.contains(&pod.address)));
    }
}

#[test]
fn racks_are_as_small_as_they_have_to_be() {
    let text = ROUTED
        .replace("kind", "subnet = \"10.9.0.0/24\"\nkind")
        .replace("address = \"10.240.0.9\"", "");
    let plan = planned(&text);
    // Three nodes, and the store.
    assert_eq!(plan.fabric.rack, Some(26));
    assert_eq!(plan.nodes[2].address.to_string(), "10.9.0.132");
}

#[test]
fn pods_on_a_bridge_have_its_subnet() {
    let plan = planned(
        r#"
title = "bridges"
[cluster]
addressing = "bridge"
[node.ada]
pods = ["web"]
[node.bob]
pods = ["db"]
[pod.db]
address = "10.244.1.77"
"#,
    );
    let ada = &plan.nodes[0];
    assert_eq!(ada.bridge.unwrap().to_string(), "10.244.0.0/24");
    assert_eq!(ada.pods[0].address.to_string(), "10.244.0.2");
    assert_eq!(ada.pods[0].interface.as_str(), "vethweb");
    let ends = plan.endpoints();
    let [host, own, _, other] = &ends[..] else {
        panic!("{ends:?}");
    };
    // To its own pods a node speaks from its bridge, to others from its uplink.
    assert_eq!(host.source_address(own).to_string(), "10.244.0.1");
    assert_eq!(host.source_address(other), host.address);
    assert_eq!(own.source_address(host), own.address);
}

#[test]
fn a_client_is_promised_plaintext() {
    let plan = planned(
        r#"
title = "clients"
[cluster]
families = ["ipv4", "ipv6"]
[node.ada]
pods = ["web"]
[node.bob]
[client.one]
[client.two]
address = "198.51.100.10"
"#,
    );
    let addresses: Vec<_> = plan
        .clients
        .iter()
        .map(|one| one.address.to_string())
        .collect();
    assert_eq!(addresses, ["198.51.100.11", "198.51.100.10"]);
    for protocol in Family::ALL.into_iter().flat_map(Protocol::of) {
        for (from, to) in [("one", "web"), ("ada", "two"), ("one", "two")] {
            let found = promise(&plan, from, to, protocol).unwrap();
            let is = (found.class, found.protection);
            assert_eq!(is, (Class::External, Protection::Plaintext), "{from} {to}");
        }
    }
}

#[test]
fn steps_change_what_the_wire_does() {
    let plan = planned(
        r#"
title = "weather"
[fabric]
beyond-mtu = "fragment"
[node.ada]
[node.bob]
[[impairment]]
node = "ada"
loss = 10
[[step]]
action = "set-fabric-mtu"
mtu = 1300
[[step]]
action = "swallow-icmp"
[[step]]
action = "drop-nth"
every = 9
[[step]]
action = "clear-impairments"
node = "ada"
[[step]]
action = "answer-icmp"
[[step]]
action = "clear-impairments"
"#,
    );
    let found: Vec<_> = (0..=plan.steps.len())
        .map(|steps| {
            let fabric = plan.after(steps).fabric;
            let kinds: Vec<_> = fabric
                .impairments
                .iter()
                .map(|impairment| impairment.kind)
                .collect();
            (fabric.mtu, fabric.beyond_mtu, kinds)
        })
        .collect();
    let (loss, nth) = (
        ImpairmentKind::Loss { percent: 10 },
        ImpairmentKind::EveryNth { nth: 9 },
    );
    let expected = [
        (1500, BeyondMtu::Fragment, vec![loss]),
        (1300, BeyondMtu::Fragment, vec![loss]),
        (1300, BeyondMtu::Swallow, vec![loss]),
        (1300, BeyondMtu::Swallow, vec![loss, nth]),
        (1300, BeyondMtu::Swallow, vec![nth]),
        (1300, BeyondMtu::Fragment, vec![nth]),
        (1300, BeyondMtu::Fragment, vec![]),
    ];
    assert_eq!(found, expected);
}

const BLOCKS: &str = r#"
title = "addresses that pods ask for"
[cluster]
route-source = "calico-ipam"
[node.ada]
pods = ["web"]
[node.bob]
pods = ["db", "log"]
[pod]
web.address = "WEB"
db.address = "DB"
"#;

/// Each node's blocks, where `web` of ada and `db` of bob ask for these addresses.
fn blocks(web: &str, db: &str) -> Vec<String> {
    let plan = planned(&BLOCKS.replace("WEB", web).replace("DB", db));
    // Whoever asks for an address has it.
    for (pod, address) in [("web", web), ("db", db)] {
        let end = plan.endpoint(&pod.parse().unwrap()).unwrap();
        assert_eq!(end.address.to_string(), address);
    }
    let texts = plan.nodes.iter().map(|node| {
        let blocks: Vec<_> = node.blocks.iter().map(ToString::to_string).collect();
        format!("{} {}", node.name, blocks.join(" "))
    });
    texts.collect()
}

#[test]
fn a_pod_s_address_in_nobody_s_block_claims_its_block() {
    // In the blocks that the nodes have anyway, nothing is claimed.
    let own = ["ada 10.65.0.0/26", "bob 10.65.1.0/26"];
    assert_eq!(blocks("10.65.0.5", "10.65.1.5"), own);
    // Of another node's block the address is borrowed.
    assert_eq!(blocks("10.65.1.7", "10.65.0.7"), own);
    // The first and the last address of a block, and of the pool.
    let claimed = ["10.65.0.0/26 10.65.0.64/26", "10.65.0.128/26 10.65.1.0/26"];
    let far = [
        "10.65.0.0/26 10.65.255.192/26",
        "10.65.1.0/26 10.65.128.0/26",
    ];
    for (web, db, [of_ada, of_bob]) in [
        ("10.65.0.64", "10.65.0.191", claimed),
        ("10.65.0.127", "10.65.0.128", claimed),
        ("10.65.255.254", "10.65.128.0", far),
    ] {
        let expected = [format!("ada {of_ada}"), format!("bob {of_bob}")];
        assert_eq!(blocks(web, db), expected);
    }
    // Two ask for one block: it is the first's, and the second borrows.
    let first = ["ada 10.65.0.0/26 10.65.0.64/26", "bob 10.65.1.0/26"];
    assert_eq!(blocks("10.65.0.65", "10.65.0.66"), first);
}

#[test]
fn an_address_outside_the_pool_is_refused_with_its_place() {
    let text = BLOCKS
        .replace("WEB", "10.66.0.0")
        .replace("DB", "10.65.1.5");
    let refused = super::refused(&text).render();
    assert!(
        refused.contains("`web` cannot have the address `10.66.0.0`"),
        "{refused}"
    );
    assert!(
        refused.contains("outside the subnet `10.65.0.0/16`"),
        "{refused}"
    );
}

const HIDDEN: &str = r#"
title = "a NAT"
[cluster]
keepalive = 1
[node.ada]
behind-nat = true
pods = ["web"]
[node.bob]
"#;

#[test]
fn a_nat_needs_encrypted_hosts_and_switches_host_encryption_on() {
    let plan = planned(HIDDEN);
    assert!(plan.cluster.host_encryption);
    assert!(plan.fabric.nat.is_some());
    let written = HIDDEN.replace("keepalive", "host-encryption = true\nkeepalive");
    assert_eq!(
        planned(&written).fabric.nat.map(|nat| nat.node),
        plan.fabric.nat.map(|nat| nat.node)
    );
    for (key, value) in [("host-encryption", "false"), ("wireguard", "false")] {
        let text = HIDDEN.replace("keepalive", &format!("{key} = {value}\nkeepalive"));
        let refused = super::refused(&text).render();
        assert!(
            refused.contains("`ada` cannot be behind a NAT"),
            "{refused}"
        );
        let help = "leave out whatever `host-encryption = false` and `wireguard = false` there is";
        assert!(refused.contains(help), "{refused}");
    }
}
