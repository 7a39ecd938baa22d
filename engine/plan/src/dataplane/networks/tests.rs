//! The owner of a network, rule by rule, and the messages about conflicts.

use super::*;
use crate::intent::resource::{Block, Identity, Node, Workload};
use crate::intent::settings::Settings;

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn here(networks: &[&str]) -> LocalRoutes {
    networks.iter().map(|text| (net(text), true)).collect()
}

/// Nodes ada (.1), bob (.2) and eve (.3), seen by ada; their addresses are on them.
fn cluster() -> Cluster {
    let mut cluster = Cluster::empty();
    for (name, last) in [("ada", 1), ("bob", 2), ("eve", 3)] {
        let addresses = [format!("10.0.0.{last}"), format!("fd00::{last}")];
        let node = Node {
            addresses: addresses.iter().map(|text| address(text)).collect(),
            ..Node::default()
        };
        cluster.add_node(name, &node);
    }
    cluster.settings = Settings {
        host_encryption: true,
        route_source: RouteSource::WorkloadIps,
        ..Settings::default()
    };
    cluster
}

fn add_pod(cluster: &mut Cluster, name: &str, node: &str, networks: &[&str], created: &str) {
    let identity = Identity {
        kind: "WorkloadEndpoint".into(),
        namespace: "default".into(),
        name: name.into(),
    };
    let pod = Workload {
        created: created.into(),
        node: node.into(),
        networks: networks.iter().map(|text| net(text)).collect(),
    };
    cluster.add_workload(&identity, &pod);
}

fn block(cidr: &str, node: &str) -> Block {
    Block {
        is_virtual: false,
        created: String::new(),
        cidr: net(cidr),
        affinity: Some(node.into()),
        borrowed: Vec::new(),
    }
}

/// Of both families, as ada sees them.
#[track_caller]
fn owners(cluster: &Cluster, here: &LocalRoutes, expected: &[(&str, &str)]) {
    let networks = Family::ALL.map(|family| of(cluster, "ada", family, here));
    let owners = networks.iter().flat_map(|networks| &networks.owners);
    let owners = owners.filter(|(network, _)| !network.to_string().starts_with("10.0.0."));
    let owners = owners.filter(|(network, _)| !network.to_string().ends_with("::2/128"));
    let owners = owners.filter(|(network, _)| !network.to_string().ends_with("::3/128"));
    let owners: Vec<_> = owners
        .map(|(network, owner)| (network.to_string(), *owner))
        .collect();
    let owners: Vec<_> = owners
        .iter()
        .map(|(network, owner)| (network.as_str(), *owner))
        .collect();
    assert_eq!(owners, expected);
}

fn conflict_problems(cluster: &Cluster, here: &LocalRoutes) -> Vec<String> {
    let conflicts = PerFamily::each(|family| {
        let networks = of(cluster, "ada", family, here);
        networks.conflicts.into_values().collect()
    });
    problems(&conflicts)
}

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-02-01T00:00:00Z";
const OWN: [&str; 2] = ["10.0.0.1", "fd00::1"];

#[test]
fn a_contested_pod_is_the_node_s_on_which_it_is() {
    let mut cluster = cluster();
    let networks = ["10.1.0.5", "fd00:1::5"];
    add_pod(&mut cluster, "db", "bob", &networks, OLD);
    add_pod(&mut cluster, "gone", "ada", &networks, NEW);
    let nowhere = here(&OWN);
    owners(
        &cluster,
        &nowhere,
        &[("10.1.0.5/32", "bob"), ("fd00:1::5/128", "bob")],
    );
    let of_db = "WorkloadEndpoint default/db of bob";
    let of_gone = "WorkloadEndpoint default/gone of ada";
    assert_eq!(
        conflict_problems(&cluster, &nowhere),
        ["10.1.0.5", "fd00:1::5"].map(|address| format!(
            "{address} is claimed by {of_db} and by {of_gone}: it counts as bob's (no route of the \
             kernel leads to it on this node), and traffic reaches no other owner; delete the \
             stale resource"
        ))
    );
    // It has come, and then it is gone again.
    let plugged = here(&[OWN[0], OWN[1], networks[0]]);
    owners(
        &cluster,
        &plugged,
        &[("10.1.0.5/32", "ada"), ("fd00:1::5/128", "bob")],
    );
    assert!(
        conflict_problems(&cluster, &plugged)[0]
            .contains("it counts as ada's (it is on this node)")
    );
    owners(
        &cluster,
        &nowhere,
        &[("10.1.0.5/32", "bob"), ("fd00:1::5/128", "bob")],
    );
}

