//! Check that topics and queues exist.

use super::{AwsBus, error};
use crate::{Error, Topology};

const ACTION: &str = "check topics and queues";

impl AwsBus {
    /// Checks every topic, queue and dead-letter queue, and names all that are missing or
    /// forbidden.
    pub(super) async fn check(&self, topology: &Topology) -> Result<(), Error> {
        let mut missing = Vec::new();
        for topic in &topology.topics {
            let answer = self.sns.get_topic_attributes().topic_arn(topic).send().await;
            exists(
                &mut missing,
                format!("topic {topic}"),
                answer.map_err(|error| error::classify(ACTION, error)),
            )?;
        }
        for spec in &topology.queues {
            let answer = self.depth_of(&spec.queue).await;
            if exists(&mut missing, format!("queue {}", spec.queue), answer)? {
                let answer = self.dead_letters_url(&spec.queue).await;
                exists(&mut missing, format!("dead-letter queue of {}", spec.queue), answer)?;
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::Misconfigured { action: ACTION, source: missing.join("; ").into() })
    }
}

/// Returns whether a resource exists, and records it if not; a temporary error ends the check.
fn exists<T>(
    missing: &mut Vec<String>,
    name: String,
    answer: Result<T, Error>,
) -> Result<bool, Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(error @ Error::Misconfigured { .. }) => {
            missing.push(format!("{name}: {}", error::text(&error)));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
