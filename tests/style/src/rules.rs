//! Rules, each for one identifier, doc comment or line.

/// Widest line of code and prose, in characters.
const WIDTH: usize = 100;

/// Words that no doc comment opens with: the sentence after them names no thing.
const OPENERS: [&str; 6] = ["What", "How", "Whether", "Its", "Who", "Why"];

/// Words that stand for a glossary term in no identifier, and the terms.
const SYNONYMS: [(&str, &str); 12] = [
    ("lane", "dispatcher"),
    ("lanes", "dispatchers"),
    ("verdict", "outcome"),
    ("verdicts", "outcomes"),
    ("fate", "outcome"),
    ("told", "published"),
    ("retold", "republished"),
    ("overtaken", "superseded"),
    ("timetable", "schedule"),
    ("house", "suite"),
    ("breath", "the name of the pause"),
    ("handoff", "relay"),
];

/// Checks the first line of a doc comment.
pub(crate) fn check_doc_comment(text: &str) -> Option<String> {
    let opener = text.split(|char: char| !char.is_alphanumeric()).next().unwrap_or_default();
    OPENERS.contains(&opener).then(|| {
        format!("doc comment opens with `{opener}`: use a noun phrase or a third-person verb")
    })
}

/// Checks each word of an identifier in `snake_case`, `CamelCase` or `UPPER_CASE`.
pub(crate) fn check_identifier(identifier: &str) -> Option<String> {
    if identifier == "it" {
        return Some("`it`: say the name of the thing".to_owned());
    }
    let words = words(identifier);
    let (word, term) = SYNONYMS.iter().find(|(word, _)| words.iter().any(|known| known == word))?;
    Some(format!("`{identifier}`: say {term} instead of `{word}` (docs/GLOSSARY.md)"))
}

/// Checks the width of a line. A line that a long literal covers may be wider: breaking it would
/// change the text or hide it from a search.
pub(crate) fn check_width(line: &str, in_literal: bool) -> Option<String> {
    let width = line.chars().count();
    (width > WIDTH && !in_literal).then(|| format!("{width} columns: at most {WIDTH}"))
}

/// Words of an identifier in lower case.
fn words(identifier: &str) -> Vec<String> {
    let is_upper = identifier.chars().all(|char| !char.is_lowercase());
    let mut words = vec![String::new()];
    for char in identifier.chars() {
        let begins = char == '_' || (char.is_uppercase() && !is_upper);
        if begins {
            words.push(String::new());
        }
        if char != '_'
            && let Some(word) = words.last_mut()
        {
            word.extend(char.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_identifiers_of_each_case() {
        for identifier in ["wait_for_push", "WaitForPush", "WAIT_FOR_PUSH", "_wait_for_push"] {
            assert_eq!(words(identifier), ["wait", "for", "push"], "{identifier}");
        }
    }
}