#[test]
fn an_uncontested_pod_is_this_node_s_before_it_has_a_route() {
    let mut cluster = cluster();
    add_pod(&mut cluster, "web", "ada", &["10.1.0.5"], "");
    owners(&cluster, &here(&OWN), &[("10.1.0.5/32", "ada")]);
    assert_eq!(conflict_problems(&cluster, &here(&OWN)), [""; 0]);
}

#[test]
fn a_node_s_own_address_beats_a_pod_s_even_where_the_pod_is() {
    let mut cluster = cluster();
    let tunnel = Node {
        tunnel_address: PerFamily {
            v4: Some(address("10.1.0.5")),
            v6: Some(address("fd00:1::5")),
        },
        created: OLD.into(),
        ..Node::default()
    };
    cluster.add_node("aaa", &tunnel);
    let networks = ["10.1.0.5", "fd00:1::5"];
    add_pod(&mut cluster, "db", "bob", &networks, NEW);
    let expected = [("10.1.0.5/32", "aaa"), ("fd00:1::5/128", "aaa")];
    owners(&cluster, &here(&OWN), &expected);
    add_pod(&mut cluster, "web", "ada", &networks, NEW);
    owners(
        &cluster,
        &here(&[OWN[0], OWN[1], networks[0], networks[1]]),
        &expected,
    );
    assert!(
        conflict_problems(&cluster, &here(&OWN))[0]
            .contains("aaa's (an address of a node's own beats a pod's)")
    );
}

#[test]
fn an_own_address_that_the_kernel_lacks_gives_way_to_other_claims() {
    // The Node of ada says that it has bob's address, and one that is a pod's.
    let mut cluster = cluster();
    let wrong = Node {
        addresses: ["10.0.0.1", "10.1.0.5", "10.1.0.6"].map(address).to_vec(),
        ..Node::default()
    };
    cluster.add_node("ada", &wrong);
    add_pod(&mut cluster, "db", "bob", &["10.1.0.5"], OLD);
    // What nobody else claims is left to the local table.
    owners(&cluster, &here(&OWN), &[("10.1.0.5/32", "bob")]);
    owners(&cluster, &here(&["10.0.0.1", "10.1.0.5"]), &[]);
    cluster.settings.host_encryption = false;
    owners(&cluster, &here(&OWN), &[("10.1.0.5/32", "bob")]);
    owners(&cluster, &here(&["10.0.0.1", "10.1.0.5"]), &[]);
}

#[test]
fn a_node_that_is_there_beats_one_that_is_not_then_the_newest_counts_then_the_last_by_name() {
    let with = |pods: &[(&str, &str, &str)]| {
        let mut cluster = cluster();
        for (name, node, created) in pods {
            add_pod(&mut cluster, name, node, &["10.1.0.5"], created);
        }
        cluster
    };
    let nowhere = here(&OWN);
    for (pods, owner, why) in [
        (
            [("x", "bob", OLD), ("y", "zoe", NEW)],
            "bob",
            "there is no such Node as the other",
        ),
        (
            [("x", "bob", NEW), ("y", "eve", OLD)],
            "bob",
            "no other claim is as new",
        ),
        (
            [("x", "bob", ""), ("y", "eve", OLD)],
            "eve",
            "no other claim is as new",
        ),
        (
            [("x", "bob", OLD), ("y", "eve", OLD)],
            "eve",
            "its node's name is the last",
        ),
        (
            [("x", "zed", ""), ("y", "zoe", "")],
            "zoe",
            "its node's name is the last",
        ),
    ] {
        let cluster = with(&pods);
        owners(&cluster, &nowhere, &[("10.1.0.5/32", owner)]);
        let conflicts = conflict_problems(&cluster, &nowhere);
        assert!(
            conflicts[0].contains(owner) && conflicts[0].contains(why),
            "{conflicts:?}"
        );
        assert_eq!(conflicts.len(), 1);
    }
    // Two pods of one node are nobody's business.
    assert_eq!(
        conflict_problems(&with(&[("x", "bob", ""), ("y", "bob", "")]), &nowhere),
        [""; 0]
    );
}

