//! An etcd on the fabric: a process of the lab, in a host of its own or beside a node's.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use wireproof_model::name::NodeName;
use wireproof_model::plan::{self, Patience, Plan, STORE_HOST};
use wireproof_model::resource::{ETCD_NODES, ResourceFile};
use wireproof_model::text::shown_path;

use crate::base::artifact::RunDirectory;
use crate::base::error::LabError;
use crate::base::program::{find, search_path};
use crate::base::wait::{Deadline, Wait};
use crate::cluster::containment::Paths;
use crate::cluster::init::{CommandId, Order, ProcessSignal, Receiver};
use crate::cluster::node::{Init, NodeStates, start_init};
use crate::cluster::process;
use crate::cluster::topology::Topology;

use super::gateway::{Gateway, LOCAL};
use super::half;

/// Where it keeps its data: in the private memory of its host, with which it vanishes. On a disk
/// it would leave 120 MB behind.
const DATA: &str = "/run/etcd";

/// How long etcd may take to begin or to end on a quick machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is asked whether it has begun.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How often a resource is read and written again because an engine has written it meanwhile.
const MAX_TRIES: usize = 10;

/// An etcd and the namespace it is in. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Etcd {
    /// Where the engines look for it.
    url: String,
    gateway: Gateway,
    init: Init,
    states: Arc<NodeStates>,
    log: PathBuf,
    patience: Patience,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    condition: Condition,
    /// The number of the process.
    process: CommandId,
    /// What was seen when it could be reached last.
    revision: u64,
    nodes: Vec<Vec<u8>>,
    /// What spoilt keys held.
    spoilt: BTreeMap<String, Option<Vec<u8>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Up,
    Down,
    Frozen,
}

impl Etcd {
    /// The folder of its database, as the lab reads it: every revision of every key that is not compacted. Its log
    /// of writes has the same, and 120 MB of room besides. None if its host has gone.
    pub(super) fn database(&self) -> Option<PathBuf> {
        let states = self.states.lock();
        let host = states.values().next()?;
        Some(process::path_of(host.processes, DATA)?.join("member/snap"))
    }

    /// An empty one that answers.
    pub(super) fn create(
        plan: &Plan,
        topology: &Topology,
        directory: &RunDirectory,
    ) -> Result<Self, LabError> {
        let missing = || LabError::machine("find the store's host", "it was not built");
        let url = plan.store.url().ok_or_else(missing)?;
        let space = match &plan.store {
            plan::Store::Etcd { on: Some(node), .. } => {
                let position = plan.nodes.iter().position(|known| known.name == *node);
                let space = position.and_then(|position| topology.nodes.get(position));
                &space.ok_or_else(missing)?.namespace
            }
            _ => topology.store.as_ref().ok_or_else(missing)?,
        };
        let name = STORE_HOST
            .parse()
            .map_err(|error| LabError::machine("name the store's host", error))?;
        let states = Arc::new(NodeStates::default());
        let paths = Paths {
            read: find("etcd").into_iter().collect(),
            write: Vec::new(),
            runs: directory.path().to_owned(),
            uncontained: false,
        };
        let init = start_init(&name, &mut space.share()?, paths, &states)?;
        let etcd = Self {
            url,
            gateway: Gateway {
                space: space.share()?,
                patience: plan.deadlines.patience,
            },
            patience: plan.deadlines.patience,
            init,
            states,
            log: directory.path().join("etcd.log"),
            state: Mutex::new(State {
                condition: Condition::Down,
                process: 0,
                revision: 0,
                nodes: Vec::new(),
                spoilt: BTreeMap::new(),
            }),
        };
        etcd.up()?;
        Ok(etcd)
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().condition == Condition::Up
    }

    pub(super) fn argument(&self) -> String {
        format!("etcd:{}", self.url)
    }

    pub(super) fn revision(&self) -> Result<u64, LabError> {
        let mut state = self.state();
        if state.condition == Condition::Up {
            state.revision = self.gateway.revision()?;
        }
        Ok(state.revision)
    }

