//! Rows that this version of the service cannot read, planted beside others: each is ended or
//! passed over by itself.

use contract::{Channel, EventType};
use sqlx::PgPool;
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

async fn run(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.expect(statement);
}

#[tokio::test]
async fn ends_only_delivery_with_unreadable_payload() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.set_provider_mode(|mode| (mode.fcm.status, mode.ses.down) = (Some(503), true));
    let both = [Channel::Email, Channel::Push];
    let mut dues = Vec::new();
    for _ in 0..4 {
        dues.push(service.publish_due("ada", &both).await);
    }
    for channel in both {
        for due in &dues {
            wait_until(LIMIT, async || service.wait_for_state(due, channel, "pending").await.1 > 0)
                .await;
        }
    }
    for (due, change) in dues.iter().zip([
        "payload = '{}'",
        "payload = jsonb_set(payload, '{channels}', '[\"push\", \"sms\", \"email\"]')",
        "due_at = '-infinity', expires_at = 'infinity'",
    ]) {
        let statement = format!("update dispatches set {change} where occurrence_id = $1");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(due.id())
            .execute(&service.pool)
            .await
            .expect("planted");
    }
    service.set_provider_mode(|_| {});
    service.make_retries_due().await;

    for channel in both {
        assert_eq!(
            service.wait_for_state(&dues[0], channel, "failed").await.0.as_deref(),
            Some("UNREADABLE")
        );
        assert_eq!(
            service.wait_for_state(&dues[2], channel, "failed").await.0.as_deref(),
            Some("UNREADABLE")
        );
        service.wait_for_state(&dues[1], channel, "sent").await;
        service.wait_for_state(&dues[3], channel, "sent").await;
    }
    let outcome = service.wait_for_outcome(&dues[0], EventType::NotificationFailed).await;
    assert_eq!(
        (outcome.occurrence_id, outcome.reason.as_deref()),
        (dues[0].send.occurrence_id, Some("UNREADABLE"))
    );
    let history = service.user("ada").get("/notifications").await.expect(200).body;
    assert_eq!(history["notifications"].as_array().map(Vec::len), Some(8), "{history}");
    service.user("ada").get("/me/export").await.expect(200);
}

#[tokio::test]
async fn skips_device_of_unknown_type() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let newer = service.register_device("ada", "token-2").await;
    run(&service.pool, "alter table devices drop constraint devices_type_check").await;
    run(&service.pool, "update devices set type = 'watch' where token = 'token-2'").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;

    assert_eq!(
        service.wait_for_state_on_device(&due, &newer, "suppressed").await.as_deref(),
        Some("UNREADABLE")
    );
    wait_until(LIMIT, async || service.pushes("token-1").len() == 1).await;
    let devices = service.user("ada").get("/device").await.expect(200).body;
    assert_eq!(devices["devices"][1]["type"], "watch");
    service.user("ada").delete(&format!("/device/remove/{newer}")).await.expect(200);
}

#[tokio::test]
async fn reads_unknown_zone_of_preferences_as_utc() {
    let service = TestService::start().await;
    for user in ["ada", "bob"] {
        service.register_device(user, &format!("token-{user}")).await;
    }
    service.start_quiet_hours("ada").await;
    run(&service.pool, "update preferences set time_zone = 'Mars/Olympus'").await;
    let dues = ["ada", "bob"].map(|user| DueOccurrence::now(user, &[Channel::Push]));
    service.publish(&dues.each_ref().map(DueOccurrence::message)).await;

    service.wait_for_state(&dues[0], Channel::Push, "deferred").await;
    service.wait_for_state(&dues[1], Channel::Push, "sent").await;
    service.user("ada").get("/preferences").await.expect(200);
    service.clear_preferences("ada").await;
    service.wait_for_state(&dues[0], Channel::Push, "sent").await;
}

#[tokio::test]
async fn sends_old_text_when_revision_is_unreadable() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let dues =
        [DueOccurrence::now("ada", &[Channel::Push]), DueOccurrence::now("ada", &[Channel::Push])];
    sqlx::query(
        "insert into revisions (occurrence_id, user_id, version, content, at)
         values ($1, 'ada', 9, '{}', now())",
    )
    .bind(dues[0].id())
    .execute(&service.pool)
    .await
    .expect("planted");
    service.publish(&dues.each_ref().map(DueOccurrence::message)).await;

    for due in &dues {
        service.wait_for_state(due, Channel::Push, "sent").await;
    }
}

#[tokio::test]
async fn skips_channel_of_newer_version() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;
    run(&service.pool, "alter table deliveries drop constraint deliveries_channel_check").await;
    run(
        &service.pool,
        "insert into deliveries (occurrence_id, channel, device_id, id, user_id, state,
         next_attempt_at)
         select occurrence_id, 'sms', device_id, gen_random_uuid(), user_id, 'deferred',
             next_attempt_at from deliveries",
    )
    .await;

    service.clear_preferences("ada").await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    service.user("ada").get("/notifications").await.expect(200);
}
