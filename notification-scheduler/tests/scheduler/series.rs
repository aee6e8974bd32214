//! Recurring notifications: the next occurrence follows the one that is released, and one is sent
//! for all that were missed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contract::EventType;
use notification_scheduler::usecases::mark_released::mark_released;
use support::wait_until;
use tokio_util::sync::CancellationToken;

use crate::fixture::{TestService, drain, test_service};

const LIMIT: Duration = Duration::from_secs(20);

impl TestService {
    /// A recurring notification whose rule began `began` ago (an SQL interval), with an occurrence
    /// that was due `due` ago.
    async fn recurring(&self, rrule: &str, began: &str, due: &str) {
        let sql = "with made as (
                insert into notifications (id, source, item_id, user_id, user_email, version,
                    state, date, notify_offsets, recurrence, content,
                    occurred_at, time_zone_database)
                select gen_random_uuid(), 'reminder', 'item-1', 'user-1', 'user-1@example.com', 3,
                    'active',
                    date_trunc('second', now() - $2::text::interval), '{0}',
                        jsonb_build_object('rrule', $1::text),
                    '{\"channels\": [\"push\"], \"message\": \"m\", \"timeZone\": \"UTC\",
                        \"expiresAfterMinutes\": 600}',
                    now() - $2::text::interval - interval '1 hour', $4
                returning id, date
            )
            insert into occurrences (id, notification_id, due_at, date, expires_at)
            select gen_random_uuid(), id, date + ($2::text::interval - $3::text::interval), date,
                date + interval '1 year' from made";
        let edition = time_zone::edition();
        let query = sqlx::query(sql).bind(rrule).bind(began).bind(due).bind(edition);
        query.execute(&self.pool).await.expect("made");
    }

    /// The states of all occurrences with their reasons, in the order of time.
    async fn states(&self) -> Vec<(String, Option<String>)> {
        let sql = "select state::text, reason from occurrences order by due_at";
        sqlx::query_as(sql).fetch_all(&self.pool).await.expect("rows")
    }

    /// Runs a scheduler until one occurrence waits for a time ahead and nothing else does.
    async fn run_until_ahead(&self) -> Vec<contract::Envelope> {
        let sql = "select count(*) filter (where due_at <= now()),
            count(*) filter (where due_at > now()) from occurrences where pending";
        self.run_until(async || {
            let counted: (i64, i64) =
                sqlx::query_as(sql).fetch_one(&self.pool).await.expect("counts");
            if counted == (0, 1) { Ok(()) } else { Err(format!("{counted:?} are due and ahead")) }
        })
        .await
    }

    /// Runs a scheduler until something is so; returns what it published.
    async fn run_until(
        &self,
        is_so: impl AsyncFn() -> Result<(), String>,
    ) -> Vec<contract::Envelope> {
        let bus = self.bus().await;
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (scheduler, shutdown) = (self.scheduler(bus.clone()), shutdown.clone());
            async move { scheduler.run(shutdown).await }
        });
        wait_until(LIMIT, is_so).await;
        shutdown.cancel();
        running.await.expect("it ends");
        drain(&bus).await
    }
}

#[tokio::test]
async fn creates_next_occurrence_when_released() {
    let service = test_service().await;
    service.recurring("FREQ=HOURLY", "2 hours", "0").await;
    let events = service.run_until_ahead().await;
    assert_eq!(events.len(), 1);
    let states: Vec<_> = service.states().await.into_iter().map(|state| state.0).collect();
    assert_eq!(states, ["released", "pending"]);
    let gap: f64 = sqlx::query_scalar(
        "select extract(epoch from max(due_at) - min(due_at))::float8 from occurrences",
    )
    .fetch_one(&service.pool)
    .await
    .expect("a time");
    assert!((gap - 3600.0).abs() < 1.0, "{gap}");
}

#[tokio::test]
async fn sends_last_of_several_missed() {
    let service = test_service().await;
    service.recurring("FREQ=MINUTELY;INTERVAL=10", "65 minutes", "55 minutes").await;
    let events = service.run_until_ahead().await;

    let states = service.states().await;
    assert_eq!(
        events.iter().map(|event| event.event_type).collect::<Vec<_>>(),
        [EventType::NotificationSend],
        "{states:?}"
    );
    let records = "select body::jsonb #>> '{eventData,ended}',
        body::jsonb #>> '{eventData,expiresAt}' = body::jsonb #>> '{eventData,dueAt}'
        from commands";
    let records: Vec<(String, bool)> =
        sqlx::query_as(records).fetch_all(&service.pool).await.expect("commands");
    // Their user sees them, and an earlier version of the ledger does not send them.
    assert_eq!(records, vec![("MISSED".to_owned(), true); 5]);
    let missed = states
        .iter()
        .filter(|state| state.1.as_deref() == Some("MISSED") && state.0 == "suppressed")
        .count();
    assert_eq!((missed, states.len()), (5, 7), "{states:?}");
    assert_eq!(states[5].0, "released");
    let published: i64 = sqlx::query_scalar(
        "select count(*) from events where event_type = 'notification:suppressed'
            and data->>'reason' = 'MISSED'",
    )
    .fetch_one(&service.pool)
    .await
    .expect("a count");
    assert_eq!(published, 5);
}

