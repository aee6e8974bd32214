//! Checking that the infrastructure is there.

use super::{AwsBus, error};
use crate::bus::{Error, Topology};

const ACTION: &str = "check topics and queues";

impl AwsBus {
    /// Asks for every topic, queue and dead-letter queue, and names all that are missing or out of
    /// reach.
    pub(super) async fn check(&self, topology: &Topology) -> Result<(), Error> {
        let mut missing = Vec::new();
        for topic in &topology.topics {
            let answer = self.sns.get_topic_attributes().topic_arn(topic).send().await;
            note(
                &mut missing,
                format!("topic {topic}"),
                answer.map_err(|error| error::of(ACTION, error)),
            )?;
        }
        for spec in &topology.queues {
            let answer = self.depth_of(&spec.queue).await;
            if note(&mut missing, format!("queue {}", spec.queue), answer)? {
                let answer = self.dead_letters_url(&spec.queue).await;
                note(&mut missing, format!("dead-letter queue of {}", spec.queue), answer)?;
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::Misconfigured { action: ACTION, source: missing.join("; ").into() })
    }
}

/// Whether it is there; an error that may pass ends the check.
fn note<T>(
    missing: &mut Vec<String>,
    what: String,
    answer: Result<T, Error>,
) -> Result<bool, Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(error @ Error::Misconfigured { .. }) => {
            missing.push(format!("{what}: {}", error::text(&error)));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