    pub(super) fn nodes(&self) -> Result<Vec<Vec<u8>>, LabError> {
        let mut state = self.state();
        if state.condition == Condition::Up {
            let nodes = self.gateway.below(ETCD_NODES)?;
            state.nodes = nodes.into_iter().map(|entry| entry.value).collect();
        }
        Ok(state.nodes.clone())
    }

    pub(super) fn put(&self, files: &[ResourceFile]) -> Result<(), LabError> {
        let pairs: Vec<_> = files.iter().filter_map(ResourceFile::in_etcd).collect();
        self.reach(|_| self.gateway.put_all(&pairs))
    }

    pub(super) fn remove(&self, file: &ResourceFile) -> Result<(), LabError> {
        match file.in_etcd() {
            Some((key, _)) => self.reach(|_| self.gateway.delete(&key)),
            None => Ok(()),
        }
    }

    pub(super) fn edit(
        &self,
        file: &ResourceFile,
        mut edit: impl FnMut(&mut Value),
    ) -> Result<(), LabError> {
        let doing = || format!("edit {}", file.name);
        let Some((key, otherwise)) = file.in_etcd() else {
            return Err(LabError::machine(
                doing(),
                "Calico does not keep it in etcd",
            ));
        };
        self.reach(|_| {
            for _ in 0..MAX_TRIES {
                let found = self.gateway.get(&key)?;
                let (text, revision) = match &found {
                    Some(entry) => (&entry.value[..], entry.revision),
                    None => (otherwise.as_bytes(), 0),
                };
                let mut value = serde_json::from_slice(text)
                    .map_err(|error| LabError::machine(doing(), error))?;
                edit(&mut value);
                if self.gateway.put_if(&key, &value.to_string(), revision)? {
                    return Ok(());
                }
            }
            Err(LabError::machine(doing(), "engines write it all the time"))
        })
    }

    pub(super) fn down(&self) -> Result<(), LabError> {
        let mut state = self.state();
        // What the engines have seen last is known from here on.
        state.revision = self.gateway.revision()?;
        let nodes = self.gateway.below(ETCD_NODES)?;
        state.nodes = nodes.into_iter().map(|entry| entry.value).collect();
        self.end(&mut state)
    }

    pub(super) fn up(&self) -> Result<(), LabError> {
        let mut state = self.state();
        let everywhere = format!("{},http://{LOCAL}", self.url);
        self.begin(&mut state, &everywhere)?;
        state.condition = Condition::Up;
        Ok(())
    }

    pub(super) fn freeze(&self) -> Result<(), LabError> {
        let mut state = self.state();
        state.revision = self.gateway.revision()?;
        self.signal(&state, ProcessSignal::Stop)?;
        state.condition = Condition::Frozen;
        Ok(())
    }

    pub(super) fn thaw(&self) -> Result<(), LabError> {
        let mut state = self.state();
        self.signal(&state, ProcessSignal::Continue)?;
        state.condition = Condition::Up;
        Ok(())
    }

    pub(super) fn compact(&self) -> Result<(), LabError> {
        self.reach(|_| {
            let revision = self.gateway.revision()?;
            self.gateway.compact(revision)
        })
    }

    pub(super) fn spoil(
        &self,
        node: Option<&NodeName>,
        text: Option<&str>,
    ) -> Result<(), LabError> {
        let name = node.map_or("garbage", NodeName::as_str);
        let key = format!("{ETCD_NODES}{name}");
        self.reach(|state| {
            let before = self.gateway.get(&key)?.map(|entry| entry.value);
            let garbage = match text {
                Some(text) => text.to_owned(),
                None => {
                    let half = half(before.as_deref().unwrap_or_default());
                    String::from_utf8_lossy(half).into_owned()
                }
            };
            self.gateway.put_all(&[(key.clone(), garbage)])?;
            state.spoilt.entry(key.clone()).or_insert(before);
            Ok(())
        })
    }