#[tokio::test]
async fn creates_nothing_when_series_has_ended() {
    let service = test_service().await;
    service.recurring("FREQ=HOURLY;COUNT=3", "2 hours", "0").await;
    let bus = service.bus().await;
    let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
    let marked = mark_released(&service.pool, &claimed).await.expect("marked");
    assert_eq!((marked.released, service.count("pending").await), (1, 0));
    drop(bus);
}

#[tokio::test]
async fn follows_change_between_claim_and_mark() {
    let service = test_service().await;
    service.recurring("FREQ=HOURLY", "2 hours", "0").await;
    let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
    service
        .run("update notifications set recurrence = '{\"rrule\": \"FREQ=DAILY\"}', version = 4")
        .await;
    mark_released(&service.pool, &claimed).await.expect("marked");
    let next: DateTime<Utc> = sqlx::query_scalar("select due_at from occurrences where pending")
        .fetch_one(&service.pool)
        .await
        .expect("one");
    assert!(next - Utc::now() > chrono::TimeDelta::hours(20), "{next}");
}

#[tokio::test]
async fn states_reason_when_time_zone_data_changed() {
    let service = test_service().await;
    service.recurring("FREQ=HOURLY", "2 hours", "0").await;
    service.run("update notifications set time_zone_database = '1999a'").await;
    let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
    mark_released(&service.pool, &claimed).await.expect("marked");
    let edition = time_zone::edition();
    assert_eq!(service.states().await[1].1.as_deref(), Some("TIME_ZONE_DATA_CHANGED"));
    let noted: String = sqlx::query_scalar("select time_zone_database from notifications")
        .fetch_one(&service.pool)
        .await
        .expect("one");
    assert_eq!(noted, edition);
}

/// Statement of event-service when an outcome precedes the mark.
const OUTCOME: &str =
    "update occurrences set sent = 1, deliveries = 1, outcome_at = now(), released_at = now()";

#[tokio::test]
async fn continues_series_when_outcome_precedes_mark() {
    let service = test_service().await;
    service.recurring("FREQ=HOURLY", "2 hours", "0").await;
    let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
    service.run(OUTCOME).await;
    mark_released(&service.pool, &claimed).await.expect("marked");
    let states: Vec<_> = service.states().await.into_iter().map(|state| state.0).collect();
    assert_eq!(states, ["sent", "pending"]);
}

#[tokio::test]
async fn marks_without_publishing_again_after_crash() {
    let service = test_service().await;
    service.recurring("FREQ=HOURLY", "3 hours", "2 hours").await;
    service.due.claim(10, None).await.expect("claimed");
    service.run(OUTCOME).await;
    service.run("update occurrences set lease_until = '-infinity'").await;
    let events = service.run_until_ahead().await;

    let states: Vec<_> = service.states().await.into_iter().collect();
    assert_eq!(
        states.first().map(|state| state.0.as_str()),
        Some("sent"),
        "neither missed nor sent again: {states:?}"
    );
    assert!(states.len() > 2 && events.len() == 1, "one for those that followed: {states:?}");
}

const NEWER_RULE: &str = "update notifications set recurrence = recurrence || '{\"exrules\": []}'";
const KNOWN_RULE: &str = "update notifications set recurrence = recurrence - 'exrules'";
const NEXT_LEASE: &str =
    "update occurrences set lease_until = '-infinity' where pending and due_at <= now()";

#[tokio::test]
async fn sends_once_and_continues_when_rule_is_readable() {
    let service = test_service().await;
    service.recurring("FREQ=HOURLY", "2 hours", "0").await;
    service.run(NEWER_RULE).await;
    let quarantine =
        "pending and reason = 'UNREADABLE' and lease_until > now() + interval '30 seconds'";
    let is_set_aside = async || {
        (service.count(quarantine).await == 1).then_some(()).ok_or("not quarantined".to_owned())
    };
    assert_eq!(service.run_until(is_set_aside).await.len(), 1, "what is due is sent");

    service.run(NEXT_LEASE).await;
    assert_eq!(service.run_until(is_set_aside).await.len(), 0, "once");
    assert_eq!(service.count("true").await, 1);

    service.run(KNOWN_RULE).await;
    service.run(NEXT_LEASE).await;
    assert_eq!(service.run_until_ahead().await.len(), 0);
    let states = service.states().await;
    assert_eq!(
        states.iter().map(|(state, _)| state.as_str()).collect::<Vec<_>>(),
        ["released", "pending"]
    );
    assert!(states.iter().all(|(_, reason)| reason.is_none()), "{states:?}");
}

#[tokio::test]
async fn keeps_series_when_expired_and_unreadable() {
    for newer in
        [NEWER_RULE, "update notifications set content = content || '{\"channels\": [\"pigeon\"]}'"]
    {
        let service = test_service().await;
        service.recurring("FREQ=HOURLY", "2 hours", "0").await;
        service.run("update occurrences set expires_at = due_at - interval '1 second'").await;
        service.run(newer).await;
        let quarantine =
            "pending and reason = 'UNREADABLE' and lease_until > now() + interval '30 seconds'";
        let is_set_aside = async || {
            (service.count(quarantine).await == 1).then_some(()).ok_or("not quarantined".to_owned())
        };
        assert_eq!(service.run_until(is_set_aside).await.len(), 0);

        service.run(KNOWN_RULE).await;
        service
            .run("update notifications set content = content || '{\"channels\": [\"push\"]}'")
            .await;
        service.run(NEXT_LEASE).await;
        service.run_until_ahead().await;
        let states: Vec<_> = service.states().await.into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, ["suppressed", "pending"]);
    }
}
