//! List of a user's reminders by the time of their next delivery.

use sqlx::PgPool;

use super::{
    Error,
    rank::{BOUNDS, Considered, Ranked, rank},
};
use crate::{
    domain::reminder::{ByNextAt, NextAt, Reminder, Status},
    store::{Choice, Seen},
};

/// Part of the list.
#[derive(Debug)]
pub struct NextDeliveryPage {
    /// The reminders, in order.
    pub items: Vec<Seen<Reminder>>,
    /// Place after which the next page begins; `None` on the last page.
    pub next: Option<NextAt>,
}

/// Reads a page of a user's reminders, the one with the next delivery first; those without one come
/// last.
///
/// # Errors
/// If a statement or a task fails, or the rules take too long to search.
pub async fn list_by_next_delivery(
    pool: &PgPool,
    user_id: &str,
    status: Option<Status>,
    after: Option<NextAt>,
    limit: usize,
) -> Result<NextDeliveryPage, Error> {
    let choice = Choice { status, ..Choice::default() };
    // One more than the page shows tells if there is another page.
    let ranking = ByNextAt::new(after, limit + 1);
    let considered = Considered { choice, is_ahead: true };
    let ranked = rank(pool, user_id, considered, ranking, BOUNDS).await?;
    let Ranked { ranking, mut reminders, now, complete_until, .. } = ranked;
    let cut_off = complete_until.map(NextAt::before);
    if cut_off.is_some_and(|next| after.is_some_and(|after| next <= after)) {
        return Err(Error::TooCostly);
    }
    let mut places = ranking.into_places();
    places.retain(|place| cut_off.is_none_or(|next| *place <= next));
    let has_more = places.len() > limit;
    places.truncate(limit);
    let next = if has_more { places.last().copied() } else { cut_off };
    let items = places.iter().filter_map(|place| reminders.remove(&place.reminder_id));
    let items = items.map(|value| Seen { value, now }).collect();
    Ok(NextDeliveryPage { items, next })
}
