//! The values that Calico's Felix gives to a node's dataplane, computed from the plan (Felix: `wireguard.go`,
//! `config_params.go`). Engines that claim them are held to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde_json::Value;

use crate::name::{IfName, NodeName};

use super::{Change, Family, Node, Plan, RouteSource, State, StoreAction};

/// Calico's default (`WireguardRoutingRulePriority`).
const PRIORITY: u32 = 99;

/// Calico's default (`IptablesMarkMask`).
const MARK_MASK: u32 = 0xffff_0000;

/// Calico's default (`RouteTableRanges`).
const TABLES: RangeInclusive<u32> = 1..=250;

/// Which bit of the mask is WireGuard's, counted from the lowest: those before are for accept, pass and two
/// scratch bits (Felix up to 3.29).
const WIREGUARD_BIT: usize = 4;

/// What a node's dataplane must be like in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalicoValues {
    /// The tunnel device's name.
    pub device: IfName,
    /// Its MTU in bytes.
    pub mtu: u16,
    /// Its UDP port.
    pub port: u16,
    /// The mark of its packets; the rule's mark and mask too.
    pub mark: u32,
    /// The rule's priority.
    pub priority: u32,
    /// The routing tables that it may use; the first one that is free is used.
    pub tables: Vec<RangeInclusive<u32>>,
    /// Seconds between keepalives; none is off.
    pub keepalive: Option<u16>,
    /// Its peers; none where somebody else writes to the store or to the device besides what the plan says.
    pub peers: Option<BTreeMap<NodeName, CalicoPeer>>,
}

/// What one of the device's peers must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalicoPeer {
    /// Where its packets are sent to; none where it may be known to send from elsewhere.
    pub endpoint: Option<SocketAddr>,
    /// The networks that are routed to it.
    pub allowed_ips: BTreeSet<IpNet>,
    /// Its public key in base64, where the plan decides it.
    pub key: Option<String>,
}

impl Plan {
    /// The values of a node at the end of the run; none if none follow: no agent keeps them, or something in the
    /// plan changes them on purpose.
    pub fn calico_values(&self, node: &NodeName, family: Family) -> Option<CalicoValues> {
        let state = self.at_last();
        let own = state.nodes.iter().find(|known| known.name == *node)?;
        let follows = self.calico_values
            && state.cluster.has_family(family)
            && !state.cluster.leaves_out(family)
            && state.reachable
            && state.unclear.is_empty()
            && state.unlisted.is_empty()
            && state.agents.contains(node)
            && state.encrypting.contains(node)
            && !self.garbage().contains(&Some(node))
            // Calico lets a node differ; which of its fields count then is the engine's to say.
            && own.settings.fields.keys().all(|field| field == "wireguardEnabled" || field == "wireguardEnabledV6")
            && self.keepalive(&state).is_some();
        follows.then(|| self.values_of(&state, own, family))
    }

    fn values_of(&self, state: &State, own: &Node, family: Family) -> CalicoValues {
        let setting = |field: &str| state.cluster.settings.fields.get(field);
        let number = |field: &str| u32::try_from(setting(field)?.as_u64()?).ok();
        let mask = number("iptablesMarkMask").unwrap_or(MARK_MASK);
        let others = state.nodes.iter().filter(|node| {
            node.name != own.name && !node.external && state.encrypting.contains(&node.name)
        });
        let peer = |node: &Node| {
            let roams = state
                .fabric
                .nat
                .as_ref()
                .is_some_and(|nat| nat.node == node.name);
            let address = family.address(node.address);
            let endpoint = SocketAddr::new(address, state.cluster.port(family));
            let peer = CalicoPeer {
                endpoint: (!roams).then_some(endpoint),
                allowed_ips: networks(state, node, family),
                key: None,
            };
            (node.name.clone(), peer)
        };
        let mut peers: BTreeMap<_, _> = others.map(peer).collect();
        for phantom in &self.phantoms {
            let host = state.cluster.host_encryption.then_some(phantom.address);
            let pods = phantom.pods().map(|(_, address)| address);
            let addresses = host.into_iter().chain(pods);
            let endpoint =
                SocketAddr::new(family.address(phantom.address), state.cluster.port(family));
            let peer = CalicoPeer {
                endpoint: Some(endpoint),
                allowed_ips: addresses
                    .map(|address| family.address(address).into())
                    .collect(),
                key: Some(phantom.public_key(family)),
            };
            peers.insert(phantom.name.clone(), peer);
        }
        let is_closed = self.garbage().is_empty() && !self.tampers_with(&own.name);
        CalicoValues {
            device: state.cluster.tunnel(family),
            mtu: state.tunnel_mtu(own, family),
            port: state.cluster.port(family),
            mark: bit(mask),
            priority: number("wireguardRoutingRulePriority").unwrap_or(PRIORITY),
            tables: setting("routeTableRanges")
                .map(ranges)
                .filter(|ranges| !ranges.is_empty())
                .unwrap_or_else(|| vec![TABLES]),
            keepalive: self.keepalive(state).filter(|seconds| *seconds > 0),
            peers: is_closed.then_some(peers),
        }
    }

