//! Entries in calls of at most ten, and those that failed within a successful call tried again,
//! each for itself.

use std::future::Future;

use futures::{StreamExt as _, stream};

use super::{ATTEMPTS, BATCH, CALLS, pause};
use crate::bus::Error;

/// What a call said of one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Done, or there is nothing to do any more.
    Settled,
    /// Not done; the same may succeed later.
    Failed,
}

/// Makes a call for each ten items, several at once; `call` answers for each item, in order. What
/// failed is called again, alone, a bounded number of times.
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
                .filter(|(_, it)| *it == Entry::Failed)
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

/// The position that an entry's id stands for.
pub(super) fn position(id: &str) -> usize {
    id.parse().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn only_what_failed_is_called_again() {
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
    async fn it_gives_up_in_the_end() {
        let settled = settle_all("test", vec![1], |_| async { Ok(vec![Entry::Failed]) }).await;
        assert!(matches!(settled, Err(Error::Unavailable { .. })));
    }
}
