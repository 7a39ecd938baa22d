//! The plan as text: addresses, and the path that each packet must take.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::count::counted;
use crate::plan::{
    BRIDGE, Class, FabricKind, Family, PairPromise, Plan, Protection, RpFilter, Store,
};

/// What `wireproof plan` prints.
pub fn plan_text(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_plan(&mut text, plan);
    text
}

fn write_plan(text: &mut String, plan: &Plan) -> std::fmt::Result {
    writeln!(text, "{}", plan.title)?;
    writeln!(text, "engine {}", plan.engine)?;
    let fabric = &plan.fabric;
    writeln!(
        text,
        "\nfabric {}{} carries {} bytes, {}; larger packets are {}",
        match fabric.kind {
            FabricKind::Vnet => "",
            FabricKind::Flat => "(one switch) ",
            FabricKind::Routed => "(a router between racks) ",
        },
        fabric.subnet,
        fabric.mtu,
        match fabric.rack {
            None => format!("gateway {}", fabric.gateway),
            Some(length) => format!("racks of /{length}, each with its first address as gateway"),
        },
        fabric.beyond_mtu.describe()
    )?;
    for impairment in &fabric.impairments {
        writeln!(text, "  {}", impairment.describe())?;
    }
    if let Some(nat) = &fabric.nat {
        writeln!(text, "  {} is behind a NAT: {}", nat.node, nat.describe(0))?;
    }
    for need in plan.needs() {
        writeln!(text, "needs {}: {}", need.as_str(), need.purpose())?;
    }
    if let Store::Etcd { address, on } = &plan.store {
        let place = match on {
            Some(node) => format!("on {node}"),
            None => "on a host of its own, which is no node".into(),
        };
        writeln!(text, "store: etcd at {address}, {place}")?;
    }
    for node in &plan.nodes {
        let rp_filter = match node.rp_filter {
            RpFilter::Off => "off",
            RpFilter::Strict => "strict",
            RpFilter::Loose => "loose",
        };
        let wireguard = if node.wireguard {
            ""
        } else {
            ", without WireGuard"
        };
        writeln!(
            text,
            "  node {:<15} {:<15} eth0 mtu {}, rp_filter {rp_filter}{wireguard}",
            node.name, node.address, node.mtu
        )?;
        if let Some(bridge) = node.bridge {
            writeln!(text, "    bridge {BRIDGE} with the subnet {bridge}")?;
        }
        for pod in &node.pods {
            writeln!(
                text,
                "    pod {:<14} {:<15} {}",
                pod.name, pod.address, pod.interface
            )?;
        }
    }
    for client in &plan.clients {
        let (name, address) = (&client.name, client.address);
        writeln!(
            text,
            "  client {name:<13} {address:<15} outside the cluster"
        )?;
    }
    writeln!(text, "\n{}", intent(plan))?;
    if plan.cluster.has_family(Family::Ipv6) {
        let words = plan.cluster.families.iter().map(|family| family.as_str());
        let names: Vec<_> = words.collect();
        let example = Family::Ipv6.address(plan.fabric.gateway);
        writeln!(
            text,
            "speaks {}: the IPv6 addresses follow from those above, as {example} from {}",
            names.join(" and "),
            plan.fabric.gateway
        )?;
    }
    for (number, step) in plan.steps.iter().enumerate() {
        writeln!(text, "step {}: {}", number + 1, step.action.describe())?;
    }
    writeln!(
        text,
        "\n{}, {}:",
        counted(plan.probes.len(), "probe"),
        counted(plan.promises.len(), "promise")
    )?;
    for ((class, protection), promises) in by_kind(plan) {
        writeln!(
            text,
            "  {}, {}: {}\n    {}",
            class.as_str(),
            protection.as_str(),
            counted(promises.len(), "promise"),
            way(plan, class, protection)
        )?;
    }
    Ok(())
}

fn intent(plan: &Plan) -> String {
    let cluster = &plan.cluster;
    let mut words = vec![format!(
        "cluster {}: encryption {}",
        cluster.cluster_type.as_deref().unwrap_or("of no type"),
        if cluster.wireguard { "on" } else { "off" }
    )];
    words.push(format!(
        "host encryption {}",
        if cluster.host_encryption { "on" } else { "off" }
    ));
    // Of two devices, IPv4's: it is the one that keys are about.
    let family = cluster.families.first().copied().unwrap_or_default();
    words.push(format!(
        "{} on port {}",
        cluster.tunnel(family),
        cluster.port(family)
    ));
    let mtu = match family {
        Family::Ipv4 => cluster.mtu,
        Family::Ipv6 => cluster.mtu_of_ipv6(),
    };
    if let Some(mtu) = mtu {
        words.push(format!("mtu {mtu}"));
    }
    if cluster.keepalive > 0 {
        words.push(format!("keepalive {} s", cluster.keepalive));
    }
    words.join(", ")
}

fn by_kind(plan: &Plan) -> BTreeMap<(Class, Protection), Vec<&PairPromise>> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    for promise in &plan.promises {
        kinds
            .entry((promise.class, promise.protection))
            .or_default()
            .push(promise);
    }
    kinds
}

/// The interfaces that a packet of this kind passes, in order.
fn way(plan: &Plan, class: Class, protection: Protection) -> String {
    let family = plan.cluster.families.first().copied();
    let tunnel = &plan.cluster.tunnel(family.unwrap_or_default());
    match (class, protection) {
        (Class::SameHost, Protection::Plaintext) => {
            "pod eth0 > node azv* > node azv* > pod eth0, in clear; never the wire".into()
        }
        (Class::HostToHost, Protection::Encrypted) => format!(
            "{tunnel} > eth0 > wire > eth0 > {tunnel}; on the wire only ciphertext between the nodes"
        ),
        (_, Protection::Encrypted) => format!(
            "azv* > {tunnel} > eth0 > wire > eth0 > {tunnel} > azv*; on the wire only ciphertext between the nodes"
        ),
        (_, Protection::Blocked) => "nowhere; never the wire".into(),
        (_, Protection::Delivered) => "any way that arrives".into(),
        (_, Protection::Plaintext) => {
            format!("eth0 > wire > eth0, in clear; never {tunnel}")
        }
    }
}
