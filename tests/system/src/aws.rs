//! Topics, queues and dead letters on the emulator, made the way infrastructure makes them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::types::QueueAttributeName;
use secrecy::SecretString;
use shared::bus::settings::{AwsSettings, sdk_config};
use support::ministack::MiniStack;

/// How often a message may be received before it is a dead letter.
const MAX_RECEIVE_COUNT: u32 = 5;

/// Makes everything and says what the services' variables for it are. One queue gets SNS envelopes, the other raw
/// deliveries: consumers read both.
pub(crate) async fn provision(ministack: &MiniStack) -> BTreeMap<String, String> {
    let settings = AwsSettings {
        region: "us-east-1".to_owned(),
        endpoint_url: Some(ministack.endpoint().to_owned()),
        credentials: Some(("test".to_owned(), SecretString::from("test"))),
        ..AwsSettings::default()
    };
    let config = sdk_config(&settings).await;
    let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let event_topic = topic(&sns, "event-topic").await;
    let notification_topic = topic(&sns, "notification-topic").await;
    let event_queue = queue(&sqs, "event-queue").await;
    let notification_queue = queue(&sqs, "notification-queue").await;
    subscribe(&sns, &event_topic, &event_queue.arn, false).await;
    subscribe(&sns, &notification_topic, &notification_queue.arn, true).await;
    verify(ministack.endpoint(), crate::house::SOURCE_EMAIL).await;
    [
        ("BUS", "aws".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL", ministack.endpoint().to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("EVENT_TOPIC_ARN", event_topic),
        ("NOTIFICATION_TOPIC_ARN", notification_topic),
        ("EVENT_QUEUE_URL", event_queue.url),
        ("NOTIFICATION_QUEUE_URL", notification_queue.url),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

struct Queue {
    url: String,
    arn: String,
}

async fn topic(sns: &aws_sdk_sns::Client, name: &str) -> String {
    let made = sns.create_topic().name(name).send().await.expect("the topic is made");
    made.topic_arn.expect("a topic has an ARN")
}

async fn queue(sqs: &aws_sdk_sqs::Client, name: &str) -> Queue {
    let letters = bare_queue(sqs, &format!("{name}-dlq"), HashMap::new()).await;
    let redrive =
        serde_json::json!({"deadLetterTargetArn": letters.arn, "maxReceiveCount": MAX_RECEIVE_COUNT.to_string()});
    bare_queue(sqs, name, HashMap::from([(QueueAttributeName::RedrivePolicy, redrive.to_string())])).await
}

async fn bare_queue(sqs: &aws_sdk_sqs::Client, name: &str, attributes: HashMap<QueueAttributeName, String>) -> Queue {
    let made =
        sqs.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await.expect("the queue is made");
    let url = made.queue_url.expect("a queue has a URL");
    let asked = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn).send().await;
    let mut attributes = asked.expect("the queue is there").attributes.expect("a queue has attributes");
    Queue { url, arn: attributes.remove(&QueueAttributeName::QueueArn).expect("a queue has an ARN") }
}

async fn subscribe(sns: &aws_sdk_sns::Client, topic: &str, queue: &str, raw: bool) {
    let subscribing = sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(queue);
    subscribing.attributes("RawMessageDelivery", raw.to_string()).send().await.expect("the queue is subscribed");
}

/// Makes SES accept mail from an address.
async fn verify(endpoint: &str, address: &str) {
    let form = [("Action", "VerifyEmailIdentity"), ("EmailAddress", address), ("Version", "2010-12-01")];
    // The emulator finds the service in the credential's scope and checks no signature.
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ses/aws4_request, SignedHeaders=host, Signature=0";
    let request = support::http::plain().post(endpoint).header("Authorization", scope).form(&form);
    let answer = request.send().await.expect("SES answers");
    assert!(answer.status().is_success(), "the address is verified: {}", answer.status());
}

/// The subjects of the mails that SES took for an address.
pub(crate) async fn mailed(endpoint: &str, address: &str) -> Vec<String> {
    let answer = support::http::Client::new(endpoint).get("/_ministack/ses/messages").await.expect(200).body;
    let accounts = answer["messages"].as_object().cloned().unwrap_or_default();
    let messages = accounts.values().filter_map(|messages| messages.as_array()).flatten();
    let mine = messages.filter(|mail| mail["To"].as_array().is_some_and(|to| to.iter().any(|it| it == address)));
    mine.map(|mail| mail["Subject"].as_str().unwrap_or_default().to_owned()).collect()
}
