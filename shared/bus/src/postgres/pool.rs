//! Connection pool of the bus.

use std::time::Duration;

use db::DbUrl;
use sqlx::PgPool;

use crate::Error;

/// Time that a call waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Session settings of every connection of the bus.
///
/// The statistics of a queue table are always outdated (it is empty one moment and full the next),
/// so plans are restricted to index scans and nested loops.
const SESSION: [(&str, &str); 7] = [
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

pub(super) fn lazy(url: &DbUrl, max_connections: u32) -> Result<PgPool, Error> {
    let current = url.clone();
    let options = move || Some(current.options()?.application_name("bus").options(SESSION));
    let first = options().ok_or_else(|| Error::Misconfigured {
        action: "read the URL of the bus's database",
        source: "it is malformed".into(),
    })?;
    let pool = db::pool_options(max_connections, ACQUIRE_TIMEOUT).connect_lazy_with(first);
    db::follow_changes(&pool, url.secret().changes(), options);
    Ok(pool)
}