    pub(super) fn repair(&self) -> Result<(), LabError> {
        self.reach(|state| {
            for (key, before) in std::mem::take(&mut state.spoilt) {
                match before {
                    Some(value) => {
                        let value = String::from_utf8_lossy(&value).into_owned();
                        self.gateway.put_all(&[(key, value)])?;
                    }
                    None => self.gateway.delete(&key)?,
                }
            }
            Ok(())
        })
    }

    /// Does something with an etcd that can be reached: while it is down, by the lab alone.
    fn reach<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, LabError>,
    ) -> Result<T, LabError> {
        let mut state = self.state();
        match state.condition {
            Condition::Up => work(&mut state),
            Condition::Frozen => Err(LabError::machine("write to the store", "it is frozen")
                .help("add a step `action = \"store-thaw\"` before it")),
            Condition::Down => {
                self.begin(&mut state, &format!("http://{LOCAL}"))?;
                let done = work(&mut state)?;
                self.end(&mut state)?;
                Ok(done)
            }
        }
    }

    /// Starts it, with what it held, at these URLs.
    fn begin(&self, state: &mut State, urls: &str) -> Result<(), LabError> {
        state.process += 1;
        let words = [
            "etcd",
            "--data-dir",
            DATA,
            "--listen-client-urls",
            urls,
            "--advertise-client-urls",
            &self.url,
            // It has no peers.
            "--listen-peer-urls",
            "http://127.0.0.1:0",
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:1",
            "--initial-cluster",
            "default=http://127.0.0.1:1",
            // It votes alone, and need not wait for anybody.
            "--heartbeat-interval",
            "10",
            "--election-timeout",
            "100",
        ];
        self.init.order(&Order::Start {
            id: state.process,
            words: words.map(str::to_owned).to_vec(),
            environment: BTreeMap::from([("PATH".into(), search_path())]),
            log: self.log.clone(),
        })?;
        self.wait_until_it_answers(state.process)
    }

    fn wait_until_it_answers(&self, process: CommandId) -> Result<(), LabError> {
        let deadline = Deadline::after(self.patience.allows(START_TIMEOUT));
        let look = self.look();
        loop {
            let states = self.states.lock();
            for host in states.values() {
                if let Some(cause) = host.unfit.as_ref().or(host.not_started.get(&process)) {
                    return Err(LabError::machine("start etcd", cause).help(
                        "run ci/setup, or install etcd (Debian: apt-get install etcd-server)",
                    ));
                }
                if let Some(how) = host.ended.get(&process) {
                    let log = fs::read_to_string(&self.log).unwrap_or_default();
                    let last = log.lines().last().unwrap_or_default().to_owned();
                    return Err(LabError::machine("start etcd", format!("{how}: {last}"))
                        .help(format!("the whole log is {}", shown_path(&self.log))));
                }
            }
            drop(states);
            let failure = match self.gateway.revision() {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            if deadline.passed() {
                return Err(deadline.missed(self.wait("etcd answers", &look), &failure.cause));
            }
            // What it says of itself tells when it begins, not when it has begun.
            self.states
                .wait_for(deadline.sooner(POLL_INTERVAL), |_| None::<()>);
        }
    }

    fn signal(&self, state: &State, signal: ProcessSignal) -> Result<(), LabError> {
        self.init.signal(Receiver::Command(state.process), signal)
    }

    fn end(&self, state: &mut State) -> Result<(), LabError> {
        self.signal(state, ProcessSignal::Kill)?;
        state.condition = Condition::Down;
        let process = state.process;
        self.states.wait_until(
            self.wait("etcd has ended", &self.look()),
            Deadline::after(self.patience.allows(START_TIMEOUT)),
            |states| {
                let mut hosts = states.values();
                hosts
                    .any(|host| host.ended.contains_key(&process))
                    .then_some(())
            },
            |_| "it runs".into(),
        )
    }

    fn wait<'w>(&self, until: &'w str, look: &'w str) -> Wait<'w> {
        Wait {
            who: "etcd",
            until,
            look,
        }
    }

    fn look(&self) -> String {
        format!("{} says how far it came", shown_path(&self.log))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
