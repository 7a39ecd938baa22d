//! A file's text as resources: one, several documents, or lists of them.
//!
//! `kubectl get -o yaml` prints a `List`, `calicoctl get` a `NodeList` or its like, and people join
//! documents with `---`. Each resource keeps its place, so that it can be edited where it is.

use std::cell::{Cell, RefCell};

use serde::de::DeserializeSeed;
use serde_json::Value;

use super::snapshot::{Mistake, Position};

/// Line and column of a value in a file's text.
mod position;

/// Values of bounded size.
mod bounded;

use bounded::{Bounded, GROWTH, Reading};
use position::{Path, Step};

/// How deep mappings and lists may be inside of each other: as far as the parsers themselves go.
const MAX_DEPTH: usize = 128;

/// How deep lists of resources may be inside of each other.
const MAX_LIST_DEPTH: usize = 8;

/// How many documents, and how many resources, a file may hold: more of them than fit into its largest
/// size take seconds and are no resources.
const MAX_RESOURCES: usize = 10_000;

/// How many lines and commas a YAML file may have: as many as fit into its largest size at 21 bytes each. Its
/// parser takes some microseconds for each, and several times that where fields are there twice.
const MAX_LINES_AND_COMMAS: usize = 200_000;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Json,
}

impl Format {
    /// By a file's name.
    pub(super) fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().ends_with(".json") {
            true => Self::Json,
            false => Self::Yaml,
        }
    }
}

/// Where a resource is in a file, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    document: usize,
    /// Its place in the list that the document is, in the list that is there, and so on.
    items: Vec<usize>,
}

impl Place {
    /// Where a file's only resource is.
    pub(super) const ONLY: Self = Self {
        document: 0,
        items: Vec::new(),
    };

    /// From the document to the resource.
    fn steps(&self) -> Vec<Step> {
        let steps = self.items.iter();
        let steps = steps.flat_map(|item| [Step::Field("items".into()), Step::Item(*item)]);
        steps.collect()
    }
}

/// A resource of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) place: Place,
    /// As it is meant: an item of a typed list need not have a `kind`.
    pub(super) value: Value,
    /// A field that is there twice: nobody knows which of both is meant.
    pub(super) double: Option<Mistake>,
}

/// A field that is there twice.
#[derive(Debug, Clone, PartialEq)]
struct Double {
    /// The number of its document in the file.
    document: usize,
    steps: Vec<Step>,
    mistake: Mistake,
}

/// All of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Documents {
    values: Vec<Value>,
    /// The number of each in the file: those that are empty are none.
    numbers: Vec<usize>,
    doubles: Vec<Double>,
}