#[test]
fn blocks_are_decided_by_the_same_rule() {
    let mut cluster = cluster();
    cluster.settings.route_source = RouteSource::CalicoIpam;
    cluster.blocks = vec![block("10.1.0.0/26", "ada"), block("10.1.0.0/26", "bob")];
    owners(&cluster, &here(&OWN), &[("10.1.0.0/26", "bob")]);
    assert_eq!(conflict_problems(&cluster, &here(&OWN)).len(), 1);
    // One pod of it is here: the block is.
    owners(
        &cluster,
        &here(&[OWN[0], "10.1.0.5"]),
        &[("10.1.0.0/26", "ada")],
    );
}

#[test]
fn a_claim_inside_of_another_s_block_counts_where_it_is_here_or_borrowed() {
    let mut cluster = cluster();
    cluster.settings.route_source = RouteSource::CalicoIpam;
    cluster.blocks = vec![block("10.1.0.0/24", "bob")];
    let whole = ("10.1.0.0/24", "bob");
    add_pod(&mut cluster, "gone", "ada", &["10.1.0.5"], NEW);
    owners(&cluster, &here(&OWN), &[whole]);
    assert_eq!(
        conflict_problems(&cluster, &here(&OWN)),
        [
            "10.1.0.5 is claimed by WorkloadEndpoint default/gone of ada and by IPAMBlock 10.1.0.0/24 of \
          bob: it counts as bob's (no route of the kernel leads to it on this node), and traffic \
          reaches no other owner; delete the stale resource"
        ]
    );
    let plugged = here(&[OWN[0], "10.1.0.5"]);
    owners(&cluster, &plugged, &[whole, ("10.1.0.5/32", "ada")]);
    assert_eq!(conflict_problems(&cluster, &plugged), [""; 0]);
    // A smaller block of this node's is stale in the same way.
    cluster.blocks.push(block("10.1.0.0/26", "ada"));
    owners(&cluster, &here(&OWN), &[whole]);
    assert_eq!(conflict_problems(&cluster, &here(&OWN)).len(), 1);
    owners(&cluster, &plugged, &[whole, ("10.1.0.0/26", "ada")]);
    // What IPAM says to be borrowed is no conflict, plugged in or not.
    cluster.blocks.truncate(1);
    cluster.blocks[0].borrowed = vec![(address("10.1.0.5"), "ada".into())];
    owners(&cluster, &here(&OWN), &[whole, ("10.1.0.5/32", "ada")]);
    assert_eq!(conflict_problems(&cluster, &here(&OWN)), [""; 0]);
}

#[test]
fn a_node_s_address_in_another_s_block_is_reported() {
    let mut cluster = cluster();
    cluster.settings.route_source = RouteSource::CalicoIpam;
    cluster.blocks = vec![block("10.0.0.0/24", "bob")];
    let conflicts = conflict_problems(&cluster, &here(&OWN));
    assert_eq!(conflicts.len(), 2, "{conflicts:?}");
    assert!(
        conflicts[0]
            .starts_with("10.0.0.1 is claimed by Node ada and by IPAMBlock 10.0.0.0/24 of bob")
    );
    assert!(
        conflicts[1]
            .starts_with("10.0.0.3 is claimed by Node eve and by IPAMBlock 10.0.0.0/24 of bob")
    );
}

