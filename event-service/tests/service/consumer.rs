//! Messages: applied once, dead-lettered with a reason, or held while the database is unreachable.

use std::time::Duration;

use bus::Settlement;
use contract::{EventType, Reason, Recurrence, Schema};
use serde_json::json;
use service::consumer::Handler;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::fixture::{
    TestService, created, data, deleted, event, hours, now, received, test_service,
    test_service_with, updated,
};

#[tokio::test]
async fn ignores_repeated_event() {
    let service = test_service().await;
    let message = created("a", 1, now() + hours(2), &[0, 10]);
    service.apply(&[message.clone(), message.clone()]).await;
    service.apply(&[message]).await;
    assert_eq!(
        (
            service.count("events").await,
            service.count("notifications").await,
            service.count("occurrences").await
        ),
        (1, 1, 2)
    );
    assert_eq!(service.published_types().await, ["notification:created"]);
}

#[tokio::test]
async fn rejects_unreadable_message_and_applies_others() {
    let service = test_service().await;
    let good = created("a", 1, now() + hours(2), &[0]);
    let mut bad_json = created("b", 1, now() + hours(2), &[0]);
    bad_json.body = "{".to_owned();
    let mut unknown_type = good.clone();
    unknown_type.attributes.insert("eventType".to_owned(), "reminder:eaten".to_owned());
    let mut recurring = data(now() + hours(2), &[0]);
    recurring.recurrence = Some(Recurrence {
        rrule: "every day".to_owned(),
        exdates: Vec::new(),
        rdates: Vec::new(),
        gap: Default::default(),
        fold: Default::default(),
    });
    let recurring = received(&event(EventType::ReminderCreated, "c", 1, now(), recurring));
    let no_offset = created("d", 1, now() + hours(2), &[]);

    let settlements =
        service.handler.handle(&[bad_json, good, unknown_type, recurring, no_offset]).await;

    assert_eq!(settlements[1], Settlement::Done);
    for (index, reason, detail) in [
        (0, Reason::Unreadable, "body"),
        (2, Reason::Unreadable, "type is unknown"),
        (3, Reason::Invalid, "recurrence: the rule cannot be followed"),
        (4, Reason::Unreadable, "notifyOffsets"),
    ] {
        let Settlement::Reject(rejection) = &settlements[index] else { panic!("{index}") };
        assert_eq!(rejection.reason, reason, "{rejection:?}");
        assert!(rejection.detail.contains(detail), "{rejection:?}");
    }
    assert!(service.notification("a").await.is_some());
    assert_eq!(service.count("events").await, 1);
}

#[tokio::test]
async fn rejects_message_that_database_refuses() {
    let service = test_service().await;
    let mut poison = data(now() + hours(2), &[0]);
    poison.content.message = "a text with a NUL \0 in it".to_owned();
    let poison = received(&event(EventType::ReminderCreated, "poison", 1, now(), poison));

    let settlements = service
        .handler
        .handle(&[
            created("a", 1, now() + hours(2), &[0]),
            poison,
            created("b", 1, now() + hours(2), &[0]),
        ])
        .await;

    assert_eq!((&settlements[0], &settlements[2]), (&Settlement::Done, &Settlement::Done));
    assert!(
        matches!(&settlements[1], Settlement::Reject(rejection)
            if rejection.detail.contains("SQLSTATE 22")),
        "{:?}",
        settlements[1]
    );
    assert!(service.notification("a").await.is_some() && service.notification("b").await.is_some());
    assert_eq!(service.notification("poison").await, None);
}

