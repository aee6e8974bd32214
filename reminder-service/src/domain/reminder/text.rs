//! Texts of a reminder, each with its rules. Messages between services cannot carry every character
//! (SNS and SQS accept those that XML 1.0 §2.2 allows), and a title is one line.

use contract::{
    bounds::{MAX_LOCALE, MAX_MESSAGE, MAX_TITLE, MAX_URL},
    text::is_blank,
};
use url::{Host, Url};

use super::InvalidField;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// A text that was checked before it was stored.
            #[must_use]
            pub fn from_store(text: String) -> Self {
                Self(text)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }
    )*};
}

texts! {
    /// A title: one line of at most 200 characters.
    Title,
    /// A message: 1 to 2,000 characters; the only control characters are line feeds and tabs.
    Message,
    /// An http or https URL, which the services never fetch.
    Link,
    /// A language tag (BCP 47).
    Locale,
}

pub(super) use contract::bounds::is_carried;

fn longer_than(text: &str, limit: usize) -> bool {
    // A text has at most as many characters as bytes.
    text.len() > limit && text.chars().nth(limit).is_some()
}

impl Title {
    /// Parses a title; `None` for an empty text, which clients of version 1.0.0 send for no title.
    ///
    /// # Errors
    /// If it is too long, not one line of printable characters, or has no visible character.
    pub fn parse(text: String) -> Result<Option<Self>, InvalidField> {
        let invalid = |problem: &str| Err(InvalidField::new("title", problem));
        if text.is_empty() {
            return Ok(None);
        }
        if longer_than(&text, MAX_TITLE) {
            return invalid("must have at most 200 characters");
        }
        if text.chars().any(|character| character.is_control() || !is_carried(character)) {
            return invalid("must be one line without control characters");
        }
        if is_blank(&text) {
            return invalid("must have a visible character; leave it out for no title");
        }
        Ok(Some(Self(text)))
    }
}

impl Message {
    /// Parses a message.
    ///
    /// # Errors
    /// If it is empty or too long, or has control characters.
    pub fn parse(text: String) -> Result<Self, InvalidField> {
        let invalid = |problem: &str| Err(InvalidField::new("message", problem));
        if text.is_empty() || longer_than(&text, MAX_MESSAGE) {
            return invalid("must have 1 to 2000 characters");
        }
        if !text.chars().all(is_carried) {
            return invalid("must have no control characters other than line feeds and tabs");
        }
        Ok(Self(text))
    }
}

impl Link {
    /// Parses a link; `None` for an empty text, which clients of version 1.0.0 send for no link.
    ///
    /// # Errors
    /// If it is not an absolute http or https URL, is too long, or contains a user name or
    /// password.
    pub fn parse(text: String) -> Result<Option<Self>, InvalidField> {
        let invalid = |problem: &str| Err(InvalidField::new("url", problem));
        if text.is_empty() {
            return Ok(None);
        }
        if longer_than(&text, MAX_URL) {
            return invalid("must have at most 2048 characters");
        }
        // The parser repairs malformed URLs as browsers do. The text is stored unchanged, so it
        // must not need repairs.
        let schemes = ["http://", "https://"];
        let has_scheme = schemes.iter().any(|scheme| {
            let start = text.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let is_plain = |character: char| {
            !(character.is_whitespace() || character == '\\') && is_carried(character)
        };
        if !has_scheme || !text.chars().all(is_plain) {
            return invalid("must be an absolute http or https URL");
        }
        match Url::parse(&text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                invalid("must not contain a user name or password")
            }
            Ok(url) if url.host().as_ref().is_some_and(is_link_local) => {
                invalid("must not have a link-local address")
            }
            Ok(url) if url.has_host() => Ok(Some(Self(text))),
            _ => invalid("must be an absolute http or https URL"),
        }
    }
}

/// Returns `true` if a host is a link-local address (RFC 3927, RFC 4291 §2.5.6), at which clouds
/// serve credentials.
fn is_link_local<S>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(_) => false,
        Host::Ipv4(address) => address.is_link_local(),
        Host::Ipv6(address) => {
            address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some_and(|address| address.is_link_local())
        }
    }
}

impl Locale {
    /// Parses a language tag by its form: a language of 2 to 8 letters and subtags of 1 to 8
    /// letters or digits.
    ///
    /// # Errors
    /// If it has another form.
    pub fn parse(text: String) -> Result<Self, InvalidField> {
        let mut subtags = text.split('-');
        let language = subtags.next().unwrap_or_default();
        let language_fits = (2..=8).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_alphabetic());
        let others_fit = subtags.all(|subtag| {
            (1..=8).contains(&subtag.len())
                && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if text.len() <= MAX_LOCALE && language_fits && others_fit {
            return Ok(Self(text));
        }
        Err(InvalidField::new("locale", "must be a BCP 47 language tag, such as en or pt-BR"))
    }
}
