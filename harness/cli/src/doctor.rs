//! The capabilities of this machine, as a table.

use std::fmt::Write;

use serde_json::{Value, json};
use wireproof_lab::host::memory::{Room, Size, rooms};
use wireproof_lab::host::preflight::{Capability, fit, survey};
use wireproof_model::plan::Need;

use crate::failure::Status;
use crate::lanes::Offer;

/// The survey of this machine, to be printed.
#[derive(Debug)]
pub struct Examination {
    capabilities: Vec<Capability>,
    lanes: Vec<Offer>,
    rooms: Vec<Room>,
}

impl Examination {
    /// Examines this machine. Call it inside the sandbox.
    pub fn of_this_machine() -> Self {
        Self {
            capabilities: survey(),
            rooms: rooms(),
            lanes: std::iter::once(Offer::host(&Need::ALL.into()))
                .chain(Offer::machines())
                .collect(),
        }
    }

    /// Held if scenarios can run here.
    pub fn status(&self) -> Status {
        if fit(&self.capabilities) {
            Status::Held
        } else {
            Status::Unfit
        }
    }

    /// As text, for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for capability in &self.capabilities {
            let mark = match (&capability.missing, capability.needed) {
                (None, _) => "yes",
                (Some(_), true) => "NO",
                (Some(_), false) => "no",
            };
            let _ = write!(text, "{mark:<4} {}", capability.name);
            if let Some(cause) = &capability.missing {
                let _ = write!(
                    text,
                    ": {cause}\n       cost: {}\n       remedy: {}",
                    capability.cost, capability.remedy
                );
            }
            text.push('\n');
        }
        text.push_str(if fit(&self.capabilities) {
            "\nScenarios run on this machine.\n"
        } else {
            "\nScenarios do not run on this machine.\n"
        });
        let rooms = self.rooms.iter();
        if let Some(least) = rooms.min_by_key(|room| room.left()) {
            let left = Size(least.left());
            let _ = writeln!(
                text,
                "{least} leaves {left} of memory; `wireproof run --list` says what each scenario needs."
            );
        }
        text + &lanes(&self.lanes)
    }

    /// As JSON, for programs.
    pub fn json(&self) -> Value {
        let one = |capability: &Capability| {
            json!({
                "name": capability.name,
                "available": capability.missing.is_none(),
                "needed": capability.needed,
                "cause": capability.missing,
                "cost": capability.cost,
                "remedy": capability.remedy,
            })
        };
        json!({
            "fit": fit(&self.capabilities),
            "memory_mib": self.rooms.iter().map(|room| Size(room.left()).mebibytes()).min(),
            "capabilities": self.capabilities.iter().map(one).collect::<Vec<_>>(),
            "lanes": self.lanes.iter().map(lane).collect::<Vec<_>>(),
        })
    }
}

/// What each lane can do that not every one can, and how to have what is missing.
fn lanes(offers: &[Offer]) -> String {
    let names: Vec<_> = offers.iter().map(|offer| offer.lane.to_string()).collect();
    let width = Need::ALL.map(|need| need.as_str().len()).into_iter().max();
    let width = width.unwrap_or_default();
    let mut text = format!("\n{:<width$}  {}\n", "lane", names.join("  "));
    for need in Need::ALL {
        let marks = offers.iter().zip(&names).map(|(offer, name)| {
            let mark = match offer.lacks.contains_key(&need) {
                true => "no",
                false => "yes",
            };
            format!("  {mark:<0$}", name.len())
        });
        let marks: String = marks.collect();
        let _ = writeln!(text, "{:<width$}{}", need.as_str(), marks.trim_end());
    }
    for offer in offers {
        for (need, cause) in &offer.lacks {
            let (lane, need, remedy) = (&offer.lane, need.as_str(), offer.remedy(*need));
            let _ = writeln!(
                text,
                "{lane} has no {need}: {cause}\n       remedy: {remedy}"
            );
        }
    }
    text.push_str(match offers.len() {
        1 => "\nOther kernels in virtual machines: ci/setup --kernels\n",
        _ => "\n`wireproof run` chooses the first lane that has what a scenario needs.\n",
    });
    text
}

fn lane(offer: &Offer) -> Value {
    let needs = Need::ALL.map(|need| {
        json!({
            "need": need.as_str(),
            "met": !offer.lacks.contains_key(&need),
            "cause": offer.lacks.get(&need),
            "remedy": offer.remedy(need),
        })
    });
    json!({ "lane": offer.lane.to_string(), "needs": needs })
}
