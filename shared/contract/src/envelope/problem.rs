//! Faults of received bodies and data in plain words. They are logged and stored with dead letters,
//! so they contain no value and no name that the sender chose.

use serde::de::{DeserializeOwned, value::MapDeserializer};
use serde_json::{Error, Value};

use crate::json_problem::{self, Kind, named, plain, without_position};

/// Most fields of an object in which the faulty one is searched for. No event has as many.
const MAX_FIELDS: usize = 32;

/// Words the error of a text that is not a `T`.
pub(super) fn of_text<T: DeserializeOwned>(text: &str, error: &Error) -> String {
    if !error.is_data() {
        return format!("it {}", json_problem::syntax(error));
    }
    let value = serde_json::from_str(text).unwrap_or_default();
    of_value::<T>(&value, error)
}

/// Words the error of a value that is not a `T`: the field and its problem.
pub(super) fn of_value<T: DeserializeOwned>(value: &Value, error: &Error) -> String {
    let message = without_position(&error.to_string());
    let (name, problem) = match named(&message) {
        Some((Kind::Unknown, _)) => (None, "has an unknown field".to_owned()),
        Some((kind, name)) => (Some(name), kind.text()),
        None => {
            (None, Some(plain(&message)).filter(|text| !quotes(text)).unwrap_or_else(malformed))
        }
    };
    let path: Vec<&str> = faulty_field::<T>(value, &message).into_iter().chain(name).collect();
    if path.is_empty() { format!("it {problem}") } else { format!("{}: {problem}", path.join(".")) }
}

/// Returns `true` if a text may quote a value.
fn quotes(text: &str) -> bool {
    text.contains(['`', '"'])
}

fn malformed() -> String {
    "is malformed".to_owned()
}

/// Name of the field without which an object has another error or none. Errors do not name it if
/// the object is flattened into another one. A field that no `T` has cannot be the cause.
fn faulty_field<'a, T: DeserializeOwned>(value: &'a Value, message: &str) -> Option<&'a str> {
    let fields = value.as_object().filter(|fields| fields.len() <= MAX_FIELDS)?;
    let message_without = |name: &str| {
        let others = fields.iter().filter(|(other, _)| *other != name);
        let others = others.map(|(other, value)| (other.as_str(), value));
        T::deserialize(MapDeserializer::new(others)).err().map(|error: Error| error.to_string())
    };
    if message_without("").as_deref() != Some(message) {
        return None;
    }
    let is_missing = message.starts_with("missing field");
    fields.keys().map(String::as_str).find(|name| match message_without(name) {
        Some(other) if other == message => false,
        // The field is required, and another one was missing already.
        Some(other) if is_missing => other != format!("missing field `{name}`"),
        _ => true,
    })
}
