//! Checks templates at the start, by parsing them and by rendering them with samples.

use minijinja::{Environment, Error, ErrorKind};

use super::{Fault, Notice, Part, Templates, UNSUBSCRIBE_URL, engine::FUEL, samples};

/// Names that a template may use.
const NAMES: [&str; 18] = [
    "title",
    "message",
    "url",
    "date",
    "time",
    "when",
    "timeZone",
    "locale",
    "language",
    "direction",
    "unsubscribeUrl",
    "words.reminder",
    "words.openLink",
    "words.why",
    "words.unsubscribe",
    "range",
    "dict",
    "namespace",
];

/// Tags that a template must not use: they read other templates, or disable escaping.
const FORBIDDEN: [&str; 6] = ["include", "import", "from", "extends", "block", "autoescape"];

/// Parses a template into the environment and checks every name in it, also in branches that are
/// not taken.
pub(super) fn add(environment: &mut Environment<'static>, name: &str, text: &str) -> Vec<Fault> {
    if let Err(error) = environment.add_template_owned(name.to_owned(), text.to_owned()) {
        return vec![fault(name, &error)];
    }
    let names = environment.get_template(name).map(|parsed| parsed.undeclared_variables(true));
    let names = names.unwrap_or_default();
    let unknown =
        names.iter().filter(|used| !NAMES.contains(&used.as_str())).map(|unknown| Fault {
            file: name.to_owned(),
            line: line_of(text, unknown.rsplit('.').next().unwrap_or(unknown)),
            problem: format!("there is no variable `{unknown}`"),
        });
    let forbidden =
        tags(text).filter(|(_, tag)| FORBIDDEN.contains(tag)).map(|(line, tag)| Fault {
            file: name.to_owned(),
            line: Some(line),
            problem: format!("the tag `{tag}` cannot be used here"),
        });
    unknown.chain(forbidden).collect()
}

/// Renders every template of the folder in every language that uses it, with and without the
/// optional parts of a reminder.
pub(super) fn rendered(templates: &Templates) -> Vec<Fault> {
    let mut faults = Vec::new();
    for language in templates.languages.values() {
        for part in Part::ALL {
            let Some(name) = language.custom(part) else { continue };
            faults.extend(cases(&language.tag).find_map(|(notice, unsubscribe_url)| {
                match templates.texts(&notice, unsubscribe_url).custom(name) {
                    Ok(text) if text.trim().is_empty() => Some(Fault {
                        file: name.to_owned(),
                        line: None,
                        problem: "renders to nothing".into(),
                    }),
                    Ok(_) => None,
                    Err(error) => Some(fault(name, &error)),
                }
            }));
        }
    }
    faults
}

fn cases(tag: &str) -> impl Iterator<Item = (Notice<'_>, Option<&'static str>)> {
    let notices = samples().into_iter().flat_map(move |sample| {
        let whole = Notice { locale: Some(tag), ..sample.notice };
        [
            whole,
            Notice { title: None, ..whole },
            Notice { url: None, ..whole },
            Notice { title: None, url: None, ..whole },
        ]
    });
    notices.flat_map(|notice| [(notice, None), (notice, Some(UNSUBSCRIBE_URL))])
}

fn fault(file: &str, error: &Error) -> Fault {
    let problem = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("it does not end within {FUEL} steps"),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    Fault { file: file.to_owned(), line: error.line(), problem }
}

/// Returns the first line with a word inside `{{ }}` or `{% %}`.
fn line_of(text: &str, word: &str) -> Option<usize> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let mut ends = 0;
    text.match_indices(['{', '}']).zip(text.match_indices(['{', '}']).skip(1)).find_map(
        |((from, open), (to, _))| {
            if open != "{" || from < ends {
                return None;
            }
            ends = to;
            let inside = &text[from..to];
            let at = inside
                .split(|character| !is_part(character))
                .position(|part| part == word)
                .and_then(|_| inside.find(word))?;
            Some(text[..from + at].matches('\n').count() + 1)
        },
    )
}

/// Returns every `{% tag`, with its line.
fn tags(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("{%").filter_map(|(at, open)| {
        let inside = text[at + open.len()..].trim_start_matches(['-', '+']).trim_start();
        let tag = inside.split(|next: char| !next.is_ascii_alphabetic()).next()?;
        Some((text[..at].matches('\n').count() + 1, tag))
    })
}
