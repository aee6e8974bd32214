//! Dead letters: reading, redriving and removing them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::Utc;
use contract::Reason;
use db::interval;
use sqlx::AssertSqlSafe;

use super::{
    PostgresBus, bounded,
    queue::Queue,
    receive::{Row, limit, readable, received, unreadable_detail},
};
use crate::{DETAIL_ATTRIBUTE, Error, MAX_RECEIVE_BYTES, REASON_ATTRIBUTE, Receipt, Received};

const PEEK: &str = "read dead letters";
const REMOVE: &str = "remove dead letters";
/// Number of dead letters that one statement reads to remove some of them.
const CHUNK: i64 = 1_000;

/// Condition by which dead letters are removed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Remove<'a> {
    /// Dead letters that are older.
    OlderThan(Duration),
    /// Dead letters that concern a user.
    OfUser(&'a str),
}

impl PostgresBus {
    pub(super) async fn peek_dead_letters(
        &self,
        queue: &Queue,
        max: usize,
    ) -> Result<Vec<Received>, Error> {
        let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.dead_letters)))
            .bind(limit(max))
            .bind(limit(MAX_RECEIVE_BYTES));
        let mut rows: Vec<Row> = match readable(PEEK, query.fetch_all(&self.pool)).await? {
            Ok(rows) => rows,
            Err(_) => return self.peek_one_by_one(queue, max).await,
        };
        rows.sort_unstable_by_key(|row| row.0);
        Ok(rows.into_iter().map(received).collect())
    }

    /// Returns dead letters one by one, with a placeholder for each that cannot be read.
    async fn peek_one_by_one(&self, queue: &Queue, max: usize) -> Result<Vec<Received>, Error> {
        let query = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&queue.sql.dead_letter_ids)))
            .bind(limit(max));
        let ids: Vec<i64> = bounded(PEEK, query.fetch_all(&self.pool)).await?;
        let (mut letters, mut left) = (Vec::with_capacity(ids.len()), MAX_RECEIVE_BYTES);
        for id in ids {
            let query =
                sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.one_dead_letter))).bind(id);
            let letter = match readable(PEEK, query.fetch_all(&self.pool)).await? {
                Ok(rows) => rows.into_iter().next().map(received),
                Err(unreadable) => Some(unreadable_letter(id, &unreadable)),
            };
            let Some(letter) = letter else { continue };
            let Some(rest) = left.checked_sub(letter.bytes()) else { break };
            left = rest;
            letters.push(letter);
        }
        Ok(letters)
    }

    pub(super) async fn redrive_into(&self, queue: &Queue, max: usize) -> Result<u64, Error> {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&queue.sql.redrive))).bind(limit(max));
        let moved = bounded("redrive dead letters", query.execute(&self.pool)).await?;
        if let Err(error) = self.wake(queue).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                queue = queue.name,
                "readers of a queue were not woken, will find redriven messages within seconds"
            );
        }
        Ok(moved.rows_affected())
    }

    /// Removes dead letters, a bounded number in each statement.
    pub(super) async fn remove_dead_letters(
        &self,
        queue: &Queue,
        which: Remove<'_>,
    ) -> Result<u64, Error> {
        let (mut removed, mut last) = (0, i64::MIN);
        loop {
            let query = match which {
                Remove::OlderThan(kept) => {
                    let query =
                        sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.purge_dead_letters)));
                    query.bind(last).bind(CHUNK).bind(interval(kept))
                }
                Remove::OfUser(user_id) => {
                    let query =
                        sqlx::query_as(AssertSqlSafe(Arc::clone(&queue.sql.erase_dead_letters)));
                    query.bind(last).bind(CHUNK).bind(user_id)
                }
            };
            let (gone, last_read): (i64, Option<i64>) =
                bounded(REMOVE, query.fetch_one(&self.pool)).await?;
            removed += gone.unsigned_abs();
            match last_read {
                Some(last_read) if last_read < i64::MAX => last = last_read,
                _ => return Ok(removed),
            }
        }
    }
}

fn unreadable_letter(id: i64, problem: &sqlx::Error) -> Received {
    Received {
        receipt: Receipt(format!("{id}.0")),
        message_id: id.to_string(),
        body: String::new(),
        attributes: BTreeMap::from([
            (REASON_ATTRIBUTE.to_owned(), Reason::Unreadable.to_string()),
            (DETAIL_ATTRIBUTE.to_owned(), unreadable_detail(problem)),
        ]),
        receive_count: 0,
        sent_at: Utc::now(),
    }
}
