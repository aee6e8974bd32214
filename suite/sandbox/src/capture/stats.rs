//! Counts since the start or the last `clear`.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::Serialize;

use super::{Attempt, Kind};

/// Number of distinct keys beyond which duplicates are no longer detected, so that memory is
/// bounded.
const MAX_KEYS: usize = 2_000_000;

/// Counts of messages, answers and tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Accepted messages by kind.
    pub accepted: BTreeMap<&'static str, u64>,
    /// Answers by kind and answer, such as `push` → `404 UNREGISTERED` → 3.
    pub answers: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Accepted messages that repeat an earlier one: the same token and collapse key, or the same
    /// recipients and `Message-ID`.
    pub duplicates: u64,
    /// Templated mails that were answered with an id and then not rendered, because a variable was
    /// missing.
    pub rendering_failures: u64,
    /// Number of requests for the account's sending quota.
    pub quotas_read: u64,
    /// Access tokens issued.
    pub oauth_refreshes: u64,
    /// Requests with a missing, unknown or expired access token.
    pub unauthenticated: u64,
}

/// Finds repeats.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashSet<u64>);

impl Repeats {
    /// Returns `true` if a message with this key arrived before.
    pub(super) fn is_repeat(&mut self, kind: &Kind) -> bool {
        let mut hasher = DefaultHasher::new();
        match kind {
            Kind::Push(push) => match &push.collapse_key {
                Some(key) => (&push.token, key).hash(&mut hasher),
                None => return false,
            },
            Kind::Email(email) => match email.headers.get("Message-ID") {
                Some(id) => (&email.to, id).hash(&mut hasher),
                None => return false,
            },
        }
        let hash = hasher.finish();
        if self.0.len() >= MAX_KEYS { self.0.contains(&hash) } else { !self.0.insert(hash) }
    }
}

impl Stats {
    pub(super) fn count_answer(&mut self, attempt: &Attempt) {
        let answers = self.answers.entry(attempt.kind).or_default();
        match answers.get_mut(&attempt.answer) {
            Some(count) => *count += 1,
            None => {
                answers.insert(attempt.answer.clone(), 1);
            }
        }
    }
}
