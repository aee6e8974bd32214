//! Access of tests and pages to the captured messages.

use std::time::Duration;

use futures::StreamExt;
use support::http::Client;

use crate::client::Sender;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn waits_for_message() {
    let sender = Sender::new().await;
    let sandbox = &sender.sandbox;

    let (found, _) = tokio::join!(
        sandbox
            .wait_for(|message| message.push().is_some_and(|push| push.token == "device-2"), SOON),
        async {
            sender.push_to("device-1").await;
            sender.push_to("device-2").await;
        }
    );

    assert_eq!(found.unwrap().seq, 2);
}

#[tokio::test]
async fn reports_answers_when_wait_fails() {
    let sender = Sender::new().await;
    sender.push_to("unregistered-1").await;

    let error = sender.sandbox.wait_for(|_| true, Duration::from_millis(20)).await.unwrap_err();

    assert!(error.to_string().contains("404 UNREGISTERED"), "{error}");
}

#[tokio::test]
async fn lists_counts_and_clears_messages_over_http() {
    let sender = Sender::new().await;
    for token in ["device-1", "device-2", "unregistered-1", "device-2"] {
        sender.push_to(token).await;
    }
    let http = Client::new(sender.sandbox.url());

    let listed = http.get("/_sandbox/messages?after=1&kind=push").await.expect(200);
    let stats = http.get("/_sandbox/stats").await.expect(200);
    let attempts = http.get("/_sandbox/attempts?address=unregistered-1").await.expect(200);

    assert_eq!(listed.body["messages"].as_array().unwrap().len(), 2);
    assert_eq!(listed.body["messages"][0]["token"], "device-2");
    assert_eq!(listed.body["messages"][0]["kind"], "push");
    assert_eq!(listed.body["lastSeq"], 3);
    assert_eq!(stats.body["accepted"]["push"], 3);
    assert_eq!(stats.body["answers"]["push"]["404 UNREGISTERED"], 1);
    assert_eq!(attempts.body["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(
        http.get("/_sandbox/messages?kind=email").await.body["messages"].as_array().unwrap().len(),
        0
    );
    http.delete("/_sandbox/messages").await.expect(204);
    assert!(sender.sandbox.captured().is_empty());
}

#[tokio::test]
async fn streams_kept_messages_then_new_ones() {
    let sender = Sender::new().await;
    sender.push_to("device-1").await;
    let url = format!("{}/_sandbox/stream", sender.sandbox.url());
    let mut body = sender.http.get(url).send().await.unwrap().bytes_stream();
    let mut seen = String::new();
    let read_until = async |seen: &mut String,
                            body: &mut (dyn futures::Stream<Item = _> + Unpin + Send),
                            word: &str| {
        while !seen.contains(word) {
            let chunk: Result<_, reqwest::Error> = body.next().await.unwrap();
            let chunk: Vec<u8> = Vec::from(chunk.unwrap());
            seen.push_str(&String::from_utf8(chunk).unwrap());
        }
    };

    tokio::time::timeout(SOON, async {
        read_until(&mut seen, &mut body, "\"device-1\"").await;
        sender.push_to("device-2").await;
        read_until(&mut seen, &mut body, "\"device-2\"").await;
    })
    .await
    .unwrap();

    assert!(seen.contains("event: push"), "{seen}");
    assert!(seen.contains("id: 2"), "{seen}");
}
