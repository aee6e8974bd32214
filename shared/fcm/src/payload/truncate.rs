//! Truncates a text to a number of bytes of JSON, between characters.

/// Replacement of the rest of a truncated text.
const ELLIPSIS: char = '…';

/// Returns `text` in at most `max_bytes` bytes of JSON: whole, or with its end replaced by an
/// ellipsis.
pub(super) fn to(text: &str, max_bytes: usize) -> String {
    if escaped_bytes(text) <= max_bytes {
        return text.to_owned();
    }
    let max_bytes = max_bytes.saturating_sub(ELLIPSIS.len_utf8());
    let mut used = 0;
    let fitting = text.char_indices().find(|(_, character)| {
        used += escaped(*character);
        used > max_bytes
    });
    let kept = text[..fitting.map_or(text.len(), |(at, _)| at)].trim_end();
    format!("{kept}{ELLIPSIS}")
}

/// Returns the bytes of a text between the quotes of a JSON string.
pub(super) fn escaped_bytes(text: &str) -> usize {
    text.chars().map(escaped).sum()
}

/// Returns the bytes of a character as serde_json writes it.
fn escaped(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_between_characters() {
        let text = "ä".repeat(60);
        assert_eq!(to(&text, 119), format!("{}…", "ä".repeat(58)));
        assert_eq!(to(&text, 120), text);
    }

    proptest! {
        #[test]
        fn counts_bytes_as_serde_json_writes(text in "\\PC*|[\\x00-\\x7f]*") {
            prop_assert_eq!(escaped_bytes(&text) + 2, serde_json::to_string(&text).unwrap().len());
        }

        #[test]
        fn fits_into_limit(text in "[\\x00-\\x7fä€😀]{0,400}", max_bytes in 3usize..500) {
            let shorter = to(&text, max_bytes);
            prop_assert!(escaped_bytes(&shorter) <= max_bytes);
            prop_assert!(shorter == text || shorter.ends_with('…'));
            prop_assert!(text.starts_with(shorter.trim_end_matches('…').trim_end()));
        }
    }
}
