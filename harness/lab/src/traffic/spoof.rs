//! Spoofed packets: with a source that is another's, put on a link past its sender's network stack.
//!
//! The frames bear the Ethernet address of the node's end, so that nobody has to ask for one.
//! After the spoofed packets go as many with a genuine source, on the same way and in order:
//! when these have come, the others would have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use wireproof_model::evidence::{REVERSE_PATH, SpoofOutcome};
use wireproof_model::plan::{Endpoint, Family, Plan, SPOOFED, Spoof, Timeout};
use wireproof_model::tag::{Magic, TAG_LENGTH, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::Deadline;
use crate::base::worker::on_new_thread;
use crate::cluster::topology::{HARNESS_MAC, Topology, UPLINK, gateway_mac, mac_of};
use crate::kernel::frame_builder::{self, Link};
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::Netlink;
use crate::kernel::packet::{Injector, stay_on_one_processor};
use crate::observe::counter;
use crate::observe::drop_watch::{self, DropWatch};

/// Bytes of payload: several whole tags.
const PAYLOAD: usize = 4 * TAG_LENGTH;

/// Sends the plan's spoofs one after the other, and returns the outcome of each.
pub(crate) fn send_spoofed(
    plan: &Plan,
    topology: &Topology,
    magic: Magic,
    dropped: &Result<DropWatch, String>,
) -> Result<Vec<SpoofOutcome>, LabError> {
    if plan.spoofs.is_empty() {
        return Ok(Vec::new());
    }
    // A thread of its own, as it stays on one processor.
    on_new_thread(|| {
        stay_on_one_processor()?;
        let all = plan.spoofs.iter();
        all.map(|spoof| SpoofSender::new(plan, topology, magic, spoof)?.send_all(dropped))
            .collect()
    })
}

/// One spoof under way.
struct SpoofSender<'a> {
    spoof: &'a Spoof,
    magic: Magic,
    allowed: Timeout,
    /// The node that has to notice.
    node: &'a Namespace,
    injector: Injector,
    /// The kernel index of the link's near end.
    index: u32,
    link: Link,
    source: IpAddr,
    genuine: IpAddr,
    to: IpAddr,
    socket: UdpSocket,
}

impl<'a> SpoofSender<'a> {
    fn new(
        plan: &Plan,
        topology: &'a Topology,
        magic: Magic,
        spoof: &'a Spoof,
    ) -> Result<Self, LabError> {
        let doing = "spoof a packet";
        let unknown = || LabError::machine(doing, "the plan names no such endpoint");
        let endpoint = |name| plan.endpoint(name).ok_or_else(unknown);
        let family = spoof.family;
        let through = endpoint(&spoof.through)?;
        let (outside, name, link) = entry(topology, &through)?;
        let any = match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let receiver = topology.endpoint(&spoof.to)?;
        let socket = receiver.enter(|| UdpSocket::bind((any, spoof.id.port())).doing(doing))?;
        Ok(Self {
            spoof,
            magic,
            allowed: plan.deadlines.probe(),
            node: topology.node(&through.node.name)?,
            injector: Injector::open(outside)?,
            index: Netlink::open(outside)?.index(name)?,
            link,
            source: family.address(endpoint(&spoof.source)?.address),
            genuine: spoof.genuine(plan).ok_or_else(unknown)?,
            to: family.address(endpoint(&spoof.to)?.address),
            socket,
        })
    }

    fn send_all(&self, dropped: &Result<DropWatch, String>) -> Result<SpoofOutcome, LabError> {
        let id = self.spoof.id;
        let before = drop_watch::so_far(dropped, self.node)?;
        let counted = self.counted()?;
        self.send(self.source, Tag::Spoofed(id))?;
        self.send(self.genuine, Tag::Genuine(id))?;
        let (received, genuine) = self.receive()?;
        let after = drop_watch::so_far(dropped, self.node)?;
        Ok(SpoofOutcome {
            id,
            received,
            genuine,
            counted: self.counted()?.saturating_sub(counted),
            reasons: counter::reasons_moved(before, after),
        })
    }

    fn send(&self, source: IpAddr, tag: Tag) -> Result<(), LabError> {
        let payload = tag.fill(self.magic, PAYLOAD);
        let port = self.spoof.id.port();
        let frame = frame_builder::udp(self.link, (source, port), (self.to, port), &payload);
        let frame = frame.doing("build a spoofed packet")?;
        for _ in 0..SPOOFED {
            let sent = self.injector.send(self.index, &frame);
            sent.doing("put a spoofed packet on a link")?;
        }
        Ok(())
    }

    /// How many spoofed packets the socket gets, and how many genuine ones, until all of the
    /// latter are there, which are the last.
    fn receive(&self) -> Result<(u64, u64), LabError> {
        let doing = "receive a packet after a spoofed one";
        let (mut spoofed, mut genuine) = (0, 0);
        let mut buffer = [0; 2 * PAYLOAD];
        let deadline = Deadline::after(self.allowed);
        while genuine < SPOOFED && !deadline.passed() {
            let received = deadline.receive(&self.socket, &mut buffer);
            let Some((length, _)) = received.doing(doing)? else {
                break;
            };
            match Tag::find(self.magic, &buffer[..length]) {
                Some(Tag::Spoofed(id)) if id == self.spoof.id => spoofed += 1,
                Some(Tag::Genuine(id)) if id == self.spoof.id => genuine += 1,
                Some(_) | None => {}
            }
        }
        Ok((spoofed, genuine))
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
