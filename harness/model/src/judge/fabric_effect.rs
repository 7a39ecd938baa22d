//! An effect of the fabric on packets, and how often it occurred.

use serde::Serialize;

/// An effect of the fabric on packets, and how often it occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FabricEffect {
    /// The scenario's line that asks for it; none for what goes without saying.
    pub line: Option<u32>,
    /// What it does, in words.
    pub what: String,
    /// To so many packets.
    pub packets: u64,
    /// Why what became of them is not what was asked for.
    pub unlike: Option<String>,
}

impl FabricEffect {
    /// Whether it was asked for and never happened.
    pub fn is_idle(&self) -> bool {
        self.line.is_some() && (self.packets == 0 || self.unlike.is_some())
    }

    /// What shows that it never happened.
    pub fn idleness(&self) -> &str {
        match &self.unlike {
            Some(why) if self.packets > 0 => why,
            Some(_) | None => "there was none to hit",
        }
    }
}
