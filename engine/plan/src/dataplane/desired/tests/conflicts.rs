//! Addresses that may be reached in clear where several nodes claim an address.

use super::*;

/// What becomes of a packet of this node to an address that no route of its own leads to.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Encrypted,
    Dropped,
    Plain,
}

fn fate(dataplane: &Dataplane, to: &str) -> Fate {
    let to = net(to);
    let plane = &dataplane.families[Family::of_network(to)];
    let slot = RouteKey {
        table: 1,
        network: to,
    };
    let tunnelled = matches!(plane.routes.get(&slot), Some(Target::Tunnel(_)));
    let peers = plane
        .devices
        .values()
        .flat_map(|device| device.peers.values());
    let mut allowed = peers.flat_map(|peer| &peer.allowed_ips);
    assert_eq!(tunnelled, allowed.any(|network| *network == to), "{to}");
    let within = |set: &str| {
        let mut sets = dataplane.firewall.sets.iter();
        sets.any(|(name, networks)| {
            name.starts_with(set) && networks.iter().any(|n| n.contains(&to))
        })
    };
    match tunnelled {
        true => Fate::Encrypted,
        false if within("protected") && !within("plain") => Fate::Dropped,
        false => Fate::Plain,
    }
}

fn is_plain(dataplane: &Dataplane, to: &str) -> bool {
    fate(dataplane, to) == Fate::Plain
}

/// The reference cluster, which encrypts or drops.
fn strict() -> Cluster {
    let mut cluster = seed();
    cluster.settings.tunnel.v6.enabled = true;
    cluster.settings.strict = Some(Strict::default());
    cluster
}

#[test]
fn a_pod_that_is_long_gone_makes_no_exception_of_another_node_s() {
    let mut cluster = strict();
    let here = plugged(&cluster, "c");
    let both = ["10.240.0.65", "fd00::41"];
    // It names the address of a pod of b, as if it were on c.
    add(&mut cluster, [pod("c", 65)]);
    let (dataplane, conflicts) = seen_with(&cluster, "c", &here);
    assert_eq!(
        both.map(|to| fate(&dataplane, to)),
        [Fate::Encrypted, Fate::Encrypted]
    );
    assert_eq!((conflicts.v4.len(), conflicts.v6.len()), (1, 1));
    assert!(allowed(&dataplane.families.v4, 2).contains(&"10.240.0.65/32".to_owned()));
    // Without encryption to b it is dropped.
    let cluster = with_node(&cluster, "b", &node(64, None));
    let (dataplane, _) = seen_with(&cluster, "c", &here);
    assert_eq!(
        both.map(|to| fate(&dataplane, to)),
        [Fate::Dropped, Fate::Dropped]
    );
    // Nobody else says that it has it: it is not here all the same.
    let mut alone = strict();
    add(&mut alone, [pod("c", 99)]);
    let (dataplane, conflicts) = seen_with(&alone, "c", &here);
    assert_eq!(
        ["10.240.0.99", "fd00::63"].map(|to| is_plain(&dataplane, to)),
        [false; 2]
    );
    assert_eq!(conflicts.v4.len(), 0);
    assert!(is_plain(&dataplane, "10.240.0.34"), "a pod that is on c");
}

#[test]
fn pods_of_a_node_that_is_not_there_stay_protected() {
    let mut cluster = strict();
    add(&mut cluster, [pod("zoe", 99)]);
    for plain in [false, true] {
        let names = plain.then(|| "zoe".to_owned());
        cluster.settings.strict.as_mut().unwrap().plain_nodes = names.into_iter().collect();
        let dataplane = seen_from(&cluster, "c");
        assert_eq!(
            ["10.240.0.99", "fd00::63"].map(|to| fate(&dataplane, to)),
            [Fate::Dropped, Fate::Dropped]
        );
    }
}

