//! Result of a delivery after an attempt, or after none could be made. Pure.

use chrono::{DateTime, Utc};
use contract::{DeliveryState, Reason};

use super::admission::{Charge, Postponement};
use crate::{
    channels::{
        outcome::Outcome,
        retry_policy::{Attempts, Decision, GiveUpReason, Policy},
    },
    domain::delivery::{Delivery, DeliveryResult, NewState, is_unwanted},
};

/// Longest provider's id that is stored, in characters.
const LONGEST: usize = 200;

/// Begin and end of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptTimes {
    pub(super) started: DateTime<Utc>,
    pub(super) ended: DateTime<Utc>,
}

/// Returns the result of a delivery after an attempt. `random` is uniform in `[0, 1)` and spreads
/// retries.
pub(super) fn after_attempt(
    policy: &Policy,
    delivery: Delivery,
    outcome: Outcome,
    charge: Charge,
    times: AttemptTimes,
    random: f64,
) -> DeliveryResult {
    let counts = charge == Charge::Delivery;
    let attempts = delivery.attempts.saturating_add(i32::from(counts));
    let so_far = Attempts {
        made: u32::try_from(attempts).unwrap_or(u32::MAX).max(1),
        first_at: delivery.first_attempt_at.unwrap_or(times.started),
        now: times.ended,
        expires_at: delivery.dispatch.send.expires_at,
    };
    let token_is_dead = matches!(outcome, Outcome::Gone { .. });
    let decision = match charge {
        Charge::Delivery => policy.decide(&outcome, &so_far, random),
        Charge::Breaker(wait) => policy.hold(wait, so_far.now, so_far.expires_at, random),
    };
    let new_state = match decision {
        Decision::Final => final_state(outcome),
        Decision::RetryAt(at) | Decision::HoldUntil(at) => {
            NewState::Pending { next_attempt_at: at, reason: outcome.reason() }
        }
        Decision::GiveUp(GiveUpReason::Expired) => not_sent(&delivery, Reason::Expired),
        Decision::GiveUp(GiveUpReason::RetriesExhausted) => failed(Reason::RetriesExhausted),
        Decision::GiveUp(GiveUpReason::AddressFailing) => {
            failed(outcome.reason().unwrap_or(Reason::RetriesExhausted))
        }
    };
    let started_at = counts.then_some(times.started);
    DeliveryResult { delivery, new_state, attempts, started_at, at: times.ended, token_is_dead }
}

/// Returns the result of a delivery that could not be attempted because its address is paused or a
/// circuit breaker is open. If its address fails persistently and the delivery waited as long as an
/// attempted one may, the delivery fails for the provider's reason.
pub(super) fn postponed(
    policy: &Policy,
    delivery: Delivery,
    postponement: Postponement,
    now: DateTime<Utc>,
    random: f64,
) -> DeliveryResult {
    let due_at = delivery.dispatch.send.due_at;
    let waited_since = delivery.deferred_until.unwrap_or(due_at);
    let waited = now.signed_duration_since(waited_since).to_std().unwrap_or_default();
    let Postponement { wait, reason, fails_persistently } = postponement;
    let decision = policy.hold(wait, now, delivery.dispatch.send.expires_at, random);
    let new_state = match (reason, decision) {
        (_, Decision::GiveUp(_)) => not_sent(&delivery, Reason::Expired),
        (Some(reason), _) if fails_persistently && waited >= policy.address_failing_for => {
            failed(reason)
        }
        (reason, Decision::HoldUntil(at)) if !wait.is_zero() => {
            NewState::Pending { next_attempt_at: at.max(due_at), reason }
        }
        // It may have been held until it is due.
        _ => NewState::Pending { next_attempt_at: now.max(due_at), reason: None },
    };
    without_attempt(delivery, new_state, now)
}

/// Returns the result of a delivery to which no attempt was made.
pub(super) fn without_attempt(
    delivery: Delivery,
    new_state: NewState,
    at: DateTime<Utc>,
) -> DeliveryResult {
    let attempts = delivery.attempts;
    DeliveryResult { delivery, new_state, attempts, started_at: None, at, token_is_dead: false }
}

/// Returns the state of a delivery that is not sent, or not again. A delivery that expired or that
/// its user does not want is suppressed, however often it was attempted.
pub(super) fn not_sent(delivery: &Delivery, reason: Reason) -> NewState {
    let was_attempted = delivery.attempts > 0 && !is_unwanted(reason);
    let state = if was_attempted { DeliveryState::Failed } else { DeliveryState::Suppressed };
    NewState::Final { state, reason: Some(reason), provider_message_id: None }
}

fn final_state(outcome: Outcome) -> NewState {
    match outcome {
        Outcome::Sent { provider_id } => NewState::Final {
            state: DeliveryState::Sent,
            reason: None,
            provider_message_id: Some(storable(&provider_id)),
        },
        other => failed(other.reason().unwrap_or(Reason::UnrecognisedCode)),
    }
}

fn failed(reason: Reason) -> NewState {
    let state = DeliveryState::Failed;
    NewState::Final { state, reason: Some(reason), provider_message_id: None }
}

/// Returns a provider's text as PostgreSQL can store it: without control characters, and of bounded
/// length. A result must never fail for its text.
fn storable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
