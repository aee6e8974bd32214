//! Republishes reminders that event-service does not have as they are.

use std::collections::HashMap;

use contract::OutOfBounds;
use service::outbox::{self, OutboxMessage, WriteError};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{
        reconciliation::{Difference, Kind},
        reminder::Reminder,
    },
    store::reconciliation,
};

/// Differences that are repaired by one round of statements.
const BATCH: usize = 500;

/// Numbers of reminders by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Republished {
    /// Reminders with an event `reminder:updated`.
    pub updated: usize,
    /// Reminders with an event `reminder:deleted`.
    pub deleted: usize,
    /// Reminders that were deleted, or created, since the comparison: their own events follow.
    pub changed: usize,
    /// Reminders whose event cannot be written.
    pub failed: usize,
}

/// Reason that the event of a reminder cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// This version cannot read the reminder.
    #[error(transparent)]
    Unreadable(#[from] sqlx::Error),
    /// A field is outside of the bounds that the other services accept.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// The bus never accepts the message.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Receiver of the progress of a run.
pub trait Progress {
    /// A number of further differences is done.
    fn done(&mut self, differences: usize);

    /// The event of a reminder cannot be written; the others are.
    fn failed(&mut self, id: Uuid, problem: &Problem);
}

/// Writes the events that repair differences to the outbox, a batch in each transaction, so that no
/// reminder stays locked for the whole run. The relay of any process of the service publishes
/// them. A dry run counts them and changes nothing.
///
/// # Errors
/// If a statement fails. Finished batches are written; a repeated run does no harm.
pub async fn republish_reminders<P: Progress + Send>(
    pool: &PgPool,
    differences: &[Difference],
    is_dry_run: bool,
    progress: &mut P,
) -> Result<Republished, Error> {
    let mut run = Run { is_dry_run, counts: Republished::default(), progress };
    for batch in differences.chunks(BATCH) {
        let mut transaction = pool.begin().await?;
        let (unknown, known): (Vec<&Difference>, Vec<&Difference>) =
            batch.iter().partition(|difference| difference.kind == Kind::Unknown);
        run.update(&mut transaction, &known).await?;
        run.delete(&mut transaction, &unknown).await?;
        transaction.commit().await?;
        run.progress.done(batch.len());
    }
    Ok(run.counts)
}

struct Run<'a, P> {
    is_dry_run: bool,
    counts: Republished,
    progress: &'a mut P,
}

impl<P: Progress + Send> Run<'_, P> {
    /// Raises the versions of reminders where event-service needs it, and writes their events.
    async fn update(
        &mut self,
        connection: &mut PgConnection,
        differences: &[&Difference],
    ) -> Result<(), Error> {
        if differences.is_empty() {
            return Ok(());
        }
        let raised: Vec<_> = differences
            .iter()
            .filter_map(|difference| {
                Some((difference.id, difference.user_id.as_str(), difference.needed_version()?))
            })
            .collect();
        if !self.is_dry_run && !raised.is_empty() {
            reconciliation::raise_versions(connection, &raised).await?;
        }
        let by_id: HashMap<Uuid, &Difference> =
            differences.iter().map(|difference| (difference.id, *difference)).collect();
        let (ids, user_ids): (Vec<Uuid>, Vec<String>) =
            by_id.values().map(|difference| (difference.id, difference.user_id.clone())).unzip();
        let now = reconciliation::transaction_time(&mut *connection).await?;
        let reminders = reconciliation::get_many(&mut *connection, &ids, &user_ids).await?;
        self.counts.changed += by_id.len() - reminders.len();
        let mut messages = Vec::with_capacity(reminders.len());
        for (id, reminder) in reminders {
            let Some(difference) = by_id.get(&id) else { continue };
            let message = reminder.map_err(Problem::from).and_then(|reminder: Reminder| {
                Ok(OutboxMessage::checked(&difference.updated(&reminder, now)?)?)
            });
            self.collect(&mut messages, id, message);
        }
        self.counts.updated += messages.len();
        self.write(connection, &messages).await
    }

    /// Writes the events of reminders that do not exist.
    async fn delete(
        &mut self,
        connection: &mut PgConnection,
        differences: &[&Difference],
    ) -> Result<(), Error> {
        if differences.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = differences.iter().map(|difference| difference.id).collect();
        let now = reconciliation::transaction_time(&mut *connection).await?;
        let existing = reconciliation::existing(&mut *connection, &ids).await?;
        self.counts.changed += existing.len();
        let mut messages = Vec::with_capacity(differences.len());
        for difference in differences {
            if !existing.contains(&difference.id) {
                let message = OutboxMessage::checked(&difference.deleted(now));
                self.collect(&mut messages, difference.id, message.map_err(Problem::from));
            }
        }
        self.counts.deleted += messages.len();
        self.write(connection, &messages).await
    }

    fn collect(
        &mut self,
        messages: &mut Vec<OutboxMessage>,
        id: Uuid,
        message: Result<OutboxMessage, Problem>,
    ) {
        match message {
            Ok(message) => messages.push(message),
            Err(problem) => {
                self.counts.failed += 1;
                self.progress.failed(id, &problem);
            }
        }
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        messages: &[OutboxMessage],
    ) -> Result<(), Error> {
        if !self.is_dry_run {
            outbox::insert_unleased(connection, messages).await?;
        }
        Ok(())
    }
}
