//! `[[mtu]]`: the packet sizes that are sent, and what is promised about them.
//!
//! The largest packet of a pair follows from the links of its way. What goes through a tunnel
//! is padded to 16 bytes, but not beyond the device's MTU, and gets WireGuard's headers
//! (wireguard-linux: `calculate_skb_padding`); the tunnel's own packets are dropped where they
//! are larger than the way, so an MTU that suits the uplink may be too large for what is behind it.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{EndpointName, NodeName};
use crate::plan::{
    Action, BeyondMtu, Bulk, Endpoint, FabricAction, Family, Hop, IPV6_MTU_MIN, MOST_SIZES,
    MtuKind, MtuPlan, MtuPromise, Origin, Plan, PromiseId, Protection, SizeId, SizeProbe, State,
};
use crate::problem::{Lines, Problem, Span, known_names};
use crate::scenario::{MtuTable, Reporter, Scenario};

use super::placement::Placement;

/// A veth lets packets in that are so many bytes larger than its MTU: it leaves room for an 802.1Q tag
/// (Linux: `__is_skb_forwardable`, `VLAN_HLEN`). A node never sends larger ones than its own MTU.
const VETH_SLACK: u16 = 4;

/// WireGuard pads to this many bytes.
const PADDING: u32 = 16;

/// Payload of a transfer in bytes: more than a connection sends before the first answer.
const BULK: u32 = 32 * 1024;

/// Reports promises about nobody, those that are stated twice, and links too small for IPv6.
pub(super) fn check(
    scenario: &Scenario,
    placement: &Placement,
    last: &BTreeSet<EndpointName>,
    problems: &mut Vec<Problem>,
) {
    let mut first = BTreeMap::new();
    for limit in &scenario.limits {
        let ends = (limit.from.get_ref(), limit.to.get_ref());
        if let Some(earlier) = first.insert(ends, &limit.place) {
            let problem = Problem::new(
                format!(
                    "two promises about the sizes from `{}` to `{}`",
                    ends.0, ends.1
                ),
                limit.place.clone(),
                "again here",
                "remove one of the two",
            );
            problems.push(problem.and(earlier.clone(), "first here"));
        }
        for end in [&limit.from, &limit.to] {
            let known = placement
                .endpoints
                .iter()
                .filter(|name| last.contains(name));
            let known: Vec<&str> = known.map(EndpointName::as_str).collect();
            if !last.contains(end.get_ref()) {
                problems.push(Problem::new(
                    format!("unknown endpoint `{}`", end.get_ref()),
                    end.span(),
                    "no such node or pod after the last step",
                    known_names("endpoint", end.get_ref().as_str(), &known),
                ));
            }
        }
        if limit.from.get_ref() == limit.to.get_ref() {
            problems.push(Problem::new(
                format!("`{}` sends nothing to itself", limit.to.get_ref()),
                limit.to.span(),
                "the same as `from`",
                "name two endpoints",
            ));
        }
    }
    for (name, place, mtu) in too_small(scenario) {
        problems.push(Problem::new(
            format!("an MTU of {mtu} bytes is too small for IPv6"),
            place,
            format!("{name} has to carry {IPV6_MTU_MIN} bytes (RFC 8200)"),
            format!("write at least {IPV6_MTU_MIN}, or `families = [\"ipv4\"]`"),
        ));
    }
}

