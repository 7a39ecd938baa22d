//! The kernel's drop reasons agree with its counters, in every namespace by itself.

use libtest_mimic::Failed;
use wireproof::scenario::{self, Asked, JudgedRun};
use wireproof_model::evidence::{Place, REVERSE_PATH};

use crate::{root, runs};

/// A node that checks no marks drops by source what comes from its peers.
const FAULT: &str = "no-src-valid-mark";

/// Each node's reverse-path filter has dropped as many packets as the kernel reports by name, some of them
/// while the probes were sent; and no pod's has dropped any.
pub(crate) fn agree_with_counters() -> Result<(), Failed> {
    let path = root().join("scenarios/azure-cni/seed-cluster.toml");
    let mut plan = scenario::read(&path).map_err(Failed::from)?;
    let asked = Asked {
        fault: Some(FAULT),
        ..Asked::default()
    };
    let engine = scenario::engine_for(&mut plan, asked).map_err(Failed::from)?;
    let judged = scenario::prove(plan, &engine, &runs(), "drop-reasons", |_| {});
    let judged = judged.map_err(Failed::from)?;
    let drops = &judged.evidence.drops;
    if let Some(why) = &drops.unavailable {
        eprintln!("skipped: this machine tells no drop reasons: {why}");
        return Ok(());
    }
    for place in &drops.places {
        let named = place.reasons.get("IP_RPFILTER").copied().unwrap_or(0);
        let (counted, moved) = counts(&judged, &place.place);
        if named != counted || (counted > 0) != moved {
            return Err(format!(
                "{:?}: {counted} counted, {named} by name, and the explanation {} them",
                place.place,
                if moved { "has" } else { "lacks" }
            )
            .into());
        }
    }
    let nodes = judged.evidence.nodes.keys();
    let mut nodes = nodes.map(|name| counts(&judged, &Place::Node(name.clone())));
    match nodes.all(|(counted, _)| counted > 0) {
        true => Ok(()),
        false => Err(format!("`{FAULT}` made some node drop nothing").into()),
    }
}

/// How often a node dropped by source, and whether the explanations have the reason's name.
fn counts(judged: &JudgedRun, place: &Place) -> (u64, bool) {
    let Place::Node(name) = place else {
        return (0, false);
    };
    let node = judged.evidence.nodes.get(name);
    node.map_or((0, false), |node| {
        let counted = node.drops.get(REVERSE_PATH).copied().unwrap_or(0);
        (counted, node.moved.contains_key("reason IP_RPFILTER"))
    })
}
