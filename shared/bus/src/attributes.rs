//! Attributes read from JSON of any kind.

use std::collections::BTreeMap;

use serde_json::Value;

/// Name of the single attribute that contains the headers of a message if they are not a JSON
/// object.
pub(super) const HEADERS_ATTRIBUTE: &str = "headers";

/// Reads attributes from JSON of any kind, for tables that other programs may write to. A value
/// that is not a text becomes JSON text, `null` is left out, and headers that are not an object
/// become the single attribute `headers`. So at worst the consumer rejects a foreign row.
#[must_use]
pub fn attributes_in(headers: &str) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    match serde_json::from_str(headers) {
        Ok(Value::Object(headers)) => {
            headers.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
        }
        Ok(Value::Null) => BTreeMap::new(),
        // Not an object, nested too deeply for the parser, or truncated.
        Ok(_) | Err(_) => BTreeMap::from([(HEADERS_ATTRIBUTE.to_owned(), headers.to_owned())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &str) -> Vec<(String, String)> {
        attributes_in(headers).into_iter().collect()
    }

    #[test]
    fn turns_attributes_of_any_kind_into_text() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = r#"{"a": "text", "b": 1, "c": 1.5, "d": true, "e": null, "f": {"g": [1]}}"#;
        let expected = [
            pair("a", "text"),
            pair("b", "1"),
            pair("c", "1.5"),
            pair("d", "true"),
            pair("f", r#"{"g":[1]}"#),
        ];
        assert_eq!(read(headers), expected);
    }

    #[test]
    fn turns_other_headers_into_one_attribute() {
        assert_eq!(read("null"), []);
        for headers in ["[1, \"eventType\"]", "5", "\"text\"", "true"] {
            assert_eq!(read(headers), [(HEADERS_ATTRIBUTE.to_owned(), headers.to_owned())]);
        }
        let deep = "[".repeat(100_000);
        assert_eq!(read(&deep).len(), 1);
    }
}
