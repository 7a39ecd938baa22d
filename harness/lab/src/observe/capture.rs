//! The capture: one observer per namespace, armed before the first agent is started.
//!
//! One thread reads them all, writes a capture file per namespace, and keeps frames
//! decoded: from the first probe on every one, before that what came out of a node
//! onto the wire. It drops nothing and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wireproof_model::evidence::{
    Direction, Form, Interface, InterfaceId, Nanos, Observer, Place, Sighting,
};
use wireproof_model::plan::{FlowId, Patience, Plan};
use wireproof_model::tag::{BeaconId, Magic};

use crate::base::artifact::RunDirectory;
use crate::base::error::{Doing, LabError};
use crate::base::wait::{Deadline, Wait, Watched};
use crate::base::worker::{begin, on_new_threads};
use crate::cluster::topology::Topology;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::Netlink;
use crate::kernel::packet::{Listener, MOST_SLOTS, close_together};
use crate::observe::observer::{BATCH, CaptureSocket, NamespaceCapture, Seen};
use crate::observe::ring::Rings;
use crate::observe::role::Roles;
use crate::observe::unseen;

/// How long the capture thread may take on a quick machine to carry out an order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(30);

/// The armed observers. Ending it returns what they saw; dropping it stops them.
#[derive(Debug)]
pub(crate) struct Capture {
    seen: Arc<Watched<Seen>>,
    orders: Arc<Watched<Orders>>,
    patience: Patience,
    rings: Rings,
    /// The namespaces that are observed, by place.
    posts: BTreeMap<Place, u64>,
    bell: Option<io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// A beacon, and where and which way it has to be seen.
pub(crate) type Expected = (BeaconId, InterfaceId, Direction);

/// Orders to the capture thread.
#[derive(Debug, Default)]
struct Orders {
    waiting: Vec<Order>,
    given: u64,
    obeyed: u64,
}

#[derive(Debug)]
enum Order {
    /// Listen there, from now on or again.
    Open(Place, CaptureSocket),
    /// Stop listening there.
    Shut(Place),
    /// See which interfaces there are.
    Look,
    /// Count dropped frames anew.
    ResetCounters,
}

/// What a capture returns at its end.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) observers: Vec<Observer>,
    /// Where the tags of flows were seen.
    pub(crate) forms: BTreeMap<(FlowId, u32), Form>,
}

impl Capture {
    /// Opens an observer in every namespace of the lab. They see from here on.
    pub(crate) fn arm(
        plan: &Plan,
        topology: &Topology,
        magic: Magic,
        directory: &RunDirectory,
    ) -> Result<Self, LabError> {
        let (until, bell) = io::pipe().doing("create the capture's bell")?;
        let (seen, orders) = (Arc::<Watched<Seen>>::default(), Arc::default());
        let thread = CaptureThread {
            captures: BTreeMap::new(),
            roles: Roles::of(plan),
            magic,
            directory: directory.clone(),
            probes: plan.probes.len(),
            seen: Arc::clone(&seen),
            orders: Arc::clone(&orders),
        };
        let thread = begin("capture", move || thread.work(&until))?;
        let mut capture = Self {
            seen,
            orders,
            patience: plan.deadlines.patience,
            rings: Rings::of(plan),
            posts: BTreeMap::new(),
            bell: Some(bell),
            thread: Some(thread),
        };
        capture.follow(topology)?;
        Ok(capture)
    }

    /// Observes the namespaces that there are now, and no others.
    pub(crate) fn follow(&mut self, topology: &Topology) -> Result<(), LabError> {
        let places = topology.places();
        let mut now = BTreeMap::new();
        for (place, namespace) in &places {
            now.insert(place.clone(), namespace.identity()?);
        }
        let gone = |(place, identity): &(&Place, &u64)| now.get(*place) != Some(*identity);
        let orders = self.posts.iter().filter(gone);
        let mut orders: Vec<_> = orders
            .map(|(place, _)| Order::Shut(place.clone()))
            .collect();
        let fresh: Vec<_> = places
            .into_iter()
            .filter(|(place, _)| self.posts.get(place) != now.get(place))
            .collect();
        let sockets = open_together(&fresh, &self.rings)?;
        let opened = fresh.into_iter().zip(sockets);
        orders.extend(opened.map(|((place, _), socket)| Order::Open(place, socket)));
        self.posts = now;
        self.send(orders)
    }

    /// The interfaces that there are now, with their kernel indexes.
    pub(crate) fn interfaces(&self) -> Result<Vec<(Interface, u32)>, LabError> {
        self.send(vec![Order::Look])?;
        let seen = self.seen.lock();
        let index = |interface: &Interface| seen.indexes.get(&interface.id).copied();
        Ok(seen
            .interfaces
            .iter()
            .filter_map(|interface| Some((interface.clone(), index(interface)?)))
            .collect())
    }

    /// The interfaces that were there once and are not any more, by the last look.
    pub(crate) fn gone(&self) -> Vec<Interface> {
        let seen = self.seen.lock();
        let interfaces = seen.interfaces.iter();
        let gone = interfaces.filter(|interface| !seen.indexes.contains_key(&interface.id));
        gone.cloned().collect()
    }