    /// Seconds between keepalives, 0 for none; none if the setting is no number of whole seconds.
    fn keepalive(&self, state: &State) -> Option<u16> {
        match state.cluster.settings.fields.get("wireguardKeepAlive") {
            None => Some(state.cluster.keepalive),
            Some(set) => seconds(set.as_str()?),
        }
    }

    /// What is garbage in the store at the end: in the place of which node's resource, or none of a resource of its
    /// own.
    fn garbage(&self) -> BTreeSet<Option<&NodeName>> {
        let mut garbage = BTreeSet::new();
        for step in &self.steps {
            let Change::Store(action) = step.action.change() else {
                continue;
            };
            if let StoreAction::Garbage { node, .. } = action {
                garbage.insert(node.as_ref());
            } else if *action == StoreAction::Repair {
                garbage.clear();
            }
        }
        garbage
    }

    /// Whether a step changes a node's dataplane behind the engine's back.
    pub(crate) fn tampers_with(&self, node: &NodeName) -> bool {
        let mut changes = self.steps.iter().map(|step| step.action.change());
        changes
            .any(|change| matches!(change, Change::Dataplane { node: there, .. } if there == node))
    }
}

/// The networks of a node: its own address where hosts are encrypted, its tunnel's, and its pods' addresses, by
/// blocks where there are blocks.
fn networks(state: &State, node: &Node, family: Family) -> BTreeSet<IpNet> {
    let host = state.cluster.host_encryption.then_some(node.address);
    let set = state.cluster.settings.fields.get("routeSource");
    let source = set
        .and_then(Value::as_str)
        .map_or(state.cluster.route_source, |set| {
            let all = [RouteSource::WorkloadIps, RouteSource::CalicoIpam].into_iter();
            let mut named = all.filter(|source| source.calico() == set);
            named.next().unwrap_or_default()
        });
    let blocks = match source {
        RouteSource::WorkloadIps => [].as_slice(),
        RouteSource::CalicoIpam => node.blocks.as_slice(),
    };
    let outside = node.pods.iter().map(|pod| pod.address);
    let outside = outside.filter(|address| !blocks.iter().any(|block| block.contains(address)));
    let addresses = host.into_iter().chain(node.tunnel_address).chain(outside);
    let addresses = addresses.map(|address| IpNet::from(family.address(address)));
    let blocks = blocks.iter().map(|block| family.network(*block));
    addresses.chain(blocks).collect()
}

/// A duration as Go writes it, such as `1m30s`, in seconds; none if it is none or too long.
fn seconds(text: &str) -> Option<u16> {
    let mut sum: u16 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let factor = match unit.chars().next()? {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let part = number.parse::<u16>().ok()?.checked_mul(factor)?;
        sum = sum.checked_add(part)?;
        rest = unit.get(1..)?;
    }
    Some(sum)
}

/// WireGuard's bit of a mask; 0 if it has none.
fn bit(mask: u32) -> u32 {
    let bits = (0..u32::BITS).map(|bit| 1 << bit);
    bits.filter(|bit| mask & bit != 0)
        .nth(WIREGUARD_BIT)
        .unwrap_or_default()
}

/// `routeTableRanges`: a list of `min` and `max`.
fn ranges(value: &Value) -> Vec<RangeInclusive<u32>> {
    let end = |range: &Value, name: &str| u32::try_from(range[name].as_u64()?).ok();
    let ranges = value.as_array().into_iter().flatten();
    ranges
        .filter_map(|range| Some(end(range, "min")?..=end(range, "max")?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_the_fifth_bit_of_the_mask() {
        assert_eq!(bit(MARK_MASK), 0x10_0000);
        assert_eq!(bit(0xffff_8000), 0x8_0000);
        assert_eq!(bit(0xf), 0);
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let read = ["25s", "1m30s", "1h", "0s", "", "25", "5ms", "90000s"].map(seconds);
        let expected = [
            Some(25),
            Some(90),
            Some(3600),
            Some(0),
            Some(0),
            None,
            None,
            None,
        ];
        assert_eq!(read, expected);
    }
}
