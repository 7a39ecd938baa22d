//! Networks of every kind, and who has which address there.

use super::{planned, promise};
use crate::plan::{BeyondMtu, Class, Family, Harm, Protection, Protocol};

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
    assert_eq!(host.speaks_from(own).to_string(), "10.244.0.1");
    assert_eq!(host.speaks_from(other), host.address);
    assert_eq!(own.speaks_from(host), own.address);
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
[[fault]]
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
action = "mend"
node = "ada"
[[step]]
action = "answer-icmp"
[[step]]
action = "mend"
"#,
    );
    let told: Vec<_> = (0..=plan.steps.len())
        .map(|steps| {
            let fabric = plan.after(steps).fabric;
            let harms: Vec<_> = fabric.faults.iter().map(|fault| fault.harm).collect();
            (fabric.mtu, fabric.beyond_mtu, harms)
        })
        .collect();
    let (loss, nth) = (Harm::Loss { percent: 10 }, Harm::EveryNth { nth: 9 });
    let expected = [
        (1500, BeyondMtu::Fragment, vec![loss]),
        (1300, BeyondMtu::Fragment, vec![loss]),
        (1300, BeyondMtu::Swallow, vec![loss]),
        (1300, BeyondMtu::Swallow, vec![loss, nth]),
        (1300, BeyondMtu::Swallow, vec![nth]),
        (1300, BeyondMtu::Fragment, vec![nth]),
        (1300, BeyondMtu::Fragment, vec![]),
    ];
    assert_eq!(told, expected);
}
