//! Explanations of packets that somebody else's rules or the fabric kept.

use super::*;
use crate::evidence::{OVERSIZED, Place, PlaceDrops, Tally};

/// Why `web > db` broke where a node has such rules besides; `reason` is the kernel's drop reason of what it
/// dropped there.
fn filtered(at: &str, reached: Reached, reason: &str, listing: &str) -> String {
    filtered_in(Family::Ipv4, at, reached, reason, listing, &[])
}

/// The same, in a family, where rules have counted so many packets.
fn filtered_in(
    family: Family,
    at: &str,
    reached: Reached,
    reason: &str,
    listing: &str,
    counts: &[(&str, u64)],
) -> String {
    let spoil = |evidence: &mut Evidence, _: &mut Plan| {
        let name: NodeName = at.parse().unwrap();
        evidence.drops.places.push(PlaceDrops {
            place: Place::Node(name.clone()),
            reasons: [(reason.to_owned(), 3)].into(),
        });
        let node = evidence.nodes.get_mut(&name).unwrap();
        node.dataplane.nftables += &format!("\n{listing}");
        let counts = counts.iter();
        node.rule_counts = counts
            .map(|(rule, count)| ((*rule).to_owned(), *count))
            .collect();
    };
    explained_in(family, "db", reached, spoil).cause
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
fn without_drops_by_rules_no_rule_is_blamed() {
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
fn a_packet_too_large_for_the_fabric_is_explained_with_its_size() {
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

#[test]
fn in_ipv6_the_same_rules_are_named() {
    let cause =
        |at, reached, reason, listing| filtered_in(Family::Ipv6, at, reached, reason, listing, &[]);
    let policy = cause("bob", Reached::Device, "NETFILTER_DROP", INPUT);
    assert_eq!(
        policy,
        "bob drops the tunnel's packets from ada to bob by the policy of chain input of table inet fw, hook input, where no rule accepts it, unless `ct state established,related accept` does (NETFILTER_DROP 3)"
    );
    let by_mark = "table ip6 kubefw {
	chain out {
		type filter hook output priority filter; policy accept;
		meta mark & 0x00100000 == 0x00100000 drop
	}
}";
    let found = cause("ada", Reached::Device, "NETFILTER_DROP", by_mark);
    let words = "ada drops the tunnel's packets from ada to bob by `meta mark & 0x00100000 == 0x00100000 drop` (chain out of table ip6 kubefw, hook output)";
    assert!(found.starts_with(words), "{found}");
    let inside = "table ip6 fw {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname \"wg-v6.cali\" drop
	}
}";
    let found = cause("bob", Reached::Inside, "NETFILTER_DROP", inside);
    let words = "bob drops what web sends db by `iifname \"wg-v6.cali\" drop`";
    assert!(found.starts_with(words), "{found}");
    // Rules of the other family are for others; and without a reverse-path filter a mark matters not.
    let other = by_mark.replace("ip6", "ip");
    let found = cause("ada", Reached::Device, "NETFILTER_DROP", &other);
    assert!(found.starts_with("unknown"), "{found}");
    let overwritten = "table inet guard {
	chain in {
		type filter hook prerouting priority mangle; policy accept;
		meta mark set 0x00000001
	}
}";
    let found = cause("bob", Reached::Device, "OTHERHOST", overwritten);
    assert!(found.starts_with("unknown"), "{found}");
}

const COUNTING: &str = "table inet fw {
	chain input {
		type filter hook input priority filter; policy accept;
		ct state invalid counter drop
		udp dport 51820 counter drop
		udp dport 51821 counter drop
	}
}";

