//! The NAT in front of a node: rules of the fabric's, by which connections of the node come from
//! other ports, and nobody else's reach it.

use std::fmt::Write;

use wireproof_model::evidence::STRANGERS;
use wireproof_model::plan::Nat;

/// What makes the fabric such a NAT, in place of the one that it was before. Connections are known
/// by zones, and a NAT that forgets goes on in the next: there nobody has a mapping.
pub(super) fn rules(nat: &Nat) -> String {
    let mut rules = String::new();
    // Writing to a string cannot fail.
    let _ = write_rules(&mut rules, nat);
    rules
}

fn write_rules(rules: &mut String, nat: &Nat) -> std::fmt::Result {
    let Nat { node, address, .. } = nat;
    let generation = nat.generation();
    let (zone, ports) = (generation + 1, Nat::ports(generation));
    let chains = [
        ("zones", "filter hook prerouting priority raw"),
        ("translated", "nat hook postrouting priority srcnat"),
        ("strange", "filter hook forward priority filter"),
    ];
    writeln!(rules, "add table ip nat")?;
    for (chain, kind) in chains {
        writeln!(
            rules,
            "add chain ip nat {chain} {{ type {kind}; policy accept; }}\n\
             flush chain ip nat {chain}"
        )?;
    }
    for end in ["saddr", "daddr"] {
        writeln!(
            rules,
            "add rule ip nat zones ip {end} {address} ct zone set {zone}"
        )?;
    }
    if let Some(counter) = nat.counter(generation) {
        writeln!(
            rules,
            "add counter ip nat {counter}\n\
             add rule ip nat translated ip saddr {address} meta l4proto {{ tcp, udp }} \
             counter name {counter} snat to {address}:{}-{}",
            ports.start(),
            ports.end()
        )?;
    }
    writeln!(
        rules,
        "add counter ip nat {STRANGERS}\n\
         add rule ip nat strange oifname \"{node}\" ip daddr {address} ct state new counter name {STRANGERS} drop"
    )
}
