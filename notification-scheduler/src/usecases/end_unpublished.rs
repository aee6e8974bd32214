//! Ends occurrences that are not published: state, catalogue and outbox in one transaction.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contract::{Event, OutcomeData};
use service::outbox::OutboxMessage;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::events::{UnpublishedOutcome, ended, outbox_message},
    store::{Claimed, NoLongerPending, PublishStatus, Store, StoreError},
    usecases::compute_next_occurrences as next_occurrences,
};

const ACTION: &str = "end occurrences that are not to be published";

impl Store {
    /// Ends occurrences under their leases, adds the outcome to the catalogue and to the outbox,
    /// from which event-service's relay publishes it. Returns the number ended: an occurrence whose
    /// lease has passed on is left to its new holder, and one whose recurrence rule cannot be read
    /// stays pending.
    ///
    /// # Errors
    /// When a statement fails; nothing is ended then.
    pub async fn end(
        &self,
        claims: &[&Claimed],
        end: UnpublishedOutcome,
    ) -> Result<usize, StoreError> {
        let recurring: Vec<&Claimed> =
            claims.iter().copied().filter(|claimed| claimed.recurs).collect();
        let prepared = next_occurrences::prepare(&self.pool, &recurring).await?;
        let mut transaction = self.pool.begin().await.map_err(StoreError::of(ACTION))?;
        // Before the occurrences, as event-service locks them.
        let series = next_occurrences::lock(&mut transaction, &recurring, prepared).await?;
        let (staying_pending, claims): (Vec<&Claimed>, Vec<&Claimed>) = claims
            .iter()
            .copied()
            .partition(|claimed| claimed.recurs && series.must_stay_pending(claimed));
        let ended_at =
            mark(&mut transaction, &claims, end).await.map_err(StoreError::of(ACTION))?;
        let gone: Vec<NoLongerPending> = claims
            .iter()
            .filter(|claimed| ended_at.contains_key(&claimed.id))
            .map(|claimed| (claimed.notification_id, claimed.due_at))
            .collect();
        next_occurrences::insert_following(&mut transaction, &series, &gone).await?;
        let facts: Vec<Event<OutcomeData>> = claims
            .iter()
            .filter_map(|claimed| ended_at.get(&claimed.id).map(|at| ended(claimed, end, *at)))
            .collect();
        remember(&mut transaction, &facts).await?;
        leave_in_outbox(&mut transaction, &facts).await?;
        transaction.commit().await.map_err(StoreError::of(ACTION))?;
        self.keep_pending(&staying_pending, PublishStatus::NotPublished).await?;
        Ok(facts.len())
    }
}

/// Marks occurrences as ended; returns the time of each, in the milliseconds that messages carry.
async fn mark(
    connection: &mut PgConnection,
    claims: &[&Claimed],
    end: UnpublishedOutcome,
) -> Result<HashMap<Uuid, DateTime<Utc>>, sqlx::Error> {
    let ids: Vec<Uuid> = claims.iter().map(|claimed| claimed.id).collect();
    let fences: Vec<i32> = claims.iter().map(|claimed| claimed.fence).collect();
    let rows = sqlx::query!(
        r#"update occurrences
           set state = $3::text::occurrence_state, reason = $4,
               outcome_at = date_trunc('milliseconds', now())
           from unnest($1::uuid[], $2::int[]) as claim (id, fence)
           where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
           returning occurrences.id, outcome_at as "at!""#,
        &ids,
        &fences,
        end.state().as_str(),
        end.reason().as_str(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.at)).collect())
}

/// Adds outcomes to the catalogue with the ids and times of their events: an event that comes back
/// by the queue is known.
async fn remember(
    connection: &mut PgConnection,
    facts: &[Event<OutcomeData>],
) -> Result<(), StoreError> {
    let occurred: Vec<DateTime<Utc>> = facts.iter().map(|fact| fact.occurred_at).collect();
    let ids: Vec<Uuid> = facts.iter().map(|fact| fact.event_id).collect();
    let types: Vec<&str> = facts.iter().map(|fact| fact.event_type.as_str()).collect();
    let items: Vec<&str> = facts.iter().map(|fact| fact.item_id.as_str()).collect();
    let users: Vec<&str> = facts.iter().map(|fact| fact.user_id.as_str()).collect();
    let versions: Vec<i64> = facts.iter().map(|fact| fact.version).collect();
    let data: Result<Vec<serde_json::Value>, _> =
        facts.iter().map(|fact| serde_json::to_value(&fact.data)).collect();
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
        &data.map_err(StoreError::of(ACTION))?,
    )
    .execute(connection)
    .await
    .map_err(StoreError::of(ACTION))?;
    Ok(())
}

/// Inserts outbox rows without a lease: event-service's relay publishes them with its next sweep.
async fn leave_in_outbox(
    connection: &mut PgConnection,
    facts: &[Event<OutcomeData>],
) -> Result<(), StoreError> {
    let messages: Result<Vec<OutboxMessage>, _> = facts.iter().map(outbox_message).collect();
    let messages = messages.map_err(StoreError::of(ACTION))?;
    let ids: Vec<Uuid> = messages.iter().map(|message| message.event_id).collect();
    let bodies: Vec<&str> = messages.iter().map(|message| message.message.body.as_str()).collect();
    let attributes: Vec<serde_json::Value> =
        messages.iter().map(|message| serde_json::json!(message.message.attributes)).collect();
    sqlx::query!(
        "insert into outbox (event_id, body, attributes, lease_until)
         select event_id, body, attributes, '-infinity'
             from unnest($1::uuid[], $2::text[], $3::jsonb[]) as fact (event_id, body, attributes)
         on conflict (event_id) do nothing",
        &ids,
        &bodies as &[&str],
        &attributes,
    )
    .execute(connection)
    .await
    .map_err(StoreError::of(ACTION))?;
    Ok(())
}
