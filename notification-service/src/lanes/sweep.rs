//! Claims what waits in the ledger: rows for which there was no place, retries that are due, and what a process that died
//! had claimed.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::Channel;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Job, LEASE, Places, Sender, Worker, gate::Turn};
use crate::{
    delivery::Delivery,
    store::ledger::{self, Claim},
};

/// Rows claimed at once at the most.
const CLAIM: usize = 500;
/// The pause after a claim that found something, and the longest after those that found nothing.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// The pause after an error: the recorder, which tries more often, writes first what was sent meanwhile.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often all rows are looked at, however long ago they were due.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(30);
/// Rows may become visible this long after the time they are due at: their transaction took as long.
const LATE_COMMIT: TimeDelta = TimeDelta::seconds(60);

/// Since when there may be due rows. A look at all of them passes over what lately ended and could not be vacuumed yet
/// (somebody holds a snapshot), so it is not made each time.
struct Horizon {
    known: Option<DateTime<Utc>>,
    looked_back: Instant,
}

impl Horizon {
    fn due_since(&self) -> Option<DateTime<Utc>> {
        self.known.filter(|_| self.looked_back.elapsed() < LOOK_BACK_EVERY)
    }

    /// A claim at `now` that started from `since` found fewer than it asked for: nothing earlier is left.
    fn exhausted(&mut self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        self.known = Some(now - LATE_COMMIT);
        if since.is_none() {
            self.looked_back = Instant::now();
        }
    }
}

impl<S: Sender> Worker<S> {
    /// Claims until the token is cancelled; a claim under way is finished, so that its rows are handed on or given back.
    pub(super) async fn sweep(&self, shutdown: &CancellationToken) {
        let mut horizon = Horizon { known: None, looked_back: Instant::now() };
        let mut pause = PAUSE.0;
        while !shutdown.is_cancelled() {
            self.show();
            let wait = self.round(&mut horizon, &mut pause, shutdown).await;
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
    async fn round(&self, horizon: &mut Horizon, pause: &mut Duration, shutdown: &CancellationToken) -> Duration {
        let (wanted, is_probe) = match self.lane.turn() {
            Turn::Open => (CLAIM, false),
            Turn::Probe => (1, true),
            Turn::Closed(until) => return until.saturating_duration_since(Instant::now()).clamp(PAUSE.0, AFTER_ERROR),
        };
        if self.recorder.is_behind() {
            return PAUSE.1;
        }
        let places = tokio::select! {
            places = self.places_for(wanted) => places,
            () = shutdown.cancelled() => return Duration::ZERO,
        };
        match self.claim(places, is_probe, horizon).await {
            Ok(claimed) if claimed.is_full => Duration::ZERO,
            Ok(claimed) => {
                *pause = if claimed.any { PAUSE.0 } else { (*pause * 2).min(PAUSE.1) };
                *pause
            }
            Err(error) => {
                tracing::warn!(error = %error, channel = self.lane.channel.as_str(), "the ledger could not be swept");
                AFTER_ERROR
            }
        }
    }

    /// Waits for a part of the room rather than for a single place: a claim costs a statement, whatever it brings.
    async fn places_for(&self, wanted: usize) -> Places {
        let at_least = (self.lane.size / 16).clamp(1, wanted);
        let mut places = self.lane.places(at_least).await;
        if let (Some(all), Some(more)) = (places.0.as_mut(), self.lane.free_places(wanted - at_least).0) {
            all.merge(more);
        }
        places
    }

    async fn claim(&self, mut places: Places, is_probe: bool, horizon: &mut Horizon) -> Result<Claimed, sqlx::Error> {
        let limit = places.len();
        let lease_ends = Instant::now() + LEASE;
        let now = self.attempter.clock.now();
        let due_since = horizon.due_since();
        let claim = Claim { limit, due_since, lease: LEASE };
        let deliveries: Vec<Delivery> = match self.lane.channel {
            Channel::Push => ledger::claim_pushes(&self.pool, claim).await?,
            Channel::Email => ledger::claim_emails(&self.pool, claim).await?,
        };
        let claimed = Claimed { any: !deliveries.is_empty(), is_full: deliveries.len() >= limit && !is_probe };
        if deliveries.len() < limit {
            horizon.exhausted(due_since, now);
        }
        if is_probe && claimed.any {
            self.lane.gate().probe_starts();
        }
        let jobs = deliveries
            .into_iter()
            .filter_map(|delivery| Some(Job { delivery, lease_ends, is_probe, place: places.take()? }));
        self.lane.accept(jobs);
        Ok(claimed)
    }

    fn show(&self) {
        let channel = self.lane.channel.as_str();
        let (level, in_flight) = {
            let gate = self.lane.gate();
            (gate.level(Instant::now()), gate.in_flight())
        };
        metrics::gauge!("lane_state", "channel" => channel).set(f64::from(level));
        metrics::gauge!("lane_in_flight", "channel" => channel).set(in_flight as f64);
        metrics::gauge!("lane_places_taken", "channel" => channel)
            .set((self.lane.size - self.lane.room.available_permits()) as f64);
    }
}

struct Claimed {
    any: bool,
    is_full: bool,
}
