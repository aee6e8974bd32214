//! Behaviour of the aws adapter alone.

use bus::{BusSettings, Error, Packing, QueueSpec, Topology, settings::sdk_config};

use super::{
    proxy::Proxy,
    test_bus::{
        Backend, LIMIT, LONG, MAX_RECEIVE_COUNT, TestBus, aws_settings, create_queue, message,
        messages, numbers,
    },
};

fn endpoint(bus: &TestBus) -> &str {
    match &bus.backend {
        Backend::Aws(ministack) => ministack.endpoint(),
        Backend::Postgres(_) => panic!("this is the aws adapter's"),
    }
}

#[tokio::test]
async fn retries_only_failed_entries() {
    let bus = TestBus::aws().await;
    let proxy = Proxy::failing_once(endpoint(&bus), &["1", "4", "9"]).await;
    let through =
        bus::connect(&BusSettings::Aws(aws_settings(proxy.endpoint())), &Packing::default())
            .await
            .unwrap();

    let results = through.publish(&bus.topic, &messages(10)).await.unwrap();

    assert_eq!(results, vec![Ok(()); 10]);
    let body = |number| message(number, &[]).body;
    assert_eq!(
        proxy.published(),
        [(0..10).map(body).collect::<Vec<_>>(), [1, 4, 9].map(body).to_vec()]
    );
}

#[tokio::test]
async fn publishes_without_groups_when_they_are_refused() {
    let bus = TestBus::aws().await;
    let proxy = Proxy::refusing_groups(endpoint(&bus)).await;
    let through =
        bus::connect(&BusSettings::Aws(aws_settings(proxy.endpoint())), &Packing::default())
            .await
            .unwrap();
    let of_somebody: Vec<_> = (0..10).map(|number| message(number, &[("userId", "ada")])).collect();

    let results = through.publish(&bus.topic, &of_somebody).await.unwrap();

    assert_eq!(results, vec![Ok(()); 10]);
    assert_eq!((proxy.refused(), proxy.published().len()), (1, 1));
    assert_eq!(through.publish(&bus.topic, &of_somebody).await.unwrap(), vec![Ok(()); 10]);
    assert_eq!(proxy.refused(), 1, "no group is named any more");
}

#[tokio::test]
async fn receives_sns_envelope_unchanged() {
    let bus = TestBus::aws().await;
    let config = sdk_config(&aws_settings(endpoint(&bus))).await;
    let (url, arn) = create_queue(&aws_sdk_sqs::Client::new(&config), "enveloped").await;
    let sns = aws_sdk_sns::Client::new(&config);
    sns.subscribe().topic_arn(&bus.topic).protocol("sqs").endpoint(arn).send().await.unwrap();

    bus.publish(&[message(5, &[("kind", "a")])]).await;

    let raw = bus.receive_one(LONG).await;
    assert_eq!(
        (numbers(std::slice::from_ref(&raw)), raw.attributes["kind"].as_str()),
        (vec![5], "a")
    );
    let enveloped = bus.adapter.receive(&url, 1, LONG, LIMIT).await.unwrap().remove(0);
    assert!(enveloped.attributes.is_empty());
    let envelope: serde_json::Value = serde_json::from_str(&enveloped.body).unwrap();
    assert_eq!(envelope["Message"], r#"{"number":5}"#);
    assert_eq!(envelope["MessageAttributes"]["kind"]["Value"], "a");
}

#[tokio::test]
async fn names_all_missing_topics_and_queues() {
    let bus = TestBus::aws().await;
    let mut topology = bus.topology.clone();
    topology.topics.push(format!("{}-missing", bus.topic));
    let config = sdk_config(&aws_settings(endpoint(&bus))).await;
    let create =
        aws_sdk_sqs::Client::new(&config).create_queue().queue_name("without-dead-letters");
    let without = create.send().await.unwrap().queue_url.unwrap();
    for queue in [format!("{}-missing", bus.some), without] {
        topology.queues.push(QueueSpec {
            queue,
            max_receive_count: MAX_RECEIVE_COUNT,
            subscriptions: Vec::new(),
        });
    }

    let Err(Error::Misconfigured { source, .. }) = bus.adapter.ensure(&topology).await else {
        panic!("it is missing")
    };

    for name in ["topic-missing", "some-missing", "dead-letter queue of"] {
        assert!(source.to_string().contains(name), "{source}");
    }
}

#[tokio::test]
async fn accepts_name_of_queue() {
    let bus = TestBus::aws().await;
    let queue = QueueSpec {
        queue: "everything".to_owned(),
        max_receive_count: 1,
        subscriptions: Vec::new(),
    };
    bus.adapter.ensure(&Topology { topics: Vec::new(), queues: vec![queue] }).await.unwrap();
    bus.publish(&messages(1)).await;
    bus.drain("everything", 1).await;
}
