//! Variables of templates stored with SES: their values, and a check for unknown ones. Pure.

use super::Email;
use crate::channels::templates::Templates;
use serde_json::{Value, json};

/// Variables that a stored template may use. Every e-mail has all of them; `url` may be empty.
const VARIABLES: [&str; 10] = [
    "title",
    "message",
    "url",
    "date",
    "time",
    "when",
    "timeZone",
    "userEmail",
    "occurrenceId",
    "locale",
];

/// Keywords of the template language (Handlebars).
const KEYWORDS: [&str; 8] = ["else", "if", "unless", "each", "with", "this", "lookup", "log"];

/// Returns the `TemplateData` of an e-mail.
pub(super) fn data(email: &Email<'_>, templates: &Templates) -> Value {
    let localized = templates.for_locale(email.locale);
    let written = localized.write(email.date, email.time_zone);
    json!({
        "title": localized.title(email.title),
        "message": email.message,
        "url": email.url.unwrap_or_default(),
        "date": written.date,
        "time": written.time,
        "when": written.phrase,
        "timeZone": email.time_zone.name(),
        "userEmail": email.to,
        "occurrenceId": email.occurrence_id.simple().to_string(),
        "locale": localized.language(),
    })
}

/// Returns the variables that a part of a template uses and that no e-mail has.
pub(super) fn unknown_variables(part: &str) -> Vec<String> {
    let expressions = part.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let used = expressions.filter(|expression| !expression.starts_with(['!', '>', '/'])).flat_map(
        |expression| {
            let expression = expression.trim_matches(['{', '#', '^', '&', '~']);
            expression.split_whitespace().filter(|word| !word.starts_with(['"', '\'', '@']))
        },
    );
    used.map(|word| word.trim_start_matches("this.").trim_matches(['(', ')']))
        .filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_'))
        .filter(|word| !KEYWORDS.contains(word) && !VARIABLES.contains(word))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Email<'static> {
        Email {
            occurrence_id: uuid::Uuid::nil(),
            to: "ada@example.com",
            title: None,
            message: "Water the plants",
            url: None,
            date: "2025-10-03T07:30:00Z".parse().unwrap(),
            time_zone: "Europe/Berlin".parse().expect("a zone"),
            locale: None,
        }
    }

    #[test]
    fn sets_every_variable_as_text() {
        let data = data(&email(), &Templates::built_in().unwrap());
        assert_eq!(data.as_object().unwrap().len(), VARIABLES.len());
        for variable in VARIABLES {
            assert!(data[variable].is_string(), "{variable}");
        }
        assert_eq!(data["title"], "Reminder");
        assert_eq!(data["date"], "Friday, 3 October 2025");
        assert_eq!(data["time"], "09:30");
    }

    #[test]
    fn writes_variables_in_language_of_reader() {
        let german = Email { locale: Some("de-AT"), ..email() };
        let data = data(&german, &Templates::built_in().unwrap());
        assert_eq!((&data["title"], &data["locale"]), (&json!("Erinnerung"), &json!("de")));
        assert_eq!(data["when"], "Freitag, 3. Oktober 2025 um 09:30 (Europe/Berlin)");
    }

    #[test]
    fn finds_unknown_variables() {
        let none: [&str; 0] = [];
        let fine = "Hi {{userEmail}}, {{{message}}} {{#if url}}<a href=\"{{url}}\">{{title}}</a>\
            {{else}}-{{/if}} {{! note }}";
        assert_eq!(unknown_variables(fine), none);
        assert_eq!(
            unknown_variables("{{name}} {{#each items}}{{this.price}}{{/each}}"),
            ["name", "items", "price"]
        );
    }
}
