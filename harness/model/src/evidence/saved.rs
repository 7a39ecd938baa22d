//! Evidence as a file, which notices what it has lost.
//!
//! A promise that forbids something holds when nothing was seen, so evidence that lost a part would
//! prove more than the whole. So would a plan that lost a promise. The file therefore lists what was
//! saved: for each observer how many frames and beacons it saw, for each part of the evidence and of
//! the plan how many entries it had, and a digest of each. What does not agree when the file is opened
//! is a [`Loss`], and no promise that needs it is decided.
//!
//! The digest is FNV-1a of 64 bits (a dozen lines, no crate). It notices loss and accidents: truncated files, filters that
//! drop fields, parts that were edited away. It does not stop somebody who computes it again; that
//! needs a signature with a key, and no digest without one would do better.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Evidence, NodeEvidence, Place, Sighting};
use crate::name::NodeName;
use crate::plan::Plan;
use crate::tag::Tag;

/// The version of `evidence.json` that is written, and the only one that is read.
pub const VERSION: u32 = 6;

/// The content of `evidence.json`. `E` is [`Evidence`], owned or borrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedEvidence<E = Evidence> {
    /// [`VERSION`].
    pub version: u32,
    /// What there was when it was saved.
    pub inventory: Inventory,
    /// What was observed.
    pub evidence: E,
}

/// How much of everything was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The sightings, by the observer that made them.
    pub observers: Vec<ObserverEntry>,
    /// What each node looked like.
    pub nodes: BTreeMap<NodeName, Entry>,
    /// All the rest, by the name of the field.
    pub parts: BTreeMap<String, Entry>,
    /// The plan of the run, which is in a file of its own, by the name of the field.
    pub plan: BTreeMap<String, Entry>,
}

/// The sightings of one observer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserverEntry {
    /// Where it was; none for frames at interfaces that the evidence does not list.
    pub place: Option<Place>,
    /// Frames that it saw.
    pub frames: u64,
    /// Those of them that are beacons.
    pub beacons: u64,
    /// Of its sightings, in their order.
    pub digest: Digest,
}

/// A part of the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// How many entries it has; 1 of what is no list.
    pub count: u64,
    /// Of its JSON.
    pub digest: Digest,
}

/// FNV-1a (RFC 9923) of 64 bits, over the JSON of a value. Written as 16 hexadecimal digits,
/// since many tools keep only 53 bits of a number in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(u64);

/// A part of the evidence that is not as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The part that was lost.
    pub part: Part,
    /// What is missing, in words.
    pub text: String,
}

/// What can be lost by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Frames that one observer saw.
    Observer(Place),
    /// What one node looked like.
    Node(NodeName),
    /// Something that every promise needs.
    Common,
}

impl<'a> SavedEvidence<&'a Evidence> {
    /// Evidence of a run of `plan` with the list of what both have.
    pub fn new(plan: &Plan, evidence: &'a Evidence) -> Self {
        Self {
            version: VERSION,
            inventory: Inventory::of(plan, evidence),
            evidence,
        }
    }
}

impl SavedEvidence {
    /// Reads the text of `evidence.json`.
    ///
    /// # Errors
    /// It is no JSON, is of another version, or lacks what no evidence can lack; the error names it.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: Option<u32>,
        }
        let versioned: Versioned = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match versioned.version {
            Some(VERSION) => serde_json::from_str(text).map_err(|e| e.to_string()),
            Some(other) => Err(format!(
                "it has version {other} of the evidence format, and this wireproof reads version {VERSION}: run the scenario again"
            )),
            None => Err(format!(
                "it does not say which version of the evidence format it has, as runs of older wireproofs do not, and this one reads version {VERSION}: run the scenario again"
            )),
        }
    }

    /// The evidence, with a list of what it and `plan`, which was saved beside it, have lost since.
    pub fn open(self, plan: &Plan) -> Evidence {
        let lost = self.inventory.losses(&Inventory::of(plan, &self.evidence));
        Evidence {
            lost,
            ..self.evidence
        }
    }
}

