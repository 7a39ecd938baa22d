//! Verdicts that need no frame: budgets of steps, checks of dataplanes, hosts, engines' conduct, and whether
//! the evidence is whole.

use super::host::Hosts;
use super::loss::Losses;
use super::{budget, calico_values, conduct, dataplane_check};
use crate::evidence::Evidence;
use crate::plan::{Plan, Promise, PromiseKind};
use crate::verdict::Verdict;

/// Decides about every such promise of a list, in its order.
pub(super) fn judge(
    promises: &[Promise<'_>],
    plan: &Plan,
    evidence: &Evidence,
    losses: &Losses,
) -> Vec<Verdict> {
    let hosts = Hosts::new(plan, evidence);
    let decide = |promise: &Promise<'_>| {
        let finding = match &promise.kind {
            PromiseKind::Pair(_)
            | PromiseKind::Step(_)
            | PromiseKind::Size(_)
            | PromiseKind::Spoof(_)
            | PromiseKind::NeverPlaintext(_) => return None,
            PromiseKind::Evidence => return Some(losses.about_evidence(promise.id)),
            PromiseKind::Budget(budget) => budget::decide(*budget, evidence),
            PromiseKind::Dataplane(check, part) => {
                dataplane_check::decide(check, *part, plan, evidence)
            }
            PromiseKind::Calico(node, family, part) => {
                calico_values::decide(node, *family, *part, plan, evidence)
            }
            PromiseKind::Host(node, what) => hosts.decide(node, *what),
            PromiseKind::Engine(node, what) => conduct::decide(node, *what, plan, evidence),
            PromiseKind::Warning(warning) => conduct::warned(warning, evidence),
        };
        Some(losses.reopen_unless_shown(finding.about(promise.id)))
    };
    promises.iter().filter_map(decide).collect()
}
