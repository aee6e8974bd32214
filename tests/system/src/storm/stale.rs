//! A scheduler that is paused between its claim and the next statement, and resumes when another
//! one holds its occurrences: the scenario that needs the fence token.

use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use support::{process::Running, wait_until};

use super::{checker::CreatedReminder, load};
use crate::{LIMIT, Service, TestSuite, TestUser};

const REMINDERS: usize = 10;
/// State of a thread that a signal has stopped (proc(5), `/proc/pid/stat`).
const STOPPED: &str = "T";

/// Creates reminders that one scheduler claims as expired, and pauses it just before it ends them.
/// Meanwhile they are edited to expire later, the leases run out, and another scheduler claims
/// them, which cannot publish because the bus is disconnected. The bus is reconnected after the
/// first scheduler was resumed and ended what it could.
pub(super) async fn end_without_lease(
    suite: &mut TestSuite,
    users: &[TestUser],
) -> Vec<CreatedReminder> {
    let pool = suite.pool(Service::Events).await;
    // The scheduler that claims them later. It must become ready before the bus is disconnected.
    pause(&suite.processes(Service::Scheduler)[0]).await;
    let created = load::create_due_in(users, REMINDERS, 1).await;
    wait_for_all(&pool, "pending and due_at <= now()").await;
    // As if the time until their expiry had passed.
    run(&pool, "update occurrences set expires_at = due_at").await;
    start_paused_before_end(suite, &pool).await;
    for (reminder, user) in created.iter().zip(users.iter().cycle()) {
        user.update_reminder(&reminder.id, &json!({"expiresAfterMinutes": 60})).await;
    }
    wait_for_all(&pool, "expires_at > now()").await;

    suite.disconnect_bus().await;
    let [holder, stale] = suite.processes(Service::Scheduler) else { panic!("two schedulers run") };
    holder.resume();
    // As if the leases had run out. Those of the other scheduler end later, even if it returns
    // them.
    run(&pool, "update occurrences set lease_until = '2000-01-01'").await;
    wait_for_all(&pool, "lease_until > '2000-01-01'").await;
    wait_for_log(holder, "publish failed").await;
    stale.resume();
    wait_for_log(stale, "ended without a send").await;
    suite.reconnect_bus().await;
    pool.close().await;
    created
}

/// Starts a scheduler and pauses it between its claim of expired occurrences and the statement that
/// ends them. A table lock blocks each of the two statements: the claim until the other table is
/// locked, the end until the process is paused.
async fn start_paused_before_end(suite: &mut TestSuite, pool: &PgPool) {
    let lock_table = async |lock: &'static str| {
        let mut transaction = pool.begin().await.expect("a transaction");
        sqlx::query(lock).execute(&mut *transaction).await.expect("the table is locked");
        transaction
    };
    let notifications = lock_table("lock table notifications in access exclusive mode").await;
    suite.start_process(Service::Scheduler).await;
    wait_for_all(pool, "lease_until > now()").await;
    wait_for_blocked(pool, "%join notifications%").await;
    // This lock allows reading occurrences, but no change.
    let occurrences = lock_table("lock table occurrences in share mode").await;
    notifications.rollback().await.expect("the lock is released");
    wait_for_blocked(pool, "update occurrences%set state%").await;
    pause(&suite.processes(Service::Scheduler)[1]).await;
    // The statement is only prepared: it changes nothing before the process is resumed.
    occurrences.rollback().await.expect("the lock is released");
}

/// Waits until a statement of a scheduler that matches the pattern is blocked by a lock.
async fn wait_for_blocked(pool: &PgPool, statement: &str) {
    let sql = "select exists (select from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'
                         and application_name = 'notification-scheduler' and query like $1)";
    let is_blocked = async || {
        sqlx::query_scalar::<_, bool>(sql)
            .bind(statement)
            .fetch_one(pool)
            .await
            .expect("sessions are listed")
    };
    wait_until(LIMIT, is_blocked).await;
}

/// Pauses a process and waits until it has stopped.
async fn pause(process: &Running) {
    process.pause();
    wait_until(LIMIT, async || is_stopped(process)).await;
}

/// Returns `true` if no thread of a process runs any more.
fn is_stopped(process: &Running) -> bool {
    let threads =
        std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("the process is there");
    let is_thread_stopped = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may contain anything.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(STOPPED))
    };
    threads.flatten().all(is_thread_stopped)
}

/// Waits until a condition holds for every occurrence.
async fn wait_for_all(pool: &PgPool, condition: &str) {
    let sql = format!("select count(*) from occurrences where {condition}");
    wait_until(LIMIT, async || {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
            .fetch_one(pool)
            .await
            .expect("occurrences are counted");
        if count == REMINDERS as i64 {
            Ok(())
        } else {
            Err(format!("{condition}: {count} of {REMINDERS}"))
        }
    })
    .await;
}

async fn run(pool: &PgPool, sql: &'static str) {
    sqlx::query(sql).execute(pool).await.expect("a statement");
}

/// Waits until a process has logged a text.
async fn wait_for_log(process: &Running, text: &str) {
    wait_until(LIMIT, async || process.log().contains(text)).await;
}
