//! Acceptance of released occurrences: writes them with their deliveries to the ledger, and hands
//! deliveries with a permit to the dispatchers.
//!
//! An occurrence that was revised on its way here is written in its newest version; one whose user
//! was erased is not written.

mod ledger_batch;
mod missed_occurrences;
mod outage_delay;
mod plan;
mod planned_deliveries;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{Channel, DeliveryState};
use service::{
    consumer::isolation::Attempt,
    outbox::{self, RelayHandle},
};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Error, revise_pending_deliveries};
use crate::{
    clock::DbClock,
    dispatch::{Dispatchers, LEASE, is_urgent},
    domain::delivery::{DeliveryKey, Dispatch},
    store::{intake, pending_deliveries, revisions},
};
use ledger_batch::{LedgerBatch, Reservations};
use missed_occurrences::{missed, series_of};
pub use outage_delay::Interruptions;
use plan::PlannedOccurrence;
use planned_deliveries::InitialState;

/// Most ledger rows that one transaction writes, unless a single occurrence has more.
const MAX_ROWS: usize = 2_000;

/// Rows leased by a transaction of this process whose commit was not answered: their occurrences
/// and their own ids.
type DoubtfulRows = HashSet<(Uuid, Uuid)>;

/// Writes occurrences and their deliveries.
pub struct AcceptOccurrences {
    /// Pool of the devices database.
    pub pool: PgPool,
    /// Clock of the database.
    pub clock: Arc<DbClock>,
    /// Hands published messages to the relay.
    pub relay_handle: RelayHandle,
    /// Dispatchers that send deliveries at once.
    pub dispatchers: Dispatchers,
    /// Outages after which an occurrence may have been changed on its way.
    pub interruptions: Interruptions,
    /// Most devices of one user that are sent to, the most recently seen first.
    pub max_devices: usize,
    /// Time after which other processes take over rows that are written as leased.
    pub takeover: Duration,
}

/// Writes the occurrences of one batch, a bounded number of ledger rows in each transaction.
pub(crate) struct AcceptBatch<'a> {
    accept: &'a AcceptOccurrences,
    /// Rows that earlier attempts left in doubt.
    doubtful: Mutex<DoubtfulRows>,
}

impl<'a> AcceptBatch<'a> {
    pub(crate) fn new(accept: &'a AcceptOccurrences) -> Self {
        Self { accept, doubtful: Mutex::default() }
    }
}

impl Attempt for AcceptBatch<'_> {
    type Item = Dispatch;
    type Error = Error;

    async fn attempt(&self, dispatches: &[Dispatch]) -> Result<(), Error> {
        let mut doubtful = self.doubtful.lock().await;
        let mut rest = dispatches;
        while !rest.is_empty() {
            let taken = self.accept.accept_first(rest, &mut doubtful).await?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }
}

impl AcceptOccurrences {
    /// Writes the first of some occurrences with their deliveries, up to [`MAX_ROWS`] rows; returns
    /// their number. Revisions and erasures that supersede one of them are looked up in the
    /// transaction, where they cannot change any more; the occurrences are then planned again.
    async fn accept_first(
        &self,
        dispatches: &[Dispatch],
        doubtful: &mut DoubtfulRows,
    ) -> Result<usize, Error> {
        // Its time decides when an occurrence that was released ahead is due.
        self.clock.observe_once(&self.pool).await?;
        let mut superseded = HashMap::new();
        loop {
            let mut plan = self.plan(dispatches, &superseded).await?;
            let any_delayed = self.delay(&mut plan.occurrences);
            if plan.occurrences.is_empty() {
                return Ok(plan.taken);
            }
            let reservations = self.reserve(&plan.occurrences).await;
            // Leases are counted from the transaction's beginning, so no later than from here.
            let lease_ends = Instant::now() + LEASE;
            let mut transaction = self.pool.begin().await?;
            revisions::share_intake(&mut *transaction).await?;
            let planned: Vec<&Dispatch> =
                plan.occurrences.iter().map(|(dispatch, _)| &**dispatch).collect();
            let mut found = revisions::superseding(&mut *transaction, &planned).await?;
            // A cancellation supersedes its own version too, which the plan already considers.
            found.retain(|occurrence, now| superseded.get(occurrence) != Some(now));
            if found.is_empty() {
                let occurrences = &plan.occurrences;
                self.write(transaction, occurrences, reservations, lease_ends, doubtful).await?;
                self.interruptions.wrote(any_delayed, Instant::now());
                return Ok(plan.taken);
            }
            transaction.rollback().await?;
            superseded.extend(found);
        }
    }

