//! `GET /reminders`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::http::Client;

use crate::service::{Service, least, least_with};

async fn list(client: &Client, query: &str) -> Value {
    client.get(&format!("/reminders{query}")).await.expect(200).body["reminders"].clone()
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

async fn made(service: &Service, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..count {
        made.push(service.make(&least()).await);
    }
    made.reverse();
    made
}

#[tokio::test]
async fn lists_newest_first_by_limit_and_offset() {
    let service = Service::start().await;
    let made = made(&service, 12).await;

    let first = list(&service.ada, "").await;
    assert_eq!(
        (ids(&first), &first["limit"], &first["offset"], &first["total"]),
        (made[..10].to_vec(), &json!(10), &json!(0), &json!(12))
    );
    let second = list(&service.ada, "?limit=5&offset=10").await;
    assert_eq!(
        (ids(&second), &second["offset"], &second["total"]),
        (made[10..].to_vec(), &json!(10), &json!(12))
    );
    let beyond = list(&service.ada, "?offset=12").await;
    assert_eq!(
        (ids(&beyond), &beyond["total"], &beyond["nextCursor"]),
        (vec![], &json!(12), &json!(null))
    );
}

#[tokio::test]
async fn lists_items_as_single_answers() {
    let service = Service::start().await;
    let id = service
        .make(&least_with(json!({"channels": ["email"], "data": {"a": "b"}, "title": "Tablets"})))
        .await;
    let listed = list(&service.ada, "").await["items"][0].clone();
    assert_eq!(listed, service.ada.get(&format!("/reminders/{id}")).await.expect(200).body);
}

#[tokio::test]
async fn keeps_cursor_stable_during_changes() {
    let service = Service::start().await;
    let made = made(&service, 9).await;
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let part = list(&service.ada, &query).await;
        assert!(part["total"].as_i64() >= Some(9));
        seen.extend(ids(&part));
        let Some(cursor) = part["nextCursor"].as_str() else { break };
        query = format!("?limit=2&cursor={cursor}");
        service.make(&least()).await;
        service.ada.delete(&format!("/reminders/{}", seen[seen.len() - 1])).await.expect(200);
        service.make(&least()).await;
    }
    assert_eq!(seen, made);
}

/// Case P5.
#[tokio::test]
async fn pages_through_reminders_of_one_bulk_call_p5() {
    let service = Service::start().await;
    let entries: Vec<_> = (0..25).map(|_| least()).collect();
    let body = json!({"reminders": entries});
    let answer = service.ada.post("/reminders/bulk", &body).await.expect(200).body;
    let results = answer["results"].as_array().expect("results");
    let mut made: Vec<_> =
        results.iter().map(|result| result["id"].as_str().expect("an id").to_owned()).collect();
    let (mut seen, mut query) = (Vec::new(), "?limit=7".to_owned());
    loop {
        let part = list(&service.ada, &query).await;
        seen.extend(ids(&part));
        let Some(cursor) = part["nextCursor"].as_str() else { break };
        query = format!("?limit=7&cursor={cursor}");
        service.ada.delete(&format!("/reminders/{}", seen[seen.len() - 1])).await.expect(200);
        service.make(&least()).await;
    }
    seen.sort_unstable();
    made.sort_unstable();
    assert_eq!(seen, made);
}

#[tokio::test]
async fn filters_by_status_and_date() {
    let service = Service::start().await;
    let mut made = Vec::new();
    for year in [2101, 2102, 2103] {
        made.push(
            service.make(&least_with(json!({"date": format!("{year}-01-01T00:00:00Z")}))).await,
        );
    }
    let past = service.make(&least()).await;
    service.let_pass(&past).await;

    for (query, expected) in [
        ("?status=completed", vec![&past]),
        ("?status=scheduled&limit=2", vec![&made[2], &made[1]]),
        ("?from=2102-01-01T00:00:00Z", vec![&made[2], &made[1]]),
        ("?to=2102-01-01T00:00:00Z&status=scheduled", vec![&made[0]]),
        ("?from=2101-01-01T01:00:00%2B01:00&to=2102-01-01T00:00:00Z", vec![&made[0]]),
    ] {
        let found = list(&service.ada, query).await;
        assert_eq!(ids(&found).iter().collect::<Vec<_>>(), expected, "{query}");
        let total = if query.contains("limit") { 3 } else { expected.len() };
        assert_eq!(found["total"], total, "{query}");
    }
}

#[tokio::test]
async fn lists_only_own_reminders() {
    let service = Service::start().await;
    let made: BTreeSet<_> = made(&service, 3).await.into_iter().collect();
    let bob = service.anonymous.as_user("bob", "bob@example.com");
    bob.post("/reminders", &least()).await.expect(201);

    assert_eq!(ids(&list(&service.ada, "").await).into_iter().collect::<BTreeSet<_>>(), made);
    assert_eq!(list(&bob, "").await["total"], 1);
    service.anonymous.get("/reminders").await.expect(401);
}

#[tokio::test]
async fn names_faulty_parameter_of_list() {
    let service = Service::start().await;
    for (query, named) in [
        ("?limit=-1", "limit: "),
        ("?limit=0", "limit: "),
        ("?limit=101", "limit: "),
        ("?limit=ten", "limit: must be a whole number"),
        ("?offset=-1", "offset: "),
        ("?offset=10001", "offset: "),
        ("?status=lost", "status: must be "),
        ("?from=yesterday", "from: "),
        ("?to=2126-01-01T00:00:00", "to: "),
        ("?cursor=x", "cursor: "),
        ("?cursor=AAAAAAAAAAAAAAAAAAAAAA&offset=1", "offset: "),
        ("?colour=red", "colour: unknown field"),
    ] {
        let answer = service.ada.get(&format!("/reminders{query}")).await.expect(400);
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(named), "{query}: {message}");
    }
}
