//! `GET /events/stream`.

use support::wait_until;

use crate::{
    fixture::{created, hours, now},
    running::{LIMIT, running_service, start},
};

#[tokio::test(flavor = "multi_thread")]
async fn streams_events_as_they_are_applied() {
    let service = running_service().await;
    service.publish(&[created("before", 1, now() + hours(1), &[0])]).await;
    wait_until(LIMIT, async || service.client.get("/timeline/before").await.status == 200).await;
    let client = support::http::plain();
    let mut stream = client
        .get(format!("{}/events/stream?userId=user-1", service.base))
        .send()
        .await
        .expect("open");
    service.publish(&[created("during", 1, now() + hours(1), &[0])]).await;
    let mut text = String::new();
    let reading = async {
        while !text.contains("\n\n") || !text.contains("during") {
            text.push_str(&String::from_utf8_lossy(
                &stream.chunk().await.expect("bytes").expect("more"),
            ));
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("the event within the limit");
    assert!(text.contains("event: reminder:created") && !text.contains("before"), "{text}");

    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    service.publish(&[created("after", 1, now() + hours(1), &[0])]).await;
    let again =
        client.get(format!("{}/events/stream", service.base)).header("Last-Event-ID", id).send();
    let chunk = tokio::time::timeout(LIMIT, async { again.await.expect("open").chunk().await })
        .await
        .expect("in time")
        .expect("bytes");
    let resumed = String::from_utf8_lossy(&chunk.expect("more")).into_owned();
    assert!(resumed.contains("after") && !resumed.contains("during"), "{resumed}");
    drop(stream);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_position_ahead_of_the_database() {
    let service = running_service().await;
    let client = support::http::plain();
    for position in [
        "9223372036854775807-00000000000000000000000000000000",
        "-1-00000000000000000000000000000000",
        "x",
    ] {
        let request =
            client.get(format!("{}/events/stream", service.base)).header("Last-Event-ID", position);
        assert_eq!(request.send().await.expect("an answer").status(), 400, "{position}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_streams_beyond_the_limit() {
    let service =
        start(support::postgres::database("eventapi").await, &[("EVENT_STREAMS_MAX", "1")]).await;
    let client = support::http::plain();
    let open = async || {
        client.get(format!("{}/events/stream", service.base)).send().await.expect("an answer")
    };
    let first = open().await;
    assert_eq!(first.status(), 200);
    let second = open().await;
    assert_eq!(
        (second.status().as_u16(), second.headers().contains_key("retry-after")),
        (429, true)
    );
    drop(first);
    wait_until(LIMIT, async || open().await.status() == 200).await;
    service.stop().await;
}
