//! `docs/API.md` is true: every call that it shows is answered as it says, and no call is missing
//! in it.

#![allow(clippy::panic, clippy::expect_used, reason = "a failed precondition fails the test")]

mod description;
mod document;
mod pattern;
mod run;
mod schema;
mod stream;

use std::{collections::BTreeMap, time::Duration};

use shared::bus::Message;
use system::{Bus, House};

use description::Description;

const DOCUMENT: &str = include_str!("../../../../docs/API.md");

/// What the section on dead letters shows: a message that nobody can read.
async fn leave_a_dead_letter(house: &House) {
    let attributes = [("eventType", "notification:create"), ("userId", "ada")];
    let attributes: BTreeMap<_, _> =
        attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let message = Message { body: r#"{"userId":"#.to_owned(), attributes };
    let queue = house.named("EVENT_QUEUE_URL", "event-queue");
    house.bus().await.send(&queue, &[message], Duration::ZERO).await.expect("sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_document_is_answered_as_it_says() {
    let house = House::start(Bus::Postgres).await;
    leave_a_dead_letter(&house).await;
    run::all(&house, &document::read(DOCUMENT)).await;
}

#[test]
fn the_document_shows_every_operation_and_no_other() {
    let descriptions = description::all();
    let mut shown = Vec::new();
    for example in document::read(DOCUMENT) {
        let of = description::chosen(
            &descriptions,
            &example.section,
            &example.request.method,
            &example.request.path,
        );
        let (service, template) =
            of.unwrap_or_else(|| panic!("{}: there is no such operation", example.request));
        shown.push((service, example.request.method.clone(), template));
    }
    let operations = descriptions
        .iter()
        .flat_map(|it| it.operations().map(|(method, path)| (it.service, method, path)));
    let missing: Vec<_> = operations.filter(|operation| !shown.contains(operation)).collect();
    assert!(missing.is_empty(), "docs/API.md has no example of {missing:#?}");
}

#[test]
fn every_json_body_in_the_descriptions_has_an_example_of_its_schema() {
    let without: Vec<_> =
        description::all().iter().flat_map(Description::bodies_without_example).collect();
    assert!(without.is_empty(), "{without:#?}");
}
