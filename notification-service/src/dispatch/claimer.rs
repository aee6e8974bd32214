//! Claims what waits in the ledger: rows for which there was no place, retries that are due, and
//! what a process that died had claimed.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::Channel;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Job, LEASE, PUT_OFF, Places, Sender, Worker, admission::Turn, is_urgent};
use crate::{
    delivery::Delivery,
    device::DeviceType,
    store::ledger::{self, Claim, Released},
};

/// The platforms of devices, for their gauges.
const PLATFORMS: [DeviceType; 3] = [DeviceType::Web, DeviceType::Android, DeviceType::Ios];
/// Rows claimed at once at the most.
const CLAIM: usize = 500;
/// Rows claimed at once by a channel that probes: one of them may be sent, the others are held. So
/// many that what users who met the trouble have due does not hide what others have.
const PROBE_CLAIM: usize = 200;
/// The wait of a claim for a part of the room, before it makes do with a single place.
const PATIENCE: Duration = Duration::from_millis(50);
/// The pause after a claim that found something, and the longest after those that found nothing.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// The pause after an error: the recorder, which tries more often, writes first what was sent
/// meanwhile.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often all rows are looked at, however long ago they were due.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(30);
/// Rows may become visible this long after the time they are due at: their transaction took as
/// long.
const LATE_COMMIT: TimeDelta = TimeDelta::seconds(60);

/// For how long after an error of its own, or a start of the database, nobody's lease is taken
/// over: whoever sent something meanwhile records it first.
const GRACE: Duration = Duration::from_secs(30);

/// What a sweep knows from one claim to the next.
struct Progress {
    horizon: Horizon,
    pause: Duration,
    last_error: Option<Instant>,
    /// Rows that were claimed by a commit that was not answered, or that could not be put off:
    /// nobody holds them.
    released: Vec<Released>,
}

impl Progress {
    /// Whether leases that ran out are taken over, and how long the database must have been up for
    /// it.
    fn takeover(&self) -> Option<Duration> {
        let is_settled = self.last_error.is_none_or(|error| error.elapsed() >= GRACE);
        is_settled.then_some(GRACE)
    }
}

/// Since when there may be due rows. A look at all of them passes over what lately ended and could
/// not be vacuumed yet (somebody holds a snapshot), so it is not made each time.
struct Horizon {
    known: Option<DateTime<Utc>>,
    looked_back: Instant,
}

impl Horizon {
    fn due_since(&self) -> Option<DateTime<Utc>> {
        self.known.filter(|_| self.looked_back.elapsed() < LOOK_BACK_EVERY)
    }

    /// A claim at `now` that started from `since` found fewer than it asked for: nothing earlier is
    /// left.
    fn exhausted(&mut self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        self.known = Some(now - LATE_COMMIT);
        if since.is_none() {
            self.looked_back = Instant::now();
        }
    }
}

