//! Title, message and link of an entry.

use contract::text;

use super::{component::Component, default_title::Languages, shown, x_properties};
use crate::domain::reminder::Link;

const MAX_TITLE: usize = 200;
const MAX_MESSAGE: usize = 2_000;

/// Texts of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) title: Option<String>,
    pub(super) message: String,
    pub(super) url: Option<String>,
}

/// Reads the texts; those that are changed or left out are reported. An entry without a summary
/// gets a title in its language, or else in one of the reader's.
pub(super) fn read(
    component: &Component,
    languages: &Languages,
    left_out: &mut Vec<(usize, String)>,
) -> Texts {
    let is_own = x_properties::are_present(component);
    let mut value = |name: &str| {
        let property = component.one(name)?;
        let text = cleaned(&property.value);
        if text.len() < property.value.len() {
            let note = format!("characters that cannot be shown were removed from {name}");
            left_out.push((property.line, note));
        }
        Some((property.line, text))
    };
    let (summary, description) = (value("SUMMARY"), value("DESCRIPTION"));
    // Texts that were exported here keep their white space.
    let is_text =
        |(_, text): &(usize, String)| !text.is_empty() && (is_own || !text::is_blank(text));
    let summary = summary.filter(is_text);
    let summary = summary.or_else(|| {
        let title = default_title(component, languages);
        let text = format!("it has no SUMMARY: its title is {}", shown(title));
        left_out.push((component.line, text));
        Some((component.line, title.to_owned()))
    });
    let description = description.filter(is_text);
    let (line, message) = description.or_else(|| summary.clone()).unwrap_or_default();
    let message = if is_own { message } else { message.trim().to_owned() };
    let message = cut(message, MAX_MESSAGE).unwrap_or_else(|cut| {
        left_out.push((line, "the message was cut to 2,000 characters".to_owned()));
        cut
    });
    let title = summary.filter(|_| component.one(x_properties::NO_TITLE).is_none()).map(
        |(line, summary)| {
            let title = summary.replace(['\n', '\t'], " ");
            cut(if is_own { title } else { title.trim().to_owned() }, MAX_TITLE).unwrap_or_else(
                |cut| {
                    left_out.push((line, "the title was cut to 200 characters".to_owned()));
                    cut
                },
            )
        },
    );
    Texts {
        title: title.filter(|title| !text::is_blank(title)),
        message,
        url: link(component, left_out),
    }
}

/// Title of an entry that has none, in the language that its texts declare.
fn default_title(component: &Component, languages: &Languages) -> &'static str {
    let texts = ["SUMMARY", "DESCRIPTION"].into_iter().filter_map(|name| component.one(name));
    languages.title(texts.filter_map(|text| text.parameter("LANGUAGE")).next())
}

/// Removes the characters that reminders do not allow: control characters other than line feeds and
/// tabs, and those that XML does not allow.
fn cleaned(text: &str) -> String {
    let is_kept = |character: &char| match character {
        '\n' | '\t' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        character => !character.is_control(),
    };
    text.chars().filter(is_kept).collect()
}

/// Returns the text, or as an error its start of at most `limit` characters if it is longer.
fn cut(text: String, limit: usize) -> Result<String, String> {
    let start = text::start(&text, limit);
    if start.len() == text.len() { Ok(text) } else { Err(start.to_owned()) }
}

fn link(component: &Component, left_out: &mut Vec<(usize, String)>) -> Option<String> {
    let property = component.one("URL")?;
    match Link::parse(property.value.trim().to_owned()) {
        Ok(link) => link.map(Link::into_string),
        Err(invalid) => {
            left_out.push((property.line, format!("the URL was left out: it {}", invalid.problem)));
            None
        }
    }
}
