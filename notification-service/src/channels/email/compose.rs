//! Composes a MIME message from the text and HTML of the templates.

use super::Email;
use crate::channels::templates::{Part, Templates};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use std::sync::Arc;

/// Longest subject, in characters. Longer ones are truncated.
const LONGEST_SUBJECT: usize = 200;

/// Errors of the set-up of the e-mail channel.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The sender is no e-mail address.
    #[error("the sender is not an e-mail address")]
    Source,
    /// The unsubscribe URL is no https URL in one line of ASCII.
    #[error("the unsubscribe URL is not an https URL")]
    UnsubscribeUrl,
}

/// Errors of composing an e-mail.
#[derive(Debug, thiserror::Error)]
pub(super) enum ComposeError {
    #[error("could not render an e-mail template")]
    Template(#[from] minijinja::Error),
    #[error("could not build a MIME message")]
    Mime(#[from] lettre::error::Error),
}

/// Composes e-mails.
pub(super) struct Composer {
    templates: Arc<Templates>,
    source: Mailbox,
    unsubscribe_url: Option<String>,
}

/// Texts of an e-mail.
struct RenderedEmail {
    subject: String,
    text: String,
    html: String,
}

impl Composer {
    pub(super) fn new(
        source: Mailbox,
        unsubscribe_url: Option<String>,
        templates: Arc<Templates>,
    ) -> Result<Self, SetupError> {
        let is_https = |url: &String| {
            url.is_ascii() && url::Url::parse(url).is_ok_and(|url| url.scheme() == "https")
        };
        if unsubscribe_url.as_ref().is_some_and(|url| !is_https(url)) {
            return Err(SetupError::UnsubscribeUrl);
        }
        Ok(Composer { templates, source, unsubscribe_url })
    }

    /// Composes the whole message, as bytes.
    pub(super) fn compose(&self, email: &Email<'_>, to: Address) -> Result<Vec<u8>, ComposeError> {
        let RenderedEmail { subject, text, html } = self.write(email)?;
        let domain = self.source.email.domain();
        let mut message = Message::builder()
            .from(self.source.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(format!("<{}@{domain}>", email.occurrence_id.simple())))
            .raw_header(header("Auto-Submitted", "auto-generated"));
        if let Some(url) = &self.unsubscribe_url {
            message = message
                .raw_header(header("List-Unsubscribe", &format!("<{url}>")))
                .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        Ok(message.multipart(MultiPart::alternative_plain_html(text, html))?.formatted())
    }

    fn write(&self, email: &Email<'_>) -> Result<RenderedEmail, minijinja::Error> {
        let texts = self.templates.texts(&email.notice(), self.unsubscribe_url.as_deref());
        Ok(RenderedEmail {
            subject: subject(&texts.render(Part::EmailSubject)?),
            text: texts.render(Part::EmailText)?,
            html: texts.render(Part::EmailHtml)?,
        })
    }
}

/// Converts a text into a subject: one line without control characters, truncated.
fn subject(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    let mut words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = contract::text::start(&words, LONGEST_SUBJECT).len();
    if end < words.len() {
        words.truncate(end);
        words.push('…');
    }
    words
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests;
