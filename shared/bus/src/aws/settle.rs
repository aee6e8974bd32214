//! Settles and extends receipts.
//!
//! SQS itself fences: a receipt handle that a later receive has superseded deletes nothing, and
//! cannot be hidden.

use std::time::Duration;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry as Hide,
    DeleteMessageBatchRequestEntry as Delete,
};

use super::{
    AwsBus,
    batch::{self, Entry, position},
    error,
    receive::MAX_VISIBILITY,
    seconds,
};
use crate::{Error, Receipt, Received, Settlement};

const DELETE: &str = "remove messages from a queue";
const HIDE: &str = "change the visibility of messages";

impl AwsBus {
    pub(super) async fn settle_in(
        &self,
        queue: &str,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error> {
        let url = self.queue_url(queue).await?;
        let (mut done, mut later, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for (message, settlement) in settlements {
            match settlement {
                Settlement::Done => done.push(message.receipt),
                Settlement::RetryAfter(after) => {
                    later.push((message.receipt, seconds(after, MAX_VISIBILITY)))
                }
                Settlement::Reject(rejection) => rejected.push((message, rejection)),
            }
        }
        // A failure of one kind does not prevent the others.
        let results = [
            self.delete(&url, done).await,
            self.hide(&url, later).await,
            self.reject(queue, &url, rejected).await,
        ];
        results.into_iter().collect()
    }

    pub(super) async fn extend_in(
        &self,
        queue: &str,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error> {
        let visibility = seconds(visibility, MAX_VISIBILITY);
        let receipts = receipts.iter().map(|receipt| (receipt.clone(), visibility)).collect();
        self.hide(&self.queue_url(queue).await?, receipts).await
    }

    pub(super) async fn delete(&self, url: &str, receipts: Vec<Receipt>) -> Result<(), Error> {
        batch::settle_all(DELETE, receipts, |receipts| async move {
            let entries = receipts.iter().enumerate().map(|(index, receipt)| {
                Delete::builder().id(index.to_string()).receipt_handle(&receipt.0).build()
            });
            let entries =
                entries.collect::<Result<Vec<_>, _>>().map_err(|error| malformed(DELETE, error))?;
            let call = self.sqs.delete_message_batch().queue_url(url).set_entries(Some(entries));
            let answer = call.send().await.map_err(|error| error::classify(DELETE, error))?;
            Ok(entry_results(receipts.len(), answer.failed()))
        })
        .await
    }

    /// Hides each receipt for a number of seconds.
    pub(super) async fn hide(&self, url: &str, receipts: Vec<(Receipt, i32)>) -> Result<(), Error> {
        batch::settle_all(HIDE, receipts, |receipts| async move {
            self.hide_call(url, &receipts).await.map(|(entries, _)| entries)
        })
        .await
    }

    /// Makes one call; returns a result for each receipt, and whether the receipt was still valid.
    pub(super) async fn hide_call(
        &self,
        url: &str,
        receipts: &[(Receipt, i32)],
    ) -> Result<(Vec<Entry>, Vec<bool>), Error> {
        let entries = receipts.iter().enumerate().map(|(index, (receipt, seconds))| {
            Hide::builder()
                .id(index.to_string())
                .receipt_handle(&receipt.0)
                .visibility_timeout(*seconds)
                .build()
        });
        let entries =
            entries.collect::<Result<Vec<_>, _>>().map_err(|error| malformed(HIDE, error))?;
        let call =
            self.sqs.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| error::classify(HIDE, error))?;
        let mut are_valid = vec![false; receipts.len()];
        for entry in answer.successful() {
            if let Some(is_valid) = are_valid.get_mut(position(entry.id())) {
                *is_valid = true;
            }
        }
        Ok((entry_results(receipts.len(), answer.failed()), are_valid))
    }
}

/// Result of each entry of an answer; a stale receipt counts as settled.
fn entry_results(number: usize, failed: &[BatchResultErrorEntry]) -> Vec<Entry> {
    let mut entries = vec![Entry::Settled; number];
    for failure in failed.iter().filter(|failure| !is_stale(failure.code())) {
        if let Some(entry) = entries.get_mut(position(failure.id())) {
            *entry = Entry::Failed;
        }
    }
    entries
}

/// Returns whether a receipt is stale: its message was received again, deleted, or is visible
/// again.
fn is_stale(code: &str) -> bool {
    ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue", "InvalidIdFormat"]
        .iter()
        .any(|known| code.contains(known))
}

fn malformed(
    action: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Misconfigured { action, source: source.into() }
}
