//! Sender of pushes through FCM.

use std::{sync::Arc, time::Instant};

use contract::Reason;

use super::Sender;
use crate::{
    channels::{
        outcome::Outcome,
        push::{Push, PushChannel},
    },
    clock::DbClock,
    domain::delivery::{Address, Delivery},
};

/// Sends pushes.
pub(super) struct PushSender {
    pub(super) channel: Arc<PushChannel>,
    /// Clock of the database; the push's time to live counts from its time.
    pub(super) clock: Arc<DbClock>,
}

impl Sender for PushSender {
    async fn send(&self, delivery: &Delivery, deadline: Instant) -> Outcome {
        let Address::Device { token, device_type, .. } = &delivery.address else {
            return Outcome::Rejected { reason: Reason::NoDevice };
        };
        let send = &delivery.dispatch.send;
        let push = Push {
            occurrence_id: delivery.key.occurrence_id,
            source: &send.source,
            item_id: send.item_id.as_str(),
            title: send.content.title.as_deref(),
            message: &send.content.message,
            url: send.content.url.as_deref(),
            data: &send.content.data,
            priority: send.content.priority,
            date: send.date,
            // A zone that this process's time zone database does not know does not prevent the
            // send.
            time_zone: send.content.time_zone.parse().unwrap_or_default(),
            expires_at: send.expires_at,
            locale: send.content.locale.as_deref(),
        };
        let now = self.clock.now();
        self.channel.send(token.as_str(), *device_type, &push, now, deadline).await
    }
}