#[test]
fn a_rule_s_own_counter_decides() {
    for (family, port) in [(Family::Ipv4, 51820), (Family::Ipv6, 51821)] {
        let rule = format!("udp dport {port} counter drop");
        let key = format!("inet fw input: {rule}");
        // Whatever the kernel's reasons are: it has them from elsewhere as well.
        let cause = |reason, counts: &[(&str, u64)]| {
            filtered_in(family, "bob", Reached::Device, reason, COUNTING, counts)
        };
        let what = "bob drops the tunnel's packets from ada to bob by";
        let found = cause("OTHERHOST", &[(&key, 12)]);
        let words = format!(
            "{what} `{rule}` (chain input of table inet fw, hook input) (its counter moved by 12)"
        );
        assert_eq!(found, words);
        // It has dropped nothing, and nothing else would.
        let found = cause("NETFILTER_DROP", &[(&key, 0)]);
        assert!(found.starts_with("unknown"), "{found}");
        // One whose match nobody knows is named by its counter alone.
        let invalid = "inet fw input: ct state invalid counter drop";
        let found = cause("NETFILTER_DROP", &[(&key, 0), (invalid, 4)]);
        let words = format!(
            "{what} `ct state invalid counter drop` (chain input of table inet fw, hook input) (its counter moved by 4)"
        );
        assert_eq!(found, words);
        let found = cause("NETFILTER_DROP", &[(&key, 0), (invalid, 0)]);
        assert!(found.starts_with("unknown"), "{found}");
        // What is known to fit goes before what may fit.
        let found = cause("NETFILTER_DROP", &[(&key, 2), (invalid, 4)]);
        assert!(found.contains(&rule), "{found}");
    }
}

#[test]
fn a_foreign_rule_is_not_taken_for_encrypt_or_drop() {
    let foreign = "table inet fw {
	chain forward {
		type filter hook forward priority filter; policy accept;
		udp dport 53 drop
		oifname \"azvapp\" drop
	}
}";
    let strict = "table inet engine {
	set plain4 {
		type ipv4_addr
		elements = { 192.0.2.1 }
	}
	chain out {
		type filter hook postrouting priority filter; policy accept;
		ip daddr @plain4 accept
		counter drop
	}
}";
    let cause = |listing: &str| {
        let spoil = |evidence: &mut Evidence, _: &mut Plan| {
            let ada: NodeName = "ada".parse().unwrap();
            let node = evidence.nodes.get_mut(&ada).unwrap();
            node.dataplane.nftables += &format!("\n{listing}");
        };
        explained_of("app", Reached::Sender, spoil).cause
    };
    let found = cause(foreign);
    let words = "ada drops what web sends app by `oifname \"azvapp\" drop` (chain forward of table inet fw, hook forward)";
    assert!(found.starts_with(words), "{found}");
    let found = cause(strict);
    assert_eq!(
        found,
        "nftables of ada drops what is not encrypted (`counter drop`), and does not list 10.240.0.6 as plain"
    );
}

#[test]
fn a_drop_that_was_counted_while_probes_were_sent_is_one_by_a_rule() {
    let spoil = |evidence: &mut Evidence, _: &mut Plan| {
        let name: NodeName = "bob".parse().unwrap();
        evidence.drops.places.push(PlaceDrops {
            place: Place::Node(name.clone()),
            reasons: [("OTHERHOST".to_owned(), 3)].into(),
        });
        let node = evidence.nodes.get_mut(&name).unwrap();
        node.dataplane.nftables += &format!("\n{INPUT}");
        node.moved.insert("reason NETFILTER_DROP".to_owned(), 2);
    };
    let found = explained_in(Family::Ipv4, "db", Reached::Device, spoil).cause;
    assert!(found.contains("NETFILTER_DROP 2"), "{found}");
}

#[test]
fn a_certain_drop_is_reported_before_a_possible_one_at_an_earlier_node() {
    let spoil = |evidence: &mut Evidence, _: &mut Plan| {
        let output = "table inet fw {
	chain output {
		type filter hook output priority filter; policy accept;
		ct state invalid counter drop
	}
}";
        let sure = "inet fw input: udp dport 51820 counter drop";
        let may = "inet fw output: ct state invalid counter drop";
        for (at, listing, key) in [("ada", output, may), ("bob", COUNTING, sure)] {
            let node = evidence
                .nodes
                .get_mut(&at.parse::<NodeName>().unwrap())
                .unwrap();
            node.dataplane.nftables += &format!("\n{listing}");
            node.rule_counts.insert(key.to_owned(), 4);
        }
    };
    let found = explained_in(Family::Ipv4, "db", Reached::Device, spoil).cause;
    assert!(
        found.starts_with("bob drops the tunnel's packets"),
        "{found}"
    );
}
