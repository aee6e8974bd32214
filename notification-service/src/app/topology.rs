//! Topics and queues of the service.

use std::collections::BTreeMap;

use bus::{QueueSpec, Subscription, Topology};
use service::settings::BusConfig;

/// Receipts of a message before it is dead-lettered.
const MAX_RECEIVE_COUNT: u32 = 10;

/// Topic that the service publishes to, and its queue with the subscription to what is due.
pub(super) fn topology(bus: &BusConfig) -> Topology {
    let due = Subscription { topic: bus.notification_topic.clone(), filter: BTreeMap::new() };
    let queue = QueueSpec {
        queue: bus.notification_queue.clone(),
        max_receive_count: MAX_RECEIVE_COUNT,
        subscriptions: vec![due],
    };
    Topology { topics: vec![bus.event_topic.clone()], queues: vec![queue] }
}

/// Queue of SES's feedback, apart from the other topology: reminders are sent without it. The
/// feedback comes from a topic of SES, to which the operator subscribes the queue.
pub(super) fn feedback_topology(queue: &str) -> Topology {
    let queue = QueueSpec {
        queue: queue.to_owned(),
        max_receive_count: MAX_RECEIVE_COUNT,
        subscriptions: Vec::new(),
    };
    Topology { topics: Vec::new(), queues: vec![queue] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feedback(variables: &[(&str, &str)]) -> Option<String> {
        let env: BTreeMap<_, _> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let bus = env_config::read(&env, |reader| BusConfig::read(reader, &[]))
            .expect("a complete environment");
        assert!(
            topology(&bus)
                .queues
                .iter()
                .all(|queue| Some(&queue.queue) != bus.ses_feedback_queue.as_ref())
        );
        bus.ses_feedback_queue
    }

    #[test]
    fn consumes_feedback_from_configured_queue() {
        assert_eq!(feedback(&[("BUS", "aws")]), None);
        assert_eq!(
            feedback(&[("BUS", "aws"), ("SES_FEEDBACK_QUEUE_URL", "feedback")]).as_deref(),
            Some("feedback")
        );
        let own = feedback(&[("BUS", "postgres"), ("BUS_DATABASE_URL", "postgres://bus")]);
        assert_eq!(own.as_deref(), Some("ses-feedback-queue"));
    }
}
