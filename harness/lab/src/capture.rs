//! One observer per namespace, armed before the first probe.
//!
//! One thread reads them all, writes a capture file per namespace, and keeps every
//! frame decoded. It drops nothing and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wireproof_model::evidence::{
    Direction, Interface, InterfaceId, Observer, Place, Role, Sighting,
};
use wireproof_model::frame::LinkType;
use wireproof_model::name::IfName;
use wireproof_model::plan::Plan;
use wireproof_model::tag::{BeaconId, Magic};

use crate::artifact::RunDirectory;
use crate::error::{Doing, LabError};
use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::observer::{Desk, Seen};
use crate::packet::{Listener, close_together};
use crate::topology::{POD_MTU, Topology, UPLINK};
use crate::wait::{Deadline, Watched};

/// Bytes of an Ethernet header with a VLAN tag.
const ETHERNET_HEADER: usize = 18;

/// The armed observers. Ending it returns what they saw; dropping it stops them.
#[derive(Debug)]
pub(crate) struct Capture {
    seen: Arc<Watched<Seen>>,
    indexes: BTreeMap<InterfaceId, u32>,
    stop: Option<io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// What a capture returns at its end.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) observers: Vec<Observer>,
}

impl Capture {
    /// Opens an observer in every namespace of the lab. They see from here on.
    pub(crate) fn arm(
        plan: &Plan,
        topology: &Topology,
        magic: Magic,
        directory: &RunDirectory,
    ) -> Result<Self, LabError> {
        let mut interfaces = Vec::new();
        let mut indexes = BTreeMap::new();
        let mut desks = Vec::new();
        let places = topology.places(plan);
        let listeners = open_together(&places, longest_frame(plan))?;
        for ((place, namespace), listener) in places.into_iter().zip(listeners) {
            let mut known = BTreeMap::new();
            for (index, interface) in interfaces_of(plan, &place, namespace, interfaces.len())? {
                known.insert(index, interface.id);
                indexes.insert(interface.id, index);
                interfaces.push(interface);
            }
            desks.push(Desk::new(place, listener, known, &interfaces, directory)?);
        }
        let seen = Arc::new(Watched::default());
        seen.change(|seen: &mut Seen| seen.interfaces = interfaces);
        let (until, stop) = io::pipe().doing("create the capture's stop signal")?;
        let thread = {
            let seen = Arc::clone(&seen);
            thread::Builder::new()
                .name("capture".into())
                .spawn(move || read_all(desks, magic, &until, &seen))
                .doing("start the capture thread")?
        };
        Ok(Self {
            seen,
            indexes,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The observed interfaces with their kernel indexes.
    pub(crate) fn interfaces(&self) -> Vec<(Interface, u32)> {
        let seen = self.seen.lock();
        let index = |interface: &Interface| self.indexes.get(&interface.id).copied();
        seen.interfaces
            .iter()
            .filter_map(|interface| Some((interface.clone(), index(interface)?)))
            .collect()
    }

    /// Waits until each of these beacons was seen where it must be.
    pub(crate) fn wait_for_beacons(
        &self,
        what: &str,
        expected: &BTreeSet<(BeaconId, InterfaceId, Direction)>,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let missing = |seen: &Seen| expected.difference(&seen.beacons).count();
        self.seen.wait_until(
            what,
            deadline,
            |seen| (seen.failure.is_some() || missing(seen) == 0).then_some(()),
            |seen| {
                format!(
                    "{} of {} beacons",
                    expected.len() - missing(seen),
                    expected.len()
                )
            },
        )?;
        match &self.seen.lock().failure {
            Some(failure) => Err(LabError::machine("capture frames", failure)),
            None => Ok(()),
        }
    }

    /// Disarms the observers and returns what they saw.
    pub(crate) fn end(mut self) -> Result<Captured, LabError> {
        self.halt();
        let mut seen = self.seen.lock();
        if let Some(failure) = &seen.failure {
            return Err(LabError::machine("capture frames", failure));
        }
        let mut sightings = std::mem::take(&mut seen.sightings);
        sightings.sort_by_key(|sighting| sighting.at);
        Ok(Captured {
            interfaces: std::mem::take(&mut seen.interfaces),
            sightings,
            observers: std::mem::take(&mut seen.observers),
        })
    }

    fn halt(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Opens a packet socket in each namespace, each on a thread of its own: every ring waits some
/// 10 ms for the kernel's readers, and they can wait together.
fn open_together(
    places: &[(Place, &Namespace)],
    longest: usize,
) -> Result<Vec<Listener>, LabError> {
    thread::scope(|scope| {
        let opening: Vec<_> = places
            .iter()
            .map(|(_, namespace)| scope.spawn(move || Listener::open(namespace, longest)))
            .collect();
        opening
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(listener) => listener,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// In bytes, of any link of the lab: its MTU and an Ethernet header with a VLAN tag.
fn longest_frame(plan: &Plan) -> usize {
    let uplinks = plan.nodes.iter().map(|node| node.mtu);
    usize::from(uplinks.chain([POD_MTU]).max().unwrap_or(POD_MTU)) + ETHERNET_HEADER
}

/// The interfaces of a namespace with their kernel indexes; ids start at `first`.
fn interfaces_of(
    plan: &Plan,
    place: &Place,
    namespace: &Namespace,
    first: usize,
) -> Result<Vec<(u32, Interface)>, LabError> {
    let mut interfaces = Vec::new();
    for link in Netlink::open(namespace)?.link_summaries()? {
        let role = role_of(plan, place, &link.name);
        let link_type = if role == Role::Tunnel || link.no_header {
            LinkType::RawIp
        } else {
            LinkType::Ethernet
        };
        let id = u16::try_from(first + interfaces.len())
            .map_err(|_| LabError::machine("number the interfaces", "more than 65535"))?;
        interfaces.push((
            link.index,
            Interface {
                id: InterfaceId(id),
                place: place.clone(),
                name: link.name,
                role,
                link: link_type,
            },
        ));
    }
    Ok(interfaces)
}

fn role_of(plan: &Plan, place: &Place, name: &IfName) -> Role {
    if name.as_str() == "lo" {
        return Role::Loopback;
    }
    match place {
        Place::Fabric => plan
            .nodes
            .iter()
            .find(|node| &IfName::from(&node.name) == name)
            .map_or(Role::Other, |node| Role::Port(node.name.clone())),
        Place::Node(_) if plan.tunnels().contains(name) => Role::Tunnel,
        Place::Node(_) if name.as_str() == UPLINK => Role::Uplink,
        Place::Node(node) => plan
            .nodes
            .iter()
            .filter(|planned| &planned.name == node)
            .flat_map(|planned| &planned.pods)
            .find(|pod| &pod.interface == name)
            .map_or(Role::Other, |pod| Role::PodLink(pod.name.clone())),
        Place::Pod(_) if name.as_str() == UPLINK => Role::PodUplink,
        Place::Pod(_) => Role::Other,
    }
}

fn read_all(mut desks: Vec<Desk>, magic: Magic, until: &io::PipeReader, seen: &Watched<Seen>) {
    let result = read_until(&mut desks, magic, until, seen);
    let (closed, failed): (Vec<_>, Vec<_>) = desks
        .into_iter()
        .map(|desk| desk.close(seen))
        .partition(Result::is_ok);
    close_together(closed);
    let failures = failed.into_iter().filter_map(Result::err);
    if let Some(error) = result.err().into_iter().chain(failures).next() {
        seen.change(|seen| seen.failure = Some(error.to_string()));
    }
}

fn read_until(
    desks: &mut [Desk],
    magic: Magic,
    until: &io::PipeReader,
    seen: &Watched<Seen>,
) -> io::Result<()> {
    loop {
        let mut fds: Vec<_> = desks
            .iter()
            .map(|desk| PollFd::new(desk.as_fd(), PollFlags::POLLIN))
            .collect();
        fds.push(PollFd::new(until.as_fd(), PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE)?;
        let stirred: Vec<_> = fds
            .iter()
            .map(|fd| fd.revents().is_some_and(|seen| !seen.is_empty()))
            .collect();
        for (desk, stirred) in desks.iter_mut().zip(&stirred) {
            if *stirred {
                desk.drain(magic, seen)?;
            }
        }
        if stirred.last() == Some(&true) {
            // What arrived before the end belongs to the run.
            for desk in desks.iter_mut() {
                desk.drain(magic, seen)?;
            }
            return Ok(());
        }
    }
}
