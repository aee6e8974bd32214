//! Claimer: leases due rows of the ledger to this process. These are rows that were written without
//! a permit, retries that are due, and rows whose lease ran out because another process died.

use std::time::{Duration, Instant};

use backoff::Backoff;
use chrono::{DateTime, TimeDelta, Utc};
use contract::Channel;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Job, LEASE, MIN_POSTPONEMENT, ReservedPermits, Sender, Worker, admission::BreakerState,
    is_urgent,
};
use crate::{
    domain::{delivery::Delivery, device::DeviceType},
    store::ledger::{self, Claim, Released},
};

/// Platforms of devices, for their metrics.
const PLATFORMS: [DeviceType; 3] = [DeviceType::Web, DeviceType::Android, DeviceType::Ios];
/// Most rows of one claim.
const CLAIM: usize = 500;
/// Most rows of one claim while a circuit breaker is half-open: one of them may be sent, the others
/// are postponed. There are enough of them that the rows of users who met the failure do not hide
/// those of others.
const PROBE_CLAIM: usize = 200;
/// Wait of a claim for a number of permits, before it makes do with a single one.
const PATIENCE: Duration = Duration::from_millis(50);
/// Pause after a claim that found rows.
const PAUSE: Duration = Duration::from_millis(20);
/// Shortest pause before a claim for which a row is due.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
/// Longest pause after claims that found none.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Pause after a claim: the first after one that found rows, doubled with each that found none.
const BACKOFF: Backoff = Backoff::new(PAUSE, LONGEST_PAUSE);
/// Number of claims in a row without rows after which the claimer is idle.
const IDLE_AFTER: u32 = 8;
/// Longest pause of an idle claimer, which ends when the next known row is due. A retry or a
/// deferral that is written meanwhile and is due earlier waits for its end.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// Pause after an error. It is longer than the pauses of the result writer, so that results of
/// attempts that ended meanwhile are written before the next claim.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// Time between two claims that consider all rows, however long ago they were due.
const FULL_CLAIM_EVERY: Duration = Duration::from_secs(30);
/// Rows may become visible this long after they are due: their transaction took as long.
const LATE_COMMIT: TimeDelta = TimeDelta::seconds(60);
/// Time after an error, or after a start of the database, in which no lease of another process is
/// taken over: a process that sent something meanwhile first writes its result.
const GRACE: Duration = Duration::from_secs(30);

/// State of the claimer between two claims.
struct Progress {
    horizon: Horizon,
    /// Claims in a row that found no rows.
    empty_claims: u32,
    last_error: Option<Instant>,
    /// Leased rows that no process holds: their claim's commit was not answered, or they could not
    /// be postponed.
    released: Vec<Released>,
}

impl Progress {
    /// Time for which the database must have been up before expired leases of other processes are
    /// taken over; `None` if this claim takes over none.
    fn takeover(&self) -> Option<Duration> {
        let is_settled = self.last_error.is_none_or(|error| error.elapsed() >= GRACE);
        is_settled.then_some(GRACE)
    }
}

/// Time before which no due rows are left. A claim that considers all rows also passes over rows
/// that ended lately and could not be vacuumed yet (while a snapshot is held), so most claims start
/// from this time.
struct Horizon {
    known: Option<DateTime<Utc>>,
    full_claim_at: Instant,
}

impl Horizon {
    fn due_since(&self) -> Option<DateTime<Utc>> {
        self.known.filter(|_| self.full_claim_at.elapsed() < FULL_CLAIM_EVERY)
    }

    /// Notes that a claim at `now` that started from `since` found fewer rows than it asked for: no
    /// earlier ones are left.
    fn exhausted(&mut self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        self.known = Some(now - LATE_COMMIT);
        if since.is_none() {
            self.full_claim_at = Instant::now();
        }
    }
}

struct Claimed {
    any: bool,
    is_full: bool,
}

