//! One namespace's observer: its socket, its interfaces and its capture file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use wireproof_model::evidence::{
    Direction, Form, Interface, InterfaceId, Nanos, Observer, Place, Role, Sighting,
};
use wireproof_model::frame::{LinkType, decode};
use wireproof_model::name::IfName;
use wireproof_model::plan::FlowId;
use wireproof_model::tag::{BeaconId, Magic, Tag};

use crate::base::artifact::RunDirectory;
use crate::base::wait::Watched;
use crate::kernel::netlink::Netlink;
use crate::kernel::packet::Listener;
use crate::observe::role::Roles;

/// The longest frame of any capture, in bytes, as in its file's header.
const SNAP_LENGTH: u32 = 1 << 16;

/// Frames that are read at a time, so that no place keeps the others waiting.
pub(crate) const BATCH: usize = 1024;

/// Bytes that one place's file holds at most, and more for each probe: a loop of packets would fill the disk.
const FILE_MAX: usize = 48 << 20;
const FILE_MAX_PER_PROBE: usize = 4 << 10;

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) interfaces: Vec<Interface>,
    /// The kernel's indexes of those that there are.
    pub(crate) indexes: BTreeMap<InterfaceId, u32>,
    /// Every frame from here on is kept; none yet.
    pub(crate) all_from: Option<Nanos>,
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) beacons: BTreeSet<(BeaconId, InterfaceId, Direction)>,
    pub(crate) forms: BTreeMap<(FlowId, u32), Form>,
    pub(crate) observers: Vec<Observer>,
    pub(crate) failure: Option<String>,
}

impl Seen {
    fn note(&mut self, sighting: Sighting) {
        let role = self
            .interfaces
            .get(usize::from(sighting.interface.0))
            .map(|interface| &interface.role);
        let from_node = matches!(role, Some(Role::Port(_))) && sighting.direction == Direction::In;
        match sighting.tag {
            Some(Tag::Beacon(id)) => {
                self.beacons
                    .insert((id, sighting.interface, sighting.direction));
                self.sightings.push(sighting);
            }
            Some(Tag::Flow(id, number)) => {
                let form = match role {
                    Some(Role::Port(_)) => Form::Readable,
                    Some(Role::Tunnel) => Form::Tunnelled,
                    _ => Form::Unseen,
                };
                if form > Form::Unseen {
                    let known = self.forms.entry((id, number)).or_default();
                    *known = form.max(*known);
                }
                if from_node {
                    self.sightings.push(sighting);
                }
            }
            _ => {
                if from_node || self.all_from.is_some_and(|moment| sighting.at >= moment) {
                    self.sightings.push(sighting);
                }
            }
        }
    }
}

/// What listens in a namespace, and what knows its links.
#[derive(Debug)]
pub(crate) struct CaptureSocket {
    pub(crate) listener: Listener,
    pub(crate) netlink: Netlink,
}

/// The observer of one place, its interfaces and its file. The place may have another
/// namespace later, or none.
pub(crate) struct NamespaceCapture {
    place: Place,
    socket: Option<CaptureSocket>,
    /// By the kernel's index.
    known: BTreeMap<u32, InterfaceId>,
    /// By what stays the same when an interface is made anew.
    named: BTreeMap<(IfName, LinkType), InterfaceId>,
    links: BTreeMap<InterfaceId, LinkType>,
    /// The file's own numbers of the interfaces.
    filed: BTreeMap<InterfaceId, u32>,
    file: PcapNgWriter<BufWriter<File>>,
    frames: u32,
    written: usize,
    most: usize,
    counts: Counts,
    /// The counts until every frame was kept.
    early: Counts,
}

/// Frames handed over, and those of them that nobody has seen.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    handed: u64,
    dropped: u64,
}

impl NamespaceCapture {
    pub(crate) fn new(place: Place, directory: &RunDirectory, probes: usize) -> io::Result<Self> {
        let file = File::create(directory.capture(&place))?;
        Ok(Self {
            place,
            socket: None,
            known: BTreeMap::new(),
            named: BTreeMap::new(),
            links: BTreeMap::new(),
            filed: BTreeMap::new(),
            file: PcapNgWriter::new(BufWriter::new(file)).map_err(io::Error::other)?,
            frames: 0,
            written: 0,
            most: FILE_MAX.saturating_add(probes.saturating_mul(FILE_MAX_PER_PROBE)),
            counts: Counts::default(),
            early: Counts::default(),
        })
    }

