//! Values kept from a resource's last good state while a field cannot be read.
//!
//! A mistake in a resource must not take an address out of what is protected: the claim that was made
//! last stays until the field can be read again, or the resource is deleted.

use std::net::IpAddr;

use crate::intent::family::{Family, PerFamily};

use super::{Block, Information, Lost, Node, Resource, Workload};

impl Resource {
    /// Takes what is `lost` from `before`, which is the same resource as it was known.
    pub fn keep(&mut self, before: &Self, lost: &[Lost]) {
        match (self, before) {
            (Self::Node(now), Self::Node(before)) => keep_node(now, before, lost),
            (Self::Workload(now), Self::Workload(before)) => keep_workload(now, before, lost),
            (Self::Block(now), Self::Block(before)) => keep_block(now, before, lost),
            (Self::Information(now), Self::Information(before)) => {
                keep_information(now, before, lost);
            }
            _ => {}
        }
    }

    /// Takes a Node's addresses from `other`, which is the same Node in another document: one too many is
    /// protected rather than one too few. Of any other resource it takes nothing.
    pub fn take_addresses(&mut self, other: &Self) {
        if let (Self::Node(node), Self::Node(other)) = (self, other) {
            keep_node(node, other, &Family::ALL.map(Lost::Address));
        }
    }

    /// Whether it names addresses of pods, whatever it is called.
    pub fn is_of_pods(&self) -> bool {
        matches!(self, Self::Workload(_) | Self::Pool(_) | Self::Block(_))
    }

    /// Whether it is about the same CIDR as `other`, or about none.
    pub fn has_cidr_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pool(own), Self::Pool(other)) => own == other,
            (Self::Block(own), Self::Block(other)) => own.cidr == other.cidr,
            _ => true,
        }
    }
}

fn keep_node(now: &mut Node, before: &Node, lost: &[Lost]) {
    // They decide which FelixConfigurations are for the node.
    if lost.contains(&Lost::Labels) {
        now.labels.clone_from(&before.labels);
    }
    let is_lost = PerFamily::each(|family| lost.contains(&Lost::Address(family)));
    let keep = |now: &mut Vec<IpAddr>, before: &[IpAddr]| {
        for address in before {
            if is_lost[Family::of(*address)] && !now.contains(address) {
                now.push(*address);
            }
        }
    };
    keep(&mut now.addresses, &before.addresses);
    keep(&mut now.external_addresses, &before.external_addresses);
    keep(&mut now.overlay_addresses, &before.overlay_addresses);
    for family in Family::ALL.into_iter().filter(|family| is_lost[*family]) {
        now.endpoint[family] = now.endpoint[family].or(before.endpoint[family]);
        now.tunnel_address[family] = now.tunnel_address[family].or(before.tunnel_address[family]);
        // What is known is used.
        now.bad_address[family] &= now.endpoint[family].is_none();
    }
}

fn keep_workload(now: &mut Workload, before: &Workload, lost: &[Lost]) {
    if lost.contains(&Lost::Owner) {
        now.node.clone_from(&before.node);
    }
    if lost.contains(&Lost::Network) {
        for network in &before.networks {
            if !now.networks.contains(network) {
                now.networks.push(*network);
            }
        }
    }
}

fn keep_block(now: &mut Block, before: &Block, lost: &[Lost]) {
    if lost.contains(&Lost::Owner) {
        now.affinity.clone_from(&before.affinity);
    }
    if lost.contains(&Lost::Network) {
        for borrowed in &before.borrowed {
            if !now.borrowed.contains(borrowed) {
                now.borrowed.push(borrowed.clone());
            }
        }
    }
}

fn keep_information(now: &mut Information, before: &Information, lost: &[Lost]) {
    if lost.contains(&Lost::ClusterType) {
        now.kind.clone_from(&before.kind);
    }
    if lost.contains(&Lost::Ready) {
        now.ready = before.ready;
    }
}

#[cfg(test)]
mod tests;
