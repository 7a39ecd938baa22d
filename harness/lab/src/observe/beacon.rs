//! Beacons: frames that prove that the observers receive what passes.
//!
//! A beacon is put on an interface past every route and filter, so no engine can
//! stop it, but by taking the link away. Its Ethernet destination is nobody's, so no
//! host takes it; the observers at both ends of the link see it all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use wireproof_model::evidence::{
    Beacon, Direction, Interface, InterfaceId, NoLink, Place, Role, Round,
};
use wireproof_model::frame::LinkType;
use wireproof_model::name::{NodeName, PodName};
use wireproof_model::plan::{Family, Node, Plan, Protocol};
use wireproof_model::tag::{BeaconId, Magic, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::Deadline;
use crate::cluster::topology::{HARNESS_MAC, Topology};
use crate::kernel::frame_builder::{self, Addressed, Link};
use crate::kernel::netlink::{LinkSummary, Netlink};
use crate::kernel::packet::{Injector, close_together};
use crate::observe::capture::{Capture, Expected};

/// Bytes of payload: several whole tags.
const PAYLOAD: usize = 60;

/// Documentation addresses (RFC 5737): no route, rule or allowed IP of any cluster holds them.
const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The discard port (RFC 863).
const PORT: u16 = 9;

/// A locally administered address that no interface of the lab has.
const UNUSED_MAC: [u8; 6] = [0x02, 0xbe, 0xac, 0, 0, 1];

/// The same for IPv6 (RFC 3849).
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const DESTINATION6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// How long the kernel takes at most to start the queue of a link that has got its carrier: linkwatch runs
/// once a second.
const START_OF_A_QUEUE: Duration = Duration::from_secs(2);

/// Sends the beacons of a run, one round after the other.
#[derive(Debug)]
pub(crate) struct BeaconSender {
    magic: Magic,
    /// Every interface that gets a beacon, with its kernel index and the far end of its link.
    targets: Vec<Target>,
    /// Those that the cluster needs and that are gone.
    gone: Vec<InterfaceId>,
    /// One per namespace, in the order of the topology's places.
    injectors: Vec<Injector>,
    /// One per namespace, in the same order.
    netlinks: Vec<Netlink>,
    sent: Vec<Beacon>,
    /// What probes are sent with.
    protocols: Vec<Protocol>,
}

#[derive(Debug)]
struct Target {
    injector: usize,
    interface: Interface,
    index: u32,
    far: Option<InterfaceId>,
}

impl BeaconSender {
    /// Prepares for every interface that `capture` observes now and that connects something;
    /// `sent` are the beacons of the rounds before.
    pub(crate) fn new(
        plan: &Plan,
        topology: &Topology,
        capture: &Capture,
        magic: Magic,
        sent: Vec<Beacon>,
    ) -> Result<Self, LabError> {
        let interfaces = capture.interfaces()?;
        let gone = capture.gone().into_iter();
        let gone = gone.filter(|interface| is_needed(plan, interface));
        let (mut targets, mut injectors, mut netlinks) = (Vec::new(), Vec::new(), Vec::new());
        for (place, namespace) in topology.places() {
            for (interface, index) in &interfaces {
                let idle = matches!(interface.role, Role::Loopback | Role::Other);
                if interface.place == place && !idle {
                    targets.push(Target {
                        injector: injectors.len(),
                        interface: interface.clone(),
                        index: *index,
                        far: far_end(plan, interface, &interfaces),
                    });
                }
            }
            injectors.push(Injector::open(namespace)?);
            netlinks.push(Netlink::open(namespace)?);
        }
        Ok(Self {
            magic,
            targets,
            gone: gone.map(|interface| interface.id).collect(),
            injectors,
            netlinks,
            sent,
            protocols: plan
                .cluster
                .families
                .iter()
                .flat_map(|family| Protocol::of(*family))
                .collect(),
        })
    }

    /// Sends a beacon of every protocol out of every interface, and waits until each
    /// was seen at both ends of its link. That a link carries none is noted, and is for the
    /// verdict; before the first agent it is an error.
    pub(crate) fn send_round(
        &mut self,
        round: Round,
        capture: &Capture,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let links = self.steady_links(deadline)?;
        let mut expected = BTreeSet::new();
        for target in &self.targets {
            let no_link = target.no_link(&links).filter(|_| round != Round::Armed);
            for protocol in &self.protocols {
                let id = next(&self.sent)?;
                let payload = Tag::Beacon(id).fill(self.magic, PAYLOAD);
                let frame = frame(target.interface.link, *protocol, &payload);
                let frame = frame.doing("build a beacon")?;
                let send = || self.injectors[target.injector].send(target.index, &frame);
                let no_link = match no_link {
                    Some(state) => Some(state),
                    None => match send() {
                        Ok(()) => None,
                        Err(error) if round != Round::Armed && reason(&error).is_some() => {
                            reason(&error)
                        }
                        error => {
                            let doing = format!("send a beacon through {}", target.interface.name);
                            return error.doing(doing);
                        }
                    },
                };
                if no_link.is_none() {
                    expected.insert((id, target.interface.id, Direction::Out));
                    expected.extend(target.far.map(|far| (id, far, Direction::In)));
                }
                self.sent.push(Beacon {
                    id,
                    interface: target.interface.id,
                    protocol: *protocol,
                    round,
                    no_link,
                });
            }
        }
        for interface in &self.gone {
            for protocol in &self.protocols {
                self.sent.push(Beacon {
                    id: next(&self.sent)?,
                    interface: *interface,
                    protocol: *protocol,
                    round,
                    no_link: Some(NoLink::Missing),
                });
            }
        }
        let what = match round {
            Round::Armed => "every observer has seen its first beacons",
            Round::Opening => "every observer has seen its opening beacons",
            Round::Closing => "every observer has seen its closing beacons",
        };
        match capture.wait_for_beacons(what, &expected, deadline) {
            Ok(()) => Ok(()),
            Err(error) if round == Round::Armed => Err(error),
            Err(error) => self.excuse(capture, &expected, &links, error),
        }
    }

    /// A link that has changed since it was looked at may have lost what was sent through it; and under another
    /// name it is none of the cluster's.
    fn excuse(
        &mut self,
        capture: &Capture,
        expected: &BTreeSet<Expected>,
        before: &Links,
        error: LabError,
    ) -> Result<(), LabError> {
        let now = self.links()?;
        let mut changed = BTreeMap::new();
        for target in &self.targets {
            let key = (target.injector, target.index);
            let changes = |links: &Links| links.get(&key).map(|link| (link.up, link.changes));
            if changes(before) != changes(&now) {
                let state = target.no_link(&now).unwrap_or(NoLink::NoCarrier);
                changed.insert(target.interface.id, state);
            }
        }
        for unseen in &capture.unseen(expected) {
            let (id, interface, _) = unseen;
            let beacon = self.sent.get_mut(usize::from(id.0));
            let state = beacon.as_ref().and_then(|beacon| {
                let own = changed.get(&beacon.interface);
                let state = own.or_else(|| changed.get(interface)).copied();
                let renamed = || capture.has_seen_under_another_name(unseen);
                state.or_else(|| renamed().then_some(NoLink::Missing))
            });
            match (beacon, state) {
                (Some(beacon), Some(state)) => beacon.no_link = Some(state),
                _ => return Err(error),
            }
        }
        Ok(())
    }

    /// What every link is like once none is about to send: a link that has just got its carrier throws
    /// away what is sent through it, and gives no error, until a worker of the kernel has started its queue
    /// (Linux: `linkwatch_do_dev`), within a second. What is not so far by then is taken as it is: an engine
    /// may keep a link from it (`ip link set eth0 state dormant`).
    fn steady_links(&self, deadline: Deadline) -> Result<Links, LabError> {
        let deadline = deadline.sooner(START_OF_A_QUEUE);
        loop {
            let links = self.links()?;
            let starts = |target: &Target| {
                let link = links.get(&(target.injector, target.index));
                link.is_some_and(|link| link.up && link.carrier && !link.running)
            };
            if deadline.passed() || !self.targets.iter().any(starts) {
                return Ok(links);
            }
            std::thread::yield_now();
        }
    }

    /// What every link is like now.
    fn links(&self) -> Result<Links, LabError> {
        let mut all = Links::new();
        for (place, netlink) in self.netlinks.iter().enumerate() {
            let links = netlink.link_summaries()?.into_iter();
            all.extend(links.map(|link| ((place, link.index), link)));
        }
        Ok(all)
    }

    /// Ends with the list of what was sent.
    pub(crate) fn finish(self) -> Vec<Beacon> {
        close_together(self.injectors);
        self.sent
    }
}

/// Links by the number of their namespace, and by the kernel's index.
type Links = BTreeMap<(usize, u32), LinkSummary>;

impl Target {
    /// Why it carries nothing; none if it does.
    fn no_link(&self, links: &Links) -> Option<NoLink> {
        match links.get(&(self.injector, self.index)) {
            None => Some(NoLink::Missing),
            // Under another name it is none of the cluster's.
            Some(link) if link.name != self.interface.name => Some(NoLink::Missing),
            Some(link) if !link.up => Some(NoLink::Down),
            Some(link) if !link.carrier => Some(NoLink::NoCarrier),
            Some(_) => None,
        }
    }
}

/// The number of the next beacon.
fn next(sent: &[Beacon]) -> Result<BeaconId, LabError> {
    let number = u16::try_from(sent.len());
    let number = number.map_err(|_| LabError::machine("number the beacons", "more than 65535"))?;
    Ok(BeaconId(number))
}

/// What an error of a send means for the link; none if it is about something else.
fn reason(error: &io::Error) -> Option<NoLink> {
    match error.raw_os_error()? {
        libc::ENETDOWN => Some(NoLink::Down),
        libc::ENXIO | libc::ENODEV => Some(NoLink::Missing),
        _ => None,
    }
}

/// Whether the cluster has such an interface now.
fn is_needed(plan: &Plan, interface: &Interface) -> bool {
    let named = |name: &NodeName| {
        let mut nodes = plan.nodes.iter().chain(&plan.clients);
        nodes.find(|node| node.name == *name)
    };
    let holds = |node: &Node, pod: &PodName| node.pods.iter().any(|held| held.name == *pod);
    match (&interface.place, &interface.role) {
        (Place::Fabric, Role::Port(node)) | (Place::Node(node), Role::Uplink) => {
            named(node).is_some()
        }
        (Place::Node(node), Role::PodLink(pod)) => named(node).is_some_and(|node| holds(node, pod)),
        (Place::Pod(pod), Role::PodUplink) => plan.nodes.iter().any(|node| holds(node, pod)),
        _ => false,
    }
}

/// The other end of a veth.
fn far_end(plan: &Plan, near: &Interface, interfaces: &[(Interface, u32)]) -> Option<InterfaceId> {
    let is_far = |far: &Interface| match (&near.place, &near.role) {
        (Place::Fabric, Role::Port(node)) => {
            far.place == Place::Node(node.clone()) && far.role == Role::Uplink
        }
        (Place::Node(node), Role::Uplink) => far.role == Role::Port(node.clone()),
        (Place::Node(_), Role::PodLink(pod)) => {
            far.place == Place::Pod(pod.clone()) && far.role == Role::PodUplink
        }
        (Place::Pod(pod), Role::PodUplink) => {
            let on_its_node = |place: &Place| {
                plan.nodes.iter().any(|node| {
                    *place == Place::Node(node.name.clone())
                        && node.pods.iter().any(|planned| &planned.name == pod)
                })
            };
            far.role == Role::PodLink(pod.clone()) && on_its_node(&far.place)
        }
        _ => false,
    };
    interfaces
        .iter()
        .map(|(interface, _)| interface)
        .find(|interface| is_far(interface))
        .map(|interface| interface.id)
}

/// A beacon as it is on a link.
fn frame(link: LinkType, protocol: Protocol, payload: &[u8]) -> io::Result<Vec<u8>> {
    let (source, destination): (IpAddr, IpAddr) = match protocol.family() {
        Family::Ipv4 => (SOURCE.into(), DESTINATION.into()),
        Family::Ipv6 => (SOURCE6.into(), DESTINATION6.into()),
    };
    let to = Addressed {
        link: match link {
            LinkType::RawIp => None,
            LinkType::Ethernet => Some(Link {
                from: HARNESS_MAC,
                to: UNUSED_MAC,
            }),
        },
        source,
        destination,
        hops: 1,
        port: PORT,
    };
    frame_builder::packet(to, protocol, payload)
}

#[cfg(test)]
mod tests;