    /// Listens with `socket` from now on.
    pub(crate) fn open(self, socket: CaptureSocket) -> Self {
        Self {
            socket: Some(socket),
            known: BTreeMap::new(),
            ..self
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    pub(crate) fn poll_fd(&self) -> Option<PollFd<'_>> {
        let socket = self.socket.as_ref()?;
        Some(PollFd::new(socket.listener.as_fd(), PollFlags::POLLIN))
    }

    /// Reads what waits, and reports it; whether there may be more.
    pub(crate) fn drain(
        &mut self,
        magic: Magic,
        roles: &Roles,
        seen: &Watched<Seen>,
    ) -> io::Result<bool> {
        let mut fresh = Vec::new();
        let mut turn = 0..BATCH;
        // Copied out, so that its slot is free again before the file is written.
        let copy = |received, bytes: &[u8]| (received, bytes.to_vec());
        while let (Some(_), Some(socket)) = (turn.next(), self.socket.as_mut()) {
            let Some((received, bytes)) = socket.listener.receive(copy) else {
                break;
            };
            self.written += bytes.len();
            bears(&self.place, self.written, self.most)?;
            let interface = match self.known.get(&received.index) {
                Some(id) => *id,
                None => self.identify(received.index, received.raw_ip, roles, seen)?,
            };
            let link = self
                .links
                .get(&interface)
                .copied()
                .unwrap_or(LinkType::Ethernet);
            self.frames += 1;
            self.file
                .write_block(
                    &EnhancedPacketBlock {
                        interface_id: self.filed.get(&interface).copied().unwrap_or_default(),
                        timestamp: Duration::from_nanos(received.at.0),
                        original_len: received.length,
                        data: Cow::Borrowed(&bytes),
                        options: vec![],
                    }
                    .into_block(),
                )
                .map_err(io::Error::other)?;
            fresh.push(Sighting {
                at: received.at,
                interface,
                direction: received.direction,
                number: self.frames,
                length: received.length,
                frame: decode(&bytes, link),
                tag: Tag::find(magic, &bytes),
            });
        }
        let is_full = fresh.len() == BATCH;
        if !fresh.is_empty() {
            seen.change(|seen| fresh.into_iter().for_each(|sighting| seen.note(sighting)));
        }
        Ok(is_full)
    }

    /// Sees which interfaces there are. One that is made anew under its old name is the same
    /// one, with another index.
    pub(crate) fn learn(&mut self, roles: &Roles, seen: &Watched<Seen>) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        let links = socket.netlink.link_summaries().map_err(io::Error::other)?;
        let mut present = BTreeMap::new();
        for summary in links {
            let role = roles.role(&self.place, &summary.name);
            let link = Roles::link(&role, summary.no_header);
            let id = self.enrol(summary.name, role, link, seen)?;
            self.known.insert(summary.index, id);
            present.insert(id, summary.index);
        }
        seen.change(|seen| {
            seen.indexes.retain(|id, _| !self.links.contains_key(id));
            seen.indexes.extend(present);
        });
        Ok(())
    }

    /// The interface of an index that is new.
    fn identify(
        &mut self,
        index: u32,
        raw_ip: bool,
        roles: &Roles,
        seen: &Watched<Seen>,
    ) -> io::Result<InterfaceId> {
        self.learn(roles, seen)?;
        if let Some(id) = self.known.get(&index) {
            return Ok(*id);
        }
        // It is gone already, and with it its name.
        let name = format!("if{index}").parse().map_err(io::Error::other)?;
        let link = Roles::link(&Role::Other, raw_ip);
        let id = self.enrol(name, Role::Other, link, seen)?;
        self.known.insert(index, id);
        Ok(id)
    }

    /// The interface of that name, which is a new one if none had it before.
    fn enrol(
        &mut self,
        name: IfName,
        role: Role,
        link: LinkType,
        seen: &Watched<Seen>,
    ) -> io::Result<InterfaceId> {
        let key = (name, link);
        if let Some(id) = self.named.get(&key) {
            return Ok(*id);
        }
        let interface = seen.change(|seen| {
            let id = u16::try_from(seen.interfaces.len()).map_err(io::Error::other)?;
            let interface = Interface {
                id: InterfaceId(id),
                place: self.place.clone(),
                name: key.0.clone(),
                role,
                link,
            };
            seen.interfaces.push(interface.clone());
            Ok::<_, io::Error>(interface)
        })?;
        self.file
            .write_block(&described(&interface).into_block())
            .map_err(io::Error::other)?;
        self.filed.insert(
            interface.id,
            u32::try_from(self.filed.len()).unwrap_or(u32::MAX),
        );
        self.links.insert(interface.id, link);
        self.named.insert(key, interface.id);
        Ok(interface.id)
    }

