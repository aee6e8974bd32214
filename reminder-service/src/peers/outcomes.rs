//! Outcomes of occurrences, which notification-service has in its ledger.
//!
//! They are an addition to an answer, which must not wait for them: the call has a short limit, and
//! is left out while notification-service does not answer.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use contract::{DeliveryState, ReasonCode};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Error, Peers,
    ask::{ask, unavailable},
    at,
};

/// Longest time until the answer.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// Calls of one process at the same time; further ones are left out.
pub(super) const MAX_CALLS: usize = 32;
/// Largest answer. An outcome has less than 200 bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Most occurrences of one call.
const MAX_IDS: usize = 100;

/// Outcome of an occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// State.
    pub state: DeliveryState,
    /// Reason code of the state.
    pub reason: Option<ReasonCode>,
    /// Time of the final state.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Answer of notification-service. Other fields are ignored.
#[derive(Debug, Deserialize)]
struct Answer {
    outcomes: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    occurrence_id: Uuid,
    /// A later version may have further states; their occurrences are left out.
    state: String,
    reason: Option<ReasonCode>,
    finished_at: Option<DateTime<Utc>>,
}

impl Peers {
    /// Returns `true` if the address of notification-service is set.
    pub(crate) fn knows_outcomes(&self) -> bool {
        self.settings.notification_service.is_some()
    }

    /// Asks notification-service for the outcomes of a user's occurrences, at most 100. Those that
    /// it does not know are left out. Returns `None` if they cannot be read now. `credentials` are
    /// the headers that identify the caller, who is `user_id`.
    pub(crate) async fn outcomes(
        &self,
        user_id: &str,
        credentials: &HeaderMap,
        ids: &[Uuid],
    ) -> Option<HashMap<Uuid, Outcome>> {
        let failed = metrics::counter!("reminders_outcome_requests_failed_total");
        let Ok(_permit) = self.outcome_calls.try_acquire() else {
            failed.increment(1);
            return None;
        };
        if !self.breaker.admits(user_id, Instant::now()) {
            return None;
        }
        let answer = self.ask_for_outcomes(credentials, ids).await;
        let now = Instant::now();
        match &answer {
            Ok(_) => self.breaker.succeeded(),
            // The user's own limit says nothing about the service.
            Err(Error::RateLimited { .. }) => self.breaker.refused(user_id, now),
            Err(_) => self.breaker.failed(user_id, now),
        }
        if let Err(error) = &answer {
            failed.increment(1);
            tracing::debug!(
                error = error as &dyn std::error::Error,
                "outcomes were not read, reminders are shown without them"
            );
        }
        answer.ok()
    }

    async fn ask_for_outcomes(
        &self,
        credentials: &HeaderMap,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Outcome>, Error> {
        let Some(base) = &self.settings.notification_service else { return Ok(HashMap::new()) };
        let ids = ids.iter().take(MAX_IDS).map(|id| id.simple().to_string());
        let mut url = at(base, &["notifications", "outcomes"])?;
        url.query_pairs_mut().append_pair("occurrenceIds", &ids.collect::<Vec<_>>().join(","));
        let request = self.client.get(url).headers(credentials.clone());
        let answer = tokio::time::timeout(TIMEOUT, ask::<Answer>(request, MAX_BYTES)).await;
        let entries = answer.map_err(unavailable)??.outcomes.into_iter();
        let outcomes = entries.filter_map(|entry| {
            let state = entry.state.parse().ok()?;
            let Entry { occurrence_id, reason, finished_at, .. } = entry;
            Some((occurrence_id, Outcome { state, reason, finished_at }))
        });
        Ok(outcomes.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::PeerSettings;

    #[tokio::test]
    async fn leaves_out_calls_beyond_their_number() {
        // Nothing listens there, so that a call would fail.
        let url = "http://127.0.0.1:1/".parse().expect("a URL");
        let settings = PeerSettings { notification_service: Some(url), ..PeerSettings::default() };
        let peers = Peers::new(settings).expect("a client");
        let permits = u32::try_from(MAX_CALLS).expect("few");
        let held = peers.outcome_calls.acquire_many(permits).await.expect("it is not closed");
        let ask = async || peers.outcomes("ada", &HeaderMap::new(), &[Uuid::nil()]).await;

        assert_eq!(ask().await, None);
        assert!(peers.breaker.admits("ada", Instant::now()), "no call failed");

        drop(held);
        assert_eq!(ask().await, None);
        assert!(!peers.breaker.admits("ada", Instant::now()), "the call failed");
    }
}
