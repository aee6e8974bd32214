//! Users that make, edit and delete reminders, and try again until they are answered.

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

use super::{Addresses, Settings, checker::Made};
use crate::{House, Person, person::whole_millis, written};

const USERS: usize = 8;
/// How often a request is tried: longer than any outage lasts.
const TRIES: usize = 400;
const PAUSE: Duration = Duration::from_millis(250);
/// How long after its time a reminder is snoozed.
const AFTER_DUE: Duration = Duration::from_millis(300);

/// Users with a device and a mailbox each.
pub(super) async fn users(house: &House) -> Vec<Person> {
    let mut users = Vec::with_capacity(USERS);
    for number in 0..USERS {
        let person = house.person(&format!("user-{number}"));
        let kind = ["android", "ios", "web"][number % 3];
        person.registers(&token(&person.id), kind).await;
        users.push(person);
    }
    users
}

fn token(user: &str) -> String {
    format!("token-of-{user}")
}

fn reminder(
    user: &Person,
    title: &str,
    due_at: DateTime<Utc>,
    channels: &[&str],
) -> (Value, Vec<String>) {
    let body = json!({"date": written(due_at), "title": title, "message": "as it was", "channels": channels});
    let address =
        |channel: &&str| if *channel == "push" { token(&user.id) } else { user.email.clone() };
    (body, channels.iter().map(address).collect())
}

/// Makes `count` reminders on both channels, due in `seconds`, and answers them.
pub(super) async fn some(users: &[Person], count: usize, seconds: i64) -> Vec<Made> {
    due_at(users, count, Utc::now() + TimeDelta::seconds(seconds)).await
}

/// Makes `count` reminders on both channels, all of them due at one time, and answers them.
pub(super) async fn due_at(users: &[Person], count: usize, due_at: DateTime<Utc>) -> Vec<Made> {
    let mut made = Vec::with_capacity(count);
    let due_at = whole_millis(due_at);
    for (number, user) in users.iter().cycle().take(count).enumerate() {
        let title = format!("no. {number}");
        let (body, addresses) = reminder(user, &title, due_at, &["push", "email"]);
        let id = user.makes(&body).await;
        made.push(Made { id, title, due_at, addresses, deleted: false, snoozed: None });
    }
    made
}

/// Makes reminders for as long as the storm lasts, and answers those that were answered with 201.
pub(super) async fn run(
    settings: Settings,
    users: Vec<Person>,
    addresses: Addresses,
    seed: u64,
) -> Vec<Made> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut making = JoinSet::new();
    let began = Instant::now();
    let mut number = 0_usize;
    while began.elapsed() < settings.length {
        let user = users[number % users.len()].clone();
        making.spawn(life(user, addresses.clone(), number, rng.random()));
        number += 1;
        sleep(Duration::from_secs(1) / settings.per_second.max(1)).await;
    }
    making.join_all().await.into_iter().flatten().collect()
}

/// One reminder: made, and now and then edited, deleted or snoozed.
async fn life(user: Person, addresses: Addresses, number: usize, seed: u64) -> Option<Made> {
    let mut rng = StdRng::seed_from_u64(seed);
    let title = format!("no. {number}");
    let channels: &[&str] = [&["push"][..], &["email"], &["push", "email"]][rng.random_range(0..3)];
    let due_at =
        whole_millis(Utc::now() + TimeDelta::milliseconds(rng.random_range(3_000..20_000)));
    let (body, wanted) = reminder(&user, &title, due_at, channels);
    let key = format!("make-{number}");
    let answer = tried(&user, &addresses, Method::POST, "/reminders", Some((&body, &key))).await?;
    // A process that was away for long: what was meant to be made lies in the past, and is refused.
    if answer.status != 201 {
        return None;
    }
    let path = format!("/reminders/{}", answer.id());
    let mut made =
        Made { id: answer.id(), title, due_at, addresses: wanted, deleted: false, snoozed: None };
    match rng.random_range(0..10) {
        0 => {
            // Whether or not it is answered, it may have been done.
            made.deleted = true;
            tried(&user, &addresses, Method::DELETE, &path, None).await;
        }
        1 | 2 => {
            let change = json!({"message": "as it is"});
            tried(
                &user,
                &addresses,
                Method::PATCH,
                &path,
                Some((&change, &format!("edit-{number}"))),
            )
            .await;
        }
        3 if channels == ["push"] => {
            // Whether it has gone out by then depends on the faults.
            sleep((due_at - Utc::now()).to_std().unwrap_or_default() + AFTER_DUE).await;
            let until =
                whole_millis(Utc::now() + TimeDelta::milliseconds(rng.random_range(2_000..12_000)));
            let body = json!({"until": written(until)});
            let (path, key) = (format!("{path}/snooze"), format!("snooze-{number}"));
            let answer = tried(&user, &addresses, Method::POST, &path, Some((&body, &key))).await;
            // An answer that came too late for its time is a refusal.
            made.snoozed =
                answer.filter(|answer| answer.status == 200).map(|_| (Utc::now(), until));
        }
        _ => {}
    }
    Some(made)
}

/// Sends a request to one process or another until one answers for good.
async fn tried(
    user: &Person,
    addresses: &Addresses,
    method: Method,
    path: &str,
    body: Option<(&Value, &str)>,
) -> Option<Answer> {
    for attempt in 0..TRIES {
        let known = addresses.all();
        if let Some(address) = known.get(attempt % known.len().max(1)) {
            let client = Client::new(address).as_user(&user.id, &user.email);
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
