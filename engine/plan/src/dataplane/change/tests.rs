//! For random clusters and random edits: changes lead where they should, are never
//! needless, and never leak.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{Fate, apply, fate};
use super::random::{plane, plane_of, pod_identity, v4, v6};
use super::*;
use crate::intent::cluster::Cluster;
use crate::intent::family::PerFamily;
use crate::intent::resource::{Node, Resource, Workload};
use crate::intent::settings::RouteSource;

/// What somebody may have done to a dataplane meanwhile: less of this and of that.
fn tampered() -> impl Strategy<Value = Dataplane> {
    (
        plane(),
        proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    )
        .prop_map(|(mut plane, picks)| {
            for pick in picks {
                let part = &mut plane.families.v4;
                match pick.index(6) {
                    0 => {
                        part.rules.pop_first();
                    }
                    1 => {
                        part.routes.pop_first();
                    }
                    2 => {
                        part.devices.pop_first();
                        part.routes.retain(|_, target| *target == Target::Throw);
                    }
                    3 => {
                        for device in part.devices.values_mut() {
                            device.peers.pop_first();
                            device.up = false;
                        }
                        part.routes.retain(|_, target| *target == Target::Throw);
                    }
                    4 => plane.firewall = Firewall::default(),
                    _ => {
                        for target in part.routes.values_mut().take(1) {
                            *target = Target::Foreign;
                        }
                    }
                }
            }
            plane
        })
}

/// The kernel reports it only where there are peers.
fn settled(mut plane: Dataplane) -> Dataplane {
    for family in Family::ALL {
        for device in plane.families[family].devices.values_mut() {
            device.threaded = None;
        }
    }
    plane
}

/// Undoes nothing that others may rely on, and takes no device its last IPv4 address.
fn goal(actual: &Dataplane, desired: &Dataplane) -> Dataplane {
    let mut goal = Dataplane {
        src_valid_mark: actual.src_valid_mark || desired.src_valid_mark,
        ..settled(desired.clone())
    };
    for (name, device) in &mut goal.families.v4.devices {
        if let Some(before) = actual.families.v4.devices.get(name)
            && device.addresses.is_empty()
        {
            device.addresses.clone_from(&before.addresses);
        }
    }
    goal
}

fn after(changes: &[Change], mut plane: Dataplane) -> Dataplane {
    for change in changes {
        apply(change, &mut plane);
    }
    settled(plane)
}

