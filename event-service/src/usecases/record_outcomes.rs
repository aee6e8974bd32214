//! Counts the outcomes of deliveries, and ends the occurrences that all their deliveries have
//! ended.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use contract::{DeliveryState, OutcomeData, ReasonCode};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::incoming::{Effect, Incoming};

/// Outcomes of one occurrence in a batch, independent of their order.
struct Tally {
    notification_id: Uuid,
    due_at: DateTime<Utc>,
    sent: i32,
    failed: i32,
    suppressed: i32,
    deliveries: i32,
    /// Time and reason of the latest outcome.
    latest: Option<(DateTime<Utc>, Option<ReasonCode>)>,
}

impl Tally {
    fn of(fresh: &[&Incoming]) -> BTreeMap<Uuid, Self> {
        let mut tallies = BTreeMap::new();
        for event in fresh {
            let Effect::Outcome { notification_id, data } = &event.effect else { continue };
            let tally = tallies.entry(data.occurrence_id.into_uuid()).or_insert_with(|| Self {
                notification_id: *notification_id,
                due_at: data.due_at,
                sent: 0,
                failed: 0,
                suppressed: 0,
                deliveries: 0,
                latest: None,
            });
            tally.deliveries = tally.deliveries.max(data.deliveries);
            let Some(ended) = tally.ended_as(data.state) else { continue };
            *ended += 1;
            // What is corrected may be told later than this: until then its count is below nothing,
            // and the sum is right.
            if let Some(before) = data.corrects.and_then(|state| tally.ended_as(state)) {
                *before -= 1;
            }
            tally.latest = tally.latest.take().max(Some((data.at, data.reason.clone())));
        }
        tallies
    }

    /// Returns the counter of deliveries with this final state.
    fn ended_as(&mut self, state: DeliveryState) -> Option<&mut i32> {
        match state {
            DeliveryState::Sent => Some(&mut self.sent),
            DeliveryState::Failed => Some(&mut self.failed),
            DeliveryState::Suppressed => Some(&mut self.suppressed),
            DeliveryState::Pending | DeliveryState::Deferred => None,
        }
    }
}

/// Leaves out republished outcomes that are known already: an event's time is a part of its key,
/// and a republished one may have another time. A republished `deferred` postpones the watchdog's
/// next question until the quiet hours are over.
pub(super) async fn drop_known<'a>(
    connection: &mut PgConnection,
    incoming: Vec<&'a Incoming>,
) -> Result<Vec<&'a Incoming>, sqlx::Error> {
    let again: Vec<(&Incoming, &OutcomeData)> =
        incoming.iter().filter_map(|event| Some((*event, republished(event)?))).collect();
    if again.is_empty() {
        return Ok(incoming);
    }
    let ids: Vec<Uuid> = again.iter().map(|(event, _)| event.event.event_id).collect();
    let items: Vec<&str> = again.iter().map(|(event, _)| event.event.item_id.as_str()).collect();
    let known = sqlx::query_scalar!(
        "select event_id from events where item_id = any($1) and event_id = any($2)",
        &items as &[&str],
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let published_now = incoming
        .iter()
        .filter(|event| republished(event).is_none())
        .map(|event| event.event.event_id);
    let mut known: HashSet<Uuid> = known.into_iter().chain(published_now).collect();
    postpone_questions(connection, &again).await?;
    let is_new =
        |event: &&'a Incoming| republished(event).is_none() || known.insert(event.event.event_id);
    Ok(incoming.into_iter().filter(is_new).collect())
}

/// Returns the outcome if the event republishes one.
fn republished(event: &Incoming) -> Option<&OutcomeData> {
    match &event.effect {
        Effect::Outcome { data, .. } if data.republished => Some(data),
        _ => None,
    }
}

