//! The log's lines: each problem once while it holds, and repeated lines at a bounded rate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::intent::family::{Family, PerFamily};

use crate::agent::health::{Cause, Mesh};

/// How long the same line is not logged again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// How many nodes are named in a line.
const MAX_NAMED: usize = 5;

/// A line that was logged.
#[derive(Debug)]
struct Logged {
    at: Instant,
    /// How often it has been suppressed since.
    held_back: u64,
}

/// What has been logged.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The problems that hold, as logged.
    problems: BTreeSet<String>,
    /// What has failed since the last success.
    failures: BTreeSet<String>,
    /// Nodes that are not encrypted to, whether they are cut off, and why, as logged.
    unencrypted: PerFamily<BTreeSet<(bool, String)>>,
    /// What came not long ago.
    lately: BTreeMap<String, Logged>,
}

impl Log {
    /// A write was made, to put something right if there was a cause for that.
    pub(crate) fn changed(&mut self, change: &Change, repair: Option<Cause>, now: Instant) {
        let family = family(change).map_or("both", Family::word);
        let kind = kind(change);
        let Some(cause) = repair else {
            tracing::info!(
                cause = Cause::Intent.word(),
                family,
                change = kind,
                "{change}"
            );
            return;
        };
        let line = format!("put right: {change}");
        if let Some(again) = self.due(&line, now) {
            tracing::warn!(cause = cause.word(), family, change = kind, "{line}{again}");
        }
    }

    /// The agent did what it could. These problems are left; others are over.
    pub(crate) fn stands(&mut self, problems: &[String], now: Instant) {
        let problems: BTreeSet<_> = problems.iter().cloned().collect();
        for problem in problems.difference(&self.problems.clone()) {
            if let Some(again) = self.due(problem, now) {
                tracing::warn!("{problem}{again}");
            }
        }
        let over = self.problems.difference(&problems).chain(&self.failures);
        for over in over.filter(|over| !problems.contains(*over)) {
            // What came back at once is not said to be over each time either.
            if self
                .lately
                .get(over)
                .is_none_or(|logged| logged.held_back == 0)
            {
                tracing::info!("no longer: {over}");
            }
        }
        self.failures.clear();
        self.problems = problems;
    }

    /// The agent failed, and will try again.
    pub(crate) fn failed(&mut self, why: &str, now: Instant) {
        let known = self.problems.contains(why);
        if self.failures.insert(why.to_owned())
            && !known
            && let Some(again) = self.due(why, now)
        {
            tracing::error!("{why}{again}");
        }
    }

    /// How the other nodes are reached. Those that somebody has to see to are problems; of the others it is
    /// logged when there is one more, or none any more.
    pub(crate) fn peers(&mut self, family: Family, mesh: &Mesh) {
        let all = mesh.encrypted + mesh.plain.len() + mesh.dropped.len();
        let logged = &mut self.unencrypted[family];
        let mut now = BTreeSet::new();
        for (dropped, nodes) in [(false, &mesh.plain), (true, &mesh.dropped)] {
            let normal = nodes.iter().filter(|(_, plain)| plain.is_normal());
            let lines: Vec<_> = normal
                .map(|(name, plain)| (dropped, format!("{name} ({plain})")))
                .collect();
            if lines.iter().any(|line| !logged.contains(line)) {
                let mut named: Vec<_> = lines.iter().map(|(_, line)| line.clone()).collect();
                if named.len() > MAX_NAMED {
                    named.truncate(MAX_NAMED);
                    named.push(format!("and {} more", lines.len() - MAX_NAMED));
                }
                let (count, named, family) = (lines.len(), named.join(", "), family.word());
                match dropped {
                    true => tracing::warn!(family, "cut off from {count} of {all} nodes: {named}"),
                    false => {
                        tracing::info!(family, "in clear to {count} of {all} nodes: {named}");
                    }
                }
            }
            now.extend(lines);
        }
        if now.is_empty() && !logged.is_empty() && mesh.encrypted == all && all > 0 {
            let family = family.word();
            tracing::info!(family, "encrypted to all {all} other nodes");
        }
        *logged = now;
    }

    /// Whether a line may be logged, and what to add to it.
    fn due(&mut self, line: &str, now: Instant) -> Option<String> {
        // What was held back is told when it comes again, but nobody remembers it for ever.
        self.lately.retain(|_, logged| {
            let times = if logged.held_back > 0 { 60 } else { 1 };
            now.duration_since(logged.at) < REPEAT_INTERVAL * times
        });
        let fresh = Logged {
            at: now,
            held_back: 0,
        };
        let Some(logged) = self.lately.get_mut(line) else {
            self.lately.insert(line.to_owned(), fresh);
            return Some(String::new());
        };
        if now.duration_since(logged.at) < REPEAT_INTERVAL {
            logged.held_back += 1;
            return None;
        }
        let times = logged.held_back;
        *logged = fresh;
        Some(match times {
            0 => String::new(),
            times => format!(" (and {times} times since this was said last)"),
        })
    }
}

fn family(change: &Change) -> Option<Family> {
    match change {
        Change::SetSrcValidMark | Change::SetFirewall { .. } => None,
        Change::Configure(configuration) => Some(configuration.family),
        Change::CreateDevice { family, .. }
        | Change::TagDevice { family, .. }
        | Change::GenerateKey { family, .. }
        | Change::MoveKey { family, .. }
        | Change::SetMtu { family, .. }
        | Change::AddAddress { family, .. }
        | Change::RemoveAddress { family, .. }
        | Change::SwitchOn { family, .. }
        | Change::SetThreaded { family, .. }
        | Change::SetRoutes { family, .. }
        | Change::RemoveLeftRoutes { family, .. }
        | Change::AddRule { family, .. }
        | Change::RemoveRule { family, .. }
        | Change::DeleteDevice { family, .. } => Some(*family),
    }
}

fn kind(change: &Change) -> &'static str {
    match change {
        Change::SetSrcValidMark => "set-sysctl",
        Change::SetFirewall { .. } => "set-firewall",
        Change::CreateDevice { .. } => "create-device",
        Change::TagDevice { .. } => "tag-device",
        Change::GenerateKey { .. } => "generate-key",
        Change::MoveKey { .. } => "move-key",
        Change::Configure(_) => "configure-device",
        Change::SetMtu { .. } => "set-mtu",
        Change::AddAddress { .. } => "add-address",
        Change::RemoveAddress { .. } => "remove-address",
        Change::SwitchOn { .. } => "switch-on",
        Change::SetThreaded { .. } => "set-threaded",
        Change::SetRoutes { .. } => "set-routes",
        Change::RemoveLeftRoutes { .. } => "remove-left-routes",
        Change::AddRule { .. } => "add-rule",
        Change::RemoveRule { .. } => "remove-rule",
        Change::DeleteDevice { .. } => "delete-device",
    }
}

#[cfg(test)]
mod tests;
