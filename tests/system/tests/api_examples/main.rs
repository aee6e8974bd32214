//! Check of `docs/API.md`: every documented call is answered as documented, and every operation is
//! documented.

#![allow(clippy::panic, clippy::expect_used, reason = "a failed precondition fails the test")]

mod description;
mod document;
mod pattern;
mod run;
mod schema;
mod stream;

use std::{collections::BTreeMap, time::Duration};

use bus::Message;
use system::{Bus, TestSuite};

use description::Description;

const DOCUMENT: &str = include_str!("../../../../docs/API.md");

/// Sends an unreadable message, for the section on dead letters.
async fn create_dead_letter(suite: &TestSuite) {
    let attributes = [("eventType", "notification:create"), ("userId", "ada")];
    let attributes: BTreeMap<_, _> =
        attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let message = Message { body: r#"{"userId":"#.to_owned(), attributes };
    let queue = suite.bus_name("EVENT_QUEUE_URL", "event-queue");
    suite.bus().await.send(&queue, &[message], Duration::ZERO).await.expect("sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_documented_calls_as_documented() {
    let suite = TestSuite::start(Bus::Postgres).await;
    create_dead_letter(&suite).await;
    run::all(&suite, &document::read(DOCUMENT)).await;
}

#[test]
fn documents_exactly_the_existing_operations() {
    let descriptions = description::all();
    let mut documented = Vec::new();
    for example in document::read(DOCUMENT) {
        let of = description::chosen(
            &descriptions,
            &example.section,
            &example.request.method,
            &example.request.path,
        );
        let (service, template) =
            of.unwrap_or_else(|| panic!("{}: there is no such operation", example.request));
        documented.push((service, example.request.method.clone(), template));
    }
    let operations = descriptions
        .iter()
        .flat_map(|api| api.operations().map(|(method, path)| (api.service, method, path)));
    let missing: Vec<_> = operations.filter(|operation| !documented.contains(operation)).collect();
    assert!(missing.is_empty(), "docs/API.md has no example of {missing:#?}");
}

#[test]
fn has_valid_example_for_each_json_body() {
    let without: Vec<_> =
        description::all().iter().flat_map(Description::bodies_without_example).collect();
    assert!(without.is_empty(), "{without:#?}");
}