    async fn write(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        planned: &[PlannedOccurrence],
        mut reservations: Reservations,
        lease_ends: Instant,
        doubtful: &mut DoubtfulRows,
    ) -> Result<(), Error> {
        let rows: Vec<&Dispatch> = planned.iter().map(|(dispatch, _)| &**dispatch).collect();
        let new = intake::insert_dispatches(&mut transaction, &rows).await?;
        let mut batch = LedgerBatch::begin(&self.clock, lease_ends);
        let new_ones =
            || planned.iter().filter(|(dispatch, _)| new.contains(&dispatch.occurrence_id()));
        let missed = self.end_missed(&mut transaction, new_ones(), &mut batch).await?;
        for (dispatch, deliveries) in new_ones() {
            for delivery in deliveries {
                let is_missed = missed.contains(&delivery.key);
                batch.add(dispatch, delivery, is_missed, &mut reservations)?;
            }
        }
        if !new.is_empty() {
            intake::insert_deliveries(&mut transaction, &batch.rows, self.takeover).await?;
            outbox::insert(&mut *transaction, &batch.messages).await?;
        }
        if !doubtful.is_empty() {
            let released = intake::release(&mut transaction, doubtful).await?;
            (batch.pushes_wait, batch.emails_wait) =
                (batch.pushes_wait || released > 0, batch.emails_wait || released > 0);
        }
        if let Err(error) = transaction.commit().await {
            let leased = batch.rows.iter().filter(|row| row.leased);
            doubtful.extend(leased.map(|row| (row.key.occurrence_id, row.id)));
            return Err(error.into());
        }
        doubtful.clear();
        self.charge(planned, &new);
        self.hand_over(batch);
        Ok(())
    }

    /// Returns the deferred deliveries that a later occurrence of the same item replaces. Those
    /// that were written before end now, and the batch reports them.
    async fn end_missed<'a>(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        planned: impl Iterator<Item = &'a PlannedOccurrence>,
        batch: &mut LedgerBatch<'_>,
    ) -> Result<HashSet<DeliveryKey>, Error> {
        let mut deferred = Vec::new();
        for (dispatch, deliveries) in planned {
            for delivery in deliveries {
                if matches!(delivery.state, InitialState::Deferred(_)) {
                    let series = series_of(dispatch, delivery.key.channel);
                    deferred.push((series, dispatch.send.due_at, delivery.key));
                }
            }
        }
        let items: HashSet<_> =
            deferred.iter().map(|((user, source, item, _), ..)| (*user, *source, *item)).collect();
        if items.is_empty() {
            return Ok(HashSet::new());
        }
        let items: Vec<_> = items.into_iter().collect();
        let users: Vec<&str> = items.iter().map(|item| item.0).collect();
        pending_deliveries::hold_deferring(&mut **transaction, &users).await?;
        let stored = pending_deliveries::deferred_of_items(&mut *transaction, &items).await?;
        let known = stored.iter().map(|pending| {
            let dispatch = &pending.dispatch;
            (series_of(dispatch, pending.key.channel), dispatch.send.due_at, pending.key)
        });
        let missed = missed(deferred.into_iter().chain(known));
        let stored: Vec<_> =
            stored.iter().filter(|pending| missed.contains(&pending.key)).cloned().collect();
        let now = self.clock.now();
        let messages =
            revise_pending_deliveries::end_missed(&mut *transaction, &stored, now).await?;
        batch.messages.extend(messages);
        Ok(missed)
    }

    /// Counts the deliveries that were written against their users' rates.
    fn charge(&self, planned: &[PlannedOccurrence], new: &HashSet<Uuid>) {
        let now = self.clock.now();
        let is_new = |(dispatch, _): &&PlannedOccurrence| new.contains(&dispatch.occurrence_id());
        for (dispatch, deliveries) in planned.iter().filter(is_new) {
            for channel in [Channel::Push, Channel::Email] {
                let pending = deliveries
                    .iter()
                    .filter(|delivery| delivery.key.channel == channel)
                    .filter(|delivery| delivery.state == InitialState::Pending)
                    .count();
                if pending > 0 {
                    let pending = u32::try_from(pending).unwrap_or(u32::MAX);
                    let dispatcher = self.dispatchers.of(channel);
                    dispatcher.charge(&dispatch.user_id, is_urgent(dispatch), pending, now);
                }
            }
        }
    }

    /// Hands the jobs and messages of a committed batch to the dispatchers and the relay.
    fn hand_over(&self, batch: LedgerBatch<'_>) {
        for (channel, jobs, has_backlog) in [
            (Channel::Push, batch.pushes, batch.pushes_wait),
            (Channel::Email, batch.emails, batch.emails_wait),
        ] {
            let dispatcher = self.dispatchers.of(channel);
            dispatcher.accept(jobs);
            if has_backlog {
                dispatcher.notify_backlog();
            }
        }
        for row in batch.rows.iter().filter(|row| row.state != DeliveryState::Pending) {
            let (channel, state) = (row.key.channel.as_str(), row.state.as_str());
            metrics::counter!("reminders_deliveries_total", "channel" => channel, "state" => state)
                .increment(1);
        }
        self.relay_handle.after_commit(batch.messages);
    }
}
