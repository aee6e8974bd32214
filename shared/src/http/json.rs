//! JSON of request bodies: limits that hold before anything is parsed, and faults in plain words.

mod faults;

use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{ApiError, FieldFault, Reason};

pub(super) use faults::of_query;
use faults::{fault_of, syntax};

/// Lists and objects within each other.
const MAX_DEPTH: usize = 32;
/// Values of one body. Entries of a bulk are counted each for itself.
const MAX_VALUES: usize = 10_000;
/// Faults that one answer names.
const MAX_FAULTS: usize = 20;

/// The readable part of a body, and the faults of the fields that could not be read and are left
/// out.
#[derive(Debug)]
pub struct Lenient<T> {
    /// The value that was sent, without the faulty fields.
    pub value: T,
    /// The faults.
    pub faults: Vec<FieldFault>,
}

/// Reads a JSON object.
///
/// # Errors
/// `INVALID_REQUEST` with every faulty field named.
pub fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    let Lenient { value, faults } = lenient(text)?;
    if faults.is_empty() {
        Ok(value)
    } else {
        Err(ApiError::faults(Reason::InvalidRequest, faults))
    }
}

/// Reads a JSON object as far as it can be read.
///
/// # Errors
/// `INVALID_REQUEST` when it is no JSON object, is nested too deeply, or lacks a field without
/// which nothing can be made of it; the faults found until then are named.
pub fn lenient<T: DeserializeOwned>(text: &[u8]) -> Result<Lenient<T>, ApiError> {
    check(text, MAX_VALUES)?;
    if first(text) != Some(b'{') {
        // What is no JSON at all is told so; any other value has the wrong shape.
        serde_json::from_slice::<&RawValue>(text).map_err(|error| syntax(&error))?;
        return Err(ApiError::invalid("the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let refused = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => {
            json.end().map_err(|error| syntax(&error))?;
            return Ok(Lenient { value, faults: Vec::new() });
        }
        Err(error) if error.inner().is_data() => fault_of(&error),
        Err(error) => return Err(syntax(error.inner())),
    };
    let fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| syntax(&error))?;
    without_faulty(Value::Object(fields), refused)
}

/// Takes faulty fields out of a body, one after the other, until it can be read.
fn without_faulty<T: DeserializeOwned>(
    mut body: Value,
    first: FieldFault,
) -> Result<Lenient<T>, ApiError> {
    let mut faults = Vec::new();
    loop {
        let fault = match serde_path_to_error::deserialize::<_, T>(&body) {
            // A field that is given twice is seen in the text alone.
            Ok(value) if faults.is_empty() => return Ok(Lenient { value, faults: vec![first] }),
            Ok(value) => return Ok(Lenient { value, faults }),
            Err(error) => fault_of(&error),
        };
        let top = fault.field.split(['.', '[']).next().unwrap_or_default();
        let removed = body
            .as_object_mut()
            .and_then(|fields| fields.remove(&fault.field).or_else(|| fields.remove(top)));
        faults.push(fault);
        if removed.is_none() || faults.len() >= MAX_FAULTS {
            return Err(ApiError::faults(Reason::InvalidRequest, faults));
        }
    }
}

/// The entries of a list that is the body, or a field of it: each as its own text, unread.
///
/// # Errors
/// `INVALID_REQUEST` when there is no such list, or it has no entries or more than `most`: seen
/// when the entry beyond is reached.
pub fn entries<'a>(
    text: &'a [u8],
    field: &'static str,
    most: usize,
) -> Result<Vec<&'a RawValue>, ApiError> {
    check(text, usize::MAX)?;
    let mut json = serde_json::Deserializer::from_slice(text);
    let list = Entries { field, most };
    let read = match first(text) {
        Some(b'[') => serde::Deserializer::deserialize_seq(&mut json, list),
        Some(b'{') => serde::Deserializer::deserialize_map(&mut json, list),
        _ => {
            return Err(ApiError::invalid(format!(
                "the body must be a JSON object with the list {field}"
            )));
        }
    };
    let entries: Vec<&'a RawValue> = read.map_err(|error| {
        if error.is_data() {
            ApiError::invalid(faults::without_position(&error.to_string()))
        } else {
            syntax(&error)
        }
    })?;
    json.end().map_err(|error| syntax(&error))?;
    if entries.is_empty() {
        return Err(ApiError::field(
            Reason::InvalidRequest,
            field,
            format!("must be a list of 1 to {most}"),
        ));
    }
    Ok(entries)
}

/// Reads a list of raw values, by itself or as the one field of an object.
#[derive(Clone, Copy)]
struct Entries {
    field: &'static str,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a list of 1 to {}", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            if entries.len() == self.most {
                let Self { field, most } = self;
                return Err(serde::de::Error::custom(format!(
                    "{field}: must be a list of 1 to {most}"
                )));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let field = self.field;
        let mut entries = None;
        while let Some(name) = fields.next_key::<String>()? {
            if name != field {
                let name: String = name.chars().take(faults::MAX_NAME).collect();
                return Err(serde::de::Error::custom(format!("{name}: unknown field")));
            }
            if entries.is_some() {
                return Err(serde::de::Error::custom(format!("{field}: is given twice")));
            }
            entries = Some(fields.next_value_seed(Listed(self))?);
        }
        entries.ok_or_else(|| serde::de::Error::custom(format!("{field}: is required")))
    }
}

/// The list in a field, whose fault names the field.
struct Listed(Entries);

impl<'de> DeserializeSeed<'de> for Listed {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let Entries { field, most } = self.0;
        if !raw.get().starts_with('[') {
            return Err(serde::de::Error::custom(format!(
                "{field}: must be a list of 1 to {most}"
            )));
        }
        let mut json = serde_json::Deserializer::from_str(raw.get());
        self.0
            .deserialize(&mut json)
            .map_err(|error| serde::de::Error::custom(faults::without_position(&error.to_string())))
    }
}

/// Reads an object into a field. serde's derived readers of structs take a list of the values as
/// well, which is no form of any body.
///
/// # Errors
/// When it is no object, or the object cannot be read.
pub fn object_only<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(ObjectOnly(std::marker::PhantomData))
}

/// The same for a field that may be left out or be `null`.
///
/// # Errors
/// When it is neither an object nor `null`, or the object cannot be read.
pub fn object_or_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_option(ObjectOrNull(std::marker::PhantomData))
}

struct ObjectOnly<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(fields))
    }
}

struct ObjectOrNull<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOrNull<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        object_only(deserializer).map(Some)
    }
}

/// The first byte that is no white space.
fn first(text: &[u8]) -> Option<u8> {
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Counts what a body would be made of, without making it.
fn check(text: &[u8], max_values: usize) -> Result<(), ApiError> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                values += 1;
                if depth > MAX_DEPTH {
                    return Err(ApiError::invalid(format!(
                        "the body is nested deeper than {MAX_DEPTH} levels"
                    )));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    if values > max_values {
        return Err(ApiError::invalid(format!("the body has more than {max_values} values")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
