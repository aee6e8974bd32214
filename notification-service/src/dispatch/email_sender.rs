//! Sender of e-mails through SES.

use std::{sync::Arc, time::Instant};

use contract::Reason;

use super::Sender;
use crate::{
    channels::{
        email::{Email, Ses},
        outcome::Outcome,
    },
    domain::delivery::{Address, Delivery},
};

/// Sends e-mails.
pub(super) struct EmailSender(pub(super) Arc<Ses>);

impl Sender for EmailSender {
    async fn send(&self, delivery: &Delivery, _deadline: Instant) -> Outcome {
        let Address::Mailbox(to) = &delivery.address else {
            return Outcome::Rejected { reason: Reason::NoAddress };
        };
        let send = &delivery.dispatch.send;
        let email = Email {
            occurrence_id: delivery.key.occurrence_id,
            to,
            title: send.content.title.as_deref(),
            message: &send.content.message,
            url: send.content.url.as_deref(),
            date: send.date,
            // A zone that this process's time zone database does not know does not prevent the
            // send.
            time_zone: send.content.time_zone.parse().unwrap_or_default(),
            locale: send.content.locale.as_deref(),
        };
        self.0.send(&email).await
    }
}