#[test]
fn a_plain_node_makes_no_exception_of_what_another_one_claims() {
    let mut cluster = strict();
    cluster.settings.strict.as_mut().unwrap().plain_nodes = BTreeSet::from(["old".into()]);
    // It is said to have the address of b, and one of a's pods.
    let mut old = node(64, None);
    old.addresses.push(address("10.240.0.5"));
    old.addresses.push(address("10.240.0.77"));
    cluster.add_node("old", &old);
    add(&mut cluster, [pod("old", 66), pod("old", 88)]);
    let dataplane = seen_from(&cluster, "c");
    for (to, plain) in [
        ("10.240.0.64", false),
        ("fd00::40", false),
        ("10.240.0.5", false),
        ("10.240.0.66", false),
        ("fd00::42", false),
        ("10.240.0.77", true),
        ("10.240.0.88", true),
        ("fd00::58", true),
    ] {
        assert_eq!(is_plain(&dataplane, to), plain, "{to}");
    }
    // Where hosts speak in clear, all of them are exceptions, and pods are not.
    cluster.settings.host_encryption = false;
    cluster.settings.strict = Some(Strict::default());
    let dataplane = seen_from(&cluster, "c");
    for (to, plain) in [
        ("10.240.0.64", true),
        ("10.240.0.5", false),
        ("10.240.0.77", true),
    ] {
        assert_eq!(is_plain(&dataplane, to), plain, "{to}");
    }
}

#[test]
fn an_address_that_this_node_s_own_resource_claims_is_not_this_node_s() {
    let cluster = strict();
    let here = plugged(&cluster, "c");
    let mut own = node(33, Some(3));
    own.addresses.push(address("10.240.0.64"));
    own.addresses.push(address("fd00::41"));
    let cluster = with_node(&cluster, "c", &own);
    let (dataplane, conflicts) = seen_with(&cluster, "c", &here);
    assert_eq!(
        ["10.240.0.64", "fd00::41"].map(|to| fate(&dataplane, to)),
        [Fate::Encrypted, Fate::Encrypted]
    );
    assert_eq!((conflicts.v4.len(), conflicts.v6.len()), (1, 1));
}

fn exempt(dataplane: &Dataplane, to: &str) -> bool {
    let mut sets = dataplane.firewall.sets.iter();
    sets.any(|(name, networks)| {
        name.starts_with("plain") && networks.iter().any(|one| one.contains(&net(to)))
    })
}

/// The same with a block of that node.
fn with_block(cidr: &str, node: &str, borrowed: &[(&str, &str)]) -> Cluster {
    let mut cluster = strict();
    cluster.settings.route_source = RouteSource::CalicoIpam;
    let borrowed = borrowed.iter();
    cluster.blocks = vec![Block {
        is_virtual: false,
        created: String::new(),
        cidr: net(cidr),
        affinity: Some(node.into()),
        borrowed: borrowed
            .map(|(of, node)| (address(of), (*node).to_owned()))
            .collect(),
    }];
    cluster
}

#[test]
fn an_address_borrowed_by_another_node_is_no_exception_though_a_local_route_leads_to_it() {
    let cluster = with_block("10.65.0.0/26", "c", &[("10.65.0.9", "b")]);
    let here = ["10.65.0.2", "10.65.0.9"].map(|of| (net(of), true));
    let (dataplane, _) = seen_with(&cluster, "c", &here.into_iter().collect());
    assert_eq!(
        ["10.65.0.2", "10.65.0.9"].map(|of| exempt(&dataplane, of)),
        [true, false]
    );
}

#[test]
fn hosts_that_share_an_address_of_another_s_block_make_no_exception_of_it() {
    let mut cluster = with_block("10.65.0.0/26", "b", &[]);
    cluster.settings.host_encryption = false;
    for (name, last) in [("x", 101), ("y", 102)] {
        let mut one = node(last, None);
        one.addresses.push(address("10.65.0.7"));
        cluster.add_node(name, &one);
    }
    let dataplane = seen_from(&cluster, "c");
    assert!(!exempt(&dataplane, "10.65.0.7"));
    assert!(exempt(&dataplane, "10.240.0.101"));
}
