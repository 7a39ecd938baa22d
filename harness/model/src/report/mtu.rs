//! MTUs in the report.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;

use super::judgement::Judgement;
use super::section;
use crate::judge::OuterPackets;
use crate::plan::{Family, MtuKind, MtuPromise, Plan, SizeId};

/// MTUs in the report.
#[derive(Debug, Clone, Serialize)]
pub struct Sizes<'a> {
    /// What is promised.
    pub promises: Vec<SizeResult<'a>>,
    /// The tunnels' packets on the wire.
    pub outer: BTreeMap<Family, OuterPackets>,
}

/// What one promise about sizes came to.
#[derive(Debug, Clone, Serialize)]
pub struct SizeResult<'a> {
    /// Whom it is about.
    pub about: String,
    /// What is promised.
    pub kind: &'a MtuKind,
    /// In which family.
    pub family: Family,
    /// What it came to.
    #[serde(flatten)]
    pub judged: Judgement<'a>,
}

impl<'a> SizeResult<'a> {
    pub(super) fn new(plan: &Plan, promise: &'a MtuPromise, judged: Judgement<'a>) -> Self {
        Self {
            about: about(plan, promise),
            kind: &promise.kind,
            family: promise.family,
            judged,
        }
    }
}

/// One line for each promise, and one for the tunnels' packets of each family.
pub(super) fn write(text: &mut String, sizes: &Sizes<'_>, measured: bool) -> fmt::Result {
    if sizes.promises.is_empty() {
        return Ok(());
    }
    let lines = sizes.promises.iter();
    let lines = lines.map(|one| (one.about.clone(), &one.judged));
    // Notes of sizes are in what is said of those that did not hold.
    section::write(text, "sizes", lines, false)?;
    for (family, packets) in &sizes.outer {
        let df = dont_fragment(packets);
        write!(text, "  {} outer packets: {df}", family.as_str())?;
        if measured {
            let OuterPackets {
                packets,
                fragmented,
                largest,
                ..
            } = packets;
            write!(
                text,
                "; {packets}, {fragmented} fragmented, largest {largest} bytes"
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// Their fragmentation flags; backends differ in them.
fn dont_fragment(packets: &OuterPackets) -> &'static str {
    match packets.dont_fragment {
        0 => "DF not set",
        set if set == packets.packets => "DF set",
        _ => "DF set in some",
    }
}

/// Whom a promise is about: `pod-1 → pod-2 ipv4, largest`.
fn about(plan: &Plan, promise: &MtuPromise) -> String {
    let family = promise.family.as_str();
    let of_size = |id: SizeId| {
        let probe = plan.limits.size(id);
        probe.map_or_else(String::new, |probe| {
            format!("{} → {}", probe.from, probe.to)
        })
    };
    let (ends, what) = match &promise.kind {
        MtuKind::Device { node, .. } => (node.to_string(), "device"),
        MtuKind::Largest { at, .. } => (of_size(*at), "largest"),
        MtuKind::TooLarge { above, .. } => (of_size(*above), "too large"),
        MtuKind::Fragmented { sizes } => (
            sizes.first().map(|id| of_size(*id)).unwrap_or_default(),
            "fragmented",
        ),
        MtuKind::Bulk { bulk, .. } => {
            let bulk = plan.limits.bulk(*bulk);
            let ends = bulk.map(|bulk| format!("{} → {}", bulk.from, bulk.to));
            (ends.unwrap_or_default(), "bulk")
        }
        MtuKind::Outer { from, to, .. } => (format!("{from} → {to}"), "outer"),
    };
    format!("{ends} {family}, {what}")
}

/// What is promised, as a sentence: `pod-1 → pod-2 ipv4: 1440 bytes must be the largest packet`.
pub(super) fn sentence(plan: &Plan, promise: &MtuPromise) -> String {
    let size = |id: SizeId| plan.limits.size(id).map_or(0, |probe| probe.size);
    let must = match &promise.kind {
        MtuKind::Device { mtu, .. } => format!("the tunnel device must have the MTU {mtu}"),
        MtuKind::Largest { at, .. } => {
            format!("{} bytes must be the largest packet", size(*at))
        }
        MtuKind::TooLarge { above, mtu, .. } => {
            format!("who sends {} bytes must learn that {mtu} fit", size(*above))
        }
        MtuKind::Fragmented { .. } => "packets that may be fragmented must arrive".into(),
        MtuKind::Bulk { arrives: true, .. } => "a transfer over TCP must get through".into(),
        MtuKind::Bulk { arrives: false, .. } => "a transfer over TCP must be lost".into(),
        MtuKind::Outer { mtu, .. } => {
            format!("the tunnel's packets must fit into {mtu} bytes, unfragmented")
        }
    };
    format!("{}: {must}", about(plan, promise))
}
