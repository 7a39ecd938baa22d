//! Tags: what fills every probe's payload, so that any sighting of it, in any
//! encapsulation or fragment, is proof.

use serde::{Deserialize, Serialize};

use crate::plan::ProbeId;

/// Bytes of one tag.
pub const TAG_LENGTH: usize = 12;

/// Eight bytes that no other traffic holds, drawn at random for each run by the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Magic(pub [u8; 8]);

/// What a tag says about the packet that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tag {
    /// Sent by a probe's sender. An ICMP echo reply carries it back unchanged.
    Probe(ProbeId),
    /// Sent back by a probe's receiver.
    Answer(ProbeId),
    /// Sent through one interface to show that its observer sees; the number is the [`BeaconId`]'s.
    Beacon(BeaconId),
}

/// Number of a beacon; what it means is in the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BeaconId(pub u16);

impl Tag {
    fn encode(self, magic: Magic) -> [u8; TAG_LENGTH] {
        let (kind, id) = match self {
            Self::Probe(id) => (b'p', id.0),
            Self::Answer(id) => (b'a', id.0),
            Self::Beacon(id) => (b'b', id.0),
        };
        let [high, low] = id.to_be_bytes();
        let mut bytes = [0; TAG_LENGTH];
        bytes[..8].copy_from_slice(&magic.0);
        bytes[8..].copy_from_slice(&[kind, high, low, kind ^ high ^ low]);
        bytes
    }

    /// `length` bytes that are nothing but this tag, over and over.
    pub fn fill(self, magic: Magic, length: usize) -> Vec<u8> {
        self.encode(magic)
            .into_iter()
            .cycle()
            .take(length)
            .collect()
    }

    /// The first whole tag in `bytes`, wherever it starts.
    pub fn find(magic: Magic, bytes: &[u8]) -> Option<Self> {
        bytes.windows(TAG_LENGTH).find_map(|window| {
            let (head, tail) = window.split_at(8);
            let [kind, high, low, check] = tail else {
                return None;
            };
            if head != magic.0 || *check != kind ^ high ^ low {
                return None;
            }
            let id = u16::from_be_bytes([*high, *low]);
            match kind {
                b'p' => Some(Self::Probe(ProbeId(id))),
                b'a' => Some(Self::Answer(ProbeId(id))),
                b'b' => Some(Self::Beacon(BeaconId(id))),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_cut_of_two_tags_shows_one(id: u16, magic: [u8; 8], start in 0usize..200, more in 0usize..100) {
            let tag = Tag::Answer(ProbeId(id));
            let bytes = tag.fill(Magic(magic), 400);
            let cut = &bytes[start..start + 2 * TAG_LENGTH - 1 + more];
            prop_assert_eq!(Tag::find(Magic(magic), cut), Some(tag));
        }

        #[test]
        fn another_run_s_tag_is_not_ours(id: u16, magic: [u8; 8], other: [u8; 8]) {
            prop_assume!(magic != other);
            let bytes = Tag::Probe(ProbeId(id)).fill(Magic(magic), 120);
            prop_assert_eq!(Tag::find(Magic(other), &bytes), None);
        }
    }
}
