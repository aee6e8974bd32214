//! Devices that were removed, or whose token another user registered, while pushes to them wait in
//! memory.
//!
//! A push is addressed when it is claimed, up to 15 seconds before its attempt. A device that is
//! deleted meanwhile must not receive it.

use std::{collections::HashMap, time::Duration};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::polled_rows::{PolledRows, Table};
use crate::store::deleted_devices;

#[derive(Debug)]
struct DeletedDevicesTable;

impl Table for DeletedDevicesTable {
    const ROWS: &'static str = "deleted devices";
    type Key = Uuid;
    type Value = ();

    async fn read(
        pool: &PgPool,
        window: Duration,
        limit: i64,
    ) -> Result<HashMap<Uuid, ()>, sqlx::Error> {
        let ids = deleted_devices::within(pool, window, limit).await?;
        Ok(ids.into_iter().map(|id| (id, ())).collect())
    }

    async fn purge(pool: &PgPool, window: Duration) -> Result<(), sqlx::Error> {
        deleted_devices::purge(pool, window).await
    }
}

/// Devices that were deleted lately, as of the last poll.
#[derive(Debug, Default)]
pub(super) struct DeletedDevices(PolledRows<DeletedDevicesTable>);

impl DeletedDevices {
    /// Returns `true` if a device was deleted lately.
    pub(super) fn contains(&self, device_id: Uuid) -> bool {
        self.0.get(&device_id, |()| ()).is_some()
    }

    /// Polls until the token is cancelled.
    pub(super) async fn run(&self, pool: &PgPool, shutdown: &CancellationToken) {
        self.0.run(pool, shutdown).await;
    }
}
