//! Rate at which event-service applies the messages of its queue.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bus::{Message, SharedBus};
use chrono::{TimeDelta, Utc};
use contract::{Channel, Event, EventType, NotifyContent, Priority, ReminderData, Schema, new_id};
use nix::sys::signal::Signal;
use support::Service;

use super::STUCK_LIMIT;
use crate::{
    cpu::{Meter, Usage},
    ledger,
    options::Options,
    progress::Progress,
    report::{Bound, Figure, Row},
    rows::reminders::{USERS, user},
    stats::{Spread, median_by, rate},
    table::number,
    test_suite::{Services, TestSuite},
    testbed::Testbed,
};

/// Messages published at once.
const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_millis(20);
/// Time until the reminders are due: long enough that no other service acts on them.
const AHEAD: TimeDelta = TimeDelta::days(1);

struct Run {
    applied: Duration,
    published: Duration,
    usage: Usage,
}

pub(crate) async fn measure(
    options: &Options,
    testbed: &Testbed,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let suite = TestSuite::create(testbed, "events").await?;
    let services = suite.start(&[Service::Events]).await?;
    let bus = suite.bus().await?;
    let count = options.count() as usize;
    run(&suite, &services, &bus, count.min(2_000), "events: warming up").await?;
    let mut runs = Vec::new();
    for number in 1..=options.runs() {
        let name = format!("events {number}/{}", options.runs());
        runs.push(run(&suite, &services, &bus, count, &name).await?);
    }
    services.stop().await?;
    let rates = Spread::of(runs.iter().map(|run| rate(count, run.applied)).collect());
    let median = median_by(runs, |run| rate(count, run.applied));
    let (run, rates) = median.zip(rates).context("at least one run")?;
    let applied = Figure::new("appliedPerSecond", "applied", rate(count, run.applied), "/s")
        .compared_with("101/s", "10,000/s", "20,000/s")
        .bounded(Bound::AtLeast(5_000.0));
    let row = Row::new(
        "events",
        format!("events: {} reminder:created events in the queue", number(count as f64)),
    )
    .figure(applied)
    .figure(Figure::new("publishedPerSecond", "published before", rate(count, run.published), "/s"))
    .cpu(count, run.usage)
    .note(format!(
        "median of {} runs, {} to {}/s",
        options.runs(),
        number(rates.min),
        number(rates.max)
    ));
    rows.push(row);
    Ok(())
}

/// Pauses event-service, fills its queue, resumes it, and waits until all events are applied.
async fn run(
    suite: &TestSuite<'_>,
    services: &Services,
    bus: &SharedBus,
    count: usize,
    name: &str,
) -> anyhow::Result<Run> {
    let service = services.get(Service::Events)?;
    let before = ledger::notifications(&suite.notifications).await?;
    let messages =
        (0..count).map(|number| message(number as u32)).collect::<anyhow::Result<Vec<_>>>()?;

    service.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let published = publish(bus, &messages, &format!("{name}: filling the queue")).await;
    let published_in = begun.elapsed();
    suite.testbed.reset_statements().await?;
    let meter = Meter::start(suite.watched(services))?;
    let begun = Instant::now();
    service.signal(Signal::SIGCONT);
    published?;

    let progress = Progress::counting(&format!("{name}: applying"), count);
    let (mut applied, mut moved) = (0, Instant::now());
    loop {
        let now = ledger::notifications(&suite.notifications).await? - before;
        progress.set(now);
        if now == count {
            let run =
                Run { applied: begun.elapsed(), published: published_in, usage: meter.read()? };
            suite.testbed.print_statements(name, count).await?;
            return Ok(run);
        }
        if now > applied {
            (applied, moved) = (now, Instant::now());
        }
        ensure!(
            moved.elapsed() < STUCK_LIMIT,
            "{now} of {count} events were applied, and no further one for {STUCK_LIMIT:?}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

async fn publish(bus: &SharedBus, messages: &[Message], name: &str) -> anyhow::Result<()> {
    let progress = Progress::counting(name, messages.len());
    for batch in messages.chunks(BATCH) {
        for result in bus.publish("event-topic", batch).await.context("publish events")? {
            result.context("publish an event")?;
        }
        progress.add(batch.len() as u64);
    }
    Ok(())
}

fn message(number: u32) -> anyhow::Result<Message> {
    let user = user(number % USERS);
    let content = NotifyContent {
        channels: vec![Channel::Push],
        title: Some("Plants".to_owned()),
        message: "Water the plants on the balcony".to_owned(),
        url: Some("https://example.com/plants".to_owned()),
        data: BTreeMap::new(),
        priority: Priority::Normal,
        locale: None,
        time_zone: "UTC".to_owned(),
        expires_after_minutes: 60,
    };
    let event = Event {
        event_type: EventType::ReminderCreated,
        event_id: new_id(),
        occurred_at: Utc::now(),
        user_email: Some(format!("{user}@example.com")),
        user_id: user,
        item_id: new_id().into(),
        version: 1,
        schema: Schema::V2,
        traceparent: None,
        data: ReminderData {
            date: Utc::now() + AHEAD,
            notify_offsets: vec![0],
            recurrence: None,
            snooze: None,
            acknowledged: None,
            paused: false,
            changed_occurrences: Vec::new(),
            content,
        },
    };
    event.to_message().context("write an event")
}
