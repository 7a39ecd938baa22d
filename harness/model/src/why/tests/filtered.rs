//! Explanations of packets that somebody else's rules or the fabric kept.

use super::*;
use crate::evidence::{OVERSIZED, Place, PlaceDrops, Tally};

/// Why `web > db` broke where a node has such rules besides; `reason` is what the kernel says of
/// what it dropped there.
fn filtered(at: &str, reached: Reached, reason: &str, listing: &str) -> String {
    let spoil = |evidence: &mut Evidence, _: &mut Plan| {
        let name: NodeName = at.parse().unwrap();
        evidence.drops.places.push(PlaceDrops {
            place: Place::Node(name.clone()),
            reasons: [(reason.to_owned(), 3)].into(),
        });
        let node = evidence.nodes.get_mut(&name).unwrap();
        node.dataplane.nftables += &format!("\n{listing}");
    };
    explained_of("db", reached, spoil).cause
}

const INPUT: &str = "table inet fw {
	chain input {
		type filter hook input priority filter; policy drop;
		iif \"lo\" accept
		ct state established,related accept
	}
}";

#[test]
fn the_policy_of_a_foreign_chain_is_named_with_its_hook() {
    let cause = filtered("bob", Reached::Device, "NETFILTER_DROP", INPUT);
    assert_eq!(
        cause,
        "bob drops the tunnel's packets from ada to bob by the policy of chain input of table inet fw, hook input, where no rule accepts it, unless `ct state established,related accept` does (NETFILTER_DROP 3)"
    );
}

#[test]
fn what_the_kernel_did_not_drop_by_a_rule_is_blamed_on_none() {
    let cause = filtered("bob", Reached::Device, "OTHERHOST", INPUT);
    assert!(cause.starts_with("unknown"), "{cause}");
}

#[test]
fn a_rule_that_drops_the_tunnel_s_mark_is_named() {
    let listing = "table inet kubefw {
	chain out {
		type filter hook output priority filter; policy accept;
		meta mark & 0x00100000 == 0x00100000 drop
	}
}";
    let cause = filtered("ada", Reached::Device, "NETFILTER_DROP", listing);
    let words = "ada drops the tunnel's packets from ada to bob by `meta mark & 0x00100000 == 0x00100000 drop` (chain out of table inet kubefw, hook output)";
    assert!(cause.starts_with(words), "{cause}");
}

#[test]
fn a_rule_that_drops_what_comes_out_of_the_tunnel_is_named() {
    let listing = "table ip fw {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname \"wireguard.cali\" drop
	}
}";
    let cause = filtered("bob", Reached::Inside, "NETFILTER_DROP", listing);
    let words = "bob drops what web sends db by `iifname \"wireguard.cali\" drop`";
    assert!(cause.starts_with(words), "{cause}");
}

#[test]
fn a_rule_that_overwrites_the_mark_is_named() {
    let listing = "table inet guard {
	chain in {
		type filter hook prerouting priority mangle; policy accept;
		meta mark set 0x00000001
	}
}";
    let cause = filtered("bob", Reached::Device, "IP_RPFILTER", listing);
    assert_eq!(
        cause,
        "`meta mark set 0x00000001` (chain in of table inet guard) on bob overwrites the mark of what comes in: its strict reverse-path filter drops what comes from ada"
    );
}

#[test]
fn what_the_fabric_does_not_carry_is_named_with_its_size() {
    let cause = |dropped, mtu| {
        let spoil = |evidence: &mut Evidence, plan: &mut Plan| {
            plan.fabric.mtu = mtu;
            evidence.wire.push(Tally {
                name: OVERSIZED.into(),
                packets: dropped,
                bytes: 6_000,
            });
        };
        explained_of("db", Reached::Inside, spoil).cause
    };
    assert_eq!(
        cause(4, 1400),
        "packets of 1500 bytes are too large for the fabric between ada and bob, which carries 1400 (4 were dropped; wireguard.cali carries 1440 and adds 60; a device of 1340 fits)"
    );
    // None was dropped, or this one was not too large.
    assert!(cause(0, 1400).starts_with("unknown"));
    assert!(cause(4, 1500).starts_with("unknown"));
}
