//! Verdicts about one pair and one protocol.

use super::case::PairCase;
use super::crossing::Crossings;
use super::finding::Finding;
use super::leak::Leak;
use super::leg::{Break, LegPath};
use super::loss::Losses;
use super::watch::{self, Doubt, Watch};
use super::{address, delivery, leak, neighbour, throw_route};
use crate::evidence::{Evidence, Nanos, NodeEvidence, REVERSE_PATH};
use crate::journey::{Atlas, Index, Leg, Seen, Tunnel};
use crate::name::NodeName;
use crate::plan::{Origin, Plan, Protection, Protocol};
use crate::tag::Tag;
use crate::verdict::{Explanation, Outcome, Reached, Verdict};
use crate::why;

/// Everything that the verdicts of one run share.
pub(super) struct PairJudge<'a> {
    pub(super) plan: &'a Plan,
    pub(super) evidence: &'a Evidence,
    pub(super) losses: &'a Losses,
    pub(super) atlas: Atlas<'a>,
    pub(super) watch: Watch<'a>,
    /// When the closing beacons began: from here on one observer may see what another does
    /// not see any more, such as the end of a connection.
    pub(super) closing: Nanos,
    pub(super) crossings: Crossings<'a>,
    pub(super) index: Index<'a>,
}

impl<'a> PairJudge<'a> {
    /// Of a plan as it is when the probes are sent.
    pub(super) fn new(plan: &'a Plan, evidence: &'a Evidence, losses: &'a Losses) -> Self {
        let index = Index::new(evidence);
        Self {
            plan,
            evidence,
            losses,
            atlas: Atlas::new(evidence),
            watch: Watch::new(plan, evidence, &index),
            closing: watch::closing(evidence, &index),
            crossings: Crossings::new(plan, evidence, &index),
            index,
        }
    }

    /// Judges one pair.
    pub(super) fn decide(&self, case: &PairCase<'_>) -> Verdict {
        let mut finding = self.find(case);
        if finding.outcome != Outcome::Held {
            finding.notes.extend(self.circumstances(case));
        }
        let why = self.why(case, &finding);
        Verdict {
            why,
            ..finding.about(case.promise.id)
        }
    }

    /// What in the nodes' dataplanes is wrong for a pair whose promise was broken.
    fn why(&self, case: &PairCase<'_>, finding: &Finding<'_>) -> Option<Explanation> {
        let question = why::BrokenPair {
            plan: self.plan,
            evidence: self.evidence,
            from: case.from,
            to: case.to,
            addresses: case.addresses(Leg::Request),
            protection: self.meant(case),
            stated: case.promise.origin != Origin::Derived,
            stopped: finding.stopped,
            payload: case.probe_payload(self.plan),
        };
        let broken = finding.outcome == Outcome::Broken;
        let decisive = finding.frames.first().and_then(|frame| frame.sighting.tag);
        if broken && matches!(decisive, Some(Tag::Flow(..))) {
            return Some(why::of_flow(&finding.fact));
        }
        broken.then(|| why::explain(question, &finding.fact))?
    }

    /// How a pair's packets have to look; where its promise leaves that open, by the intent.
    fn meant(&self, case: &PairCase<'_>) -> Protection {
        match case.promise.protection {
            Protection::Delivered => {
                let state = self.plan.at_last();
                let meant = state.protection(case.from, case.to, case.family());
                meant.unwrap_or(Protection::Plaintext)
            }
            known @ (Protection::Plaintext | Protection::Encrypted | Protection::Blocked) => known,
        }
    }

