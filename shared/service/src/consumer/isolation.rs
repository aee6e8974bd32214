//! Isolates the items that make a batch fail, so that all others are applied.
//!
//! A batch is first applied as a whole. If it fails and one of its items may be the cause, it is
//! split into `parts` until the cause is isolated. The class of a failure ([`FailureClass`])
//! decides:
//!
//! - *Data*: the store refuses a value. The isolated item is rejected permanently.
//! - *Suspect*: a timeout, lack of memory, a trigger. Either an item or the store is the cause. An
//!   isolated item is the cause only if the store applied something else meanwhile, and it gets
//!   several receipts before it is rejected, as another session may only have locked its row.
//! - *Conflict*: another transaction was in the way. The part is retried in place, then treated as
//!   *Suspect*.
//! - *Outage*: the store is unreachable, or its schema does not match. No item is the cause. The
//!   part
//!   is retried in place, because a return to the queue would count towards dead-lettering.
//!
//! Items must tolerate being applied twice and in any order: a split part may be applied before the
//! rest of its batch.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use backoff::Backoff;
use bus::{Rejection, Settlement};
use contract::Reason;
use db::FailureClass;
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::parts;

/// Pauses between attempts at the same part.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));
/// Number of attempts at a part that conflicts with another transaction, before it is split.
const CONFLICT_ATTEMPTS: u32 = 5;
/// Number of parts of one batch that are applied concurrently, so that a timeout of one does not
/// delay the others.
const PARTS_AT_ONCE: usize = 2;
/// Number of isolated items that fail while nothing is applied, from which on the store itself is
/// suspected.
const LONE_FAILURES: usize = 16;
/// Longest time for which a batch is split. The rest is then returned to the queue, so that other
/// messages are handled.
const SPLIT_LIMIT: Duration = Duration::from_secs(2 * 60);
/// Longest time for which items are retried in place that all fail, and delay of their next
/// receipt.
const SUSPECT_HOLD: Duration = Duration::from_secs(60);
/// Delay after which items are received again that were not applied.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Number of receipts at which an isolated item that fails is rejected. (Every queue of the suite
/// allows at least five.)
const SUSPECT_RECEIPTS: u32 = 3;

/// Operation that applies items, all or none.
pub trait Attempt: Sync {
    /// Item of a batch.
    type Item: Sync;
    /// Reason that nothing was applied.
    type Error: Failure;

    /// Applies items in one transaction.
    fn attempt(&self, items: &[Self::Item])
    -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Error with a class.
pub trait Failure: std::error::Error + Send + 'static {
    /// Returns the class of the failure.
    fn class(&self) -> FailureClass;

    /// Returns the explanation for a dead letter, without any value.
    fn detail(&self) -> String;
}

/// Outcome of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Applied.
    Done,
    /// The values of the item are refused, with this explanation.
    Refused(String),
    /// The item fails alone while others are applied, with this explanation.
    Suspect(String),
    /// Not applied, and not the cause; to be received again after this time.
    Undone(Duration),
}

impl Outcome {
    /// Returns the settlement of the item's message, which was received `receive_count` times.
    #[must_use]
    pub fn settlement(&self, receive_count: u32) -> Settlement {
        match self {
            Self::Done => Settlement::Done,
            Self::Refused(detail) => {
                Settlement::Reject(Rejection::new(Reason::NotStorable, detail.as_str()))
            }
            Self::Suspect(detail) if receive_count >= SUSPECT_RECEIPTS => {
                let detail = format!("failed alone at each of {receive_count} receipts: {detail}");
                Settlement::Reject(Rejection::new(Reason::FailedAlone, detail))
            }
            Self::Suspect(_) => {
                Settlement::RetryAfter(RETRY_AFTER * 3_u32.pow(receive_count.saturating_sub(1)))
            }
            Self::Undone(pause) => Settlement::RetryAfter(*pause),
        }
    }
}

/// Applies batches and isolates the items that make them fail. Shared by all loops of a handler:
/// whatever one loop applies shows the others that the store works.
#[derive(Debug)]
pub struct Isolation {
    times: Times,
    shutdown: CancellationToken,
    /// Number of parts applied so far.
    applied: AtomicU64,
}

/// Durations of an isolation.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Longest time for which a batch is held while its store is unreachable.
    outage_hold: Duration,
    /// Longest time for which items are held that all fail.
    suspect_hold: Duration,
    /// Pauses between attempts at the same part.
    backoff: Backoff,
}

/// One batch that is being applied.
struct Run<'a, A: Attempt> {
    isolation: &'a Isolation,
    attempt: &'a A,
    items: &'a [A::Item],
    outcomes: Vec<Outcome>,
    started: Instant,
    /// [`Isolation::applied`] at the start.
    applied_before: u64,
}

/// Parts that a round did not apply.
#[derive(Default)]
struct Unapplied {
    /// Parts without a result.
    pending: Vec<Range<usize>>,
    /// Isolated items that failed, with their reasons.
    suspects: Vec<(usize, String)>,
    is_outage: bool,
}

type PartResult<E> = (Range<usize>, Result<(), E>);

impl Isolation {
    /// Creates an isolation that holds a batch for `outage_hold` while its store is unreachable, or
    /// until the token is cancelled.
    #[must_use]
    pub fn new(outage_hold: Duration, shutdown: CancellationToken) -> Self {
        Self {
            times: Times { outage_hold, suspect_hold: SUSPECT_HOLD, backoff: BACKOFF },
            shutdown,
            applied: AtomicU64::new(0),
        }
    }

