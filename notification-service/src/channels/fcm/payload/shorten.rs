//! Shortening a text by bytes of JSON, between characters.

/// What stands for the rest.
const ELLIPSIS: char = '…';
/// A text is not cut to less than this; then something else has to give.
const LEAST_BYTES: usize = 40;

/// `text` with its end replaced by an ellipsis, at least `excess` bytes of JSON shorter. `None` when too little of it would be left.
pub(super) fn by(text: &str, excess: usize) -> Option<String> {
    if excess == 0 {
        return Some(text.to_owned());
    }
    let room = escaped_bytes(text).checked_sub(excess)?.checked_sub(ELLIPSIS.len_utf8())?;
    let mut used = 0;
    let fitting = text.char_indices().find(|(_, character)| {
        used += escaped(*character);
        used > room
    });
    let kept = text[..fitting.map_or(text.len(), |(at, _)| at)].trim_end();
    if kept.len() < LEAST_BYTES {
        return None;
    }
    Some(format!("{kept}{ELLIPSIS}"))
}

/// The bytes a text takes between the quotes of a JSON string.
pub(super) fn escaped_bytes(text: &str) -> usize {
    text.chars().map(escaped).sum()
}

/// As serde_json writes it.
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
        assert_eq!(by(&text, 1).unwrap(), format!("{}…", "ä".repeat(58)));
    }

    #[test]
    fn a_text_is_not_cut_to_nothing() {
        assert_eq!(by(&"a".repeat(100), 90), None);
        assert_eq!(by("short", 1), None);
        assert_eq!(by("short", 0), Some("short".into()));
    }

    proptest! {
        #[test]
        fn counts_as_serde_json_writes(text in "\\PC*|[\\x00-\\x7f]*") {
            prop_assert_eq!(escaped_bytes(&text) + 2, serde_json::to_string(&text).unwrap().len());
        }

        #[test]
        fn saves_what_was_asked(text in "[\\x00-\\x7fä€😀]{100,400}", excess in 1usize..200) {
            if let Some(shorter) = by(&text, excess) {
                prop_assert!(escaped_bytes(&shorter) + excess <= escaped_bytes(&text));
                prop_assert!(shorter.ends_with('…'));
                prop_assert!(text.starts_with(shorter.trim_end_matches('…').trim_end()));
            }
        }
    }
}
