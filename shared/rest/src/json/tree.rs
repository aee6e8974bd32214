//! Reading of a body as a tree of values, with the paths of the fields that are given twice.

use std::fmt;

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{MAX_FAULTS, faults::Step};

/// Reads a JSON text. Of a field that is given twice, the tree has the last value. Returns the
/// paths of at most 20 of these fields.
///
/// # Errors
/// If the text is not JSON.
pub(super) fn read(text: &[u8]) -> serde_json::Result<(Value, Vec<Vec<Step>>)> {
    let mut duplicates = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let branch = Branch { path: &mut Vec::new(), duplicates: &mut duplicates };
    let tree = json.deserialize_any(branch)?;
    json.end()?;
    Ok((tree, duplicates))
}

/// Reader of one value and of those that it contains.
struct Branch<'a> {
    /// Path of the value.
    path: &'a mut Vec<Step>,
    duplicates: &'a mut Vec<Vec<Step>>,
}

impl Branch<'_> {
    /// Reader of a value in the last value of the path.
    fn again(&mut self) -> Branch<'_> {
        Branch { path: self.path, duplicates: self.duplicates }
    }
}

impl<'de> DeserializeSeed<'de> for Branch<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        value.deserialize_any(self)
    }
}

macro_rules! leaves {
    ($($method:ident: $value:ty,)*) => {$(
        fn $method<E: Error>(self, value: $value) -> Result<Value, E> {
            Ok(value.into())
        }
    )*};
}

impl<'de> Visitor<'de> for Branch<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    leaves! {
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_f64: f64,
        visit_str: &str,
        visit_string: String,
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.path.push(Step::Index(list.len()));
            let entry = entries.next_element_seed(self.again())?;
            self.path.pop();
            match entry {
                Some(entry) => list.push(entry),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            self.path.push(Step::Key(name.clone()));
            if object.contains_key(&name) && self.duplicates.len() < MAX_FAULTS {
                self.duplicates.push(self.path.clone());
            }
            let value = fields.next_value_seed(self.again())?;
            self.path.pop();
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
