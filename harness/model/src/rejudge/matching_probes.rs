//! The run's size probes and spoofs that match those of another scenario.

use std::collections::BTreeSet;

use crate::plan::{
    Bulk, MtuKind, MtuPlan, MtuPromise, PairPromise, Plan, ProbeId, PromiseId, SizeId, SizeProbe,
    Spoof, SpoofId,
};

/// A run's plan while it is judged by promises of another scenario.
pub(super) struct Tried {
    plan: Plan,
    untried: BTreeSet<PromiseId>,
}

impl Tried {
    pub(super) fn new(seen: &Plan) -> Self {
        Self {
            plan: seen.clone(),
            untried: BTreeSet::new(),
        }
    }

    /// The plan as it was left, and the promises that nothing was tried of.
    pub(super) fn end(self) -> (Plan, BTreeSet<PromiseId>) {
        (self.plan, self.untried)
    }

    pub(super) fn pair(&mut self, promise: PairPromise) -> PairPromise {
        let mut probes = self.plan.probes.iter();
        let probe = probes.find(|probe| {
            (&probe.from, &probe.to, probe.protocol, probe.wanted)
                == (
                    &promise.from,
                    &promise.to,
                    promise.protocol,
                    promise.payload,
                )
        });
        let probe = probe.map(|probe| probe.id);
        PairPromise {
            probe: self.known(promise.id, probe).unwrap_or(ProbeId(u16::MAX)),
            ..promise
        }
    }

    pub(super) fn spoof(&mut self, spoof: Spoof) -> Spoof {
        let mut all = self.plan.spoofs.iter();
        let same = all.find(|one| is_same(one, &spoof));
        let same = same.map(|one| one.id);
        let id = self.known(spoof.promise, same);
        Spoof {
            id: id.unwrap_or(SpoofId(u16::MAX)),
            ..spoof
        }
    }

    /// A promise about sizes. What the run has not tried stays in the plan under a new number, so that reports
    /// can print what it would have been.
    pub(super) fn size(&mut self, wanted: &MtuPlan, promise: &MtuPromise) -> MtuPromise {
        let (sizes, bulk) = match &promise.kind {
            MtuKind::Device { .. } => (Vec::new(), None),
            MtuKind::Outer { .. } => {
                // Small packets show nothing of the way's largest.
                let mut all = self.plan.limits.promises.iter();
                let tried = all.any(|one| is_same_way(one, promise));
                self.known(promise.id, tried.then_some(()));
                (Vec::new(), None)
            }
            MtuKind::Largest {
                below, at, above, ..
            } => (vec![*below, *at, *above], None),
            MtuKind::TooLarge { above, .. } => (vec![*above], None),
            MtuKind::Fragmented { sizes } => (sizes.clone(), None),
            MtuKind::Bulk { bulk, .. } => (Vec::new(), Some(*bulk)),
        };
        let sizes = sizes.into_iter().filter_map(|id| wanted.size(id));
        let sizes: Vec<_> = sizes.map(|size| self.probe(promise.id, size)).collect();
        let bulk = bulk.and_then(|id| wanted.bulk(id));
        let bulk = bulk.map(|bulk| self.transfer(promise.id, bulk));
        MtuPromise {
            kind: renumbered(promise.kind.clone(), &sizes, bulk),
            ..promise.clone()
        }
    }

    fn probe(&mut self, promise: PromiseId, wanted: &SizeProbe) -> SizeId {
        let mut all = self.plan.limits.sizes.iter();
        let same = all.find(|one| {
            let id = wanted.id;
            SizeProbe {
                id,
                ..(*one).clone()
            } == *wanted
        });
        let same = same.map(|one| one.id);
        self.known(promise, same).unwrap_or_else(|| {
            let sizes = &mut self.plan.limits.sizes;
            let id = SizeId(u16::try_from(sizes.len()).unwrap_or(u16::MAX));
            sizes.push(SizeProbe {
                id,
                ..wanted.clone()
            });
            id
        })
    }

    fn transfer(&mut self, promise: PromiseId, wanted: &Bulk) -> SizeId {
        let mut all = self.plan.limits.bulks.iter();
        let same = all.find(|one| {
            let id = wanted.id;
            Bulk {
                id,
                ..(*one).clone()
            } == *wanted
        });
        let same = same.map(|one| one.id);
        self.known(promise, same).unwrap_or_else(|| {
            let bulks = &mut self.plan.limits.bulks;
            let last = bulks.iter().map(|one| one.id.0).max();
            let id = SizeId(last.unwrap_or_default().saturating_add(1));
            bulks.push(Bulk {
                id,
                ..wanted.clone()
            });
            id
        })
    }

    /// Notes a promise of which something was not tried.
    fn known<T>(&mut self, promise: PromiseId, tried: Option<T>) -> Option<T> {
        if tried.is_none() {
            self.untried.insert(promise);
        }
        tried
    }
}

/// Whether two spoofs are the same packets, whatever has to become of them.
pub(super) fn is_same(one: &Spoof, other: &Spoof) -> bool {
    (&one.through, &one.source, &one.to, one.family)
        == (&other.through, &other.source, &other.to, other.family)
}

fn is_same_way(one: &MtuPromise, other: &MtuPromise) -> bool {
    let way = |promise: &MtuPromise| match &promise.kind {
        MtuKind::Outer { from, to, .. } => Some((from.clone(), to.clone(), promise.family)),
        MtuKind::Device { .. }
        | MtuKind::Largest { .. }
        | MtuKind::TooLarge { .. }
        | MtuKind::Fragmented { .. }
        | MtuKind::Bulk { .. } => None,
    };
    way(one) == way(other)
}

/// The same promise about other numbers, in the order in which it names them.
fn renumbered(kind: MtuKind, sizes: &[SizeId], bulk: Option<SizeId>) -> MtuKind {
    match (kind, sizes, bulk) {
        (MtuKind::Largest { encrypted, .. }, [below, at, above], _) => MtuKind::Largest {
            below: *below,
            at: *at,
            above: *above,
            encrypted,
        },
        (
            MtuKind::TooLarge {
                mtu, reported_by, ..
            },
            [above],
            _,
        ) => MtuKind::TooLarge {
            above: *above,
            mtu,
            reported_by,
        },
        (MtuKind::Fragmented { .. }, sizes, _) => MtuKind::Fragmented {
            sizes: sizes.to_vec(),
        },
        (MtuKind::Bulk { arrives, .. }, _, Some(bulk)) => MtuKind::Bulk { bulk, arrives },
        (kind, ..) => kind,
    }
}
