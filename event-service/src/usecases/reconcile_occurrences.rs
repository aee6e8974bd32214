//! Reconciliation of released occurrences that have no outcome: asks notification-service about
//! them, until they have one.
//!
//! Occurrences of a released batch that have no outcome after an hour are moved to `unsettled`, and
//! a command asks notification-service's ledger about each. Rows are read one by one: a row that
//! this binary cannot read, because a newer one wrote it, is postponed alone.

use std::time::Duration;

use contract::Reason;
use service::outbox::OutboxMessage;
use sqlx::PgPool;
use uuid::Uuid;

use super::Error;
use crate::{
    domain::reconcile_command::{UnsettledOccurrence, reconcile_command},
    store::{commands, occurrences, unsettled},
};

/// Largest number of released batches that one transaction processes: up to 500 occurrences each.
const RELEASES: i64 = 40;
/// Largest number of occurrences that one transaction asks about.
const ASKED: i64 = 500;

/// Counts of one reconciliation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// `true` if another replica is reconciling; nothing was done.
    pub busy: bool,
    /// `true` if there may be more to process.
    pub more: bool,
    /// Occurrences that the ledger was asked about.
    pub asked: u64,
    /// Occurrences that had an outcome already.
    pub settled: u64,
    /// Occurrences that were cancelled because their notification no longer exists.
    pub orphaned: u64,
    /// Occurrences that were postponed because this binary cannot read their notification.
    pub unreadable: u64,
}

/// Processes a part of the occurrences that were released longer than `after` ago. For each one
/// without an outcome it writes a command, which the scheduler relays, that asks
/// notification-service for the outcome. The question is repeated after the same time.
///
/// # Errors
/// [`Error`]: nothing was done.
pub async fn reconcile_occurrences(pool: &PgPool, after: Duration) -> Result<Reconciled, Error> {
    let mut transaction = pool.begin().await?;
    if !unsettled::try_lock(&mut transaction).await? {
        return Ok(Reconciled { busy: true, ..Reconciled::default() });
    }
    let batches = unsettled::move_released(&mut transaction, after, RELEASES).await?;
    let due = unsettled::due(&mut transaction, ASKED).await?;
    unsettled::delete(&mut transaction, &due.settled).await?;
    let gone = Reason::NotificationGone;
    occurrences::cancel_released(&mut transaction, &due.orphaned, gone).await?;
    unsettled::delete(&mut transaction, &due.orphaned).await?;
    let questions: Vec<OutboxMessage> = due.open.iter().filter_map(question).collect();
    commands::insert(&mut transaction, &questions).await?;
    let ids: Vec<Uuid> = due.open.iter().map(|occurrence| occurrence.id).collect();
    unsettled::postpone(&mut transaction, &ids, after).await?;
    transaction.commit().await?;
    Ok(Reconciled {
        busy: false,
        more: batches == RELEASES || due.count() as i64 == ASKED,
        asked: questions.len() as u64,
        settled: due.settled.len() as u64,
        orphaned: due.orphaned.len() as u64,
        unreadable: (due.open.len() - questions.len()) as u64,
    })
}

/// Builds the command that asks about an occurrence. Returns `None` for a row that this binary
/// cannot read, which is counted and logged.
fn question(unsettled: &UnsettledOccurrence) -> Option<OutboxMessage> {
    let command = reconcile_command(unsettled).and_then(|command| Ok(OutboxMessage::of(&command)?));
    match command {
        Ok(command) => Some(command),
        Err(error) => {
            metrics::counter!("reminders_unreadable_rows_total", "table" => "notifications")
                .increment(1);
            tracing::error!(
                error = &error as &dyn std::error::Error,
                occurrence.id = %unsettled.id.simple(),
                "notification is unreadable by this version, reconciliation of its occurrence is \
                 postponed"
            );
            None
        }
    }
}
