//! Topics whose events are packed.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// Topics whose events are packed: `on`, `off`, or one of both for a topic (`event-topic=off`),
/// separated by commas. Packs are read in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    default: bool,
    /// Topics with a setting of their own, by name.
    topics: BTreeMap<String, bool>,
}

impl Packing {
    /// Returns whether the events of a topic, an ARN or a name, are packed.
    pub(super) fn packs(&self, topic: &str) -> bool {
        self.topics.get(&name(topic)).copied().unwrap_or(self.default)
    }
}

impl Default for Packing {
    fn default() -> Self {
        Self { default: true, topics: BTreeMap::new() }
    }
}

impl FromStr for Packing {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut packing = Self::default();
        for part in text.split(',').map(str::trim) {
            let (topic, word) = part.rsplit_once('=').map_or((None, part), |(topic, word)| {
                (Some(name(topic.trim())).filter(|name| !name.is_empty()), word.trim())
            });
            let is_on = match (word, part.contains('=') && topic.is_none()) {
                ("on", false) => true,
                ("off", false) => false,
                _ => return Err("expected on, off or topic=off, separated by commas"),
            };
            match topic {
                Some(topic) => drop(packing.topics.insert(topic, is_on)),
                None => packing.default = is_on,
            }
        }
        Ok(packing)
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |is_on| if is_on { "on" } else { "off" };
        f.write_str(word(self.default))?;
        self.topics.iter().try_for_each(|(topic, is_on)| write!(f, ",{topic}={}", word(*is_on)))
    }
}

/// Name of a topic in lower case: the last segment of an ARN.
fn name(topic: &str) -> String {
    topic.rsplit([':', '/']).next().unwrap_or(topic).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applies_to_all_topics_or_to_named_ones() {
        let packs = |text: &str, topic| text.parse::<Packing>().map(|packing| packing.packs(topic));
        let arn = "arn:aws:sns:eu-west-1:000000000000:Event-Topic";
        assert_eq!(packs("on", arn), Ok(true));
        assert_eq!(packs("off", arn), Ok(false));
        assert_eq!(packs("event-topic=off", arn), Ok(false));
        assert_eq!(packs("event-topic=off", "notification-topic"), Ok(true));
        assert_eq!(packs("off, notification-topic = on", "notification-topic"), Ok(true));
        assert_eq!(packs("off,notification-topic=on", arn), Ok(false));
        for malformed in ["", "yes", "=off", "event-topic", "event-topic=", "on,,off"] {
            assert!(packs(malformed, arn).is_err(), "{malformed}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["on", "off", "on,event-topic=off"] {
            assert_eq!(text.parse::<Packing>().unwrap().to_string(), text);
        }
    }
}
