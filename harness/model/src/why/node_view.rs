//! A node's dataplane, as the packets of a leg find it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::ruleset::{Ruleset, Table};
use crate::dataplane::{Dataplane, Link, LinkKind, Peer, Route, RouteKind, Rule, WireGuard};
use crate::evidence::{DropEvidence, Evidence, NodeEvidence};
use crate::name::IfName;
use crate::plan::{Family, Node, Plan, Pod};

/// What every node calls its own interface.
pub(crate) const UPLINK: &str = "eth0";

/// A node with what was seen of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeView<'a> {
    pub(super) plan: &'a Plan,
    pub(super) node: &'a Node,
    pub(super) family: Family,
    pub(super) seen: Option<&'a NodeEvidence>,
    /// What the kernel dropped, and why.
    pub(super) drops: &'a DropEvidence,
}

/// Where incoming packets get a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// IP packets, before they are routed.
    Ip,
    /// ARP.
    Arp,
}

impl<'a> NodeView<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        evidence: &'a Evidence,
        node: &'a Node,
        family: Family,
    ) -> Self {
        Self {
            plan,
            node,
            family,
            seen: evidence.nodes.get(&node.name),
            drops: &evidence.drops,
        }
    }

    fn plane(&self) -> Option<&'a Dataplane> {
        self.seen.map(|seen| &seen.dataplane)
    }

    pub(super) fn name(&self) -> &'a str {
        self.node.name.as_str()
    }

    /// Whether its rules were seen: every kernel has some. Nobody looks at clients outside.
    pub(super) fn was_seen(&self) -> bool {
        !self.rules().is_empty()
    }

    pub(super) fn address(&self) -> IpAddr {
        self.family.address(self.node.address)
    }

    pub(super) fn tunnel(&self) -> IfName {
        self.plan.cluster.tunnel(self.family)
    }

    /// The interface that packets of a pod come in by.
    pub(super) fn link_of(&self, pod: &Pod) -> IfName {
        let bridge = self.node.bridge.and_then(|_| {
            let links = self.plane()?.links.iter();
            links.clone().find(|link| link.kind == LinkKind::Bridge)
        });
        bridge.map_or_else(|| pod.interface.clone(), |link| link.name.clone())
    }

    pub(super) fn link(&self, name: &IfName) -> Option<&'a Link> {
        self.plane()?.links.iter().find(|link| link.name == *name)
    }

    /// The interface that has an address.
    pub(super) fn interface_with(&self, address: IpAddr) -> Option<&'a IfName> {
        let mut all = self.plane().into_iter().flat_map(|plane| &plane.addresses);
        let has = all.find(|has| has.address.addr() == address)?;
        Some(&has.interface)
    }

    /// The tunnel device as WireGuard sees it.
    pub(super) fn device(&self) -> Option<&'a WireGuard> {
        let tunnel = self.tunnel();
        let mut devices = self.devices().iter();
        devices.find(|device| device.interface == tunnel)
    }

    /// Every WireGuard device of the node.
    pub(super) fn devices(&self) -> &'a [WireGuard] {
        self.plane().map_or(&[], |plane| &plane.wireguard)
    }

    /// The addresses of an interface.
    pub(super) fn addresses(&self, name: &IfName) -> impl Iterator<Item = IpAddr> {
        let all = self.plane().into_iter().flat_map(|plane| &plane.addresses);
        let of_it = all.filter(move |address| address.interface == *name);
        let addresses = of_it.map(|address| address.address.addr());
        addresses.filter(|address| Family::of(*address) == self.family)
    }

    pub(super) fn published(&self) -> Option<&'a String> {
        match self.family {
            Family::Ipv4 => self.seen?.published_key.as_ref(),
            Family::Ipv6 => self.seen?.published_key6.as_ref(),
        }
    }

    /// The mark that packets pass by the tunnel with: the device's, else that of a rule.
    pub(super) fn mark(&self) -> Option<u32> {
        let of_device = self.device().map(|device| device.fwmark);
        let mut of_rules = self.rules().iter().filter_map(|rule| rule.fwmark);
        let of_device = of_device.filter(|mark| *mark != 0);
        of_device.or_else(|| of_rules.next().map(|(mark, _)| mark))
    }

    pub(super) fn rules(&self) -> &'a [Rule] {
        let Some(plane) = self.plane() else {
            return &[];
        };
        match self.family {
            Family::Ipv4 => &plane.rules,
            Family::Ipv6 => &plane.rules6,
        }
    }

    pub(super) fn routes(&self, table: u32) -> impl Iterator<Item = &'a Route> {
        let family = self.family;
        let all = self.plane().into_iter().flat_map(|plane| &plane.routes);
        all.filter(move |route| {
            route.table == table && Family::of(route.destination.addr()) == family
        })
    }

    /// The narrowest route of a table to `to`.
    pub(super) fn best(&self, table: u32, to: IpAddr) -> Option<&'a Route> {
        let to = IpNet::from(to);
        self.routes(table)
            .filter(|route| route.destination.contains(&to))
            .max_by_key(|route| {
                (
                    route.destination.prefix_len(),
                    std::cmp::Reverse(route.metric),
                )
            })
    }

    /// The tables of rules that let go what has a mark, and those that lead into the tunnel.
    pub(super) fn own_tables(&self) -> Vec<u32> {
        let tunnel = self.tunnel();
        let ruled = self.rules().iter().filter(|rule| rule.fwmark.is_some());
        let ruled = ruled.filter_map(|rule| rule.table);
        let all = self.plane().into_iter().flat_map(|plane| &plane.routes);
        let leading = all.filter(|route| {
            route.interface.as_ref() == Some(&tunnel)
                && route.kind == RouteKind::Unicast
                && Family::of(route.destination.addr()) == self.family
        });
        let mut tables: Vec<_> = ruled.chain(leading.map(|route| route.table)).collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// The rule by which a packet with that mark gets to a table.
    pub(super) fn rule_to(&self, table: u32, mark: u32) -> Option<&'a Rule> {
        let matching = self.rules().iter().filter(|rule| takes(rule, mark));
        matching
            .filter(|rule| rule.table == Some(table))
            .min_by_key(|rule| rule.priority)
    }

    /// The rule and the route that decide about a packet (fib_rules.c: a throw and a table
    /// without a route let the next rule decide).
    pub(super) fn decide(&self, to: IpAddr, mark: u32) -> Option<(&'a Rule, &'a Route)> {
        let mut rules: Vec<_> = self.rules().iter().collect();
        rules.sort_by_key(|rule| rule.priority);
        rules
            .into_iter()
            .filter(|rule| takes(rule, mark))
            .find_map(|rule| {
                let route = self.best(rule.table?, to)?;
                (route.kind != RouteKind::Throw).then_some((rule, route))
            })
    }

    /// Whether a packet with that mark goes into the tunnel.
    pub(super) fn tunnels(&self, to: IpAddr, mark: u32) -> bool {
        let tunnel = self.tunnel();
        let decided = self.decide(to, mark);
        decided.is_some_and(|(_, route)| route.interface.as_ref() == Some(&tunnel))
    }

    /// The peer that has that key.
    pub(super) fn peer(&self, key: &str) -> Option<&'a Peer> {
        let mut peers = self.device()?.peers.iter();
        peers.find(|peer| peer.public_key == key)
    }

    /// The peer whose allowed IPs a packet to or from that address belongs to, and the network.
    pub(super) fn allowed(&self, address: IpAddr) -> Option<(&'a Peer, IpNet)> {
        let address = IpNet::from(address);
        let peers = self.device()?.peers.iter();
        peers
            .flat_map(|peer| peer.allowed_ips.iter().map(move |network| (peer, *network)))
            .filter(|(_, network)| network.contains(&address))
            .max_by_key(|(_, network)| network.prefix_len())
    }

    pub(super) fn sysctl(&self, name: &str) -> Option<u32> {
        let value = self.plane()?.sysctls.get(name)?;
        value.parse().ok()
    }

    /// Whether its uplink checks the reverse path strictly (ip-sysctl: the larger of the two counts).
    pub(super) fn is_strict(&self) -> bool {
        let of = |name: &str| self.sysctl(&format!("net.ipv4.conf.{name}.rp_filter"));
        self.family == Family::Ipv4 && of("all").max(of(UPLINK)) == Some(1)
    }

    /// Whether that check looks at marks.
    pub(super) fn minds_marks(&self) -> bool {
        let of = |name: &str| self.sysctl(&format!("net.ipv4.conf.{name}.src_valid_mark"));
        of("all").max(of(UPLINK)) == Some(1)
    }

    /// Whether a rule of nftables gives incoming packets a mark.
    pub(super) fn sets(&self, marks: Marks) -> bool {
        let ruleset = self.plane().map_or("", |plane| plane.nftables.as_str());
        ruleset.split("table ").any(|table| {
            let right = match (marks, self.family) {
                (Marks::Arp, _) => table.starts_with("arp "),
                (Marks::Ip, Family::Ipv4) => table.starts_with("inet ") || table.starts_with("ip "),
                (Marks::Ip, Family::Ipv6) => {
                    table.starts_with("inet ") || table.starts_with("ip6 ")
                }
            };
            let hook = match marks {
                Marks::Arp => "hook input",
                Marks::Ip => "hook prerouting",
            };
            let mut chains = table.split("chain ");
            right && chains.any(|chain| chain.contains(hook) && chain.contains("meta mark set"))
        })
    }

    /// The first rule that drops something, of a table that lists what may be in clear. Another
    /// table is somebody's firewall.
    pub(super) fn strict_rule(&self) -> Option<String> {
        let ruleset = Ruleset::parse(&self.plane()?.nftables);
        let lists = |table: &&Table| !table.destinations("accept").is_empty();
        let mut tables = ruleset.tables.iter().filter(lists);
        tables.find_map(|table| table.drop_rules().next().cloned())
    }

    /// The first rule of nftables that has these words.
    pub(super) fn nft_rule(&self, words: &str) -> Option<&'a str> {
        let mut lines = self.plane()?.nftables.lines().map(str::trim);
        lines.find(|line| line.split_whitespace().any(|word| word == words))
    }
}

/// Whether a rule is for packets with that mark. One with a selector that the lab knows no
/// field for is not.
fn takes(rule: &Rule, mark: u32) -> bool {
    let fits = rule
        .fwmark
        .is_none_or(|(value, mask)| mark & mask == value & mask);
    rule.other.is_empty() && (fits != rule.not)
}
