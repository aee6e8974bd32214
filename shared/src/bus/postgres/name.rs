//! The name of a topic or queue behind an ARN or URL.

use crate::bus::Error;

/// What follows the queue's name in its dead-letter queue's.
pub(super) const DEAD_LETTERS: &str = "-dlq";

/// pgmq allows 47 characters in a queue's name; the dead-letter queue needs its suffix.
const MAX_LENGTH: usize = 47 - DEAD_LETTERS.len();

/// The last segment of an ARN (after `:`) or URL (after `/`), or the name as given; in lower case,
/// as pgmq names its tables. Only names that need no care in SQL and that pgmq takes: letters,
/// digits, `_` and single `-`.
pub(super) fn of(given: &str) -> Result<String, Error> {
    let name = given.rsplit([':', '/']).next().unwrap_or(given).to_ascii_lowercase();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain && !name.contains("--") && (1..=MAX_LENGTH).contains(&name.len()) {
        return Ok(name);
    }
    let problem = format!(
        "{name:?} is no name of a topic or queue: 1 to {MAX_LENGTH} letters, digits, underscores and single hyphens"
    );
    Err(Error::Misconfigured {
        action: "read the name of a topic or queue",
        source: problem.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_last_segment_is_the_name() {
        for given in [
            "event-queue",
            "Event-Queue",
            "arn:aws:sns:eu-west-1:000000000000:event-queue",
            "https://sqs.eu-west-1.amazonaws.com/000000000000/event-queue",
        ] {
            assert_eq!(of(given).unwrap(), "event-queue");
        }
    }

    #[test]
    fn what_is_no_plain_name_is_refused() {
        for given in ["", "a b", "a\"b", "a;b", "a--b", "https://host/", "ä", &"x".repeat(44)] {
            assert!(of(given).is_err(), "{given}");
        }
    }
}
