//! Notices that SES publishes about an e-mail.
//!
//! There are two forms: events of a configuration set (`eventType`) and notifications of an
//! identity (`notificationType`). SES's developer guide describes both in "Contents of event data
//! that Amazon SES publishes to Amazon SNS" and "Amazon SNS notification contents for Amazon SES".
//! SES may add fields at any time, so only the fields that are used are checked. Addresses do not
//! leave this module: it returns their digests.

use std::collections::BTreeSet;

use contract::Reason;
use serde_json::Value;

use super::{delivery::address_digest, suppression::SuppressionCause};

/// Plain text that SES publishes when event publishing to a topic is set up.
const GREETING: &str = "Successfully validated SNS topic";
/// Longest accepted id of an e-mail.
const MAX_ID: usize = 255;

/// Kind of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The mailbox refused the e-mail permanently.
    Bounce,
    /// The mailbox refused the e-mail temporarily or for an unknown reason.
    TransientBounce,
    /// The reader marked the e-mail as spam.
    Complaint,
    /// The reader marked the e-mail as not spam.
    NotSpam,
    /// SES could not render the template of the e-mail.
    RenderingFailure,
    /// SES refused to send the e-mail.
    Reject,
    /// The mailbox accepted the e-mail.
    Delivery,
    /// The e-mail is delayed.
    DeliveryDelay,
    /// SES accepted the e-mail.
    Send,
    /// Any other kind, which has no effect.
    Other,
}

impl Kind {
    /// Returns its name in the metrics.
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

/// E-mail that SES accepted and that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// SES's id of the e-mail.
    pub provider_message_id: String,
    /// Reason code of the failure.
    pub reason: Reason,
}

/// Suppression of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Digest of the address.
    pub digest: Vec<u8>,
    /// Cause of the suppression.
    pub cause: SuppressionCause,
}

/// Parsed message of SES about an e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Kind of the notice.
    pub kind: Kind,
    /// Correction of the delivery, if the e-mail did not arrive.
    pub correction: Option<Correction>,
    /// Addresses to suppress.
    pub suppressions: Vec<Suppression>,
}

/// Reason for which a message is dead-lettered. Never quotes the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The message is not JSON.
    #[error("the message is not JSON")]
    NoJson,
    /// A required field is missing or malformed.
    #[error("{0} is missing or malformed")]
    Field(&'static str),
}

impl Notice {
    /// Parses a message, raw or in SNS's envelope.
    ///
    /// # Errors
    /// [`Unreadable`] if the message can never be parsed.
    pub fn read(body: &str) -> Result<Self, Unreadable> {
        if body.starts_with(GREETING) {
            return Ok(Self::without_effect(Kind::Other));
        }
        let said: Value = serde_json::from_str(body).map_err(|_| Unreadable::NoJson)?;
        match enveloped(&said) {
            // An envelope does not contain another one.
            Some(inner) if inner.starts_with(GREETING) => Ok(Self::without_effect(Kind::Other)),
            Some(inner) => Self::of(&serde_json::from_str(inner).map_err(|_| Unreadable::NoJson)?),
            None => Self::of(&said),
        }
    }

    fn of(said: &Value) -> Result<Self, Unreadable> {
        let kind = kind(said)?;
        let (reason, cause) = match kind {
            Kind::Bounce => (Some(Reason::Bounced), Some(SuppressionCause::Bounce)),
            Kind::Complaint => (rejection_of(said), Some(SuppressionCause::Complaint)),
            Kind::RenderingFailure => (Some(Reason::RenderingFailed), None),
            Kind::Reject => (Some(Reason::RejectedByProvider), None),
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

/// Returns the content of an SNS envelope, `None` if there is no envelope.
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
        // A correction of an earlier complaint (RFC 5965, and the registry of its feedback types).
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

/// Returns the reason code of a complaint about an e-mail that did not arrive. A complaint concerns
/// an e-mail that arrived, unless SES did not send it because of an earlier complaint.
fn rejection_of(said: &Value) -> Option<Reason> {
    let was_not_sent =
        text(said, "/complaint/complaintSubType") == Some("OnAccountSuppressionList");
    was_not_sent.then_some(Reason::RejectedByProvider)
}

fn message_id(said: &Value) -> Result<String, Unreadable> {
    let is_id =
        |id: &&str| !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control);
    let id = text(said, "/mail/messageId").filter(is_id);
    id.map(ToOwned::to_owned).ok_or(Unreadable::Field("mail.messageId"))
}

/// Returns the digests of the affected addresses. Each of our e-mails has one recipient, who is
/// affected even if another address is named: a forwarding mailbox is reported under the address
/// that it forwards to.
fn digests(said: &Value, cause: SuppressionCause) -> Result<BTreeSet<Vec<u8>>, Unreadable> {
    let (list, field) = match cause {
        SuppressionCause::Bounce => ("/bounce/bouncedRecipients", "bounce.bouncedRecipients"),
        SuppressionCause::Complaint => {
            ("/complaint/complainedRecipients", "complaint.complainedRecipients")
        }
    };
    let named = said.pointer(list).and_then(Value::as_array).ok_or(Unreadable::Field(field))?;
    let named = named.iter().filter_map(|recipient| text(recipient, "/emailAddress"));
    let sole = match said.pointer("/mail/destination").and_then(Value::as_array).map(Vec::as_slice)
    {
        Some([only]) => only.as_str(),
        _ => None,
    };
    let addresses = named.chain(sole).map(bare).filter(|address| address.contains('@'));
    let digests: BTreeSet<_> = addresses.map(address_digest).collect();
    if digests.is_empty() { Err(Unreadable::Field(field)) } else { Ok(digests) }
}

/// Returns an address without its owner's name.
fn bare(address: &str) -> &str {
    address.rsplit_once('<').map_or(address, |(_, rest)| rest.trim_end().trim_end_matches('>'))
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests;
