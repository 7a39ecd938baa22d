//! Impairments of the fabric, and their counters.
//!
//! A packet that comes in is seen at its port before any of this befalls it, and one that goes
//! out only afterwards.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;
use wireproof_model::evidence::{ANSWERED, OVERSIZED, SWALLOWED, Tally};
use wireproof_model::name::NodeName;
use wireproof_model::plan::{
    BeyondMtu, Fabric, FabricKind, Impairment, ImpairmentKind, Node, STORE_HOST, WireDirection,
};

use crate::base::error::{Doing, LabError};
use crate::base::program::program;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Delay, Netlink};

use super::{HARNESS_MAC, nat, nft};

/// How much of a burst is let through before a rate counts, in kilobytes.
const BURST_KILOBYTES: u16 = 16;

/// Sets the plan's impairments of the fabric, in place of those before. Counters go on.
pub(super) fn set(fabric: &Namespace, plan: &Fabric) -> Result<(), LabError> {
    let nat = plan.nat.as_ref().map(nat::rules).unwrap_or_default();
    fabric.enter(|| nft(&(rules(plan) + &nat)))
}

/// How often each thing happened that the fabric does to packets.
pub(crate) fn tallies(fabric: &Namespace) -> Result<Vec<Tally>, LabError> {
    let doing = "read the fabric's counters";
    let output = fabric.enter(|| {
        let mut list = program("nft");
        list.args(["--json", "list", "counters"])
            .output()
            .doing(doing)
    })?;
    let listed: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| LabError::machine(doing, String::from_utf8_lossy(&output.stderr).trim()))?;
    let counters = listed["nftables"].as_array().into_iter().flatten();
    let tally = |counter: &Value| {
        let counter = counter.get("counter")?;
        Some(Tally {
            name: counter["name"].as_str()?.to_owned(),
            packets: counter["packets"].as_u64()?,
            bytes: counter["bytes"].as_u64()?,
        })
    };
    let mut tallies: Vec<_> = counters.filter_map(tally).collect();
    tallies.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(tallies)
}

/// Drops whatever comes from or goes to these nodes, and nobody else's. On a switch frames pass
/// the hooks of bridges, and no others.
pub(super) fn cut_off(
    fabric: &Namespace,
    kind: FabricKind,
    apart: &BTreeSet<NodeName>,
) -> Result<(), LabError> {
    let (family, _) = family(kind);
    let ports: Vec<_> = apart.iter().map(|name| format!("\"{name}\"")).collect();
    let mut rules = format!("table {family} apart {{}}\ndelete table {family} apart\n");
    if !ports.is_empty() {
        let ports = ports.join(", ");
        rules += &format!(
            "table {family} apart {{\n\
             chain from {{ type filter hook prerouting priority -310; iifname {{ {ports} }} drop; }}\n\
             chain to {{ type filter hook postrouting priority 310; oifname {{ {ports} }} drop; }}\n\
             }}\n"
        );
    }
    fabric.enter(|| nft(&rules))
}

/// The family of the table, and what singles out packets that a fabric is for: on a switch
/// neither ARP nor the harness's own frames.
fn family(kind: FabricKind) -> (&'static str, String) {
    match kind {
        FabricKind::Vnet | FabricKind::Routed => ("inet", String::new()),
        FabricKind::Flat => {
            let mac: Vec<_> = HARNESS_MAC
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let mac = mac.join(":");
            (
                "bridge",
                format!("ether type {{ ip, ip6 }} ether saddr != {mac} "),
            )
        }
    }
}

fn rules(plan: &Fabric) -> String {
    let (family, packets) = family(plan.kind);
    let mut rules = String::new();
    // Writing to a string cannot fail.
    let _ = write_rules(&mut rules, plan, family, &packets);
    rules
}