impl Inventory {
    /// What a plan and the evidence of its run have.
    pub fn of(plan: &Plan, evidence: &Evidence) -> Self {
        // Every field by its name, so that a new one is not forgotten.
        let Evidence {
            magic,
            interfaces,
            observers,
            beacons,
            sightings,
            probing,
            flows,
            probes,
            sizes,
            bulks,
            spoofs,
            nodes,
            drops,
            states,
            conduct,
            secrets,
            wire,
            start,
            steps,
            skipped,
            timings,
            neighbours_refused,
            lost: _,
        } = evidence;
        let parts = [
            ("magic", Entry::of(1, magic)),
            ("interfaces", Entry::of(interfaces.len(), interfaces)),
            ("observers", Entry::of(observers.len(), observers)),
            ("beacons", Entry::of(beacons.len(), beacons)),
            ("probing", Entry::of(1, probing)),
            ("flows", Entry::of(flows.len(), flows)),
            ("probes", Entry::of(probes.len(), probes)),
            ("sizes", Entry::of(sizes.len(), sizes)),
            ("bulks", Entry::of(bulks.len(), bulks)),
            ("spoofs", Entry::of(spoofs.len(), spoofs)),
            ("drops", Entry::of(drops.places.len(), drops)),
            ("states", Entry::of(states.len(), states)),
            ("conduct", Entry::of(conduct.len(), conduct)),
            ("secrets", Entry::of(1, secrets)),
            ("wire", Entry::of(wire.len(), wire)),
            ("start", Entry::of(1, start)),
            ("steps", Entry::of(steps.len(), steps)),
            ("neighbours_refused", Entry::of(1, neighbours_refused)),
            ("skipped", Entry::of(1, skipped)),
            ("timings", Entry::of(timings.len(), timings)),
        ];
        let node = |(name, node): (&NodeName, &NodeEvidence)| (name.clone(), Entry::of(1, node));
        Self {
            observers: observer_entries(evidence, sightings),
            nodes: nodes.iter().map(node).collect(),
            parts: parts
                .into_iter()
                .map(|(name, entry)| (name.into(), entry))
                .collect(),
            plan: plan_entries(plan),
        }
    }

    /// What this list has and `found` has not, or has otherwise.
    fn losses(&self, found: &Self) -> Vec<Loss> {
        // A promise that is not in the plan any more cannot be left open: all others are.
        let plan = named_differences(&self.plan, &found.plan)
            .map(|(name, text)| common(format!("`{name}` of `plan.json`: {text}")));
        let parts = named_differences(&self.parts, &found.parts)
            .map(|(name, text)| common(format!("`{name}`: {text}")));
        let nodes = named_differences(&self.nodes, &found.nodes).map(|(name, text)| Loss {
            part: Part::Node(name.clone()),
            text: format!("node {name}: {text}"),
        });
        let places = self.observers.iter().chain(&found.observers);
        let places: BTreeSet<_> = places.map(|entry| &entry.place).collect();
        let observers = places.into_iter().filter_map(|place| {
            let entry = |all: &'_ [ObserverEntry]| {
                let mut of_place = all.iter().filter(|entry| entry.place == *place);
                of_place.next().cloned()
            };
            let text = frames_lost(entry(&self.observers), entry(&found.observers))?;
            let (part, name) = match place {
                Some(place) => (Part::Observer(place.clone()), place.name()),
                None => (Part::Common, "unknown interfaces"),
            };
            Some(Loss {
                part,
                text: format!("the observer of {name}: {text}"),
            })
        });
        plan.chain(parts).chain(nodes).chain(observers).collect()
    }
}

