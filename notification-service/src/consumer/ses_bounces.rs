//! Consumer of the queue of bounces, complaints and other notices of SES about e-mails that it had
//! accepted.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bus::{Received, Rejection, Settlement};
use contract::Reason;
use service::consumer::{
    Handler,
    isolation::{Attempt, Isolation, Outcome},
};

use crate::{
    domain::ses_notice::Notice,
    usecases::{Error, apply_ses_bounces::ApplySesBounces},
};

/// Number of times that a message about an unknown e-mail is received, and the pause in between:
/// SES may be faster than our record of what it accepted. After that the e-mail is not ours, or was
/// purged.
const MAX_RECEIVES: u32 = 5;
const RECEIVE_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Handler of the queue of SES's notices.
pub struct SesBounceHandler {
    /// Applies notices.
    pub apply: ApplySesBounces,
    /// Holds batches while the database is unreachable, and isolates messages that fail.
    pub isolation: Isolation,
}

/// Applies notices, and collects the ids of the e-mails that the ledger knows.
struct Apply<'a> {
    apply: &'a ApplySesBounces,
    known: Mutex<HashSet<String>>,
}

impl<'a> Attempt for Apply<'a> {
    type Item = &'a Notice;
    type Error = Error;

    async fn attempt(&self, notices: &[&'a Notice]) -> Result<(), Error> {
        let known = self.apply.apply(notices).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(known);
        Ok(())
    }
}

impl Handler for SesBounceHandler {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let read: Vec<_> = batch.iter().map(|message| Notice::read(&message.body)).collect();
        let notices: Vec<&Notice> = read.iter().flatten().collect();
        let apply = Apply { apply: &self.apply, known: Mutex::default() };
        let mut outcomes = self.isolation.apply(&apply, &notices).await.into_iter();
        let known = apply.known.into_inner().unwrap_or_else(PoisonError::into_inner);
        let settlements = batch.iter().zip(&read).map(|(message, read)| match read {
            Err(unreadable) => {
                Settlement::Reject(Rejection::new(Reason::Unreadable, unreadable.to_string()))
            }
            Ok(notice) => match outcomes.next() {
                Some(Outcome::Done) => settle(notice, &known, message.receive_count),
                Some(other) => other.settlement(message.receive_count),
                None => Settlement::RetryAfter(Duration::ZERO),
            },
        });
        settlements.collect()
    }
}

/// Returns how to settle a message whose notice was applied, given the e-mails that the ledger
/// knows.
fn settle(notice: &Notice, known: &HashSet<String>, receive_count: u32) -> Settlement {
    match &notice.correction {
        Some(correction)
            if !known.contains(&correction.provider_message_id) && receive_count < MAX_RECEIVES =>
        {
            return Settlement::RetryAfter(RECEIVE_AGAIN_AFTER);
        }
        _ => {}
    }
    metrics::counter!("reminders_email_feedback_total", "kind" => notice.kind.as_str())
        .increment(1);
    Settlement::Done
}