    /// Which of these beacons were not seen where they must be.
    pub(crate) fn unseen(&self, expected: &BTreeSet<Expected>) -> Vec<Expected> {
        let seen = self.seen.lock();
        expected.difference(&seen.beacons).copied().collect()
    }

    /// Whether a beacon was seen in the same place and direction through a link of another name: the link had
    /// that name when the observer last looked.
    pub(crate) fn has_seen_under_another_name(&self, expected: &Expected) -> bool {
        unseen::has_another_name(&self.seen.lock(), expected)
    }

    /// Keeps every frame from this moment on.
    pub(crate) fn keep_all_from(&self, moment: Nanos) -> Result<(), LabError> {
        self.seen.change(|seen| seen.all_from = Some(moment));
        self.send(vec![Order::ResetCounters])
    }

    /// Waits until everything that the kernel has handed over by now has been read, so that there is room
    /// for more.
    pub(crate) fn catch_up(&self) -> Result<(), LabError> {
        self.send(Vec::new())
    }

    /// Gives orders to the thread, and waits until it has carried them out.
    fn send(&self, orders: Vec<Order>) -> Result<(), LabError> {
        let given = self.orders.change(|all| {
            all.given += 1;
            all.waiting.extend(orders);
            all.given
        });
        if let Some(mut bell) = self.bell.as_ref() {
            bell.write_all(&[0]).doing("wake the capture thread")?;
        }
        self.orders.wait_until(
            Wait {
                who: "capture",
                until: "the observers have done what they were told",
                look: "fewer labs at once leave them more of the processors",
            },
            Deadline::after(self.patience.allows(ORDER_TIMEOUT)),
            |orders| (orders.obeyed >= given).then_some(()),
            |orders| format!("{} of {given} orders are done", orders.obeyed),
        )?;
        self.sound()
    }

    /// Whether it has failed by now.
    fn sound(&self) -> Result<(), LabError> {
        match &self.seen.lock().failure {
            Some(failure) => Err(LabError::machine("capture frames", failure)),
            None => Ok(()),
        }
    }

    /// Waits until each of these beacons was seen where it must be.
    pub(crate) fn wait_for_beacons(
        &self,
        until: &str,
        expected: &BTreeSet<Expected>,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let missing = |seen: &Seen| expected.difference(&seen.beacons).count();
        self.seen.wait_until(
            Wait {
                who: "capture",
                until,
                look: "the pcapng files in the run directory have what each observer saw",
            },
            deadline,
            |seen| (seen.failure.is_some() || missing(seen) == 0).then_some(()),
            |seen| unseen::describe(seen, expected),
        )?;
        self.sound()
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
            forms: std::mem::take(&mut seen.forms),
        })
    }

    fn halt(&mut self) {
        drop(self.bell.take());
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
    rings: &Rings,
) -> Result<Vec<CaptureSocket>, LabError> {
    let open = |place: &Place, namespace: &Namespace| {
        let ring = rings.at(place);
        Ok(CaptureSocket {
            listener: Listener::open(namespace, ring.longest, ring.at_once)?,
            netlink: Netlink::open(namespace)?,
        })
    };
    let opened = on_new_threads(places, |(place, namespace)| open(place, namespace));
    opened.into_iter().collect()
}

/// Drains a ring that was full, and no more: more may come all the time.
fn drain_all(mut drain: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..MOST_SLOTS.div_ceil(BATCH) {
        if !drain()? {
            break;
        }
    }
    Ok(())
}

/// All observers, on their thread.
struct CaptureThread {
    captures: BTreeMap<Place, NamespaceCapture>,
    roles: Roles,
    magic: Magic,
    directory: RunDirectory,
    /// How many there are in the whole run.
    probes: usize,
    seen: Arc<Watched<Seen>>,
    orders: Arc<Watched<Orders>>,
}

impl CaptureThread {
    fn work(mut self, bell: &io::PipeReader) {
        let mut result = self.observe(bell);
        let mut sockets = Vec::new();
        for (_, mut capture) in std::mem::take(&mut self.captures) {
            match capture.shut() {
                Ok(socket) => sockets.extend(socket),
                Err(error) => result = result.and(Err(error)),
            }
            result = result.and(capture.finish(&self.seen));
        }
        close_together(sockets);
        if let Err(error) = result {
            self.seen
                .change(|seen| seen.failure = Some(error.to_string()));
        }
        // Whoever still waits is told of the failure.
        self.orders.change(|orders| orders.obeyed = orders.given);
    }