/// The sightings of each observer, in the order of the places.
fn observer_entries(evidence: &Evidence, sightings: &[Sighting]) -> Vec<ObserverEntry> {
    let mut all = BTreeMap::<Option<&Place>, (u64, u64, Fnv)>::new();
    // An observer that saw nothing is listed too.
    for observer in &evidence.observers {
        all.entry(Some(&observer.place)).or_default();
    }
    for sighting in sightings {
        let interface = evidence.interface(sighting.interface);
        let entry = all.entry(interface.map(|interface| &interface.place));
        let (frames, beacons, fnv) = entry.or_default();
        *frames += 1;
        *beacons += u64::from(matches!(sighting.tag, Some(Tag::Beacon(_))));
        fnv.add(sighting);
    }
    let entry =
        |(place, (frames, beacons, fnv)): (Option<&Place>, (u64, u64, Fnv))| ObserverEntry {
            place: place.cloned(),
            frames,
            beacons,
            digest: fnv.digest(),
        };
    all.into_iter().map(entry).collect()
}

/// The fields of a plan, as `plan.json` has them.
fn plan_entries(plan: &Plan) -> BTreeMap<String, Entry> {
    // As for digests: no map of a plan has keys that are not strings.
    let fields = match serde_json::to_value(plan) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let entry = |(name, value): (String, Value)| {
        let count = match &value {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        };
        (name, Entry::of(count, &value))
    };
    fields.into_iter().map(entry).collect()
}

fn common(text: String) -> Loss {
    Loss {
        part: Part::Common,
        text,
    }
}

/// The names in either list whose entries differ, and how.
fn named_differences<'a, N: Ord>(
    saved: &'a BTreeMap<N, Entry>,
    found: &'a BTreeMap<N, Entry>,
) -> impl Iterator<Item = (&'a N, String)> {
    let names: BTreeSet<_> = saved.keys().chain(found.keys()).collect();
    names.into_iter().filter_map(|name| {
        let text = difference(saved.get(name), found.get(name))?;
        Some((name, text))
    })
}

/// How a part differs from what was saved; none if it does not.
fn difference(saved: Option<&Entry>, found: Option<&Entry>) -> Option<String> {
    match (saved, found) {
        (Some(saved), Some(found)) if saved == found => None,
        (Some(saved), Some(found)) if saved.count != found.count => Some(format!(
            "{} were saved, {} are left",
            saved.count, found.count
        )),
        (Some(_), Some(_)) => Some("is not as it was saved".into()),
        (Some(_), None) => Some("was saved, and is missing".into()),
        (None, Some(_)) => Some("is there, and the inventory does not list it".into()),
        (None, None) => None,
    }
}

fn frames_lost(saved: Option<ObserverEntry>, found: Option<ObserverEntry>) -> Option<String> {
    match (saved, found) {
        (Some(saved), Some(found)) if saved == found => None,
        (Some(saved), Some(found)) if saved.frames != found.frames => Some(format!(
            "{} frames were saved, {} are left",
            saved.frames, found.frames
        )),
        (Some(saved), Some(found)) if saved.beacons != found.beacons => Some(format!(
            "{} beacons were saved, {} are left",
            saved.beacons, found.beacons
        )),
        (Some(_), Some(_)) => Some("its frames are not as they were saved".into()),
        (Some(_), None) => Some("was saved, and is missing".into()),
        (None, Some(_)) => Some("is there, and the inventory does not list it".into()),
        (None, None) => None,
    }
}

impl Entry {
    fn of(count: usize, part: &impl Serialize) -> Self {
        let mut fnv = Fnv::default();
        fnv.add(part);
        Self {
            count: u64::try_from(count).unwrap_or(u64::MAX),
            digest: fnv.digest(),
        }
    }
}

/// A digest that is being computed.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, value: &impl Serialize) {
        // The types of the evidence have no map whose keys are not strings, and nothing is written
        // anywhere, so this cannot fail; were it to, the digest of whole evidence would agree still.
        let _ = serde_json::to_writer(self, value);
    }

    fn digest(&self) -> Digest {
        Digest(self.0)
    }
}

impl io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        format!("{:016x}", digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = u64::from_str_radix(&text, 16);
        digits
            .map(Self)
            .map_err(|_| format!("`{text}` is no digest"))
    }
}