/// Links that are smaller than IPv6 allows, in a cluster that has it.
fn too_small(scenario: &Scenario) -> Vec<(String, Span, u16)> {
    let families = scenario.cluster.families.iter().flatten();
    if !families
        .into_iter()
        .any(|family| *family.get_ref() == Family::Ipv6)
    {
        return Vec::new();
    }
    let nodes = scenario.nodes.iter();
    let link = |name: &dyn std::fmt::Display| format!("the link of `{name}`");
    let nodes = nodes.map(|node| (link(&node.name.get_ref()), node.name.span(), node.mtu));
    let pods = scenario.pods.iter();
    let pods = pods.map(|pod| (link(&pod.name.get_ref()), pod.name.span(), pod.mtu));
    let device = scenario.cluster.mtu.iter();
    let device = device.map(|mtu| {
        (
            "the tunnel device".to_owned(),
            mtu.span(),
            Some(*mtu.get_ref()),
        )
    });
    let wire = scenario.fabric.mtu.iter();
    let wire = wire.map(|mtu| ("the wire".to_owned(), mtu.span(), Some(*mtu.get_ref())));
    let steps = scenario.steps.iter().filter_map(|step| {
        let (whose, mtu) = if let Action::SetMtu { node, mtu } = &step.action {
            (link(node), *mtu)
        } else if let Action::Fabric(FabricAction::SetMtu { mtu }) = &step.action {
            ("the wire".to_owned(), *mtu)
        } else {
            return None;
        };
        Some((whose, step.place("mtu"), Some(mtu)))
    });
    nodes
        .chain(pods)
        .chain(device)
        .chain(wire)
        .chain(steps)
        .filter_map(|(name, place, mtu)| Some((name, place, mtu?)))
        .filter(|(_, _, mtu)| *mtu < IPV6_MTU_MIN)
        .collect()
}

/// Reports more packets than there are ports for.
pub(super) fn crowded(plan: &Plan, written: &[MtuTable]) -> Option<Problem> {
    let (sizes, last) = (plan.limits.sizes.len(), written.last()?);
    (sizes > MOST_SIZES).then(|| {
        Problem::new(
            format!("{sizes} packets whose size is tried are too many"),
            last.place.clone(),
            format!("each has a port of its own, and there are {MOST_SIZES}"),
            "make two scenarios of one",
        )
    })
}

/// What is tried and promised, if the author asks for it.
pub(super) fn limits(plan: &Plan, written: &[MtuTable], lines: &Lines) -> MtuPlan {
    let state = plan.at_last();
    let first = plan.promises.len() + plan.flows.promises.len();
    let mut draft = Draft {
        state: &state,
        limits: MtuPlan::default(),
        next: u32::try_from(first).unwrap_or(u32::MAX),
    };
    if written.is_empty() {
        return draft.limits;
    }
    draft.devices();
    let endpoints = state.endpoints();
    let mut ways = Vec::new();
    for limit in written {
        let end = |name| endpoints.iter().find(|endpoint| &endpoint.name == name);
        let ends = (end(limit.from.get_ref()), end(limit.to.get_ref()));
        let (Some(from), Some(to)) = ends else {
            continue;
        };
        for family in &state.cluster.families {
            let Some(way) = MtuPath::new(&state, from, to, *family) else {
                continue;
            };
            let line = lines.line(limit.place.start);
            if limit.largest.is_some() || limit.reported_by.is_some() || !way.hangs_on_df() {
                draft.sizes(&way, limit, line);
            }
            let bulk = match limit.bulk {
                Some(arrives) => (arrives, Origin::Stated { line }),
                None => (true, Origin::Derived),
            };
            ways.push((way, bulk));
        }
    }
    for (way, (arrives, origin)) in &ways {
        draft.bulk(way, *arrives, *origin);
    }
    let mut seen = BTreeSet::new();
    for (way, _) in &ways {
        if way.tunnel.is_some() && seen.insert((way.family, way.ends())) {
            draft.outer(way);
        }
    }
    draft.limits
}

/// What is between two endpoints.
struct MtuPath<'a> {
    from: &'a Endpoint<'a>,
    to: &'a Endpoint<'a>,
    family: Family,
    /// MTU of the sender's own link.
    own: u16,
    /// MTU of the source node's tunnel device, where the tunnel is the way.
    tunnel: Option<u16>,
    /// The largest packet that is carried between the nodes, in bytes.
    underlay: u16,
    /// What becomes of larger packets there.
    beyond: BeyondMtu,
    /// MTU of the source node's uplink.
    uplink: u16,
    /// MTU of the receiver's own link.
    last: u16,
    same_host: bool,
}

