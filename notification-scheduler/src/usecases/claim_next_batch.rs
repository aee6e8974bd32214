//! Claims the next batch, and records the state of the database that the claim shows.

use std::{sync::Arc, time::Duration};

use backoff::SharedBackoff;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    BACKOFF, Error, claim_due_occurrences::DueOccurrences, limit_user_releases::ReleaseLimits,
};
use crate::domain::{claim::Batch, claim_interval, user_key::UserKey, user_rate_limits::Allowance};

/// Time after the start, or after a failure of the database or the topic, in which occurrences that
/// were due before it count as possibly changed: the outage may have delayed changes as well.
/// notification-service waits for those changes.
const UNCERTAIN_FOR: Duration = Duration::from_secs(10);

/// Claims of one process.
#[derive(Debug)]
pub(crate) struct BatchClaimer {
    due: DueOccurrences,
    /// Largest number of occurrences claimed together.
    most: usize,
    limits: Arc<ReleaseLimits>,
    /// Back-off of the database.
    pub(crate) database: SharedBackoff,
    topic: Arc<SharedBackoff>,
    started: Instant,
}

impl BatchClaimer {
    pub(crate) fn new(
        due: DueOccurrences,
        most: usize,
        limits: Arc<ReleaseLimits>,
        topic: Arc<SharedBackoff>,
    ) -> Self {
        Self {
            due,
            most,
            limits,
            database: SharedBackoff::new(BACKOFF),
            topic,
            started: Instant::now(),
        }
    }

    /// Claims occurrences of all users but the backlogged ones; `None` if the database failed,
    /// which is recorded.
    pub(crate) async fn claim(
        &self,
        not_before: Option<DateTime<Utc>>,
        backlogged: &[UserKey],
    ) -> Option<Batch> {
        let limit = self.most as i64;
        let claimed = match backlogged {
            [] => self.due.claim(limit, not_before).await,
            users => self.due.claim_of_others(limit, not_before, users).await,
        };
        self.record(claimed)
    }

    /// Claims occurrences of a backlogged user as far as the limit allows; `None` if the database
    /// failed, which is recorded.
    pub(crate) async fn claim_allowance(&self, allowance: Allowance) -> Option<Batch> {
        let limit = allowance.limit.min(self.most);
        let claimed =
            self.due.claim_of_user(limit as i64, Some(allowance.since), allowance.user).await;
        let batch = self.record(claimed)?;
        self.limits.record_claim(Allowance { limit, ..allowance }, &batch);
        Some(batch)
    }

    /// Returns the time until the next occurrence may be claimed; none if the database failed,
    /// which is recorded.
    pub(crate) async fn until_next(&self, not_before: Option<DateTime<Utc>>) -> Duration {
        match self.due.next_due(not_before).await {
            Ok(next) => claim_interval::until(next),
            Err(error) => {
                self.failed(&error);
                Duration::ZERO
            }
        }
    }

    /// Records the result of a claim; `None` if the database failed.
    fn record(&self, claimed: Result<Batch, Error>) -> Option<Batch> {
        match claimed {
            Ok(mut batch) => {
                self.database.reset();
                count(&batch);
                if let Some(since_outage) = self.time_since_outage() {
                    batch.mark_possibly_changed(since_outage);
                }
                Some(batch)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Returns the time since the start or the last failure, while changes may be under way that
    /// were delayed by then.
    fn time_since_outage(&self) -> Option<Duration> {
        let failures = [self.database.since_last_failure(), self.topic.since_last_failure()];
        let since_outage =
            failures.into_iter().flatten().fold(self.started.elapsed(), Duration::min);
        (since_outage < UNCERTAIN_FOR).then_some(since_outage)
    }

    fn failed(&self, error: &Error) {
        self.database.record_failure();
        metrics::counter!("reminders_scheduler_database_failures_total").increment(1);
        tracing::warn!(error = error as &dyn std::error::Error, "database failed, will retry");
    }
}

fn count(batch: &Batch) {
    if batch.leased() == 0 {
        return;
    }
    metrics::counter!("reminders_scheduler_claimed_total").increment(batch.leased() as u64);
    metrics::histogram!("reminders_scheduler_claim_duration_seconds")
        .record(batch.claimed_at.elapsed().as_secs_f64());
    let lateness = metrics::histogram!("reminders_scheduler_lateness_seconds");
    for claimed in &batch.claimed {
        lateness.record(claimed.lateness.max(0.0));
    }
}
