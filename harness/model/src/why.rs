//! Explanations: what in the nodes' dataplanes is wrong for a pair whose promise was broken.
//!
//! Packets show where a journey ended; a node's dataplane shows why. For the leg that did not come through,
//! everything is looked at that its packets need, in the order of their way: the sender's rules and routes, its
//! device and peers, what the receiver takes from the wire, what its device accepts, and the rest of the way.
//! What the packets have provably passed is not the cause.

/// A node's dataplane, as the packets of a leg find it.
mod node_view;

/// Defects of the lab's links: those that carry nothing any more.
mod link;

/// Defects of a node's tunnel device.
mod device;

/// Evaluation of a node's nftables for one packet.
mod firewall;

/// Packets of a leg that nftables drop.
mod filtered;

/// Defects of legs that are ciphertext between the nodes.
mod tunnel;

/// Defects of legs that are plaintext, or must not arrive.
mod clear;

/// Defects of MTUs: packets that are too large for a link.
mod size;

/// Explanations of spoofed packets that were accepted.
mod spoofed;

use std::net::IpAddr;

use crate::evidence::{Answer, Evidence, Lookup};
use crate::name::IfName;
use crate::plan::{Endpoint, Family, Plan, Protection};
use crate::verdict::{Explanation, Reached, Stopped};

use node_view::NodeView;
pub(crate) use node_view::UPLINK;
pub(crate) use size::of_size;
pub(crate) use spoofed::of_spoofed;

/// Causes that are reported of one promise; more would be a list of everything.
const MAX_CAUSES: usize = 3;

/// A broken promise about a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BrokenPair<'a> {
    /// The cluster after its last step.
    pub(crate) plan: &'a Plan,
    pub(crate) evidence: &'a Evidence,
    pub(crate) from: &'a Endpoint<'a>,
    pub(crate) to: &'a Endpoint<'a>,
    /// Source and destination of the request.
    pub(crate) addresses: (IpAddr, IpAddr),
    pub(crate) protection: Protection,
    /// Whether the author states it, and not the cluster's intent.
    pub(crate) stated: bool,
    /// How far the packets came; none if what they did is not about a way.
    pub(crate) stopped: Option<Stopped>,
    /// Bytes of the probe's payload; none if no probe shows what is wrong.
    pub(crate) payload: Option<u16>,
}

/// A packet at the node that decides about it.
struct Packet<'a> {
    site: NodeView<'a>,
    source: Option<IpAddr>,
    destination: IpAddr,
    input: Option<IfName>,
    mark: u32,
}

/// The part of a way that a defect is in, in the order of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The sender's rules and routes.
    Route,
    /// The sender's device and peers.
    Encrypt,
    /// What is between the nodes.
    Wire,
    /// What the receiver takes from the wire.
    Accept,
    /// What the receiver's device accepts.
    Decrypt,
    /// From there to the receiving endpoint.
    Deliver,
    /// Any of them.
    Anywhere,
}

/// Something that is not as a leg needs it.
struct Defect<'a> {
    stage: Stage,
    /// In one sentence, without a full stop.
    text: String,
    /// The packet that shows it, if a lookup does.
    packet: Option<Packet<'a>>,
    /// The rule and route that had to decide, if they are what is wrong.
    expected: Option<String>,
}

/// What a leg is between.
struct Leg<'a> {
    question: BrokenPair<'a>,
    family: Family,
    from: &'a Endpoint<'a>,
    to: &'a Endpoint<'a>,
    sender: NodeView<'a>,
    receiver: NodeView<'a>,
    source: IpAddr,
    destination: IpAddr,
}

impl<'a> BrokenPair<'a> {
    fn leg(self, answer: bool) -> Leg<'a> {
        let (one, other) = self.addresses;
        let (from, to, source, destination) = match answer {
            false => (self.from, self.to, one, other),
            true => (self.to, self.from, other, one),
        };
        let family = Family::of(source);
        let site =
            |end: &'a Endpoint<'a>| NodeView::new(self.plan, self.evidence, end.node, family);
        Leg {
            question: self,
            family,
            from,
            to,
            sender: site(from),
            receiver: site(to),
            source,
            destination,
        }
    }
}

/// Why a promise about a pair was broken; none if nobody looked at its nodes.
pub(crate) fn explain(question: BrokenPair<'_>, fact: &str) -> Option<Explanation> {
    let answer = question.stopped.is_some_and(|stopped| stopped.answer);
    let legs = [question.leg(answer), question.leg(!answer)];
    if !legs.iter().any(|leg| leg.sender.was_seen()) {
        return None;
    }
    let reached = question.stopped.map(|stopped| stopped.reached);
    // Nothing passes a link that carries nothing, whatever else is wrong.
    let without_link = link::defects(&legs[0], reached);
    if !without_link.is_empty() {
        return Some(explanation(&legs[0], without_link, fact));
    }
    let defects = |leg| {
        let leg: &Leg<'_> = leg;
        let seen = leg.sender.was_seen() && leg.receiver.was_seen();
        let mut found = match question.protection {
            Protection::Encrypted if !seen => Vec::new(),
            Protection::Encrypted => tunnel::defects(leg),
            Protection::Plaintext | Protection::Blocked | Protection::Delivered => {
                clear::defects(leg)
            }
        };
        let may_stop =
            |defect: &Defect<'_>| reached.is_none_or(|reached| may_stop(defect.stage, reached));
        found.retain(may_stop);
        // Only where the engine did its part somebody else's rules are looked at.
        if found.iter().all(|defect| defect.stage == Stage::Anywhere) {
            found.extend(filtered::defects(leg).into_iter().filter(may_stop));
        }
        found
    };
    let mut found = defects(&legs[0]);
    // A handshake needs both ways; so does what is not about a way.
    let both = reached.is_none_or(|reached| reached == Reached::Device);
    if both || found.is_empty() {
        found.extend(defects(&legs[1]));
    }
    // What a device is like matters where nothing on the way is wrong.
    if found.iter().any(|defect| defect.stage != Stage::Anywhere) {
        found.retain(|defect| defect.stage != Stage::Anywhere);
    }
    Some(explanation(&legs[0], found, fact))
}

