//! Flows: numbered packets from endpoint to endpoint throughout the run.
//!
//! One thread sends all of them and receives all that arrive. What it reports is when a packet left and whether
//! it came; how it looked on its way is for the captures to show.

/// The position of a flow at a time, and whether it has progressed since.
mod mark;
/// The sockets of flows.
mod sockets;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use nix::sys::time::TimeSpec;
use wireproof_model::evidence::{FlowEvidence, FlowPacket, Form, Nanos};
use wireproof_model::name::EndpointName;
use wireproof_model::plan::{FLOW_PORT, Family, Flow, FlowId, Patience, Plan, State, Timeout};
use wireproof_model::tag::{FLOW_TAG_LENGTH, Magic, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::{Deadline, Wait, Watched, poll_timeout, some_of};
use crate::base::worker::begin;
use crate::cluster::topology::Topology;
use crate::kernel::namespace::Namespace;
use crate::kernel::packet::now;

use mark::Mark;
use sockets::Sockets;

/// Bytes of payload: four whole tags.
const PAYLOAD: usize = 4 * FLOW_TAG_LENGTH;

/// How long flows may take until they arrive for the first time, on a quick machine. It is evidence that
/// one has not.
const FIRST_ARRIVAL_TIMEOUT: Duration = Duration::from_secs(6);

/// How long what was sent last may take to arrive, on a quick machine. What has not is lost.
const LAST_ARRIVAL_TIMEOUT: Duration = Duration::from_millis(300);

/// The running flows. Dropping it stops them.
#[derive(Debug)]
pub(crate) struct Streams {
    flows: Vec<Flow>,
    patience: Patience,
    logs: Arc<Watched<Logs>>,
    /// The namespaces that have sockets, by endpoint.
    posts: BTreeMap<Post, u64>,
    bell: Option<io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// Where a flow starts or ends.
type Post = (EndpointName, Family);

/// Orders to the thread, and its reports.
#[derive(Debug, Default)]
struct Logs {
    /// New sockets, and none for an endpoint that is gone.
    sockets: Vec<(Post, Option<Sockets>)>,
    /// Which flows are sent, and where to.
    active: BTreeMap<FlowId, SocketAddr>,
    flows: BTreeMap<FlowId, Log>,
}

/// The packets of a flow, in order.
#[derive(Debug, Default)]
struct Log {
    packets: Vec<(Nanos, Option<Nanos>)>,
    /// One more than the last that arrived.
    arrived: usize,
}

impl Streams {
    /// Starts the thread; no flow is sent yet.
    pub(crate) fn new(plan: &Plan, magic: Magic) -> Result<Self, LabError> {
        let logs = Arc::<Watched<Logs>>::default();
        let (until, bell) = io::pipe().doing("create the flows' bell")?;
        let flows = plan.flows.flows.clone();
        let sender = Sender {
            magic,
            every: Duration::from_micros(plan.flows.every.into()),
            sources: flows
                .iter()
                .map(|flow| (flow.id, (flow.from.clone(), flow.family)))
                .collect(),
            sockets: BTreeMap::new(),
            due: BTreeMap::new(),
            logs: Arc::clone(&logs),
        };
        let thread = begin("flows", move || sender.work(&until))?;
        Ok(Self {
            flows,
            patience: plan.deadlines.patience,
            logs,
            posts: BTreeMap::new(),
            bell: Some(bell),
            thread: Some(thread),
        })
    }

    /// Starts every flow of `state`. Between two endpoints packets go one way first, and the
    /// other way later: two WireGuard handshakes that cross each other cost seconds.
    pub(crate) fn begin(&mut self, topology: &Topology, state: &State) -> Result<(), LabError> {
        self.open(topology, state)?;
        let order: BTreeMap<_, _> = state
            .endpoints()
            .into_iter()
            .map(|endpoint| endpoint.name)
            .zip(0..)
            .collect();
        let there: BTreeSet<_> = self
            .flows
            .iter()
            .filter(|flow| order.get(&flow.from) < order.get(&flow.to))
            .map(|flow| flow.id)
            .collect();
        self.send(state, |flow| there.contains(&flow.id));
        self.wait_for_packets(state, self.patience.watches(FIRST_ARRIVAL_TIMEOUT));
        self.send(state, |_| true);
        self.wait_for_packets(state, self.patience.watches(FIRST_ARRIVAL_TIMEOUT));
        Ok(())
    }

    /// Sends the flows that `state` has, between the namespaces that there are now.
    pub(crate) fn follow(&mut self, topology: &Topology, state: &State) -> Result<(), LabError> {
        self.open(topology, state)?;
        self.send(state, |_| true);
        Ok(())
    }

    /// Waits until a packet from now on has arrived of each flow that must arrive in `state` and has been sent
    /// of each other one, or for as long as `allowed`; which did not, is in the evidence.
    pub(crate) fn wait_for_packets(&self, state: &State, allowed: Timeout) {
        let marks: Vec<Mark> = {
            let logs = self.logs.lock();
            let active = self.flows.iter();
            let active = active.filter(|flow| logs.active.contains_key(&flow.id));
            active
                .map(|flow| Mark::at(flow.id, state.delivers(flow), &logs))
                .collect()
        };
        self.logs.wait_for(Deadline::after(allowed), |logs| {
            marks.iter().all(|mark| mark.is_passed(logs)).then_some(())
        });
    }

    /// Waits until each of the `chosen` flows has sent one packet more: what happens then has been tried.
    pub(crate) fn wait_until_sent(
        &self,
        chosen: impl Fn(&Flow) -> bool,
        allowed: Timeout,
    ) -> Result<(), LabError> {
        let sent = |logs: &Logs, id: &FlowId| logs.flows.get(id).map_or(0, |log| log.packets.len());
        let marks: Vec<_> = {
            let logs = self.logs.lock();
            let own = self.flows.iter().filter(|flow| chosen(flow));
            let own = own.map(|flow| flow.id);
            own.filter(|id| logs.active.contains_key(id))
                .map(|id| (id, sent(&logs, &id)))
                .collect()
        };
        let waiting = |logs: &Logs| {
            let waiting = marks.iter().filter(|(id, mark)| sent(logs, id) <= *mark);
            waiting.map(|(id, _)| *id).collect::<BTreeSet<_>>()
        };
        self.logs.wait_until(
            Wait {
                who: "flows",
                until: "each flow that the step is about has sent a packet",
                look: "what the step shows was not tried: fewer flows (`flows.count`) are sent more often",
            },
            Deadline::after(allowed),
            |logs| waiting(logs).is_empty().then_some(()),
            |logs| {
                let waiting = waiting(logs);
                let flows = self.flows.iter().filter(|flow| waiting.contains(&flow.id));
                let names = flows.map(|flow| format!("{} > {}", flow.from, flow.to));
                let all = marks.len();
                format!(
                    "{} of {all} have; not {}",
                    all - waiting.len(),
                    some_of(&names.collect::<Vec<_>>())
                )
            },
        )
    }

    /// Ends every flow, and returns the fate of their packets. Those that must arrive in `state` have time to.
    pub(crate) fn end(mut self, state: &State) -> Vec<FlowEvidence> {
        self.logs.change(|logs| logs.active.clear());
        let arrive: BTreeSet<_> = self
            .flows
            .iter()
            .filter(|flow| state.delivers(flow))
            .map(|flow| flow.id)
            .collect();
        let expected = |logs: &Logs| {
            let whole = |log: &Log| log.arrived == log.packets.len();
            let mut flows = logs.flows.iter();
            flows.all(|(id, log)| whole(log) || !arrive.contains(id))
        };
        let deadline = Deadline::after(self.patience.watches(LAST_ARRIVAL_TIMEOUT));
        self.logs
            .wait_for(deadline, |logs| expected(logs).then_some(()));
        self.halt();
        let mut logs = self.logs.lock();
        let log = |flow: &Flow| evidence(flow.id, logs.flows.remove(&flow.id).unwrap_or_default());
        self.flows.iter().map(log).collect()
    }

    /// Opens sockets where an endpoint is new or is somewhere else, and closes those of endpoints
    /// that are gone.
    fn open(&mut self, topology: &Topology, state: &State) -> Result<(), LabError> {
        let ends: BTreeSet<_> = self
            .flows
            .iter()
            .flat_map(|flow| [&flow.from, &flow.to].map(|end| (end.clone(), flow.family)))
            .collect();
        for post in ends {
            let (name, family) = &post;
            let namespace = match state.endpoint(name) {
                Some(_) => Some(topology.endpoint(name)?),
                None => None,
            };
            let identity = namespace.map(Namespace::identity).transpose()?;
            if self.posts.get(&post).copied() == identity {
                continue;
            }
            let open = || Sockets::open(*family);
            let sockets = namespace.map(|namespace| namespace.enter(open));
            let sockets = sockets.transpose()?;
            match identity {
                Some(identity) => self.posts.insert(post.clone(), identity),
                None => self.posts.remove(&post),
            };
            self.logs.change(|logs| logs.sockets.push((post, sockets)));
        }
        self.ring()
    }

    fn send(&self, state: &State, chosen: impl Fn(&Flow) -> bool) {
        let target = |flow: &Flow| {
            state.endpoint(&flow.from)?;
            let to = state.endpoint(&flow.to)?;
            Some((
                flow.id,
                SocketAddr::new(flow.family.address(to.address), FLOW_PORT),
            ))
        };
        let flows = self.flows.iter().filter(|flow| chosen(flow));
        let active = flows.filter_map(target).collect();
        self.logs.change(|logs| logs.active = active);
        // Without the bell it takes until the next packet.
        drop(self.ring());
    }

    fn ring(&self) -> Result<(), LabError> {
        match self.bell.as_ref() {
            Some(mut bell) => bell.write_all(&[0]).doing("wake the flows' thread"),
            None => Ok(()),
        }
    }

    fn halt(&mut self) {
        drop(self.bell.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.halt();
    }
}

fn evidence(id: FlowId, log: Log) -> FlowEvidence {
    let since = log.packets.first().map_or(Nanos(0), |(sent, _)| *sent);
    let micros = |moment: Nanos| moment.0.saturating_sub(since.0) / 1_000;
    let packet = |(sent, received): (Nanos, Option<Nanos>)| FlowPacket {
        sent: micros(sent),
        received: received.map(micros),
        form: Form::Unseen,
    };
    FlowEvidence {
        id,
        since,
        packets: log.packets.into_iter().map(packet).collect(),
    }
}

/// The thread's own.
struct Sender {
    magic: Magic,
    every: Duration,
    sources: BTreeMap<FlowId, Post>,
    sockets: BTreeMap<Post, Sockets>,
    /// When the next packet of each flow is sent.
    due: BTreeMap<FlowId, Instant>,
    logs: Arc<Watched<Logs>>,
}

impl Sender {
    fn work(mut self, bell: &io::PipeReader) {
        // A socket that fails shows as packets that never arrive.
        while matches!(self.turn(bell), Ok(true)) {}
    }

    /// Sends what is due, and waits for the next; false at the end.
    fn turn(&mut self, mut bell: &io::PipeReader) -> io::Result<bool> {
        let timeout = match self.send_due() {
            Some(next) => poll_timeout(next.saturating_duration_since(Instant::now())),
            None => PollTimeout::NONE,
        };
        let mut fds: Vec<_> = self
            .sockets
            .values()
            .map(|sockets| PollFd::new(sockets.into.as_fd(), PollFlags::POLLIN))
            .collect();
        fds.push(PollFd::new(bell.as_fd(), PollFlags::POLLIN));
        poll(&mut fds, timeout)?;
        let stirred: Vec<_> = fds
            .iter()
            .map(|fd| fd.revents().is_some_and(|seen| !seen.is_empty()))
            .collect();
        for (sockets, stirred) in self.sockets.values().zip(&stirred) {
            if *stirred {
                self.receive(&sockets.into);
            }
        }
        if stirred.last() == Some(&true) {
            if bell.read(&mut [0; 64])? == 0 {
                return Ok(false);
            }
            for (post, sockets) in self.logs.change(|logs| std::mem::take(&mut logs.sockets)) {
                match sockets {
                    Some(sockets) => self.sockets.insert(post, sockets),
                    None => self.sockets.remove(&post),
                };
            }
        }
        Ok(true)
    }

    /// When to send again; none while there is nothing to send.
    fn send_due(&mut self) -> Option<Instant> {
        let active: BTreeSet<_> = self.logs.lock().active.keys().copied().collect();
        self.due.retain(|id, _| active.contains(id));
        let count = u32::try_from(active.len()).unwrap_or(u32::MAX);
        for (place, id) in (0_u32..).zip(active) {
            let moment = Instant::now();
            // Spread over the interval, so that some flow is sent at any time.
            let first = moment + self.every * place / count.max(1);
            let due = self.due.entry(id).or_insert(first);
            if *due > moment {
                continue;
            }
            // What a busy machine has not sent in time is not made up for.
            *due = moment.max(*due + self.every);
            let source = self.sources.get(&id);
            if let Some(sockets) = source.and_then(|post| self.sockets.get(post)) {
                self.logs.change(|logs| {
                    // As it is now: nothing goes to an address any more once another is told.
                    let Some(to) = logs.active.get(&id).copied() else {
                        return;
                    };
                    let log = logs.flows.entry(id).or_default();
                    let number = u32::try_from(log.packets.len()).unwrap_or(u32::MAX);
                    let payload = Tag::Flow(id, number).fill(self.magic, PAYLOAD);
                    log.packets.push((now(), None));
                    // A node without a route to its peer sends nothing, which is as good as lost.
                    let _ = sockets.out.send_to(&payload, to);
                });
            }
        }
        self.due.values().min().copied()
    }

    fn receive(&self, socket: &UdpSocket) {
        let mut buffer = [0; 2 * PAYLOAD];
        loop {
            let mut control = nix::cmsg_space!(TimeSpec);
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::empty(),
            );
            let Ok(message) = received else {
                return;
            };
            let stamp = message
                .cmsgs()
                .into_iter()
                .flatten()
                .find_map(|one| match one {
                    ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                    _ => None,
                });
            let length = message.bytes;
            let at = stamp.map_or_else(now, |at| {
                Nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
            });
            let Some(bytes) = buffer.get(..length) else {
                continue;
            };
            if let Some(Tag::Flow(id, number)) = Tag::find(self.magic, bytes) {
                self.logs.change(|logs| arrive(logs, id, number, at));
            }
        }
    }
}

fn arrive(logs: &mut Logs, id: FlowId, number: u32, at: Nanos) {
    let Some(log) = logs.flows.get_mut(&id) else {
        return;
    };
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    if let Some((_, received)) = log.packets.get_mut(number) {
        received.get_or_insert(at);
        log.arrived = log.arrived.max(number + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_has_not_sent_is_named() {
        let text = "title = \"t\"\n[node.ada]\n[node.bob]\n[[step]]\naction = \"enable\"\n";
        let engine = "wiremesh".parse().unwrap();
        let plan = wireproof_model::resolve::plan("t.toml", text, &[engine]).unwrap();
        // Nobody has a socket here, so nothing is ever sent.
        let streams = Streams::new(&plan, Magic([7; 8])).unwrap();
        streams.send(&plan.after(0), |_| true);
        let allowed = Patience::NONE.allows(Duration::from_secs(2));
        let error = streams.wait_until_sent(|_| true, allowed).unwrap_err();
        assert_eq!(
            error.to_string(),
            "wait until each flow that the step is about has sent a packet (flows): not within 0 ms; \
             last seen: 0 of 2 have; not ada > bob, bob > ada"
        );
        // A step that is about none of them is not held up.
        assert!(streams.wait_until_sent(|_| false, allowed).is_ok());
    }
}