impl<'a> MtuPath<'a> {
    /// None where nothing is promised to arrive.
    fn new(
        state: &State,
        from: &'a Endpoint<'a>,
        to: &'a Endpoint<'a>,
        family: Family,
    ) -> Option<Self> {
        let protection = state.protection(from, to, family)?;
        let same_host = from.node.name == to.node.name;
        let tunnel = match protection {
            Protection::Encrypted => Some(state.tunnel_mtu(from.node, family)),
            Protection::Plaintext => None,
            Protection::Blocked | Protection::Delivered => return None,
        };
        let link = |end: &Endpoint<'_>| end.pod.map(|pod| pod.mtu);
        let outwards = tunnel.unwrap_or(match same_host {
            true => u16::MAX,
            false => from.node.mtu,
        });
        Some(Self {
            from,
            to,
            family,
            own: link(from).unwrap_or(outwards),
            tunnel,
            underlay: (from.node.mtu)
                .min(state.fabric.mtu)
                .min(to.node.mtu.saturating_add(VETH_SLACK)),
            beyond: state.fabric.beyond_mtu,
            uplink: from.node.mtu,
            last: link(to).unwrap_or(u16::MAX),
            same_host,
        })
    }

    fn ends(&self) -> (&'a NodeName, &'a NodeName) {
        (&self.from.node.name, &self.to.node.name)
    }

    /// Whether an unfragmented packet of that size arrives; if not, the hop that reports it.
    fn fate(&self, size: u32) -> Option<Hop> {
        let node = || Hop::Node(self.from.node.name.clone());
        if size > self.own.into() {
            return Some(Hop::Sender);
        }
        if self.same_host {
            // The node forwards between two pods, or the sender's own kernel sends to the pod.
            let hop = if self.from.pod.is_some() {
                node()
            } else {
                Hop::Sender
            };
            return (size > self.last.into()).then_some(hop);
        }
        match self.tunnel {
            Some(mtu) if size > mtu.into() => Some(node()),
            Some(mtu) if !self.fits(self.outer(size, mtu)) => Some(Hop::Nobody),
            None if size > self.uplink.into() => Some(node()),
            None if size > self.underlay.into() => Some(match self.beyond {
                BeyondMtu::Fragment => Hop::Fabric,
                BeyondMtu::Drop | BeyondMtu::Swallow => Hop::Nobody,
            }),
            // The other node says so; a promise about that hop would need another `Hop`.
            _ if size > self.last.into() => Some(Hop::Node(self.to.node.name.clone())),
            _ => None,
        }
    }

    /// Bytes of the packet that carries one of that size.
    fn outer(&self, size: u32, mtu: u16) -> u32 {
        let padded = size.next_multiple_of(PADDING).min(u32::from(mtu).max(size));
        padded + u32::from(self.family.wireguard_overhead())
    }

    /// Whether a packet of the tunnel reaches the other node. A node fragments its own ones where they are
    /// larger than its uplink, or than the path MTU it has learnt; so does a router those without DF.
    fn fits(&self, outer: u32) -> bool {
        self.beyond == BeyondMtu::Fragment || outer.min(self.uplink.into()) <= self.underlay.into()
    }

    /// Whether it depends on the tunnel's DF bit what becomes of packets that are too large: a router
    /// whose answers are lost fragments those without it, as kernel WireGuard sends them, and drops
    /// the others without a word, as sockets send them (ip(7), `IP_MTU_DISCOVER`).
    fn hangs_on_df(&self) -> bool {
        let fits = |mtu: u16| self.fits(self.outer(mtu.into(), mtu));
        self.beyond == BeyondMtu::Swallow && self.tunnel.is_some_and(|mtu| !fits(mtu))
    }

    /// The largest packet that arrives unfragmented.
    fn largest(&self) -> u32 {
        let most = self.own.min(self.last);
        (0..=u32::from(most))
            .rev()
            .find(|size| self.fate(*size).is_none())
            .unwrap_or_default()
    }
}

struct Draft<'a> {
    state: &'a State,
    limits: MtuPlan,
    next: u32,
}

