//! Placeholders of the document for values that are not known beforehand: `…` for any value,
//! `{name}` for a value of an earlier answer, and `{soon}` for a time in two seconds.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use serde_json::Value;

const ANYTHING: &str = "…";
const SOON: &str = "soon";

/// Values of the placeholders that occurred in answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(BTreeMap<String, String>);

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Anything,
    Name(&'a str),
}

/// Splits a pattern. A name has lower-case letters only, which distinguishes it from JSON.
fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut from) = (pattern, 0);
    while let Some(at) = rest[from..].find(['…', '{']).map(|at| at + from) {
        let (text, marked) = rest.split_at(at);
        let found = marked
            .strip_prefix(ANYTHING)
            .map(|after| (Piece::Anything, after))
            .or_else(|| name(marked));
        match found {
            Some((piece, after)) => {
                pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
                pieces.push(piece);
                (rest, from) = (after, 0);
            }
            None => from = at + 1,
        }
    }
    pieces.extend((!rest.is_empty()).then_some(Piece::Text(rest)));
    pieces
}

/// The placeholder at the beginning of a text, and the rest.
fn name(text: &str) -> Option<(Piece<'_>, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    is_name.then_some((Piece::Name(name), after))
}

impl Known {
    /// Sets `{soon}` to two seconds from now.
    pub(crate) fn renew_soon(&mut self) {
        self.0.insert(SOON.to_owned(), system::rfc3339(Utc::now() + TimeDelta::seconds(2)));
    }

    /// Replaces the placeholders in a text of a request by their values.
    pub(crate) fn filled(&self, pattern: &str) -> String {
        self.with_values(pattern, |name| panic!("{{{name}}} is not known yet: {pattern}"))
    }

    fn with_values(&self, pattern: &str, unknown: impl Fn(&str) -> String) -> String {
        let piece = |piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Anything => ANYTHING.to_owned(),
            Piece::Name(name) => self.0.get(name).cloned().unwrap_or_else(|| unknown(name)),
        };
        pieces(pattern).into_iter().map(piece).collect()
    }

    /// Compares a text, and keeps the values of new placeholders.
    ///
    /// # Errors
    /// If the text differs.
    pub(crate) fn match_text(&mut self, pattern: &str, text: &str) -> Result<(), String> {
        let documented = self.with_values(pattern, |name| format!("{{{name}}}"));
        let differs = || format!("documented {documented:?}, answered {text:?}");
        let (pieces, mut rest) = (pieces(pattern), text);
        for (index, piece) in pieces.iter().enumerate() {
            let known = match piece {
                Piece::Text(text) => Some((*text).to_owned()),
                Piece::Name(name) => self.0.get(*name).cloned(),
                Piece::Anything => None,
            };
            if let Some(known) = known {
                rest = rest.strip_prefix(known.as_str()).ok_or_else(differs)?;
                continue;
            }
            // A placeholder reaches up to the text that follows it.
            let end = match pieces.get(index + 1) {
                Some(Piece::Text(next)) => rest.find(next).ok_or_else(differs)?,
                _ => rest.len(),
            };
            let (taken, after) = rest.split_at(end);
            if let Piece::Name(name) = piece {
                self.0.insert((*name).to_owned(), taken.to_owned());
            }
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(differs()) }
    }

    /// Compares a JSON value: all documented fields must be there and equal, and no others, unless
    /// the object or list ends with `…`.
    ///
    /// # Errors
    /// If the value differs; the error names the place.
    pub(crate) fn match_json(
        &mut self,
        documented: &Value,
        answered: &Value,
    ) -> Result<(), String> {
        self.compare("$", documented, answered)
    }

    fn compare(&mut self, at: &str, documented: &Value, answered: &Value) -> Result<(), String> {
        match (documented, answered) {
            (Value::String(pattern), _) if pattern == ANYTHING => Ok(()),
            (Value::String(pattern), Value::String(text)) => {
                self.match_text(pattern, text).map_err(|difference| format!("{at}: {difference}"))
            }
            (Value::Object(documented), Value::Object(answered)) => {
                let is_part = documented.contains_key(ANYTHING);
                if let Some(other) =
                    answered.keys().find(|key| !is_part && !documented.contains_key(*key))
                {
                    return Err(format!("{at}.{other}: is not documented"));
                }
                for (key, documented) in documented.iter().filter(|(key, _)| *key != ANYTHING) {
                    let answered =
                        answered.get(key).ok_or_else(|| format!("{at}.{key}: is not there"))?;
                    self.compare(&format!("{at}.{key}"), documented, answered)?;
                }
                Ok(())
            }
            (Value::Array(documented), Value::Array(answered)) => {
                let is_part = documented.last().is_some_and(|entry| entry == ANYTHING);
                let shown = documented.len() - usize::from(is_part);
                if answered.len() < shown || (answered.len() > shown && !is_part) {
                    return Err(format!(
                        "{at}: documented {shown} entries, answered {}",
                        answered.len()
                    ));
                }
                let mut pairs = documented[..shown].iter().zip(answered).enumerate();
                pairs.try_for_each(|(index, (one, other))| {
                    self.compare(&format!("{at}[{index}]"), one, other)
                })
            }
            _ if documented == answered => Ok(()),
            _ => Err(format!("{at}: documented {documented}, answered {answered}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_first_value_of_placeholder() {
        let mut known = Known::default();
        known.match_json(&json!({"id": "{id}"}), &json!({"id": "a1"})).expect("taken");
        assert_eq!(known.filled("/reminders/{id}?a={id}"), "/reminders/a1?a=a1");
        known.match_text("UID:{id}@{host}.org", "UID:a1@here.org").expect("the same");
        assert_eq!(known.filled(r#"{"at": "{host}"}"#), r#"{"at": "here"}"#);
        assert!(known.match_json(&json!({"id": "{id}"}), &json!({"id": "b2"})).is_err());
    }

    #[test]
    fn refuses_undocumented_fields_unless_open() {
        let compare =
            |documented, answered| Known::default().match_json(&documented, &answered).is_ok();
        assert!(compare(json!({"a": "…", "…": "…"}), json!({"a": null, "b": 1})));
        assert!(!compare(json!({"a": 1}), json!({"a": 1, "b": 1})));
        assert!(!compare(json!({"a": 1, "…": "…"}), json!({"b": 1})));
        assert!(compare(json!([1, "…"]), json!([1, 2, 3])));
        assert!(!compare(json!([1]), json!([1, 2])) && !compare(json!([1, 2]), json!([1])));
        assert!(
            !compare(json!({"a": "x…"}), json!({"a": "yz"}))
                && compare(json!({"a": "x…"}), json!({"a": "xz"}))
        );
    }
}
