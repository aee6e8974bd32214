//! One attempt: from the last checks before the request to the result of the delivery.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use contract::{DeliveryState, Reason};
use tokio::{sync::mpsc, time::timeout_at};
use tracing::Instrument;

use super::{
    Dispatcher, Job, Sender,
    admission::{Charge, Postponement, Ticket, Transition},
    deleted_devices::DeletedDevices,
    delivery_result::{self, AttemptTimes},
    permits::Permit,
    recalls::Recalls,
    result_writer::Submitted,
    send_budget::SendBudget,
};
use crate::{
    channels::{outcome::Outcome, retry_policy::Policy},
    clock::DbClock,
    domain::delivery::{Address, Delivery, DeliveryResult},
};

/// Least time of the lease that must be left for an attempt to start: the attempt must end before
/// another process may claim the row.
const LEAST_LEASE: Duration = Duration::from_secs(20);
/// Time of the lease that is left for writing the result: the attempt is cut off before.
const MARGIN: Duration = Duration::from_secs(2);

/// Runs the attempts of one channel.
pub(super) struct AttemptRunner<S> {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) sender: S,
    pub(super) clock: Arc<DbClock>,
    pub(super) policy: Policy,
    pub(super) results: mpsc::Sender<Submitted>,
    pub(super) lateness: metrics::Histogram,
    pub(super) budget: Arc<SendBudget>,
    pub(super) deleted_devices: Arc<DeletedDevices>,
    pub(super) recalls: Arc<Recalls>,
}

/// Returns `true` if enough of a job's lease is left for an attempt.
pub(super) fn has_time(job: &Job) -> bool {
    job.lease_ends.saturating_duration_since(Instant::now()) >= LEAST_LEASE
}

/// Returns the time at which a delivery is due: for a deferred one, the end of the quiet hours.
fn due_at(delivery: &Delivery) -> DateTime<Utc> {
    delivery.deferred_until.unwrap_or(delivery.dispatch.send.due_at)
}

impl<S: Sender> AttemptRunner<S> {
    /// Runs the attempt of an admitted job and submits its result.
    pub(super) async fn run(&self, job: Job, admitted: AdmittedAttempt) {
        if !has_time(&job) {
            drop(admitted);
            return self.release_expired(job).await;
        }
        if self.recalls.contains(&job.delivery) {
            drop(admitted);
            let channel = self.dispatcher.channel.as_str();
            metrics::counter!("reminders_deliveries_recalled_total", "channel" => channel)
                .increment(1);
            return self.release(job).await;
        }
        let Job { delivery, lease_ends, permit, .. } = job;
        let result = self.attempt(delivery, lease_ends, &admitted.ticket).await;
        drop(admitted);
        self.submit(result, permit).await;
    }

    /// Returns the lease of a job that was queued for so long that the lease is about to end.
    pub(super) async fn release_expired(&self, job: Job) {
        let channel = self.dispatcher.channel.as_str();
        metrics::counter!("reminders_delivery_leases_expired_total", "channel" => channel)
            .increment(1);
        self.release(job).await;
    }

    /// Returns the lease of a job's delivery, as if it had never been claimed.
    pub(super) async fn release(&self, job: Job) {
        self.postpone(job, Postponement::default()).await;
    }

    /// Returns the lease of a job's delivery and postpones its next attempt.
    pub(super) async fn postpone(&self, job: Job, postponement: Postponement) {
        let result = delivery_result::postponed(
            &self.policy,
            job.delivery,
            postponement,
            self.clock.now(),
            rand::random(),
        );
        self.submit(result, job.permit).await;
    }

    async fn attempt(
        &self,
        delivery: Delivery,
        lease_ends: Instant,
        ticket: &Ticket,
    ) -> DeliveryResult {
        let started = self.clock.now();
        let obstacle = match &delivery.address {
            _ if started >= delivery.dispatch.send.expires_at => Some(Reason::Expired),
            Address::Gone(reason) => Some(*reason),
            Address::Device { .. } if self.deleted_devices.contains(delivery.key.device_id) => {
                Some(Reason::DeviceGone)
            }
            Address::Device { .. } | Address::Mailbox(_) => None,
        };
        if started < due_at(&delivery) {
            let channel = self.dispatcher.channel.as_str();
            metrics::counter!("reminders_deliveries_early_total", "channel" => channel)
                .increment(1);
        }
        if let Some(reason) = obstacle {
            let new_state = delivery_result::not_sent(&delivery, reason);
            return delivery_result::without_attempt(delivery, new_state, started);
        }
        let span = tracing::info_span!(
            "deliver",
            occurrence.id = %delivery.key.occurrence_id.simple(),
            channel = self.dispatcher.channel.as_str(),
        );
        if let Some(parent) = delivery.dispatch.traceparent {
            service::telemetry::set_parent(&span, parent);
        }
        let outcome = self.send(&delivery, lease_ends).instrument(span.clone()).await;
        let times = AttemptTimes { started, ended: self.clock.now() };
        span.in_scope(|| self.report(&delivery, &outcome, times));
        let charge = self.apply(ticket, &outcome);
        delivery_result::after_attempt(
            &self.policy,
            delivery,
            outcome,
            charge,
            times,
            rand::random(),
        )
    }