    fn find(&self, case: &PairCase<'_>) -> Finding<'a> {
        if let Some(why) = self.losses.common() {
            return Finding::open(why);
        }
        if let Some(leak) = leak::find(self.plan, case, &self.index) {
            return self.leaked(case, &leak);
        }
        if let Some(why) = self.losses.of_pair(case) {
            return Finding::open(why);
        }
        let no_link = match self.watch.doubt(case, &self.atlas) {
            Some(Doubt::Observer(why)) => return Finding::open(why),
            Some(Doubt::NoLink(why)) => Some(why),
            None => None,
        };
        let finding = match case.promise.protection {
            Protection::Blocked => self.refused(case),
            Protection::Encrypted | Protection::Plaintext | Protection::Delivered => {
                self.arrived(case)
            }
        };
        if let Some(why) = no_link {
            // What the sockets say of an arrival needs no observer; all else does.
            return match finding.outcome {
                _ if !case.sockets_refute() => Finding::open(why),
                Outcome::Broken => finding,
                Outcome::Held | Outcome::Inconclusive | Outcome::Skipped => {
                    Finding::broken(format!("never arrived: {why}")).stopped(false, Reached::Sender)
                }
            };
        }
        if case.promise.protection == Protection::Blocked {
            return finding;
        }
        let excuse = neighbour::excuse(finding.outcome, &finding.fact, self.evidence)
            .or_else(|| address::excuse(case, &finding, self.plan, self.evidence));
        match excuse {
            Some(why) => Finding::open(why),
            None => finding,
        }
    }

    /// A probe that must arrive.
    fn arrived(&self, case: &PairCase<'_>) -> Finding<'a> {
        if !self.was_sent(case) {
            return match &case.outcome.error {
                Some(error) => Finding::broken(format!("never left {}: {error}", case.from.name))
                    .stopped(false, Reached::Sender),
                None => Finding::open(format!(
                    "no packet of the probe was seen, not even at {}",
                    case.from.name
                )),
            };
        }
        if case.promise.protection == Protection::Delivered {
            return delivery::find(case, &self.index);
        }
        match self.show(case) {
            Ok(frames) => Finding::held(self.held(case)).with_frames(frames),
            Err(finding) => finding,
        }
    }

    /// A probe that must not arrive: it was tried, and neither side received anything of the other.
    fn refused(&self, case: &PairCase<'_>) -> Finding<'a> {
        let arrived = case.outcome.delivered || case.outcome.answered;
        match (&case.outcome.error, self.was_sent(case)) {
            _ if arrived => Finding::broken(format!("arrived at {}", case.to.name)),
            (_, true) => Finding::held(self.held(case)),
            // What a node refuses itself to send passes no interface.
            (Some(_), false) => Finding::held(self.held(case)),
            (None, false) if case.from.pod.is_none() => Finding::held(self.held(case)),
            (None, false) => Finding::open(format!(
                "no packet of the probe was seen, not even at {}",
                case.from.name
            )),
        }
    }

    /// Whether any packet of the probe was seen anywhere; of a connection, its first.
    fn was_sent(&self, case: &PairCase<'_>) -> bool {
        let packets = match case.protocol() {
            Protocol::Icmp | Protocol::Udp | Protocol::Icmp6 | Protocol::Udp6 => {
                case.tagged(Leg::Request, &self.index)
            }
            Protocol::Tcp | Protocol::Tcp6 => case.addressed(Leg::Request, &self.index),
        };
        !packets.is_empty()
    }

    /// Everything that has to be seen of a promise that holds.
    fn show(&self, case: &PairCase<'_>) -> Result<Vec<Seen<'a>>, Finding<'a>> {
        self.devices_exist(case)?;
        let mut frames = self.leg(case, Leg::Request)?;
        self.segments(case, Leg::Request)?;
        if case.tagged(Leg::Answer, &self.index).is_empty() {
            let fact = format!("arrived at {}, and no answer left it", case.to.name);
            let finding = Finding::broken(fact).with_frames(latest_first(frames));
            return Err(finding.stopped(true, Reached::Sender));
        }
        frames.extend(self.leg(case, Leg::Answer)?);
        self.segments(case, Leg::Answer)?;
        let missing = [
            (case.outcome.delivered, case.to),
            (case.outcome.answered, case.from),
        ]
        .into_iter()
        .find(|(received, _)| !received);
        if let Some((_, endpoint)) = missing {
            let fact = format!("arrived at {}, and its socket never got it", endpoint.name);
            return Err(Finding::broken(fact).with_frames(latest_first(frames)));
        }
        if let Some(fact) = self.not_exempt(case) {
            let finding = Finding::broken(fact).with_frames(frames);
            return Err(finding.stopped(false, Reached::Elsewhere));
        }
        match self.bare(case) {
            None => Ok(frames),
            Some(frame) => Err(Finding::broken(format!(
                "a packet between the two left {} on {}, and no transport message had carried it",
                frame.interface.name,
                frame.interface.place.name()
            ))
            .with_frames(vec![frame])),
        }
    }

    /// Nothing can be encrypted without a device to do it.
    fn devices_exist(&self, case: &PairCase<'_>) -> Result<(), Finding<'a>> {
        let device = &self.plan.cluster.tunnel(case.family());
        let without = [case.from.node, case.to.node]
            .into_iter()
            .find(|node| matches!(self.atlas.tunnel(node, device), Tunnel::Absent));
        match (case.promise.protection, without) {
            (Protection::Encrypted, Some(node)) => {
                let finding = Finding::broken(format!("{} has no {device}", node.name));
                let back = node.name != case.from.node.name;
                Err(finding.stopped(back, Reached::Sender))
            }
            (Protection::Encrypted, None)
            | (Protection::Plaintext | Protection::Blocked | Protection::Delivered, _) => Ok(()),
        }
    }

    fn leg(&self, case: &PairCase<'_>, leg: Leg) -> Result<Vec<Seen<'a>>, Finding<'a>> {
        let way = LegPath::of(self.plan, case, leg, &self.atlas).map_err(Finding::open)?;
        let tagged = case.tagged(leg, &self.index);
        if tagged.is_empty() && case.is_connection() {
            return Err(self.no_connection(case));
        }
        way.walk(&tagged, &self.crossings).map_err(|ended| {
            let whose = match leg {
                Leg::Request => "",
                Leg::Answer => "its answer ",
            };
            self.ended(whose, leg, ended)
        })
    }

    /// TCP sends no payload before both sides have shaken hands: where did the handshake end?
    fn no_connection(&self, case: &PairCase<'_>) -> Finding<'a> {
        for (leg, whose) in [
            (Leg::Request, "its handshake "),
            (Leg::Answer, "the answer to its handshake "),
        ] {
            let way = match LegPath::of(self.plan, case, leg, &self.atlas) {
                Ok(way) => way,
                Err(why) => return Finding::open(why),
            };
            let packets = case.addressed(leg, &self.index);
            if packets.is_empty() {
                return Finding::broken(format!(
                    "its handshake arrived at {}, and no answer left it",
                    case.to.name
                ))
                .stopped(true, Reached::Sender);
            }
            if let Err(ended) = way.walk(&packets, &self.crossings) {
                return self.ended(whose, leg, ended);
            }
        }
        let why = case
            .outcome
            .error
            .as_deref()
            .unwrap_or("no payload was sent");
        Finding::broken(format!(
            "its handshake came back to {}: {why}",
            case.from.name
        ))
    }

    pub(super) fn ended(&self, whose: &str, leg: Leg, ended: Break<'a>) -> Finding<'a> {
        let mut fact = format!("{whose}{}", ended.fact);
        if let Some(node) = ended.node.filter(|node| self.drops_by_reverse_path(node)) {
            fact.push_str(&format!(
                "; {node} drops packets by their source ({REVERSE_PATH})"
            ));
        }
        let mut finding = Finding::broken(fact)
            .with_frames(latest_first(ended.last))
            .stopped(leg == Leg::Answer, ended.reached);
        if let Some((packet, message)) = ended.lengths {
            finding.notes.push(format!(
                "a packet of {packet} bytes makes a transport message of {message}"
            ));
        }
        finding
    }

    /// A packet of the pair, tagged or not, that came out of the tunnel without having been ciphertext.
    fn bare(&self, case: &PairCase<'_>) -> Option<Seen<'a>> {
        if case.promise.protection != Protection::Encrypted {
            return None;
        }
        [Leg::Request, Leg::Answer].into_iter().find_map(|leg| {
            let (source, destination) = case.addresses(leg);
            self.crossings
                .between(source, destination)
                .filter(|crossing| {
                    let packet = crossing.entered.sighting.frame.packet();
                    packet.is_some_and(|packet| packet.carries(case.protocol()))
                })
                .filter(|crossing| crossing.delivered.is_none())
                .find_map(|crossing| crossing.left.filter(|left| left.at() < self.closing))
        })
    }

    /// For a promise of plaintext under an engine that claims throws: where one is missing.
    fn not_exempt(&self, case: &PairCase<'_>) -> Option<String> {
        let node = case.from.node;
        if !self.plan.throws || node.external || case.to.node.external {
            return None;
        }
        // A node's own address is in its local table, and without host encryption no node's is in any other.
        let listed = match case.to.pod {
            Some(_) => true,
            None => self.plan.cluster.host_encryption && case.to.address != node.address,
        };
        if case.promise.protection != Protection::Plaintext || !listed {
            return None;
        }
        let tunnel = &self.plan.cluster.tunnel(case.family());
        let plane = &self.evidence.nodes.get(&node.name)?.dataplane;
        let table =
            throw_route::table_without_throw(plane, tunnel, case.addresses(Leg::Request).1)?;
        Some(format!(
            "arrived in clear, but not by a throw: table {table} of {}, which leads into {tunnel}, does not list {}",
            node.name, case.to.name
        ))
    }

    fn leaked(&self, case: &PairCase<'_>, leak: &Leak<'a>) -> Finding<'a> {
        let fact = leak.describe(case.promise.protection);
        let (answering, asking) = case.addresses(Leg::Answer);
        let back = leak.first.goes(answering, asking);
        let mut finding = Finding::broken(fact)
            .with_frames(vec![leak.first])
            .stopped(back, Reached::Elsewhere);
        if leak.count > 1 {
            finding
                .notes
                .push(format!("the first of {} such frames", leak.count));
        }
        finding
    }

    fn held(&self, case: &PairCase<'_>) -> String {
        match (case.promise.protection, case.same_host()) {
            (Protection::Encrypted, _) => format!(
                "only ciphertext on the wire, tag entered and left {}",
                self.plan.cluster.tunnel(case.family())
            ),
            (Protection::Blocked, _) => "sent, never arrived, never on the wire".into(),
            (Protection::Delivered, _) => delivery::ARRIVED.into(),
            (Protection::Plaintext, true) => {
                "plaintext on the veths between them, never on a tunnel device, eth0 or the wire"
                    .into()
            }
            (Protection::Plaintext, false) => {
                "plaintext on the wire, never on a tunnel device".into()
            }
        }
    }

    /// What else is known about a promise that was not kept, with its numbers.
    fn circumstances(&self, case: &PairCase<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(error) = &case.outcome.error {
            notes.push(format!(
                "the socket of {} reported: {error}",
                case.from.name
            ));
        }
        let mut nodes = vec![&case.from.node.name, &case.to.node.name];
        nodes.dedup();
        for node in nodes {
            let drops = self.node(node).map(|evidence| &evidence.drops);
            for (counter, count) in drops.into_iter().flatten() {
                notes.push(format!("{node} counted {counter} {count}"));
            }
        }
        notes
    }

    fn drops_by_reverse_path(&self, node: &NodeName) -> bool {
        self.node(node)
            .and_then(|evidence| evidence.drops.get(REVERSE_PATH))
            .is_some_and(|count| *count > 0)
    }

    fn node(&self, name: &NodeName) -> Option<&NodeEvidence> {
        self.evidence.nodes.get(name)
    }
}

/// The frame that decides comes first; of a way that ended, that is the last one seen.
fn latest_first(mut frames: Vec<Seen<'_>>) -> Vec<Seen<'_>> {
    frames.sort_by_key(|frame| std::cmp::Reverse(frame.rank));
    frames
}
