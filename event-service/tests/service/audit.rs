//! The record of operators' actions.

use serde_json::{Value, json};
use support::{http::Client, wait_until};

use crate::running::{LIMIT, running_service};

async fn actions(client: &Client) -> Vec<Value> {
    let answer = client.get("/audit").await.expect(200).body;
    answer["actions"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_actor_and_subject_of_actions() {
    let service = running_service().await;
    let client = service.client.with_header("X-Request-Id", "request-7");
    client.post("/dead-letters/redrive", &json!({"queue": "event", "max": 5})).await.expect(200);
    client.post("/dead-letters/redrive", &json!({"max": 0})).await.expect(400);
    client.get("/users/ada%40example/export").await.expect(200);
    client.get("/stats").await.expect(200);
    let recorded = wait_until(LIMIT, async || {
        let recorded = actions(&client).await;
        if recorded.iter().all(|action| action["result"].is_string()) {
            Ok(recorded)
        } else {
            Err(recorded)
        }
    })
    .await;
    let of = |field: &str| recorded.iter().map(|action| action[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("action"), ["EXPORT", "REDRIVE", "REDRIVE"]);
    assert_eq!(of("result"), ["DONE", "FAILED 400", "DONE"]);
    assert_eq!(of("actor"), ["local"; 3]);
    assert_eq!(of("requestId"), ["request-7"; 3]);
    // SHA-256 of `ada@example`: the id as it is, not as it is written in a path.
    assert_eq!(
        recorded[0]["subject"],
        "d5534a23192166771957c031cde8a78c5ac7a2424d23ae15ad62608881c0f890"
    );
    assert_eq!(recorded[1]["subject"], Value::Null);

    let first = client.get("/audit?limit=1").await.expect(200).body;
    let cursor = first["nextCursor"].as_str().expect("more follow");
    let second = client.get(&format!("/audit?limit=2&cursor={cursor}")).await.expect(200).body;
    assert_eq!(
        (second["actions"].as_array().map(Vec::len), &second["nextCursor"]),
        (Some(2), &Value::Null)
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_an_erasure_once_in_its_transaction() {
    let service = running_service().await;
    let pool = service.database.pool().await;
    let note = "insert into erased_users (user_digest, erased_at, receipt_id)
        values ('\\xab', now(), $1)
                on conflict (user_digest) do update set erased_at = excluded.erased_at,
                    receipt_id = excluded.receipt_id";
    for receipt in ["receipt-1", "receipt-1", "receipt-2"] {
        sqlx::query(note).bind(receipt).execute(&pool).await.expect("noted");
    }
    let mut undone = pool.begin().await.expect("a transaction");
    sqlx::query(note).bind("receipt-3").execute(&mut *undone).await.expect("noted");
    undone.rollback().await.expect("rolled back");
    let recorded = actions(&service.client).await;
    let of = |field: &str| recorded.iter().map(|action| action[field].clone()).collect::<Vec<_>>();
    assert_eq!((of("action"), of("subject")), (vec![json!("ERASE"); 2], vec![json!("ab"); 2]));
    assert_eq!(of("requestId"), ["receipt-2", "receipt-1"]);
    assert_eq!(of("actor"), ["user"; 2]);
    service.stop().await;
}
