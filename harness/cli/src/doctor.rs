//! What this machine can do, as a table.

use std::fmt::Write;

use serde_json::{Value, json};
use wireproof_lab::preflight::{Capability, fit, survey};

use crate::failure::Status;

/// The survey, told.
#[derive(Debug)]
pub struct Examination {
    capabilities: Vec<Capability>,
}

impl Examination {
    /// Examines this machine. Call it inside the sandbox.
    pub fn of_this_machine() -> Self {
        Self {
            capabilities: survey(),
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

    /// For people.
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
        text
    }

    /// For programs.
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
            "capabilities": self.capabilities.iter().map(one).collect::<Vec<_>>(),
        })
    }
}
