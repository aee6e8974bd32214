//! Texts as readers see them: blank ones, and shortening between user-perceived characters.

use unicode_segmentation::UnicodeSegmentation;

/// Returns whether a reader would see nothing: every character is white space (Unicode's property
/// `White_Space`), a control character, or invisible (`Default_Ignorable_Code_Point`, and the empty
/// Braille pattern). An empty text is blank.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|character| {
        character.is_whitespace() || character.is_control() || is_invisible(character)
    })
}

/// Characters of Unicode's `DerivedCoreProperties.txt` under `Default_Ignorable_Code_Point`, and
/// U+2800.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Returns the longest start of a text that has at most `limit` characters and ends between
/// grapheme clusters (Unicode Standard Annex 29), so that no emoji or accented letter is divided.
/// A first cluster that is longer than the limit is divided between characters.
#[must_use]
pub fn start(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let Some((end, _)) = text.char_indices().nth(limit) else { return text };
    let clusters = text.grapheme_indices(true).map(|(at, _)| at);
    let last = clusters.take_while(|at| *at <= end).last().filter(|at| *at > 0);
    text.get(..last.unwrap_or(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAMILY: &str = "👨‍👩‍👧‍👦";

    #[test]
    fn finds_texts_without_visible_characters() {
        for text in ["", " ", "\u{a0}\u{3000}", "\u{200b}", "\u{feff}\t", "\u{ad}", "\u{2800}"] {
            assert!(is_blank(text), "{text:?}");
        }
        for text in ["a", " . ", "\u{200b}é", FAMILY, "\u{1}0", "ㅤx"] {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn cuts_between_grapheme_clusters() {
        assert_eq!(start(&FAMILY.repeat(3), 20), FAMILY.repeat(2));
        assert_eq!(start("🇫🇷🇩🇪", 3), "🇫🇷");
        assert_eq!(start("e\u{301}e\u{301}", 3), "e\u{301}");
        assert_eq!(start("\r\n\r\n", 3), "\r\n");
        assert_eq!(start("short", 5), "short");
        assert_eq!(start("ünder", 3), "ünd");
    }

    #[test]
    fn divides_cluster_that_is_longer_than_limit() {
        let text = format!("e{}", "\u{301}".repeat(300));
        assert_eq!(start(&text, 200).chars().count(), 200);
    }

    proptest! {
        #[test]
        fn keeps_start_within_limit(
            text in "(\\PC|[🇫🇷👨\u{200d}\u{301}é]){0,60}",
            limit in 0usize..40,
        ) {
            let kept = start(&text, limit);
            prop_assert!(text.starts_with(kept) && kept.chars().count() <= limit);
            prop_assert!(kept == text || limit == 0 || !kept.is_empty());
        }
    }
}
