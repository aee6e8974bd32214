//! Record of outcomes of deliveries: each is counted once, and ends its occurrence if it is the
//! last.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use contract::OutcomeData;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{incoming::Incoming, outcome_counts::OutcomeCounts},
    store::{catalogue, occurrences, unsettled},
};

/// Drops republished outcomes that are known already: an event's time is a part of its key, and a
/// republished one may have another time. A republished `deferred` postpones the watchdog's next
/// question until the quiet hours are over.
pub(super) async fn drop_known<'a>(
    connection: &mut PgConnection,
    incoming: Vec<&'a Incoming>,
) -> Result<Vec<&'a Incoming>, sqlx::Error> {
    let republished: Vec<(&Incoming, &OutcomeData)> =
        incoming.iter().filter_map(|event| Some((*event, event.republished_outcome()?))).collect();
    if republished.is_empty() {
        return Ok(incoming);
    }
    let ids: Vec<Uuid> = republished.iter().map(|(event, _)| event.event.event_id).collect();
    let items: Vec<&str> =
        republished.iter().map(|(event, _)| event.event.item_id.as_str()).collect();
    let known = catalogue::known_among(connection, &items, &ids).await?;
    let published_now = incoming
        .iter()
        .filter(|event| event.republished_outcome().is_none())
        .map(|event| event.event.event_id);
    let mut known: HashSet<Uuid> = known.into_iter().chain(published_now).collect();
    let deferred = republished
        .iter()
        .filter_map(|(_, data)| Some((data.occurrence_id.into_uuid(), data.until?)));
    let (occurrences, until): (Vec<Uuid>, Vec<DateTime<Utc>>) = deferred.unzip();
    unsettled::postpone_deferred(connection, &occurrences, &until).await?;
    let is_new = |event: &&'a Incoming| {
        event.republished_outcome().is_none() || known.insert(event.event.event_id)
    };
    Ok(incoming.into_iter().filter(is_new).collect())
}

/// Counts the outcomes among new events.
pub(super) async fn count(
    connection: &mut PgConnection,
    new: &[&Incoming],
) -> Result<(), sqlx::Error> {
    occurrences::count_outcomes(connection, &OutcomeCounts::by_occurrence(new)).await
}
