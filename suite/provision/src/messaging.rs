//! Topics, queues, dead-letter queues and subscriptions.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

/// Receives of a message after which SQS moves it to the dead-letter queue.
const MAX_RECEIVE_COUNT: u32 = 5;
/// Retention of messages, in seconds: 14 days, the most that SQS allows.
const RETENTION_S: u32 = 1_209_600;

/// The topics and queues.
pub(crate) struct Messaging {
    event_topic: String,
    notification_topic: String,
    event_queue: Queue,
    notification_queue: Queue,
    feedback_queue: Queue,
}

struct Queue {
    url: String,
    arn: String,
}

/// Creates three topics, and for each a queue that is subscribed to it with raw delivery.
pub(crate) async fn create(
    sns: &aws_sdk_sns::Client,
    sqs: &aws_sdk_sqs::Client,
    prefix: &str,
) -> anyhow::Result<Messaging> {
    let (event_topic, event_queue) = pair(sns, sqs, prefix, "event").await?;
    let (notification_topic, notification_queue) = pair(sns, sqs, prefix, "notification").await?;
    let (_, feedback_queue) = pair(sns, sqs, prefix, "ses-feedback").await?;
    Ok(Messaging {
        event_topic,
        notification_topic,
        event_queue,
        notification_queue,
        feedback_queue,
    })
}

impl Messaging {
    /// Variables of the services.
    pub(crate) fn variables(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("EVENT_TOPIC_ARN", self.event_topic.clone()),
            ("NOTIFICATION_TOPIC_ARN", self.notification_topic.clone()),
            ("EVENT_QUEUE_URL", self.event_queue.url.clone()),
            ("NOTIFICATION_QUEUE_URL", self.notification_queue.url.clone()),
            ("SES_FEEDBACK_QUEUE_URL", self.feedback_queue.url.clone()),
        ])
    }
}

async fn pair(
    sns: &aws_sdk_sns::Client,
    sqs: &aws_sdk_sqs::Client,
    prefix: &str,
    name: &str,
) -> anyhow::Result<(String, Queue)> {
    let topic_name = format!("{prefix}{name}-topic");
    let made = sns.create_topic().name(&topic_name).send().await;
    let topic =
        made.with_context(|| topic_name.clone())?.topic_arn.context("a topic without an ARN")?;
    let queue = queue_with_dead_letters(sqs, &format!("{prefix}{name}-queue"), &topic).await?;
    let subscribing = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(&queue.arn);
    let subscribed = subscribing
        .attributes("RawMessageDelivery", "true")
        .return_subscription_arn(true)
        .send()
        .await;
    let subscription =
        subscribed.with_context(|| format!("{topic_name} to {name}-queue"))?.subscription_arn;
    // `Subscribe` returns an existing subscription unchanged; it may have had another delivery.
    if let Some(subscription) = subscription {
        let setting = sns.set_subscription_attributes().subscription_arn(subscription);
        let set = setting.attribute_name("RawMessageDelivery").attribute_value("true").send().await;
        set.with_context(|| format!("{topic_name} to {name}-queue"))?;
    }
    Ok((topic, queue))
}

async fn queue_with_dead_letters(
    sqs: &aws_sdk_sqs::Client,
    name: &str,
    topic: &str,
) -> anyhow::Result<Queue> {
    let retention = (QueueAttributeName::MessageRetentionPeriod, RETENTION_S.to_string());
    let letters =
        queue(sqs, &format!("{name}-dlq"), |_| HashMap::from([retention.clone()])).await?;
    queue(sqs, name, |arn| {
        let redrive = json!({
            "deadLetterTargetArn": letters.arn,
            "maxReceiveCount": MAX_RECEIVE_COUNT.to_string(),
        });
        HashMap::from([
            retention,
            (QueueAttributeName::RedrivePolicy, redrive.to_string()),
            (QueueAttributeName::Policy, policy(arn, topic).to_string()),
        ])
    })
    .await
}

/// Policy that allows only this topic to send to the queue.
fn policy(queue: &str, topic: &str) -> serde_json::Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TopicSends",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }],
    })
}

/// Finds or creates a queue, and then sets its attributes: `CreateQueue` refuses an existing queue
/// with other attributes.
async fn queue(
    sqs: &aws_sdk_sqs::Client,
    name: &str,
    attributes: impl FnOnce(&str) -> HashMap<QueueAttributeName, String>,
) -> anyhow::Result<Queue> {
    let made = match sqs.get_queue_url().queue_name(name).send().await {
        Ok(found) => found.queue_url,
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist()) =>
        {
            sqs.create_queue()
                .queue_name(name)
                .send()
                .await
                .with_context(|| name.to_owned())?
                .queue_url
        }
        Err(error) => return Err(error).with_context(|| name.to_owned()),
    };
    let url = made.context("a queue without a URL")?;
    let asking =
        sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let mut asked =
        asking.send().await.with_context(|| name.to_owned())?.attributes.unwrap_or_default();
    let arn = asked.remove(&QueueAttributeName::QueueArn).context("a queue without an ARN")?;
    let setting = sqs.set_queue_attributes().queue_url(&url).set_attributes(Some(attributes(&arn)));
    setting.send().await.with_context(|| name.to_owned())?;
    Ok(Queue { url, arn })
}
