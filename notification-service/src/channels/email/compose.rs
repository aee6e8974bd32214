//! Our own mail: text and HTML from the templates, built into a MIME message.

use super::Email;
use crate::channels::templates::{Part, Templates};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use std::sync::Arc;

/// The longest subject, in characters; what makes it may be longer.
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
    templates: Arc<Templates>,
    source: Mailbox,
    unsubscribe_url: Option<String>,
}

/// What a mail says.
struct Written {
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

    /// The whole message, as bytes.
    pub(super) fn compose(&self, email: &Email<'_>, to: Address) -> Result<Vec<u8>, ComposeError> {
        let Written { subject, text, html } = self.write(email)?;
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

    fn write(&self, email: &Email<'_>) -> Result<Written, minijinja::Error> {
        let texts = self.templates.texts(&email.notice(), self.unsubscribe_url.as_deref());
        Ok(Written {
            subject: subject(&texts.render(Part::EmailSubject)?),
            text: texts.render(Part::EmailText)?,
            html: texts.render(Part::EmailHtml)?,
        })
    }
}

/// A text as a header: one line, no control characters, not endless.
fn subject(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
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

#[cfg(test)]
mod tests;
