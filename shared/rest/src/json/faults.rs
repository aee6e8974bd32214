//! Texts of the faults of a body or a query: the field, the rule, and the kind of value that was
//! given. They contain no type names of the implementation, no positions and no values.

use serde_path_to_error::{Error, Segment};

use service::http::{ApiError, FieldFault, Reason};

/// Largest number of characters of a client's field name in an answer.
pub(super) const MAX_NAME: usize = 64;

/// Refusal of a body as a whole.
pub(crate) fn body_fault(problem: &str) -> ApiError {
    ApiError::field(Reason::InvalidRequest, "body", problem)
}

/// Refusal of a text that is not JSON.
pub(super) fn syntax(error: &serde_json::Error) -> ApiError {
    body_fault(if error.is_eof() {
        "is not valid JSON: it ends too early"
    } else if error.to_string().starts_with("trailing characters") {
        "is not valid JSON: it has text after its end"
    } else if error.to_string().starts_with("number out of range") {
        "has a number that is out of range"
    } else {
        "is not valid JSON"
    })
}

/// One step on the way to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A field of an object.
    Key(String),
    /// An entry of a list.
    Index(usize),
}

/// The fault of a field that could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Path of the field.
    pub(super) path: Vec<Step>,
    /// The kind of fault.
    pub(super) kind: Kind,
}

/// The kind of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The object has no field of this name.
    Unknown,
    /// A required field is missing.
    Missing,
    /// A field is given twice.
    Duplicate,
    /// The value breaks this rule.
    Value(String),
}

impl Fault {
    /// Reads the fault from an error of serde.
    pub(super) fn of(error: &Error<serde_json::Error>) -> Self {
        let steps = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let mut path: Vec<Step> = steps.collect();
        let message = without_position(&error.inner().to_string());
        let kind = match named(&message) {
            // The path of an unknown field ends with its name if serde has read it as a key.
            Some((Kind::Unknown, name)) => {
                let is_in_path = matches!(
                    path.last(),
                    Some(Step::Key(key)) if is_name_of(name, key)
                );
                path.extend((!is_in_path).then(|| Step::Key(name.to_owned())));
                Kind::Unknown
            }
            Some((kind, name)) => {
                path.push(Step::Key(name.to_owned()));
                kind
            }
            None => Kind::Value(plain(&message)),
        };
        Self { path, kind }
    }
}

impl Kind {
    /// Text of the fault.
    pub(super) fn text(self) -> String {
        match self {
            Self::Unknown => "unknown field".to_owned(),
            Self::Missing => "is required".to_owned(),
            Self::Duplicate => "is given twice".to_owned(),
            Self::Value(text) => text,
        }
    }
}

/// A name of a client in the form in which an answer repeats it.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// The kind of a fault whose message names the field, and the rest of the message from the name on.
fn named(message: &str) -> Option<(Kind, &str)> {
    let kinds = [
        ("unknown field `", Kind::Unknown),
        ("missing field `", Kind::Missing),
        ("duplicate field `", Kind::Duplicate),
    ];
    kinds.into_iter().find_map(|(prefix, kind)| {
        let rest = message.strip_prefix(prefix)?;
        let end = rest
            .find("`, expected")
            .or_else(|| rest.rfind("`, there are no fields"))
            .or_else(|| rest.rfind('`'));
        Some((kind, end.and_then(|end| rest.get(..end)).unwrap_or(rest)))
    })
}

/// Returns `true` if a name from a message is that of a key; the message may have cut it short.
fn is_name_of(name: &str, key: &str) -> bool {
    key.starts_with(name)
}

/// The fault of a query string.
pub(crate) fn of_query(problem: &str) -> FieldFault {
    // A problem with a name may repeat it in front: `limit: duplicate field `limit``.
    let starts = [": unknown field `", ": missing field `", ": duplicate field `"];
    let start = starts.iter().filter_map(|start| problem.find(start)).min().map(|at| at + 2);
    let about_name = start.and_then(|at| problem.get(at..)).unwrap_or(problem);
    if let Some((kind, name)) = named(about_name) {
        return FieldFault::new(shown(name), kind.text());
    }
    match problem.split_once(": ") {
        Some((field, problem)) => FieldFault::new(shown(field), plain(problem)),
        None => FieldFault::new("query", "is malformed"),
    }
}

/// Removes the position that serde_json appends to a message.
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
        "premature end of input"
        | "trailing input"
        | "input contains invalid characters"
        | "input is out of range" => {
            "must be an RFC 3339 time, such as 2026-05-01T08:00:00Z".to_owned()
        }
        other if other.starts_with("UUID parsing failed") => "must be an id".to_owned(),
        // Texts of our own deserializers.
        other => other.to_owned(),
    }
}

/// Range of an integer type.
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
        // Texts of our own deserializers.
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
