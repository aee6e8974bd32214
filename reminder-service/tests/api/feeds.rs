//! Calendar feeds: secret addresses that calendar apps read without an identity.

use serde_json::{Value, json};
use support::http::{Answer, Client};

use crate::service::{Service, least, least_with};

async fn new_feed(client: &Client) -> (String, String) {
    let feed = client.post("/calendar/feeds", &json!({})).await.expect(201).body;
    let text = |field: &str| feed[field].as_str().expect("a text").to_owned();
    (text("id"), text("path"))
}

fn etag(answer: &Answer) -> String {
    answer.header("etag").expect("an entity tag").to_owned()
}

#[tokio::test]
async fn serves_feed_without_identity() {
    let service = Service::start().await;
    service.make(&least_with(json!({"title": "Tablets"}))).await;
    let bob = service.ada.as_user("bob", "bob@example.com");
    bob.post("/reminders", &least_with(json!({"title": "Of Bob"}))).await.expect(201);
    let feed = service.ada.post("/calendar/feeds", &json!({})).await.expect(201).body;

    let url = feed["url"].as_str().expect("a URL");
    let path = url.strip_prefix(&service.base).expect("the address of the service");
    assert_eq!(feed["path"], path);
    let file = service.anonymous.get(path).await.expect(200);
    let exported = service.ada.get("/reminders/export.ics").await.expect(200);
    assert_eq!(file.body, exported.body);
    assert!(file.body.as_str().is_some_and(|file| file.contains("SUMMARY:Tablets")));
    assert_eq!(file.header("content-type"), Some("text/calendar; charset=utf-8"));
    assert_eq!(file.header("cache-control"), Some("private, no-cache"));
    let response = support::http::plain().head(url).send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.headers().get("content-length")), (200, None));
    assert_eq!(response.headers()["etag"], etag(&file));
    assert_eq!(response.headers()["content-type"], "text/calendar; charset=utf-8");
}

#[tokio::test]
async fn answers_304_until_reminder_changes() {
    let service = Service::start().await;
    let id = service.make(&least()).await;
    let (_, path) = new_feed(&service.ada).await;
    let mut known = etag(&service.anonymous.get(&path).await.expect(200));
    let read =
        async |known: &str| service.anonymous.with_header("If-None-Match", known).get(&path).await;

    for form in [known.clone(), format!("W/{known}"), format!("\"x\", {known}"), "*".to_owned()] {
        let unchanged = read(&form).await.expect(304);
        assert_eq!((etag(&unchanged), &unchanged.body), (known.clone(), &json!("")));
    }
    let other = service.make(&least()).await;
    for change in ["create", "change", "delete"] {
        match change {
            "change" => {
                let body = json!({"title": "New"});
                service.ada.patch(&format!("/reminders/{id}"), &body).await.expect(200);
            }
            "delete" => {
                service.ada.delete(&format!("/reminders/{other}")).await.expect(200);
            }
            _ => {}
        }
        let changed = etag(&read(&known).await.expect(200));
        assert_ne!(changed, known, "{change}");
        known = changed;
    }
}

#[tokio::test]
async fn stores_digest_and_shows_secret_once() {
    let service = Service::start().await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");
    let (id, path) = new_feed(&keyed).await;
    let secret = path.trim_start_matches("/calendar/").trim_end_matches(".ics").to_owned();
    assert_eq!(secret.len(), 43, "256 bits in base64");

    let repeat = keyed.post("/calendar/feeds", &json!({})).await.expect(201);
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    let list = service.ada.get("/calendar/feeds").await.expect(200).body;
    assert_eq!(list["feeds"][0]["id"], id);
    let export = service.ada.get("/me/export").await.expect(200).body;
    assert_eq!(export["calendarFeeds"], list["feeds"]);
    let tables: Vec<String> = sqlx::query_scalar(
        "select to_jsonb(f)::text from calendar_feeds f
         union all select to_jsonb(k)::text from idempotency_keys k
         union all select to_jsonb(o)::text from outbox o",
    )
    .fetch_all(&service.database.pool().await)
    .await
    .expect("the rows");
    assert!(tables.len() >= 2);
    for text in tables.into_iter().chain([list.to_string(), repeat.body.to_string()]) {
        assert!(!text.contains(&secret), "{text}");
    }
    let metrics = service.admin.get("/metrics").await.expect(200).body.to_string();
    assert!(!metrics.contains(&secret));
}

