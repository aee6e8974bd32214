//! Receives from queues under a visibility timeout, and counts them.
//!
//! Any program with the privilege to insert into the table of a queue may insert any row. A row
//! that cannot be read does not affect the others: its statement has no effect, the batch is read
//! again in halves until the row is isolated, and that row is moved to the dead letters.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backoff::Backoff;
use chrono::{DateTime, Utc};
use contract::Reason;
use db::{
    interval,
    wake::{self, Step},
};
use sqlx::AssertSqlSafe;

use super::{
    PostgresBus, bounded, error,
    low_water_mark::Observation,
    queue::{MAX_SMALL_TEXT_BYTES, Queue},
};
use crate::{
    Depth, Error, MAX_RECEIVE_BYTES, Receipt, Received, attributes_in, limits::detail_text,
};

/// Pauses after reads without a message. No connection is held during them.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(50));
/// Time for which a row is hidden that can be neither read nor moved.
const POSTPONEMENT: Duration = Duration::from_secs(60 * 60);
const RECEIVE: &str = "receive from a queue";

/// Columns of a received message: msg_id, read_ct, enqueued_at, headers as JSON text, body. The
/// last two are `None` if the text is too large.
pub(super) type Row = (i64, i32, DateTime<Utc>, Option<String>, Option<String>);

/// Explains why a row cannot be read.
pub(super) fn unreadable_detail(problem: &sqlx::Error) -> String {
    detail_text(&format!("the row cannot be read: {}", error::code(problem)))
}

/// Rows of a statement, or the error of the database for a row that it cannot read.
type Rows = Result<Vec<Row>, sqlx::Error>;

impl PostgresBus {
    pub(super) async fn receive_from(
        &self,
        queue: &Queue,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut empty_reads = 0;
        loop {
            let woken = queue.idle.woken();
            let now = tokio::time::Instant::now();
            if let Some(until) = queue.idle.sleeps_until(now).filter(|_| !wait.is_zero()) {
                if self.listener().is_listening() {
                    let _ = tokio::time::timeout_at(until.min(deadline), woken).await;
                    if tokio::time::Instant::now() >= deadline {
                        return Ok(Vec::new());
                    }
                } else {
                    queue.idle.wake();
                }
                continue;
            }
            let received = self.read(queue, max, visibility).await?;
            let now = tokio::time::Instant::now();
            let left = deadline.saturating_duration_since(now);
            if !received.is_empty() {
                queue.idle.wake();
                return Ok(received);
            }
            if left.is_zero() {
                return Ok(received);
            }
            match queue.idle.found_nothing(now) {
                Step::Poll => {
                    empty_reads += 1;
                    tokio::time::sleep(BACKOFF.pause(empty_reads).min(left)).await;
                }
                Step::Announce(wakes) => self.announce_sleep(queue, wakes).await,
                Step::Sleep => self.begin_sleep(queue, now).await,
            }
        }
    }

    /// Announces to publishers that the readers of a queue are about to sleep, if they would be
    /// woken. If that fails, they go on polling.
    async fn announce_sleep(&self, queue: &Queue, wakes: u64) {
        if self.listener().is_listening() {
            let began = tokio::time::Instant::now();
            let query = sqlx::query(
                "with free as (select name from bus.queues where name = $1 for update skip locked)
                update bus.queues as queue set asleep_until = now() + $2
                from free where queue.name = free.name",
            );
            let query = query.bind(&queue.name).bind(interval(wake::ANNOUNCEMENT));
            match bounded(RECEIVE, query.execute(&self.pool)).await {
                Ok(announced) if announced.rows_affected() > 0 => {
                    queue.idle.announced(wakes, began);
                    return;
                }
                Ok(_) => {}
                Err(error) => stays_awake(queue, &error),
            }
        }
        tokio::time::sleep(BACKOFF.pause(u32::MAX)).await;
    }

