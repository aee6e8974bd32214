//! Deliveries of one user do not delay those of another.

use chrono::{TimeDelta, Utc};
use contract::{Channel, Priority};
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

/// E-mails that SES accepts in a second: so few that a slow machine makes no difference.
const RATE: u32 = 2;
/// Number of e-mails of the busy user that may be sent first: those in flight, and a few more.
const FEW: usize = 30;

async fn slow_mail() -> TestService {
    // Set from the start, because the account's rate is read then and again only minutes later.
    TestService::start_with_providers(&[], |mode| mode.ses.max_send_rate = Some(RATE)).await
}

fn mails(user: &str, count: i64) -> Vec<DueOccurrence> {
    (0..count)
        .map(|second| {
            DueOccurrence::at(user, &[Channel::Email], Utc::now() - TimeDelta::seconds(second))
        })
        .collect()
}

/// Counts the e-mails to a user that were accepted before the first one to another.
async fn before(service: &TestService, hog: &str, other: &str) -> usize {
    let address = format!("{other}@example.com");
    wait_until(LIMIT, async || !service.emails(&address).is_empty()).await;
    let at = service.emails(&address)[0].at;
    service.emails(&format!("{hog}@example.com")).iter().filter(|mail| mail.at < at).count()
}

#[tokio::test]
async fn sends_other_users_mail_beside_burst_of_one() {
    let service = slow_mail().await;
    service
        .publish(&mails("hog", 300).iter().map(DueOccurrence::message).collect::<Vec<_>>())
        .await;
    wait_until(LIMIT, async || service.emails("hog@example.com").len() > 2).await;
    let sent = service.emails("hog@example.com").len();
    service.publish_due("ada", &[Channel::Email]).await;

    let between = before(&service, "hog", "ada").await - sent;
    assert!(between <= FEW, "{between} of the other user came between");
}

#[tokio::test]
async fn sends_urgent_mail_before_users_others() {
    let service = slow_mail().await;
    let mut dues = mails("hog", 300);
    let mut urgent = DueOccurrence {
        email: Some("urgent@example.com".to_owned()),
        ..DueOccurrence::now("hog", &[Channel::Email])
    };
    urgent.send.content.priority = Priority::High;
    dues.push(urgent);
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;

    let earlier = before(&service, "hog", "urgent").await;
    assert!(earlier <= FEW, "{earlier} others came first");
}

#[tokio::test]
async fn claims_other_users_mail_beside_backlog_of_one() {
    let service = slow_mail().await;
    for user in ["hog", "ada"] {
        service.start_quiet_hours(user).await;
    }
    service
        .publish(&mails("hog", 1_000).iter().map(DueOccurrence::message).collect::<Vec<_>>())
        .await;
    let due = service.publish_due("ada", &[Channel::Email]).await;
    wait_until(LIMIT, async || service.count_in_state("deferred").await == 1_001).await;
    // Quiet hours end for both, for one of them a moment later.
    sqlx::query(
        "update deliveries set next_attempt_at = now()
             + case user_id when 'ada' then interval '1 ms' else interval '0' end",
    )
    .execute(&service.pool)
    .await
    .expect("the morning");

    let earlier = before(&service, "hog", "ada").await;
    assert!(earlier <= FEW, "{earlier} of the other user came first");
    service.wait_for_state(&due, Channel::Email, "sent").await;
    assert_eq!(service.count_in_state("failed").await, 0);
}

#[tokio::test]
async fn postpones_deliveries_beyond_user_limit() {
    let service = TestService::start_with(&[("PUSH_PER_USER_PER_MINUTE", "60")]).await;
    service.register_device("hog", "token-1").await;
    let dues: Vec<DueOccurrence> = (0..100)
        .map(|second| {
            DueOccurrence::at("hog", &[Channel::Push], Utc::now() - TimeDelta::seconds(second))
        })
        .collect();
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    wait_until(LIMIT, async || service.count_in_state("sent").await >= 12).await;
    service.wait_until_consumed().await;

    let (waiting, spread): (i64, f64) = sqlx::query_as(
        "select count(*), extract(epoch from max(next_attempt_at) - min(next_attempt_at))::float8
         from deliveries where reason = 'RATE_LIMITED' and state = 'pending'",
    )
    .fetch_one(&service.pool)
    .await
    .expect("counted");
    assert!(waiting > 50 && spread >= 50.0, "{waiting} wait, spread over {spread} s");
}