impl Draft<'_> {
    fn promise(&mut self, family: Family, kind: MtuKind, origin: Origin) {
        self.limits.promises.push(MtuPromise {
            id: PromiseId(self.next),
            family,
            kind,
            origin,
        });
        self.next = self.next.saturating_add(1);
    }

    /// Every node that encrypts has a device of the right MTU.
    fn devices(&mut self) {
        let state = self.state;
        for family in &state.cluster.families {
            for node in &state.nodes {
                if state.encrypting.contains(&node.name) {
                    let kind = MtuKind::Device {
                        node: node.name.clone(),
                        mtu: state.tunnel_mtu(node, *family),
                    };
                    self.promise(*family, kind, Origin::Derived);
                }
            }
        }
    }

    fn size(&mut self, way: &MtuPath<'_>, size: u32, dont_fragment: bool) -> SizeId {
        let id = SizeId(u16::try_from(self.limits.sizes.len()).unwrap_or(u16::MAX));
        self.limits.sizes.push(SizeProbe {
            id,
            from: way.from.name.clone(),
            to: way.to.name.clone(),
            family: way.family,
            size,
            dont_fragment,
        });
        id
    }

    fn sizes(&mut self, way: &MtuPath<'_>, written: &MtuTable, line: u32) {
        let largest = written.largest.map_or_else(|| way.largest(), u32::from);
        let origin = match (written.largest, written.reported_by) {
            (None, None) => Origin::Derived,
            _ => Origin::Stated { line },
        };
        let around = [largest - 1, largest, largest + 1];
        let [below, at, above] = around.map(|size| self.size(way, size, true));
        let encrypted = way.tunnel.is_some();
        let kind = MtuKind::Largest {
            below,
            at,
            above,
            encrypted,
        };
        self.promise(way.family, kind, origin);
        let reported_by = match written.reported_by {
            Some(Reporter::Sender) => Hop::Sender,
            Some(Reporter::Node) => Hop::Node(way.from.node.name.clone()),
            Some(Reporter::Fabric) => Hop::Fabric,
            Some(Reporter::Nobody) => Hop::Nobody,
            None => way.fate(largest + 1).unwrap_or(Hop::Nobody),
        };
        // What is lost without a word is lost whether it may be fragmented or not.
        let whole = match reported_by {
            Hop::Nobody => &around[..2],
            Hop::Sender | Hop::Node(_) | Hop::Fabric => &around[..],
        };
        let kind = MtuKind::TooLarge {
            above,
            mtu: largest,
            reported_by,
        };
        self.promise(way.family, kind, origin);
        let sizes = whole
            .iter()
            .map(|size| self.size(way, *size, false))
            .collect();
        self.promise(way.family, MtuKind::Fragmented { sizes }, origin);
    }

    /// Users need large transfers to get through, so that is promised on every way. Where they do not, a
    /// scenario has to state so.
    fn bulk(&mut self, way: &MtuPath<'_>, arrives: bool, origin: Origin) {
        let number = self.limits.sizes.len() + self.limits.bulks.len();
        let id = SizeId(u16::try_from(number).unwrap_or(u16::MAX));
        self.limits.bulks.push(Bulk {
            id,
            from: way.from.name.clone(),
            to: way.to.name.clone(),
            family: way.family,
            bytes: BULK,
        });
        let kind = MtuKind::Bulk { bulk: id, arrives };
        self.promise(way.family, kind, origin);
    }

    /// Where the device suits the way, none of the tunnel's packets is too large for it.
    fn outer(&mut self, way: &MtuPath<'_>) {
        let Some(mtu) = way.tunnel else {
            return;
        };
        let largest = u32::from(mtu) + u32::from(way.family.wireguard_overhead());
        let fragments = largest > way.uplink.into();
        if !fragments && largest > way.underlay.into() {
            return;
        }
        let (from, to) = way.ends();
        let kind = MtuKind::Outer {
            from: from.clone(),
            to: to.clone(),
            mtu: way.underlay,
            fragments,
        };
        self.promise(way.family, kind, Origin::Derived);
    }
}
