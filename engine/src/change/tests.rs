//! For random dataplanes: changes lead where they should, are never needless, and never leak.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;

use super::*;

fn network() -> impl Strategy<Value = Ipv4Net> {
    (0_u8..12).prop_map(|last| Ipv4Net::from(Ipv4Addr::new(10, 0, 0, last)))
}

fn peer() -> impl Strategy<Value = Peer> {
    let networks = proptest::collection::btree_set(network(), 0..4);
    (0_u8..4, networks, 0_u16..2).prop_map(|(host, allowed_ips, keepalive)| Peer {
        endpoint: Some(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, host), 51820)),
        allowed_ips,
        keepalive,
    })
}

fn device() -> impl Strategy<Value = Device> {
    let peers = proptest::collection::btree_map(
        (1_u8..5).prop_map(|byte| PublicKey::from_bytes([byte; 32]).unwrap()),
        peer(),
        0..4,
    );
    let addresses = proptest::collection::btree_set(network(), 0..2);
    (
        1300_u32..1303,
        any::<bool>(),
        addresses,
        1_u16..3,
        0_u32..2,
        peers,
    )
        .prop_map(|(mtu, up, addresses, listen_port, fwmark, peers)| Device {
            name: "wg".into(),
            has_key: true,
            mtu,
            up,
            addresses,
            listen_port,
            fwmark,
            peers,
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    (98_u32..101, any::<bool>(), 1_u32..3).prop_map(|(priority, not, mark)| Rule {
        priority,
        not,
        mark,
        mask: mark,
        table: 1,
        foreign: false,
    })
}

fn mark() -> impl Strategy<Value = IncomingMark> {
    (1_u32..3).prop_map(|mark| IncomingMark {
        mark,
        interfaces: BTreeSet::from(["lo".into()]),
        prefixes: BTreeSet::new(),
    })
}

fn targets(found: Vec<Target>) -> impl Strategy<Value = BTreeMap<Ipv4Net, Target>> {
    proptest::collection::btree_map(network(), proptest::sample::select(found), 0..8)
}

fn actual() -> impl Strategy<Value = Dataplane> {
    (
        proptest::option::of(device()),
        targets(vec![Target::Throw, Target::Tunnel, Target::Foreign]),
        proptest::collection::btree_set(rule(), 0..3),
        proptest::option::of(mark()),
        any::<bool>(),
    )
        .prop_map(
            |(device, routes, rules, incoming_mark, src_valid_mark)| Dataplane {
                device,
                routes,
                rules,
                incoming_mark,
                src_valid_mark,
            },
        )
}

fn desired() -> impl Strategy<Value = Dataplane> {
    let encrypting = (
        device(),
        targets(vec![Target::Throw, Target::Tunnel]),
        rule(),
        proptest::option::of(mark()),
    )
        .prop_map(|(mut device, routes, rule, incoming_mark)| {
            device.up = true;
            Dataplane {
                device: Some(device),
                routes,
                rules: BTreeSet::from([rule]),
                src_valid_mark: incoming_mark.is_some(),
                incoming_mark,
            }
        });
    prop_oneof![9 => encrypting, 1 => Just(Dataplane::default())]
}

/// What the kernel would do.
fn apply(plane: &mut Dataplane, change: &Change) {
    let mut edit = |edit: &dyn Fn(&mut Device)| edit(plane.device.as_mut().expect("a device"));
    match change.clone() {
        Change::SetSrcValidMark => plane.src_valid_mark = true,
        Change::SetIncomingMark(mark) => plane.incoming_mark = Some(mark),
        Change::RemoveIncomingMark => plane.incoming_mark = None,
        Change::CreateDevice { name } => {
            assert!(plane.device.is_none());
            plane.device = Some(Device {
                name,
                has_key: false,
                mtu: 1500,
                up: false,
                addresses: BTreeSet::new(),
                listen_port: 0,
                fwmark: 0,
                peers: BTreeMap::new(),
            });
        }
        Change::GenerateKey { .. } => edit(&|device| device.has_key = true),
        Change::SetListenPort { port, .. } => edit(&|device| device.listen_port = port),
        Change::SetFwmark { mark, .. } => edit(&|device| device.fwmark = mark),
        Change::SetMtu { mtu, .. } => edit(&|device| device.mtu = mtu),
        Change::SetPeer { key, peer, .. } => {
            edit(&|device| drop(device.peers.insert(key, peer.clone())));
        }
        Change::RemovePeer { key, .. } => edit(&|device| drop(device.peers.remove(&key))),
        Change::AddAddress { address, .. } => {
            edit(&|device| assert!(device.addresses.insert(address)))
        }
        Change::RemoveAddress { address, .. } => {
            edit(&|device| assert!(device.addresses.remove(&address)));
        }
        Change::SwitchOn { .. } => edit(&|device| device.up = true),
        Change::SetRoute { network, target } => drop(plane.routes.insert(network, target)),
        Change::RemoveRoute { network } => drop(plane.routes.remove(&network)),
        Change::AddRule(rule) => assert!(plane.rules.insert(rule)),
        Change::RemoveRule(rule) => assert!(plane.rules.remove(&rule)),
        Change::DeleteDevice { .. } => plane.device = None,
    }
}

/// Whether a packet to `network` goes into the tunnel, or nowhere.
fn protected(plane: &Dataplane, network: &Ipv4Net) -> bool {
    !plane.rules.is_empty() && plane.routes.get(network) == Some(&Target::Tunnel)
}

proptest! {
    #[test]
    fn the_changes_lead_to_what_is_desired(from in actual(), to in desired()) {
        let mut plane = from;
        for change in diff(&plane.clone(), &to) {
            apply(&mut plane, &change);
        }
        // Never undone.
        plane.src_valid_mark = to.src_valid_mark;
        prop_assert_eq!(plane, to);
    }

    #[test]
    fn nothing_is_written_when_nothing_changed(to in desired()) {
        prop_assert_eq!(diff(&to, &to), []);
    }

    #[test]
    fn after_any_prefix_a_fresh_look_still_leads_there(from in actual(), to in desired(), cut: prop::sample::Index) {
        let mut plane = from;
        let changes = diff(&plane, &to);
        for change in &changes[..cut.index(changes.len() + 1)] {
            apply(&mut plane, change);
        }
        for change in diff(&plane.clone(), &to) {
            apply(&mut plane, &change);
        }
        prop_assert_eq!(diff(&plane, &to), []);
    }

    #[test]
    fn what_is_protected_before_and_after_is_protected_throughout(from in actual(), to in desired()) {
        let mut plane = from.clone();
        for change in diff(&from, &to) {
            apply(&mut plane, &change);
            for network in from.routes.keys().filter(|n| protected(&from, n) && protected(&to, n)) {
                prop_assert!(protected(&plane, network), "{network} after `{change}`");
            }
        }
    }

    #[test]
    fn the_rule_comes_after_all_it_leads_to(to in desired()) {
        let changes = diff(&Dataplane::default(), &to);
        let rule = changes.iter().position(|change| matches!(change, Change::AddRule(_)));
        prop_assert_eq!(rule, changes.len().checked_sub(1).filter(|_| to.device.is_some()));
    }
}