/// Every address that any cluster here knows.
fn destinations() -> impl Iterator<Item = IpNet> {
    let last = || 1_u8..=255;
    last().map(v4).chain(last().map(v6)).map(IpNet::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changes_lead_to_what_is_desired(actual in tampered(), desired in plane()) {
        let changes = diff(&actual, &desired);
        prop_assert_eq!(after(&changes, actual.clone()), goal(&actual, &desired));
    }

    #[test]
    fn no_change_is_needless(actual in tampered(), desired in plane()) {
        let mut plane = actual;
        for change in diff(&plane, &desired) {
            let before = plane.clone();
            apply(&change, &mut plane);
            prop_assert_ne!(before, plane.clone(), "{}", change);
        }
        prop_assert_eq!(diff(&settled(plane), &desired), vec![]);
    }

    #[test]
    fn any_part_of_the_changes_can_be_taken_up_again(
        actual in tampered(), desired in plane(), cut in any::<prop::sample::Index>(),
    ) {
        let changes = diff(&actual, &desired);
        let done = &changes[..cut.index(changes.len() + 1)];
        let midway = after(done, actual.clone());
        let rest = diff(&midway, &desired);
        prop_assert_eq!(after(&rest, midway), goal(&actual, &desired));
    }

    #[test]
    fn no_part_of_the_changes_opens_a_way_in_clear(before in plane(), desired in plane()) {
        let changes = diff(&before, &desired);
        let end = after(&changes, before.clone());
        let protected: Vec<_> = destinations()
            .filter(|to| fate(&before, *to) != Fate::Plain && fate(&end, *to) != Fate::Plain)
            .collect();
        let mut plane = before;
        for change in &changes {
            apply(change, &mut plane);
            for to in &protected {
                prop_assert_ne!(fate(&plane, *to), Fate::Plain, "{} after {}", to, change);
            }
        }
    }
}

/// A cluster that encrypts, of nodes with these names and numbers.
fn of_nodes(nodes: &[(&str, u8)]) -> Cluster {
    let mut cluster = Cluster::empty();
    for (name, last) in nodes {
        let node = Node {
            endpoint: PerFamily {
                v4: Some(v4(*last)),
                v6: None,
            },
            addresses: vec![v4(*last)],
            public_key: PerFamily {
                v4: Some(PublicKey::from_bytes([*last; 32])),
                v6: None,
            },
            ..Node::default()
        };
        cluster.add_node(name, &node);
    }
    cluster.settings.tunnel.v4.enabled = true;
    cluster.settings.route_source = RouteSource::WorkloadIps;
    cluster
}

#[test]
fn a_renamed_device_s_peers_get_their_endpoints_once_it_has_its_port() {
    let mut cluster = of_nodes(&[("a", 1), ("b", 2)]);
    let mut before = plane_of(&cluster);
    // What is there has been made by this engine.
    for device in before.families.v4.devices.values_mut() {
        device.tagged = true;
        device.has_key = true;
    }
    cluster.settings.tunnel.v4.interface = "wg0".into();
    let changes = diff(&before, &plane_of(&cluster));
    let gone = |change: &Change| matches!(change, Change::DeleteDevice { .. });
    let gone = changes.iter().position(gone).unwrap();
    let Some(Change::Configure(last)) = changes.get(gone + 1) else {
        panic!("{changes:?}")
    };
    let port = last.listen_port.unwrap();
    let endpoints = last.set.iter().map(|(_, change)| change.endpoint);
    let expected = Some(SocketAddr::new(v4(2), port));
    assert_eq!(endpoints.collect::<Vec<_>>(), [expected]);
}

/// A pod that moves is handed over in one message to the device and one batch of routes.
#[test]
fn a_pod_that_moves_is_handed_over_in_one_message() {
    let mut cluster = of_nodes(&[("a", 1), ("b", 2), ("c", 3)]);
    let pod = |node: &str| Workload {
        node: node.into(),
        networks: vec![IpNet::from(v4(30))],
        ..Workload::default()
    };
    cluster.add_workload(&pod_identity(0), &pod("b"));
    let before = plane_of(&cluster);
    let moved = Resource::Workload(pod("c"));
    let resources = BTreeMap::from([(pod_identity(0), moved)]);
    cluster.advance(&BTreeSet::from([pod_identity(0)]), &resources);
    let changes = diff(&before, &plane_of(&cluster));
    let [Change::Configure(configuration)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    let peers: BTreeMap<_, _> = configuration.set.iter().cloned().collect();
    assert_eq!(peers.len(), 2, "{configuration}");
    assert!(configuration.set[0].1.replace, "the loser is told first");
}

#[test]
fn a_roaming_peer_undoes_only_a_change_of_endpoints() {
    let key = PublicKey::from_bytes([1; 32]).unwrap();
    let place = || PeerChange {
        endpoint: Some("10.0.0.2:51833".parse().unwrap()),
        ..PeerChange::default()
    };
    let configure = |peer: PeerChange| Configuration {
        family: Family::V4,
        name: "wireguard.cali".into(),
        fwmark: None,
        listen_port: None,
        remove: BTreeSet::new(),
        set: vec![(key, place()), (key, peer)],
    };
    let is_of_endpoints = |what: Configuration| Change::Configure(what).is_of_endpoints();
    assert!(is_of_endpoints(configure(place())));
    let network = || BTreeSet::from(["10.0.1.0/24".parse().unwrap()]);
    let others: [fn(&mut PeerChange); 3] = [
        |peer| peer.endpoint = None,
        |peer| peer.keepalive = Some(25),
        |peer| peer.replace = true,
    ];
    for other in others {
        let mut peer = place();
        other(&mut peer);
        assert!(!is_of_endpoints(configure(peer)));
    }
    let mut peer = place();
    peer.networks = network();
    assert!(!is_of_endpoints(configure(peer)));
    let others: [fn(&mut Configuration); 3] = [
        |what| what.fwmark = Some(1),
        |what| what.listen_port = Some(51_833),
        |what| what.set.clear(),
    ];
    for other in others {
        let mut what = configure(place());
        other(&mut what);
        assert!(!is_of_endpoints(what));
    }
    let mut gone = configure(place());
    gone.remove.insert(key);
    assert!(!is_of_endpoints(gone));
    assert!(!Change::SetSrcValidMark.is_of_endpoints());
    // The same again, and nothing else.
    let places = [Change::Configure(configure(place()))];
    let mark = [Change::SetSrcValidMark];
    assert!(is_undone_by_peers(&places, &places));
    assert!(!is_undone_by_peers(&[], &places));
    assert!(!is_undone_by_peers(&mark, &mark));
    let both = [places, mark].concat();
    assert!(!is_undone_by_peers(&both, &both));
}

#[test]
fn a_write_repairs_only_what_was_wanted_before() {
    let network: IpNet = "10.240.0.20/32".parse().unwrap();
    let slot = RouteKey { table: 1, network };
    let before = Dataplane::default();
    let mut now = before.clone();
    let sets = [("plain4".to_owned(), [network].into())];
    now.firewall.sets.extend(sets);
    now.families.v4.routes.insert(slot, Target::Throw);
    let routes = |family| Change::SetRoutes {
        family,
        remove: Vec::new(),
        set: vec![(slot, Target::Throw)],
    };
    let firewall = Change::SetFirewall {
        from: before.firewall.clone(),
        to: now.firewall.clone(),
    };
    for (change, follows) in [
        (firewall, true),
        (routes(Family::V4), true),
        (routes(Family::V6), false),
        (Change::SetSrcValidMark, false),
    ] {
        assert_eq!(change.follows(&before, &now), follows, "{change}");
        assert!(!change.follows(&now, &now), "{change}");
    }
}

/// Addresses that are exempt from encrypt or drop where resources contradict each other.
mod exempt;

#[test]
fn routes_left_by_another_engine_are_removed_before_the_rule_that_marks_them() {
    let device = Device {
        has_key: true,
        tagged: true,
        up: true,
        ..Device::default()
    };
    let desired = Dataplane {
        families: PerFamily {
            v4: FamilyDataplane {
                devices: BTreeMap::from([("wg".to_owned(), device)]),
                ..FamilyDataplane::default()
            },
            v6: FamilyDataplane::default(),
        },
        ..Dataplane::default()
    };
    let mut actual = desired.clone();
    let slot = RouteKey {
        table: 9,
        network: v4(7).into(),
    };
    actual.families.v4.routes.insert(slot, Target::Foreign);
    let rule = Rule::for_mark(99, 0x10_0000, 9);
    actual.families.v4.rules.insert(rule.clone());
    let family = Family::V4;
    let changes = diff(&actual, &desired);
    assert_eq!(
        changes,
        [
            Change::RemoveLeftRoutes {
                family,
                routes: vec![slot],
            },
            Change::RemoveRule { family, rule },
        ]
    );
}