#[tokio::test]
async fn stops_feed_when_rotated_or_revoked() {
    let service = Service::start().await;
    let bob = service.ada.as_user("bob", "bob@example.com");
    let (id, path) = new_feed(&service.ada).await;
    service.anonymous.get(&path).await.expect(200);
    for client in [&bob, &service.ada] {
        let unknown = "/calendar/feeds/01979a3c7e2f7c41b1d1e0a5d2c3f4a5";
        client.delete(unknown).await.expect(404);
        client.post(&format!("{unknown}/rotate"), &json!({})).await.expect(404);
    }
    bob.delete(&format!("/calendar/feeds/{id}")).await.expect(404);
    bob.post(&format!("/calendar/feeds/{id}/rotate"), &json!({})).await.expect(404);

    let rotate = format!("/calendar/feeds/{id}/rotate");
    let rotated = service.ada.post(&rotate, &json!({})).await.expect(200).body;
    let new_path = rotated["path"].as_str().expect("a path");
    assert_eq!(rotated["id"], id);
    assert!(rotated["rotatedAt"].is_string());
    assert_eq!(service.anonymous.get(&path).await.expect(404).reason(), Some("NOT_FOUND"));
    service.anonymous.get(new_path).await.expect(200);

    service.ada.delete(&format!("/calendar/feeds/{id}")).await.expect(200);
    service.anonymous.get(new_path).await.expect(404);
    assert_eq!(service.ada.get("/calendar/feeds").await.expect(200).body, json!({"feeds": []}));
}

#[tokio::test]
async fn refuses_sixth_feed() {
    let service = Service::start().await;
    let creations = (0..12).map(|_| {
        let ada = service.ada.clone();
        tokio::spawn(async move { ada.post("/calendar/feeds", &json!({})).await })
    });
    let mut statuses = Vec::new();
    for creation in creations.collect::<Vec<_>>() {
        statuses.push(creation.await.expect("an answer").status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201; 5], vec![409; 7]].concat());
    new_feed(&service.ada.as_user("bob", "bob@example.com")).await;
}

#[tokio::test]
async fn answers_404_to_unknown_secrets() {
    let service = Service::start().await;
    let (_, path) = new_feed(&service.ada).await;
    for path in [
        format!("/calendar/{}.ics", "A".repeat(43)),
        path.trim_end_matches(".ics").to_owned(),
        path.replace(".ics", "A.ics"),
        "/calendar/%00.ics".to_owned(),
        "/calendar/%FF".to_owned(),
        "/calendar/.ics".to_owned(),
    ] {
        assert_eq!(service.anonymous.get(&path).await.expect(404).reason(), Some("NOT_FOUND"));
    }
    service.anonymous.get("/calendar/feeds").await.expect(401);
    service.anonymous.post("/calendar/feeds", &json!({})).await.expect(401);
    service.anonymous.post(&path, &json!({})).await.expect(405);
}

#[tokio::test]
async fn limits_reads_of_feed_and_of_unknown_secrets() {
    let service = Service::start().await;
    let (_, path) = new_feed(&service.ada).await;
    let (_, other) = new_feed(&service.ada).await;
    let known = etag(&service.anonymous.get(&path).await.expect(200));
    service.anonymous.get(&other).await.expect(200);
    let client = service.anonymous.with_header("If-None-Match", &known);
    let first_refusal = async |path: &str, most: usize| {
        for _ in 0..most {
            let answer = client.get(path).await;
            if answer.status == 429 {
                return answer;
            }
        }
        panic!("no limit");
    };
    let refusals = [
        first_refusal(&path, 200).await,
        first_refusal(&format!("/calendar/{}.ics", "A".repeat(43)), 1_000).await,
    ];
    for refusal in refusals {
        assert_eq!(refusal.reason(), Some("RATE_LIMITED"));
        assert!(refusal.header("retry-after").is_some());
    }
    // Feeds that exist are served, also one that was never read before.
    client.get(&other).await.expect(304);
    let (_, new) = new_feed(&service.ada).await;
    client.get(&new).await.expect(304);
    service.ada.get("/reminders").await.expect(200);
}

#[tokio::test]
async fn erases_feeds_with_user() {
    let service = Service::start().await;
    let (_, path) = new_feed(&service.ada).await;
    service.ada.delete("/me").await.expect(200);
    service.anonymous.get(&path).await.expect(404);
    assert_eq!(service.count("calendar_feeds").await, 0);
    assert_eq!(
        service.ada.get("/me/export").await.expect(200).body["calendarFeeds"],
        Value::from(Vec::<Value>::new())
    );
}
