//! Rows that another program wrote into the table of a queue: none affects the other rows.

use std::{collections::BTreeMap, time::Duration};

use bus::{DETAIL_ATTRIBUTE, MAX_RECEIVE_BYTES, REASON_ATTRIBUTE, Received, Rejection, Settlement};
use contract::Reason;
use sqlx::{AssertSqlSafe, PgPool};

use super::test_bus::{Backend, LIMIT, LONG, MAX_RECEIVE_COUNT, TestBus, messages, numbers};

/// Headers and bodies of any kind, as SQL, that the bus itself never writes.
const FOREIGN: [(&str, &str); 9] = [
    (r#"'{"version": 1, "nested": {"a": [true]}, "nothing": null}'"#, "'{}'"),
    ("null", "null"),
    ("'null'", "'null'"),
    ("'[1, 2]'", "'[1, 2]'"),
    ("'5'", "'5'"),
    ("'true'", "'true'"),
    (r#"'"eventType"'"#, r#"'"a text"'"#),
    (r#"jsonb_build_object('huge', repeat('x', 300000))"#, "'{}'"),
    (r#"'{"": ""}'"#, r#"'""'"#),
];

struct Foreign {
    bus: TestBus,
    pool: PgPool,
}

impl Foreign {
    async fn open() -> Self {
        let bus = TestBus::postgres().await;
        let Backend::Postgres(database) = &bus.backend else {
            panic!("this is the postgres adapter's")
        };
        let pool = database.pool().await;
        Self { bus, pool }
    }

    async fn run(&self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    /// Inserts a row into the table of a queue.
    async fn insert(&self, queue: &str, headers: &str, body: &str) {
        let sql = format!(
            "insert into pgmq.\"q_{queue}\" (vt, headers, message)
            values (now(), {headers}, {body})"
        );
        self.run(sql).await;
    }

    async fn receive(&self) -> Vec<Received> {
        self.bus.adapter.receive(&self.bus.everything, 100, LONG, LIMIT).await.unwrap()
    }

    async fn dead_letters(&self) -> Vec<Received> {
        self.bus.adapter.dead_letters(&self.bus.everything, 100).await.unwrap()
    }
}

/// Numbers of the messages that the bus itself published.
fn own_numbers(received: &[Received]) -> Vec<usize> {
    let own = received.iter().filter(|message| message.attributes.contains_key("kind"));
    numbers(&own.cloned().collect::<Vec<_>>())
}

#[tokio::test]
async fn receives_headers_and_bodies_of_any_kind() {
    let foreign = Foreign::open().await;
    for (headers, body) in FOREIGN {
        foreign.insert("everything", headers, body).await;
    }
    foreign.bus.publish(&messages(3)).await;

    let received = foreign.receive().await;

    assert_eq!((received.len(), own_numbers(&received)), (FOREIGN.len() + 3, vec![0, 1, 2]));
    let expected = [("nested", r#"{"a":[true]}"#), ("version", "1")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(received[0].attributes, BTreeMap::from(expected));
    assert_eq!(received[1].body, "");
    assert_eq!(received[6].body, "a text");
}

#[tokio::test]
async fn dead_letters_and_redrives_rows_of_any_kind() {
    let foreign = Foreign::open().await;
    for (headers, body) in FOREIGN {
        foreign.insert("everything", headers, body).await;
        foreign.insert("everything-dlq", headers, body).await;
    }
    let received = foreign.receive().await;
    let rejected = received
        .into_iter()
        .map(|message| (message, Settlement::Reject(Rejection::new(Reason::Invalid, "why"))));
    foreign.bus.adapter.settle(&foreign.bus.everything, rejected.collect()).await.unwrap();

    let dead = foreign.dead_letters().await;
    assert_eq!(dead.len(), 2 * FOREIGN.len());
    let with_reason = dead.iter().filter(|letter| {
        letter.attributes.get(DETAIL_ATTRIBUTE).is_some_and(|detail| detail == "why")
    });
    assert_eq!(with_reason.count(), FOREIGN.len());

    let moved = foreign.bus.adapter.redrive(&foreign.bus.everything, 100).await.unwrap();
    assert_eq!(moved, 2 * FOREIGN.len() as u64);
    let again = foreign.receive().await;
    assert_eq!(again.len(), 2 * FOREIGN.len());
    assert!(again.iter().all(|message| !message.attributes.contains_key(REASON_ATTRIBUTE)));
}

#[tokio::test]
async fn dead_letters_row_when_it_was_received_too_often() {
    let foreign = Foreign::open().await;
    foreign.insert("everything", "'5'", "'{}'").await;
    for _ in 0..MAX_RECEIVE_COUNT {
        let received = foreign.receive().await;
        let back =
            received.into_iter().map(|message| (message, Settlement::RetryAfter(Duration::ZERO)));
        foreign.bus.adapter.settle(&foreign.bus.everything, back.collect()).await.unwrap();
    }
    foreign.bus.expect_no_message_for(Duration::ZERO).await;
    let dead = foreign.dead_letters().await;
    assert_eq!(dead[0].attributes[REASON_ATTRIBUTE], "NOT_SETTLED");
    assert!(dead[0].attributes[DETAIL_ATTRIBUTE].contains("received 3 times"), "{dead:?}");
    assert_eq!(dead[0].attributes["headers"], "5");
}

#[tokio::test]
async fn dead_letters_row_that_is_too_large() {
    let foreign = Foreign::open().await;
    foreign.bus.publish(&messages(1)).await;
    for headers_or_body in [
        "to_jsonb(repeat('x', 3000000))",
        "('[' || rtrim(repeat('1e131071,', 10), ',') || ']')::jsonb",
    ] {
        foreign.insert("everything", "null", headers_or_body).await;
        foreign.insert("everything", headers_or_body, "'{}'").await;
    }

    assert_eq!(own_numbers(&foreign.receive().await), [0]);

    let dead = foreign.dead_letters().await;
    assert_eq!(dead.len(), 4);
    assert!(dead.iter().map(Received::bytes).sum::<usize>() <= MAX_RECEIVE_BYTES);
    assert_eq!(dead[0].attributes[REASON_ATTRIBUTE], "TOO_LARGE");
    assert!(
        dead[0].attributes[DETAIL_ATTRIBUTE].contains("larger than"),
        "{:?}",
        dead[0].attributes
    );
}

/// Replaces the table by a view that fails like a row whose data the server can no longer read.
#[tokio::test]
async fn quarantines_row_that_cannot_be_read() {
    let foreign = Foreign::open().await;
    foreign.bus.publish(&messages(10)).await;
    foreign
        .run(
            r#"alter table pgmq."q_everything" rename to q_real;
            create view pgmq."q_everything" as
                select msg_id, read_ct, enqueued_at, last_read_at, vt, headers,
                    case when msg_id = 4 then to_jsonb(1 / (msg_id - 4)) else message end as message
                from pgmq.q_real"#
                .to_owned(),
        )
        .await;

    let received = foreign.bus.drain("everything", 9).await;

    assert_eq!(numbers(&received), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    let hidden = "select vt > now() + interval '50 minutes' from pgmq.q_real where msg_id = 4";
    assert!(sqlx::query_scalar::<_, bool>(hidden).fetch_one(&foreign.pool).await.unwrap());
}

#[tokio::test]
async fn shows_unreadable_dead_letter() {
    let foreign = Foreign::open().await;
    for _ in 0..3 {
        foreign.insert("everything-dlq", "null", "'{}'").await;
    }
    foreign
        .run(
            r#"alter table pgmq."q_everything-dlq" rename to q_real;
            create view pgmq."q_everything-dlq" as
                select msg_id, read_ct, enqueued_at, last_read_at, vt, headers,
                    case when msg_id = 2 then to_jsonb(1 / (msg_id - 2)) else message end as message
                from pgmq.q_real"#
                .to_owned(),
        )
        .await;

    let dead = foreign.dead_letters().await;

    assert_eq!(
        dead.iter().map(|letter| letter.message_id.as_str()).collect::<Vec<_>>(),
        ["1", "2", "3"]
    );
    assert_eq!(dead[1].attributes[REASON_ATTRIBUTE], "UNREADABLE");
    assert!(dead[1].attributes[DETAIL_ATTRIBUTE].contains("22012"), "{:?}", dead[1]);
}

#[tokio::test]
async fn receives_rows_with_times_and_counts_of_any_kind() {
    let foreign = Foreign::open().await;
    foreign.insert("everything", "null", "'1'").await;
    foreign
        .run(
            r#"update pgmq."q_everything" set enqueued_at = 'infinity', read_ct = -2147483648"#
                .to_owned(),
        )
        .await;
    foreign.insert("everything", "null", "'2'").await;
    foreign
        .run(
            r#"update pgmq."q_everything" set enqueued_at = '-infinity' where message = '2'"#
                .to_owned(),
        )
        .await;
    foreign.insert("everything", "null", "'3'").await;
    foreign
        .run(
            r#"update pgmq."q_everything" set read_ct = 2147483647 where message = '3'"#.to_owned(),
        )
        .await;

    let received = foreign.receive().await;

    assert_eq!(received.iter().map(|message| message.receive_count).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(foreign.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn receives_soon_beside_row_with_explicit_id() {
    let foreign = Foreign::open().await;
    foreign
        .run(
            r#"insert into pgmq."q_everything" (msg_id, vt, message) overriding system value
            values (9223372036854775807, now(), '{}'), (-5, now(), '{}')"#
                .to_owned(),
        )
        .await;
    let mut seen = foreign.receive().await.len();
    let begun = std::time::Instant::now();
    // Long enough for several observations of the low-water mark.
    while begun.elapsed() < Duration::from_millis(1_200) {
        foreign.bus.publish(&messages(1)).await;
        let received = foreign.receive().await;
        seen += received.len();
        let done = received.into_iter().map(|message| (message, Settlement::Done));
        foreign.bus.adapter.settle(&foreign.bus.everything, done.collect()).await.unwrap();
    }
    foreign.bus.publish(&messages(1)).await;
    assert_eq!(foreign.receive().await.len(), 1);
    assert!(seen > 1);
}

#[tokio::test]
async fn purges_dead_letters_that_are_old() {
    let foreign = Foreign::open().await;
    for (headers, body) in FOREIGN {
        foreign.insert("everything-dlq", headers, body).await;
    }
    let old = r#"insert into pgmq."q_everything-dlq" (vt, message)
        select now() - interval '15 days', '{}' from generate_series(1, 2500)"#;
    foreign.run(old.to_owned()).await;
    foreign
        .run(r#"update pgmq."q_everything-dlq" set vt = 'infinity' where msg_id = 1"#.to_owned())
        .await;

    let kept = Duration::from_secs(14 * 24 * 60 * 60);
    let purged =
        foreign.bus.adapter.purge_dead_letters(&foreign.bus.everything, kept).await.unwrap();

    assert_eq!((purged, foreign.dead_letters().await.len()), (2_500, FOREIGN.len()));
}

#[tokio::test]
async fn erases_dead_letters_of_a_user() {
    let foreign = Foreign::open().await;
    for (headers, body) in FOREIGN {
        foreign.insert("everything-dlq", headers, body).await;
    }
    for user in ["ada", "bob"] {
        foreign.insert("everything-dlq", &format!(r#"'{{"userId": "{user}"}}'"#), "'{}'").await;
        foreign.insert("everything-dlq", "null", &format!(r#"'{{"userId": "{user}"}}'"#)).await;
        let envelope = format!(
            r#"'{{"Message": "m", "MessageAttributes": {{"userId": {{"Value": "{user}"}}}}}}'"#
        );
        foreign.insert("everything-dlq", "null", &envelope).await;
    }
    let pack = r#"'{"events": [{"userId": "ada"}, {"userId": "bob"}, 7, {"userId": "ada"}]}'"#;
    foreign.insert("everything-dlq", r#"'{"schema": "3"}'"#, pack).await;
    let of_one = r#"'{"events": [{"userId": "ada"}, {"userId": "ada"}]}'"#;
    foreign.insert("everything-dlq", r#"'{"schema": "3"}'"#, of_one).await;

    let erased =
        foreign.bus.adapter.erase_dead_letters(&foreign.bus.everything, "ada").await.unwrap();

    let left = foreign.dead_letters().await;
    assert_eq!((erased, left.len()), (5, FOREIGN.len() + 4));
    assert!(left.iter().all(|letter| !letter.body.contains("ada")));
    assert!(left.iter().any(|letter| letter.body == r#"{"events": [{"userId": "bob"}, 7]}"#));
}
