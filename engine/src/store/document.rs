//! A file's text as resources: one, several documents, or lists of them.
//!
//! `kubectl get -o yaml` prints a `List`, `calicoctl get` a `NodeList` or its like, and people join
//! documents with `---`. Each resource keeps its place, so that it can be edited where it is.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep mappings and lists may be inside of each other: as far as the parsers themselves go.
const DEPTH: usize = 128;

/// How many times its own size a file's values may have: aliases repeat what they name.
const GROWTH: usize = 8;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Json,
}

impl Format {
    /// By a file's name.
    pub(super) fn of(name: &str) -> Self {
        match name.ends_with(".json") {
            true => Self::Json,
            false => Self::Yaml,
        }
    }
}

/// Where a resource is in a file, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    document: usize,
    /// None, if the document is the resource.
    item: Option<usize>,
}

impl Place {
    /// Where a file's only resource is.
    pub(super) const ONLY: Self = Self {
        document: 0,
        item: None,
    };
}

/// All of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Documents(Vec<Value>);

impl Documents {
    /// One document.
    pub(super) fn one(value: Value) -> Self {
        Self(vec![value])
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is not of the format, goes deeper than [`DEPTH`], or holds nothing.
    pub(super) fn parse(format: Format, content: &[u8]) -> Result<Self, String> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let values = match format {
            Format::Json => vec![
                serde_json::from_slice::<Value>(content)
                    .map_err(|error| format!("it is not JSON: {error}"))?,
            ],
            Format::Yaml => yaml(content)?,
        };
        // A trailing `---` begins a document that is empty.
        let values: Vec<_> = values
            .into_iter()
            .filter(|value| !value.is_null())
            .collect();
        if values.is_empty() {
            return Err("it holds no resource".into());
        }
        Ok(Self(values))
    }

    /// The resources with their places, as they are meant: an item of a typed list need not say its
    /// own kind.
    pub(super) fn resources(&self) -> Vec<(Place, Value)> {
        let mut resources = Vec::new();
        for (document, value) in self.0.iter().enumerate() {
            let Some(items) = items(value) else {
                let item = None;
                resources.push((Place { document, item }, value.clone()));
                continue;
            };
            let kind = value["kind"]
                .as_str()
                .and_then(|kind| kind.strip_suffix("List"));
            for (item, resource) in items.iter().enumerate() {
                let mut resource = resource.clone();
                if let (Value::Object(fields), Some(kind)) = (&mut resource, kind)
                    && !kind.is_empty()
                {
                    for (field, value) in [
                        ("kind", Value::from(kind)),
                        ("apiVersion", value["apiVersion"].clone()),
                    ] {
                        if !value.is_null() {
                            fields.entry(field).or_insert(value);
                        }
                    }
                }
                let item = Some(item);
                resources.push((Place { document, item }, resource));
            }
        }
        resources
    }

    /// What a resource is called in messages: by its file, and by its place if there are several.
    pub(super) fn name(&self, file: &str, place: Place) -> String {
        let document = place.document + 1;
        match (self.0.len(), place.item) {
            (1, None) => file.to_owned(),
            (1, Some(item)) => format!("{file} (item {})", item + 1),
            (_, None) => format!("{file} (document {document})"),
            (_, Some(item)) => format!("{file} (document {document}, item {})", item + 1),
        }
    }

    /// The resource at a place, as written.
    pub(super) fn at(&mut self, place: Place) -> Option<&mut Value> {
        let document = self.0.get_mut(place.document)?;
        match place.item {
            None => Some(document),
            Some(item) => document.get_mut("items")?.get_mut(item),
        }
    }

    /// The file's text.
    ///
    /// # Errors
    /// A value cannot be written in the format.
    pub(super) fn text(&self, format: Format) -> Result<String, String> {
        let texts: Result<Vec<_>, String> = self
            .0
            .iter()
            .map(|value| match format {
                Format::Json => serde_json::to_string_pretty(value)
                    .map(|text| text + "\n")
                    .map_err(|error| error.to_string()),
                Format::Yaml => serde_yaml_ng::to_string(value).map_err(|error| error.to_string()),
            })
            .collect();
        Ok(texts?.join("---\n"))
    }
}

/// The items of a list of resources.
fn items(value: &Value) -> Option<&[Value]> {
    if !value["kind"].as_str()?.ends_with("List") {
        return None;
    }
    match value.get("items") {
        Some(Value::Array(items)) => Some(items),
        None | Some(Value::Null) => Some(&[]),
        Some(_) => None,
    }
}

fn yaml(content: &[u8]) -> Result<Vec<Value>, String> {
    if depth(content, false).max(depth(content, true)) > DEPTH {
        return Err(format!("it goes deeper than {DEPTH} levels"));
    }
    let left = Cell::new(content.len().saturating_mul(GROWTH) + 1024);
    let documents = serde_yaml_ng::Deserializer::from_slice(content);
    documents
        .map(|document| Bounded { left: &left }.deserialize(document))
        .collect::<Result<_, _>>()
        .map_err(|error: serde_yaml_ng::Error| format!("it is not YAML: {error}"))
}

/// How deep brackets are inside of each other, about: YAML's parser takes time in proportion to the
/// square of it before it looks at the depth itself. Both estimates, with and without regard to
/// quotes, are right for text that balances its brackets.
fn depth(content: &[u8], quotes: bool) -> usize {
    let (mut depth, mut deepest, mut quote) = (0_usize, 0, None);
    for byte in content {
        match (byte, quote) {
            (b'"' | b'\'', None) if quotes => quote = Some(*byte),
            (byte, Some(open)) if *byte == open => quote = None,
            (_, Some(_)) => {}
            (b'[' | b'{', None) => depth += 1,
            (b']' | b'}', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Reads a value of bounded size.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    /// How many values and bytes of text may still come.
    left: &'a Cell<usize>,
}

impl Bounded<'_> {
    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes.saturating_add(1));
        self.left.set(left.ok_or_else(|| {
            E::custom(format!(
                "its aliases make it more than {GROWTH} times as large as it is"
            ))
        })?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.spend(0)?;
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.spend(0)?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.spend(0)?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.spend(0)?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(value.len())?;
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.spend(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut fields = Map::new();
        while let Some(name) = mapping.next_key::<String>()? {
            self.spend(name.len())?;
            let value = mapping.next_value_seed(self)?;
            fields.insert(name, value);
        }
        Ok(fields.into())
    }
}

#[cfg(test)]
mod tests;