    /// Sends, and cuts the attempt off before its lease ends: afterwards another process may claim
    /// the row.
    async fn send(&self, delivery: &Delivery, lease_ends: Instant) -> Outcome {
        let deadline = lease_ends.checked_sub(MARGIN).unwrap_or(lease_ends);
        match timeout_at(deadline.into(), self.sender.send(delivery, deadline)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unavailable {
                retry_after: None,
                reason: Reason::DeadlineExceeded,
                maybe_delivered: true,
            },
        }
    }

    fn report(&self, delivery: &Delivery, outcome: &Outcome, times: AttemptTimes) {
        let (channel, class) = (self.dispatcher.channel.as_str(), outcome.class());
        metrics::counter!(
            "reminders_delivery_attempts_total", "channel" => channel, "outcome" => class
        )
        .increment(1);
        let Some(reason) = outcome.reason() else {
            let late = times.ended - due_at(delivery);
            return self.lateness.record(late.as_seconds_f64().max(0.0));
        };
        let reason = reason.as_str();
        let (attempt, device) = (delivery.attempts + 1, delivery.key.device_id.simple());
        if matches!(outcome, Outcome::Gone { .. } | Outcome::Rejected { .. }) {
            tracing::info!(
                outcome = class, reason, attempt, device.id = %device,
                "delivery failed"
            );
        } else {
            // An outage causes thousands of them, each of which is retried: the metrics show it.
            tracing::debug!(
                outcome = class, reason, attempt, device.id = %device,
                "attempt was not accepted"
            );
        }
    }

    fn apply(&self, ticket: &Ticket, outcome: &Outcome) -> Charge {
        let channel = self.dispatcher.channel.as_str();
        let (transition, charge) =
            self.dispatcher.admission().apply(Instant::now(), ticket, outcome);
        let reason = outcome.reason().map_or("", Reason::as_str);
        match transition {
            Transition::Unchanged if !ticket.probes_channel => return charge,
            Transition::Unchanged => {}
            Transition::Throttled(wait) => {
                self.budget.slow_down();
                tracing::warn!(
                    channel,
                    reason,
                    pause_seconds = wait.as_secs(),
                    "provider throttles, the channel is paused"
                );
            }
            Transition::Opened => {
                metrics::counter!("reminders_circuit_breaker_opened_total", "channel" => channel)
                    .increment(1);
                tracing::error!(
                    channel,
                    reason,
                    "circuit breaker opened: the provider refuses the account, key or settings; \
                     deliveries wait, probes continue"
                );
            }
            Transition::PlatformOpened(platform) => {
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
            Transition::PlatformClosed(platform) => {
                tracing::warn!(
                    %platform,
                    "circuit breaker of the platform closed, pushes are sent again"
                )
            }
            Transition::Closed => {
                tracing::warn!(channel, "circuit breaker closed, the channel sends again")
            }
        }
        self.wake();
        charge
    }

    /// Wakes the claimer and the worker: a circuit breaker may have changed.
    fn wake(&self) {
        self.dispatcher.breaker_changed.notify_one();
        self.dispatcher.attempt_may_start.notify_one();
    }

    async fn submit(&self, result: DeliveryResult, permit: Permit) {
        let channel = self.dispatcher.channel.as_str();
        if result.state() == DeliveryState::Pending && result.started_at.is_some() {
            metrics::counter!("reminders_delivery_retries_total", "channel" => channel)
                .increment(1);
        }
        // The result writer outlives the workers; were it gone, the lease would run out and another
        // process claim the row.
        let _ = self.results.send((result, permit)).await;
    }
}

/// Admitted attempt; no longer counted as in flight once dropped.
pub(super) struct AdmittedAttempt {
    dispatcher: Arc<Dispatcher>,
    ticket: Ticket,
}

impl AdmittedAttempt {
    pub(super) fn new(dispatcher: Arc<Dispatcher>, ticket: Ticket) -> Self {
        Self { dispatcher, ticket }
    }
}

impl Drop for AdmittedAttempt {
    fn drop(&mut self) {
        self.dispatcher.admission().leave(&self.ticket);
        self.dispatcher.attempt_may_start.notify_one();
    }
}
