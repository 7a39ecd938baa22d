//! Counters of a node's dropped and erroneous packets.

use std::collections::BTreeMap;
use std::fs;

use wireproof_model::name::NodeName;
use wireproof_model::plan::Plan;

use crate::base::error::{Doing, LabError};
use crate::cluster::topology::Topology;
use crate::kernel::namespace::Namespace;
use crate::observe::drop_watch::{DropWatch, Reasons};

/// Counters by name.
pub(crate) type Counters = BTreeMap<String, u64>;

/// Those of `/proc/net/netstat` and `/proc/net/snmp` that count dropped packets.
const DROPS: &[&str] = &[
    "TcpExt.IPReversePathFilter",
    "Ip.InAddrErrors",
    "Ip.InDiscards",
    "Ip.OutNoRoutes",
    "Ip.OutDiscards",
    "Ip.FragFails",
    "IpExt.InNoRoutes",
];

/// Reasons for which the lab's own beacons and sockets make the kernel drop packets everywhere.
const EVERYWHERE: &[&str] = &["NO_SOCKET", "NOT_SPECIFIED", "OTHERHOST", "QUEUE_PURGE"];

/// Those of `/proc/net/dev` that count errors, as ip-link(8) calls them, with their columns.
const ERRORS: &[(usize, &str)] = &[
    (2, "rx_errors"),
    (3, "rx_dropped"),
    (5, "rx_frame_errors"),
    (10, "tx_errors"),
    (11, "tx_dropped"),
];

/// Packets that a node dropped and counted; zeroes left out.
pub(crate) fn drops(namespace: &Namespace) -> Result<Counters, LabError> {
    let text = namespace.enter(|| Ok(read("snmp")? + &read("netstat")?))?;
    Ok(dropped(&text))
}

/// The same, the errors of each interface and the kernel's reasons, of every node.
pub(crate) fn of_nodes(
    plan: &Plan,
    topology: &Topology,
    watch: Option<&DropWatch>,
) -> Result<BTreeMap<NodeName, Counters>, LabError> {
    let of_node = |namespace: &Namespace| {
        let (text, devices) =
            namespace.enter(|| Ok((read("snmp")? + &read("netstat")?, read("dev")?)))?;
        let mut counters = dropped(&text);
        counters.extend(errors(&devices));
        if let Some(watch) = watch {
            let reasons = watch.of(namespace)?.into_iter();
            let relevant = reasons.filter(|(name, _)| !EVERYWHERE.contains(&name.as_str()));
            counters.extend(relevant.map(|(name, count)| (format!("reason {name}"), count)));
        }
        Ok(counters)
    };
    let nodes = plan.nodes.iter();
    nodes
        .map(|node| Ok((node.name.clone(), of_node(topology.node(&node.name)?)?)))
        .collect()
}

/// By how much counters moved; zeroes left out.
pub(crate) fn moved(before: &Counters, after: &Counters) -> Counters {
    let moved = after.iter().map(|(name, count)| {
        let earlier = before.get(name).copied().unwrap_or(0);
        (name.clone(), count.saturating_sub(earlier))
    });
    moved.filter(|(_, count)| *count > 0).collect()
}

/// What a namespace has dropped between two moments, by the kernel's reasons, or why nobody knows.
pub(crate) fn reasons_moved(
    before: Result<Reasons, String>,
    after: Result<Reasons, String>,
) -> Result<Reasons, String> {
    Ok(moved(&before?, &after?))
}

/// Call it inside the namespace.
fn read(file: &str) -> Result<String, LabError> {
    fs::read_to_string(format!("/proc/thread-self/net/{file}"))
        .doing(format!("read /proc/net/{file}"))
}

fn dropped(text: &str) -> Counters {
    counters(text)
        .filter(|(name, value)| *value > 0 && DROPS.contains(&name.as_str()))
        .collect()
}

/// The kernel's table of counters: a line of names and a line of values for each group.
fn counters(text: &str) -> impl Iterator<Item = (String, u64)> {
    let lines: Vec<_> = text.lines().collect();
    let pairs: Vec<_> = lines
        .chunks_exact(2)
        .flat_map(|pair| {
            let group = pair[0].split(':').next().unwrap_or_default();
            let names = pair[0].split_whitespace().skip(1);
            let values = pair[1].split_whitespace().skip(1);
            names
                .zip(values)
                .map(|(name, value)| (format!("{group}.{name}"), value.parse().unwrap_or(0)))
                .collect::<Vec<_>>()
        })
        .collect();
    pairs.into_iter()
}

/// The errors of each interface, without zeroes: two lines of headings, and one for each.
fn errors(text: &str) -> Counters {
    let of_line = |line: &str| -> Option<Vec<(String, u64)>> {
        let (name, values) = line.split_once(':')?;
        let values: Vec<u64> = values
            .split_whitespace()
            .map(|value| value.parse().unwrap_or(0))
            .collect();
        let of = |(column, counter): &(usize, &str)| {
            let count = *values.get(*column)?;
            (count > 0).then(|| (format!("{}.{counter}", name.trim()), count))
        };
        Some(ERRORS.iter().filter_map(of).collect())
    };
    text.lines().skip(2).filter_map(of_line).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_group_and_name() {
        let text =
            "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 3 12\nIp: InDiscards\nIp: 4\n";
        let read: BTreeMap<_, _> = counters(text).collect();
        assert_eq!(read["TcpExt.IPReversePathFilter"], 12);
        assert_eq!(read["Ip.InDiscards"], 4);
    }

    #[test]
    fn an_interface_s_errors_have_the_names_of_ip_link() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n\
             wireguard.cali:  10 1 2 0 0 2 0 0  20 3 5 0 0 0 0 0\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n";
        let read: Vec<_> = errors(text).into_iter().collect();
        let expected = [
            ("wireguard.cali.rx_errors", 2),
            ("wireguard.cali.rx_frame_errors", 2),
            ("wireguard.cali.tx_errors", 5),
        ];
        assert_eq!(read, expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn counters_that_did_not_move_are_left_out() {
        let count = |counts: &[(&str, u64)]| -> Counters {
            let counts = counts
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count));
            counts.collect()
        };
        let before = count(&[("a", 3), ("b", 1)]);
        let after = count(&[("a", 3), ("b", 4), ("c", 2)]);
        assert_eq!(moved(&before, &after), count(&[("b", 3), ("c", 2)]));
    }
}
