//! Name of a topic or queue, taken from an ARN or URL.

use crate::Error;

/// Suffix of the name of a dead-letter queue.
pub(super) const DEAD_LETTERS: &str = "-dlq";

/// Longest name of a queue: pgmq allows 47 characters, and the dead-letter queue has a suffix.
const MAX_LENGTH: usize = 47 - DEAD_LETTERS.len();

/// Returns the last segment of an ARN (after `:`) or URL (after `/`), or the name as given, in
/// lower case as in the table names of pgmq. Allows only letters, digits, `_` and single `-`: such
/// names need no quoting in SQL, and pgmq accepts them.
pub(super) fn of(given: &str) -> Result<String, Error> {
    let name = given.rsplit([':', '/']).next().unwrap_or(given).to_ascii_lowercase();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain && !name.contains("--") && (1..=MAX_LENGTH).contains(&name.len()) {
        return Ok(name);
    }
    let problem = format!(
        "{name:?} is not a name of a topic or queue: expected 1 to {MAX_LENGTH} letters, digits, \
         underscores and single hyphens"
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
    fn takes_last_segment_as_name() {
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
    fn refuses_name_with_other_characters() {
        for given in ["", "a b", "a\"b", "a;b", "a--b", "https://host/", "ä", &"x".repeat(44)] {
            assert!(of(given).is_err(), "{given}");
        }
    }
}
