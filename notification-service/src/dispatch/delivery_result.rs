//! Verdict on a delivery after an attempt, or after none could be made. Pure.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use shared::contract::DeliveryState;

use super::admission::{Charge, Hold};
use crate::{
    channels::{
        outcome::Outcome,
        retry::{Attempts, Decision, GaveUp, Policy},
    },
    delivery::{Delivery, Record, Verdict, reason},
};

/// The longest reason or provider's id that is kept, in bytes.
const LONGEST: usize = 200;

/// When an attempt was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) started: DateTime<Utc>,
    pub(super) ended: DateTime<Utc>,
}

/// Judges an attempt. `random` is uniform in `[0, 1)` and spreads retries.
pub(super) fn judge(
    policy: &Policy,
    delivery: Delivery,
    outcome: Outcome,
    charge: Charge,
    times: Times,
    random: f64,
) -> Record {
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
    let verdict = match decision {
        Decision::Final => ended(outcome),
        Decision::RetryAt(at) | Decision::HoldUntil(at) => {
            Verdict::Again { at, reason: outcome.reason().map(own) }
        }
        Decision::GiveUp(GaveUp::Expired) => not_made(&delivery, reason::EXPIRED),
        Decision::GiveUp(GaveUp::RetriesExhausted) => failed("RETRIES_EXHAUSTED".into()),
        Decision::GiveUp(GaveUp::Charged) => failed(outcome.reason().map_or("UNKNOWN".into(), own)),
    };
    let started_at = counts.then_some(times.started);
    Record { delivery, verdict, attempts, started_at, at: times.ended, token_is_dead }
}

/// Judges a delivery that could not be attempted because its address is paused or a circuit breaker
/// is open. One whose address is worn out, and that waited as long as an attempted one may, fails
/// for the provider's reason.
pub(super) fn held(
    policy: &Policy,
    delivery: Delivery,
    hold: Hold,
    now: DateTime<Utc>,
    random: f64,
) -> Record {
    let due_at = delivery.deferred_until.unwrap_or(delivery.dispatch.send.due_at);
    let waited = now.signed_duration_since(due_at).to_std().unwrap_or_default();
    let verdict =
        match (hold.reason, policy.hold(hold.wait, now, delivery.dispatch.send.expires_at, random))
        {
            (_, Decision::GiveUp(_)) => not_made(&delivery, reason::EXPIRED),
            (Some(reason), _) if hold.worn_out && waited >= policy.charged => failed(own(&reason)),
            (reason, Decision::HoldUntil(at)) if !hold.wait.is_zero() => {
                Verdict::Again { at, reason: reason.map(|reason| own(&reason)) }
            }
            _ => Verdict::Again { at: now, reason: None },
        };
    unattempted(delivery, verdict, now)
}

/// The record of a delivery to which no attempt was made.
pub(super) fn unattempted(delivery: Delivery, verdict: Verdict, at: DateTime<Utc>) -> Record {
    let attempts = delivery.attempts;
    Record { delivery, verdict, attempts, started_at: None, at, token_is_dead: false }
}

/// The verdict on a delivery that is not to be made, or not again. What has expired or is not
/// wanted any more is suppressed, however often it was tried.
pub(super) fn not_made(delivery: &Delivery, reason: &'static str) -> Verdict {
    let was_tried = delivery.attempts > 0 && !reason::is_unwanted(reason);
    let state = if was_tried { DeliveryState::Failed } else { DeliveryState::Suppressed };
    Verdict::Ended { state, reason: Some(reason.into()), provider_message_id: None }
}

fn ended(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Sent { provider_id } => Verdict::Ended {
            state: DeliveryState::Sent,
            reason: None,
            provider_message_id: Some(storable(&provider_id)),
        },
        other => failed(other.reason().map_or("UNKNOWN".into(), own)),
    }
}

fn failed(reason: Cow<'static, str>) -> Verdict {
    Verdict::Ended { state: DeliveryState::Failed, reason: Some(reason), provider_message_id: None }
}

fn own(reason: &str) -> Cow<'static, str> {
    Cow::Owned(storable(reason))
}

/// A provider's text as PostgreSQL can store it: no NUL, and of a bounded length. A verdict must
/// never fail for its text.
fn storable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
