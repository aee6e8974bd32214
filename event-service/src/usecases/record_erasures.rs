//! Record of erasures: records those of a batch, and drops late events of erased users.
//!
//! Nothing waits for an erasure: it is recorded in the transaction of its batch, and
//! [`super::erase_user`] deletes the user's rows afterwards. That use case waits for a batch which
//! read `erased_users` too early to see the erasure, by the number of the batch's transaction, so
//! each batch takes that number before it reads (ADR 13).

use contract::ItemId;
use service::outbox::OutboxMessage;
use sqlx::PgConnection;

use super::Error;
use crate::{
    domain::{
        erasure::{erasure_command, precedes_erasure},
        incoming::{Effect, Incoming},
    },
    store::{commands, erased_users},
};

/// A batch without its erasures and without events that precede an erasure.
pub(super) struct Remaining<'a> {
    /// Events that are still to be applied.
    pub(super) incoming: Vec<&'a Incoming>,
    /// `true` if an erasure was recorded whose rows are to be deleted.
    pub(super) is_recorded: bool,
}

/// Records the erasures of a batch, and returns the events that are still to be applied.
pub(super) async fn record<'a>(
    connection: &mut PgConnection,
    incoming: &'a [Incoming],
) -> Result<Remaining<'a>, Error> {
    // Before `erased_users` is read: see the module's description.
    erased_users::assign_transaction_id(connection).await?;
    let mut is_recorded = false;
    for event in incoming {
        if let Effect::Erasure { receipt } = &event.effect {
            is_recorded |= record_one(connection, event, receipt).await?;
        }
    }
    let users: Vec<&str> = incoming.iter().map(|event| event.event.user_id.as_str()).collect();
    let erased = erased_users::erased_among(connection, &users).await?;
    let precedes = |event: &Incoming| {
        let erased_at = erased.get(event.event.user_id.as_str());
        erased_at.is_some_and(|erased_at| precedes_erasure(event, *erased_at))
    };
    let remains =
        |event: &&Incoming| !matches!(event.effect, Effect::Erasure { .. }) && !precedes(event);
    let remaining: Vec<&Incoming> = incoming.iter().filter(remains).collect();
    metrics::counter!("reminders_events_of_erased_users_total")
        .increment((incoming.len() - remaining.len()) as u64);
    Ok(Remaining { incoming: remaining, is_recorded })
}

/// Records an erasure with the command for notification-service. Returns `false` if the erasure is
/// known, or older than the recorded one.
async fn record_one(
    connection: &mut PgConnection,
    event: &Incoming,
    receipt: &ItemId,
) -> Result<bool, Error> {
    erased_users::exclude_batches_of_2_0(connection).await?;
    let envelope = &event.event;
    let is_recorded =
        erased_users::record(connection, &envelope.user_id, envelope.occurred_at, receipt).await?;
    if is_recorded {
        let command = OutboxMessage::of(&erasure_command(event, receipt))?;
        commands::insert(connection, &[command]).await?;
    }
    Ok(is_recorded)
}
