//! Occurrences that end unpublished: their state, and their events in the catalogue.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contract::{Event, OutcomeData};
use sqlx::PgConnection;
use uuid::Uuid;

use super::arrays;
use crate::domain::{claim::Lease, events::UnpublishedOutcome};

/// Ends occurrences under their leases; returns the time of each, in the milliseconds that messages
/// carry. An occurrence whose lease has passed on is left to its new holder.
///
/// # Errors
/// When the statement fails.
pub async fn end(
    connection: &mut PgConnection,
    leases: &[Lease],
    outcome: UnpublishedOutcome,
) -> Result<HashMap<Uuid, DateTime<Utc>>, sqlx::Error> {
    let (ids, fences) = arrays(leases);
    let rows = sqlx::query!(
        r#"update occurrences
           set state = $3::text::occurrence_state, reason = $4,
               outcome_at = date_trunc('milliseconds', now())
           from unnest($1::uuid[], $2::int[]) as claim (id, fence)
           where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
           returning occurrences.id, outcome_at as "at!""#,
        &ids,
        &fences,
        outcome.state().as_str(),
        outcome.reason().as_str(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.at)).collect())
}

/// Adds outcomes to the catalogue with the ids and times of their events: an event that comes back
/// by the queue is known.
///
/// # Errors
/// When the statement fails, or an outcome cannot be written as JSON.
pub async fn insert_events(
    connection: &mut PgConnection,
    events: &[Event<OutcomeData>],
) -> Result<(), sqlx::Error> {
    let occurred: Vec<DateTime<Utc>> = events.iter().map(|event| event.occurred_at).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let items: Vec<&str> = events.iter().map(|event| event.item_id.as_str()).collect();
    let users: Vec<&str> = events.iter().map(|event| event.user_id.as_str()).collect();
    let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
    let data: Result<Vec<serde_json::Value>, _> =
        events.iter().map(|event| serde_json::to_value(&event.data)).collect();
    sqlx::query!(
        "insert into events (occurred_at, event_id, event_type, item_id, user_id, version, data)
         select * from unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[],
             $6::bigint[], $7::jsonb[])
         on conflict (occurred_at, event_id) do nothing",
        &occurred,
        &ids,
        &types as &[&str],
        &items as &[&str],
        &users as &[&str],
        &versions,
        &data.map_err(|error| sqlx::Error::Encode(error.into()))?,
    )
    .execute(connection)
    .await?;
    Ok(())
}
