//! Typed access to a resource's fields.
//!
//! What is not is collected, with its field. A mistake never hides what can be read beside it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::intent::address::unusable;
use crate::intent::family::{Family, network};
use crate::intent::spelling::meant;

use super::{Lost, Wrong};

/// How many mistakes of one resource are reported.
const MAX_REPORTED: usize = 8;

/// Typed access to a resource.
pub(super) struct Fields<'a> {
    pub(super) document: &'a Value,
    pub(super) wrong: Vec<Wrong>,
    pub(super) lost: Vec<Lost>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(document: &'a Value) -> Self {
        Self {
            document,
            wrong: Vec::new(),
            lost: Vec::new(),
        }
    }

    pub(super) fn fail(&mut self, field: &str, what: impl Into<String>) {
        let wrong = Wrong::at(field, what);
        // What concerns both families is told once.
        if self.wrong.contains(&wrong) {
            return;
        }
        match self.wrong.len() {
            count if count < MAX_REPORTED => self.wrong.push(wrong),
            MAX_REPORTED => self.wrong.push(Wrong::at(
                field,
                "is wrong too, and the other mistakes of this resource are not told",
            )),
            _ => {}
        }
    }

    /// The same, of what stays as it was known.
    pub(super) fn lose(&mut self, lost: Lost, field: &str, what: impl Into<String>) {
        self.fail(field, what);
        if !self.lost.contains(&lost) {
            self.lost.push(lost);
        }
    }

    /// What a field holds, unless it is nothing.
    pub(super) fn at(&self, field: &str) -> Option<&'a Value> {
        let found = field
            .split('.')
            .try_fold(self.document, |value, part| value.get(part))?;
        (!found.is_null()).then_some(found)
    }

    /// The name of the field that stands for `field`: itself, or one whose name is a slip for it.
    pub(super) fn spelt(&self, field: &str) -> String {
        let (parent, name) = field.rsplit_once('.').unwrap_or(("", field));
        let found = self.at(parent).and_then(Value::as_object);
        let mut names = found.into_iter().flat_map(|found| found.keys());
        let slip = names.find(|written| meant(written, [name]).is_some());
        match slip {
            Some(written) if self.at(field).is_none() => format!("{parent}.{written}"),
            _ => field.to_owned(),
        }
    }

    /// # Errors
    /// It is not a text.
    pub(super) fn optional(&self, field: &str) -> Result<Option<String>, Wrong> {
        match self.at(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Wrong::at(field, "is not a text")),
        }
    }

    /// # Errors
    /// It is not a text, is empty, or is not there.
    pub(super) fn required(&self, field: &str) -> Result<String, Wrong> {
        match self.optional(field)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(Wrong::at(field, "is empty")),
            None => Err(Wrong::at(field, "is missing")),
        }
    }

    /// A text, if it is one.
    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        match self.optional(field) {
            Ok(text) => text.filter(|text| !text.is_empty()),
            Err(wrong) => {
                self.fail(&wrong.field, wrong.what);
                None
            }
        }
    }

    /// A node's address, of one family, with or without a prefix length. Felix drops one without it
    /// silently; it means the same.
    pub(super) fn address(&mut self, family: Family, field: &str) -> Option<IpAddr> {
        let text = match self.optional(field) {
            Ok(text) => text.filter(|text| !text.is_empty())?,
            Err(wrong) => {
                self.lose(Lost::Address(family), field, wrong.what);
                return None;
            }
        };
        match host(&text) {
            Ok(address) if Family::of(address) == family => Some(address),
            Ok(_) => {
                let what = format!("holds `{text}`, which is no {family} address");
                self.lose(Lost::Address(family), field, what);
                None
            }
            Err(None) => {
                let what = format!("holds `{text}`, which is no {family} address");
                self.lose(Lost::Address(family), field, what);
                None
            }
            Err(Some(what)) => {
                let what = format!("holds `{text}`: that is {what}");
                self.lose(Lost::Address(family), field, what);
                None
            }
        }
    }

    /// `metadata.creationTimestamp`, which Kubernetes and Calico write in UTC and whole seconds, so that its
    /// text sorts by time (Kubernetes: `metav1.Time`). Another text counts as none.
    pub(super) fn created(&self) -> String {
        const TIME_FORMAT: &[u8] = b"0000-00-00T00:00:00Z";
        let text = self.at("metadata.creationTimestamp");
        let text = text.and_then(Value::as_str).unwrap_or_default();
        let fits = |(form, byte): (&u8, u8)| match form {
            b'0' => byte.is_ascii_digit(),
            sign => byte == *sign,
        };
        let is_time =
            text.len() == TIME_FORMAT.len() && TIME_FORMAT.iter().zip(text.bytes()).all(fits);
        if is_time {
            text.to_owned()
        } else {
            String::new()
        }
    }

    /// The texts of a mapping.
    pub(super) fn texts(&self, field: &str) -> BTreeMap<String, String> {
        let texts = self.at(field).and_then(Value::as_object);
        let texts = texts.into_iter().flatten();
        // YAML makes `true` no text, and what is meant by it is clear.
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        texts
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }
}

/// The address of a text with or without a prefix length.
///
/// # Errors
/// It is none (`None`), or one that no host has: what it is.
pub(super) fn host(text: &str) -> Result<IpAddr, Option<&'static str>> {
    let address = network(text).ok_or(None)?.addr();
    match unusable(address) {
        Some(what) => Err(Some(what)),
        None => Ok(address),
    }
}
