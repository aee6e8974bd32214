//! Outcomes of the latest deliveries of reminders.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contract::{DeliveryState, ReasonCode};
use reqwest::header::HeaderMap;
use uuid::Uuid;

use super::Resources;
use crate::{domain::reminder::LastDelivery, peers::Outcome};

/// Outcome of the latest delivery of a reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastOutcome {
    /// Time at which the delivery was due.
    pub at: DateTime<Utc>,
    /// State; `None` if notification-service knows nothing of it although it has expired: it is
    /// older than the ledger, or never arrived there.
    pub state: Option<DeliveryState>,
    /// Reason code of the state.
    pub reason: Option<ReasonCode>,
    /// Time of the final state.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Outcomes of the latest deliveries of some reminders.
#[derive(Debug)]
pub struct LastOutcomes(HashMap<Uuid, Outcome>);

impl LastOutcomes {
    /// Outcome of one of the deliveries that the outcomes were read for.
    #[must_use]
    pub fn of(&self, last: &LastDelivery) -> LastOutcome {
        let at = last.at;
        match self.0.get(&last.occurrence_id).cloned() {
            Some(Outcome { state, reason, finished_at }) => {
                LastOutcome { at, state: Some(state), reason, finished_at }
            }
            None => {
                let state = Some(DeliveryState::Pending).filter(|_| !last.is_expired);
                LastOutcome { at, state, reason: None, finished_at: None }
            }
        }
    }
}

/// Reads the outcomes of deliveries with one call to notification-service, and without any if there
/// are none. Returns `None` if they cannot be known now. `credentials` are the headers that
/// identify the caller, who is `user_id`.
pub async fn read_last_outcomes(
    resources: &Resources,
    user_id: &str,
    credentials: &HeaderMap,
    deliveries: impl Iterator<Item = LastDelivery>,
) -> Option<LastOutcomes> {
    if !resources.peers.knows_outcomes() {
        return None;
    }
    let ids: Vec<Uuid> = deliveries.map(|last| last.occurrence_id).collect();
    if ids.is_empty() {
        return Some(LastOutcomes(HashMap::new()));
    }
    resources.peers.outcomes(user_id, credentials, &ids).await.map(LastOutcomes)
}

#[cfg(test)]
mod tests {
    use contract::Reason;

    use super::*;

    #[test]
    fn shows_unknown_delivery_as_pending_until_it_expires() {
        let delivery = |id, is_expired| LastDelivery {
            occurrence_id: Uuid::from_u128(id),
            at: DateTime::UNIX_EPOCH,
            is_expired,
        };
        let failed = Outcome {
            state: DeliveryState::Failed,
            reason: Some(Reason::DeviceGone.into()),
            finished_at: Some(DateTime::UNIX_EPOCH),
        };
        let outcomes = LastOutcomes(HashMap::from([(Uuid::from_u128(1), failed.clone())]));
        let known = outcomes.of(&delivery(1, true));
        assert_eq!((known.state, known.reason), (Some(DeliveryState::Failed), failed.reason));
        for (is_expired, state) in [(false, Some(DeliveryState::Pending)), (true, None)] {
            let unknown = outcomes.of(&delivery(2, is_expired));
            assert_eq!((unknown.state, unknown.reason, unknown.finished_at), (state, None, None));
        }
    }
}