    /// Stops listening; what listened is for the caller to close.
    pub(crate) fn shut(&mut self) -> io::Result<Option<CaptureSocket>> {
        let Some(socket) = self.socket.take() else {
            return Ok(None);
        };
        self.counts.add(socket.listener.statistics()?);
        Ok(Some(socket))
    }

    /// Counts anew from here on.
    pub(crate) fn reset_counters(&mut self) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            self.counts.add(socket.listener.statistics()?);
        }
        self.early = std::mem::take(&mut self.counts);
        Ok(())
    }

    /// Writes what is left of the file, and returns the counts.
    pub(crate) fn finish(self, seen: &Watched<Seen>) -> io::Result<()> {
        let observer = Observer {
            place: self.place,
            seen: (self.early.handed + self.counts.handed)
                .saturating_sub(self.early.dropped + self.counts.dropped),
            dropped: self.counts.dropped,
            dropped_early: self.early.dropped,
        };
        seen.change(|seen| seen.observers.push(observer));
        self.file.into_inner().flush()
    }
}

impl Counts {
    fn add(&mut self, (handed, dropped): (u32, u32)) {
        self.handed += u64::from(handed);
        self.dropped += u64::from(dropped);
    }
}

/// Whether that place's file may have so many bytes. What an observer could not keep would be missed later, as
/// if it had not been there: so the run ends with an error.
fn bears(place: &Place, bytes: usize, most: usize) -> io::Result<()> {
    if bytes <= most {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} has seen more than {} MiB of frames: either packets go round there, or the run is too long \
         for its flows (`flows.every` makes them slower)",
        place.name(),
        most >> 20
    )))
}

fn described(interface: &Interface) -> InterfaceDescriptionBlock<'static> {
    InterfaceDescriptionBlock {
        linktype: match interface.link {
            LinkType::Ethernet => DataLink::ETHERNET,
            LinkType::RawIp => DataLink::RAW,
        },
        snaplen: SNAP_LENGTH,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Owned(interface.name.to_string())),
            // Nanoseconds.
            InterfaceDescriptionOption::IfTsResol(9),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::namespace::Namespace;
    use crate::kernel::packet::Injector;

    /// A place whose file has `written` bytes by now, and gets one frame more.
    fn drained(written: usize) -> io::Result<()> {
        let namespace = Namespace::create("A").map_err(io::Error::other)?;
        let netlink = Netlink::open(&namespace).map_err(io::Error::other)?;
        let index = netlink.up("lo").map_err(io::Error::other)?;
        let listener = Listener::open(&namespace, 60, 0).map_err(io::Error::other)?;
        let injector = Injector::open(&namespace).map_err(io::Error::other)?;
        let folder = std::env::temp_dir().join(format!("wireproof-full-{}", std::process::id()));
        let directory = RunDirectory::create(&folder, "run").map_err(io::Error::other)?;
        let plan = "title = \"t\"\n[node.a]\npods = [\"p\"]\n";
        let engine = "wiremesh".parse().map_err(io::Error::other)?;
        let plan = wireproof_model::resolve::plan("t.toml", plan, &[engine]);
        let roles = Roles::of(&plan.map_err(|problems| io::Error::other(problems.render()))?);
        let mut capture = NamespaceCapture::new(Place::Fabric, &directory, 0)?
            .open(CaptureSocket { listener, netlink });
        capture.written = written;
        injector.send(index, &[0x0e; 60])?;
        let drained = capture.drain(Magic([7; 8]), &roles, &Watched::default());
        std::fs::remove_dir_all(&folder)?;
        drained.map(drop)
    }

    #[test]
    fn a_capture_file_at_its_limit_ends_the_run_with_an_error() {
        if let Err(why) = Namespace::create("A") {
            return eprintln!("skipped: {why}");
        }
        drained(0).unwrap();
        let error = drained(FILE_MAX).unwrap_err().to_string();
        assert!(
            error.starts_with("fabric has seen more than 48 MiB of frames"),
            "{error}"
        );
    }
}
