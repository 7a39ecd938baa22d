//! Tags: what fills every probe's payload, so that any sighting of it, in any
//! encapsulation or fragment, is proof.

use serde::{Deserialize, Serialize};

use crate::plan::{FlowId, ProbeId, SizeId, SpoofId};

/// Bytes of one tag, of any kind but a flow's.
pub const TAG_LENGTH: usize = 12;

/// Bytes of a flow packet's tag, which holds a longer number.
pub const FLOW_TAG_LENGTH: usize = 16;

/// Bytes of the magic, with which each tag starts.
const MAGIC: usize = 8;

/// Eight bytes that no other traffic holds, drawn at random for each run by the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Magic(pub [u8; 8]);

/// The content of a tag: which packet carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tag {
    /// Sent by a probe's sender. An ICMP echo reply carries it back unchanged.
    Probe(ProbeId),
    /// Sent back by a probe's receiver.
    Answer(ProbeId),
    /// Sent through one interface to show that its observer sees; the number is the [`BeaconId`]'s.
    Beacon(BeaconId),
    /// A packet whose size is tried.
    Size(SizeId),
    /// A small packet on the way of one whose size is tried, sent after it.
    Control(SizeId),
    /// A packet with another's source address.
    Spoofed(SpoofId),
    /// The same with a source of its own, sent after it.
    Genuine(SpoofId),
    /// Part of a flow; the packets of each are numbered from 0.
    Flow(FlowId, u32),
}

/// Number of a beacon; what it means is in the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BeaconId(pub u16);

impl Tag {
    fn encode(self, magic: Magic) -> Vec<u8> {
        let (kind, id, number) = match self {
            Self::Probe(id) => (b'p', id.0, None),
            Self::Answer(id) => (b'a', id.0, None),
            Self::Beacon(id) => (b'b', id.0, None),
            Self::Size(id) => (b's', id.0, None),
            Self::Control(id) => (b'c', id.0, None),
            Self::Spoofed(id) => (b'i', id.0, None),
            Self::Genuine(id) => (b'r', id.0, None),
            Self::Flow(id, number) => (b'f', id.0, Some(number)),
        };
        let mut body = vec![kind];
        body.extend(id.to_be_bytes());
        body.extend(number.into_iter().flat_map(u32::to_be_bytes));
        let check = body.iter().fold(0, |check, byte| check ^ byte);
        [&magic.0, &body[..], &[check]].concat()
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
        let mut starts = (0..bytes.len()).filter_map(|start| bytes.get(start..));
        starts.find_map(|rest| Self::decode(rest.strip_prefix(&magic.0)?))
    }

    /// What follows the magic.
    fn decode(body: &[u8]) -> Option<Self> {
        let length = match body.first()? {
            b'f' => FLOW_TAG_LENGTH - MAGIC,
            _ => TAG_LENGTH - MAGIC,
        };
        let body = body.get(..length)?;
        if body.iter().fold(0, |check, byte| check ^ byte) != 0 {
            return None;
        }
        let id = u16::from_be_bytes([*body.get(1)?, *body.get(2)?]);
        match body {
            [b'p', ..] => Some(Self::Probe(ProbeId(id))),
            [b'a', ..] => Some(Self::Answer(ProbeId(id))),
            [b'b', ..] => Some(Self::Beacon(BeaconId(id))),
            [b's', ..] => Some(Self::Size(SizeId(id))),
            [b'c', ..] => Some(Self::Control(SizeId(id))),
            [b'i', ..] => Some(Self::Spoofed(SpoofId(id))),
            [b'r', ..] => Some(Self::Genuine(SpoofId(id))),
            [b'f', _, _, number @ .., _] => {
                let number = u32::from_be_bytes(number.try_into().ok()?);
                Some(Self::Flow(FlowId(id), number))
            }
            _ => None,
        }
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
        fn any_cut_of_two_flow_tags_shows_one(id: u16, number: u32, magic: [u8; 8], start in 0usize..200) {
            let tag = Tag::Flow(FlowId(id), number);
            let bytes = tag.fill(Magic(magic), 400);
            let cut = &bytes[start..start + 2 * FLOW_TAG_LENGTH - 1];
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
