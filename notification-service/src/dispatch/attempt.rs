//! One attempt, from the last checks before it to its verdict.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared::contract::DeliveryState;
use tokio::{sync::mpsc, time::timeout_at};
use tracing::Instrument;

use super::{
    Finished, Job, Lane, Sender,
    admission::{Change, Charge, Hold, Ticket},
    deleted_devices::Departures,
    delivery_result::{self as verdict, Times},
    recalls::Recalls,
    send_budget::Budget,
};
use crate::{
    channels::{outcome::Outcome, retry::Policy},
    clock::DbClock,
    delivery::{Address, Delivery, Record, reason},
};

/// An attempt starts only while at least this much of the lease is left: it must end before the row
/// is anybody's.
const LEAST_LEASE: Duration = Duration::from_secs(20);
/// What of the lease is left for its outcome to be recorded: the attempt is cut off before.
const MARGIN: Duration = Duration::from_secs(2);

/// What every attempt of a lane needs.
pub(super) struct Attempter<S> {
    pub(super) lane: Arc<Lane>,
    pub(super) sender: S,
    pub(super) clock: Arc<DbClock>,
    pub(super) policy: Policy,
    pub(super) records: mpsc::Sender<Finished>,
    pub(super) lateness: metrics::Histogram,
    pub(super) budget: Arc<Budget>,
    pub(super) departures: Arc<Departures>,
    pub(super) recalls: Arc<Recalls>,
}

/// Whether enough of a job's lease is left for an attempt.
pub(super) fn has_time(job: &Job) -> bool {
    job.lease_ends.saturating_duration_since(Instant::now()) >= LEAST_LEASE
}

impl<S: Sender> Attempter<S> {
    /// Carries a job, which has a slot of the gate, to its verdict.
    pub(super) async fn carry(&self, job: Job, slot: Slot) {
        if !has_time(&job) {
            drop(slot);
            return self.lease_was_lost(job).await;
        }
        if self.recalls.concern(&job.delivery) {
            drop(slot);
            let channel = self.lane.channel.as_str();
            metrics::counter!("reminders_deliveries_recalled_total", "channel" => channel)
                .increment(1);
            return self.give_back(job).await;
        }
        let Job { delivery, lease_ends, place, .. } = job;
        let record = self.attempt(delivery, lease_ends, &slot.ticket).await;
        drop(slot);
        self.finish(Finished { record, _place: place }).await;
    }

    /// Gives back a job that waited in memory for too long: whoever comes first claims it anew.
    pub(super) async fn lease_was_lost(&self, job: Job) {
        metrics::counter!(
            "reminders_delivery_leases_expired_total",
            "channel" => self.lane.channel.as_str()
        )
        .increment(1);
        self.give_back(job).await;
    }

    /// Gives a job back to the ledger, as if it had never been claimed.
    pub(super) async fn give_back(&self, job: Job) {
        self.hold(job, Hold::default()).await;
    }

    /// Gives a job back to the ledger, which may not be attempted for a while.
    pub(super) async fn hold(&self, job: Job, hold: Hold) {
        let record =
            verdict::held(&self.policy, job.delivery, hold, self.clock.now(), rand::random());
        self.finish(Finished { record, _place: job.place }).await;
    }

    async fn attempt(&self, delivery: Delivery, lease_ends: Instant, ticket: &Ticket) -> Record {
        let started = self.clock.now();
        let obstacle = match &delivery.address {
            _ if started >= delivery.dispatch.send.expires_at => Some(reason::EXPIRED),
            Address::Gone(reason) => Some(*reason),
            Address::Device { .. } if self.departures.contains(delivery.key.device_id) => {
                Some(reason::DEVICE_GONE)
            }
            Address::Device { .. } | Address::Mailbox(_) => None,
        };
        if let Some(reason) = obstacle {
            let verdict = verdict::not_made(&delivery, reason);
            return verdict::unattempted(delivery, verdict, started);
        }
        let span = tracing::info_span!("deliver", occurrence.id = %delivery.key.occurrence_id.simple(), channel = self.lane.channel.as_str());
        if let Some(parent) = delivery.dispatch.traceparent {
            parent.adopt(&span);
        }
        let outcome = self.send(&delivery, lease_ends).instrument(span.clone()).await;
        let times = Times { started, ended: self.clock.now() };
        span.in_scope(|| self.tell(&delivery, &outcome, times));
        let charge = self.learn(ticket, &outcome);
        verdict::judge(&self.policy, delivery, outcome, charge, times, rand::random())
    }

