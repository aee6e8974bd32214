//! Metrics of connection pools.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

/// Time between two samples.
const PERIOD: Duration = Duration::from_secs(5);

/// Reports the connections of a pool, and the time that a caller waits for one, every 5 seconds
/// until the pool is closed. Must be called within a tokio runtime.
pub fn report(pool: &PgPool, name: &'static str) {
    let pool = pool.clone();
    tokio::spawn(async move {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => sample(&pool, name).await,
                () = pool.close_event() => return,
            }
        }
    });
}

async fn sample(pool: &PgPool, name: &'static str) {
    let (open, idle) = (pool.size() as usize, pool.num_idle());
    let max = pool.options().get_max_connections();
    let set = |state: &'static str, count: usize| {
        metrics::gauge!("reminders_database_connections", "pool" => name, "state" => state)
            .set(count as f64);
    };
    set("used", open.saturating_sub(idle));
    set("idle", idle);
    metrics::gauge!("reminders_database_connections_max", "pool" => name).set(f64::from(max));
    let is_exhausted = idle == 0 && open >= max as usize;
    if let Some(waited) = waiting_time(pool, is_exhausted).await {
        metrics::histogram!("reminders_database_acquire_duration_seconds", "pool" => name)
            .record(waited.as_secs_f64());
    }
}

/// Returns the time that a caller waits for a connection. Nobody waits for a pool that has one
/// left, so only an exhausted pool is asked, in line with its other callers.
async fn waiting_time(pool: &PgPool, is_exhausted: bool) -> Option<Duration> {
    if !is_exhausted {
        return Some(Duration::ZERO);
    }
    let began = Instant::now();
    match pool.acquire().await {
        Ok(_) | Err(sqlx::Error::PoolTimedOut) => Some(began.elapsed()),
        Err(_) => None,
    }
}