impl<S: Sender> Worker<S> {
    /// Claims until the token is cancelled; a claim under way is finished, so that its rows are
    /// queued or released.
    pub(super) async fn claim(&self, shutdown: &CancellationToken) {
        let horizon = Horizon { known: None, full_claim_at: Instant::now() };
        let mut progress =
            Progress { horizon, empty_claims: 0, last_error: None, released: Vec::new() };
        while !shutdown.is_cancelled() {
            self.export_gauges();
            let wait = self.claim_if_possible(&mut progress, shutdown).await;
            if wait.is_zero() {
                continue;
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.dispatcher.backlog_grew.notified() => {}
                () = self.dispatcher.breaker_changed.notified() => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Claims once if the circuit breakers and the result writer permit it; returns the wait before
    /// the next claim.
    async fn claim_if_possible(
        &self,
        progress: &mut Progress,
        shutdown: &CancellationToken,
    ) -> Duration {
        let (wanted, is_closed) = match self.dispatcher.breaker_state() {
            BreakerState::Closed => (CLAIM, true),
            BreakerState::HalfOpen => (PROBE_CLAIM, false),
            BreakerState::Open(until) => {
                return until.saturating_duration_since(Instant::now()).clamp(PAUSE, AFTER_ERROR);
            }
        };
        if self.result_writer.is_retrying() {
            return LONGEST_PAUSE;
        }
        let permits = tokio::select! {
            permits = self.permits_for(wanted) => permits,
            () = shutdown.cancelled() => return Duration::ZERO,
        };
        match self.claim_once(permits, progress).await {
            Ok(claimed) if claimed.is_full && is_closed => Duration::ZERO,
            Ok(claimed) => {
                progress.empty_claims =
                    if claimed.any { 0 } else { progress.empty_claims.saturating_add(1) };
                let pause = if progress.empty_claims < IDLE_AFTER {
                    BACKOFF.pause(progress.empty_claims.saturating_add(1))
                } else {
                    IDLE_PAUSE
                };
                if claimed.any {
                    return pause;
                }
                // Rows that were released ahead are due soon.
                match ledger::time_until_due(&self.pool, self.dispatcher.channel).await {
                    Ok(until) => until.map_or(pause, |until| until.clamp(LEAST_PAUSE, pause)),
                    Err(error) => self.failed(&error, progress),
                }
            }
            Err(error) => self.failed(&error, progress),
        }
    }

    /// Records a failure; returns the wait before the next claim.
    fn failed(&self, error: &sqlx::Error, progress: &mut Progress) -> Duration {
        progress.last_error = Some(Instant::now());
        tracing::warn!(
            error = %error,
            channel = self.dispatcher.channel.as_str(),
            "claim of due deliveries failed, will retry"
        );
        AFTER_ERROR
    }

    /// Reserves up to `wanted` permits. Waits for a number of them rather than for a single one, as
    /// a claim costs a statement whatever it brings; but not for long, as permits may be held for
    /// as long as a provider does not answer.
    async fn permits_for(&self, wanted: usize) -> ReservedPermits {
        let at_least = (self.dispatcher.capacity / 16).clamp(1, wanted);
        let mut permits = match timeout(PATIENCE, self.dispatcher.acquire(at_least)).await {
            Ok(permits) => permits,
            Err(_) => self.dispatcher.acquire(1).await,
        };
        let at_least = permits.len().max(1);
        permits.merge(self.dispatcher.acquire_free(wanted - at_least));
        permits
    }

    async fn claim_once(
        &self,
        mut permits: ReservedPermits,
        progress: &mut Progress,
    ) -> Result<Claimed, sqlx::Error> {
        self.release(&mut progress.released).await?;
        let limit = permits.len();
        let begun = Instant::now();
        let lease_ends = begun + LEASE;
        let now = self.attempts.clock.now();
        let due_since = progress.horizon.due_since();
        let claim = Claim { limit, due_since, lease: self.takeover, takeover: progress.takeover() };
        // In a transaction, so that the claimed rows are known although the commit may not be
        // answered.
        let mut transaction = self.pool.begin().await?;
        let deliveries: Vec<Delivery> = match self.dispatcher.channel {
            Channel::Push => ledger::claim_pushes(&mut *transaction, claim).await?,
            Channel::Email => ledger::claim_emails(&mut *transaction, claim).await?,
        };
        if let Err(error) = transaction.commit().await {
            progress
                .released
                .extend(deliveries.iter().map(|delivery| Released::of(delivery, None)));
            return Err(error);
        }
        let claimed = Claimed { any: !deliveries.is_empty(), is_full: deliveries.len() >= limit };
        if deliveries.len() < limit {
            progress.horizon.exhausted(due_since, now);
        }
        let (mut jobs, mut excess) = (Vec::with_capacity(deliveries.len()), Vec::new());
        for delivery in deliveries {
            match permits.take(&delivery.dispatch.user_id, is_urgent(&delivery.dispatch)) {
                Ok(permit) => jobs.push(Job { delivery, starts_at: begun, lease_ends, permit }),
                Err(_) => excess.push(delivery),
            }
        }
        self.dispatcher.accept(jobs);
        drop(permits);
        if !excess.is_empty() {
            self.postpone(excess, now, progress).await?;
        }
        Ok(claimed)
    }

    /// Postpones deliveries whose users hold their share of the permits, each until its user's rate
    /// allows it: the next claim finds other users' deliveries.
    async fn postpone(
        &self,
        excess: Vec<Delivery>,
        now: DateTime<Utc>,
        progress: &mut Progress,
    ) -> Result<(), sqlx::Error> {
        let rows: Vec<Released> = excess
            .iter()
            .map(|delivery| {
                let (user, is_urgent) = (&delivery.dispatch.user_id, is_urgent(&delivery.dispatch));
                let start = self.dispatcher.earliest_start(user, is_urgent, 0, now);
                self.dispatcher.charge(user, is_urgent, 1, now);
                let not_before = start.unwrap_or(now).max(now + MIN_POSTPONEMENT);
                Released::of(delivery, Some(not_before))
            })
            .collect();
        let channel = self.dispatcher.channel.as_str();
        metrics::counter!("reminders_deliveries_postponed_total", "channel" => channel)
            .increment(rows.len() as u64);
        if let Err(error) = ledger::release(&self.pool, &rows).await {
            progress.released.extend(rows);
            return Err(error);
        }
        Ok(())
    }

    /// Returns the leases of rows that no process holds.
    async fn release(&self, rows: &mut Vec<Released>) -> Result<(), sqlx::Error> {
        if !rows.is_empty() {
            ledger::release(&self.pool, rows).await?;
            rows.clear();
        }
        Ok(())
    }

    fn export_gauges(&self) {
        let channel = self.dispatcher.channel.as_str();
        let (level, in_flight, paused, open) = {
            let admission = self.dispatcher.admission();
            let open = PLATFORMS.map(|platform| admission.is_platform_open(platform));
            (
                admission.level(Instant::now()),
                admission.in_flight(),
                admission.paused_addresses(),
                open,
            )
        };
        metrics::gauge!("reminders_addresses_paused", "channel" => channel).set(paused as f64);
        if self.dispatcher.channel == Channel::Push {
            for (platform, is_open) in PLATFORMS.into_iter().zip(open) {
                metrics::gauge!(
                    "reminders_push_platform_circuit_breaker_open",
                    "platform" => platform.as_str()
                )
                .set(f64::from(u8::from(is_open)));
            }
        }
        metrics::gauge!("reminders_circuit_breaker_state", "channel" => channel)
            .set(f64::from(level));
        metrics::gauge!("reminders_dispatcher_attempts_in_flight", "channel" => channel)
            .set(in_flight as f64);
        let used = self.dispatcher.capacity - self.dispatcher.permits.available_permits();
        metrics::gauge!("reminders_dispatcher_permits_used", "channel" => channel).set(used as f64);
    }
}
