//! One leg of a probe, from stop to stop.

use super::case::PairCase;
use super::crossing::{Crossing, Crossings};
use crate::evidence::{Direction, Interface, Nanos, Place, Role};
use crate::journey::{Atlas, Leg, Seen, Stop, Tunnel, follow};
use crate::name::NodeName;
use crate::plan::{Node, Plan, Protection};
use crate::verdict::Reached;

/// Where a leg ended before its end.
#[derive(Debug)]
pub(super) struct Break<'a> {
    /// What did not happen, and what did last.
    pub(super) fact: String,
    /// The node that had the packet last, or should have taken it.
    pub(super) node: Option<NodeName>,
    /// The frames that were seen last.
    pub(super) last: Vec<Seen<'a>>,
    /// Stops reached; of several copies, the one that came furthest counts.
    progress: usize,
    /// How far that is.
    pub(super) reached: Reached,
    /// Bytes of the packet and of the message that should have carried it.
    pub(super) lengths: Option<(u32, u32)>,
}

/// The stops of a leg.
#[derive(Debug)]
pub(super) struct LegPath<'a> {
    before: Vec<Stop<'a>>,
    after: Vec<Stop<'a>>,
    /// Whether the last stop before and the first one after are tunnel devices, with ciphertext between them.
    crosses: bool,
}

impl<'a> LegPath<'a> {
    /// The way that a leg of the promise must take.
    ///
    /// # Errors
    /// The evidence lacks an interface of it; the error names it.
    pub(super) fn of(
        plan: &Plan,
        case: &PairCase<'_>,
        leg: Leg,
        atlas: &Atlas<'a>,
    ) -> Result<Self, String> {
        let (from, to) = case.ends(leg);
        let mut before = stops(atlas.veth(from)?, [Direction::Out, Direction::In]);
        let mut after = stops(atlas.veth(to)?, [Direction::In, Direction::Out]);
        after.reverse();
        let crosses = case.promise.protection == Protection::Encrypted;
        if crosses {
            let device = &plan.cluster.tunnel(case.family());
            let tunnel = |node: &Node| match atlas.tunnel(node, device) {
                Tunnel::Observed(interface) => Ok(interface),
                Tunnel::Absent => Err(format!("{} has no {device}", node.name)),
                Tunnel::Unobserved => Err(format!("{} on {} was not observed", device, node.name)),
            };
            before.push(Stop::out(tunnel(from.node)?));
            after.insert(0, Stop::into(tunnel(to.node)?));
        } else if !case.same_host() {
            before.push(Stop::out(atlas.uplink(from.node)?));
            before.push(Stop::into(atlas.port(from.node)?));
            before.push(Stop::out(atlas.port(to.node)?));
            before.push(Stop::into(atlas.uplink(to.node)?));
        }
        Ok(Self {
            before,
            after,
            crosses,
        })
    }

