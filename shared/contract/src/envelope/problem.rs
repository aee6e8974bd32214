//! Faults of received bodies and data in plain words. They are logged and stored with dead letters,
//! so they contain no value and no name that the sender chose.

use serde::de::DeserializeOwned;
use serde_json::{Error, Value};
use serde_path_to_error::Segment;

use crate::{
    NotifyContent,
    json_problem::{self, Kind, named, plain, without_position},
};

/// Field whose keys the sender chooses.
const FREE_KEYS: &str = "data";

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
    let mut field = field_of::<T>(value, &message);
    // The path of a field ends at an object that is flattened into another one.
    if field.is_empty() {
        field = field_of::<NotifyContent>(value, &message);
    }
    let problem = match named(&message) {
        Some((Kind::Unknown, _)) => "has an unknown field".to_owned(),
        Some((kind, name)) => {
            push(&mut field, name);
            kind.text()
        }
        None => Some(plain(&message)).filter(|text| !quotes(text)).unwrap_or_else(malformed),
    };
    if field.is_empty() { format!("it {problem}") } else { format!("{field}: {problem}") }
}

/// Returns `true` if a text may quote a value, between quotation marks or after a colon.
fn quotes(text: &str) -> bool {
    text.contains(['`', '"']) || text.contains(": ")
}

fn malformed() -> String {
    "is malformed".to_owned()
}

/// Path of the field with this error; empty if the error is that of the whole value, or if a `T`
/// has another error or none.
fn field_of<T: DeserializeOwned>(value: &Value, message: &str) -> String {
    let mut field = String::new();
    let Err(error) = serde_path_to_error::deserialize::<_, T>(value) else { return field };
    if error.inner().to_string() != message {
        return field;
    }
    let is_unknown = matches!(named(message), Some((Kind::Unknown, _)));
    let steps = error.path().iter().collect::<Vec<_>>();
    let known = steps.len() - usize::from(is_unknown && !steps.is_empty());
    for step in &steps[..known] {
        match step {
            Segment::Map { .. } if field == FREE_KEYS => break,
            Segment::Map { key } => push(&mut field, key),
            Segment::Seq { index } => field.push_str(&format!("[{index}]")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    field
}

fn push(field: &mut String, name: &str) {
    if !field.is_empty() {
        field.push('.');
    }
    field.push_str(name);
}
