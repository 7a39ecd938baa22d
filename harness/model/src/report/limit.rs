//! What the sizes of packets came to.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{Judged, Report};
use crate::judge::{OuterPackets, outer_packets};
use crate::plan::{LimitKind, LimitPromise, Plan, SizeId};

/// One line for each promise.
pub(super) fn write(text: &mut String, report: &Report<'_>, measured: bool) -> fmt::Result {
    let mut told = report.of_limits().peekable();
    if told.peek().is_none() {
        return Ok(());
    }
    writeln!(text, "\nsizes")?;
    for told in told {
        let (outcome, fact) = (told.outcome().as_str(), told.fact());
        let about = about(report.plan, told.promise);
        writeln!(text, "  {about}, {outcome}: {fact}")?;
    }
    for (family, packets) in outer_packets(report.plan, report.evidence) {
        let df = dont_fragment(packets);
        write!(text, "  {} outer packets: {df}", family.as_str())?;
        if measured {
            let OuterPackets {
                count,
                fragmented,
                largest,
                ..
            } = packets;
            write!(
                text,
                "; {count}, {fragmented} fragmented, largest {largest} bytes"
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// What they say about fragmentation; backends differ in it.
fn dont_fragment(packets: OuterPackets) -> &'static str {
    match packets.dont_fragment {
        0 => "DF not set",
        set if set == packets.count => "DF set",
        _ => "DF set in some",
    }
}

/// Whom a promise is about: `pod-1 → pod-2 ipv4, largest`.
pub(super) fn about(plan: &Plan, promise: &LimitPromise) -> String {
    let family = promise.family.as_str();
    let of_size = |id: SizeId| {
        let probe = plan.limits.size(id);
        probe.map_or_else(String::new, |probe| {
            format!("{} → {}", probe.from, probe.to)
        })
    };
    let (ends, what) = match &promise.kind {
        LimitKind::Device { node, .. } => (node.to_string(), "device"),
        LimitKind::Largest { at, .. } => (of_size(*at), "largest"),
        LimitKind::TooLarge { above, .. } => (of_size(*above), "too large"),
        LimitKind::Fragmented { sizes } => (
            sizes.first().map(|id| of_size(*id)).unwrap_or_default(),
            "fragmented",
        ),
        LimitKind::Bulk { bulk, .. } => {
            let bulk = plan.limits.bulk(*bulk);
            let ends = bulk.map(|bulk| format!("{} → {}", bulk.from, bulk.to));
            (ends.unwrap_or_default(), "bulk")
        }
        LimitKind::Outer { from, to, .. } => (format!("{from} → {to}"), "outer"),
    };
    format!("{ends} {family}, {what}")
}

/// What is promised, as a sentence: `pod-1 → pod-2 ipv4: 1440 bytes must be the largest packet`.
pub(super) fn sentence(plan: &Plan, promise: &LimitPromise) -> String {
    let size = |id: SizeId| plan.limits.size(id).map_or(0, |probe| probe.size);
    let must = match &promise.kind {
        LimitKind::Device { mtu, .. } => format!("the tunnel device must have the MTU {mtu}"),
        LimitKind::Largest { at, .. } => {
            format!("{} bytes must be the largest packet", size(*at))
        }
        LimitKind::TooLarge { above, mtu, .. } => {
            format!("who sends {} bytes must learn that {mtu} fit", size(*above))
        }
        LimitKind::Fragmented { .. } => "packets that may be fragmented must arrive".into(),
        LimitKind::Bulk { arrives: true, .. } => "a transfer over TCP must get through".into(),
        LimitKind::Bulk { arrives: false, .. } => "a transfer over TCP must be lost".into(),
        LimitKind::Outer { mtu, .. } => {
            format!("the tunnel's packets must fit into {mtu} bytes, unfragmented")
        }
    };
    format!("{}: {must}", about(plan, promise))
}

/// For programs: one entry for each promise, and the outer packets of each family.
pub(super) fn json(report: &Report<'_>) -> Value {
    let entry = |told: Judged<'_, LimitPromise>| {
        json!({
            "about": about(report.plan, told.promise),
            "kind": told.promise.kind,
            "family": told.promise.family,
            "verdict": told.outcome(),
            "fact": told.fact(),
            "exhibits": told.verdict.map_or(&[][..], |verdict| &verdict.exhibits),
        })
    };
    let promises: Vec<_> = report.of_limits().map(entry).collect();
    let outer = outer_packets(report.plan, report.evidence);
    let outer: BTreeMap<_, _> = outer
        .into_iter()
        .map(|(family, packets)| {
            let told = json!({
                "packets": packets.count,
                "dont_fragment": packets.dont_fragment,
                "fragmented": packets.fragmented,
                "largest": packets.largest,
            });
            (family.as_str(), told)
        })
        .collect();
    json!({ "promises": promises, "outer": outer })
}
