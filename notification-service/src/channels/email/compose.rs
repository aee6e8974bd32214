//! Our own mail: text and HTML from the templates, built into a MIME message.

use super::Email;
use crate::channels::wording;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value, context, escape_formatter};

/// The longest subject, in characters; a title may be longer.
const LONGEST_SUBJECT: usize = 200;

/// Why the mail channel cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The sender is what SES verifies.
    #[error("the sender is no e-mail address")]
    Source,
    /// Headers take one line of ASCII.
    #[error("the unsubscribe URL is not an https URL")]
    UnsubscribeUrl,
    /// One of our own templates does not work.
    #[error("a mail template is broken")]
    Template(#[source] minijinja::Error),
}

/// Why a mail could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ComposeError {
    #[error("could not render a mail template")]
    Template(#[from] minijinja::Error),
    #[error("could not build a MIME message")]
    Mime(#[from] lettre::error::Error),
}

/// Writes mails.
pub(super) struct Composer {
    templates: Environment<'static>,
    source: Mailbox,
    unsubscribe_url: Option<String>,
}

impl Composer {
    /// Reads the templates and renders them once, so that a broken one is found at the start.
    pub(super) fn new(source: Mailbox, unsubscribe_url: Option<String>) -> Result<Self, SetupError> {
        let is_https = |url: &String| url.is_ascii() && url::Url::parse(url).is_ok_and(|url| url.scheme() == "https");
        if unsubscribe_url.as_ref().is_some_and(|url| !is_https(url)) {
            return Err(SetupError::UnsubscribeUrl);
        }
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_formatter(write_value);
        for (name, text) in [
            ("reminder.txt", include_str!("../../../templates/reminder.txt")),
            ("reminder.html", include_str!("../../../templates/reminder.html")),
        ] {
            templates.add_template(name, text).map_err(SetupError::Template)?;
        }
        let composer = Composer { templates, source, unsubscribe_url };
        composer.render(&sample()).map_err(SetupError::Template)?;
        Ok(composer)
    }

    /// The whole message, as bytes.
    pub(super) fn compose(&self, email: &Email<'_>, to: Address) -> Result<Vec<u8>, ComposeError> {
        let (text, html) = self.render(email)?;
        let domain = self.source.email.domain();
        let mut message = Message::builder()
            .from(self.source.clone())
            .to(Mailbox::new(None, to))
            .subject(subject(email.title()))
            .message_id(Some(format!("<{}@{domain}>", email.occurrence_id.simple())))
            .raw_header(header("Auto-Submitted", "auto-generated"));
        if let Some(url) = &self.unsubscribe_url {
            message = message
                .raw_header(header("List-Unsubscribe", &format!("<{url}>")))
                .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        Ok(message.multipart(MultiPart::alternative_plain_html(text, html))?.formatted())
    }

    fn render(&self, email: &Email<'_>) -> Result<(String, String), minijinja::Error> {
        let words = wording::for_locale(email.locale);
        let context = context! {
            title => email.title(),
            message => email.message,
            when => email.written_time().phrase,
            url => email.url.filter(|url| url.starts_with("https://") || url.starts_with("http://")),
            unsubscribe_url => self.unsubscribe_url,
            words => context! {
                language => words.language,
                open_link => words.open_link,
                unsubscribe => words.unsubscribe,
                why => words.why,
            },
        };
        let text = self.templates.get_template("reminder.txt")?.render(&context)?;
        let html = self.templates.get_template("reminder.html")?.render(&context)?;
        Ok((text, html))
    }
}

/// Writes a value into a template. In HTML only what has a meaning there is escaped: minijinja's own escaping turns every
/// slash of a link into an entity too, which some mail scanners do not read as a link.
fn write_value(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let text = match (state.auto_escape(), value.as_str()) {
        (AutoEscape::Html, Some(text)) if !value.is_safe() => text,
        _ => return escape_formatter(out, state, value),
    };
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Ok(out.write_str(&escaped)?)
}

/// A title as a header: one line, no control characters, not endless.
fn subject(title: &str) -> String {
    let line: String = title.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let mut words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(LONGEST_SUBJECT) {
        words.truncate(end);
        words.push('…');
    }
    words
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn sample() -> Email<'static> {
    Email {
        occurrence_id: uuid::Uuid::nil(),
        to: "reader@example.com",
        title: None,
        message: "Message",
        url: Some("https://example.com/"),
        due_at: chrono::DateTime::UNIX_EPOCH,
        time_zone: chrono_tz::UTC,
        locale: None,
    }
}

#[cfg(test)]
mod tests;
