//! Events that a [`TestService`] published.

use std::time::Duration;

use bus::Settlement;
use contract::{Envelope, EventType, OutcomeData};
use support::wait_until;

use super::{DueOccurrence, EVENT_QUEUE, LIMIT, TestService};

impl TestService {
    /// Waits for an event of a type about an item, and returns it.
    pub(crate) async fn wait_for_event(&self, event_type: EventType, item_id: &str) -> Envelope {
        wait_until(LIMIT, async || {
            self.receive_events().await;
            self.received_events()
                .into_iter()
                .find(|event| event.event_type == event_type && event.item_id.as_str() == item_id)
        })
        .await
    }

    /// Waits for the outcome of an occurrence, and returns it.
    pub(crate) async fn wait_for_outcome(
        &self,
        due: &DueOccurrence,
        event_type: EventType,
    ) -> OutcomeData {
        self.wait_for_event(event_type, due.send.item_id.as_str())
            .await
            .outcome()
            .expect("an outcome")
    }

    /// Returns all events received so far.
    pub(crate) fn received_events(&self) -> Vec<Envelope> {
        self.events.lock().expect("no panic while it is held").values().cloned().collect()
    }

    /// Receives all events in the queue.
    pub(crate) async fn receive_events(&self) {
        let received = self
            .bus
            .receive(EVENT_QUEUE, 500, Duration::from_secs(30), Duration::ZERO)
            .await
            .expect("facts");
        for message in &received {
            let event = Envelope::decode(message).expect("a readable fact");
            self.events.lock().expect("no panic while it is held").insert(event.event_id, event);
        }
        let settlements = received.into_iter().map(|message| (message, Settlement::Done)).collect();
        self.bus.settle(EVENT_QUEUE, settlements).await.expect("settled");
    }
}
