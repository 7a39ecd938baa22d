//! Addresses of phantoms, which nobody else has.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{Plan, planned, refused, resolve};

/// Two nodes, phantoms, and a store of that kind in a subnet of that size.
fn text(store: &str, prefix: u8, bob: u8, (nodes, pods): (u16, u16)) -> String {
    format!(
        "title = \"t\"\nstore = \"{store}\"\n[fabric]\nsubnet = \"10.0.0.0/{prefix}\"\n\
         [node.ada]\naddress = \"10.0.0.4\"\n[node.bob]\naddress = \"10.0.0.{bob}\"\n\
         [phantoms.far]\nnodes = {nodes}\npods = {pods}\n"
    )
}

/// Who is there, and where.
fn there(plan: &Plan) -> Vec<Ipv4Addr> {
    let ends = plan.endpoints().into_iter().map(|end| end.address);
    let store = plan.store_host().map(|host| host.address);
    ends.chain(store).chain([plan.fabric.gateway]).collect()
}

fn phantoms(plan: &Plan) -> Vec<Ipv4Addr> {
    let phantoms = plan.phantoms.iter();
    let pods =
        |one: &crate::plan::Phantom| one.pods().map(|(_, address)| address).collect::<Vec<_>>();
    phantoms
        .flat_map(|one| [vec![one.address], pods(one)].concat())
        .collect()
}

#[test]
fn they_are_beside_an_etcd_as_beside_a_directory() {
    let in_a_directory = planned(&text("dir", 16, 5, (500, 2)));
    assert_eq!(
        in_a_directory.phantoms[499].address.to_string(),
        "10.0.255.252"
    );
    let in_etcd = planned(&text("etcd", 16, 5, (500, 2)));
    // The store's host has the last address, and they have those before it.
    assert_eq!(there(&in_etcd)[2].to_string(), "10.0.255.254");
    assert_eq!(in_etcd.phantoms[499].address.to_string(), "10.0.255.251");
}

#[test]
fn they_are_before_a_node_at_the_end() {
    let plan = planned(&text("dir", 24, 250, (10, 2)));
    assert_eq!(plan.phantoms[9].address.to_string(), "10.0.0.247");
}

#[test]
fn phantoms_may_take_every_free_address_of_the_subnet() {
    // Of 256 addresses the subnet has two, the gateway, the nodes and the store one each; 250 are left.
    let rendered = refused(&text("etcd", 24, 5, (1, 250))).render();
    assert!(
        rendered.contains("phantoms take 251 addresses in a row that nobody has"),
        "{rendered}"
    );
    let plan = planned(&text("etcd", 24, 5, (1, 247)));
    assert_eq!(plan.phantoms[0].address.to_string(), "10.0.0.6");
}

#[test]
fn they_leave_room_for_an_address_that_a_node_gets_later() {
    let later = "[[step]]\naction = \"readdress-node\"\nnode = \"ada\"\naddress = \"10.0.0.250\"\n";
    let plan = planned(&format!("{}{later}", text("dir", 24, 5, (10, 2))));
    assert_eq!(plan.phantoms[9].address.to_string(), "10.0.0.247");
}

proptest! {
    /// They have addresses that are nobody's, wherever everybody is; and are refused only where there is no room.
    #[test]
    fn phantoms_have_addresses_of_their_own(
        etcd in any::<bool>(), bob in 5_u8..63, nodes in 1_u16..20, pods in 0_u16..6,
    ) {
        let store = if etcd { "etcd" } else { "dir" };
        let text = text(store, 26, bob, (nodes, pods));
        let needed = usize::from(nodes) * (usize::from(pods) + 1);
        match resolve(&text) {
            Ok(plan) => {
                let all: Vec<_> = [there(&plan), phantoms(&plan)].concat();
                let distinct: BTreeSet<_> = all.iter().collect();
                prop_assert_eq!(distinct.len(), all.len());
                for address in all {
                    prop_assert!((1..63).contains(&address.octets()[3]), "{}", address);
                }
                prop_assert_eq!(phantoms(&plan).len(), needed);
            }
            Err(_) => {
                // Everybody but they, where they would all fit.
                let without = text.split("[phantoms").next().unwrap_or_default();
                let taken: BTreeSet<_> = there(&planned(without)).iter().map(|one| one.octets()[3]).collect();
                let free = (1..63_u8).map(|last| !taken.contains(&last)).collect::<Vec<_>>();
                prop_assert!(!free.windows(needed).any(|row| row.iter().all(|free| *free)));
            }
        }
    }
}
