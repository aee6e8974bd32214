//! Recalls of claims whose deliveries were revised or cancelled while a process holds them in
//! memory.
//!
//! A revision of a claimed delivery writes a recall in the same transaction. The process that
//! holds the delivery polls the recalls, and at once after a revision of its own, and releases a
//! recalled delivery whose attempt has not begun. The ledger then ends it, or hands it out again
//! with its new content, under a new fence token.

use std::{collections::HashMap, time::Duration};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::polled_rows::{PolledRows, Table};
use crate::{
    domain::delivery::{Delivery, DeliveryKey},
    store::recalls,
};

#[derive(Debug)]
struct RecallsTable;

impl Table for RecallsTable {
    const ROWS: &'static str = "recalls";
    type Key = DeliveryKey;
    /// Fence token of the recalled claim.
    type Value = i32;

    async fn read(
        pool: &PgPool,
        window: Duration,
        limit: i64,
    ) -> Result<HashMap<DeliveryKey, i32>, sqlx::Error> {
        Ok(recalls::within(pool, window, limit).await?.into_iter().collect())
    }

    async fn purge(pool: &PgPool, window: Duration) -> Result<(), sqlx::Error> {
        recalls::purge(pool, window).await
    }
}

/// Claims that were recalled lately, as of the last poll.
#[derive(Debug, Default)]
pub struct Recalls(PolledRows<RecallsTable>);

impl Recalls {
    /// Returns `true` if a delivery was revised or cancelled after it was claimed.
    pub(super) fn contains(&self, delivery: &Delivery) -> bool {
        self.0.get(&delivery.key, |fence| delivery.fence == *fence).unwrap_or(false)
    }

    /// Requests a poll now: a transaction of this process may have recalled deliveries.
    pub fn poll_now(&self) {
        self.0.poll_now();
    }

    /// Polls until the token is cancelled.
    pub(super) async fn run(&self, pool: &PgPool, shutdown: &CancellationToken) {
        self.0.run(pool, shutdown).await;
    }
}
