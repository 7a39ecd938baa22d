//! The axes that are varied (WireGuard, lane), and their combinations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wireproof_lab::host::need;
use wireproof_lab::vm::{able, kernel};
use wireproof_model::plan::Need;

use crate::engines;
use crate::failure::{Failure, Status};
use crate::lane::{Lane, Prepared};
use crate::lanes::Offer;
use crate::scenario::Asked;

/// The WireGuards that are tried where none are named.
const WIREGUARDS: &[&str] = &["userspace", "wireguard-go", "boringtun-cli", "kernel"];

/// The axes that are varied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axes {
    wireguards: Vec<String>,
    lanes: Vec<Lane>,
}

impl Axes {
    /// From `wireguard=userspace,kernel` and `lane=host,vm:debian-6.1`, or the bare words for
    /// everything that there is; what is not varied is as asked for.
    ///
    /// # Errors
    /// It is none of these; or a WireGuard or kernel is named that does not exist. One that is only not
    /// installed is a combination that cannot be.
    pub fn parse(
        words: &[String],
        wireguard: Option<&str>,
        lane: Option<Lane>,
    ) -> Result<Self, Failure> {
        let mut wireguards = Vec::new();
        let mut lanes: Vec<Lane> = Vec::new();
        for word in words {
            let (names, values) = match word.split_once('=') {
                Some((name, values)) => (name, Some(values)),
                None => (word.as_str(), None),
            };
            for name in names.split(',') {
                match (name, values) {
                    ("wireguard" | "backend", Some(values)) => {
                        for value in values.split(',') {
                            if value.is_empty() {
                                return Err(wrong(word, "a value of `wireguard` is empty".into()));
                            }
                            exists(engines::wireguard(value).map(drop))?;
                            wireguards.push(value.to_owned());
                        }
                    }
                    ("wireguard" | "backend", None) => {
                        wireguards.extend(WIREGUARDS.iter().map(|name| (*name).to_owned()));
                    }
                    ("lane" | "kernel", Some(values)) => {
                        for value in values.split(',') {
                            let lane = value.parse().map_err(|why| wrong(word, why))?;
                            if let Lane::Vm(kernel) = &lane {
                                let found = kernel::Kernel::find(kernel).map(drop);
                                exists(found.map_err(Failure::from))?;
                            }
                            lanes.push(lane);
                        }
                    }
                    ("lane" | "kernel", None) => {
                        lanes.push(Lane::Host);
                        lanes.extend(kernel::names().into_iter().map(Lane::Vm));
                    }
                    _ => return Err(wrong(word, format!("`{name}` cannot be varied"))),
                }
            }
        }
        if wireguards.is_empty() {
            wireguards.push(wireguard.unwrap_or("userspace").to_owned());
        }
        if lanes.is_empty() {
            lanes.push(lane.unwrap_or(Lane::Host));
        }
        let mut seen = BTreeSet::new();
        wireguards.retain(|name| !name.is_empty() && seen.insert(name.clone()));
        let mut seen = BTreeSet::new();
        lanes.retain(|lane| seen.insert(lane.to_string()));
        Ok(Self { wireguards, lanes })
    }

    /// Every combination, those of one lane together. Call it inside the sandbox.
    pub fn columns(&self) -> Vec<Column> {
        let of_lane = |lane: &Lane| {
            let lacks = match lane {
                Lane::Host => Offer::host(&Need::ALL.into()).lacks,
                Lane::Vm(kernel) => able::lacks(kernel),
            };
            let bootable = match lane {
                Lane::Host => need::unfit().map_or(Ok(()), Err),
                Lane::Vm(kernel) => able::bootable(kernel).map(drop),
            };
            let columns = self.wireguards.iter().map(|wireguard| Column {
                wireguard: wireguard.clone(),
                lane: lane.clone(),
                impossible: bootable
                    .clone()
                    .err()
                    .or_else(|| missing(wireguard, &lacks)),
                lacks: lacks.clone(),
            });
            columns.collect::<Vec<_>>()
        };
        self.lanes.iter().flat_map(of_lane).collect()
    }
}

/// Refuses what does not exist. What this machine only lacks is in the table.
fn exists(found: Result<(), Failure>) -> Result<(), Failure> {
    found.or_else(|failure| match failure.status() {
        Status::BadInput => Err(failure),
        Status::Held | Status::Broken | Status::Unfit => Ok(()),
    })
}