#[test]
fn two_nodes_with_one_address_are_reported_and_of_many_conflicts_the_first_ten() {
    let mut cluster = cluster();
    let twin = |created: &str| Node {
        addresses: vec![address("10.0.0.2")],
        created: created.into(),
        ..Node::default()
    };
    cluster.add_node("bold", &twin(""));
    let owner = |cluster: &Cluster| {
        let networks = of(cluster, "ada", Family::V4, &here(&OWN));
        networks
            .owners
            .get(&net("10.0.0.2"))
            .copied()
            .map(str::to_owned)
    };
    assert_eq!(owner(&cluster).as_deref(), Some("bold"));
    let mut bob = twin(OLD);
    bob.created = OLD.into();
    cluster.add_node("bob", &bob);
    assert_eq!(owner(&cluster).as_deref(), Some("bob"));
    assert_eq!(conflict_problems(&cluster, &here(&OWN)).len(), 1);
    cluster.settings.host_encryption = false;
    assert_eq!(owner(&cluster), None);
    assert!(
        conflict_problems(&cluster, &here(&OWN))[0]
            .contains("Node bob and by Node bold: traffic reaches only one of them")
    );
    for last in 0..20 {
        let network = format!("10.1.0.{last}");
        for node in ["bob", "eve"] {
            add_pod(
                &mut cluster,
                &format!("{node}-{last}"),
                node,
                &[&network],
                "",
            );
        }
    }
    let conflicts = conflict_problems(&cluster, &here(&OWN));
    assert_eq!(conflicts.len(), 11);
    assert_eq!(
        conflicts[10],
        "11 more networks are claimed by several nodes"
    );
}

#[test]
fn of_nested_blocks_the_smallest_one_is_reported() {
    let mut cluster = cluster();
    cluster.settings.route_source = RouteSource::CalicoIpam;
    cluster.blocks = vec![block("10.1.0.0/24", "bob"), block("10.1.0.0/26", "eve")];
    add_pod(&mut cluster, "gone", "ada", &["10.1.0.5"], NEW);
    let conflicts = conflict_problems(&cluster, &here(&OWN));
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert!(
        conflicts[0].contains("and by IPAMBlock 10.1.0.0/26 of eve"),
        "{conflicts:?}"
    );
}

#[test]
fn the_reason_is_what_sets_the_owner_apart_from_the_next() {
    let mut cluster = cluster();
    for (name, node, created) in [("1", "ada", NEW), ("2", "bob", OLD), ("3", "eve", NEW)] {
        add_pod(&mut cluster, name, node, &["10.1.0.5"], created);
    }
    let conflicts = conflict_problems(&cluster, &here(&OWN));
    assert!(
        conflicts[0].contains("counts as eve's (no other claim is as new)"),
        "{conflicts:?}"
    );
}

#[test]
fn a_block_without_a_node_holds_pods_unless_it_is_for_load_balancers() {
    let read = |affinity: serde_json::Value| {
        let block = serde_json::json!({
            "kind": "IPAMBlock", "metadata": {"name": "x"},
            "spec": {"cidr": "10.65.1.0/26", "affinity": affinity},
        });
        match crate::intent::resource::read(&block).unwrap().1 {
            crate::intent::resource::Resource::Block(block) => block,
            other => panic!("{other:?}"),
        }
    };
    let mut cluster = cluster();
    cluster.pools = BTreeSet::from([net("10.66.0.0/16")]);
    for (affinity, held) in [
        (
            serde_json::Value::Null,
            &["10.65.1.0/26", "10.66.0.0/16"][..],
        ),
        ("virtual:load-balancer".into(), &["10.66.0.0/16"]),
        ("host:bob".into(), &["10.66.0.0/16"]),
    ] {
        cluster.settings.route_source = RouteSource::CalicoIpam;
        cluster.blocks = vec![read(affinity)];
        let held: BTreeSet<_> = held.iter().map(|text| net(text)).collect();
        assert_eq!(of_pods(&cluster), held);
        cluster.settings.route_source = RouteSource::WorkloadIps;
        assert_eq!(of_pods(&cluster), BTreeSet::new());
    }
}

