//! One namespace's observer: its socket, its interfaces and its capture file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use wireproof_model::evidence::{
    Direction, Interface, InterfaceId, Observer, Place, Role, Sighting,
};
use wireproof_model::frame::{LinkType, decode};
use wireproof_model::tag::{BeaconId, Magic, Tag};

use crate::artifact::RunDirectory;
use crate::error::{Doing, LabError};
use crate::packet::Listener;
use crate::wait::Watched;

/// The longest frame of any capture, in bytes, as its file's header says.
const SNAP_LENGTH: u32 = 1 << 16;

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) beacons: BTreeSet<(BeaconId, InterfaceId, Direction)>,
    pub(crate) observers: Vec<Observer>,
    pub(crate) failure: Option<String>,
}

/// One namespace's observer, its interfaces and its file.
pub(crate) struct Desk {
    place: Place,
    listener: Listener,
    known: BTreeMap<u32, InterfaceId>,
    links: BTreeMap<InterfaceId, LinkType>,
    /// The file's own numbers of the interfaces.
    filed: BTreeMap<InterfaceId, u32>,
    file: PcapNgWriter<BufWriter<File>>,
    frames: u32,
    handed: u64,
    dropped: u64,
}

impl Desk {
    pub(crate) fn new(
        place: Place,
        listener: Listener,
        known: BTreeMap<u32, InterfaceId>,
        interfaces: &[Interface],
        directory: &RunDirectory,
    ) -> Result<Self, LabError> {
        let path = directory.capture(&place);
        let doing = || format!("write {}", path.display());
        let file = File::create(&path).doing(doing())?;
        let mut file = PcapNgWriter::new(BufWriter::new(file))
            .map_err(|error| LabError::machine(doing(), error))?;
        let (mut links, mut filed) = (BTreeMap::new(), BTreeMap::new());
        for interface in interfaces.iter().filter(|known| known.place == place) {
            file.write_block(&described(interface).into_block())
                .map_err(|error| LabError::machine(doing(), error))?;
            filed.insert(interface.id, u32::try_from(filed.len()).unwrap_or(u32::MAX));
            links.insert(interface.id, interface.link);
        }
        Ok(Self {
            place,
            listener,
            known,
            links,
            filed,
            file,
            frames: 0,
            handed: 0,
            dropped: 0,
        })
    }

    /// Reads what waits, and reports it.
    pub(crate) fn drain(&mut self, magic: Magic, seen: &Watched<Seen>) -> io::Result<()> {
        let mut fresh = Vec::new();
        // Copied out, so that its slot is free again before the file is written.
        let copy = |received, bytes: &[u8]| (received, bytes.to_vec());
        while let Some((received, bytes)) = self.listener.receive(copy) {
            let interface = match self.known.get(&received.index) {
                Some(id) => *id,
                None => self.admit(received.index, received.raw_ip, seen)?,
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
        if fresh.is_empty() {
            return Ok(());
        }
        seen.change(|seen| {
            for sighting in &fresh {
                if let Some(Tag::Beacon(id)) = sighting.tag {
                    seen.beacons
                        .insert((id, sighting.interface, sighting.direction));
                }
            }
            seen.sightings.append(&mut fresh);
        });
        Ok(())
    }

    /// An interface that appeared after the observers were armed.
    fn admit(&mut self, index: u32, raw_ip: bool, seen: &Watched<Seen>) -> io::Result<InterfaceId> {
        let name = format!("if{index}").parse().map_err(io::Error::other)?;
        let link = if raw_ip {
            LinkType::RawIp
        } else {
            LinkType::Ethernet
        };
        let interface = seen.change(|seen| {
            let interface = Interface {
                id: InterfaceId(u16::try_from(seen.interfaces.len()).unwrap_or(u16::MAX)),
                place: self.place.clone(),
                name,
                role: Role::Other,
                link,
            };
            seen.interfaces.push(interface.clone());
            interface
        });
        self.file
            .write_block(&described(&interface).into_block())
            .map_err(io::Error::other)?;
        self.filed.insert(
            interface.id,
            u32::try_from(self.filed.len()).unwrap_or(u32::MAX),
        );
        self.links.insert(interface.id, link);
        self.known.insert(index, interface.id);
        Ok(interface.id)
    }

    fn count(&mut self) -> io::Result<()> {
        let (handed, dropped) = self.listener.statistics()?;
        self.handed += u64::from(handed);
        self.dropped += u64::from(dropped);
        Ok(())
    }

    /// Writes what is left of the file and tells the counts; the socket is for the caller to close.
    pub(crate) fn close(mut self, seen: &Watched<Seen>) -> io::Result<Listener> {
        self.count()?;
        let observer = Observer {
            place: self.place,
            seen: self.handed.saturating_sub(self.dropped),
            dropped: self.dropped,
        };
        seen.change(|seen| seen.observers.push(observer));
        self.file.into_inner().flush()?;
        Ok(self.listener)
    }
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

impl AsFd for Desk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
