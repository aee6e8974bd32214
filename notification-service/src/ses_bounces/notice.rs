//! Reading what SES says of an e-mail. Pure.
//!
//! There are two forms: event publishing by a configuration set (`eventType`) and notifications of
//! an identity (`notificationType`); both are described in SES's developer guide, "Contents of
//! event data that Amazon SES publishes to Amazon SNS" and "Amazon SNS notification contents for
//! Amazon SES". SES adds fields as it likes, so only those are looked at that something follows
//! from. Addresses end here: what is handed on are their digests.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::delivery::{address_digest, reason};

/// What SES puts into a topic, as plain text, when event publishing to it is set up.
const GREETING: &str = "Successfully validated SNS topic";
/// The longest id of an e-mail that is looked for.
const MAX_ID: usize = 255;

/// What kind of thing was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The mailbox refused the e-mail for good.
    Bounce,
    /// The mailbox refused the e-mail this time, or nobody knows why.
    TransientBounce,
    /// Its reader called the e-mail spam.
    Complaint,
    /// Its reader said that the e-mail is no spam.
    NotSpam,
    /// SES could not fill in its template.
    RenderingFailure,
    /// SES would not send it.
    Reject,
    /// The mailbox took it.
    Delivery,
    /// It has not arrived yet.
    DeliveryDelay,
    /// SES accepted it.
    Send,
    /// Anything else, or new: nothing follows from it.
    Other,
}

impl Kind {
    /// Its name in the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::TransientBounce => "transient_bounce",
            Self::Complaint => "complaint",
            Self::NotSpam => "not_spam",
            Self::RenderingFailure => "rendering_failure",
            Self::Reject => "reject",
            Self::Delivery => "delivery",
            Self::DeliveryDelay => "delivery_delay",
            Self::Send => "send",
            Self::Other => "other",
        }
    }
}

/// Why an address must not be written to again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionCause {
    /// It bounced for good.
    Bounce,
    /// Its owner complained.
    Complaint,
}

impl SuppressionCause {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
        }
    }
}

/// An e-mail that was accepted and did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// SES's id of it.
    pub provider_message_id: String,
    /// Why it did not arrive.
    pub reason: &'static str,
}

/// An address that must not be written to again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Its digest.
    pub digest: Vec<u8>,
    /// Why.
    pub cause: SuppressionCause,
}

/// What SES says of an e-mail, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What kind of thing it is.
    pub kind: Kind,
    /// The e-mail that did not arrive.
    pub correction: Option<Correction>,
    /// The addresses not to be written to again.
    pub suppressions: Vec<Suppression>,
}

/// Why a message is dead-lettered; never with what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is something else.
    #[error("it is no JSON")]
    NoJson,
    /// Something that it cannot be understood without.
    #[error("{0} is missing or malformed")]
    Field(&'static str),
}

impl Notice {
    /// Reads a message, raw or in SNS's envelope.
    ///
    /// # Errors
    /// [`Unreadable`]: it can never be read.
    pub fn read(body: &str) -> Result<Self, Unreadable> {
        if body.starts_with(GREETING) {
            return Ok(Self::without_effect(Kind::Other));
        }
        let said: Value = serde_json::from_str(body).map_err(|_| Unreadable::NoJson)?;
        match enveloped(&said) {
            // An envelope holds no other.
            Some(inner) if inner.starts_with(GREETING) => Ok(Self::without_effect(Kind::Other)),
            Some(inner) => Self::of(&serde_json::from_str(inner).map_err(|_| Unreadable::NoJson)?),
            None => Self::of(&said),
        }
    }

