//! Agenda of a user: the occurrences of all reminders in the order of their times.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use sqlx::PgPool;

use super::{
    Error,
    compute::off_thread,
    rank::{BOUNDS, Bounds, Considered, Ranked, last_delivery_for, rank},
};
use crate::{
    domain::reminder::{Agenda, Entry, Position, Range, Reminder},
    store::{self, Choice},
};

/// Entry of an agenda with its reminder.
#[derive(Debug)]
pub struct AgendaEntry {
    /// The entry.
    pub entry: Entry,
    /// The reminder.
    pub reminder: Reminder,
    /// Times of the deliveries that are still to be sent.
    pub deliveries: Vec<DateTime<Utc>>,
}

/// Part of an agenda.
#[derive(Debug)]
pub struct AgendaPage {
    /// The entries, in order.
    pub entries: Vec<AgendaEntry>,
    /// Place after which the next page begins; `None` on the last page.
    pub next: Option<Position>,
    /// Number of reminders that were read for it.
    pub read: usize,
}

/// Reads a page of a user's agenda; `from` is now by default.
///
/// # Errors
/// If a statement or a task fails, or the rules take too long to search.
pub async fn list_agenda(
    pool: &PgPool,
    user_id: &str,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    after: Option<Position>,
    limit: usize,
) -> Result<AgendaPage, Error> {
    agenda_within(pool, user_id, from, to, after, limit, BOUNDS).await
}

pub(super) async fn agenda_within(
    pool: &PgPool,
    user_id: &str,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    after: Option<Position>,
    limit: usize,
    bounds: Bounds,
) -> Result<AgendaPage, Error> {
    let now = store::now(pool).await?;
    let range = Range { from: from.unwrap_or(now), to, after };
    let begin = range.after.map_or(range.from, |after| after.at.max(range.from));
    let choice = Choice { last_at: Some(last_delivery_for(begin)), to: range.to, status: None };
    let is_ahead = begin >= now;
    // One more than the page shows tells if there is another page.
    let ranking = Agenda::new(range, limit + 1);
    let considered = Considered { choice, is_ahead };
    let ranked = rank(pool, user_id, considered, ranking, bounds).await?;
    if let Some(until) = ranked.complete_until {
        let next = Position::before(until);
        let is_progress = next.at >= range.from && range.after.is_none_or(|after| next > after);
        if !is_ahead || !is_progress {
            return Err(Error::TooCostly);
        }
    }
    Ok(off_thread(user_id, move || page(ranked, range.from, limit)).await?)
}

fn page(ranked: Ranked<Agenda>, from: DateTime<Utc>, limit: usize) -> AgendaPage {
    let Ranked { ranking, mut reminders, now, complete_until, read } = ranked;
    let mut found = ranking.into_entries();
    if let Some(until) = complete_until {
        found.retain(|entry| entry.position.at < until);
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().map(|last| last.position);
    let next = if has_more { last } else { complete_until.map(Position::before) };
    let mut uses = HashMap::new();
    for entry in &found {
        *uses.entry(entry.position.reminder_id).or_insert(0_usize) += 1;
    }
    let entries = found.into_iter().filter_map(|entry| {
        let id = entry.position.reminder_id;
        let left = uses.get_mut(&id)?;
        *left -= 1;
        let reminder =
            if *left == 0 { reminders.remove(&id)? } else { reminders.get(&id)?.clone() };
        let deliveries = reminder.deliveries_of(&entry, from.min(now));
        Some(AgendaEntry { entry, reminder, deliveries })
    });
    AgendaPage { entries: entries.collect(), next, read }
}
