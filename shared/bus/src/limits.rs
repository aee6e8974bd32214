//! Limits of a message that both adapters enforce, and the escaping of characters.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{MAX_ATTRIBUTES, MAX_MESSAGE_BYTES, Message, PublishError};

/// Longest explanation of a dead letter's reason, in characters.
const MAX_DETAIL: usize = 1_000;

/// Returns the body as it is sent.
///
/// Both adapters enforce the rules of SNS and SQS (the pages of `Publish` and `SendMessage`): at
/// most [`MAX_ATTRIBUTES`] attributes, at most [`MAX_MESSAGE_BYTES`] in total, neither the body nor
/// a value empty, and only characters of XML 1.0. U+FFFE and U+FFFF, which JSON may contain
/// unescaped, are escaped if the body is JSON. U+0000 is refused even if it is escaped in JSON, as
/// PostgreSQL cannot store it in a text.
pub(super) fn wire_body(message: &Message) -> Result<Cow<'_, str>, PublishError> {
    let refused = |problem: String| Err(PublishError::Unpublishable(problem));
    if message.attributes.len() > MAX_ATTRIBUTES {
        return refused(format!(
            "{} attributes; at most {MAX_ATTRIBUTES} are allowed",
            message.attributes.len()
        ));
    }
    for (name, value) in &message.attributes {
        if !is_attribute_name(name) {
            return refused("an attribute's name is malformed".to_owned());
        }
        if value.is_empty() {
            return refused(format!("the attribute {name} is empty"));
        }
        if value.chars().any(is_forbidden) {
            return refused(format!("the attribute {name} holds a character that is not allowed"));
        }
    }
    if message.body.is_empty() {
        return refused("the body is empty".to_owned());
    }
    let body = escaped(&message.body)?;
    let bytes = message_bytes(
        &body,
        message.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())),
    );
    if bytes > MAX_MESSAGE_BYTES {
        return refused(format!("{bytes} bytes; at most {MAX_MESSAGE_BYTES} are allowed"));
    }
    Ok(body)
}

/// Reason that a message can never be published, found before it is committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpublishable {
    /// The message has more bytes than the bus accepts.
    #[error("the message of {0} bytes is too large; at most {MAX_MESSAGE_BYTES} are allowed")]
    TooLarge(usize),
    /// The bus refuses the message for another reason.
    #[error("{0}")]
    Refused(String),
}

/// Checks that a message can be published, by the same rules as publishing. Called before the
/// transaction that writes it to an outbox, where it would stay forever. `reserve` bytes are kept
/// free for attributes that are added later.
///
/// # Errors
/// [`Unpublishable`] if neither adapter ever accepts the message.
pub fn check(message: &Message, reserve: usize) -> Result<(), Unpublishable> {
    let attributes =
        || message.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let refused = |error: PublishError| match error {
        PublishError::Retry(problem) | PublishError::Unpublishable(problem) => {
            Unpublishable::Refused(problem)
        }
    };
    let least = message_bytes(&message.body, attributes()) + reserve;
    if least > MAX_MESSAGE_BYTES {
        return Err(Unpublishable::TooLarge(least));
    }
    let bytes = message_bytes(&wire_body(message).map_err(refused)?, attributes()) + reserve;
    if bytes > MAX_MESSAGE_BYTES { Err(Unpublishable::TooLarge(bytes)) } else { Ok(()) }
}

/// Number of bytes that count towards the limit: the body, and the name, type (`String`) and value
/// of each attribute.
pub(super) fn message_bytes<'a>(
    body: &str,
    attributes: impl Iterator<Item = (&'a str, &'a str)>,
) -> usize {
    body.len()
        + attributes.map(|(name, value)| name.len() + "String".len() + value.len()).sum::<usize>()
}

/// Converts an explanation to a valid attribute value: not empty, truncated, without forbidden
/// characters.
pub(super) fn detail_text(detail: &str) -> String {
    let allowed = |c: char| if is_forbidden(c) { char::REPLACEMENT_CHARACTER } else { c };
    let text: String = detail.chars().take(MAX_DETAIL).map(allowed).collect();
    if text.is_empty() { "no explanation given".to_owned() } else { text }
}

