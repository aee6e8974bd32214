//! Finds the items of a batch that make it fail, so that all the others go on.
//!
//! A batch is tried as a whole. When it fails for what one of its items may have caused, it is
//! split into `parts` until the cause stands alone. Three kinds of failure are told apart
//! ([`Blame`]):
//!
//! - *Data*: the store refuses a value. Alone, such an item is refused for good.
//! - *Suspect*: a timeout, memory, a trigger: one item may be the cause, or the whole store is in
//!   trouble. Alone, such an item is held to blame only if the store took something else meanwhile,
//!   and it gets several receipts before it is given up: whoever locked its row may let it go.
//! - *Outage*: the store is away, or its schema is. No item is to blame; the same part is tried
//!   again in place, since a return to the queue would bring its messages nearer to the dead
//!   letters.
//!
//! Items must bear being applied twice, and in any order: a split part may be applied before the
//! rest of its batch.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::parts;
use crate::{bus::Settlement, db::Blame};

/// The pause between two tries of the same part, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
/// Tries of a part that is in the way of another transaction, before it is split.
const CONFLICT_TRIES: u32 = 5;
/// Parts of one batch under way at once: one that runs into a timeout does not hold up the others.
const PARTS_AT_ONCE: usize = 2;
/// Items that fail alone, with none applied by anybody meanwhile, before the store itself is
/// suspected.
const LONE_FAILURES: usize = 16;
/// For how long a batch is split further; what is left then is given back, so that other messages
/// have their turn.
const SPLITTING: Duration = Duration::from_secs(2 * 60);
/// For how long items are held that all fail, and when they come again after that.
const DOUBT: Duration = Duration::from_secs(60);
/// When items come again that were not tried.
const AGAIN: Duration = Duration::from_secs(5);
/// Receipts at which an item that fails alone is given up. (Our queues allow five at the least.)
const SUSPECT_RECEIPTS: u32 = 3;

/// One way of applying items, all of them or none.
pub trait Attempt: Sync {
    /// Item of a batch.
    type Item: Sync;
    /// Why nothing was applied.
    type Error: Failure;

    /// Applies items in one transaction.
    fn attempt(&self, items: &[Self::Item])
    -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// An error that tells who caused it.
pub trait Failure: std::error::Error + Send + 'static {
    /// Returns the party that caused the failure.
    fn blame(&self) -> Blame;

    /// The reason that is kept with a dead letter; it quotes no value.
    fn reason(&self) -> String;
}

/// Outcome of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Applied.
    Done,
    /// Refused for its values, for this reason.
    Refused(String),
    /// It fails alone while others are applied, for this reason.
    Suspect(String),
    /// Not applied, through no fault of its own; it is to come again after this long.
    Undone(Duration),
}

impl Outcome {
    /// Returns how to settle the item's message, which was received so many times.
    #[must_use]
    pub fn settlement(&self, receive_count: u32) -> Settlement {
        match self {
            Self::Done => Settlement::Done,
            Self::Refused(reason) => Settlement::Reject(reason.clone()),
            Self::Suspect(reason) if receive_count >= SUSPECT_RECEIPTS => Settlement::Reject(
                format!("it failed alone at each of {receive_count} receipts: {reason}"),
            ),
            Self::Suspect(_) => {
                Settlement::RetryAfter(AGAIN * 3_u32.pow(receive_count.saturating_sub(1)))
            }
            Self::Undone(pause) => Settlement::RetryAfter(*pause),
        }
    }
}

/// Applies batches and isolates what makes them fail. One for all loops of a handler: what one loop
/// applies is evidence for the others that the store works.
#[derive(Debug)]
pub struct Isolation {
    times: Times,
    shutdown: CancellationToken,
    /// Parts applied so far.
    applied: AtomicU64,
}

/// The times of an isolation.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// For how long a batch is held while its store is away.
    patience: Duration,
    /// For how long items are held that all fail.
    doubt: Duration,
    /// The pause between two tries of the same part, at first and at most.
    pause: (Duration, Duration),
}

/// One batch on its way.
struct Run<'a, A: Attempt> {
    isolation: &'a Isolation,
    attempt: &'a A,
    items: &'a [A::Item],
    outcomes: Vec<Outcome>,
    started: Instant,
    /// [`Isolation::applied`] at the start.
    applied_before: u64,
}

/// Parts that a round left.
#[derive(Default)]
struct Left {
    /// Parts that were not tried, or not tried to the end.
    untried: Vec<Range<usize>>,
    /// Items that failed alone, with their reasons.
    accused: Vec<(usize, String)>,
    is_outage: bool,
}

type Tried<E> = (Range<usize>, Result<(), E>);

