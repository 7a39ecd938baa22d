//! Packets that the kernel dropped, by its own reasons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Place;

/// What was dropped in the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DropEvidence {
    /// Why nobody knows, where nobody does.
    pub unavailable: Option<String>,
    /// Every namespace that was there at the end.
    pub places: Vec<PlaceDrops>,
}

impl DropEvidence {
    /// The reasons of one place; none if nobody knows. Beacons for nobody are dropped everywhere,
    /// so a place without any reason was not looked at.
    pub fn at(&self, place: &Place) -> Option<&BTreeMap<String, u64>> {
        let known = self.places.iter().find(|known| known.place == *place)?;
        (!known.reasons.is_empty()).then_some(&known.reasons)
    }

    /// The reasons of one place in words.
    pub fn describe(&self, place: &Place) -> String {
        match (self.at(place), &self.unavailable) {
            (Some(reasons), _) => {
                let each = reasons.iter();
                let each: Vec<_> = each
                    .map(|(name, count)| format!("{name} {count}"))
                    .collect();
                format!("the kernel's drop reasons: {}", each.join(", "))
            }
            (None, Some(why)) => format!("the kernel's drop reasons are not available: {why}"),
            (None, None) => "the kernel's drop reasons were not looked at".into(),
        }
    }
}

/// What was dropped in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceDrops {
    /// The namespace in which it was observed.
    pub place: Place,
    /// How often, by the reason's name without `SKB_DROP_REASON_`.
    pub reasons: BTreeMap<String, u64>,
}
