//! Publishes a claimed batch and marks the occurrences that the topic accepted.

use std::{collections::HashSet, sync::Arc, time::Duration};

use backoff::SharedBackoff;
use bus::{Message, PublishError, PublishResults, SharedBus};
use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};

use super::{
    BACKOFF, Error, end_unpublished::end_unpublished, find_superseded::find_superseded,
    limit_user_releases::ReleaseLimits, mark_released::mark_released,
    quarantine_unreadable::cancel_orphans_and_quarantine, sleep_while_idle::Sleeper,
};
use crate::{
    domain::{
        claim::{Batch, Claimed, Lease, PublishStatus, leases},
        events::{self, UnpublishedOutcome},
    },
    store,
};

/// Part of a lease that is reserved for publishing and marking: if less is left, a batch is not
/// published.
const RESERVE: Duration = Duration::from_secs(5);

/// Lateness from which an occurrence of a recurring notification may be superseded by the next one.
const CATCH_UP_SECONDS: f64 = 60.0;

/// Publishes claimed batches, several at once.
pub(crate) struct Releaser {
    pool: PgPool,
    bus: SharedBus,
    topic: String,
    lease: Duration,
    /// Back-off of the topic.
    backoff: Arc<SharedBackoff>,
    /// Rate limits of users, which depend on the speed of the topic.
    limits: Arc<ReleaseLimits>,
    /// Woken when occurrences are free again, or others follow.
    sleeper: Arc<Sleeper>,
}

impl Releaser {
    pub(crate) fn new(
        pool: PgPool,
        bus: SharedBus,
        topic: String,
        lease: Duration,
        backoff: Arc<SharedBackoff>,
        limits: Arc<ReleaseLimits>,
        sleeper: Arc<Sleeper>,
    ) -> Self {
        Self { pool, bus, topic, lease, backoff, limits, sleeper }
    }

    /// Returns the leases of a batch's occurrences beyond their user's rate limit.
    pub(crate) async fn return_excess(&self, batch: &mut Batch) {
        let excess = self.limits.split_off_excess(batch);
        if !excess.is_empty() {
            metrics::counter!("reminders_scheduler_rate_limited_total")
                .increment(excess.len() as u64);
            self.return_leases(&excess, PublishStatus::NotPublished).await;
        }
    }

    /// Marks occurrences that were published before, ends those that have expired or are
    /// superseded, publishes the rest and marks it.
    pub(crate) async fn release(&self, batch: Batch) {
        self.release_batch(batch).await;
        self.sleeper.found_some();
    }

    async fn release_batch(&self, batch: Batch) {
        cancel_orphans_and_quarantine(&self.pool, &batch).await;
        let (was_published, claimed): (Vec<Claimed>, Vec<Claimed>) =
            batch.claimed.into_iter().partition(|claimed| claimed.was_published);
        if !was_published.is_empty() {
            self.mark(&was_published).await;
        }
        let (missed, claimed) = self.split_superseded(claimed).await;
        if !missed.is_empty() {
            self.end(&missed.iter().collect::<Vec<_>>(), UnpublishedOutcome::Missed).await;
        }
        let (expired, due): (Vec<Claimed>, Vec<Claimed>) =
            claimed.into_iter().partition(|claimed| claimed.expired);
        if !expired.is_empty() {
            self.end(&expired.iter().collect::<Vec<_>>(), UnpublishedOutcome::Expired).await;
        }
        if due.is_empty() {
            return;
        }
        // The process may have been stopped since the claim. By the monotonic clock, which went on
        // meanwhile, the lease has then run out, and somebody else may have published.
        let left = self.lease.saturating_sub(batch.claimed_at.elapsed());
        if left < RESERVE.min(self.lease / 4) {
            metrics::counter!("reminders_scheduler_leases_expired_total")
                .increment(due.len() as u64);
            tracing::warn!(
                occurrences = due.len(),
                "lease expired before the publish, the occurrences will be claimed again"
            );
            return;
        }
        let Some((claims, messages)) = encode(due) else { return };
        let began = Instant::now();
        let published = timeout(left, self.bus.publish(&self.topic, &messages)).await;
        let succeeded = matches!(published, Ok(Ok(_)));
        self.limits.record_publish(messages.len(), began.elapsed(), succeeded);
        match published {
            Ok(Ok(results)) => self.settle(claims, results).await,
            Ok(Err(error)) => {
                self.topic_failed(&error.to_string(), claims.len());
                self.return_leases(&claims, PublishStatus::Unknown).await;
            }
            Err(_) => self.topic_failed("no answer within the lease", claims.len()),
        }
    }