fn write_rules(rules: &mut String, plan: &Fabric, family: &str, packets: &str) -> std::fmt::Result {
    let table = format!("{family} fabric");
    writeln!(rules, "add table {table}")?;
    for (chain, hook, priority) in [("from", "prerouting", -300), ("to", "postrouting", 300)] {
        writeln!(
            rules,
            "add chain {table} {chain} {{ type filter hook {hook} priority {priority}; policy accept; }}\n\
             flush chain {table} {chain}"
        )?;
    }
    for impairment in &plan.impairments {
        let counter = impairment.counter();
        writeln!(rules, "add counter {table} {counter}")?;
        for (chain, ports) in ports(impairment) {
            let (which, verdict) = rule_of(impairment.kind);
            writeln!(
                rules,
                "add rule {table} {chain} {ports} {packets}{which} counter name {counter}{verdict}"
            )?;
        }
    }
    let beyond = match plan.beyond_mtu {
        BeyondMtu::Drop => " drop",
        BeyondMtu::Fragment | BeyondMtu::Swallow => "",
    };
    writeln!(
        rules,
        "add counter {table} {OVERSIZED}\n\
         add rule {table} from {packets}meta length > {} counter name {OVERSIZED}{beyond}",
        plan.mtu
    )?;
    if plan.beyond_mtu.is_routers() {
        let (counter, verdict) = match plan.beyond_mtu {
            BeyondMtu::Swallow => (SWALLOWED, " drop"),
            BeyondMtu::Drop | BeyondMtu::Fragment => (ANSWERED, ""),
        };
        writeln!(
            rules,
            "add counter {table} {counter}\n\
             add chain {table} errors {{ type filter hook output priority 0; policy accept; }}\n\
             flush chain {table} errors\n\
             add rule {table} errors icmp type destination-unreachable icmp code frag-needed counter name {counter}{verdict}\n\
             add rule {table} errors icmpv6 type packet-too-big counter name {counter}{verdict}"
        )?;
    }
    Ok(())
}

/// The chains that an impairment's packets pass, and the ports that distinguish them from others. What is
/// everybody's is met where it comes in, and so only once.
fn ports(impairment: &Impairment) -> Vec<(&'static str, String)> {
    let Some(node) = &impairment.node else {
        return vec![("from", format!("iifname != {{ \"lo\", \"{STORE_HOST}\" }}"))];
    };
    let from = ("from", format!("iifname \"{node}\""));
    let to = ("to", format!("oifname \"{node}\""));
    match impairment.way {
        WireDirection::Both => vec![from, to],
        WireDirection::From => vec![from],
        WireDirection::To => vec![to],
    }
}

/// Which of the packets, and what the rule does to them.
fn rule_of(kind: ImpairmentKind) -> (String, &'static str) {
    match kind {
        ImpairmentKind::Loss { percent } => (format!("numgen random mod 100 < {percent}"), " drop"),
        ImpairmentKind::EveryNth { nth } => {
            let last = nth.saturating_sub(1);
            (format!("numgen inc mod {nth} == {last}"), " drop")
        }
        ImpairmentKind::Rate { kilobytes } => {
            let rate =
                format!("limit rate over {kilobytes} kbytes/second burst {BURST_KILOBYTES} kbytes");
            (rate, " drop")
        }
        // The port's queue does it.
        ImpairmentKind::Delay { .. } => (String::new(), ""),
    }
}

/// Gives the ports of nodes the plan's delays, where they had others.
pub(super) fn slow_down(
    fabric_net: &Netlink,
    nodes: &[Node],
    before: &Fabric,
    after: &Fabric,
) -> Result<(), LabError> {
    for node in nodes {
        let (old, new) = (delay(before, &node.name), delay(after, &node.name));
        if old == new {
            continue;
        }
        let port = fabric_net.index(node.name.as_str())?;
        match new {
            Some(delay) => fabric_net.delay(port, delay)?,
            None => fabric_net.delay_no_more(port)?,
        }
    }
    Ok(())
}

/// The last delay of what a node is sent.
pub(super) fn delay(plan: &Fabric, node: &NodeName) -> Option<Delay> {
    let mut impairments = plan.impairments.iter().rev();
    impairments.find_map(|impairment| match impairment.kind {
        ImpairmentKind::Delay {
            millis,
            jitter,
            reorder,
        } if impairment.node.as_ref().is_none_or(|of| of == node) => Some(Delay {
            millis,
            jitter,
            reorder,
        }),
        ImpairmentKind::Delay { .. }
        | ImpairmentKind::Loss { .. }
        | ImpairmentKind::EveryNth { .. }
        | ImpairmentKind::Rate { .. } => None,
    })
}
