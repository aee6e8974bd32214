//! Occurrences that the scheduler released ahead of their due time.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use contract::Channel;
use serde_json::json;
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

fn due_in(milliseconds: i64) -> DateTime<Utc> {
    (Utc::now() + TimeDelta::milliseconds(milliseconds)).trunc_subsecs(6)
}

/// Row of the ledger: whether it is leased, and from when on it may be claimed, if it is pending.
type Row = (bool, Option<DateTime<Utc>>);

/// Waits for the row of an occurrence.
async fn row(service: &TestService, due: &DueOccurrence) -> Row {
    let sql = "select leased, next_attempt_at from deliveries where occurrence_id = $1 limit 1";
    wait_until(LIMIT, async || {
        sqlx::query_as(sql).bind(due.id()).fetch_optional(&service.pool).await.expect("read")
    })
    .await
}

/// Publishes an occurrence ahead of its due time and waits until its deliveries are held. A busy
/// machine may need several attempts.
async fn publish_held(service: &TestService, channels: &[Channel]) -> DueOccurrence {
    wait_until(LIMIT, async || {
        let due = DueOccurrence::at("ada", channels, due_in(1_900));
        service.publish(&[due.message()]).await;
        let (leased, _) = row(service, &due).await;
        (leased && Utc::now() < due.send.due_at - TimeDelta::milliseconds(500)).then_some(due)
    })
    .await
}

#[tokio::test]
async fn holds_deliveries_until_their_due_time() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = publish_held(&service, &[Channel::Push, Channel::Email]).await;
    let shown = wait_until(LIMIT, async || {
        let history = service.user("ada").get("/notifications?limit=1").await.expect(200).body;
        let newest = &history["notifications"][0]["occurrenceId"];
        (*newest == json!(due.send.occurrence_id)).then(Utc::now)
    })
    .await;
    assert!(shown >= due.send.due_at, "the history shows it when it is due");
    service.wait_for_state(&due, Channel::Push, "sent").await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    let id = due.send.occurrence_id.to_string();
    let pushes = service.pushes("token-1");
    let push = pushes
        .iter()
        .find(|push| push.push().is_some_and(|push| push.collapse_key == Some(id.clone())));
    assert!(push.expect("a push").at >= due.send.due_at);
    let emails = service.emails("ada@example.com");
    assert!(emails.last().expect("an e-mail").at >= due.send.due_at);
    assert_eq!(service.metric("reminders_deliveries_early_total", "").await, 0.0);
}

#[tokio::test]
async fn keeps_delivery_due_later_in_ledger() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = DueOccurrence::at("ada", &[Channel::Push], due_in(3_600_000));
    service.publish(&[due.message()]).await;
    assert_eq!(row(&service, &due).await, (false, Some(due.send.due_at)));
}

/// More than the process has permits for: the rest waits in the ledger.
#[tokio::test]
async fn sends_no_delivery_without_permit_early() {
    let service = TestService::start_with(&[("PUSH_MAX_IN_FLIGHT", "2")]).await;
    let mut dues = Vec::new();
    for number in 0..24 {
        let user = format!("user-{number}");
        service.register_device(&user, &format!("token-{number}")).await;
        dues.push(DueOccurrence::at(&user, &[Channel::Push], Utc::now()));
    }
    let due_at = due_in(900);
    dues.iter_mut().for_each(|due| due.send.due_at = due_at);
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    wait_until(LIMIT, async || service.count_in_state("sent").await == 24).await;
    let captured = service.sandbox.captured();
    assert!(captured.iter().all(|message| message.at >= due_at), "{captured:?}");
}

#[tokio::test]
async fn returns_held_deliveries_on_shutdown() {
    let mut service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = publish_held(&service, &[Channel::Push]).await;
    let sent = service.pushes("token-1").len();
    service.stop().await;
    if let (leased, Some(next)) = row(&service, &due).await {
        assert_eq!((leased, next >= due.send.due_at), (false, true));
        assert_eq!(service.pushes("token-1").len(), sent, "nothing is sent");
    } else {
        // The machine is busy, and the process stopped after the due time.
        assert!(Utc::now() >= due.send.due_at);
    }
    service.restart().await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
}

#[tokio::test]
async fn recalls_held_delivery_when_its_reminder_is_deleted() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = publish_held(&service, &[Channel::Push]).await;
    service.publish(&[due.cancelled(4)]).await;
    let (reason, attempts) = service.wait_for_state(&due, Channel::Push, "suppressed").await;
    assert_eq!((reason.as_deref(), attempts), (Some("DELETED"), 0));
    let id = due.send.occurrence_id.to_string();
    let is_its = |push: &sandbox::Push| push.collapse_key.as_ref() == Some(&id);
    assert!(!service.pushes("token-1").iter().any(|push| push.push().is_some_and(is_its)));
}

#[tokio::test]
async fn defers_delivery_that_is_due_in_quiet_hours() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let minute = Utc::now().timestamp().div_euclid(60) + 1;
    let begins = DateTime::from_timestamp(60 * minute, 0).expect("a time");
    let at = |time: DateTime<Utc>| time.format("%H:%M").to_string();
    let quiet = json!({
        "start": at(begins), "end": at(begins + TimeDelta::hours(2)), "timeZone": "UTC",
    });
    service.user("ada").put("/preferences", &json!({"quietHours": quiet})).await.expect(200);
    let due = DueOccurrence::at("ada", &[Channel::Push], begins);
    service.publish(&[due.message()]).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;

    // Its quiet hours end now, and it is not due yet.
    service.clear_preferences("ada").await;
    let sql = "select next_attempt_at from deliveries where occurrence_id = $1";
    let next: DateTime<Utc> =
        sqlx::query_scalar(sql).bind(due.id()).fetch_one(&service.pool).await.expect("read");
    assert!(next >= due.send.due_at, "{next}");
}
