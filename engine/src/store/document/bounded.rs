//! Values of bounded size: aliases repeat what they name, and a field may be there twice.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::position::{Path, Step};

/// How many times its own size a file's values may have: aliases repeat what they name.
pub(super) const GROWTH: usize = 8;

/// How many duplicate fields are reported of one file.
const MAX_DUPLICATES: usize = 8;

/// What is known of a file while it is read.
pub(super) struct Reading {
    /// How many values and bytes of text may still come.
    pub(super) left: Cell<usize>,
    /// Fields that are there twice: the document, and the way to the field.
    pub(super) doubles: RefCell<Vec<(usize, Vec<Step>)>>,
}

/// Reads a value of bounded size.
#[derive(Clone, Copy)]
pub(super) struct Bounded<'a> {
    reading: &'a Reading,
    path: &'a Path<'a>,
}

impl<'a> Bounded<'a> {
    pub(super) fn of(reading: &'a Reading, path: &'a Path<'a>) -> Self {
        Self { reading, path }
    }

    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = &self.reading.left;
        let rest = left.get().checked_sub(bytes.saturating_add(1));
        left.set(rest.ok_or_else(|| {
            E::custom(format!(
                "its aliases make it more than {GROWTH} times as large as it is"
            ))
        })?);
        Ok(())
    }

    fn note_double(&self, path: &Path<'_>) {
        let mut doubles = self.reading.doubles.borrow_mut();
        if doubles.len() < MAX_DUPLICATES {
            doubles.push(path.steps());
        }
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
        loop {
            let path = Path::Item(self.path, values.len());
            let item = Bounded::of(self.reading, &path);
            let Some(value) = sequence.next_element_seed(item)? else {
                return Ok(values.into());
            };
            values.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut fields = Map::new();
        while let Some(name) = mapping.next_key::<String>()? {
            self.spend(name.len())?;
            let path = Path::Field(self.path, &name);
            if fields.contains_key(&name) {
                self.note_double(&path);
            }
            let value = mapping.next_value_seed(Bounded::of(self.reading, &path))?;
            fields.insert(name, value);
        }
        Ok(fields.into())
    }
}