/// The database fails for one item, as a timeout, a lack of memory or a trigger would make it: its
/// statement and with it its transaction.
async fn fail_for(service: &TestService, item: &str, sqlstate: &str) {
    let sql = format!(
        "create or replace function fail() returns trigger language plpgsql as $$ begin
             if new.item_id = '{item}'
                 then raise exception 'scripted' using errcode = '{sqlstate}'; end if;
             return new;
         end $$;
         create or replace trigger fail before insert
             on notifications for each row execute function fail();"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&service.pool).await.expect("a trigger");
}

#[tokio::test]
async fn applies_the_others_when_one_message_fails_the_batch() {
    for sqlstate in ["P0001", "57014", "25P03", "53200", "54001", "40001", "XX000"] {
        let service = test_service().await;
        fail_for(&service, "poison", sqlstate).await;
        let date = now() + hours(2);
        let mut batch: Vec<_> =
            (0..40).map(|number| created(&format!("good-{number}"), 1, date, &[0])).collect();
        batch.insert(17, created("poison", 1, date, &[0]));

        let first = service.handler.handle(&batch).await;
        assert_eq!(
            first.iter().filter(|settlement| **settlement == Settlement::Done).count(),
            40,
            "{sqlstate}"
        );
        assert_eq!(service.count("notifications").await, 40, "{sqlstate}");

        for message in &mut batch {
            message.receive_count = 3;
        }
        let last = service.handler.handle(&batch).await;
        assert!(
            matches!(&last[17], Settlement::Reject(rejection)
                if rejection.detail.contains(sqlstate)),
            "{sqlstate}: {:?}",
            last[17]
        );
    }
}

#[tokio::test]
async fn rejects_nothing_when_the_schema_is_missing() {
    let service = test_service_with(Duration::from_millis(50)).await;
    sqlx::raw_sql("alter table notifications rename to renamed")
        .execute(&service.pool)
        .await
        .expect("renamed");
    let mut batch =
        [created("a", 1, now() + hours(2), &[0]), created("b", 1, now() + hours(2), &[0])];
    for message in &mut batch {
        message.receive_count = 9;
    }
    let settlements = service.handler.handle(&batch).await;
    assert!(
        settlements.iter().all(|settlement| matches!(settlement, Settlement::RetryAfter(_))),
        "{settlements:?}"
    );
}

#[tokio::test]
async fn separates_own_events_from_misrouted_ones() {
    let service = test_service().await;
    let fact = received(&event(EventType::NotificationCreated, "a", 1, now(), json!({})));
    let device = received(&event(EventType::DeviceRegistered, "d", 1, now(), json!({})));
    let misrouted = received(&event(EventType::NotificationSend, "a", 1, now(), json!({})));
    let settlements = service.handler.handle(&[fact, device, misrouted]).await;
    assert_eq!(settlements[..2], [Settlement::Done, Settlement::Done]);
    assert!(matches!(&settlements[2], Settlement::Reject(_)));
    assert_eq!((service.count("events").await, service.count("notifications").await), (1, 0));
}

#[tokio::test]
async fn separates_command_from_reminder_of_same_id() {
    let service = test_service().await;
    let date = now() + hours(3);
    let command = received(&event(EventType::NotificationCreate, "a", 1, now(), data(date, &[0])));
    let taken_back = received(&event(EventType::NotificationDelete, "a", 2, now(), json!({})));
    service.apply(&[created("a", 1, date, &[0]), command]).await;
    assert_eq!(service.count("notifications").await, 2);
    service.apply(&[taken_back]).await;
    assert_eq!(service.count("occurrences where pending").await, 1, "the reminder's");
}

#[tokio::test]
async fn applies_messages_of_release_1() {
    let service = test_service().await;
    let mut event = event(EventType::ReminderCreated, "a", 1, now(), json!(null));
    event.schema = Schema::Legacy;
    event.data = json!({
        "id": "a", "message": "m", "date": now() + hours(1), "notifyType": "email",
        "notifyOffset": 10, "updatedAt": now(),
    });
    let mut message = received(&event);
    for name in ["schema", "version", "eventId", "occurredAt"] {
        message.attributes.remove(name);
    }
    let mut deletion = message.clone();
    deletion.attributes.insert("eventType".to_owned(), "reminder:deleted".to_owned());
    deletion.message_id = "another".to_owned();
    service.apply(&[message]).await;
    assert_eq!(service.count("occurrences where pending").await, 1);
    service.apply(&[deletion]).await;
    assert_eq!(
        service.count("occurrences where pending").await,
        0,
        "the deletion has the version of what it deletes"
    );
}

#[tokio::test]
async fn publishes_event_for_each_change() {
    let service = test_service().await;
    let date = now() + hours(2);
    service.apply(&[created("a", 1, date, &[0])]).await;
    service.apply(&[updated("a", 2, date, &[10])]).await;
    service.apply(&[deleted("a", 3), deleted("never-made", 1)]).await;
    assert_eq!(
        service.published_types().await,
        ["notification:created", "notification:deleted", "notification:updated"]
    );
}

#[tokio::test]
async fn holds_batch_until_database_is_back() {
    let service = test_service().await;
    let gate = Gate::close(&service).await;
    let batch = [created("a", 1, now() + hours(2), &[0])];
    let handling = service.handler.handle(&batch);
    let opening = async {
        // The handler has met the closed door once the server has refused a connection of its pool.
        support::wait_until(Duration::from_secs(10), async || service.pool.size() == 0).await;
        gate.open().await;
    };
    let (settlements, ()) = tokio::join!(handling, opening);
    assert_eq!(settlements, [Settlement::Done]);
    assert!(service.notification("a").await.is_some());
}

#[tokio::test]
async fn returns_batch_when_database_stays_unreachable() {
    let service = test_service_with(Duration::from_millis(50)).await;
    let gate = Gate::close(&service).await;
    let batch = [created("a", 1, now() + hours(2), &[0])];
    assert!(matches!(service.handler.handle(&batch).await[..], [Settlement::RetryAfter(_)]));
    service.shutdown.cancel();
    assert!(matches!(service.handler.handle(&batch).await[..], [Settlement::RetryAfter(_)]));
    gate.open().await;
}

/// Keeps everybody out of a database.
struct Gate {
    admin: PgConnection,
    name: String,
}

impl Gate {
    async fn close(service: &TestService) -> Self {
        let url = support::postgres::cluster_url().await.expect("the test cluster");
        let mut gate = Self {
            admin: PgConnection::connect(&url).await.expect("connects"),
            name: service.database.name().to_owned(),
        };
        gate.run(format!("alter database {} allow_connections false", gate.name)).await;
        gate.run(format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'",
            gate.name
        ))
        .await;
        gate
    }

    async fn open(mut self) {
        self.run(format!("alter database {} allow_connections true", self.name)).await;
    }

    async fn run(&mut self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.admin).await.expect("allowed");
    }
}
