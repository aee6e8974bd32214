//! Released occurrences without an outcome: found an hour after their release, and asked about
//! until they have one.
//!
//! The scheduler records each released batch as a row of `releases`. Occurrences of a batch that
//! have no outcome after an hour are moved to `unsettled`, and a command asks
//! notification-service's ledger about each. Rows are read one by one: a row that this binary
//! cannot read, because a newer one wrote it, is postponed alone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contract::{
    Event, EventType, ItemId, MalformedId, NotifyContent, Reason, ReconcileData, Schema, SendData,
    Unknown, event_id_of,
};
use db::interval;
use service::outbox::OutboxMessage;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, commands};
use crate::usecases::Error;

/// Advisory lock of the watchdog: one replica runs at a time.
const WATCHDOG: i64 = 0x7761_7463_6864_6f67;
/// Batches of releases that one transaction processes: up to 500 occurrences each.
const RELEASES: i64 = 40;
/// Occurrences that one transaction asks about.
const ASKED: i64 = 500;

/// Counts of one run of the watchdog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchdogRun {
    /// `true` if another replica is running; nothing was done.
    pub busy: bool,
    /// `true` if there may be more to process.
    pub more: bool,
    /// Occurrences that the ledger was asked about.
    pub asked: u64,
    /// Occurrences that had an outcome already.
    pub settled: u64,
    /// Occurrences that were cancelled because their notification no longer exists.
    pub orphaned: u64,
    /// Occurrences that were postponed because this binary cannot read their notification.
    pub unreadable: u64,
}

/// Counts for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// Occurrences without an outcome that the ledger was asked about more than once.
    pub asked_again: i64,
    /// Commands for the notification topic that can never be published.
    pub parked_commands: i64,
}

/// An occurrence that the ledger is asked about.
struct OpenOccurrence {
    id: Uuid,
    due_at: DateTime<Utc>,
    date: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    expired: bool,
    asked: i32,
    source: String,
    item_id: String,
    user_id: String,
    user_email: Option<String>,
    version: i64,
    item_changed_at: DateTime<Utc>,
    /// JSON; `None` if the notification is deleted.
    content: Option<String>,
    traceparent: Option<String>,
    now: DateTime<Utc>,
}

impl Store {
    /// Processes a part of the occurrences that were released longer than `after` ago. For each one
    /// without an outcome it writes a command, which the scheduler relays, that asks
    /// notification-service for the outcome. The question is repeated after the same time.
    ///
    /// # Errors
    /// [`Error`]: nothing was done.
    pub async fn watch(&self, after: Duration) -> Result<WatchdogRun, Error> {
        let mut transaction = self.pool.begin().await?;
        let alone =
            sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "alone!""#, WATCHDOG);
        if !alone.fetch_one(&mut *transaction).await? {
            return Ok(WatchdogRun { busy: true, ..WatchdogRun::default() });
        }
        let batches = move_unsettled(&mut transaction, after).await?;
        let (open, settled, orphaned) = read_due(&mut transaction).await?;
        delete(&mut transaction, &settled).await?;
        end_orphans(&mut transaction, &orphaned).await?;
        let commands: Vec<OutboxMessage> = open.iter().filter_map(readable_command).collect();
        commands::insert(&mut transaction, &commands).await?;
        let ids: Vec<Uuid> = open.iter().map(|occurrence| occurrence.id).collect();
        postpone(&mut transaction, &ids, after).await?;
        transaction.commit().await?;
        let processed = open.len() + settled.len() + orphaned.len();
        Ok(WatchdogRun {
            busy: false,
            more: batches == RELEASES || processed as i64 == ASKED,
            asked: commands.len() as u64,
            settled: settled.len() as u64,
            orphaned: orphaned.len() as u64,
            unreadable: (open.len() - commands.len()) as u64,
        })
    }

    /// Counts occurrences without an outcome that were asked about, and parked commands.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unsettled(&self) -> Result<Unsettled, sqlx::Error> {
        sqlx::query_as!(
            Unsettled,
            r#"select
                   (select count(*) from unsettled where asked > 1) as "asked_again!",
                   (select count(*) from commands
                       where parked_reason is not null) as "parked_commands!""#
        )
        .fetch_one(&self.pool)
        .await
    }
}

/// Moves released occurrences without an outcome to `unsettled`; returns the number of batches
/// processed. Batches are read in the order of their ids, up to the first that is too young.
async fn move_unsettled(
    connection: &mut PgConnection,
    after: Duration,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with old as (
               delete from releases
               where id in (
                   select id from (select id, released_at from releases order by id
                       limit $2) as oldest
                   where released_at <= now() - $1::interval
               )
               returning occurrences
           ), noted as (
               insert into unsettled (occurrence_id, look_at)
               select known.id, now()
               from (select unnest(occurrences) as id from old) as released
               join occurrences as known on known.id = released.id
               where known.state = 'released'
               on conflict (occurrence_id) do nothing
           )
           select count(*) as "batches!" from old"#,
        interval(after),
        RELEASES,
    )
    .fetch_one(connection)
    .await
}

