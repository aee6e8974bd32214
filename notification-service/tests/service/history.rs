//! `GET /notifications`.

use serde_json::json;
use shared::contract::Channel;

use crate::harness::Service;

#[tokio::test]
async fn a_user_sees_what_became_of_each_delivery_and_of_nobody_elses() {
    let service = Service::start().await;
    let device = service.device("ada", "token-1").await;
    let due = service.due("ada", &[Channel::Push]).await;
    service.ends(&due, Channel::Push, "sent").await;

    let history = service.user("ada").get("/notifications").await.expect(200).body;
    let delivery = &history["notifications"][0];
    assert_eq!(delivery["occurrenceId"], json!(due.send.occurrence_id));
    assert_eq!(delivery["itemId"], json!(due.send.item_id));
    assert_eq!((&delivery["deviceId"], &delivery["channel"]), (&json!(device), &json!("push")));
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("sent"), &json!(1)));
    assert!(delivery["finishedAt"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(service.user("bob").get("/notifications").await.body, json!({"notifications": [], "nextCursor": null}));
}

#[tokio::test]
async fn the_cursor_leads_through_all_of_it_once() {
    let service = Service::start().await;
    for _ in 0..5 {
        let due = service.due("ada", &[Channel::Push]).await;
        service.ends(&due, Channel::Push, "suppressed").await;
    }
    let (mut seen, mut path) = (Vec::new(), "/notifications?limit=2".to_owned());
    loop {
        let page = service.user("ada").get(&path).await.expect(200).body;
        seen.extend(
            page["notifications"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|it| it["id"].as_str().expect("an id").to_owned()),
        );
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/notifications?limit=2&cursor={cursor}");
    }
    let mut newest_first = seen.clone();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    newest_first.dedup();
    assert_eq!((seen.len(), &seen), (5, &newest_first));
}

#[tokio::test]
async fn malformed_parameters_are_named() {
    let service = Service::start().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=nonsense", "cursor"),
        ("page=2", "page"),
    ] {
        let answer = service.user("ada").get(&format!("/notifications?{query}")).await.expect(400);
        assert!(answer.body["error"]["message"].as_str().is_some_and(|text| text.contains(field)), "{}", answer.body);
    }
}
