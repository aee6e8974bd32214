//! Splits entries into calls of at most ten, and retries entries that fail within a successful
//! call.

use std::future::Future;

use futures::{StreamExt as _, stream};

use super::{ATTEMPTS, BATCH, CALLS, pause};
use crate::Error;

/// Result of one entry of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Done, or nothing is left to do.
    Settled,
    /// Not done; a retry may succeed.
    Failed,
}

/// Makes one call for each ten items, several concurrently; `call` returns a result for each item,
/// in order. Items that failed are retried a bounded number of times.
pub(super) async fn settle_all<T, F, C>(
    action: &'static str,
    items: Vec<T>,
    call: C,
) -> Result<(), Error>
where
    T: Clone + Send,
    C: Fn(Vec<T>) -> F + Sync,
    F: Future<Output = Result<Vec<Entry>, Error>> + Send,
{
    let call = &call;
    let chunks: Vec<Vec<T>> = items.chunks(BATCH).map(<[T]>::to_vec).collect();
    let settle = |chunk: Vec<T>| async move {
        let mut left = chunk;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                pause(attempt).await;
            }
            let entries = call(left.clone()).await?;
            left = left
                .into_iter()
                .zip(entries)
                .filter(|(_, entry)| *entry == Entry::Failed)
                .map(|(item, _)| item)
                .collect();
            if left.is_empty() {
                return Ok(());
            }
        }
        let problem = format!("{} entries failed {ATTEMPTS} times", left.len());
        Err(Error::Unavailable { action, source: problem.into() })
    };
    let results: Vec<Result<(), Error>> =
        stream::iter(chunks.into_iter().map(settle)).buffer_unordered(CALLS).collect().await;
    results.into_iter().collect()
}

/// Position of an entry by its id.
pub(super) fn position(id: &str) -> usize {
    id.parse().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn retries_only_failed_items() {
        let calls = Mutex::new(Vec::new());
        let settled = settle_all("test", (0..13).collect(), |items: Vec<i32>| {
            let first = {
                let mut calls = calls.lock().unwrap();
                calls.push(items.clone());
                calls.iter().filter(|call| call.contains(&3)).count() == 1
            };
            let entries = items
                .iter()
                .map(|item| if *item == 3 && first { Entry::Failed } else { Entry::Settled });
            let entries = entries.collect();
            async move { Ok(entries) }
        });
        settled.await.unwrap();
        let calls = calls.into_inner().unwrap();
        assert_eq!(calls, [(0..10).collect::<Vec<_>>(), vec![10, 11, 12], vec![3]]);
    }

    #[tokio::test]
    async fn fails_after_all_attempts() {
        let settled = settle_all("test", vec![1], |_| async { Ok(vec![Entry::Failed]) }).await;
        assert!(matches!(settled, Err(Error::Unavailable { .. })));
    }
}
