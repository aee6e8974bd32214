//! Results of a publish, by what follows for each message.

use crate::PublishError;

/// Messages of a publish, sorted by their results. `T` stands for a message: its id, or the row
/// that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishResults<T> {
    /// Messages that the topic accepted.
    pub accepted: Vec<T>,
    /// Messages that it may accept later.
    pub refused: Vec<T>,
    /// Messages that it never accepts, each with the reason.
    pub unpublishable: Vec<(T, String)>,
}

impl<T> PublishResults<T> {
    /// Sorts messages by their results, which have the same order.
    #[must_use]
    pub fn sort(messages: Vec<T>, results: Vec<Result<(), PublishError>>) -> Self {
        let mut sorted = Self {
            accepted: Vec::with_capacity(messages.len()),
            refused: Vec::new(),
            unpublishable: Vec::new(),
        };
        for (message, result) in messages.into_iter().zip(results) {
            match result {
                Ok(()) => sorted.accepted.push(message),
                Err(PublishError::Retry(_)) => sorted.refused.push(message),
                Err(PublishError::Unpublishable(reason)) => {
                    sorted.unpublishable.push((message, reason));
                }
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_messages_by_their_results() {
        let results = vec![
            Err(PublishError::Retry("busy".to_owned())),
            Ok(()),
            Err(PublishError::Unpublishable("too large".to_owned())),
            Ok(()),
        ];
        let sorted = PublishResults::sort(vec!["a", "b", "c", "d"], results);
        assert_eq!((sorted.accepted, sorted.refused), (vec!["b", "d"], vec!["a"]));
        assert_eq!(sorted.unpublishable, [("c", "too large".to_owned())]);
    }
}
