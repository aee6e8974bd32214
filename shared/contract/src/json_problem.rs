//! Errors of JSON parsers in plain words: the rule and the kind of value that was given. The words
//! contain no type names of the implementation and no positions.

/// Problem of a text that is not JSON.
#[must_use]
pub fn syntax(error: &serde_json::Error) -> &'static str {
    if error.is_eof() {
        "is not valid JSON: it ends too early"
    } else if error.to_string().starts_with("trailing characters") {
        "is not valid JSON: it has text after its end"
    } else if error.to_string().starts_with("number out of range") {
        "has a number that is out of range"
    } else {
        "is not valid JSON"
    }
}

/// Problem of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The object has no field of this name.
    Unknown,
    /// A required field is missing.
    Missing,
    /// A field is given twice.
    Duplicate,
    /// The value breaks this rule.
    Value(String),
}

impl Kind {
    /// Words of the problem.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Unknown => "unknown field".to_owned(),
            Self::Missing => "is required".to_owned(),
            Self::Duplicate => "is given twice".to_owned(),
            Self::Value(text) => text,
        }
    }
}

/// Problem that an error states with the name of the field, and the name.
#[must_use]
pub fn named(message: &str) -> Option<(Kind, &str)> {
    let kinds = [
        ("unknown field `", Kind::Unknown),
        ("missing field `", Kind::Missing),
        ("duplicate field `", Kind::Duplicate),
    ];
    kinds.into_iter().find_map(|(prefix, kind)| {
        let rest = message.strip_prefix(prefix)?;
        let end = rest
            .rfind("`, expected")
            .or_else(|| rest.rfind("`, there are no fields"))
            .or_else(|| rest.rfind('`'));
        Some((kind, end.and_then(|end| rest.get(..end)).unwrap_or(rest)))
    })
}

/// Removes the position that serde_json appends to a message.
#[must_use]
pub fn without_position(message: &str) -> String {
    match message.rsplit_once(" at line ") {
        Some((message, position))
            if position.bytes().all(|byte| byte.is_ascii_digit() || b" column".contains(&byte)) =>
        {
            message.to_owned()
        }
        _ => message.to_owned(),
    }
}

/// Words an error of a deserializer without its position: the rule that the value breaks, and the
/// kind of value that was given.
#[must_use]
pub fn plain(message: &str) -> String {
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
