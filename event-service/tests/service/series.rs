//! Recurring notifications, snoozes, acknowledgements, and changes of released occurrences.

use contract::{ChangedOccurrence, DeliveryState, EventType, ReminderData, Snooze, occurrence_id};
use serde_json::{Value, json};

use crate::fixture::{
    TestService, created, data, deleted, event, hours, minutes, now, outcome, received,
    test_service,
};

fn hourly(start: chrono::DateTime<chrono::Utc>) -> ReminderData {
    let rule = json!({"rrule": "FREQ=HOURLY"});
    ReminderData {
        recurrence: Some(serde_json::from_value(rule).expect("a rule")),
        ..data(start + minutes(30), &[0])
    }
}

fn updated(item: &str, version: i64, data: ReminderData) -> bus::Received {
    received(&event(EventType::ReminderUpdated, item, version, now(), data))
}

/// Reads the commands for the notification topic: types and data.
async fn commands(service: &TestService) -> Vec<(String, Value)> {
    let sql =
        "select attributes->>'eventType', body::jsonb->'eventData' from commands order by event_id";
    sqlx::query_as(sql).fetch_all(&service.pool).await.expect("commands")
}

async fn release(service: &TestService, item: &str) {
    let sql = "update occurrences set state = 'released', released_at = now()
        from notifications where notifications.id = notification_id and item_id = $1 and pending";
    sqlx::query(sql).bind(item).execute(&service.pool).await.expect("released");
}

