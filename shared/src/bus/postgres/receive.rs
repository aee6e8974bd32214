//! Out of queues: reading under a visibility timeout, and looking without taking.
//!
//! Whoever may insert into a queue's table may insert any row. A row that cannot be read concerns
//! that row alone: the statement that met it has had no effect, the batch is read again in parts
//! until the row stands alone, and it is put to the dead letters.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::{
    PostgresBus, bounded, error,
    low_water_mark::Look,
    queue::{MAX_SMALL_TEXT_BYTES, Queue},
    settle::interval,
};
use crate::bus::{
    Depth, Error, MAX_RECEIVE_BYTES, Receipt, Received, attributes_in, limits::reason_text,
};

/// The pause after a read that found nothing: at first, and at most. No connection is held
/// meanwhile.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// For how long a row is hidden that can be neither read nor moved.
const PUT_OFF: Duration = Duration::from_secs(60 * 60);
const RECEIVE: &str = "receive from a queue";

/// The columns of a received message: msg_id, read_ct, enqueued_at, headers as JSON text, body;
/// none of these two where the text is too large.
pub(super) type Row = (i64, i32, DateTime<Utc>, Option<String>, Option<String>);

/// The rows of a statement, or the database's word on a row that it cannot read.
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
        let mut pause = PAUSE.0;
        loop {
            let received = self.read(queue, max, visibility).await?;
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if !received.is_empty() || left.is_zero() {
                return Ok(received);
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn read(
        &self,
        queue: &Queue,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Received>, Error> {
        let begin = queue.floor().begin(Instant::now());
        let at = if begin.look { self.look(queue, begin.at).await? } else { begin.at };
        let max = queue.fitting(max);
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.receive)))
            .bind(at)
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
                self.read_in_parts(queue, at, max, visibility).await?
            }
        };
        let too_large: Vec<Row> =
            rows.extract_if(.., |row| row.3.is_none() || row.4.is_none()).collect();
        if !too_large.is_empty() {
            self.refuse_large(queue, &too_large).await;
        }
        rows.sort_unstable_by_key(|row| row.0);
        queue.floor().received(rows.iter().map(|row| row.0));
        queue.note_size(rows.len(), rows.iter().map(bytes).sum());
        Ok(rows.into_iter().map(received).collect())
    }

    /// Reads the same rows by halves, so that the one that cannot be read stands alone and is
    /// dead-lettered.
    ///
    /// Rows that a failed statement still holds locked, because its rollback is under way, come
    /// with the next read.
    async fn read_in_parts(
        &self,
        queue: &Queue,
        at: i64,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Row>, Error> {
        let query = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&queue.sql.visible)))
            .bind(at)
            .bind(limit(max));
        let ids: Vec<i64> = bounded(RECEIVE, query.fetch_all(&self.pool)).await?;
        let (mut rows, mut left, mut parts) = (Vec::new(), MAX_RECEIVE_BYTES, vec![&ids[..]]);
        while let Some(part) = parts.pop() {
            if part.is_empty() || left == 0 {
                continue;
            }
            let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.receive_these)))
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
                // What was received before is hidden by now and must be returned.
                Err(_) if !rows.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// Puts small rows whose text is large to the dead letters; where that fails they come again.
    async fn refuse_large(&self, queue: &Queue, rows: &[Row]) {
        let reason = format!("its numbers make its text larger than {MAX_SMALL_TEXT_BYTES} bytes");
        tracing::error!(
            messages = rows.len(),
            reason,
            queue = queue.name,
            "message was dead-lettered"
        );
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.reject)))
            .bind(rows.iter().map(|row| row.0).collect::<Vec<i64>>())
            .bind(rows.iter().map(|row| row.1).collect::<Vec<i32>>())
            .bind(vec![reason; rows.len()]);
        if let Err(error) =
            bounded("put messages to the dead letters", query.execute(&self.pool)).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                queue = queue.name,
                "message was not dead-lettered, will retry"
            );
        }
    }

    /// Puts a row that cannot be read to the dead letters; one that cannot be moved either is
    /// hidden for a long time.
    async fn quarantine(&self, queue: &Queue, id: i64, problem: &sqlx::Error) {
        let reason = reason_text(&format!("it cannot be read: {}", error::code(problem)));
        tracing::error!(message.id = id, reason, queue = queue.name, "message was dead-lettered");
        let query =
            sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.quarantine))).bind(id).bind(reason);
        if bounded("put messages to the dead letters", query.execute(&self.pool)).await.is_err() {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.put_off)))
                .bind(id)
                .bind(interval(PUT_OFF));
            if let Err(error) = bounded("hide a message", query.execute(&self.pool)).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    message.id = id,
                    "message was not dead-lettered, will retry"
                );
            }
        }
    }

    /// Looks for the lowest row; answers the floor.
    async fn look(&self, queue: &Queue, floor: i64) -> Result<i64, Error> {
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.look))).bind(floor);
        let (low, last, xmin, xmax) = bounded(RECEIVE, query.fetch_one(&self.pool)).await?;
        Ok(queue.floor().looked(Look { low, last, xmin, xmax }, Instant::now()))
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

/// Awaits rows, of which the database may say that one cannot be read.
pub(super) async fn readable(
    action: &'static str,
    call: impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send,
) -> Result<Rows, Error> {
    bounded(action, async {
        match call.await {
            Err(unreadable) if error::blames_row(&unreadable) => Ok(Err(unreadable)),
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
