//! What only the aws adapter does.

use shared::bus::{self, BusSettings, Error, QueueSpec, Topology, settings::sdk_config};

use super::{
    proxy::Proxy,
    test_bus::{
        Behind, LIMIT, LONG, MAX_RECEIVE_COUNT, Stage, aws_settings, create_queue, message,
        messages, numbers,
    },
};

fn endpoint(stage: &Stage) -> &str {
    match &stage.behind {
        Behind::Aws(ministack) => ministack.endpoint(),
        Behind::Postgres(_) => panic!("this is the aws adapter's"),
    }
}

#[tokio::test]
async fn just_the_failed_entries_of_a_batch_are_published_again() {
    let stage = Stage::aws().await;
    let proxy = Proxy::failing_once(endpoint(&stage), &["1", "4", "9"]).await;
    let through = bus::connect(&BusSettings::Aws(aws_settings(proxy.endpoint()))).await.unwrap();

    let results = through.publish(&stage.topic, &messages(10)).await.unwrap();

    assert_eq!(results, vec![Ok(()); 10]);
    let body = |number| message(number, &[]).body;
    assert_eq!(
        proxy.published(),
        [(0..10).map(body).collect::<Vec<_>>(), [1, 4, 9].map(body).to_vec()]
    );
}

#[tokio::test]
async fn publishes_without_groups_when_they_are_refused() {
    let stage = Stage::aws().await;
    let proxy = Proxy::refusing_groups(endpoint(&stage)).await;
    let through = bus::connect(&BusSettings::Aws(aws_settings(proxy.endpoint()))).await.unwrap();
    let of_somebody: Vec<_> = (0..10).map(|number| message(number, &[("userId", "ada")])).collect();

    let results = through.publish(&stage.topic, &of_somebody).await.unwrap();

    assert_eq!(results, vec![Ok(()); 10]);
    assert_eq!((proxy.refused(), proxy.published().len()), (1, 1));
    assert_eq!(through.publish(&stage.topic, &of_somebody).await.unwrap(), vec![Ok(()); 10]);
    assert_eq!(proxy.refused(), 1, "no group is named any more");
}

#[tokio::test]
async fn an_sns_envelope_comes_out_as_it_lies_in_the_queue() {
    let stage = Stage::aws().await;
    let config = sdk_config(&aws_settings(endpoint(&stage))).await;
    let (url, arn) = create_queue(&aws_sdk_sqs::Client::new(&config), "enveloped").await;
    let sns = aws_sdk_sns::Client::new(&config);
    sns.subscribe().topic_arn(&stage.topic).protocol("sqs").endpoint(arn).send().await.unwrap();

    stage.publish(&[message(5, &[("kind", "a")])]).await;

    let raw = stage.receive_one(LONG).await;
    assert_eq!(
        (numbers(std::slice::from_ref(&raw)), raw.attributes["kind"].as_str()),
        (vec![5], "a")
    );
    let enveloped = stage.bus.receive(&url, 1, LONG, LIMIT).await.unwrap().remove(0);
    assert!(enveloped.attributes.is_empty());
    let envelope: serde_json::Value = serde_json::from_str(&enveloped.body).unwrap();
    assert_eq!(envelope["Message"], r#"{"number":5}"#);
    assert_eq!(envelope["MessageAttributes"]["kind"]["Value"], "a");
}

#[tokio::test]
async fn all_that_is_missing_is_named() {
    let stage = Stage::aws().await;
    let mut topology = stage.topology.clone();
    topology.topics.push(format!("{}-missing", stage.topic));
    let config = sdk_config(&aws_settings(endpoint(&stage))).await;
    let create =
        aws_sdk_sqs::Client::new(&config).create_queue().queue_name("without-dead-letters");
    let without = create.send().await.unwrap().queue_url.unwrap();
    for queue in [format!("{}-missing", stage.some), without] {
        topology.queues.push(QueueSpec {
            queue,
            max_receive_count: MAX_RECEIVE_COUNT,
            subscriptions: Vec::new(),
        });
    }

    let Err(Error::Misconfigured { source, .. }) = stage.bus.ensure(&topology).await else {
        panic!("it is missing")
    };

    for name in ["topic-missing", "some-missing", "dead-letter queue of"] {
        assert!(source.to_string().contains(name), "{source}");
    }
}

#[tokio::test]
async fn a_queue_may_be_given_by_its_name() {
    let stage = Stage::aws().await;
    let queue = QueueSpec {
        queue: "everything".to_owned(),
        max_receive_count: 1,
        subscriptions: Vec::new(),
    };
    stage.bus.ensure(&Topology { topics: Vec::new(), queues: vec![queue] }).await.unwrap();
    stage.publish(&messages(1)).await;
    stage.drain("everything", 1).await;
}