#[tokio::test]
async fn moves_next_occurrence_when_series_changes() {
    let service = test_service().await;
    let start = now();
    service
        .apply(&[received(&event(EventType::ReminderCreated, "a", 1, start, hourly(start)))])
        .await;
    let moved = ReminderData { date: start + minutes(40), ..hourly(start) };
    let before = service.occurrences("a").await;
    service.apply(&[updated("a", 2, moved)]).await;
    let after = service.occurrences("a").await;

    assert_eq!(
        before.into_iter().collect::<Vec<_>>(),
        [(start + minutes(30), "pending".to_owned())]
    );
    let expected = [
        (start + minutes(30), "cancelled".to_owned()),
        (start + minutes(40), "pending".to_owned()),
    ];
    assert_eq!(after.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn cancels_snooze_when_acknowledged() {
    let service = test_service().await;
    let date = now() + hours(1);
    service.apply(&[created("a", 1, date, &[0, 120])]).await;
    let until = date - minutes(50);
    let snooze = Some(Snooze { date, until });
    service.apply(&[updated("a", 2, ReminderData { snooze, ..data(date, &[0, 120]) })]).await;
    assert_eq!(service.occurrences("a").await.get(&until).map(String::as_str), Some("pending"));

    let acknowledged = Some(date);
    service.apply(&[updated("a", 3, ReminderData { acknowledged, ..data(date, &[0, 120]) })]).await;
    assert_eq!(cancelled(&service).await, ["ACKNOWLEDGED", "ACKNOWLEDGED"]);
}

#[tokio::test]
async fn states_reason_of_each_cancellation() {
    let service = test_service().await;
    let date = now() + hours(2);
    service.apply(&[created("a", 1, date, &[0, 10])]).await;
    service.apply(&[updated("a", 2, data(date, &[0]))]).await;
    assert_eq!(cancelled(&service).await, ["EDITED"]);
    service.apply(&[deleted("a", 3)]).await;
    assert_eq!(cancelled(&service).await, ["EDITED", "DELETED"]);

    service.apply(&[created("b", 1, date, &[0])]).await;
    let snooze = |minute| Some(Snooze { date, until: date + minutes(minute) });
    for (version, minute) in [(2, 10), (3, 20)] {
        let data = ReminderData { snooze: snooze(minute), ..data(date, &[0]) };
        service.apply(&[updated("b", version, data)]).await;
    }
    assert_eq!(cancelled(&service).await, ["EDITED", "DELETED", "SNOOZED"]);
    let again = service.occurrences("a").await;
    service.apply(&[created("a", 4, date, &[0])]).await;
    assert_ne!(service.occurrences("a").await, again);
    assert_eq!(cancelled(&service).await, ["EDITED", "SNOOZED"], "no reason once it is pending");
}

/// Reads the reasons of cancelled occurrences, in order of time.
async fn cancelled(service: &TestService) -> Vec<String> {
    let sql = "select reason from occurrences where state = 'cancelled' order by due_at";
    sqlx::query_scalar(sql).fetch_all(&service.pool).await.expect("reasons")
}

#[tokio::test]
async fn commands_change_of_released_occurrences() {
    let service = test_service().await;
    let date = now() + hours(1);
    service.apply(&[created("a", 1, date, &[0])]).await;
    release(&service, "a").await;
    let occurrence = occurrence_id("reminder", "a", date).simple().to_string();

    let mut renamed = data(date, &[0]);
    renamed.content.title = Some("Renamed".to_owned());
    service.apply(&[updated("a", 2, renamed)]).await;
    service.apply(&[deleted("a", 3)]).await;

    let mut published = commands(&service).await;
    published.sort_by(|one, other| one.0.cmp(&other.0).reverse());
    assert_eq!(
        published.iter().map(|command| command.0.as_str()).collect::<Vec<_>>(),
        ["notification:update", "notification:delete"]
    );
    assert_eq!(
        (&published[0].1["occurrences"], &published[0].1["content"]["title"]),
        (&json!([occurrence]), &json!("Renamed"))
    );
    assert_eq!(
        (&published[1].1["occurrences"], &published[1].1["content"], &published[1].1["reason"]),
        (&json!([occurrence]), &Value::Null, &json!("DELETED"))
    );
}

/// Claims pending occurrences, as a scheduler does before it publishes and marks.
const CLAIM: &str = "update occurrences set lease_until = now() + interval '15 seconds',
    fence = fence + 1 where pending";

#[tokio::test]
async fn commands_texts_of_each_released_occurrence() {
    let service = test_service().await;
    let start = now();
    let dates = [start + hours(1), start + hours(2)];
    let [first, second] = dates.map(|date| occurrence_id("reminder", "a", date).simple());
    let hourly = hourly(dates[0] - minutes(30));
    let series =
        |version| received(&event(EventType::ReminderCreated, "a", version, start, hourly.clone()));
    service.apply(&[series(1)]).await;
    release(&service, "a").await;
    // As a scheduler creates the next one.
    let next = "insert into occurrences (id, notification_id, due_at, date, expires_at, state)
        select $1, id, $2, $2, $2 + interval '1 hour', 'released' from notifications";
    let next = sqlx::query(next).bind(second.into_uuid()).bind(dates[1]);
    next.execute(&service.pool).await.expect("released");

    let mut changed = hourly.clone();
    changed.changed_occurrences = vec![ChangedOccurrence {
        date: dates[1],
        title: Some("Half".to_owned()),
        message: "only today".to_owned(),
        url: None,
        data: Default::default(),
    }];
    service.apply(&[updated("a", 2, changed)]).await;

    let mut published = commands(&service).await;
    published.sort_by_key(|command| command.1["content"]["title"].to_string());
    let texts = |place: usize| {
        (&published[place].1["occurrences"], &published[place].1["content"]["title"])
    };
    assert_eq!(published.len(), 2);
    assert_eq!(texts(0), (&json!([second.to_string()]), &json!("Half")));
    assert_eq!(texts(1), (&json!([first.to_string()]), &json!("Tablets")));
    let sql = "select changed_occurrences->0->>'message' from notifications";
    let stored: Option<String> =
        sqlx::query_scalar(sql).fetch_one(&service.pool).await.expect("a notification");
    assert_eq!(stored.as_deref(), Some("only today"));
    service.apply(&[deleted("a", 3)]).await;
    let stored: Option<String> =
        sqlx::query_scalar(sql).fetch_one(&service.pool).await.expect("a tombstone");
    assert_eq!(stored, None, "a tombstone has no texts");
}

#[tokio::test]
async fn commands_change_of_claimed_occurrence() {
    let service = test_service().await;
    let date = now() + hours(1);
    service.apply(&[created("a", 1, date, &[0])]).await;
    sqlx::query(CLAIM).execute(&service.pool).await.expect("claimed");
    service.apply(&[updated("a", 2, data(date, &[0]))]).await;
    assert_eq!(command_types(&service).await, ["notification:update"]);
    assert_eq!(service.occurrences("a").await.into_values().collect::<Vec<_>>(), ["pending"]);

    let given_back = "update occurrences set lease_until = '-infinity'";
    sqlx::query(given_back).execute(&service.pool).await.expect("returned");
    service.apply(&[deleted("a", 3)]).await;
    assert_eq!(command_types(&service).await, ["notification:update"], "it was not published");
}

#[tokio::test]
async fn waits_for_claim_in_progress() {
    let service = test_service().await;
    service.apply(&[created("a", 1, now() + hours(1), &[0])]).await;
    let mut claim = service.pool.begin().await.expect("a transaction");
    sqlx::query(CLAIM).execute(&mut *claim).await.expect("claimed");
    let waits = "select exists (select from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock')";
    let commit = async {
        let is_waited_for = async || {
            sqlx::query_scalar::<_, bool>(waits).fetch_one(&service.pool).await.expect("an answer")
        };
        support::wait_until(std::time::Duration::from_secs(20), is_waited_for).await;
        claim.commit().await.expect("committed");
    };
    let deletion = [deleted("a", 2)];
    tokio::join!(service.apply(&deletion), commit);

    assert_eq!(command_types(&service).await, ["notification:delete"]);
    assert_eq!(service.occurrences("a").await.into_values().collect::<Vec<_>>(), ["cancelled"]);
}

/// The types of the commands.
async fn command_types(service: &TestService) -> Vec<String> {
    commands(service).await.into_iter().map(|command| command.0).collect()
}

#[tokio::test]
async fn sends_no_command_when_nothing_was_released() {
    let service = test_service().await;
    service
        .apply(&[
            created("a", 1, now() + hours(1), &[0]),
            created("a", 2, now() + hours(2), &[0]),
            deleted("a", 3),
        ])
        .await;
    assert_eq!(commands(&service).await, []);
}

#[tokio::test]
async fn keeps_recurring_pending_when_outcome_precedes_mark() {
    let service = test_service().await;
    let start = now();
    let due = start + minutes(30);
    service
        .apply(&[received(&event(EventType::ReminderCreated, "a", 1, start, hourly(start)))])
        .await;
    service.apply(&[outcome("a", due, DeliveryState::Sent, None, 1)]).await;
    assert_eq!(service.occurrences("a").await[&due], "pending", "its series would stand still");

    let moved = ReminderData { date: start + minutes(40), ..hourly(start) };
    service.apply(&[updated("a", 2, moved)]).await;
    let expected = [(due, "sent".to_owned()), (start + minutes(40), "pending".to_owned())];
    assert_eq!(service.occurrences("a").await.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn plans_a_series_that_starts_before_1970() {
    let service = test_service().await;
    for (item, year) in [("a", 1955), ("b", 1604), ("c", 1)] {
        let start = chrono::NaiveDate::from_ymd_opt(year, 5, 1)
            .expect("a day")
            .and_hms_opt(9, 0, 0)
            .expect("a time");
        let rule = serde_json::from_value(json!({"rrule": "FREQ=YEARLY"})).expect("a rule");
        let data = ReminderData { recurrence: Some(rule), ..data(start.and_utc(), &[0]) };
        service.apply(&[received(&event(EventType::ReminderCreated, item, 1, now(), data))]).await;
        let occurrences = service.occurrences(item).await;
        let ahead: Vec<_> = occurrences
            .iter()
            .filter(|(due, state)| **due > now() && *state == "pending")
            .collect();
        assert_eq!((occurrences.len(), ahead.len()), (1, 1), "{item}: {occurrences:?}");
    }
}
