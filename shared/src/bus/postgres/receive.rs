//! Out of queues: reading under a visibility timeout, and looking without taking.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, types::Json};

use super::{PostgresBus, bounded, floor::Look, queue::Queue, settle::interval};
use crate::bus::{Depth, Error, Receipt, Received};

/// The pause after a read that found nothing: at first, and at most. No connection is held meanwhile.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// The columns of a received message: msg_id, read_ct, enqueued_at, headers, body.
type Row = (i64, i32, DateTime<Utc>, Option<Json<BTreeMap<String, String>>>, Option<String>);

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

    async fn read(&self, queue: &Queue, max: usize, visibility: Duration) -> Result<Vec<Received>, Error> {
        let begin = queue.floor().begin(Instant::now());
        let at = if begin.look { self.look(queue, begin.at).await? } else { begin.at };
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.receive)))
            .bind(at)
            .bind(limit(max))
            .bind(interval(visibility));
        let mut rows: Vec<Row> = bounded("receive from a queue", query.fetch_all(&self.pool)).await?;
        rows.sort_unstable_by_key(|row| row.0);
        queue.floor().received(rows.iter().map(|row| row.0));
        Ok(rows.into_iter().map(received).collect())
    }

    /// Looks for the lowest row; answers the floor.
    async fn look(&self, queue: &Queue, floor: i64) -> Result<i64, Error> {
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.look))).bind(floor);
        let (low, xmin, xmax) = bounded("receive from a queue", query.fetch_one(&self.pool)).await?;
        Ok(queue.floor().looked(Look { low, xmin, xmax }, Instant::now()))
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

    pub(super) async fn peek_dead_letters(&self, queue: &Queue, max: usize) -> Result<Vec<Received>, Error> {
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.dead_letters))).bind(limit(max));
        let rows: Vec<Row> = bounded("look at dead letters", query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(received).collect())
    }

    pub(super) async fn redrive_into(&self, queue: &Queue, max: usize) -> Result<u64, Error> {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.redrive))).bind(limit(max));
        Ok(bounded("redrive dead letters", query.execute(&self.pool)).await?.rows_affected())
    }
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

fn received((msg_id, read_ct, sent_at, headers, body): Row) -> Received {
    Received {
        receipt: Receipt(format!("{msg_id}.{read_ct}")),
        message_id: msg_id.to_string(),
        body: body.unwrap_or_default(),
        attributes: headers.map(|headers| headers.0).unwrap_or_default(),
        receive_count: read_ct.unsigned_abs(),
        sent_at,
    }
}
