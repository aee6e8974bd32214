//! Application of events: a batch becomes one transaction of set-based statements.
//!
//! Rows are written in the order of their keys, so that two replicas wait for each other and do not
//! deadlock. A remaining conflict (with a scheduler's marks) is rolled back by the server, and the
//! batch is applied again.

use std::{collections::BTreeMap, sync::Arc};

use contract::Envelope;
use service::{
    consumer::isolation::Attempt,
    outbox::{self, RelayHandle},
};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;

use super::{
    Error,
    change_notifications::{self, Changed},
    record_erasures::{self, Remaining},
    record_outcomes,
};
use crate::{
    domain::incoming::{Effect, Incoming},
    store::{catalogue, occurrences},
};

/// Applies events, each once however often it arrives.
#[derive(Clone)]
pub struct ApplyEvents {
    /// Pool of the notifications database.
    pub pool: PgPool,
    /// Hands published messages to the relay.
    pub relay_handle: RelayHandle,
    /// Notified after each batch that recorded an erasure.
    pub erasure_recorded: Arc<Notify>,
}

impl Attempt for ApplyEvents {
    type Item = Incoming;
    type Error = Error;

    async fn attempt(&self, incoming: &[Incoming]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let Remaining { incoming, is_recorded } =
            record_erasures::record(&mut transaction, incoming).await?;
        let incoming = record_outcomes::drop_known(&mut transaction, incoming).await?;
        let new = add_to_catalogue(&mut transaction, &incoming).await?;
        let Changed { messages, is_due_soon } =
            change_notifications::change(&mut transaction, &new).await?;
        record_outcomes::count(&mut transaction, &new).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        if is_due_soon {
            // The last statement, as others may wait for its row lock.
            occurrences::wake_schedulers(&mut transaction).await?;
        }
        transaction.commit().await?;
        if is_recorded {
            self.erasure_recorded.notify_one();
        }
        metrics::counter!("reminders_events_applied_total").increment(new.len() as u64);
        self.relay_handle.after_commit(messages);
        Ok(())
    }
}

/// Adds events to the catalogue, and returns those that it did not contain. Events that this
/// service published itself are ignored.
async fn add_to_catalogue<'a>(
    connection: &mut PgConnection,
    incoming: &[&'a Incoming],
) -> Result<Vec<&'a Incoming>, sqlx::Error> {
    let others = incoming.iter().copied().filter(|event| !matches!(event.effect, Effect::OwnEvent));
    let by_key: BTreeMap<_, _> =
        others.map(|event| ((event.event.occurred_at, event.event.event_id), event)).collect();
    let events: Vec<&Envelope> = by_key.values().map(|event| &event.event).collect();
    let new = catalogue::insert(connection, &events).await?;
    Ok(new.iter().filter_map(|key| by_key.get(key).copied()).collect())
}