/// Why a promise was broken by a packet of a flow, which the last step may have sent on its way:
/// what the nodes were like then was not looked at.
pub(crate) fn of_flow(fact: &str) -> Explanation {
    Explanation {
        stopped_at: fact.to_owned(),
        lookup: None,
        won: None,
        expected: None,
        moved: Vec::new(),
        cause: "unknown: the packet is a flow's, and was on its way since the last step".into(),
    }
}

/// Whether a defect of that part of the way can have kept a packet where it was.
fn may_stop(stage: Stage, reached: Reached) -> bool {
    if stage == Stage::Anywhere {
        return true;
    }
    match reached {
        Reached::Sender | Reached::Elsewhere => stage == Stage::Route,
        Reached::Device => {
            matches!(stage, Stage::Encrypt | Stage::Wire | Stage::Accept)
            // Without a peer for the other side, no handshake is answered.
            || stage == Stage::Decrypt
        }
        Reached::Wire => matches!(stage, Stage::Wire | Stage::Accept),
        Reached::Receiver => matches!(stage, Stage::Accept | Stage::Decrypt | Stage::Deliver),
        Reached::Inside => matches!(stage, Stage::Deliver),
    }
}

fn explanation(leg: &Leg<'_>, found: Vec<Defect<'_>>, fact: &str) -> Explanation {
    let mut causes = Vec::<String>::new();
    for defect in &found {
        if !causes.contains(&defect.text) && causes.len() < MAX_CAUSES {
            causes.push(defect.text.clone());
        }
    }
    let cause = match causes.is_empty() {
        false => causes.join("; and "),
        true => format!(
            "unknown: the dataplanes of {} and {} have what the pair needs",
            leg.question.from.node.name, leg.question.to.node.name
        ),
    };
    let mut found = found.into_iter();
    let (shown, expected) = match found.find(|defect| defect.packet.is_some()) {
        Some(defect) => (defect.packet, defect.expected),
        None => (None, None),
    };
    let packet = shown.unwrap_or_else(|| leg.packet());
    let asked = packet.asked();
    Explanation {
        stopped_at: fact.to_owned(),
        lookup: asked.map(|asked| lookup(&packet.site, asked)),
        won: packet.won(asked),
        expected,
        moved: moved(leg),
        cause,
    }
}

/// `node-4: 10.240.0.65 from 10.240.0.5 in by azvpod-5 mark 0: 10.240.0.65 dev wireguard.cali, table 1`.
fn lookup(site: &NodeView<'_>, asked: &Lookup) -> String {
    let mut text = format!("on {}: to {}", site.node.name, asked.destination);
    if let Some(source) = asked.source {
        text += &format!(" from {source}");
    }
    if let Some(input) = &asked.input {
        text += &format!(" in by {input}");
    }
    text += &match asked.mark {
        0 => " without mark".to_owned(),
        mark => format!(" mark {mark:#x}"),
    };
    match &asked.answer {
        Answer::Route(route) => {
            let table = crate::dataplane::table(route.table);
            text + &format!(" → {}, table {table}", crate::dataplane::route(route))
        }
        Answer::Refused(error) => text + &format!(" → refused: {error}"),
    }
}

/// `node-64: TcpExt.IPReversePathFilter +12`.
fn moved(leg: &Leg<'_>) -> Vec<String> {
    let mut sites = vec![leg.sender, leg.receiver];
    sites.dedup_by_key(|site| &site.node.name);
    let of_site = |site: NodeView<'_>| -> Vec<String> {
        let name = &site.node.name;
        let counters = site.seen.into_iter().flat_map(|seen| &seen.moved);
        counters
            .map(|(counter, count)| format!("{name}: {counter} +{count}"))
            .collect()
    };
    sites.into_iter().flat_map(of_site).collect()
}

impl<'a> Leg<'a> {
    /// Its packet, where the sender's node decides about it.
    fn packet(&self) -> Packet<'a> {
        Packet {
            site: self.sender,
            source: self.from.pod.map(|_| self.source),
            destination: self.destination,
            input: self.from.pod.map(|pod| self.sender.link_of(pod)),
            mark: 0,
        }
    }
}

impl<'a> Packet<'a> {
    /// The kernel's answer about it.
    fn asked(&self) -> Option<&'a Lookup> {
        let all = self.site.seen?.lookups.iter();
        all.clone().find(|asked| {
            (asked.source, asked.destination, asked.mark)
                == (self.source, self.destination, self.mark)
                && asked.input == self.input
        })
    }

    /// The rule and the route that decide about it: the kernel's, or by the node's tables.
    fn won(&self, asked: Option<&Lookup>) -> Option<String> {
        let (rule, route) = match asked.map(|asked| &asked.answer) {
            Some(Answer::Refused(_)) => return None,
            Some(Answer::Route(route)) => (self.site.rule_to(route.table, self.mark), Some(route)),
            None => {
                let (rule, route) = self.site.decide(self.destination, self.mark)?;
                (Some(rule), Some(route))
            }
        };
        let rule = rule.map(|rule| format!("rule {}", crate::dataplane::rule(rule)));
        let route = route.map(|route| format!("route {}", crate::dataplane::route(route)));
        let parts: Vec<_> = rule.into_iter().chain(route).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests;
