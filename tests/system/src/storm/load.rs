//! Users that create, edit, snooze and delete reminders, and repeat a request until it is answered.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use support::http::{Answer, Client};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{RestUrls, Settings, checker::CreatedReminder};
use crate::{TestSuite, TestUser, rfc3339, test_user::truncate_to_millis};

const USERS: usize = 8;
/// Largest number of attempts of a request, which take longer than any outage.
const MAX_ATTEMPTS: usize = 400;
const PAUSE: Duration = Duration::from_millis(250);
/// Time between the due time of a reminder and its snooze.
const AFTER_DUE: Duration = Duration::from_millis(300);

/// Creates users with one device and one e-mail address each.
pub(super) async fn users(suite: &TestSuite) -> Vec<TestUser> {
    let mut users = Vec::with_capacity(USERS);
    for number in 0..USERS {
        let user = suite.user(&format!("user-{number}"));
        let kind = ["android", "ios", "web"][number % 3];
        user.register_device(&token(&user.id), kind).await;
        users.push(user);
    }
    users
}

fn token(user: &str) -> String {
    format!("token-of-{user}")
}

fn reminder(
    user: &TestUser,
    title: &str,
    due_at: DateTime<Utc>,
    channels: &[&str],
) -> (Value, Vec<String>) {
    let body = json!({
        "date": rfc3339(due_at),
        "title": title,
        "message": "before the edit",
        "channels": channels,
    });
    let address =
        |channel: &&str| if *channel == "push" { token(&user.id) } else { user.email.clone() };
    (body, channels.iter().map(address).collect())
}

/// Creates `count` reminders on both channels, due in `seconds`.
pub(super) async fn create_due_in(
    users: &[TestUser],
    count: usize,
    seconds: i64,
) -> Vec<CreatedReminder> {
    create_due_at(users, count, Utc::now() + TimeDelta::seconds(seconds)).await
}

/// Creates `count` reminders on both channels, all due at one time.
pub(super) async fn create_due_at(
    users: &[TestUser],
    count: usize,
    due_at: DateTime<Utc>,
) -> Vec<CreatedReminder> {
    let mut created = Vec::with_capacity(count);
    let due_at = truncate_to_millis(due_at);
    for (number, user) in users.iter().cycle().take(count).enumerate() {
        let title = format!("no. {number}");
        let (body, addresses) = reminder(user, &title, due_at, &["push", "email"]);
        let id = user.create_reminder(&body).await;
        created.push(CreatedReminder {
            id,
            title,
            due_at,
            addresses,
            deleted: false,
            snoozed: None,
        });
    }
    created
}

/// Creates reminders as long as the storm lasts, and returns those that were answered with 201.
pub(super) async fn run(
    settings: Settings,
    users: Vec<TestUser>,
    urls: RestUrls,
    seed: u64,
) -> Vec<CreatedReminder> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut lifecycles = JoinSet::new();
    let began = Instant::now();
    let mut number = 0_usize;
    while began.elapsed() < settings.length {
        let user = users[number % users.len()].clone();
        lifecycles.spawn(lifecycle(user, urls.clone(), number, rng.random()));
        number += 1;
        sleep(Duration::from_secs(1) / settings.per_second.max(1)).await;
    }
    lifecycles.join_all().await.into_iter().flatten().collect()
}

/// Creates one reminder, and edits, deletes or snoozes some.
async fn lifecycle(
    user: TestUser,
    urls: RestUrls,
    number: usize,
    seed: u64,
) -> Option<CreatedReminder> {
    let mut rng = StdRng::seed_from_u64(seed);
    let title = format!("no. {number}");
    let channels: &[&str] = [&["push"][..], &["email"], &["push", "email"]][rng.random_range(0..3)];
    let due_at =
        truncate_to_millis(Utc::now() + TimeDelta::milliseconds(rng.random_range(3_000..20_000)));
    let (body, addresses) = reminder(&user, &title, due_at, channels);
    let key = format!("create-{number}");
    let answer = send(&user, &urls, Method::POST, "/reminders", Some((&body, &key))).await?;
    // After a long outage the due time is past, and the reminder is refused.
    if answer.status != 201 {
        return None;
    }
    let path = format!("/reminders/{}", answer.id());
    let mut created = CreatedReminder {
        id: answer.id(),
        title,
        due_at,
        addresses,
        deleted: false,
        snoozed: None,
    };
    match rng.random_range(0..10) {
        0 => {
            // The reminder may have been deleted even if there is no answer.
            created.deleted = true;
            send(&user, &urls, Method::DELETE, &path, None).await;
        }
        1 | 2 => {
            let change = json!({"message": "after the edit"});
            let key = format!("edit-{number}");
            send(&user, &urls, Method::PATCH, &path, Some((&change, &key))).await;
        }
        3 if channels == ["push"] => {
            // The faults decide if it has been sent by then.
            sleep((due_at - Utc::now()).to_std().unwrap_or_default() + AFTER_DUE).await;
            let until = truncate_to_millis(
                Utc::now() + TimeDelta::milliseconds(rng.random_range(2_000..12_000)),
            );
            let body = json!({"until": rfc3339(until)});
            let (path, key) = (format!("{path}/snooze"), format!("snooze-{number}"));
            let answer = send(&user, &urls, Method::POST, &path, Some((&body, &key))).await;
            // If the answer arrived after the new time, the snooze was refused.
            created.snoozed =
                answer.filter(|answer| answer.status == 200).map(|_| (Utc::now(), until));
        }
        _ => {}
    }
    Some(created)
}

/// Sends a request to one process after another until one answers with a final status.
async fn send(
    user: &TestUser,
    urls: &RestUrls,
    method: Method,
    path: &str,
    body: Option<(&Value, &str)>,
) -> Option<Answer> {
    for attempt in 0..MAX_ATTEMPTS {
        let urls = urls.all();
        if let Some(url) = urls.get(attempt % urls.len().max(1)) {
            let client = Client::new(url).as_user(&user.id, &user.email);
            let client = body
                .iter()
                .fold(client, |client, (_, key)| client.with_header("Idempotency-Key", key));
            let answer = client.try_send(method.clone(), path, body.map(|(body, _)| body)).await;
            if let Ok(answer) = answer
                && answer.status < 500
                && answer.status != 429
            {
                return Some(answer);
            }
        }
        sleep(PAUSE).await;
    }
    None
}