/// Returns whether the text is one JSON document.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn escaped(body: &str) -> Result<Cow<'_, str>, PublishError> {
    let refused = |problem: &str| Err(PublishError::Unpublishable(problem.to_owned()));
    if has_escaped_nul(body) && is_json(body) {
        return refused("the body holds U+0000");
    }
    if !body.chars().any(is_forbidden) {
        return Ok(Cow::Borrowed(body));
    }
    // Outside of its strings JSON has none of these characters, and within them no unescaped
    // control character.
    if !is_json(body) {
        return refused("the body holds a character that is not allowed");
    }
    Ok(Cow::Owned(body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")))
}

/// Returns whether a character is outside the `Char` production of XML 1.0.
fn is_forbidden(c: char) -> bool {
    (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn is_attribute_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    (1..=256).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.")
}

/// Returns whether there is a `\u0000` whose backslash is not itself escaped.
fn has_escaped_nul(body: &str) -> bool {
    body.match_indices("\\u0000").any(|(at, _)| {
        let backslashes = body[..at].bytes().rev().take_while(|b| *b == b'\\').count();
        backslashes.is_multiple_of(2)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn message(body: &str) -> Message {
        Message {
            body: body.to_owned(),
            attributes: BTreeMap::from([("eventType".to_owned(), "a".to_owned())]),
        }
    }

    fn with_attribute(name: &str, value: &str) -> Message {
        Message {
            body: "{}".to_owned(),
            attributes: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        }
    }

    #[test]
    fn leaves_ordinary_body_unchanged() {
        assert!(matches!(wire_body(&message("{\"a\": \"ä\\n\"}")), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn escapes_noncharacters_in_json_only() {
        assert_eq!(
            wire_body(&message("{\"a\":\"\u{fffe}\u{ffff}\"}")).unwrap(),
            "{\"a\":\"\\ufffe\\uffff\"}"
        );
        assert!(wire_body(&message("\u{fffe}")).is_err());
        assert!(wire_body(&message("\u{1}")).is_err());
    }

    #[test]
    fn refuses_nul_escaped_or_not() {
        assert!(wire_body(&message("{\"a\":\"\\u0000\"}")).is_err());
        assert!(wire_body(&message("{\"a\":\"\0\"}")).is_err());
        assert!(wire_body(&message("{\"a\":\"\\\\u0000\"}")).is_ok());
        assert!(wire_body(&message("text \\u0000")).is_ok());
    }

    #[test]
    fn counts_attributes_towards_size() {
        let body_bytes = MAX_MESSAGE_BYTES - "eventType".len() - "String".len() - 1;
        assert!(wire_body(&message(&"x".repeat(body_bytes))).is_ok());
        assert!(wire_body(&message(&"x".repeat(body_bytes + 1))).is_err());
    }

    #[test]
    fn check_refuses_the_same_as_publishing() {
        let body_bytes = MAX_MESSAGE_BYTES - "eventType".len() - "String".len() - 1;
        let of = |bytes: usize| message(&format!("\"{}\"", "x".repeat(bytes - 2)));
        assert_eq!(check(&of(body_bytes), 0), Ok(()));
        assert_eq!(
            check(&of(body_bytes - 9), 10),
            Err(Unpublishable::TooLarge(MAX_MESSAGE_BYTES + 1))
        );
        // Three bytes of UTF-8 are six when they are escaped.
        let escaped = message(&format!("\"{}\"", "\u{ffff}".repeat(60_000)));
        assert!(matches!(
            check(&escaped, 0),
            Err(Unpublishable::Refused(_) | Unpublishable::TooLarge(_))
        ));
        assert!(matches!(check(&message("\"\\u0000\""), 0), Err(Unpublishable::Refused(_))));
        assert!(matches!(
            check(&with_attribute("userId", "a\u{ffff}"), 0),
            Err(Unpublishable::Refused(_))
        ));
    }

    #[test]
    fn enforces_attribute_rules_of_sqs() {
        assert!(wire_body(&with_attribute("a.b-c_1", "ä")).is_ok());
        for (name, value) in [("", "v"), ("a b", "v"), ("AWS.x", "v"), ("a", ""), ("a", "\u{b}")] {
            assert!(wire_body(&with_attribute(name, value)).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn turns_any_reason_into_valid_value() {
        assert_eq!(detail_text(""), "no explanation given");
        assert_eq!(detail_text("a\0b"), "a\u{fffd}b");
        assert_eq!(detail_text(&"x".repeat(5_000)).len(), MAX_DETAIL);
    }
}