    /// Reads what the observers receive until nobody holds the bell's other end.
    fn observe(&mut self, mut bell: &io::PipeReader) -> io::Result<()> {
        loop {
            let listening: Vec<_> = self
                .captures
                .values_mut()
                .filter(|capture| capture.is_open())
                .collect();
            let mut fds: Vec<_> = listening
                .iter()
                .filter_map(|capture| capture.poll_fd())
                .collect();
            fds.push(PollFd::new(bell.as_fd(), PollFlags::POLLIN));
            poll(&mut fds, PollTimeout::NONE)?;
            let stirred: Vec<_> = fds
                .iter()
                .map(|fd| fd.revents().is_some_and(|seen| !seen.is_empty()))
                .collect();
            let rung = stirred.last() == Some(&true);
            for (capture, stirred) in listening.into_iter().zip(stirred) {
                let mut drain = || capture.drain(self.magic, &self.roles, &self.seen);
                match rung {
                    // What arrived before an order was given belongs to the time before it.
                    true => drain_all(drain)?,
                    false if stirred => drop(drain()?),
                    false => {}
                }
            }
            if rung {
                if bell.read(&mut [0; 64])? == 0 {
                    return Ok(());
                }
                self.take_orders()?;
            }
        }
    }

    fn take_orders(&mut self) -> io::Result<()> {
        let (orders, given) = self
            .orders
            .change(|orders| (std::mem::take(&mut orders.waiting), orders.given));
        let mut closing = Vec::new();
        for order in orders {
            match order {
                Order::Open(place, socket) => {
                    let capture = match self.captures.remove(&place) {
                        Some(capture) => capture,
                        None => NamespaceCapture::new(place.clone(), &self.directory, self.probes)?,
                    };
                    let mut capture = capture.open(socket);
                    capture.learn(&self.roles, &self.seen)?;
                    self.captures.insert(place, capture);
                }
                Order::Shut(place) => {
                    if let Some(capture) = self.captures.get_mut(&place) {
                        closing.extend(capture.shut()?);
                    }
                }
                Order::ResetCounters => {
                    for capture in self.captures.values_mut() {
                        capture.reset_counters()?;
                    }
                }
                Order::Look => {
                    for capture in self.captures.values_mut() {
                        capture.learn(&self.roles, &self.seen)?;
                    }
                }
            }
        }
        close_together(closing);
        self.orders.change(|orders| orders.obeyed = given);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wireproof_model::evidence::Role;
    use wireproof_model::frame::LinkType;

    use super::*;
    use crate::kernel::packet::Injector;

    #[test]
    fn a_drain_ends_with_the_ring_and_is_bounded() {
        let mut left = 5;
        let drained = drain_all(|| {
            left -= 1;
            Ok(left > 0)
        });
        assert!(drained.is_ok() && left == 0);
        let mut turns = 0;
        let endless = drain_all(|| {
            turns += 1;
            Ok(true)
        });
        assert!(endless.is_ok() && turns * BATCH == MOST_SLOTS);
    }

    /// More frames than one batch of the reader.
    const MANY: usize = BATCH + BATCH / 2;

    #[test]
    fn catching_up_reads_every_waiting_frame() {
        let text = "title = \"t\"\n[node.ada]\n[node.bob]\n";
        let engine = "wiremesh".parse().unwrap();
        let plan = wireproof_model::resolve::plan("t.toml", text, &[engine]).unwrap();
        let topology = match Topology::build(&plan) {
            Ok(topology) => topology,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        let folder = std::env::temp_dir().join(format!("wireproof-late-{}", std::process::id()));
        let directory = RunDirectory::create(&folder, "run").unwrap();
        let capture = Capture::arm(&plan, &topology, Magic([7; 8]), &directory).unwrap();
        capture.keep_all_from(Nanos(0)).unwrap();
        let ada = &topology.nodes[0].namespace;
        let index = Netlink::open(ada).unwrap().up("lo").unwrap();
        let injector = Injector::open(ada).unwrap();
        for _ in 0..MANY {
            injector.send(index, &[0x0e; 60]).unwrap();
        }
        capture.catch_up().unwrap();
        let noise = |sighting: &&Sighting| sighting.length == 60;
        let read = capture.seen.lock().sightings.iter().filter(noise).count();
        let seen = capture.end().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(read >= MANY, "{read}");
        assert!(seen.observers.iter().all(|observer| observer.dropped == 0));
    }

    #[test]
    fn an_observer_that_has_not_seen_its_beacons_is_named() {
        let mut seen = Seen::default();
        for (id, place, name) in [
            (0, Place::Fabric, "ada"),
            (1, Place::Node("ada".parse().unwrap()), "eth0"),
        ] {
            seen.interfaces.push(Interface {
                id: InterfaceId(id),
                place,
                name: name.parse().unwrap(),
                role: Role::Uplink,
                link: LinkType::Ethernet,
            });
        }
        let beacon = |beacon, interface, way| (BeaconId(beacon), InterfaceId(interface), way);
        let expected = BTreeSet::from([
            beacon(0, 0, Direction::Out),
            beacon(0, 1, Direction::In),
            beacon(1, 0, Direction::Out),
            beacon(1, 1, Direction::In),
            beacon(2, 1, Direction::Out),
        ]);
        seen.beacons.insert(beacon(0, 0, Direction::Out));
        seen.beacons.insert(beacon(1, 0, Direction::Out));
        assert_eq!(
            unseen::describe(&seen, &expected),
            "2 of 5 beacons; ada has not seen 2 into eth0, ada has not seen 1 out of eth0"
        );
    }
}