/// Postpones the watchdog's question about deferred deliveries until an hour after the end of the
/// quiet hours.
async fn postpone_questions(
    connection: &mut PgConnection,
    republished: &[(&Incoming, &OutcomeData)],
) -> Result<(), sqlx::Error> {
    let deferred = republished
        .iter()
        .filter_map(|(_, data)| Some((data.occurrence_id.into_uuid(), data.until?)));
    let (ids, until): (Vec<Uuid>, Vec<DateTime<Utc>>) = deferred.unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update unsettled set look_at = greatest(look_at, until + interval '1 hour'), asked = 0
         from unnest($1::uuid[], $2::timestamptz[]) as deferred (id, until)
         where occurrence_id = deferred.id",
        &ids,
        &until,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds the outcomes of a batch. An outcome of an unknown occurrence is stored as well: the event
/// that creates the occurrence then finds it released or ended.
///
/// An outcome may arrive before the scheduler's mark, or although the scheduler died before it. An
/// occurrence of a recurring notification stays pending until the mark all the same: the mark also
/// creates the next occurrence, without which the series would end.
pub(super) async fn count(
    connection: &mut PgConnection,
    fresh: &[&Incoming],
) -> Result<(), sqlx::Error> {
    let tallies = Tally::of(fresh);
    if tallies.is_empty() {
        return Ok(());
    }
    let column = |value: fn(&Tally) -> i32| tallies.values().map(value).collect::<Vec<i32>>();
    let (sent, failed, suppressed, deliveries) = (
        column(|tally| tally.sent),
        column(|tally| tally.failed),
        column(|tally| tally.suppressed),
        column(|tally| tally.deliveries),
    );
    let ids: Vec<Uuid> = tallies.keys().copied().collect();
    let notifications: Vec<Uuid> = tallies.values().map(|tally| tally.notification_id).collect();
    let due: Vec<DateTime<Utc>> = tallies.values().map(|tally| tally.due_at).collect();
    let at: Vec<Option<DateTime<Utc>>> =
        tallies.values().map(|tally| tally.latest.as_ref().map(|latest| latest.0)).collect();
    let reasons: Vec<Option<&str>> = tallies
        .values()
        .map(|tally| {
            tally.latest.as_ref().and_then(|latest| latest.1.as_ref().map(ReasonCode::as_str))
        })
        .collect();
    sqlx::query!(
        "with counted as (
         insert into occurrences as known (id, notification_id, due_at, sent, failed, suppressed,
             deliveries, outcome_at, reason, state, released_at)
         select *, occurrence_state_of(sent, failed, suppressed, deliveries), now()
         from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::int[], $6::int[],
             $7::int[], $8::timestamptz[], $9::text[])
             as told (id, notification_id, due_at, sent, failed, suppressed, deliveries,
                 outcome_at, reason)
         on conflict (id) do update set
             sent = known.sent + excluded.sent,
             failed = known.failed + excluded.failed,
             suppressed = known.suppressed + excluded.suppressed,
             deliveries = greatest(known.deliveries, excluded.deliveries),
             outcome_at = greatest(case when known.state <> 'cancelled' then known.outcome_at end,
                 excluded.outcome_at),
             reason = case
                 when known.state = 'cancelled' or known.outcome_at is null
                   or (excluded.outcome_at, coalesce(excluded.reason, '')) > (known.outcome_at,
                       coalesce(known.reason, '')) then excluded.reason
                 else known.reason
             end,
             released_at = coalesce(known.released_at, excluded.released_at),
             state = case
                 when known.pending and exists (select from notifications
                     where id = known.notification_id and recurrence is not null) then 'pending'
                 else occurrence_state_of(known.sent + excluded.sent,
                     known.failed + excluded.failed, known.suppressed + excluded.suppressed,
                                          greatest(known.deliveries, excluded.deliveries))
             end
         returning id, state, released_at
         )
         -- Quicker than the mark, and not the last outcome: no scheduler notes it any more.
         insert into releases (occurrences)
         select array_agg(id) from counted where state = 'released' and released_at = now()
             having count(*) > 0",
        &ids,
        &notifications,
        &due,
        &sent,
        &failed,
        &suppressed,
        &deliveries,
        &at as &[Option<DateTime<Utc>>],
        &reasons as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
