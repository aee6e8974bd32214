//! The lane of pushes speaks to FCM.

use std::sync::Arc;

use super::Sender;
use crate::{
    channels::{
        fcm::{Fcm, payload::Push},
        outcome::Outcome,
    },
    delivery::{Address, Delivery},
};

/// Sends pushes.
pub(super) struct PushSender(pub(super) Arc<Fcm>);

impl Sender for PushSender {
    async fn send(&self, delivery: &Delivery) -> Outcome {
        let Address::Device { token, device_type, .. } = &delivery.address else {
            return Outcome::Rejected { reason: "NOT_A_DEVICE".into() };
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
            // A zone that this build's tz database does not know is no reason not to send.
            time_zone: send.content.time_zone.parse().unwrap_or(chrono_tz::UTC),
            expires_at: send.expires_at,
            locale: send.content.locale.as_deref(),
        };
        self.0.send(token.as_str(), *device_type, &push).await
    }
}
