//! Parser of the saved rules: only this engine's own tables, and only what drops plaintext.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde_json::Value;

use super::{Firewall, TABLE, TABLES, read_element};

/// The chains that drop plaintext.
const STRICT: [&str; 2] = ["strict-out", "strict-in"];

/// What comes before the objects in a transaction that begins with nothing: each table is added and
/// deleted.
const RESET: usize = 2 * TABLES.len();

impl Firewall {
    /// The firewall that a transaction makes where there was none.
    ///
    /// # Errors
    /// It is none that [`Firewall::transaction`] has written, or does not drop plaintext. The reason,
    /// as a sentence.
    pub fn read_strict(transaction: &Value) -> Result<Self, String> {
        let commands = transaction["nftables"].as_array();
        let commands = commands.ok_or("it holds no nftables commands")?;
        let mut firewall = Self::default();
        for command in commands.get(RESET..).unwrap_or_default() {
            let added = command.get("add").and_then(Value::as_object);
            let (kind, object) = added
                .and_then(|added| added.iter().next())
                .ok_or("it holds a command that is not the agent's")?;
            let name = object["name"].as_str().unwrap_or_default();
            if kind == "element" {
                let elements = object["elem"].as_array().into_iter().flatten();
                let set = firewall.sets.entry(name.to_owned()).or_default();
                set.extend(elements.filter_map(read_element));
                continue;
            }
            if kind == "set" {
                firewall.sets.entry(name.to_owned()).or_default();
            }
            let table = if kind == "table" { "name" } else { "table" };
            let own =
                object[table] == TABLE && TABLES.iter().any(|family| object["family"] == *family);
            if !own {
                return Err("it holds a command for a table that is not the agent's".into());
            }
            firewall.objects.push(command["add"].clone());
        }
        if Self::default().transaction(&firewall) != *transaction {
            return Err("it holds commands that the agent does not write".into());
        }
        match firewall.drops_plaintext() {
            true => Ok(firewall),
            false => Err("it holds rules that drop nothing".into()),
        }
    }

    /// Whether plaintext is dropped in both directions: each chain has a rule that drops, and there is
    /// something to drop.
    pub fn drops_plaintext(&self) -> bool {
        let drops = |chain: &str| {
            let mut rules = self.objects.iter().filter_map(|object| object.get("rule"));
            rules.any(|rule| {
                let expressions = rule["expr"].as_array();
                let mut expressions = expressions.into_iter().flatten();
                rule["chain"] == chain && expressions.any(|part| part.get("drop").is_some())
            })
        };
        let protects = |(name, networks): (&String, &BTreeSet<IpNet>)| {
            name.starts_with(super::PROTECTED) && !networks.is_empty()
        };
        let sets: &BTreeMap<_, _> = &self.sets;
        STRICT.into_iter().all(drops) && sets.iter().any(protects)
    }
}
