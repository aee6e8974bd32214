//! Ending or prolonging receipts.
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
use crate::bus::{Error, Receipt, Received, Settlement};

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
                Settlement::Reject(reason) => rejected.push((message, reason)),
            }
        }
        // One kind's failure leaves the others their chance.
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
            let entries = receipts.iter().enumerate().map(|(place, receipt)| {
                Delete::builder().id(place.to_string()).receipt_handle(&receipt.0).build()
            });
            let entries =
                entries.collect::<Result<Vec<_>, _>>().map_err(|error| malformed(DELETE, error))?;
            let call = self.sqs.delete_message_batch().queue_url(url).set_entries(Some(entries));
            let answer = call.send().await.map_err(|error| error::of(DELETE, error))?;
            Ok(entries_of(receipts.len(), answer.failed()))
        })
        .await
    }

    /// Hides receipts for so many seconds each.
    pub(super) async fn hide(&self, url: &str, receipts: Vec<(Receipt, i32)>) -> Result<(), Error> {
        batch::settle_all(HIDE, receipts, |receipts| async move {
            self.hide_call(url, &receipts).await.map(|it| it.0)
        })
        .await
    }

    /// One call; says of each receipt whether it is settled, and whether it was the message's own.
    pub(super) async fn hide_call(
        &self,
        url: &str,
        receipts: &[(Receipt, i32)],
    ) -> Result<(Vec<Entry>, Vec<bool>), Error> {
        let entries = receipts.iter().enumerate().map(|(place, (receipt, seconds))| {
            Hide::builder()
                .id(place.to_string())
                .receipt_handle(&receipt.0)
                .visibility_timeout(*seconds)
                .build()
        });
        let entries =
            entries.collect::<Result<Vec<_>, _>>().map_err(|error| malformed(HIDE, error))?;
        let call =
            self.sqs.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| error::of(HIDE, error))?;
        let mut held = vec![false; receipts.len()];
        for it in answer.successful() {
            if let Some(held) = held.get_mut(position(it.id())) {
                *held = true;
            }
        }
        Ok((entries_of(receipts.len(), answer.failed()), held))
    }
}

/// What an answer says of each entry; a receipt that is stale needs nothing more.
fn entries_of(number: usize, failed: &[BatchResultErrorEntry]) -> Vec<Entry> {
    let mut entries = vec![Entry::Settled; number];
    for it in failed.iter().filter(|it| !is_stale(it.code())) {
        if let Some(entry) = entries.get_mut(position(it.id())) {
            *entry = Entry::Failed;
        }
    }
    entries
}

/// The message was received again since, deleted, or is visible again.
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