fn wrong(word: &str, what: String) -> Failure {
    Failure::Unknown {
        what: format!("--matrix {word}: {what}"),
        help: "write `wireguard,lane`, or each with values: `--matrix wireguard=userspace,kernel \
               --matrix lane=host,vm:debian-6.1`"
            .into(),
    }
}

/// Why a lane that lacks these cannot have that WireGuard.
fn missing(wireguard: &str, lacks: &BTreeMap<Need, String>) -> Option<String> {
    let need = match wireguard {
        "auto" => return None,
        "kernel" => Need::KernelWireGuard,
        _ => Need::Userspace,
    };
    let lacking = lacks
        .get(&need)
        .map(|cause| format!("no {}: {cause}", need.as_str()));
    let absent = || {
        let mut known = engines::PROGRAMS.iter();
        let known = known.find(|(program, _)| *program == wireguard);
        let help = known.map_or("give a program's path", |(_, remedy)| remedy);
        let found = engines::wireguard(wireguard);
        found.err().map(|_| format!("not installed ({help})"))
    };
    lacking.or_else(absent)
}

/// One combination of WireGuard and lane.
#[derive(Debug, Clone)]
pub struct Column {
    /// As the engine is asked for it.
    pub wireguard: String,
    /// The lane in which it runs.
    pub lane: Lane,
    /// Why it cannot be.
    pub impossible: Option<String>,
    lacks: BTreeMap<Need, String>,
}

impl Column {
    /// Its WireGuard as people call it: a program by its name.
    pub(super) fn name(&self) -> &str {
        self.wireguard.rsplit('/').next().unwrap_or(&self.wireguard)
    }

    /// A scenario for this combination.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn prepare(&self, usual: &Prepared, asked: Asked<'_>) -> Result<Prepared, String> {
        if let Some(why) = &self.impossible {
            return Err(why.clone());
        }
        let has_a_choice = usual.engine.descriptor.wireguard.is_some();
        if !has_a_choice && self.wireguard != "userspace" && self.wireguard != "auto" {
            return Err("its engine cannot be asked for another WireGuard".into());
        }
        let asked = Asked {
            wireguard: has_a_choice.then_some(self.wireguard.as_str()),
            ..asked
        };
        let prepared = Prepared::read(&usual.path, asked).map_err(|failure| failure.to_string())?;
        let needs = prepared.needs();
        if let Some(why) = need::contradiction(&needs) {
            return Err(why);
        }
        if let Some((need, cause)) = self.lacks.iter().find(|(need, _)| needs.contains(need)) {
            return Err(format!("no {}: {cause}", need.as_str()));
        }
        let folder = format!("{}-{}", self.name(), self.lane).replace([':', '/'], "-");
        Ok(prepared.below(&folder))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "wireguard": self.wireguard,
            "lane": self.lane.to_string(),
            "impossible": self.impossible,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(words: &[&str]) -> Result<Axes, Failure> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Axes::parse(&words, None, None)
    }

    #[test]
    fn axes_are_bare_words_or_have_values() {
        let named = axes(&["wireguard=userspace,kernel", "lane=host,vm:debian-6.1"]).unwrap();
        assert_eq!(named.wireguards, ["userspace", "kernel"]);
        assert_eq!(named.lanes, [Lane::Host, Lane::Vm("debian-6.1".into())]);
        let bare = axes(&["backend,kernel"]).unwrap();
        assert_eq!(bare.wireguards, WIREGUARDS);
        assert_eq!(bare.lanes[0], Lane::Host);
        let one = axes(&["lane=host,host"]).unwrap();
        assert_eq!((one.wireguards.len(), one.lanes.len()), (1, 1));
    }

    #[test]
    fn an_axis_that_cannot_be_varied_is_refused() {
        for word in [
            "colour",
            "lane=moon",
            "colour=red",
            "wireguard=",
            "wireguard=kernel,",
            "lane=",
        ] {
            let failure = axes(&[word]).unwrap_err().to_string();
            assert!(
                failure.contains(word) && failure.contains("help: write"),
                "{failure}"
            );
        }
    }
}
