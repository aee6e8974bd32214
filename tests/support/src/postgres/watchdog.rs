//! Shutdown of an unused cluster, by a statement that runs inside the server.
//!
//! No test process can stop the cluster: under nextest every test is a process, and each may be
//! killed. So the statement runs in the server and outlives its client. Every user holds a shared
//! advisory lock while connected. When nobody has held it for ten minutes, the statement takes it
//! exclusively and shuts the server down. A user that connects in that moment waits for the lock,
//! is disconnected, and starts the cluster again.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

/// Lock that every user holds shared, and the watchdog exclusively before it shuts down.
const IN_USE: i64 = 7_306_101;
/// Lock of the one watchdog.
const WATCHING: i64 = 7_306_102;

const WATCH: &str = "
DO $$
DECLARE
    in_use CONSTANT bigint := 7306101;
    watching CONSTANT bigint := 7306102;
    idle_since timestamptz := clock_timestamp();
BEGIN
    IF NOT pg_try_advisory_lock(watching) THEN
        RETURN;
    END IF;
    LOOP
        COMMIT;
        PERFORM pg_sleep(5);
        IF NOT pg_try_advisory_lock(in_use) THEN
            idle_since := clock_timestamp();
            CONTINUE;
        END IF;
        IF EXISTS (SELECT FROM pg_stat_activity
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) THEN
            idle_since := clock_timestamp();
        ELSIF clock_timestamp() - idle_since > interval '10 minutes' THEN
            EXECUTE $copy$COPY (SELECT 1) TO PROGRAM 'kill -INT $(head -n 1 postmaster.pid)'$copy$;
            RETURN;
        END IF;
        PERFORM pg_advisory_unlock(in_use);
    END LOOP;
END
$$";

/// Connects as a user of the cluster, and starts the watchdog if none runs.
pub(super) async fn use_cluster(url: &str) -> Result<PgConnection, sqlx::Error> {
    let mut user = super::connect(url).await?;
    sqlx::query("SELECT pg_advisory_lock_shared($1)").bind(IN_USE).execute(&mut user).await?;
    if !is_watched(&mut user).await? {
        watch(url, &mut user).await?;
    }
    Ok(user)
}

async fn is_watched(user: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let held = "SELECT EXISTS (SELECT FROM pg_locks
                               WHERE locktype = 'advisory' AND granted AND objid::bigint = $1)";
    sqlx::query_scalar(held).bind(WATCHING).fetch_one(user).await
}

/// Sends the statement and closes the connection; the server does not notice that while it
/// executes.
async fn watch(url: &str, user: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut watchdog = PgConnection::connect(url).await?;
    let begun = async {
        while !is_watched(user).await? {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    };
    tokio::select! {
        // The watchdog of another process started first.
        ended = sqlx::raw_sql(WATCH).execute(&mut watchdog) => ended.map(|_| ()),
        begun = begun => begun,
    }
}
