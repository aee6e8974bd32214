//! Settles and extends receipts. A stale receipt matches no row and is ignored.

use std::{sync::Arc, time::Duration};

use db::interval;
use sqlx::{AssertSqlSafe, postgres::types::PgInterval};

use super::{PostgresBus, bounded, queue::Queue};
use crate::{Error, Receipt, Received, Rejection, Settlement, limits};

/// Rows of one kind of settlement. Every statement that locks several rows of a queue locks them in
/// the order of their ids.
struct Rows<T>(Vec<(i64, i32, T)>);

impl PostgresBus {
    pub(super) async fn settle_in(
        &self,
        queue: &Queue,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error> {
        let (mut done, mut later, mut rejected) =
            (Rows(Vec::new()), Rows(Vec::new()), Rows(Vec::new()));
        for (message, settlement) in settlements {
            match settlement {
                Settlement::Done => done.add(&message.receipt, ())?,
                Settlement::RetryAfter(after) => later.add(&message.receipt, interval(after))?,
                Settlement::Reject(rejection) => rejected.add(&message.receipt, rejection)?,
            }
        }
        // A failure of one kind does not prevent the others.
        let results = [
            self.done(queue, done).await,
            self.hide(queue, later, "return messages to a queue").await,
            self.reject(queue, rejected).await,
        ];
        results.into_iter().collect()
    }

    pub(super) async fn extend_in(
        &self,
        queue: &Queue,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error> {
        let mut rows = Rows(Vec::with_capacity(receipts.len()));
        for receipt in receipts {
            rows.add(receipt, interval(visibility))?;
        }
        self.hide(queue, rows, "extend the visibility of messages").await
    }

    async fn done(&self, queue: &Queue, rows: Rows<()>) -> Result<(), Error> {
        if rows.0.is_empty() {
            return Ok(());
        }
        let (ids, counts, _) = rows.columns();
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.done))).bind(ids).bind(counts);
        bounded("remove messages from a queue", query.execute(&self.pool)).await.map(drop)
    }

    async fn hide(
        &self,
        queue: &Queue,
        rows: Rows<PgInterval>,
        action: &'static str,
    ) -> Result<(), Error> {
        if rows.0.is_empty() {
            return Ok(());
        }
        let (ids, counts, hidden) = rows.columns();
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.hide)))
            .bind(ids)
            .bind(counts)
            .bind(hidden);
        bounded(action, query.execute(&self.pool)).await?;
        // A sleep ends when the next message becomes visible, which may be another one now.
        queue.idle.wake();
        Ok(())
    }

    async fn reject(&self, queue: &Queue, rows: Rows<Rejection>) -> Result<(), Error> {
        if rows.0.is_empty() {
            return Ok(());
        }
        let (ids, counts, rejections) = rows.columns();
        let reasons: Vec<&str> =
            rejections.iter().map(|rejection| rejection.reason.as_str()).collect();
        let details: Vec<String> =
            rejections.iter().map(|rejection| limits::detail_text(&rejection.detail)).collect();
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.reject)))
            .bind(ids)
            .bind(counts)
            .bind(reasons)
            .bind(details);
        bounded("move messages to the dead letters", query.execute(&self.pool)).await.map(drop)
    }
}

impl<T> Rows<T> {
    fn add(&mut self, receipt: &Receipt, value: T) -> Result<(), Error> {
        let (id, count) = row_of(receipt).ok_or_else(|| Error::Misconfigured {
            action: "settle a message",
            source: "the receipt is malformed".into(),
        })?;
        self.0.push((id, count, value));
        Ok(())
    }

    fn columns(mut self) -> (Vec<i64>, Vec<i32>, Vec<T>) {
        self.0.sort_unstable_by_key(|row| row.0);
        let (mut ids, mut counts, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (id, count, value) in self.0 {
            ids.push(id);
            counts.push(count);
            values.push(value);
        }
        (ids, counts, values)
    }
}

fn row_of(receipt: &Receipt) -> Option<(i64, i32)> {
    let (id, count) = receipt.0.split_once('.')?;
    Some((id.parse().ok()?, count.parse().ok()?))
}
