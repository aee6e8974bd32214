//! Ranking of all of a user's reminders by time, without reading those that come later than a page
//! shows.
//!
//! Each row has a time before which it has neither an occurrence nor a delivery (`nothing_before`),
//! and an index has the rows in the order of these times. A ranking reads them in this order until
//! no later one can be among the first. Times that have passed, or are not known since a change,
//! are computed and stored on the way. So a row may move while others are read: each is added once,
//! and those that a change moved back are read at the end.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use contract::bounds::MAX_OFFSET_MINUTES;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Error, compute::off_thread};
use crate::{
    domain::reminder::{Ranking, Reminder},
    store::{self, Candidate, Choice, Moved},
};

/// Bounds of the work of one ranking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Reminders that are read at once.
    pub(super) chunk: i64,
    /// Time after which a task lets those of other users run.
    pub(super) slice: Duration,
    /// Time of the tasks after which a ranking ends.
    pub(super) total: Duration,
}

/// Bounds of the work of a page.
pub(super) const BOUNDS: Bounds =
    Bounds { chunk: 1_000, slice: Duration::from_millis(50), total: Duration::from_secs(2) };

/// Reminders that a ranking considers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Considered {
    /// Filter of the rows.
    pub(super) choice: Choice,
    /// `true` if the ranking is about times after now only, so that it may end early.
    pub(super) is_ahead: bool,
}

/// A ranking, with the reminders that are among the first.
#[derive(Debug)]
pub(super) struct Ranked<R> {
    pub(super) ranking: R,
    pub(super) reminders: HashMap<Uuid, Reminder>,
    /// Time at which the reminders were read.
    pub(super) now: DateTime<Utc>,
    /// Number of reminders that were read.
    pub(super) read: usize,
    /// Time from which on other reminders may have something, as the work was cut off; `None` if
    /// the ranking is complete.
    pub(super) complete_until: Option<DateTime<Utc>>,
}

/// State of a ranking between two tasks.
struct Scan<R> {
    ranked: Ranked<R>,
    is_ahead: bool,
    is_finished: bool,
    /// Reminders that were added.
    added: HashSet<Uuid>,
    moved: Vec<Moved>,
    spent: Duration,
}

impl<R: Ranking> Scan<R> {
    /// Adds candidates until the time slice is used up, and returns those that are left.
    fn add(&mut self, candidates: Vec<Candidate>, slice: Duration) -> Vec<Candidate> {
        let started = Instant::now();
        let mut candidates = candidates.into_iter();
        let Ranked { ranking, reminders, now, .. } = &mut self.ranked;
        for candidate in candidates.by_ref() {
            let (before, reminder) = (candidate.place.0, candidate.seen.value);
            if self.is_ahead && !ranking.may_have_from(before) {
                self.is_finished = true;
                break;
            }
            if !self.added.insert(reminder.id) {
                continue;
            }
            if before <= *now {
                let place = reminder.nothing_before(*now).unwrap_or(store::NEVER);
                if place != before {
                    self.moved.push((reminder.id, reminder.version, place));
                }
            }
            ranking.add(&reminder, *now);
            if ranking.contains(reminder.id) {
                reminders.insert(reminder.id, reminder);
            }
            if started.elapsed() >= slice {
                break;
            }
        }
        reminders.retain(|id, _| ranking.contains(*id));
        self.spent += started.elapsed();
        candidates.collect()
    }
}

/// Ranks a user's reminders.
///
/// # Errors
/// If a statement or a task fails.
pub(super) async fn rank<R: Ranking + Send + 'static>(
    pool: &PgPool,
    user_id: &str,
    considered: Considered,
    ranking: R,
    bounds: Bounds,
) -> Result<Ranked<R>, Error> {
    let Considered { choice, is_ahead } = considered;
    let now = store::now(pool).await?;
    let ranked = Ranked { ranking, reminders: HashMap::new(), now, read: 0, complete_until: None };
    let (is_finished, spent) = (false, Duration::ZERO);
    let (added, moved) = Default::default();
    let mut scan = Scan { ranked, is_ahead, is_finished, added, moved, spent };
    let mut after = store::FIRST_PLACE;
    while !scan.is_finished {
        let chunk = store::candidates(pool, user_id, after, choice, bounds.chunk).await?;
        let Some(last) = chunk.last() else { break };
        after = last.place;
        let is_last = (chunk.len() as i64) < bounds.chunk;
        scan = add_all(pool, user_id, scan, chunk, bounds).await?;
        if scan.ranked.complete_until.is_some() {
            return Ok(scan.ranked);
        }
        if is_last {
            break;
        }
    }
    let mut unknown =
        store::candidates(pool, user_id, store::FIRST_PLACE, choice, bounds.chunk).await?;
    scan.is_finished = false;
    unknown.retain(|candidate| candidate.place.0 <= now);
    Ok(add_all(pool, user_id, scan, unknown, bounds).await?.ranked)
}

/// Adds candidates in tasks of a bounded time each, and stores the places of those that moved.
async fn add_all<R: Ranking + Send + 'static>(
    pool: &PgPool,
    user_id: &str,
    mut scan: Scan<R>,
    candidates: Vec<Candidate>,
    bounds: Bounds,
) -> Result<Scan<R>, Error> {
    scan.ranked.read += candidates.len();
    let mut left = candidates;
    while let Some(next) = left.first() {
        if scan.spent >= bounds.total {
            scan.ranked.complete_until = Some(next.place.0);
            break;
        }
        (scan, left) = off_thread(user_id, move || {
            let left = scan.add(left, bounds.slice);
            (scan, left)
        })
        .await?;
        if scan.is_finished {
            break;
        }
    }
    if !scan.moved.is_empty() {
        store::store_places(pool, &std::mem::take(&mut scan.moved)).await?;
    }
    Ok(scan)
}

/// Time of the last delivery before which a reminder has no occurrence at `from` or later.
pub(super) fn last_delivery_for(from: DateTime<Utc>) -> DateTime<Utc> {
    let offset = TimeDelta::minutes(MAX_OFFSET_MINUTES.into());
    from.checked_sub_signed(offset).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests;
