//! Users, their devices and their reminders, created over REST as clients create them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use http::Method;
use support::Service;

use crate::{
    load::{self, Outcome, Until, request},
    marker,
    progress::Progress,
    test_suite::{Services, TestSuite},
};

/// Number of users; each has one device.
pub(crate) const USERS: u32 = 1_000;
/// Connections that create reminders and devices.
const CONNECTIONS: usize = 64;

/// Registers one Android device for each user.
pub(crate) async fn register_devices(services: &Services) -> anyhow::Result<()> {
    let addr = services.rest(Service::Notifications)?;
    let progress = Progress::counting("registering devices", USERS as usize);
    let make = move |number: u32| {
        // As long as a token of Google's.
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

/// Creates `count` reminders; `due_ms` returns the due time of each.
pub(crate) async fn create(
    services: &Services,
    count: u32,
    step: &str,
    due_ms: impl Fn(u32) -> u64 + Send + Sync + 'static,
) -> anyhow::Result<Outcome> {
    let addr = services.rest(Service::Reminders)?;
    let progress = Progress::counting(step, count as usize);
    let make = move |number: u32| post(addr, &user(number % USERS), number, due_ms(number));
    load::run(addr, CONNECTIONS, Until::Sent(0..count), Arc::new(make), move |count| {
        progress.add(count)
    })
    .await
}

/// Builds the request that creates a reminder.
pub(crate) fn post(
    addr: SocketAddr,
    user: &str,
    number: u32,
    due_ms: u64,
) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let date = instant(due_ms).to_rfc3339_opts(SecondsFormat::Millis, true);
    // A format is cheaper than a JSON value: the bench shares the machine with the services.
    let body = format!(
        concat!(
            r#"{{"date":"{date}","notifyOffset":0,"channels":["push"],"title":"Plants","#,
            r#""message":"{message}","url":"https://example.com/plants"}}"#,
        ),
        date = date,
        message = marker::text(number, due_ms)
    );
    request(Method::POST, addr, "/reminders", user, body)
}

/// Id of a user.
pub(crate) fn user(number: u32) -> String {
    format!("user-{number:04}")
}

/// Current time, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64)
}

/// Time until then; zero if it is past.
pub(crate) fn until(ms: u64) -> Duration {
    Duration::from_millis(ms.saturating_sub(now_ms()))
}

/// Converts milliseconds since 1970.
pub(crate) fn instant(ms: u64) -> DateTime<Utc> {
    i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
}

/// Waits until `count` occurrences that are due from `first_ms` to `last_ms` are pending.
///
/// # Errors
/// If they are not before the first one is almost due.
pub(crate) async fn wait_until_known(
    suite: &TestSuite<'_>,
    count: u32,
    first_ms: u64,
    last_ms: u64,
) -> anyhow::Result<()> {
    let progress = Progress::counting("waiting for event-service", count as usize);
    loop {
        let known =
            crate::ledger::pending(&suite.notifications, instant(first_ms), instant(last_ms))
                .await?;
        progress.set(known);
        if known == count as usize {
            return Ok(());
        }
        let left = until(first_ms);
        anyhow::ensure!(
            left > Duration::from_millis(500),
            "event-service had {known} of {count} reminders when they were almost due; \
             is the machine loaded?"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
