//! Parsing of JSON bodies: limits that are checked before parsing, and faults in plain words.

pub(crate) mod digest;
mod faults;
mod repair;
mod strict;
mod tree;
mod whole_number;

use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use serde_path_to_error::Track;

use contract::json_problem::without_position;
use service::http::{ApiError, FieldFault, Reason};

use faults::syntax;
pub(super) use faults::{body_fault, of_query, shown};
use strict::Strict;
pub use whole_number::WholeNumber;

/// Byte order mark in UTF-8, which JSON does not allow (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Largest depth of nested lists and objects.
const MAX_DEPTH: usize = 32;
/// Largest number of values of one body. Entries of a bulk request are counted separately.
const MAX_VALUES: usize = 10_000;
/// Largest number of faults in one answer.
pub(super) const MAX_FAULTS: usize = 20;

/// A parsed body, and the faults of the fields that could not be parsed and are left out.
#[derive(Debug)]
pub struct Lenient<T> {
    /// The value without the faulty fields. A required field that is missing may have a
    /// placeholder: if there are faults, the value serves to find further ones only.
    pub value: T,
    /// Faults of the fields, at most 20.
    pub faults: Vec<FieldFault>,
}

/// Parses a JSON object.
///
/// # Errors
/// `INVALID_REQUEST` with the faults of all fields.
pub fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    let Lenient { value, faults } = lenient(text)?;
    if faults.is_empty() {
        Ok(value)
    } else {
        Err(ApiError::faults(Reason::InvalidRequest, faults))
    }
}

/// Parses a JSON object without its faulty fields.
///
/// # Errors
/// `INVALID_REQUEST` if the text is not a JSON object, is nested too deep, or cannot be parsed even
/// without the faulty fields; all faults found until then are named.
pub fn lenient<T: DeserializeOwned>(text: &[u8]) -> Result<Lenient<T>, ApiError> {
    check(text, MAX_VALUES)?;
    if first(text) != Some(b'{') {
        // A text that is not JSON is reported as such; any other value has the wrong type.
        serde_json::from_slice::<&RawValue>(text).map_err(|error| syntax(&error))?;
        return Err(body_fault("must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    match parse(&mut json) {
        Ok(value) => {
            json.end().map_err(|error| syntax(&error))?;
            Ok(Lenient { value, faults: Vec::new() })
        }
        Err(error) if error.inner().is_data() => repair::parse_without_faults(text, &error),
        Err(error) => Err(syntax(error.inner())),
    }
}

/// Parses a value strictly; an error has the path of its field.
fn parse<'de, T, D>(json: D) -> Result<T, serde_path_to_error::Error<D::Error>>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    let mut track = Track::new();
    T::deserialize(Strict(serde_path_to_error::Deserializer::new(json, &mut track)))
        .map_err(|error| serde_path_to_error::Error::new(track.path(), error))
}

/// Splits a list, which is the body or a field of it, into the unparsed texts of its entries.
///
/// # Errors
/// `INVALID_REQUEST` if there is no such list, or it has no entries or more than `most`. The list
/// is read only up to the first entry beyond `most`.
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
            return Err(body_fault(&format!("must be a JSON object with the list {field}")));
        }
    };
    let entries: Vec<&'a RawValue> = read.map_err(|error| {
        if !error.is_data() {
            return syntax(&error);
        }
        let message = without_position(&error.to_string());
        match message.rsplit_once(": ") {
            Some((field, problem)) => ApiError::field(Reason::InvalidRequest, field, problem),
            None => body_fault(&message),
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

/// Reads a list of raw values, which is the body or its only field.
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
                let name = shown(&name);
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

/// A list in a field, whose name is part of its faults.
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
            .map_err(|error| serde::de::Error::custom(without_position(&error.to_string())))
    }
}

/// Deserializes a field from an object. Derived deserializers of structs also accept a list of the
/// values, which the APIs do not.
///
/// # Errors
/// If the value is not an object, or a field of it is faulty.
pub fn object_only<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(ObjectOnly(std::marker::PhantomData))
}

/// Like [`object_only`], for a field that may be left out or be `null`.
///
/// # Errors
/// If the value is neither an object nor `null`, or a field of it is faulty.
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

/// The first byte that is not white space.
fn first(text: &[u8]) -> Option<u8> {
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Checks the encoding, the depth and the number of values of a body without parsing it.
fn check(text: &[u8], max_values: usize) -> Result<(), ApiError> {
    if text.starts_with(BYTE_ORDER_MARK) {
        return Err(body_fault("must be UTF-8 without a byte order mark"));
    }
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
                    return Err(body_fault(&format!(
                        "must be nested at most {MAX_DEPTH} levels deep"
                    )));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    if values > max_values {
        return Err(body_fault(&format!("must have at most {max_values} values")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
