//! Title of an entry that has none, in a language that its reader understands.

/// Languages of an `Accept-Language` header that are considered.
const MAX_LANGUAGES: usize = 20;
/// The word for a reminder by language: the heading of a message without a title.
const TITLES: [(&str, &str); 11] = [
    ("de", "Erinnerung"),
    ("en", "Reminder"),
    ("es", "Recordatorio"),
    ("fr", "Rappel"),
    ("hi", "रिमाइंडर"),
    ("it", "Promemoria"),
    ("ja", "リマインダー"),
    ("nl", "Herinnering"),
    ("pl", "Przypomnienie"),
    ("pt", "Lembrete"),
    ("tr", "Hatırlatıcı"),
];
const DEFAULT: &str = "Reminder";

/// Languages that a reader understands, the preferred one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Languages(Vec<String>);

impl Languages {
    /// Reads an `Accept-Language` header (RFC 9110 §12.5.4), in the order of its weights. Parts
    /// that cannot be read are ignored.
    #[must_use]
    pub fn of_header(header: &str) -> Self {
        let ranges = header.split(',').take(MAX_LANGUAGES).filter_map(|range| {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight: f32 = weight.trim().strip_prefix("q=")?.trim().parse().ok()?;
            (weight > 0.0).then(|| (tag.trim().to_owned(), weight))
        });
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Self(ranges.into_iter().map(|(tag, _)| tag).collect())
    }

    /// The title in the language of an entry, or else in the first of these that is known.
    pub(super) fn title(&self, of_entry: Option<&str>) -> &'static str {
        let own = self.0.iter().map(String::as_str);
        of_entry.into_iter().chain(own).find_map(title).unwrap_or(DEFAULT)
    }
}

/// The title in a language, without regard to its region.
fn title(tag: &str) -> Option<&'static str> {
    let language = tag.split(['-', '_']).next()?;
    let found = TITLES.iter().find(|(known, _)| known.eq_ignore_ascii_case(language));
    found.map(|(_, title)| *title)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn prefers_language_by_weight() {
        for (header, of_entry, expected) in [
            ("", None, "Reminder"),
            ("de-CH", None, "Erinnerung"),
            ("xx, fr;q=0.5, es;q=0.8", None, "Recordatorio"),
            ("de;q=0, it;q=0.1", None, "Promemoria"),
            ("de;q=much, *", None, "Reminder"),
            ("de", Some("nl_BE"), "Herinnering"),
            ("de", Some("xx"), "Erinnerung"),
        ] {
            assert_eq!(Languages::of_header(header).title(of_entry), expected, "{header}");
        }
    }

    #[test]
    fn considers_first_languages() {
        let others = "xx,".repeat(19);
        assert_eq!(Languages::of_header(&format!("{others}de")).title(None), "Erinnerung");
        assert_eq!(Languages::of_header(&format!("{others}xx,de")).title(None), "Reminder");
    }

    #[test]
    fn has_heading_of_messages_in_each_language() {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../notification-service/templates");
        let mut languages = 0;
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let Ok(words) = fs::read(entry.path().join("words.json")) else { continue };
            let words: serde_json::Value = serde_json::from_slice(&words).expect("JSON");
            if let Some(word) = words["reminder"].as_str() {
                let tag = entry.file_name().into_string().expect("a tag");
                assert_eq!(title(&tag), Some(word), "{tag}");
                languages += 1;
            }
        }
        assert_eq!(languages, TITLES.len());
    }
}
