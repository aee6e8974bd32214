//! What can be known after a storm: what the providers took, and what the databases and the bus
//! say.

use std::time::Duration;

use shared::bus::SharedBus;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{Instant, sleep};

use super::{
    Span,
    checker::{Arrival, Evidence, Made, Recorded},
};
use crate::{House, LIMIT, Service, aws};

const QUEUES: [(&str, &str); 2] =
    [("EVENT_QUEUE_URL", "event-queue"), ("NOTIFICATION_QUEUE_URL", "notification-queue")];
const OUTBOXES: [(Service, &[&str]); 3] = [
    (Service::Reminders, &["outbox"]),
    (Service::Events, &["outbox", "commands"]),
    (Service::Notifications, &["outbox"]),
];
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until every reminder has an occurrence and none waits any more, and every outbox is empty;
/// or until `limit`.
pub(super) async fn settle(house: &House, made: &[Made], limit: Duration) {
    let pool = house.pool(Service::Events).await;
    let kept: Vec<&str> =
        made.iter().filter(|made| !made.deleted).map(|made| made.id.as_str()).collect();
    let unsettled = "select count(*) from unnest($1::text[]) as kept (id)
        where not exists (select from notifications as n join occurrences as o on o.notification_id = n.id
                          where n.item_id = kept.id and n.state = 'active')";
    let waiting = "select count(*) from occurrences where state in ('pending', 'released')";
    let began = Instant::now();
    while began.elapsed() < limit {
        let unknown: i64 =
            sqlx::query_scalar(unsettled).bind(&kept).fetch_one(&pool).await.unwrap_or(1);
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap_or(1);
        if unknown + waiting == 0 && unpublished(house).await == 0 {
            break;
        }
        sleep(PAUSE).await;
    }
    pool.close().await;
}

/// Waits until no queue has a message, and no outbox.
///
/// # Panics
/// When that does not come to be.
pub(super) async fn queues_are_empty(house: &House) {
    let bus = house.bus().await;
    support::eventually(LIMIT, async || {
        for (variable, default) in QUEUES {
            let depth = bus
                .depth(&house.named(variable, default))
                .await
                .map_err(|error| error.to_string())?;
            if depth.visible + depth.in_flight + depth.delayed > 0 {
                return Err(format!("{default}: {depth:?}"));
            }
        }
        if unpublished(house).await > 0 { Err("an outbox is not empty".to_owned()) } else { Ok(()) }
    })
    .await;
}

/// Everything that is known.
///
/// # Panics
/// When a database or the bus cannot be asked.
pub(super) async fn evidence(house: &House, faults: Vec<Span>) -> Evidence {
    let pool = house.pool(Service::Events).await;
    let recorded = recorded(&pool).await;
    pool.close().await;
    Evidence {
        arrivals: arrivals(house).await,
        recorded,
        dead_letters: dead_letters(house, &house.bus().await).await,
        unpublished: unpublished(house).await,
        faults,
    }
}

async fn recorded(pool: &PgPool) -> Vec<Recorded> {
    let sql =
        "select n.item_id, o.state::text, o.reason, o.sent + o.failed + o.suppressed, o.deliveries
        from notifications as n join occurrences as o on o.notification_id = n.id";
    let rows: Vec<(String, String, Option<String>, i32, i32)> =
        sqlx::query_as(sql).fetch_all(pool).await.expect("the occurrences are read");
    rows.into_iter()
        .map(|(id, state, reason, outcomes, deliveries)| Recorded {
            id,
            state,
            reason,
            outcomes,
            deliveries,
        })
        .collect()
}

async fn arrivals(house: &House) -> Vec<Arrival> {
    let captured = house.sandbox.captured();
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
    if let Some(emulator) = house.emulator() {
        for (address, subject) in aws::all_mails(emulator.endpoint()).await {
            arrivals.push(Arrival { title: subject, address, at: None, key: None });
        }
    }
    arrivals
}

async fn dead_letters(house: &House, bus: &SharedBus) -> Vec<String> {
    let mut reasons = Vec::new();
    for (variable, default) in QUEUES {
        let letters = bus
            .dead_letters(&house.named(variable, default), 100)
            .await
            .expect("dead letters are listed");
        let reason = |letter: &shared::bus::Received| {
            let reason = letter
                .attributes
                .get(shared::bus::REASON_ATTRIBUTE)
                .map_or("received too often", String::as_str);
            format!("{default}: {reason}")
        };
        reasons.extend(letters.iter().map(reason));
    }
    reasons
}

async fn unpublished(house: &House) -> i64 {
    let mut number = 0;
    for (service, tables) in OUTBOXES {
        let pool = house.pool(service).await;
        for table in tables {
            let sql = AssertSqlSafe(format!("select count(*) from {table}"));
            number += sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap_or(1);
        }
        pool.close().await;
    }
    number
}