    /// Applies items; returns the outcome of each, in order.
    pub async fn apply<A: Attempt>(&self, attempt: &A, items: &[A::Item]) -> Vec<Outcome> {
        let outcomes = vec![Outcome::Undone(RETRY_AFTER); items.len()];
        let applied_before = self.applied.load(Ordering::Relaxed);
        let run = Run {
            isolation: self,
            attempt,
            items,
            outcomes,
            started: Instant::now(),
            applied_before,
        };
        if items.is_empty() { run.outcomes } else { run.finish().await }
    }
}

impl<A: Attempt> Run<'_, A> {
    async fn finish(mut self) -> Vec<Outcome> {
        let mut queue = VecDeque::new();
        queue.push_back(0..self.items.len());
        let mut rounds = 0;
        loop {
            let left = self.round(queue).await;
            if left.suspects.is_empty() && left.pending.is_empty() {
                return self.outcomes;
            }
            let is_ending = self.isolation.shutdown.is_cancelled();
            if left.is_outage || is_ending {
                return self
                    .leave_undone(left, if is_ending { Duration::ZERO } else { RETRY_AFTER });
            }
            if self.has_applied() {
                for (item, reason) in left.suspects {
                    self.outcomes[item] = Outcome::Suspect(reason);
                }
                return self.outcomes;
            }
            if self.started.elapsed()
                >= self.isolation.times.suspect_hold.min(self.isolation.times.outage_hold)
            {
                return self.leave_undone(left, SUSPECT_HOLD);
            }
            tracing::warn!(
                items = self.items.len(),
                "no message of the batch could be applied, will retry all"
            );
            rounds += 1;
            tokio::select! {
                () = sleep(self.isolation.times.backoff.pause(rounds)) => {}
                () = self.isolation.shutdown.cancelled() => {}
            }
            queue = left
                .suspects
                .into_iter()
                .map(|(item, _)| item..item + 1)
                .chain(left.pending)
                .collect();
        }
    }

    /// Ends the run with the rest undone.
    fn leave_undone(mut self, left: Unapplied, retry_after: Duration) -> Vec<Outcome> {
        let items = left
            .suspects
            .into_iter()
            .map(|(item, _)| item)
            .chain(left.pending.into_iter().flatten());
        for item in items {
            self.outcomes[item] = Outcome::Undone(retry_after);
        }
        self.outcomes
    }

    /// Returns whether the store applied anything since this batch began.
    fn has_applied(&self) -> bool {
        self.isolation.applied.load(Ordering::Relaxed) > self.applied_before
    }

    /// Applies parts, breadth first, so that parts without a cause of failure are applied first.
    async fn round(&mut self, mut queue: VecDeque<Range<usize>>) -> Unapplied {
        let (mut left, mut running, mut split) =
            (Unapplied::default(), FuturesUnordered::new(), None);
        loop {
            let is_over = left.is_outage
                || left.suspects.len() >= LONE_FAILURES && !self.has_applied()
                || split.is_some_and(|split: Instant| split.elapsed() >= SPLIT_LIMIT);
            if is_over {
                left.pending.extend(queue.drain(..));
            }
            while running.len() < PARTS_AT_ONCE
                && let Some(part) = queue.pop_front()
            {
                running.push(apply_part(
                    self.isolation,
                    self.attempt,
                    self.items,
                    part,
                    self.started,
                ));
            }
            let Some((part, result)) = running.next().await else { return left };
            let Err(error) = result else {
                self.isolation.applied.fetch_add(1, Ordering::Relaxed);
                self.outcomes[part].fill(Outcome::Done);
                continue;
            };
            match error.class() {
                FailureClass::Outage => {
                    left.is_outage = true;
                    left.pending.push(part);
                }
                _ if part.len() > 1 => {
                    split.get_or_insert_with(Instant::now);
                    metrics::counter!("reminders_consumer_batches_split_total").increment(1);
                    queue.extend(parts(part));
                }
                FailureClass::Data => self.outcomes[part.start] = Outcome::Refused(error.detail()),
                FailureClass::Suspect | FailureClass::Conflict => {
                    left.suspects.push((part.start, error.detail()))
                }
            }
        }
    }
}

/// Applies a part; retries it after conflicts and during outages.
async fn apply_part<A: Attempt>(
    isolation: &Isolation,
    attempt: &A,
    items: &[A::Item],
    part: Range<usize>,
    started: Instant,
) -> PartResult<A::Error> {
    let mut attempts = 0;
    loop {
        let Err(error) = attempt.attempt(&items[part.clone()]).await else { return (part, Ok(())) };
        attempts += 1;
        let class = error.class();
        let is_retried = match class {
            FailureClass::Data | FailureClass::Suspect => false,
            FailureClass::Conflict => attempts < CONFLICT_ATTEMPTS,
            FailureClass::Outage => started.elapsed() < isolation.times.outage_hold,
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            items = part.len(),
            ?class,
            is_retried,
            "part of a batch was not applied"
        );
        if !is_retried || isolation.shutdown.is_cancelled() {
            return (part, Err(error));
        }
        metrics::counter!("reminders_consumer_batch_retries_total").increment(1);
        let pause = isolation.times.backoff.pause(attempts);
        tokio::select! { () = sleep(pause) => {} () = isolation.shutdown.cancelled() => {} }
    }
}

#[cfg(test)]
mod tests;