    /// Separates occurrences of recurring notifications that a later occurrence supersedes from the
    /// others.
    async fn split_superseded(&self, claimed: Vec<Claimed>) -> (Vec<Claimed>, Vec<Claimed>) {
        let late: Vec<&Claimed> = claimed
            .iter()
            .filter(|claimed| claimed.recurs && claimed.lateness >= CATCH_UP_SECONDS)
            .collect();
        if late.is_empty() {
            return (Vec::new(), claimed);
        }
        match find_superseded(&self.pool, &late).await {
            Ok(superseded) => {
                claimed.into_iter().partition(|claimed| superseded.contains(&claimed.lease))
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "missed occurrences of series were not read, will retry with the next lease"
                );
                let late: HashSet<Lease> = late.iter().map(|claimed| claimed.lease).collect();
                let (late, others): (Vec<_>, Vec<_>) =
                    claimed.into_iter().partition(|claimed| late.contains(&claimed.lease));
                self.return_leases(&late, PublishStatus::NotPublished).await;
                (Vec::new(), others)
            }
        }
    }

    async fn settle(&self, claims: Vec<Claimed>, results: Vec<Result<(), PublishError>>) {
        let PublishResults { accepted, refused, unpublishable } =
            PublishResults::sort(claims, results);
        for (claimed, reason) in &unpublishable {
            tracing::error!(
                occurrence.id = %claimed.lease.id.simple(),
                reason,
                "occurrence can never be published, ends as failed"
            );
        }
        if refused.is_empty() {
            self.backoff.reset();
        } else {
            self.topic_failed("some entries were refused", refused.len());
            self.return_leases(&refused, PublishStatus::Unknown).await;
        }
        if !unpublishable.is_empty() {
            let claims: Vec<&Claimed> = unpublishable.iter().map(|(claimed, _)| claimed).collect();
            self.end(&claims, UnpublishedOutcome::Unpublishable).await;
        }
        if !accepted.is_empty() {
            self.mark(&accepted).await;
        }
    }

    /// Marks occurrences as released, with retries until the lease runs out: an unmarked occurrence
    /// is published again.
    async fn mark(&self, taken: &[Claimed]) {
        let mut failures = 0;
        let marking = async {
            loop {
                match mark_released(&self.pool, taken).await {
                    Ok(marked) => return marked,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "published occurrences were not marked as released, will retry"
                        );
                        failures += 1;
                        sleep(BACKOFF.pause(failures)).await;
                    }
                }
            }
        };
        match timeout(self.lease, marking).await {
            Ok(marked) => {
                metrics::counter!("reminders_scheduler_released_total").increment(marked.released);
                metrics::counter!("reminders_scheduler_stale_total").increment(marked.stale);
                metrics::counter!("reminders_scheduler_settled_before_mark_total")
                    .increment(marked.settled);
                metrics::counter!("reminders_scheduler_unreadable_total")
                    .increment(marked.kept_pending);
                if marked.stale > 0 {
                    tracing::warn!(
                        occurrences = marked.stale,
                        "lease expired before occurrences were marked as released, will be \
                         published again under the same ids"
                    );
                }
            }
            Err(_) => tracing::error!(
                occurrences = taken.len(),
                "published occurrences were not marked as released, will be published again under \
                 the same ids"
            ),
        }
    }

    async fn end(&self, claims: &[&Claimed], outcome: UnpublishedOutcome) {
        match end_unpublished(&self.pool, claims, outcome).await {
            Ok(ended) => {
                let reason = outcome.reason().as_str();
                metrics::counter!("reminders_scheduler_ended_total", "reason" => reason)
                    .increment(ended as u64);
                tracing::info!(
                    occurrences = ended,
                    reason = %outcome.reason(),
                    "occurrences ended without a send"
                );
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    reason = %outcome.reason(),
                    "occurrences were not ended, will retry with the next lease"
                );
                self.return_leases(claims.iter().copied(), PublishStatus::NotPublished).await;
            }
        }
    }

    /// Returns leases; if that fails they run out by themselves.
    pub(crate) async fn return_leases<'a>(
        &self,
        claims: impl IntoIterator<Item = &'a Claimed>,
        status: PublishStatus,
    ) {
        let leases = leases(claims);
        metrics::counter!("reminders_scheduler_returned_total").increment(leases.len() as u64);
        let returned = store::leases::return_leases(&self.pool, &leases, status)
            .await
            .map_err(Error::of("return leases"));
        if let Err(error) = returned {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "leases were not returned, they will expire"
            );
        }
    }

    fn topic_failed(&self, problem: &str, occurrences: usize) {
        self.backoff.record_failure();
        metrics::counter!("reminders_scheduler_publish_failures_total").increment(1);
        tracing::warn!(problem, occurrences, "publish failed, will retry");
    }
}

/// Encodes claims as messages, in the same order.
fn encode(due: Vec<Claimed>) -> Option<(Vec<Claimed>, Vec<Message>)> {
    let messages: Result<Vec<Message>, _> =
        due.iter().map(|claimed| events::send(claimed.clone()).to_message()).collect();
    match messages {
        Ok(messages) => Some((due, messages)),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "message could not be serialized, its occurrence is not published"
            );
            None
        }
    }
}
