//! Packets with a source that is another's, put on a link past its sender's network stack.
//!
//! The frames bear the Ethernet address of the node's end, so that nobody has to ask for one.
//! After the forged packets go as many with a rightful source, on the same way and in order:
//! when these have come, the others would have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use wireproof_model::evidence::{IntrusionOutcome, REVERSE_PATH};
use wireproof_model::plan::{Allowed, Endpoint, FORGED, Family, Intrusion, Plan};
use wireproof_model::tag::{Magic, TAG_LENGTH, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::Deadline;
use crate::base::worker::on_new_thread;
use crate::cluster::topology::{HARNESS_MAC, Topology, UPLINK, gateway_mac, mac_of};
use crate::kernel::forge::{self, Link};
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::Netlink;
use crate::kernel::packet::{Injector, stay_on_one_processor};
use crate::observe::counter;
use crate::observe::drop_watch::{self, DropWatch};

/// The port that the packets are for, and the one that they are from.
const PORT: u16 = 7100;

/// Each has a port of its own: a program that is being started may hold the last one's socket for a moment.
fn port(intrusion: &Intrusion) -> u16 {
    PORT.saturating_add(intrusion.id.0)
}

/// Bytes of payload: several whole tags.
const PAYLOAD: usize = 4 * TAG_LENGTH;

/// Forges what the plan says, one intrusion after the other, and says what became of each.
pub(crate) fn intrude(
    plan: &Plan,
    topology: &Topology,
    magic: Magic,
    dropped: &Result<DropWatch, String>,
) -> Result<Vec<IntrusionOutcome>, LabError> {
    if plan.intrusions.is_empty() {
        return Ok(Vec::new());
    }
    // A thread of its own, as it stays on one processor.
    on_new_thread(|| {
        stay_on_one_processor()?;
        let all = plan.intrusions.iter();
        all.map(|intrusion| Forger::new(plan, topology, magic, intrusion)?.forge(dropped))
            .collect()
    })
}

/// One intrusion under way.
struct Forger<'a> {
    intrusion: &'a Intrusion,
    magic: Magic,
    allowed: Allowed,
    /// The node that has to notice.
    node: &'a Namespace,
    injector: Injector,
    /// The kernel index of the link's near end.
    index: u32,
    link: Link,
    source: IpAddr,
    rightful: IpAddr,
    to: IpAddr,
    socket: UdpSocket,
}

impl<'a> Forger<'a> {
    fn new(
        plan: &Plan,
        topology: &'a Topology,
        magic: Magic,
        intrusion: &'a Intrusion,
    ) -> Result<Self, LabError> {
        let doing = "forge a packet";
        let unknown = || LabError::machine(doing, "the plan names no such endpoint");
        let endpoint = |name| plan.endpoint(name).ok_or_else(unknown);
        let family = intrusion.family;
        let through = endpoint(&intrusion.through)?;
        let (outside, name, link) = entry(topology, &through)?;
        let any = match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let receiver = topology.endpoint(&intrusion.to)?;
        let socket = receiver.enter(|| UdpSocket::bind((any, port(intrusion))).doing(doing))?;
        Ok(Self {
            intrusion,
            magic,
            allowed: plan.deadlines.probe(),
            node: topology.node(&through.node.name)?,
            injector: Injector::open(outside)?,
            index: Netlink::open(outside)?.index(name)?,
            link,
            source: family.address(endpoint(&intrusion.source)?.address),
            rightful: intrusion.rightful(plan).ok_or_else(unknown)?,
            to: family.address(endpoint(&intrusion.to)?.address),
            socket,
        })
    }

    fn forge(&self, dropped: &Result<DropWatch, String>) -> Result<IntrusionOutcome, LabError> {
        let id = self.intrusion.id;
        let before = drop_watch::so_far(dropped, self.node)?;
        let counted = self.counted()?;
        self.send(self.source, Tag::Forged(id))?;
        self.send(self.rightful, Tag::Rightful(id))?;
        let (received, rightful) = self.receive()?;
        let after = drop_watch::so_far(dropped, self.node)?;
        Ok(IntrusionOutcome {
            id,
            received,
            rightful,
            counted: self.counted()?.saturating_sub(counted),
            reasons: counter::reasons_moved(before, after),
        })
    }

    fn send(&self, source: IpAddr, tag: Tag) -> Result<(), LabError> {
        let payload = tag.fill(self.magic, PAYLOAD);
        let port = port(self.intrusion);
        let frame = forge::udp(self.link, (source, port), (self.to, port), &payload);
        for _ in 0..FORGED {
            let sent = self.injector.send(self.index, &frame);
            sent.doing("put a forged packet on a link")?;
        }
        Ok(())
    }

    /// How many forged packets the socket gets, and how many rightful ones, until all of the
    /// latter are there, which are the last.
    fn receive(&self) -> Result<(u64, u64), LabError> {
        let doing = "receive a packet after a forged one";
        let (mut forged, mut rightful) = (0, 0);
        let mut buffer = [0; 2 * PAYLOAD];
        let deadline = Deadline::after(self.allowed);
        while rightful < FORGED && !deadline.passed() {
            let received = deadline.receive(&self.socket, &mut buffer);
            let Some((length, _)) = received.doing(doing)? else {
                break;
            };
            match Tag::find(self.magic, &buffer[..length]) {
                Some(Tag::Forged(id)) if id == self.intrusion.id => forged += 1,
                Some(Tag::Rightful(id)) if id == self.intrusion.id => rightful += 1,
                Some(_) | None => {}
            }
        }
        Ok((forged, rightful))
    }

    /// What the node's reverse-path filter has counted so far.
    fn counted(&self) -> Result<u64, LabError> {
        let drops = counter::drops(self.node)?;
        Ok(drops.get(REVERSE_PATH).copied().unwrap_or_default())
    }
}

/// Where the packets are put on the link: outside the node that they come into.
fn entry<'a>(
    topology: &'a Topology,
    through: &'a Endpoint<'_>,
) -> Result<(&'a Namespace, &'a str, Link), LabError> {
    Ok(match through.pod {
        None => (
            &topology.fabric,
            through.node.name.as_str(),
            Link {
                from: HARNESS_MAC,
                to: mac_of(through.node.address),
            },
        ),
        Some(pod) => (
            topology.endpoint(&through.name)?,
            UPLINK,
            Link {
                from: mac_of(pod.address),
                to: gateway_mac(through.node),
            },
        ),
    })
}