    fn of(said: &Value) -> Result<Self, Unreadable> {
        let kind = kind(said)?;
        let (reason, cause) = match kind {
            Kind::Bounce => (Some(reason::BOUNCED), Some(SuppressionCause::Bounce)),
            Kind::Complaint => (rejection_of(said), Some(SuppressionCause::Complaint)),
            Kind::RenderingFailure => (Some(reason::RENDERING_FAILED), None),
            Kind::Reject => (Some(reason::REJECTED_BY_PROVIDER), None),
            _ => return Ok(Self::without_effect(kind)),
        };
        let correction = match reason {
            Some(reason) => Some(Correction { provider_message_id: message_id(said)?, reason }),
            None => None,
        };
        let suppressions = match cause {
            Some(cause) => digests(said, cause)?
                .into_iter()
                .map(|digest| Suppression { digest, cause })
                .collect(),
            None => Vec::new(),
        };
        Ok(Self { kind, correction, suppressions })
    }

    const fn without_effect(kind: Kind) -> Self {
        Self { kind, correction: None, suppressions: Vec::new() }
    }
}

/// What an SNS envelope holds, where it is one.
fn enveloped(said: &Value) -> Option<&str> {
    text(said, "/Message").filter(|_| name(said).is_none())
}

fn name(said: &Value) -> Option<&str> {
    text(said, "/eventType").or_else(|| text(said, "/notificationType"))
}

fn kind(said: &Value) -> Result<Kind, Unreadable> {
    Ok(match name(said).ok_or(Unreadable::Field("eventType"))? {
        "Bounce" => {
            match text(said, "/bounce/bounceType").ok_or(Unreadable::Field("bounce.bounceType"))? {
                "Permanent" => Kind::Bounce,
                _ => Kind::TransientBounce,
            }
        }
        // A mailbox's correction of an earlier verdict (RFC 5965, and the registry of its feedback
        // types).
        "Complaint" if text(said, "/complaint/complaintFeedbackType") == Some("not-spam") => {
            Kind::NotSpam
        }
        "Complaint" => Kind::Complaint,
        "Rendering Failure" => Kind::RenderingFailure,
        "Reject" => Kind::Reject,
        "Delivery" => Kind::Delivery,
        "DeliveryDelay" => Kind::DeliveryDelay,
        "Send" => Kind::Send,
        _ => Kind::Other,
    })
}

/// A complaint is of an e-mail that arrived; unless it is an earlier one, for which SES did not
/// even try to send this.
fn rejection_of(said: &Value) -> Option<&'static str> {
    let was_not_sent =
        text(said, "/complaint/complaintSubType") == Some("OnAccountSuppressionList");
    was_not_sent.then_some(reason::REJECTED_BY_PROVIDER)
}

fn message_id(said: &Value) -> Result<String, Unreadable> {
    let is_id =
        |id: &&str| !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control);
    let id = text(said, "/mail/messageId").filter(is_id);
    id.map(ToOwned::to_owned).ok_or(Unreadable::Field("mail.messageId"))
}

/// The digests of the addresses that it is about. Our e-mails have one recipient each, who is meant
/// even where another is named: a mailbox that forwards is reported under the address it forwards
/// to.
fn digests(said: &Value, cause: SuppressionCause) -> Result<BTreeSet<Vec<u8>>, Unreadable> {
    let (list, field) = match cause {
        SuppressionCause::Bounce => ("/bounce/bouncedRecipients", "bounce.bouncedRecipients"),
        SuppressionCause::Complaint => {
            ("/complaint/complainedRecipients", "complaint.complainedRecipients")
        }
    };
    let named = said.pointer(list).and_then(Value::as_array).ok_or(Unreadable::Field(field))?;
    let named = named.iter().filter_map(|it| text(it, "/emailAddress"));
    let sole = match said.pointer("/mail/destination").and_then(Value::as_array).map(Vec::as_slice)
    {
        Some([only]) => only.as_str(),
        _ => None,
    };
    let addresses = named.chain(sole).map(bare).filter(|address| address.contains('@'));
    let digests: BTreeSet<_> = addresses.map(address_digest).collect();
    if digests.is_empty() { Err(Unreadable::Field(field)) } else { Ok(digests) }
}

/// An address without its owner's name.
fn bare(address: &str) -> &str {
    address.rsplit_once('<').map_or(address, |(_, rest)| rest.trim_end().trim_end_matches('>'))
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests;