#[test]
fn a_pod_in_a_block_of_its_node_is_a_claim_where_another_has_its_address() {
    for (cidr, address_of_both) in [("10.65.1.0/26", "10.65.1.5"), ("fd65::/122", "fd65::5")] {
        let family = Family::of_network(net(cidr));
        let mut cluster = cluster();
        cluster.settings.route_source = RouteSource::CalicoIpam;
        cluster.blocks = vec![block(cidr, "ada")];
        add_pod(&mut cluster, "web", "ada", &[address_of_both], "");
        // By itself it needs no network.
        let found = of(&cluster, "ada", family, &LocalRoutes::default());
        assert!(!found.owners.contains_key(&net(address_of_both)));
        assert!(found.conflicts.is_empty());
        let mut bob = cluster.nodes["bob"].clone();
        bob.tunnel_address[family] = Some(address(address_of_both));
        cluster.add_node("bob", &bob);
        let found = of(&cluster, "ada", family, &LocalRoutes::default());
        assert_eq!(found.owners[&net(address_of_both)], "bob");
        let conflict = &found.conflicts[&net(address_of_both)];
        assert!(!conflict.all_may_be_plain(|node, _| node == "bob"));
    }
}

/// A WorkloadEndpoint of an address that IPAM does not give out, as with Azure CNI and the default `routeSource`.
#[test]
fn in_strict_mode_a_pod_that_no_block_covers_counts_as_its_node_s() {
    for (cidr, inside, outside) in [
        ("10.65.1.0/26", "10.65.1.5", "10.224.0.9"),
        ("fd65::/122", "fd65::5", "fd77::9"),
    ] {
        let family = Family::of_network(net(cidr));
        let mut cluster = cluster();
        cluster.settings.route_source = RouteSource::CalicoIpam;
        cluster.blocks = vec![block(cidr, "bob")];
        add_pod(&mut cluster, "in", "bob", &[inside], "");
        add_pod(&mut cluster, "out", "bob", &[outside], "");
        let found = |cluster: &Cluster| -> Vec<_> {
            let networks = of(cluster, "ada", family, &LocalRoutes::default());
            let bob = networks
                .owners
                .into_iter()
                .filter(|(_, node)| *node == "bob");
            let pods = bob.map(|(network, _)| network);
            let hosts = cluster.nodes["bob"].addresses.clone();
            pods.filter(|network| !hosts.contains(&network.addr()))
                .collect()
        };
        let reported = |cluster: &Cluster| -> Vec<_> {
            let outside = outside_blocks(cluster, "ada");
            outside.map(|(network, _)| network).collect()
        };
        assert_eq!(found(&cluster), [net(cidr)]);
        assert_eq!(reported(&cluster), [net(outside)]);
        cluster.settings.strict = Some(crate::intent::settings::Strict::default());
        assert_eq!(
            found(&cluster),
            BTreeSet::from([net(cidr), net(outside)])
                .into_iter()
                .collect::<Vec<_>>()
        );
        // The block goes before the pods that are in it.
        let blocks = std::mem::take(&mut cluster.blocks);
        assert_eq!(
            found(&cluster),
            BTreeSet::from([net(inside), net(outside)])
                .into_iter()
                .collect::<Vec<_>>()
        );
        // An address that is borrowed is covered, and so is what a pool drops.
        cluster.blocks = blocks;
        cluster.blocks[0].borrowed = vec![(address(outside), "eve".into())];
        assert_eq!(reported(&cluster), []);
        cluster.blocks[0].borrowed.clear();
        cluster.pools = BTreeSet::from([net(outside)]);
        assert_eq!(reported(&cluster), []);
        // Without strict mode nothing drops what is in a pool.
        let strict = cluster.settings.strict.take();
        assert_eq!(reported(&cluster), [net(outside)]);
        cluster.settings.strict = strict;
        cluster.pools.clear();
        cluster.settings.route_source = RouteSource::WorkloadIps;
        assert_eq!(reported(&cluster), []);
    }
}
