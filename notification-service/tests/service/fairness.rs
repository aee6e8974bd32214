//! One user's deliveries do not stand in the way of another's.

use chrono::{TimeDelta, Utc};
use shared::contract::{Channel, Priority};
use support::eventually;

use crate::test_service::{Due, LIMIT, Service};

/// E-mails that SES takes in a second: so few that a slow machine is no slower.
const RATE: u32 = 2;
/// Of the other user's e-mails, those that may come first: what is in flight already, and a few
/// more.
const FEW: usize = 30;

async fn slow_mail() -> Service {
    // From the start: the account's rate is read then, and again only minutes later.
    Service::start_in(&[], |mode| mode.ses.max_send_rate = Some(RATE)).await
}

fn mails(user: &str, count: i64) -> Vec<Due> {
    (0..count)
        .map(|second| Due::at(user, &[Channel::Email], Utc::now() - TimeDelta::seconds(second)))
        .collect()
}

/// Counts the e-mails to a user that were accepted before the first one to another.
async fn before(service: &Service, hog: &str, other: &str) -> usize {
    let address = format!("{other}@example.com");
    eventually(LIMIT, async || !service.emails(&address).is_empty()).await;
    let at = service.emails(&address)[0].at;
    service.emails(&format!("{hog}@example.com")).iter().filter(|mail| mail.at < at).count()
}

#[tokio::test]
async fn sends_other_users_mail_beside_burst_of_one() {
    let service = slow_mail().await;
    service.publish(&mails("hog", 300).iter().map(Due::message).collect::<Vec<_>>()).await;
    eventually(LIMIT, async || service.emails("hog@example.com").len() > 2).await;
    let sent = service.emails("hog@example.com").len();
    service.due("ada", &[Channel::Email]).await;

    let between = before(&service, "hog", "ada").await - sent;
    assert!(between <= FEW, "{between} of the other user came between");
}

#[tokio::test]
async fn sends_urgent_mail_before_users_others() {
    let service = slow_mail().await;
    let mut dues = mails("hog", 300);
    let mut urgent =
        Due { email: Some("urgent@example.com".to_owned()), ..Due::now("hog", &[Channel::Email]) };
    urgent.send.content.priority = Priority::High;
    dues.push(urgent);
    service.publish(&dues.iter().map(Due::message).collect::<Vec<_>>()).await;

    let earlier = before(&service, "hog", "urgent").await;
    assert!(earlier <= FEW, "{earlier} others came first");
}

#[tokio::test]
async fn claims_other_users_mail_beside_backlog_of_one() {
    let service = slow_mail().await;
    for user in ["hog", "ada"] {
        service.night(user).await;
    }
    service.publish(&mails("hog", 1_000).iter().map(Due::message).collect::<Vec<_>>()).await;
    let due = service.due("ada", &[Channel::Email]).await;
    eventually(LIMIT, async || service.count("deferred").await == 1_001).await;
    // The night ends for both, for the one a moment later.
    sqlx::query(
        "update deliveries set next_attempt_at = now() + case user_id when 'ada' then interval '1 ms' else interval '0' end",
    )
    .execute(&service.pool)
    .await
    .expect("the morning");

    let earlier = before(&service, "hog", "ada").await;
    assert!(earlier <= FEW, "{earlier} of the other user came first");
    service.ends(&due, Channel::Email, "sent").await;
    assert_eq!(service.count("failed").await, 0);
}

#[tokio::test]
async fn postpones_deliveries_beyond_user_limit() {
    let service = Service::start_with(&[("PUSH_PER_USER_PER_MINUTE", "60")]).await;
    service.device("hog", "token-1").await;
    let dues: Vec<Due> = (0..100)
        .map(|second| Due::at("hog", &[Channel::Push], Utc::now() - TimeDelta::seconds(second)))
        .collect();
    service.publish(&dues.iter().map(Due::message).collect::<Vec<_>>()).await;
    eventually(LIMIT, async || service.count("sent").await >= 12).await;
    service.consumed().await;

    let (waiting, spread): (i64, f64) = sqlx::query_as(
        "select count(*), extract(epoch from max(next_attempt_at) - min(next_attempt_at))::float8
         from deliveries where reason = 'RATE_LIMITED' and state = 'pending'",
    )
    .fetch_one(&service.pool)
    .await
    .expect("counted");
    assert!(waiting > 50 && spread >= 50.0, "{waiting} wait, spread over {spread} s");
}