    /// Lets the readers of a queue sleep until its next hidden message becomes visible. Messages
    /// that are visible now were locked by others, or became visible since the last read.
    async fn begin_sleep(&self, queue: &Queue, now: tokio::time::Instant) {
        let from = queue.low_water_mark().mark();
        let query = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&queue.sql.next_visible)));
        let next: Result<Option<f64>, Error> =
            bounded(RECEIVE, query.bind(from).fetch_one(&self.pool)).await;
        match next {
            Ok(None) => queue.idle.sleep(now, None),
            Ok(Some(seconds)) if seconds > 0.0 => {
                let next = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                queue.idle.sleep(now, Some(next));
            }
            Ok(Some(_)) => tokio::time::sleep(BACKOFF.pause(u32::MAX)).await,
            Err(error) => {
                stays_awake(queue, &error);
                tokio::time::sleep(BACKOFF.pause(u32::MAX)).await;
            }
        }
    }

    /// Wakes the readers of a queue in all processes.
    pub(super) async fn wake(&self, queue: &Queue) -> Result<(), Error> {
        let query = sqlx::query("select bus.wake($1)").bind(&queue.name);
        bounded("wake readers", query.execute(&self.pool)).await.map(drop)
    }

    async fn read(
        &self,
        queue: &Queue,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Received>, Error> {
        let plan = queue.low_water_mark().plan(Instant::now());
        let from = if plan.observes { self.observe(queue, plan.from).await? } else { plan.from };
        let max = queue.row_limit(max);
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.receive)))
            .bind(from)
            .bind(limit(max))
            .bind(interval(visibility))
            .bind(limit(MAX_RECEIVE_BYTES));
        let mut rows = match readable(RECEIVE, query.fetch_all(&self.pool)).await? {
            Ok(rows) => rows,
            Err(unreadable) => {
                tracing::warn!(
                    error = %unreadable,
                    queue = queue.name,
                    "unreadable message in a batch, will read it in parts"
                );
                self.read_in_parts(queue, from, max, visibility).await?
            }
        };
        let too_large: Vec<Row> =
            rows.extract_if(.., |row| row.3.is_none() || row.4.is_none()).collect();
        if !too_large.is_empty() {
            self.reject_large(queue, &too_large).await;
        }
        rows.sort_unstable_by_key(|row| row.0);
        queue.low_water_mark().received(rows.iter().map(|row| row.0));
        queue.record_size(rows.len(), rows.iter().map(bytes).sum());
        Ok(rows.into_iter().map(received).collect())
    }

    /// Reads the same rows by halves to isolate and dead-letter the row that cannot be read.
    ///
    /// Rows that are still locked by the rollback of a failed statement are read next time.
    async fn read_in_parts(
        &self,
        queue: &Queue,
        from: i64,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Row>, Error> {
        let query = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&queue.sql.visible)))
            .bind(from)
            .bind(limit(max));
        let ids: Vec<i64> = bounded(RECEIVE, query.fetch_all(&self.pool)).await?;
        let (mut rows, mut left, mut parts) = (Vec::new(), MAX_RECEIVE_BYTES, vec![&ids[..]]);
        while let Some(part) = parts.pop() {
            if part.is_empty() || left == 0 {
                continue;
            }
            let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.receive_by_id)))
                .bind(part)
                .bind(limit(part.len()))
                .bind(interval(visibility))
                .bind(limit(left));
            match readable(RECEIVE, query.fetch_all(&self.pool)).await {
                Ok(Ok(read)) => {
                    left = left.saturating_sub(read.iter().map(bytes).sum());
                    rows.extend(read);
                }
                Ok(Err(unreadable)) => match part {
                    [id] => self.quarantine(queue, *id, &unreadable).await,
                    _ => {
                        let (low, high) = part.split_at(part.len() / 2);
                        parts.extend([high, low]);
                    }
                },
                // Rows that were received before are hidden and must be returned.
                Err(_) if !rows.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// Moves small rows whose text is large to the dead letters. If that fails, they are received
    /// again.
    async fn reject_large(&self, queue: &Queue, rows: &[Row]) {
        let reason = Reason::TooLarge.as_str();
        let detail = format!("its numbers make its text larger than {MAX_SMALL_TEXT_BYTES} bytes");
        tracing::error!(
            messages = rows.len(),
            reason,
            detail,
            queue = queue.name,
            "message was dead-lettered"
        );
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.reject)))
            .bind(rows.iter().map(|row| row.0).collect::<Vec<i64>>())
            .bind(rows.iter().map(|row| row.1).collect::<Vec<i32>>())
            .bind(vec![reason; rows.len()])
            .bind(vec![detail; rows.len()]);
        if let Err(error) =
            bounded("move messages to the dead letters", query.execute(&self.pool)).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                queue = queue.name,
                "message was not dead-lettered, will retry"
            );
        }
    }

    /// Moves a row that cannot be read to the dead letters. If that fails too, the row is hidden
    /// for [`POSTPONEMENT`].
    async fn quarantine(&self, queue: &Queue, id: i64, problem: &sqlx::Error) {
        let (reason, detail) = (Reason::Unreadable, unreadable_detail(problem));
        tracing::error!(
            message.id = id,
            %reason,
            detail,
            queue = queue.name,
            "message was dead-lettered"
        );
        let query =
            sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.quarantine))).bind(id).bind(detail);
        if bounded("move messages to the dead letters", query.execute(&self.pool)).await.is_err() {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.postpone)))
                .bind(id)
                .bind(interval(POSTPONEMENT));
            if let Err(error) = bounded("hide a message", query.execute(&self.pool)).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    message.id = id,
                    "unreadable message could not be hidden, will be received again"
                );
            }
        }
    }

    /// Observes the lowest row; returns the new low-water mark.
    async fn observe(&self, queue: &Queue, from: i64) -> Result<i64, Error> {
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.observe))).bind(from);
        let (lowest, last_drawn, xmin, xmax) =
            bounded(RECEIVE, query.fetch_one(&self.pool)).await?;
        let observation = Observation { lowest, last_drawn, xmin, xmax };
        Ok(queue.low_water_mark().observe(observation, Instant::now()))
    }

    pub(super) async fn depth_of(&self, queue: &Queue) -> Result<Depth, Error> {
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.depth)));
        let (visible, in_flight, delayed): (i64, i64, i64) =
            bounded("count a queue", query.fetch_one(&self.pool)).await?;
        Ok(Depth {
            visible: visible.unsigned_abs(),
            in_flight: in_flight.unsigned_abs(),
            delayed: delayed.unsigned_abs(),
        })
    }
}