    /// Sends, and cuts the attempt off before its lease ends: afterwards the row is anybody's.
    async fn send(&self, delivery: &Delivery, lease_ends: Instant) -> Outcome {
        let deadline = lease_ends.checked_sub(MARGIN).unwrap_or(lease_ends);
        match timeout_at(deadline.into(), self.sender.send(delivery, deadline)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unavailable {
                retry_after: None,
                reason: "DEADLINE_EXCEEDED".into(),
                maybe_delivered: true,
            },
        }
    }

    fn tell(&self, delivery: &Delivery, outcome: &Outcome, times: Times) {
        let channel = self.lane.channel.as_str();
        metrics::counter!(
            "reminders_delivery_attempts_total",
            "channel" => channel,
            "outcome" => outcome.class()
        )
        .increment(1);
        let Some(reason) = outcome.reason() else {
            // What waited for the end of quiet hours was due then.
            let late =
                times.ended - delivery.deferred_until.unwrap_or(delivery.dispatch.send.due_at);
            return self.lateness.record(late.as_seconds_f64().max(0.0));
        };
        let (class, attempt, device) =
            (outcome.class(), delivery.attempts + 1, delivery.key.device_id.simple());
        if matches!(outcome, Outcome::Gone { .. } | Outcome::Rejected { .. }) {
            tracing::info!(
                outcome = class,
                reason,
                attempt,
                device.id = %device,
                "delivery failed"
            );
        } else {
            // In an outage there are thousands of them, and each is tried again: the figures tell
            // of it.
            tracing::debug!(
                outcome = class,
                reason,
                attempt,
                device.id = %device,
                "attempt was not accepted"
            );
        }
    }

    fn learn(&self, ticket: &Ticket, outcome: &Outcome) -> Charge {
        let channel = self.lane.channel.as_str();
        let (change, charge) = self.lane.gate().learn(Instant::now(), ticket, outcome);
        let reason = outcome.reason().unwrap_or_default();
        match change {
            Change::Same if !ticket.probes_lane => return charge,
            Change::Same => {}
            Change::Paused(wait) => {
                self.budget.slow_down();
                tracing::warn!(
                    channel,
                    reason,
                    pause_seconds = wait.as_secs(),
                    "provider throttles, the channel is paused"
                );
            }
            Change::Stopped => {
                metrics::counter!("reminders_circuit_breaker_opened_total", "channel" => channel)
                    .increment(1);
                tracing::error!(
                    channel,
                    reason,
                    "circuit breaker opened: the provider refuses our account, key or settings; \
                     deliveries wait, probes continue"
                );
            }
            Change::PlatformStopped(platform) => {
                metrics::counter!(
                    "reminders_push_platform_circuit_breaker_opened_total",
                    "platform" => platform.as_str()
                )
                .increment(1);
                tracing::error!(
                    %platform,
                    reason,
                    "circuit breaker of the platform opened: devices of several users were \
                     refused; deliveries wait, probes continue"
                );
            }
            Change::PlatformRecovered(platform) => {
                tracing::warn!(
                    %platform,
                    "circuit breaker of the platform closed, pushes are sent again"
                )
            }
            Change::Recovered => {
                tracing::warn!(channel, "circuit breaker closed, the channel sends again")
            }
        }
        self.wake();
        charge
    }

    /// Wakes the sweep and the dispatcher: the gate may have turned.
    fn wake(&self) {
        self.lane.turned.notify_one();
        self.lane.slot.notify_one();
    }

    async fn finish(&self, finished: Finished) {
        let channel = self.lane.channel.as_str();
        let state = finished.record.state();
        if state == DeliveryState::Pending && finished.record.started_at.is_some() {
            metrics::counter!("reminders_delivery_retries_total", "channel" => channel)
                .increment(1);
        }
        // The recorder outlives the lanes; were it gone, the lease would run out and the row be
        // claimed anew.
        let _ = self.records.send(finished).await;
    }
}

/// A slot of the gate, given back whatever becomes of the attempt.
pub(super) struct Slot {
    lane: Arc<Lane>,
    ticket: Ticket,
}

impl Slot {
    /// The slot that came with a ticket.
    pub(super) fn new(lane: Arc<Lane>, ticket: Ticket) -> Self {
        Self { lane, ticket }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lane.gate().leave(&self.ticket);
        self.lane.slot.notify_one();
    }
}
