//! All promises of a run, in one list. Each kind of promise has its own data in the plan; what every kind has
//! in common is here, so that a promise that nobody judges is found whatever it is about.

use crate::name::NodeName;

use strum::{EnumDiscriminants, VariantArray as _};

use super::{
    DataplaneCheck, DataplaneItem, Drops, Family, MtuPromise, NeverPlaintext, Node, Origin,
    PairPromise, Plan, PromiseId, RpFilter, Spoof, Step, StepPromise, Warning,
};

/// One thing that is promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise<'p> {
    /// Its number among all promises of the plan.
    pub id: PromiseId,
    /// The scenario's line that states it, counted from 1; none if it is derived, or promised of every run.
    pub line: Option<u32>,
    /// What is promised.
    pub kind: PromiseKind<'p>,
}

/// The kinds of promises.
#[derive(Debug, Clone, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(KindOfPromise),
    derive(strum::VariantArray),
    doc = "A kind of promise, without what it is about."
)]
pub enum PromiseKind<'p> {
    /// How one pair's packets look outside the nodes.
    Pair(&'p PairPromise),
    /// What flows show of one step.
    Step(&'p StepPromise),
    /// Sizes of packets.
    Size(&'p MtuPromise),
    /// What becomes of spoofed packets.
    Spoof(&'p Spoof),
    /// Pairs that nobody may read in the whole run.
    NeverPlaintext(&'p NeverPlaintext),
    /// What one step may cost.
    Budget(Budget),
    /// One part of a node's dataplane.
    Dataplane(&'p DataplaneCheck, DataplanePart<'p>),
    /// That one part of a node's dataplane has Calico's values in one family.
    Calico(NodeName, Family, CalicoPart),
    /// That nothing is lost of what a node had before the engine.
    Host(NodeName, HostPromise),
    /// How a node's engine behaves besides its work.
    Engine(NodeName, EnginePromise),
    /// That a warning comes that the scenario names.
    Warning(&'p Warning),
    /// That the run's evidence is whole.
    Evidence,
}

/// What one step may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Which step, counted from 1.
    pub step: usize,
    /// What it may cost.
    pub limit: BudgetLimit,
}

/// What may be limited of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetLimit {
    /// Milliseconds until everything has settled.
    Settles(u32),
    /// At most so many kernel writes.
    Writes(u32),
}

/// One part of a [`DataplaneCheck`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataplanePart<'p> {
    /// Some line of the node's snapshot has this text.
    Has(&'p str),
    /// No line has it.
    Lacks(&'p str),
    /// This is there.
    Present(&'p DataplaneItem),
    /// This is not there.
    Absent(&'p DataplaneItem),
}

/// The parts of a dataplane whose values are Calico's where an engine claims so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
pub enum CalicoPart {
    /// The tunnel device: name, MTU, port and mark.
    Device,
    /// The rule that leads to its table: mark, mask, priority and table.
    Rule,
    /// Its peers: which nodes, their endpoints, keepalives and allowed IPs.
    Peers,
}

/// What every host is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
pub enum HostPromise {
    /// The links that were up stay up, and the processes keep their root directory.
    Links,
    /// The strict reverse-path filter drops what was spoofed, and nothing else.
    ReversePath,
    /// What was there before the engine stays as it was.
    Unchanged,
}

/// What an engine is promised to be besides right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
pub enum EnginePromise {
    /// Its agent does not die.
    Lives,
    /// Its log has no warning that the scenario does not name.
    Log,
    /// Its processes stay small.
    Memory,
    /// Its agent ends when it is asked to.
    Ends,
    /// The private keys of its devices are in its devices alone.
    Secrets,
}

impl Plan {
    /// Everything that is promised of a run of this plan, in the order of the report, each with another
    /// number. The numbers of the kinds that have none of their own in the plan follow those that have.
    pub fn every_promise(&self) -> Vec<Promise<'_>> {
        let mut all = self.of_packets();
        let last = all.iter().map(|promise| promise.id.0).max();
        let mut next = last.map_or(0, |last| last.saturating_add(1));
        let others = self
            .of_budgets()
            .chain(self.of_dataplanes())
            .chain(self.of_calico())
            .chain(self.of_hosts())
            .chain(self.of_engines())
            .chain([(None, PromiseKind::Evidence)]);
        for (line, kind) in others {
            let id = PromiseId(next);
            next = next.saturating_add(1);
            all.push(Promise { id, line, kind });
        }
        all
    }

    /// What is judged by frames, and has its number in the plan.
    fn of_packets(&self) -> Vec<Promise<'_>> {
        let stated = |origin: Origin| match origin {
            Origin::Derived => None,
            Origin::Stated { line } => Some(line),
        };
        let pairs = self.promises.iter().map(|promise| Promise {
            id: promise.id,
            line: stated(promise.origin),
            kind: PromiseKind::Pair(promise),
        });
        let steps = self.flows.promises.iter().map(|promise| Promise {
            id: promise.id,
            line: None,
            kind: PromiseKind::Step(promise),
        });
        let sizes = self.limits.promises.iter().map(|promise| Promise {
            id: promise.id,
            line: stated(promise.origin),
            kind: PromiseKind::Size(promise),
        });
        let spoofs = self.spoofs.iter().map(|spoof| Promise {
            id: spoof.promise,
            line: Some(spoof.line),
            kind: PromiseKind::Spoof(spoof),
        });
        let never = self.never_plaintext.iter().map(|promise| Promise {
            id: promise.id,
            line: Some(promise.line),
            kind: PromiseKind::NeverPlaintext(promise),
        });
        let all = pairs.chain(steps).chain(sizes).chain(spoofs).chain(never);
        all.collect()
    }

    fn of_budgets(&self) -> impl Iterator<Item = (Option<u32>, PromiseKind<'_>)> {
        let limits = |step: &Step| {
            let settles = step.settles_within.map(BudgetLimit::Settles);
            settles
                .into_iter()
                .chain(step.writes.map(BudgetLimit::Writes))
        };
        self.steps.iter().zip(1..).flat_map(move |(planned, step)| {
            let budget = move |limit| PromiseKind::Budget(Budget { step, limit });
            limits(planned).map(move |limit| (Some(planned.line), budget(limit)))
        })
    }

    fn of_dataplanes(&self) -> impl Iterator<Item = (Option<u32>, PromiseKind<'_>)> {
        self.facts.iter().flat_map(|check| {
            let has = check.has.iter().map(|part| DataplanePart::Has(part));
            let lacks = check.lacks.iter().map(|part| DataplanePart::Lacks(part));
            let present = check.present.iter().map(DataplanePart::Present);
            let absent = check.absent.iter().map(DataplanePart::Absent);
            let parts = has.chain(lacks).chain(present).chain(absent);
            parts.map(|part| (Some(check.line), PromiseKind::Dataplane(check, part)))
        })
    }

    /// Of the nodes whose agent keeps its dataplane at the end.
    fn of_calico(&self) -> impl Iterator<Item = (Option<u32>, PromiseKind<'_>)> {
        let nodes = self.nodes.iter().map(|node| &node.name);
        let of_node = |node: &NodeName| {
            let families = Family::ALL.into_iter();
            let all = families.flat_map(|family| {
                let values = self.calico_values(node, family);
                let has_peers = values.as_ref().is_some_and(|values| values.peers.is_some());
                let parts = CalicoPart::VARIANTS.iter().filter(move |part| match part {
                    CalicoPart::Device | CalicoPart::Rule => values.is_some(),
                    CalicoPart::Peers => has_peers,
                });
                parts.map(move |part| (family, *part))
            });
            let promise = |(family, part)| (None, PromiseKind::Calico(node.clone(), family, part));
            all.map(promise).collect::<Vec<_>>()
        };
        nodes.flat_map(of_node).collect::<Vec<_>>().into_iter()
    }

    /// Of the nodes that are there at the end.
    fn of_hosts(&self) -> impl Iterator<Item = (Option<u32>, PromiseKind<'_>)> {
        let hosts_change = |step: &Step| step.action.change().is_of_hosts();
        let unchanged = !self.steps.iter().any(hosts_change);
        self.at_last().nodes.into_iter().flat_map(move |node| {
            let filter = node.rp_filter == RpFilter::Strict && self.is_calm(&node);
            let promises = [
                Some(HostPromise::Links),
                filter.then_some(HostPromise::ReversePath),
                unchanged.then_some(HostPromise::Unchanged),
            ];
            let promise = move |promise| (None, PromiseKind::Host(node.name.clone(), promise));
            promises.into_iter().flatten().map(promise)
        })
    }

    /// Whether nothing makes a node's reverse-path filter drop packets that were not spoofed. Without host
    /// encryption, what a pod sends to another node goes there in clear and would be answered through the
    /// tunnel (calico#9751). While somebody breaks a dataplane, or an address moves, nodes disagree for a
    /// time about what is behind a tunnel.
    fn is_calm(&self, node: &Node) -> bool {
        let hosts = self.states().all(|state| state.cluster.host_encryption);
        let calm = self
            .steps
            .iter()
            .all(|step| match step.action.change().drops() {
                Drops::Nowhere => true,
                Drops::At(there) => *there != node.name,
                Drops::Everywhere => false,
            });
        self.cluster.has_family(Family::Ipv4) && hosts && calm
    }

    /// Of every node that is there at some time, and of the warnings that the scenario names. What an engine
    /// does not claim is not promised, but that its agent lives.
    fn of_engines(&self) -> impl Iterator<Item = (Option<u32>, PromiseKind<'_>)> {
        let claims = &self.conduct;
        let promises = [
            claims.ends_within.is_none().then_some(EnginePromise::Lives),
            claims.log.is_some().then_some(EnginePromise::Log),
            claims.memory.is_some().then_some(EnginePromise::Memory),
            claims.ends_within.is_some().then_some(EnginePromise::Ends),
            Some(EnginePromise::Secrets),
        ];
        let promises = promises.into_iter().flatten();
        let engines = self.nodes.iter().flat_map(move |node| {
            let promise = |promise| (None, PromiseKind::Engine(node.name.clone(), promise));
            promises.clone().map(promise)
        });
        let named = self.warnings.iter().filter(|warning| !warning.sometimes);
        let named = named.filter(|_| claims.log.is_some());
        let named = named.map(|warning| (Some(warning.line), PromiseKind::Warning(warning)));
        engines.chain(named)
    }
}
