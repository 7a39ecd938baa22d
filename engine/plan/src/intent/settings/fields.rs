//! Typed access to a spec's fields.

use serde_json::{Map, Value};

use crate::intent::resource::Wrong;

use super::KERNEL_TABLES;
use super::annotations::meant_annotation;
use super::overrides::{UNKNOWN, is_about_encryption, misspelt};

/// Typed access to a spec that collects what is wrong.
pub(super) struct Fields<'a> {
    pub(super) spec: &'a Map<String, Value>,
    pub(super) wrong: Vec<Wrong>,
}

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.spec.get(name).filter(|value| !value.is_null())
    }

    /// Reports unknown fields that are near to a known one.
    pub(super) fn find_misspelt(&mut self) {
        let names = self.spec.keys();
        let near = names.filter_map(|name| Some((name.clone(), misspelt(name)?)));
        for (name, meant) in near.collect::<Vec<_>>() {
            let what = format!("is no field: did you mean `{meant}`?");
            self.wrong.push(Wrong::at(&format!("spec.{name}"), what));
        }
        let names = self.spec.keys();
        let unknown = names.filter(|name| misspelt(name).is_none() && is_about_encryption(name));
        for name in unknown.cloned().collect::<Vec<_>>() {
            let what = format!("is no field: {UNKNOWN}");
            self.wrong.push(Wrong::at(&format!("spec.{name}"), what));
        }
        for name in self.spec.keys().cloned().collect::<Vec<_>>() {
            if let Some(meant) = meant_annotation(&name) {
                let what = format!("is no field: did you mean the annotation `{meant}`?");
                self.wrong.push(Wrong::at(&format!("spec.{name}"), what));
            }
        }
    }

    pub(super) fn fail<T>(&mut self, name: &str, what: impl Into<String>) -> Option<T> {
        self.wrong.push(Wrong::at(&format!("spec.{name}"), what));
        None
    }

    /// `routeTableRanges`, or the older `routeTableRange`: inclusive ranges of table numbers.
    pub(super) fn tables(&mut self) -> Option<Vec<(u32, u32)>> {
        let name = "routeTableRanges";
        let ranges = match (self.get(name), self.get("routeTableRange")) {
            (Some(Value::Array(ranges)), _) => ranges.clone(),
            (Some(_), _) => return self.fail(name, "is not a list of ranges"),
            (None, Some(range)) => vec![range.clone()],
            (None, None) => return None,
        };
        let end = |range: &Value, end: &str| {
            let number = range.get(end)?.as_u64()?;
            u32::try_from(number).ok().filter(|number| *number > 0)
        };
        let read = |range: &Value| {
            let (min, max) = (end(range, "min")?, end(range, "max")?);
            (min <= max).then_some((min, max))
        };
        let read: Option<Vec<_>> = ranges.iter().map(read).collect();
        match read {
            Some(read) if !read.is_empty() && read.iter().all(is_kernels) => self.fail(
                name,
                "holds the kernel's own tables alone (253 to 255: default, main and local)",
            ),
            Some(read) if !read.is_empty() => Some(read),
            _ => self.fail(
                name,
                "has a range without a `min` and a `max` not below it, both above 0",
            ),
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(value) => Some(*value),
            _ => self.fail(name, "is neither true nor false"),
        }
    }

    pub(super) fn number(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let value = self
            .get(name)?
            .as_u64()
            .and_then(|value| u32::try_from(value).ok());
        match value {
            Some(value) if (least..=most).contains(&value) => Some(value),
            _ => self.fail(
                name,
                format!("is not a whole number from {least} to {most}"),
            ),
        }
    }

    pub(super) fn text<T>(
        &mut self,
        name: &str,
        otherwise: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        match self.get(name)?.as_str().and_then(read) {
            Some(value) => Some(value),
            None => self.fail(name, otherwise),
        }
    }
}

/// Whether a range holds nothing but the kernel's own tables.
fn is_kernels((min, max): &(u32, u32)) -> bool {
    KERNEL_TABLES.contains(min) && KERNEL_TABLES.contains(max)
}
