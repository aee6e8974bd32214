//! Truncates a text to a number of bytes of JSON, between grapheme clusters (Unicode Standard
//! Annex 29): no emoji and no accented letter is divided.

use unicode_segmentation::UnicodeSegmentation;

/// Replacement of the rest of a truncated text.
const ELLIPSIS: char = '…';

/// Returns `text` in at most `max_bytes` bytes of JSON: whole, or with its end replaced by an
/// ellipsis. A first cluster that is too large alone is divided between characters.
pub(super) fn to(text: &str, max_bytes: usize) -> String {
    if escaped_bytes(text) <= max_bytes {
        return text.to_owned();
    }
    let max_bytes = max_bytes.saturating_sub(ELLIPSIS.len_utf8());
    let clusters = fitting(text.graphemes(true), max_bytes);
    let kept =
        if clusters > 0 { clusters } else { fitting(text.split_inclusive(|_| true), max_bytes) };
    format!("{}{ELLIPSIS}", text[..kept].trim_end())
}

/// Returns the length of the first pieces of a text that have at most `max_bytes` bytes of JSON
/// together.
fn fitting<'a>(pieces: impl Iterator<Item = &'a str>, max_bytes: usize) -> usize {
    let mut used = 0;
    let fitting = pieces.take_while(|piece| {
        used += escaped_bytes(piece);
        used <= max_bytes
    });
    fitting.map(str::len).sum()
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

    #[test]
    fn cuts_between_grapheme_clusters() {
        let family = "👨‍👩‍👧‍👦";
        assert_eq!(to(&family.repeat(3), 2 * family.len() + 20), format!("{}…", family.repeat(2)));
        assert_eq!(to("🇫🇷🇩🇪", 15), "🇫🇷…");
        assert_eq!(to(&format!("e{}", "\u{301}".repeat(99)), 100).len(), 100);
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