impl Isolation {
    /// An isolation that holds a batch for `patience` while its store is away, or until the token
    /// is cancelled.
    #[must_use]
    pub fn new(patience: Duration, shutdown: CancellationToken) -> Self {
        Self {
            times: Times { patience, doubt: DOUBT, pause: PAUSE },
            shutdown,
            applied: AtomicU64::new(0),
        }
    }

    /// Applies items; says of each, in order, what became of it.
    pub async fn apply<A: Attempt>(&self, attempt: &A, items: &[A::Item]) -> Vec<Outcome> {
        let outcomes = vec![Outcome::Undone(AGAIN); items.len()];
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
        let mut pause = self.isolation.times.pause.0;
        loop {
            let left = self.round(queue).await;
            if left.accused.is_empty() && left.untried.is_empty() {
                return self.outcomes;
            }
            let is_ending = self.isolation.shutdown.is_cancelled();
            if left.is_outage || is_ending {
                return self.leave(left, if is_ending { Duration::ZERO } else { AGAIN });
            }
            if self.has_evidence() {
                for (item, reason) in left.accused {
                    self.outcomes[item] = Outcome::Suspect(reason);
                }
                return self.outcomes;
            }
            if self.started.elapsed()
                >= self.isolation.times.doubt.min(self.isolation.times.patience)
            {
                return self.leave(left, DOUBT);
            }
            tracing::warn!(
                items = self.items.len(),
                "no message of the batch could be applied, will retry all"
            );
            tokio::select! { () = sleep(pause) => {} () = self.isolation.shutdown.cancelled() => {} }
            pause = (pause * 2).min(self.isolation.times.pause.1);
            queue = left
                .accused
                .into_iter()
                .map(|(item, _)| item..item + 1)
                .chain(left.untried)
                .collect();
        }
    }

    /// Leaves the rest undone.
    fn leave(mut self, left: Left, again: Duration) -> Vec<Outcome> {
        let items = left
            .accused
            .into_iter()
            .map(|(item, _)| item)
            .chain(left.untried.into_iter().flatten());
        for item in items {
            self.outcomes[item] = Outcome::Undone(again);
        }
        self.outcomes
    }

    /// Returns whether the store took something since this batch began.
    fn has_evidence(&self) -> bool {
        self.isolation.applied.load(Ordering::Relaxed) > self.applied_before
    }

    /// Tries parts, breadth first, so that those without a cause of failure are done first.
    async fn round(&mut self, mut queue: VecDeque<Range<usize>>) -> Left {
        let (mut left, mut running, mut split) = (Left::default(), FuturesUnordered::new(), None);
        loop {
            let is_over = left.is_outage
                || left.accused.len() >= LONE_FAILURES && !self.has_evidence()
                || split.is_some_and(|split: Instant| split.elapsed() >= SPLITTING);
            if is_over {
                left.untried.extend(queue.drain(..));
            }
            while running.len() < PARTS_AT_ONCE
                && let Some(part) = queue.pop_front()
            {
                running.push(try_part(
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
            match error.blame() {
                Blame::Outage => {
                    left.is_outage = true;
                    left.untried.push(part);
                }
                _ if part.len() > 1 => {
                    split.get_or_insert_with(Instant::now);
                    metrics::counter!("reminders_consumer_batches_split_total").increment(1);
                    queue.extend(parts(part));
                }
                Blame::Data => self.outcomes[part.start] = Outcome::Refused(error.reason()),
                Blame::Suspect | Blame::Conflict => left.accused.push((part.start, error.reason())),
            }
        }
    }
}

/// Tries a part until it is applied, or fails for what time does not mend.
async fn try_part<A: Attempt>(
    isolation: &Isolation,
    attempt: &A,
    items: &[A::Item],
    part: Range<usize>,
    started: Instant,
) -> Tried<A::Error> {
    let (mut pause, mut tries) = (isolation.times.pause.0, 0);
    loop {
        let Err(error) = attempt.attempt(&items[part.clone()]).await else { return (part, Ok(())) };
        tries += 1;
        let blame = error.blame();
        let is_tried_again = match blame {
            Blame::Data | Blame::Suspect => false,
            Blame::Conflict => tries < CONFLICT_TRIES,
            Blame::Outage => started.elapsed() < isolation.times.patience,
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            items = part.len(),
            ?blame,
            is_tried_again,
            "part of a batch was not applied"
        );
        if !is_tried_again || isolation.shutdown.is_cancelled() {
            return (part, Err(error));
        }
        metrics::counter!("reminders_consumer_batch_retries_total").increment(1);
        tokio::select! { () = sleep(pause) => {} () = isolation.shutdown.cancelled() => {} }
        pause = (pause * 2).min(isolation.times.pause.1);
    }
}

#[cfg(test)]
mod tests;
