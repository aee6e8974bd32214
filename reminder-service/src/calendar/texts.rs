//! The heading, the text and the link of an entry.

use super::{Problem, component::Component, x_properties};
use crate::reminder::Link;

const MAX_TITLE: usize = 200;
const MAX_MESSAGE: usize = 2_000;

/// What an entry says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) title: Option<String>,
    pub(super) message: String,
    pub(super) url: Option<String>,
}

/// Reads the texts; what is cut or left out is told of.
///
/// # Errors
/// When there is nothing to say.
pub(super) fn read(
    component: &Component,
    left_out: &mut Vec<(usize, String)>,
) -> Result<Texts, Problem> {
    let is_ours = x_properties::is_ours(component);
    let value = |name: &str| component.one(name).map(|it| (it.line, cleaned(&it.value)));
    // Ours are texts as their user wrote them, blanks and all.
    let is_text = |it: &(usize, String)| is_ours || !it.1.trim().is_empty();
    let summary = value("SUMMARY").filter(is_text);
    let description = value("DESCRIPTION").filter(is_text);
    let Some((line, message)) =
        description.or_else(|| summary.clone()).filter(|it| !it.1.is_empty())
    else {
        return Err(Problem::new(
            component.line,
            "it says nothing: it has neither a SUMMARY nor a DESCRIPTION",
        ));
    };
    let message = if is_ours { message } else { message.trim().to_owned() };
    let message = cut(message, MAX_MESSAGE).unwrap_or_else(|cut| {
        left_out.push((line, "the text was cut to 2,000 characters".to_owned()));
        cut
    });
    let title = summary.filter(|_| component.one(x_properties::NO_TITLE).is_none()).map(
        |(line, summary)| {
            let title = summary.replace(['\n', '\t'], " ");
            cut(if is_ours { title } else { title.trim().to_owned() }, MAX_TITLE).unwrap_or_else(
                |cut| {
                    left_out.push((line, "the heading was cut to 200 characters".to_owned()));
                    cut
                },
            )
        },
    );
    Ok(Texts { title: title.filter(|it| !it.is_empty()), message, url: link(component, left_out) })
}

/// Without the characters that no reminder has: control characters but line feeds and tabs, and
/// what XML cannot carry.
fn cleaned(text: &str) -> String {
    let is_kept = |it: &char| {
        matches!(it, '\n' | '\t') || !(it.is_control() || matches!(it, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().filter(is_kept).collect()
}

/// The text; as an error what is left of one that is too long.
fn cut(text: String, limit: usize) -> Result<String, String> {
    match text.char_indices().nth(limit) {
        None => Ok(text),
        Some((end, _)) => Err(text.get(..end).unwrap_or_default().to_owned()),
    }
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
