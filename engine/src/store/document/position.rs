//! Line and column of a value in a file's text.
//!
//! A parser's values have no places, and its errors have: whoever looks for a place reads until there, and
//! fails. That costs one more reading of the file, and only where there is something to report.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Position;

/// The way to a value, one step at a time from the inside out.
pub(super) enum Path<'a> {
    /// The document of that number in the file.
    Document(usize),
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

/// One step from the outside in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Step {
    Field(String),
    Item(usize),
}

impl Path<'_> {
    /// The document, and the steps from there.
    pub(super) fn steps(&self) -> (usize, Vec<Step>) {
        let (parent, step) = match self {
            Self::Document(number) => return (*number, Vec::new()),
            Self::Field(parent, name) => (parent, Step::Field((*name).to_owned())),
            Self::Item(parent, item) => (parent, Step::Item(*item)),
        };
        let (document, mut steps) = parent.steps();
        steps.push(step);
        (document, steps)
    }
}

/// The place of an error, if it has one.
pub(super) fn of(error: &serde_yaml_ng::Error) -> Option<Position> {
    error.location().map(|location| Position {
        line: location.line(),
        column: location.column(),
    })
}

/// The place that `steps` lead to in a document of YAML, of which JSON is a part: of a field its name,
/// the one after `nth` of the same name.
pub(super) fn find(
    content: &[u8],
    document: usize,
    steps: &[Step],
    nth: usize,
) -> Option<Position> {
    let document = serde_yaml_ng::Deserializer::from_slice(content).nth(document)?;
    let found = Cell::new(false);
    let seek = Seek {
        steps,
        nth,
        found: &found,
    };
    let error = seek.deserialize(document).err()?;
    of(&error).filter(|_| found.get())
}

/// Reads until a place, and fails there.
#[derive(Clone, Copy)]
struct Seek<'a> {
    steps: &'a [Step],
    nth: usize,
    found: &'a Cell<bool>,
}

impl Seek<'_> {
    fn stop<T, E: Error>(&self) -> Result<T, E> {
        self.found.set(true);
        Err(E::custom("here"))
    }

    /// What is at no place that is looked for is passed over.
    fn pass<E: Error>(&self) -> Result<(), E> {
        match self.steps {
            [] => self.stop(),
            _ => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.pass()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.pass()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.pass()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.pass()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.pass()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.pass()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), steps)) = self.steps.split_first() else {
            return self.pass();
        };
        for _ in 0..*wanted {
            if sequence.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        sequence.next_element_seed(Self { steps, ..self })?;
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<(), A::Error> {
        let Some((Step::Field(wanted), steps)) = self.steps.split_first() else {
            return self.pass();
        };
        let mut before = 0;
        loop {
            let name = Name {
                wanted,
                // The last step leads to a name.
                stops: steps.is_empty() && before == self.nth,
                found: self.found,
            };
            let Some(is_it) = mapping.next_key_seed(name)? else {
                return Ok(());
            };
            if is_it && !steps.is_empty() {
                mapping.next_value_seed(Self { steps, ..self })?;
            } else {
                mapping.next_value::<IgnoredAny>()?;
            }
            before += usize::from(is_it);
        }
    }
}

/// A field's name: returns whether it is the one that is looked for.
struct Name<'a> {
    wanted: &'a str,
    stops: bool,
    found: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        if name != self.wanted {
            return Ok(false);
        }
        if self.stops {
            self.found.set(true);
            return Err(E::custom("here"));
        }
        Ok(true)
    }
}
