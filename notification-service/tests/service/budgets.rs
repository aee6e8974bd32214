//! Rates and quotas of the providers, shared by all processes that send.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contract::Channel;
use notification_service::store::{
    MIGRATOR,
    budgets::{self, Leased, Wanted},
};
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

/// Seconds for each message: so slow a rate that the duration of the test does not matter.
const SECONDS_EACH: f64 = 3_600.0;

fn wanted(channel: Channel, messages: i64) -> Wanted {
    let ahead = Duration::from_secs(3_600 * 1_000);
    Wanted {
        channel,
        messages,
        seconds_each: SECONDS_EACH,
        burst: Duration::ZERO,
        ahead,
        unused: 0,
    }
}

#[tokio::test]
async fn leases_without_overlap_when_many_ask() {
    let database = support::postgres::migrated("notification", &MIGRATOR).await;
    let pool = database.pool().await;
    let ask = |_| async {
        budgets::lease(&pool, wanted(Channel::Email, 7)).await.expect("leased").expect("a budget")
    };
    let mut leased = futures::future::join_all((0..40).map(ask)).await;

    leased.sort_by(|one, other| one.begins_in.total_cmp(&other.begins_in));
    assert!(leased.iter().all(|leased| leased.messages == 7));
    for (number, leased) in leased.iter().enumerate() {
        let begins = (leased.begins_in / SECONDS_EACH).round();
        assert_eq!(begins as usize, number * 7, "each begins where the one before ends");
    }
}

#[tokio::test]
async fn leases_no_more_than_daily_quota() {
    let database = support::postgres::migrated("notification", &MIGRATOR).await;
    let pool = database.pool().await;
    budgets::note_day_left(&pool, Channel::Email, Some(10)).await.expect("noted");
    let mut given = Vec::new();
    for _ in 0..3 {
        let leased = budgets::lease(&pool, wanted(Channel::Email, 7))
            .await
            .expect("leased")
            .expect("a budget");
        given.push((leased.messages, leased.day_left));
    }
    assert_eq!(given, [(7, Some(3)), (3, Some(0)), (0, Some(0))]);
    let push =
        budgets::lease(&pool, wanted(Channel::Push, 7)).await.expect("leased").expect("a budget");
    assert!(matches!(push, Leased { messages: 7, day_left: None, .. }), "{push:?}");
}

#[tokio::test]
async fn returns_unused_messages_to_daily_quota() {
    let database = support::postgres::migrated("notification", &MIGRATOR).await;
    let pool = database.pool().await;
    budgets::note_day_left(&pool, Channel::Email, Some(10)).await.expect("noted");
    let mut left = Vec::new();
    for unused in [0, 9, 0, 5, 0] {
        let ask = Wanted { unused, ..wanted(Channel::Email, 10) };
        let leased = budgets::lease(&pool, ask).await.expect("leased").expect("a budget");
        left.push((leased.messages, leased.day_left));
    }
    assert_eq!(left, [(10, Some(0)), (9, Some(0)), (0, Some(0)), (5, Some(0)), (0, Some(0))]);
}

#[tokio::test]
async fn refuses_lease_too_far_ahead() {
    let database = support::postgres::migrated("notification", &MIGRATOR).await;
    let pool = database.pool().await;
    let ask = Wanted { ahead: Duration::from_secs(1), ..wanted(Channel::Email, 140) };
    let first = budgets::lease(&pool, ask).await.expect("leased").expect("a budget");
    let second = budgets::lease(&pool, ask).await.expect("leased").expect("a budget");
    assert_eq!((first.messages, second.messages), (140, 0));
}

/// Publishes a due e-mail to each of `count` users at once.
async fn mails(service: &TestService, count: i64) {
    let dues: Vec<DueOccurrence> = (0..count)
        .map(|number| DueOccurrence::now(&format!("user-{number}"), &[Channel::Email]))
        .collect();
    for part in dues.chunks(20) {
        service.publish(&part.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn keeps_one_rate_with_two_replicas() {
    const RATE: u32 = 40;
    const MAILS: i64 = 200;
    let service =
        TestService::start_with_providers(&[], |mode| mode.ses.max_send_rate = Some(RATE)).await;
    let second = service.replica(&[]).await;
    // Both replicas have read the account's rate before anything is due.
    wait_until(LIMIT, async || service.quotas_read() >= 2).await;
    mails(&service, MAILS).await;
    wait_until(LIMIT, async || service.all_emails().len() as i64 == MAILS).await;
    second.stop().await;

    let mut at: Vec<DateTime<Utc>> = service.all_emails().iter().map(|mail| mail.at).collect();
    at.sort_unstable();
    let span = (at[at.len() - 1] - at[0]).as_seconds_f64();
    let at_rate = MAILS as f64 / f64::from(RATE);
    assert!(span >= at_rate - 0.5, "{MAILS} e-mails in {span} s, at {RATE}/s by both replicas");
}

#[tokio::test]
async fn holds_only_email_when_daily_quota_is_used_up() {
    let service =
        TestService::start_with_providers(&[], |mode| mode.ses.max_24_hour_send = Some(3)).await;
    service.register_device("ada", "token-1").await;
    wait_until(LIMIT, async || service.quotas_read() >= 1).await;
    wait_until(LIMIT, async || service.day_left().await == Some(3)).await;
    mails(&service, 8).await;
    wait_until(LIMIT, async || service.all_emails().len() == 3).await;
    wait_until(LIMIT, async || {
        service.metric("reminders_circuit_breaker_state", "email").await == 1.0
    })
    .await;
    let push = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&push, Channel::Push, "sent").await;

    wait_until(LIMIT, async || service.count_in_state("sent").await == 4).await;
    let waiting: Vec<(i32, Option<String>)> =
        sqlx::query_as("select attempts, reason from deliveries where state = 'pending'")
            .fetch_all(&service.pool)
            .await
            .expect("rows");
    assert_eq!(waiting.len(), 5);
    assert!(
        waiting.iter().all(|(attempts, _)| *attempts == 0),
        "no attempt is counted: {waiting:?}"
    );
    assert!(
        waiting.iter().any(|(_, reason)| reason.as_deref() == Some("DAILY_QUOTA_EXCEEDED")),
        "{waiting:?}"
    );
    assert_eq!(service.all_emails().len(), 3);
}

#[tokio::test]
async fn keeps_messages_per_minute_of_project() {
    let service = TestService::start_with(&[("FCM_MAX_PER_MINUTE", "120")]).await;
    service.register_device("ada", "token-1").await;
    let dues: Vec<DueOccurrence> = (0..40)
        .map(|at| {
            DueOccurrence::at("ada", &[Channel::Push], Utc::now() - TimeDelta::milliseconds(at))
        })
        .collect();
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    wait_until(LIMIT, async || service.count_in_state("sent").await == 40).await;

    // Twenty are the burst, the others follow at 100 a minute.
    let mut at: Vec<DateTime<Utc>> = service.pushes("token-1").iter().map(|push| push.at).collect();
    at.sort_unstable();
    let span = (at[39] - at[0]).as_seconds_f64();
    assert!(span >= 20.0 * 0.6 - 1.0, "40 pushes in {span} s");
}
