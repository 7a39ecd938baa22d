//! The last stop of a TCP segment that never arrived.
//!
//! TCP cuts a large payload into segments, and each shows the tag. That one of them took its whole way proves
//! nothing about the others: through a hop that is too narrow only the last, short one gets.

use std::collections::BTreeMap;

use super::case::PairCase;
use super::finding::Finding;
use super::leg::LegPath;
use super::pair::PairJudge;
use crate::evidence::Nanos;
use crate::journey::{Leg, Seen};

impl<'a> PairJudge<'a> {
    /// Follows the segments of a payload that its receiver's socket did not get, those of the length that was
    /// seen last first: a sender that gets an ICMP error sends smaller ones.
    ///
    /// # Errors
    /// Segments of one length did not take their whole way: where they ended.
    pub(super) fn segments(&self, case: &PairCase<'_>, leg: Leg) -> Result<(), Finding<'a>> {
        let (arrived, whose) = match leg {
            Leg::Request => (case.outcome.delivered, "its segment"),
            Leg::Answer => (case.outcome.answered, "its answer's segment"),
        };
        if arrived || !case.is_connection() {
            return Ok(());
        }
        let way = LegPath::of(self.plan, case, leg, &self.atlas).map_err(Finding::open)?;
        let tagged = case.tagged(leg, &self.index);
        let length = |seen: &Seen<'_>| {
            let packet = seen.sighting.frame.packet();
            packet.map_or(0, |packet| packet.length)
        };
        let mut latest = BTreeMap::<u32, Nanos>::new();
        for seen in &tagged {
            let last = latest.entry(length(seen)).or_default();
            *last = seen.at().max(*last);
        }
        let mut lengths: Vec<_> = latest
            .into_iter()
            .map(|(length, at)| (at, length))
            .collect();
        lengths.sort_unstable();
        for (_, bytes) in lengths.into_iter().rev() {
            let own = tagged.iter().filter(|seen| length(seen) == bytes);
            let own: Vec<_> = own.copied().collect();
            if let Err(ended) = way.walk(&own, &self.crossings) {
                let whose = format!("{whose} of {bytes} bytes ");
                return Err(self.ended(&whose, leg, ended));
            }
        }
        Ok(())
    }
}
