//! Search for the recurring reminders of a user that have an occurrence in a range.
//!
//! A statement leaves out the rules that begin later, have ended, or are known to have nothing
//! there; the others are searched in tasks of a bounded time each, and no further than the range.
//! All are searched for the total, also those that other pages show.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use uuid::Uuid;

use super::{
    Error,
    compute::off_thread,
    rank::{BOUNDS, Bounds, last_delivery_for},
};
use crate::{
    domain::reminder::{DueRange, Status},
    store::{self, Recurring, RecurringChoice, Slice},
};

/// Recurring reminders with an occurrence in a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueRecurring {
    /// The newest of them that a page may show.
    pub for_page: Vec<Uuid>,
    /// Number of all of them.
    pub total: i64,
}

/// State of a search between two tasks.
struct Search {
    found: DueRecurring,
    range: DueRange,
    /// Only reminders created before this one are on the page.
    before: Option<Uuid>,
    /// Number of reminders that a page may need.
    most: usize,
    spent: Duration,
}

impl Search {
    /// Searches rules until the time slice is used up, and returns those that are left.
    fn add(&mut self, recurring: Vec<Recurring>, slice: Duration) -> Vec<Recurring> {
        let started = Instant::now();
        let mut recurring = recurring.into_iter();
        for Recurring { id, schedule } in recurring.by_ref() {
            if schedule.is_due_in(self.range) {
                self.found.total += 1;
                let is_before = self.before.is_none_or(|before| id < before);
                if is_before && self.found.for_page.len() < self.most {
                    self.found.for_page.push(id);
                }
            }
            if started.elapsed() >= slice {
                break;
            }
        }
        self.spent += started.elapsed();
        recurring.collect()
    }
}

/// Finds the recurring reminders with an occurrence in a range.
///
/// # Errors
/// If a statement or a task fails, or the rules take too long to search.
pub async fn find_due(
    pool: &PgPool,
    user_id: &str,
    status: Option<Status>,
    range: DueRange,
    slice: Slice,
) -> Result<DueRecurring, Error> {
    find_within(pool, user_id, status, range, slice, BOUNDS).await
}

async fn find_within(
    pool: &PgPool,
    user_id: &str,
    status: Option<Status>,
    range: DueRange,
    slice: Slice,
    bounds: Bounds,
) -> Result<DueRecurring, Error> {
    let choice = RecurringChoice { status, range, last_at: range.from.map(last_delivery_for) };
    let most = (slice.offset + slice.limit) as usize + 1;
    let (found, spent) = Default::default();
    let mut search = Search { found, range, before: slice.before, most, spent };
    let mut before = None;
    loop {
        let mut left = store::recurring(pool, user_id, choice, before, bounds.chunk).await?;
        let is_last = (left.len() as i64) < bounds.chunk;
        before = left.last().map(|last| last.id);
        while !left.is_empty() {
            if search.spent >= bounds.total {
                return Err(Error::TooCostly);
            }
            (search, left) = off_thread(user_id, move || {
                let left = search.add(left, bounds.slice);
                (search, left)
            })
            .await?;
        }
        if is_last {
            return Ok(search.found);
        }
    }
}

#[cfg(test)]
mod tests;