impl<S: Sender> Worker<S> {
    /// Claims until the token is cancelled; a claim under way is finished, so that its rows are
    /// handed on or given back.
    pub(super) async fn sweep(&self, shutdown: &CancellationToken) {
        let horizon = Horizon { known: None, looked_back: Instant::now() };
        let mut progress =
            Progress { horizon, pause: PAUSE.0, last_error: None, released: Vec::new() };
        while !shutdown.is_cancelled() {
            self.show();
            let wait = self.round(&mut progress, shutdown).await;
            if wait.is_zero() {
                continue;
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.lane.waiting.notified() => {}
                () = self.lane.turned.notified() => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// One look at the gate, the room and the ledger; how long to wait before the next.
    async fn round(&self, progress: &mut Progress, shutdown: &CancellationToken) -> Duration {
        let (wanted, is_open) = match self.lane.turn() {
            Turn::Open => (CLAIM, true),
            Turn::Probe => (PROBE_CLAIM, false),
            Turn::Closed(until) => {
                return until.saturating_duration_since(Instant::now()).clamp(PAUSE.0, AFTER_ERROR);
            }
        };
        if self.recorder.is_behind() {
            return PAUSE.1;
        }
        let places = tokio::select! {
            places = self.places_for(wanted) => places,
            () = shutdown.cancelled() => return Duration::ZERO,
        };
        match self.claim(places, progress).await {
            Ok(claimed) if claimed.is_full && is_open => Duration::ZERO,
            Ok(claimed) => {
                progress.pause =
                    if claimed.any { PAUSE.0 } else { (progress.pause * 2).min(PAUSE.1) };
                progress.pause
            }
            Err(error) => {
                progress.last_error = Some(Instant::now());
                tracing::warn!(
                    error = %error,
                    channel = self.lane.channel.as_str(),
                    "claim of due deliveries failed, will retry"
                );
                AFTER_ERROR
            }
        }
    }

    /// Waits for a part of the room rather than for a single place: a claim costs a statement,
    /// whatever it brings. But not for long: what is taken may be held for as long as a provider
    /// does not answer.
    async fn places_for(&self, wanted: usize) -> Places {
        let at_least = (self.lane.size / 16).clamp(1, wanted);
        let mut places = match timeout(PATIENCE, self.lane.places(at_least)).await {
            Ok(places) => places,
            Err(_) => self.lane.places(1).await,
        };
        let at_least = places.len().max(1);
        let more = self.lane.free_places(wanted - at_least).permits;
        if let (Some(all), Some(more)) = (places.permits.as_mut(), more) {
            all.merge(more);
        }
        places
    }

    async fn claim(
        &self,
        mut places: Places,
        progress: &mut Progress,
    ) -> Result<Claimed, sqlx::Error> {
        self.release(&mut progress.released).await?;
        let limit = places.len();
        let lease_ends = Instant::now() + LEASE;
        let now = self.attempter.clock.now();
        let due_since = progress.horizon.due_since();
        let claim = Claim { limit, due_since, lease: self.takeover, takeover: progress.takeover() };
        // In a transaction, so that what it claimed is known although the commit may not be
        // answered.
        let mut transaction = self.pool.begin().await?;
        let deliveries: Vec<Delivery> = match self.lane.channel {
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
            match places.take(&delivery.dispatch.user_id, is_urgent(&delivery.dispatch)) {
                Ok(place) => jobs.push(Job { delivery, lease_ends, place }),
                Err(_) => excess.push(delivery),
            }
        }
        self.lane.accept(jobs);
        drop(places);
        if !excess.is_empty() {
            self.put_off(excess, now, progress).await?;
        }
        Ok(claimed)
    }

    /// Puts deliveries off whose users have their share of the lane, each to its turn: what others
    /// have due is claimed next.
    async fn put_off(
        &self,
        excess: Vec<Delivery>,
        now: DateTime<Utc>,
        progress: &mut Progress,
    ) -> Result<(), sqlx::Error> {
        let rows: Vec<Released> = excess
            .iter()
            .map(|delivery| {
                let (user, is_urgent) = (&delivery.dispatch.user_id, is_urgent(&delivery.dispatch));
                let turn = self.lane.user_turn(user, is_urgent, 0, now);
                self.lane.charge(user, is_urgent, 1, now);
                Released::of(delivery, Some(turn.unwrap_or(now).max(now + PUT_OFF)))
            })
            .collect();
        metrics::counter!(
            "reminders_deliveries_postponed_total",
            "channel" => self.lane.channel.as_str()
        )
        .increment(rows.len() as u64);
        if let Err(error) = ledger::release(&self.pool, &rows).await {
            progress.released.extend(rows);
            return Err(error);
        }
        Ok(())
    }

    /// Gives back rows that nobody holds although they are leased.
    async fn release(&self, rows: &mut Vec<Released>) -> Result<(), sqlx::Error> {
        if !rows.is_empty() {
            ledger::release(&self.pool, rows).await?;
            rows.clear();
        }
        Ok(())
    }

    fn show(&self) {
        let channel = self.lane.channel.as_str();
        let (level, in_flight, paused, stopped) = {
            let gate = self.lane.gate();
            let stopped = PLATFORMS.map(|platform| gate.is_stopped(platform));
            (gate.level(Instant::now()), gate.in_flight(), gate.paused_addresses(), stopped)
        };
        metrics::gauge!("reminders_addresses_paused", "channel" => channel).set(paused as f64);
        if self.lane.channel == Channel::Push {
            for (platform, stopped) in PLATFORMS.into_iter().zip(stopped) {
                metrics::gauge!(
                    "reminders_push_platform_circuit_breaker_open",
                    "platform" => platform.as_str()
                )
                .set(f64::from(u8::from(stopped)));
            }
        }
        metrics::gauge!("reminders_circuit_breaker_state", "channel" => channel)
            .set(f64::from(level));
        metrics::gauge!("reminders_dispatcher_attempts_in_flight", "channel" => channel)
            .set(in_flight as f64);
        metrics::gauge!("reminders_dispatcher_permits_used", "channel" => channel)
            .set((self.lane.size - self.lane.room.available_permits()) as f64);
    }
}

struct Claimed {
    any: bool,
    is_full: bool,
}
