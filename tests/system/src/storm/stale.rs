//! A scheduler that is halted between its claim and what it does with it, and goes on when others
//! hold its occurrences: the fault that the fence is proved with.

use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use support::{eventually, process::Running};

use super::{checker::Made, faults::Place, load};
use crate::{House, LIMIT, Person, Service};

const REMINDERS: usize = 10;
/// State of a thread that a signal has halted (proc(5), `/proc/pid/stat`).
const HALTED: &str = "T";

/// Makes reminders that one scheduler claims as expired. It is halted when it is about to end them;
/// meanwhile they are edited to last longer, its leases run out, and another scheduler claims them,
/// which cannot publish because the bus is away. The bus comes back when the first one has gone on
/// and ended what it may.
pub(super) async fn ended_without_a_lease(house: &mut House, users: &[Person]) -> Vec<Made> {
    let pool = house.pool(Service::Events).await;
    // The one that claims them later. It is ready, as it could not become without the bus.
    halt(&house.processes(Service::Scheduler)[0]).await;
    let made = load::some(users, REMINDERS, 1).await;
    all(&pool, "pending and due_at <= now()").await;
    // As if they had been due for as long as they may be late.
    run(&pool, "update occurrences set expires_at = due_at").await;
    halted_at_the_end(house, &pool).await;
    for (reminder, user) in made.iter().zip(users.iter().cycle()) {
        user.edits(&reminder.id, &json!({"expiresAfterMinutes": 60})).await;
    }
    all(&pool, "expires_at > now()").await;

    house.shut(Place::Bus).await;
    let [holder, stale] = house.processes(Service::Scheduler) else { panic!("two schedulers run") };
    holder.cont();
    // As if the leases had run out. Those of the other one end later, also when they are given
    // back.
    run(&pool, "update occurrences set lease_until = '2000-01-01'").await;
    all(&pool, "lease_until > '2000-01-01'").await;
    says(holder, "publish failed").await;
    stale.cont();
    says(stale, "ended without a send").await;
    house.open(Place::Bus).await;
    pool.close().await;
    made
}

/// Starts a scheduler and halts it between its claim of expired occurrences and the statement that
/// ends them. Each of the two waits for a table that is locked: the claim until the other table is
/// locked, the end until the process is halted.
async fn halted_at_the_end(house: &mut House, pool: &PgPool) {
    let locked = async |lock: &'static str| {
        let mut transaction = pool.begin().await.expect("a transaction");
        sqlx::query(lock).execute(&mut *transaction).await.expect("the table is locked");
        transaction
    };
    let notifications = locked("lock table notifications in access exclusive mode").await;
    house.add(Service::Scheduler).await;
    all(pool, "lease_until > now()").await;
    waits_with(pool, "%join notifications%").await;
    // It lets the claim be read, and no occurrence be changed.
    let occurrences = locked("lock table occurrences in share mode").await;
    notifications.rollback().await.expect("the lock is given up");
    waits_with(pool, "update occurrences%set state%").await;
    halt(&house.processes(Service::Scheduler)[1]).await;
    // The statement is being prepared: it does nothing before the process goes on.
    occurrences.rollback().await.expect("the lock is given up");
}

/// Waits until a session of a scheduler waits for a lock with such a statement.
async fn waits_with(pool: &PgPool, statement: &str) {
    let sql =
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
        and application_name = 'notification-scheduler' and query like $1)";
    let waits = async || {
        sqlx::query_scalar::<_, bool>(sql)
            .bind(statement)
            .fetch_one(pool)
            .await
            .expect("sessions are listed")
    };
    eventually(LIMIT, waits).await;
}

/// Halts a process and waits until it stands still.
async fn halt(process: &Running) {
    process.stop();
    eventually(LIMIT, async || is_halted(process)).await;
}

/// Returns whether no thread of a process runs any more.
fn is_halted(process: &Running) -> bool {
    let threads =
        std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("the process is there");
    let stands = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may hold anything.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(HALTED))
    };
    threads.flatten().all(stands)
}

/// Waits until a condition holds for every occurrence.
async fn all(pool: &PgPool, condition: &str) {
    let sql = format!("select count(*) from occurrences where {condition}");
    eventually(LIMIT, async || {
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

/// Waits until a process has logged something.
async fn says(process: &Running, text: &str) {
    eventually(LIMIT, async || process.log().contains(text)).await;
}
