//! Users, their devices and their reminders, made over REST as clients make them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use http::Method;

use crate::{
    load::{self, Outcome, Until, request},
    marker,
    progress::Progress,
    stage::{Services, Stage},
};

/// Users, one device each.
pub(crate) const USERS: u32 = 1_000;
/// Connections that make reminders and devices.
const CONNECTIONS: usize = 64;

/// Registers one Android device for each user.
pub(crate) async fn register_devices(services: &Services) -> anyhow::Result<()> {
    let addr = services.rest("notification-service")?;
    let progress = Progress::counting("registering devices", USERS as usize);
    let make = move |number: u32| {
        // As long as Google's.
        let body = format!(
            r#"{{"fcmToken":"device{number:04}:{:A>130}","type":"android","name":"Phone"}}"#,
            ""
        );
        request(Method::POST, addr, "/device/register", &user(number), body)
    };
    let added = progress.clone();
    load::run(addr, CONNECTIONS, Until::Sent(0..USERS), Arc::new(make), move |count| {
        added.add(count)
    })
    .await?;
    Ok(())
}

/// Creates `count` reminders; `due_ms` tells when each is due.
pub(crate) async fn create(
    services: &Services,
    count: u32,
    what: &str,
    due_ms: impl Fn(u32) -> u64 + Send + Sync + 'static,
) -> anyhow::Result<Outcome> {
    let addr = services.rest("reminder-service")?;
    let progress = Progress::counting(what, count as usize);
    let make = move |number: u32| post(addr, &user(number % USERS), number, due_ms(number));
    load::run(addr, CONNECTIONS, Until::Sent(0..count), Arc::new(make), move |count| {
        progress.add(count)
    })
    .await
}

/// The request that creates a reminder.
pub(crate) fn post(
    addr: SocketAddr,
    user: &str,
    number: u32,
    due_ms: u64,
) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let date = instant(due_ms).to_rfc3339_opts(SecondsFormat::Millis, true);
    let body = format!(
        r#"{{"date":"{date}","notifyOffset":0,"channels":["push"],"title":"Plants","message":"{}","url":"https://example.com/plants"}}"#,
        marker::text(number, due_ms)
    );
    request(Method::POST, addr, "/reminders", user, body)
}

/// A user's id.
pub(crate) fn user(number: u32) -> String {
    format!("user-{number:04}")
}

/// Milliseconds since 1970, now.
pub(crate) fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64)
}

/// How long it is until then; nothing when it is past.
pub(crate) fn until(ms: u64) -> Duration {
    Duration::from_millis(ms.saturating_sub(now_ms()))
}

/// Milliseconds since 1970 as a time.
pub(crate) fn instant(ms: u64) -> DateTime<Utc> {
    i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
}

/// Waits until `count` occurrences due from `first_ms` to `last_ms` wait for their time.
///
/// # Errors
/// When they do not before the first is nearly due.
pub(crate) async fn wait_until_known(
    stage: &Stage<'_>,
    count: u32,
    first_ms: u64,
    last_ms: u64,
) -> anyhow::Result<()> {
    let progress = Progress::counting("until event-service knows them", count as usize);
    loop {
        let known =
            crate::ledger::pending(&stage.notifications, instant(first_ms), instant(last_ms))
                .await?;
        progress.set(known);
        if known == count as usize {
            return Ok(());
        }
        let left = until(first_ms);
        anyhow::ensure!(
            left > Duration::from_millis(500),
            "of {count} reminders event-service knew {known} when they were nearly due; is the machine loaded?"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
