//! Attributes as somebody stored them: JSON of any kind.

use std::collections::BTreeMap;

use serde_json::Value;

/// The attribute that stands for the attributes of a message whose attributes cannot be told apart,
/// as they are no JSON object.
pub(super) const HEADERS_ATTRIBUTE: &str = "headers";

/// The attributes in JSON of any kind, for tables that anybody may write to: what is no text is
/// written as JSON, `null` is no attribute, and what is no object is one attribute, `headers`. So a
/// foreign row is never more than a message that its consumer rejects.
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
        // Nested too deeply for a reader, or cut.
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
    fn attributes_that_are_no_text_become_text() {
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
    fn headers_that_are_no_object_are_one_attribute() {
        assert_eq!(read("null"), []);
        for headers in ["[1, \"eventType\"]", "5", "\"text\"", "true"] {
            assert_eq!(read(headers), [(HEADERS_ATTRIBUTE.to_owned(), headers.to_owned())]);
        }
        let deep = "[".repeat(100_000);
        assert_eq!(read(&deep).len(), 1);
    }
}
