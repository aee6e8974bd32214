//! One attempt, from the last checks before it to its verdict.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared::contract::DeliveryState;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    Finished, Job, Lane, Sender,
    gate::{Change, Sign},
    verdict::{self, Times},
};
use crate::{
    channels::{outcome::Outcome, retry::Policy},
    clock::DbClock,
    delivery::{Address, Delivery, Record, Verdict, reason},
};

/// An attempt starts only while at least this much of the lease is left: it must end before the row is anybody's.
pub(super) const LEAST_LEASE: Duration = Duration::from_secs(20);

/// What every attempt of a lane needs.
pub(super) struct Attempter<S> {
    pub(super) lane: Arc<Lane>,
    pub(super) sender: S,
    pub(super) clock: Arc<DbClock>,
    pub(super) policy: Policy,
    pub(super) records: mpsc::Sender<Finished>,
    pub(super) lateness: metrics::Histogram,
}

impl<S: Sender> Attempter<S> {
    /// Carries a job, which has a slot of the gate, to its verdict.
    pub(super) async fn carry(&self, job: Job) {
        let slot = Slot { lane: &self.lane, is_probe: job.is_probe };
        if job.lease_ends.saturating_duration_since(Instant::now()) < LEAST_LEASE {
            // It waited too long; the row is claimed anew, by whoever comes first.
            metrics::counter!("delivery_leases_lost_total", "channel" => self.lane.channel.as_str()).increment(1);
            self.learn(Sign::None, job.is_probe);
            return;
        }
        let Job { delivery, is_probe, place, .. } = job;
        let (record, sign) = self.attempt(delivery).await;
        self.learn(sign, is_probe);
        drop(slot);
        self.finish(Finished { record, _place: place }).await;
    }

    /// Gives a job back to the ledger, as if it had never been claimed.
    pub(super) async fn give_back(&self, job: Job) {
        let now = self.clock.now();
        if job.is_probe {
            self.learn(Sign::None, true);
        }
        let record = verdict::unattempted(job.delivery, Verdict::Again { at: now, reason: None }, now);
        self.finish(Finished { record, _place: job.place }).await;
    }

    async fn attempt(&self, delivery: Delivery) -> (Record, Sign) {
        let started = self.clock.now();
        let obstacle = match &delivery.address {
            _ if started >= delivery.dispatch.send.expires_at => Some(reason::EXPIRED),
            Address::Gone(reason) => Some(*reason),
            Address::Device { .. } | Address::Mailbox(_) => None,
        };
        if let Some(reason) = obstacle {
            let verdict = verdict::not_made(&delivery, reason);
            return (verdict::unattempted(delivery, verdict, started), Sign::None);
        }
        let span = tracing::info_span!("deliver", occurrence.id = %delivery.key.occurrence_id.simple(), channel = self.lane.channel.as_str());
        if let Some(parent) = delivery.dispatch.traceparent {
            parent.adopt(&span);
        }
        let outcome = self.sender.send(&delivery).instrument(span.clone()).await;
        let times = Times { started, ended: self.clock.now() };
        span.in_scope(|| self.tell(&delivery, &outcome, times));
        verdict::judge(&self.policy, delivery, outcome, times, rand::random())
    }

    fn tell(&self, delivery: &Delivery, outcome: &Outcome, times: Times) {
        let channel = self.lane.channel.as_str();
        metrics::counter!("delivery_attempts_total", "channel" => channel, "outcome" => outcome.class()).increment(1);
        let Some(reason) = outcome.reason() else {
            // What waited for the end of quiet hours was due then.
            let late = times.ended - delivery.deferred_until.unwrap_or(delivery.dispatch.send.due_at);
            return self.lateness.record(late.as_seconds_f64().max(0.0));
        };
        let (class, attempt, device) = (outcome.class(), delivery.attempts + 1, delivery.key.device_id.simple());
        if matches!(outcome, Outcome::Gone { .. } | Outcome::Rejected { .. }) {
            tracing::info!(outcome = class, reason, attempt, device.id = %device, "a delivery failed");
        } else {
            // In an outage there are thousands of them, and each is tried again: the figures tell of it.
            tracing::debug!(outcome = class, reason, attempt, device.id = %device, "an attempt did not deliver");
        }
    }

    fn learn(&self, sign: Sign, is_probe: bool) {
        let channel = self.lane.channel.as_str();
        let change = self.lane.gate().learn(Instant::now(), sign, is_probe);
        match change {
            Change::Same if !is_probe => return,
            Change::Same => {}
            Change::Paused(wait) => {
                tracing::warn!(channel, wait_s = wait.as_secs(), "the provider throttles; the lane pauses")
            }
            Change::Stopped => {
                metrics::counter!("lane_stops_total", "channel" => channel).increment(1);
                tracing::error!(
                    channel,
                    "the lane is stopped: the provider refuses our account, key or settings; the backlog is kept and probed"
                );
            }
            Change::Recovered => tracing::warn!(channel, "the lane sends again"),
        }
        self.lane.turned.notify_one();
        self.lane.slot.notify_one();
    }

    async fn finish(&self, finished: Finished) {
        let channel = self.lane.channel.as_str();
        let state = finished.record.state();
        if state == DeliveryState::Pending && finished.record.started_at.is_some() {
            metrics::counter!("delivery_retries_total", "channel" => channel).increment(1);
        }
        // The recorder outlives the lanes; were it gone, the lease would run out and the row be claimed anew.
        let _ = self.records.send(finished).await;
    }
}

/// A slot of the gate, given back whatever becomes of the attempt.
struct Slot<'a> {
    lane: &'a Lane,
    is_probe: bool,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        {
            let mut gate = self.lane.gate();
            gate.leave();
            if self.is_probe {
                // Only where nothing was learned from it.
                gate.probe_was_lost(Instant::now());
            }
        }
        self.lane.slot.notify_one();
    }
}