/// Returns occurrences to ask about, those that have an outcome, and those whose notification no
/// longer exists.
async fn read_due(
    connection: &mut PgConnection,
) -> Result<(Vec<OpenOccurrence>, Vec<Uuid>, Vec<Uuid>), Error> {
    let rows = sqlx::query!(
        r#"select due.occurrence_id as "occurrence_id!", due.asked as "asked!",
            coalesce(known.state = 'released', false) as "is_open!",
               known.due_at as "due_at?", known.date as "date?", known.expires_at as "expires_at?",
               coalesce(known.expires_at <= now(), false) as "expired!",
                   wanted.source as "source?", wanted.item_id as "item_id?",
               wanted.user_id as "user_id?", wanted.user_email as "user_email?",
                   wanted.version as "version?",
               wanted.occurred_at as "item_changed_at?",
               wanted.content::text as "content?", wanted.traceparent as "traceparent?",
                   now() as "now!"
           from (select occurrence_id, asked from unsettled where look_at <= now() order by look_at
               limit $1) as due
           left join occurrences as known on known.id = due.occurrence_id
           left join notifications as wanted on wanted.id = known.notification_id"#,
        ASKED,
    )
    .fetch_all(connection)
    .await?;
    let (mut open, mut settled, mut orphaned) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let owner =
            row.source.zip(row.item_id).zip(row.user_id).zip(row.version).zip(row.item_changed_at);
        let times = row.due_at.zip(row.date).zip(row.expires_at);
        match (owner, times) {
            _ if !row.is_open => settled.push(row.occurrence_id),
            (
                Some(((((source, item_id), user_id), version), item_changed_at)),
                Some(((due_at, date), expires_at)),
            ) => open.push(OpenOccurrence {
                id: row.occurrence_id,
                due_at,
                date,
                expires_at,
                expired: row.expired,
                asked: row.asked,
                source,
                item_id,
                user_id,
                user_email: row.user_email,
                version,
                item_changed_at,
                content: row.content,
                traceparent: row.traceparent,
                now: row.now,
            }),
            _ => orphaned.push(row.occurrence_id),
        }
    }
    Ok((open, settled, orphaned))
}

/// Reason why no command can be made of a row.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("the stored id of the item is malformed")]
    ItemId(#[from] MalformedId),
    #[error("the stored content is unreadable")]
    Content(#[from] serde_json::Error),
}

/// Builds the command that asks about an occurrence. Returns `None` for a row that this binary
/// cannot read, which is counted and logged.
fn readable_command(open: &OpenOccurrence) -> Option<OutboxMessage> {
    match command(open) {
        Ok(command) => Some(command),
        Err(error) => {
            metrics::counter!("reminders_unreadable_rows_total", "table" => "notifications")
                .increment(1);
            tracing::error!(
                error = &error as &dyn std::error::Error,
                occurrence.id = %open.id.simple(),
                "notification is unreadable by this version, reconciliation of its occurrence is \
                 postponed"
            );
            None
        }
    }
}

/// Builds the command that asks about an occurrence. A repeated question has the same event id.
fn command(open: &OpenOccurrence) -> Result<OutboxMessage, Unreadable> {
    let item_id: ItemId = open.item_id.parse()?;
    // What has expired is sent no more, whatever it says.
    let content = open
        .content
        .as_deref()
        .filter(|_| !open.expired)
        .map(serde_json::from_str::<NotifyContent>);
    let send = content.transpose()?.map(|content| SendData {
        occurrence_id: open.id.simple(),
        source: open.source.clone(),
        item_id: item_id.clone(),
        due_at: open.due_at,
        date: open.date,
        expires_at: open.expires_at,
        item_changed_at: Some(open.item_changed_at),
        as_of: None,
        content,
    });
    let otherwise =
        if open.content.is_some() { Unknown::LostInTransit } else { Unknown::Cancelled };
    let event_type = EventType::NotificationReconcile;
    let data = ReconcileData {
        occurrence_id: open.id.simple(),
        source: open.source.clone(),
        due_at: open.due_at,
        send,
        otherwise,
    };
    Ok(OutboxMessage::of(&Event {
        event_type,
        event_id: event_id_of(&format!("{}\n{event_type}\n{}", open.id.simple(), open.asked)),
        occurred_at: open.now,
        user_id: open.user_id.clone(),
        user_email: open.user_email.clone(),
        item_id,
        version: open.version,
        schema: Schema::V2,
        traceparent: open.traceparent.as_deref().and_then(|text| text.parse().ok()),
        data,
    })?)
}

async fn delete(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    if !ids.is_empty() {
        sqlx::query!("delete from unsettled where occurrence_id = any($1)", ids)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Cancels occurrences whose notification no longer exists: no question can be asked about them.
async fn end_orphans(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update occurrences set state = 'cancelled', reason = $2, outcome_at = now()
         where id = any($1) and state = 'released'",
        ids,
        Reason::NotificationGone.as_str(),
    )
    .execute(&mut *connection)
    .await?;
    delete(connection, ids).await
}

async fn postpone(
    connection: &mut PgConnection,
    ids: &[Uuid],
    after: Duration,
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update unsettled set look_at = now() + $2::interval, asked = asked + 1
            where occurrence_id = any($1)",
        ids,
        interval(after),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Postpones the next question about deferred deliveries until an hour after the end of their quiet
/// hours.
///
/// # Errors
/// If the statement fails.
pub async fn postpone_deferred(
    connection: &mut PgConnection,
    ids: &[Uuid],
    until: &[DateTime<Utc>],
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update unsettled set look_at = greatest(look_at, until + interval '1 hour'), asked = 0
         from unnest($1::uuid[], $2::timestamptz[]) as deferred (id, until)
         where occurrence_id = deferred.id",
        ids,
        until,
    )
    .execute(connection)
    .await?;
    Ok(())
}