impl Documents {
    /// A file of one document.
    pub(super) fn one(value: Value) -> Self {
        Self {
            values: vec![value],
            numbers: vec![0],
            doubles: Vec::new(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is not of the format, goes deeper than [`MAX_DEPTH`], or holds nothing or too much.
    pub(super) fn parse(format: Format, content: &[u8]) -> Result<Self, Mistake> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let reading = Reading {
            left: Cell::new(content.len().saturating_mul(GROWTH) + 1024),
            doubles: RefCell::default(),
        };
        let values = match format {
            Format::Json => vec![json(content, &reading)?],
            Format::Yaml => yaml(content, &reading)?,
        };
        // A trailing `---` begins a document that is empty.
        let (numbers, values): (Vec<_>, Vec<_>) = values
            .into_iter()
            .enumerate()
            .filter(|(_, value)| !value.is_null())
            .unzip();
        if values.is_empty() {
            return Err("it holds no resource".to_owned().into());
        }
        if values.iter().map(|value| count(value, 0)).sum::<usize>() > MAX_RESOURCES {
            return Err(format!("it holds more than {MAX_RESOURCES} resources").into());
        }
        let doubles = reading.doubles.into_inner();
        let doubles = doubles.into_iter().map(|steps| double(content, steps));
        Ok(Self {
            values,
            numbers,
            doubles: doubles.collect(),
        })
    }

    /// The resources with their places.
    pub(super) fn resources(&self) -> Vec<Item> {
        let mut resources = Vec::new();
        for (document, value) in self.values.iter().enumerate() {
            let place = Place {
                document,
                items: Vec::new(),
            };
            self.collect(value.clone(), place, &mut resources);
        }
        resources
    }

    fn collect(&self, value: Value, place: Place, resources: &mut Vec<Item>) {
        let Some(items) = items(&value).filter(|_| place.items.len() < MAX_LIST_DEPTH) else {
            let double = self.double(&place);
            resources.push(Item {
                place,
                value,
                double,
            });
            return;
        };
        let kind = value["kind"].as_str();
        let kind = kind.and_then(|kind| kind.strip_suffix("List"));
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
            let mut place = place.clone();
            place.items.push(item);
            self.collect(resource, place, resources);
        }
    }

    /// The first field that is there twice in a resource, or in a list around it.
    fn double(&self, place: &Place) -> Option<Mistake> {
        if self.doubles.is_empty() {
            return None;
        }
        let number = self.numbers.get(place.document)?;
        let resource = place.steps();
        let concerns = |steps: &[Step]| {
            let is_inside = steps.starts_with(&resource);
            // Of a list itself: which items it has is unknown.
            let is_around = steps.split_last().is_some_and(|(_, list)| {
                resource.starts_with(list) && !list.ends_with(&[Step::Field("items".into())])
            });
            is_inside || is_around
        };
        let mut doubles = self.doubles.iter();
        let found = doubles.find(|found| found.document == *number && concerns(&found.steps));
        found.map(|found| found.mistake.clone())
    }

    /// A field that is there twice, anywhere in the file.
    pub(super) fn any_double(&self) -> Option<&Mistake> {
        self.doubles.first().map(|double| &double.mistake)
    }

    /// What a resource is called in messages: by its file, and by its place if there are several.
    pub(super) fn name(&self, file: &str, place: &Place) -> String {
        let document = place.document + 1;
        let items: Vec<_> = place
            .items
            .iter()
            .map(|item| (item + 1).to_string())
            .collect();
        let items = items.join(".");
        match (self.values.len(), items.as_str()) {
            (1, "") => file.to_owned(),
            (1, items) => format!("{file} (item {items})"),
            (_, "") => format!("{file} (document {document})"),
            (_, items) => format!("{file} (document {document}, item {items})"),
        }
    }

    /// The resource at a place, as written.
    pub(super) fn at(&mut self, place: &Place) -> Option<&mut Value> {
        let mut found = self.values.get_mut(place.document)?;
        for item in &place.items {
            found = found.get_mut("items")?.get_mut(*item)?;
        }
        Some(found)
    }

    /// The file's text.
    ///
    /// # Errors
    /// A value cannot be written in the format.
    pub(super) fn text(&self, format: Format) -> Result<String, String> {
        let texts: Result<Vec<_>, String> = self
            .values
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
        Some(Value::Null) => Some(&[]),
        // Half a list may have held anything.
        None | Some(_) => None,
    }
}

/// How many resources a document holds.
fn count(value: &Value, depth: usize) -> usize {
    match items(value).filter(|_| depth < MAX_LIST_DEPTH) {
        None => 1,
        Some(items) => items.iter().map(|item| count(item, depth + 1)).sum(),
    }
}

/// A value in JSON that is alone.
///
/// # Errors
/// It is not JSON, or a field of it is there twice.
pub(super) fn value(content: &[u8]) -> Result<Value, Mistake> {
    let documents = Documents::parse(Format::Json, content)?;
    match documents.doubles.into_iter().next() {
        Some(double) => Err(double.mistake),
        None => Ok(documents.values.into_iter().next().unwrap_or_default()),
    }
}

fn json(content: &[u8], reading: &Reading) -> Result<Value, Mistake> {
    let mut text = serde_json::Deserializer::from_slice(content);
    let read = Bounded::of(reading, &Path::Document(0)).deserialize(&mut text);
    let read = read.and_then(|value| text.end().map(|()| value));
    read.map_err(|error| {
        let at = (error.line() > 0).then(|| Position {
            line: error.line(),
            column: error.column().max(1),
        });
        let place = format!(" at line {} column {}", error.line(), error.column());
        mistake("JSON", at, &error.to_string(), &place)
    })
}

fn yaml(content: &[u8], reading: &Reading) -> Result<Vec<Value>, Mistake> {
    // Each field and each entry of a list needs one of these.
    let parts = content.iter().filter(|byte| matches!(byte, b'\n' | b','));
    if parts.count() > MAX_LINES_AND_COMMAS {
        return Err(
            format!("it has more than {MAX_LINES_AND_COMMAS} lines and commas: split it").into(),
        );
    }
    if depth(content, false).max(depth(content, true)) > MAX_DEPTH {
        return Err(format!("it goes deeper than {MAX_DEPTH} levels").into());
    }
    let mut values = Vec::new();
    for (number, document) in serde_yaml_ng::Deserializer::from_slice(content).enumerate() {
        if number == MAX_RESOURCES {
            return Err(format!("it holds more than {MAX_RESOURCES} documents").into());
        }
        let read = Bounded::of(reading, &Path::Document(number)).deserialize(document);
        values.push(read.map_err(|error: serde_yaml_ng::Error| {
            let at = position::of(&error);
            let place = at.map(|at| format!(" at line {} column {}", at.line, at.column));
            let place = place.unwrap_or_default();
            mistake("YAML", at, &error.to_string(), &place)
        })?);
    }
    Ok(values)
}

/// A parser's message, with the place in front of it and not behind.
fn mistake(format: &str, at: Option<Position>, error: &str, place: &str) -> Mistake {
    let what = error.strip_suffix(place).unwrap_or(error);
    let what = format!("it is not {format}: {what}");
    Mistake { at, what }
}

/// The problem of a field that is there twice, which `way` leads to.
fn double(content: &[u8], (document, steps): (usize, Vec<Step>)) -> Double {
    let name = match steps.last() {
        Some(Step::Field(name)) => name.as_str(),
        _ => "",
    };
    let at = |nth| position::find(content, document, &steps, nth);
    let (first, second) = (at(0), at(1));
    let what = match first {
        Some(Position { line, column }) => {
            format!("the field `{name}` is here again, after line {line}, column {column}")
        }
        None => format!("the field `{name}` is there twice"),
    };
    let what = format!("{what}: nobody knows which is meant; delete one of them");
    let mistake = Mistake { at: second, what };
    Double {
        document,
        steps,
        mistake,
    }
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

#[cfg(test)]
mod tests;
