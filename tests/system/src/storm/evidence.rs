//! Evidence after a storm, from the providers, the databases and the bus.

use std::time::Duration;

use bus::SharedBus;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{Instant, sleep};

use super::{
    Span,
    checker::{Arrival, CreatedReminder, Evidence, RecordedOccurrence},
};
use crate::{LIMIT, Service, TestSuite, aws};

const QUEUES: [(&str, &str); 2] =
    [("EVENT_QUEUE_URL", "event-queue"), ("NOTIFICATION_QUEUE_URL", "notification-queue")];
const OUTBOXES: [(Service, &[&str]); 3] = [
    (Service::Reminders, &["outbox"]),
    (Service::Events, &["outbox", "commands"]),
    (Service::Notifications, &["outbox"]),
];
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until every reminder has an occurrence, every occurrence has an outcome, and every outbox
/// is empty; at most for `limit`.
pub(super) async fn settle(suite: &TestSuite, created: &[CreatedReminder], limit: Duration) {
    let pool = suite.pool(Service::Events).await;
    let kept = created.iter().filter(|reminder| !reminder.deleted);
    let kept: Vec<&str> = kept.map(|reminder| reminder.id.as_str()).collect();
    let missing = "select count(*) from unnest($1::text[]) as kept (id)
        where not exists (select from notifications as n
                          join occurrences as o on o.notification_id = n.id
                          where n.item_id = kept.id and n.state = 'active')";
    let unfinished = "select count(*) from occurrences where state in ('pending', 'released')";
    let began = Instant::now();
    while began.elapsed() < limit {
        let missing: i64 =
            sqlx::query_scalar(missing).bind(&kept).fetch_one(&pool).await.unwrap_or(1);
        let unfinished: i64 = sqlx::query_scalar(unfinished).fetch_one(&pool).await.unwrap_or(1);
        if missing + unfinished == 0 && unpublished(suite).await == 0 {
            break;
        }
        sleep(PAUSE).await;
    }
    pool.close().await;
}

/// Waits until all queues and outboxes are empty.
///
/// # Panics
/// If they are not empty in time.
pub(super) async fn wait_for_empty_queues(suite: &TestSuite) {
    let bus = suite.bus().await;
    support::wait_until(LIMIT, async || {
        for (variable, default) in QUEUES {
            let depth = bus
                .depth(&suite.bus_name(variable, default))
                .await
                .map_err(|error| error.to_string())?;
            if depth.visible + depth.in_flight + depth.delayed > 0 {
                return Err(format!("{default}: {depth:?}"));
            }
        }
        if unpublished(suite).await > 0 { Err("an outbox is not empty".to_owned()) } else { Ok(()) }
    })
    .await;
}

/// Collects the evidence.
///
/// # Panics
/// If a database or the bus cannot be queried.
pub(super) async fn collect(suite: &TestSuite, faults: Vec<Span>) -> Evidence {
    let pool = suite.pool(Service::Events).await;
    let recorded = recorded(&pool).await;
    pool.close().await;
    Evidence {
        arrivals: arrivals(suite).await,
        recorded,
        dead_letters: dead_letters(suite, &suite.bus().await).await,
        unpublished: unpublished(suite).await,
        faults,
    }
}

async fn recorded(pool: &PgPool) -> Vec<RecordedOccurrence> {
    let sql =
        "select n.item_id, o.state::text, o.reason, o.sent + o.failed + o.suppressed, o.deliveries
        from notifications as n join occurrences as o on o.notification_id = n.id";
    let rows: Vec<(String, String, Option<String>, i32, i32)> =
        sqlx::query_as(sql).fetch_all(pool).await.expect("the occurrences are read");
    rows.into_iter()
        .map(|(id, state, reason, outcomes, deliveries)| RecordedOccurrence {
            id,
            state,
            reason,
            outcomes,
            deliveries,
        })
        .collect()
}

async fn arrivals(suite: &TestSuite) -> Vec<Arrival> {
    let captured = suite.sandbox.captured();
    let mut arrivals = Vec::with_capacity(captured.len());
    for message in captured {
        let (title, address, key) = match (message.push(), message.email()) {
            (Some(push), _) => (push.title.clone(), push.token.clone(), push.collapse_key.clone()),
            (None, Some(mail)) => {
                (Some(mail.subject.clone()), mail.to.first().cloned().unwrap_or_default(), None)
            }
            (None, None) => continue,
        };
        arrivals.push(Arrival {
            title: title.unwrap_or_default(),
            address,
            at: Some(message.at),
            key,
        });
    }
    if let Some(emulator) = suite.emulator() {
        for (address, subject) in aws::all_emails(emulator.endpoint()).await {
            arrivals.push(Arrival { title: subject, address, at: None, key: None });
        }
    }
    arrivals
}

async fn dead_letters(suite: &TestSuite, bus: &SharedBus) -> Vec<String> {
    let mut reasons = Vec::new();
    for (variable, default) in QUEUES {
        let letters = bus
            .dead_letters(&suite.bus_name(variable, default), 100)
            .await
            .expect("dead letters are listed");
        let reason = |letter: &bus::Received| {
            let reason = letter
                .attributes
                .get(bus::REASON_ATTRIBUTE)
                .map_or("received too often", String::as_str);
            format!("{default}: {reason}")
        };
        reasons.extend(letters.iter().map(reason));
    }
    reasons
}

async fn unpublished(suite: &TestSuite) -> i64 {
    let mut number = 0;
    for (service, tables) in OUTBOXES {
        let pool = suite.pool(service).await;
        for table in tables {
            let sql = AssertSqlSafe(format!("select count(*) from {table}"));
            number += sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap_or(1);
        }
        pool.close().await;
    }
    number
}
