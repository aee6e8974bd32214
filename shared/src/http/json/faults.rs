//! The words for faults of a body or a query: field, rule, and the kind of value that was given; no
//! type names of the implementation, no positions and no values.

use crate::http::{ApiError, FieldFault};

/// The longest name of a client's own that is repeated.
pub(super) const MAX_NAME: usize = 64;

/// The refusal of a text that is no JSON.
pub(super) fn syntax(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    ApiError::invalid(if error.is_eof() {
        "the body is not valid JSON: it ends too early"
    } else if text.starts_with("trailing characters") {
        "the body is not valid JSON: something follows its end"
    } else {
        "the body is not valid JSON"
    })
}

/// The fault of a field that serde refused.
pub(super) fn fault_of(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldFault {
    let path = error.path().to_string();
    let parent = if path == "." { "" } else { &path };
    fault(parent, &without_position(&error.inner().to_string()))
}

/// The fault of a query string.
pub(in crate::http) fn of_query(problem: &str) -> FieldFault {
    let about_name = ["unknown field ", "missing field ", "duplicate field "];
    if about_name.iter().any(|prefix| problem.starts_with(prefix)) {
        return fault("", problem);
    }
    match problem.split_once(": ") {
        Some((field, problem)) => fault(field, problem),
        None => FieldFault::new("query", "is malformed"),
    }
}

/// A message without the position in the text that serde_json puts at its end.
pub(super) fn without_position(message: &str) -> String {
    match message.rsplit_once(" at line ") {
        Some((message, position))
            if position.bytes().all(|byte| byte.is_ascii_digit() || b" column".contains(&byte)) =>
        {
            message.to_owned()
        }
        _ => message.to_owned(),
    }
}

fn fault(path: &str, message: &str) -> FieldFault {
    for (prefix, problem) in [
        ("unknown field `", "unknown field"),
        ("missing field `", "is required"),
        ("duplicate field `", "is given twice"),
    ] {
        if let Some(rest) = message.strip_prefix(prefix) {
            let name = rest.split_once("`, expected").map_or(rest, |(name, _)| name);
            let name: String = name.trim_end_matches('`').chars().take(MAX_NAME).collect();
            return FieldFault::new(within(path, &name), problem);
        }
    }
    let path: String = path.chars().take(2 * MAX_NAME).collect();
    FieldFault::new(if path.is_empty() { "body".to_owned() } else { path }, plain(message))
}

/// The path of a field; serde's path may end with the name already, or with a mark for a name that
/// was not read.
fn within(path: &str, name: &str) -> String {
    let parent = path.strip_suffix('?').unwrap_or(path);
    let parent = match parent.strip_suffix(name) {
        Some(before) if before.is_empty() || before.ends_with('.') => before,
        _ => parent,
    };
    let parent = parent.trim_end_matches('.');
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

fn plain(message: &str) -> String {
    let invalid = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix));
    if let Some((given, expected)) = invalid.and_then(|rest| rest.rsplit_once(", expected ")) {
        let is_out_of_range = message.starts_with("invalid value: ");
        return match range(expected).filter(|_| is_out_of_range) {
            Some(range) => format!("must be a whole number between {range}"),
            None => format!("must be {}, not {}", wanted(expected), kind(given)),
        };
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let expected =
            rest.rsplit_once("`, expected ").map_or("another word", |(_, expected)| expected);
        return format!("must be {}", expected.replace('`', ""));
    }
    match message {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "must be a whole number".to_owned()
        }
        "number too large to fit in target type" | "number too small to fit in target type" => {
            "is out of range".to_owned()
        }
        "provided string was not `true` or `false`" => "must be true or false".to_owned(),
        other if other.starts_with("invalid length") => {
            "has the wrong number of entries".to_owned()
        }
        // The words of our own readers.
        other => other.to_owned(),
    }
}

/// The range of a type of number.
fn range(expected: &str) -> Option<&'static str> {
    Some(match expected {
        "u8" => "0 and 255",
        "u16" => "0 and 65535",
        "u32" => "0 and 4294967295",
        "u64" | "usize" => "0 and 18446744073709551615",
        "i8" => "-128 and 127",
        "i16" => "-32768 and 32767",
        "i32" => "-2147483648 and 2147483647",
        "i64" | "isize" => "-9223372036854775808 and 9223372036854775807",
        _ => return None,
    })
}

fn wanted(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "a string" | "string" | "str" | "a borrowed string" | "string or map"
        | "variant identifier" => "text",
        expected if range(expected).is_some() => "a whole number",
        expected if expected.starts_with("struct ") => "an object",
        expected if expected.starts_with("enum ") => "text",
        // The words of our own readers.
        expected if expected.starts_with("a ") || expected.starts_with("an ") => expected,
        _ => "a value of another kind",
    }
}

fn kind(given: &str) -> &'static str {
    match given.split([' ', '`']).next().unwrap_or_default() {
        "string" | "character" => "text",
        "integer" => "a whole number",
        "floating" => "a number with a fraction",
        "boolean" => "true or false",
        "sequence" => "a list",
        "map" => "an object",
        "null" | "unit" | "Option" => "null",
        _ => "this",
    }
}