fn stays_awake(queue: &Queue, error: &Error) {
    tracing::debug!(
        error = error as &dyn std::error::Error,
        queue = queue.name,
        "readers of an idle queue cannot sleep, will go on polling"
    );
}

/// Awaits rows; the inner error is that of a row that the database cannot read.
pub(super) async fn readable(
    action: &'static str,
    call: impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send,
) -> Result<Rows, Error> {
    bounded(action, async {
        match call.await {
            Err(unreadable) if error::is_row_unreadable(&unreadable) => Ok(Err(unreadable)),
            Err(other) => Err(other),
            Ok(rows) => Ok(Ok(rows)),
        }
    })
    .await
}

pub(super) fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

fn bytes((_, _, _, headers, body): &Row) -> usize {
    headers.as_ref().map_or(0, String::len) + body.as_ref().map_or(0, String::len)
}

pub(super) fn received((msg_id, read_ct, sent_at, headers, body): Row) -> Received {
    Received {
        receipt: Receipt(format!("{msg_id}.{read_ct}")),
        message_id: msg_id.to_string(),
        body: body.unwrap_or_default(),
        attributes: headers.map(|headers| attributes_in(&headers)).unwrap_or_default(),
        receive_count: u32::try_from(read_ct).unwrap_or_default(),
        sent_at,
    }
}