    /// Follows the packets of the leg. Returns the frames of a copy that came all the way.
    ///
    /// # Errors
    /// None did: where the one ended that came furthest.
    pub(super) fn walk(
        &self,
        packets: &[Seen<'a>],
        crossings: &Crossings<'a>,
    ) -> Result<Vec<Seen<'a>>, Break<'a>> {
        if !self.crosses {
            let stops = [self.before.as_slice(), &self.after].concat();
            return follow(&stops, packets, Nanos(0)).map_err(|reached| never(&stops, reached));
        }
        let mut furthest: Option<Break<'a>> = None;
        let entry = self.before.last();
        for entered in packets
            .iter()
            .filter(|seen| entry.is_some_and(|stop| stop.is_at(seen)))
        {
            match self.cross(packets, entered, crossings.of(entered)) {
                Ok(frames) => return Ok(frames),
                Err(ended)
                    if furthest
                        .as_ref()
                        .is_none_or(|far| far.progress < ended.progress) =>
                {
                    furthest = Some(ended);
                }
                Err(_) => {}
            }
        }
        // Without an entry, the stops before it say how far the packets came.
        Err(furthest.unwrap_or_else(|| {
            let reached = follow(&self.before, packets, Nanos(0)).unwrap_or_else(|reached| reached);
            never(&self.before, reached)
        }))
    }

    /// One copy of the packet, known by where it entered the tunnel device.
    fn cross(
        &self,
        packets: &[Seen<'a>],
        entered: &Seen<'a>,
        crossing: Option<&Crossing<'a>>,
    ) -> Result<Vec<Seen<'a>>, Break<'a>> {
        let to_entry: Vec<_> = packets
            .iter()
            .filter(|seen| seen.at() <= entered.at())
            .copied()
            .collect();
        let mut frames = follow(&self.before, &to_entry, Nanos(0))
            .map_err(|reached| never(&self.before, reached))?;
        let Some(crossing) = crossing else {
            return Err(self.no_ciphertext(frames, None));
        };
        let (Some(sent), Some(delivered), Some(left)) =
            (crossing.sent, crossing.delivered, crossing.left)
        else {
            return Err(self.no_ciphertext(frames, Some(crossing)));
        };
        frames.extend([sent, delivered]);
        match follow(&self.after, packets, left.at()) {
            Ok(rest) => {
                frames.extend(rest);
                Ok(frames)
            }
            Err(reached) => {
                let mut ended = never(&self.after, reached);
                ended.progress += self.before.len() + 2;
                Err(ended)
            }
        }
    }

    /// The packet entered the one tunnel device, and was not shown to cross to the other.
    fn no_ciphertext(
        &self,
        mut frames: Vec<Seen<'a>>,
        crossing: Option<&Crossing<'a>>,
    ) -> Break<'a> {
        let (entry, exit) = (self.before.last(), self.after.first());
        let name = |stop: Option<&Stop<'a>>| stop.map_or("", |stop| stop.interface.name.as_str());
        let place = |stop: Option<&Stop<'a>>| stop.map_or("", |stop| stop.interface.place.name());
        let (source, target) = (place(entry), place(exit));
        let (into, out_of) = (name(entry), name(exit));
        let sent = crossing.and_then(|crossing| crossing.sent);
        let delivered = crossing.and_then(|crossing| crossing.delivered);
        let left = crossing.and_then(|crossing| crossing.left);
        let (ended_at, fact) = match (sent, delivered, left) {
            (None, _, None) => (
                entry,
                format!(
                    "entered {into} on {source}, then no transport message of its length left {source}"
                ),
            ),
            (None, _, Some(_)) => (
                entry,
                format!(
                    "left {out_of} on {target}, but no transport message of its length had left {source}"
                ),
            ),
            (Some(_), None, None) => (
                exit,
                format!("left {source} as ciphertext, which never left the wire towards {target}"),
            ),
            (Some(_), None, Some(_)) => (
                exit,
                format!(
                    "left {out_of} on {target}, but no transport message of its length had left the wire towards it"
                ),
            ),
            (Some(_), Some(_), _) => (
                exit,
                format!("reached {target} as ciphertext, then never left {out_of} there"),
            ),
        };
        let reached = match (sent, delivered) {
            (None, _) => Reached::Device,
            (Some(_), None) => Reached::Wire,
            (Some(_), Some(_)) => Reached::Receiver,
        };
        let shown = [sent, delivered, left].into_iter().flatten();
        let progress = self.before.len() + shown.clone().count();
        frames.extend(shown);
        Break {
            fact,
            node: ended_at.and_then(|stop| node_of(stop.interface)),
            last: frames,
            progress,
            reached,
            lengths: crossing.and_then(|crossing| {
                let packet = crossing.entered.sighting.frame.packet()?;
                Some((packet.length, crossing.length))
            }),
        }
    }
}

fn stops(veth: Vec<&Interface>, directions: [Direction; 2]) -> Vec<Stop<'_>> {
    veth.into_iter()
        .zip(directions)
        .map(|(interface, direction)| Stop {
            interface,
            direction,
        })
        .collect()
}

/// The stop after those that were reached was not.
fn never<'a>(stops: &[Stop<'_>], reached: Vec<Seen<'a>>) -> Break<'a> {
    let fact = match (reached.len().checked_sub(1), stops.get(reached.len())) {
        (Some(last), Some(next)) => {
            let did = stops.get(last).map_or_else(String::new, Stop::past);
            format!("{did}, then never {}", next.past())
        }
        (None, Some(first)) => format!("never {}", first.past()),
        // All were reached, but not in time for what came after.
        (_, None) => "was seen in another order than its way".into(),
    };
    let node = stops
        .get(reached.len())
        .or(stops.last())
        .and_then(|stop| node_of(stop.interface));
    let last = reached.len().checked_sub(1).and_then(|at| stops.get(at));
    Break {
        fact,
        node,
        progress: reached.len(),
        reached: last.map_or(Reached::Sender, far),
        last: reached,
        lengths: None,
    }
}

/// How far a packet came that passed this stop.
fn far(stop: &Stop<'_>) -> Reached {
    match (&stop.interface.role, stop.direction) {
        (Role::PodUplink, Direction::Out) | (Role::PodLink(_), Direction::In) => Reached::Sender,
        (Role::Tunnel, Direction::Out) => Reached::Device,
        (Role::Uplink, Direction::Out) | (Role::Port(_), _) => Reached::Wire,
        (Role::Uplink, Direction::In) => Reached::Receiver,
        (Role::Tunnel | Role::PodUplink, Direction::In)
        | (Role::PodLink(_), Direction::Out)
        | (Role::Loopback | Role::Other, _) => Reached::Inside,
    }
}

fn node_of(interface: &Interface) -> Option<NodeName> {
    match (&interface.place, &interface.role) {
        (Place::Node(node), _) | (Place::Fabric, Role::Port(node)) => Some(node.clone()),
        (Place::Fabric | Place::Pod(_), _) => None,
    }
}
