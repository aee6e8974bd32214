//! The bus's connections.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::error;
use crate::bus::Error;

/// A connection that was idle for longer is tried before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// What every connection of the bus is set to.
///
/// The statistics of a queue table are always wrong (it is empty one moment and full the next), so its plans are fixed:
/// by index and nested loop, always.
const SESSION: [(&str, &str); 7] = [
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

pub(super) fn lazy(url: &str, max_connections: u32) -> Result<PgPool, Error> {
    let options =
        PgConnectOptions::from_str(url).map_err(|source| error::of("read the URL of the bus's database", source))?;
    let options = options.application_name("bus").options(SESSION);
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .before_acquire(|connection, usage| {
            Box::pin(async move {
                if usage.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    Ok(pool.connect_lazy_with(options))
}
