//! Texts that a user writes, each with its rules. The messages between services cannot carry every
//! character (SNS and SQS take what XML 1.0 §2.2 allows), and a heading is one line.

use shared::contract::bounds::{MAX_LOCALE, MAX_MESSAGE, MAX_TITLE, MAX_URL};
use url::{Host, Url};

use super::InvalidField;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// One that was parsed before it was stored.
            #[must_use]
            pub fn from_store(text: String) -> Self {
                Self(text)
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Its text.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }
    )*};
}

texts! {
    /// A heading: one line of at most 200 characters.
    Title,
    /// A text of 1 to 2,000 characters; line breaks and tabs are its only control characters.
    Message,
    /// A web address, never fetched here.
    Link,
    /// A language tag (BCP 47).
    Locale,
}

pub(super) use shared::contract::bounds::is_carried;

fn longer_than(text: &str, limit: usize) -> bool {
    // A text of so few bytes cannot have more characters.
    text.len() > limit && text.chars().nth(limit).is_some()
}

impl Title {
    /// A heading; none for an empty text, which is how the predecessor's clients say so.
    ///
    /// # Errors
    /// When it is too long, or not one line of printable characters.
    pub fn parse(text: String) -> Result<Option<Self>, InvalidField> {
        let invalid = |problem: &str| Err(InvalidField::new("title", problem));
        if text.is_empty() {
            return Ok(None);
        }
        if longer_than(&text, MAX_TITLE) {
            return invalid("must have at most 200 characters");
        }
        if text.chars().any(|it| it.is_control() || !is_carried(it)) {
            return invalid("must be one line without control characters");
        }
        Ok(Some(Self(text)))
    }
}

impl Message {
    /// A text.
    ///
    /// # Errors
    /// When it is empty or too long, or has control characters.
    pub fn parse(text: String) -> Result<Self, InvalidField> {
        let invalid = |problem: &str| Err(InvalidField::new("message", problem));
        if text.is_empty() || longer_than(&text, MAX_MESSAGE) {
            return invalid("must have 1 to 2000 characters");
        }
        if !text.chars().all(is_carried) {
            return invalid("must have no control characters but line feeds and tabs");
        }
        Ok(Self(text))
    }
}

impl Link {
    /// A web address as it was given; none for an empty text, which is how the predecessor's
    /// clients say so.
    ///
    /// # Errors
    /// When it is no absolute http or https address, is too long, or has a user name or a password
    /// in it.
    pub fn parse(text: String) -> Result<Option<Self>, InvalidField> {
        let invalid = |problem: &str| Err(InvalidField::new("url", problem));
        if text.is_empty() {
            return Ok(None);
        }
        if longer_than(&text, MAX_URL) {
            return invalid("must have at most 2048 characters");
        }
        // The parser mends what browsers mend; what is stored is the text itself, so it must not
        // need it.
        let schemes = ["http://", "https://"];
        let has_scheme = schemes.iter().any(|scheme| {
            let start = text.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let is_plain =
            |it: char| !(it.is_whitespace() || it == '\\') && it != '\t' && is_carried(it);
        if !has_scheme || !text.chars().all(is_plain) {
            return invalid("must be an absolute http or https address");
        }
        match Url::parse(&text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                invalid("must have no user name or password in it")
            }
            Ok(url) if url.host().as_ref().is_some_and(is_link_local) => {
                invalid("must not name a link-local address")
            }
            Ok(url) if url.has_host() => Ok(Some(Self(text))),
            _ => invalid("must be an absolute http or https address"),
        }
    }
}

/// Whether a host is an address that only means something next to the machine that reads it (RFC
/// 3927, RFC 4291 §2.5.6): where clouds answer with credentials.
fn is_link_local<S>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(_) => false,
        Host::Ipv4(address) => address.is_link_local(),
        Host::Ipv6(address) => {
            address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some_and(|it| it.is_link_local())
        }
    }
}

impl Locale {
    /// A language tag, by its shape: a language of 2 to 8 letters and subtags of 1 to 8 letters or
    /// digits.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn parse(text: String) -> Result<Self, InvalidField> {
        let mut subtags = text.split('-');
        let language = subtags.next().unwrap_or_default();
        let language_fits = (2..=8).contains(&language.len())
            && language.bytes().all(|it| it.is_ascii_alphabetic());
        let others_fit = subtags.all(|it| {
            (1..=8).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric())
        });
        if text.len() <= MAX_LOCALE && language_fits && others_fit {
            return Ok(Self(text));
        }
        Err(InvalidField::new("locale", "must be a BCP 47 language tag, such as en or pt-BR"))
    }
}
