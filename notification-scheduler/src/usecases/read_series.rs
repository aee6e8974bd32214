//! Reads recurring notifications, and evaluates their rules.

use tokio::task::spawn_blocking;

use super::Error;
use crate::{domain::next_occurrences::DecodedSeries, store::series::StoredSeries};

/// Number of claims up to which rules are evaluated on the current thread; more are evaluated on a
/// blocking thread.
const MAX_ON_THREAD: usize = 20;

/// Decodes recurring notifications. Those that this binary cannot read are logged.
pub(super) fn decode(rows: Vec<StoredSeries>) -> DecodedSeries {
    let mut decoded = DecodedSeries::default();
    for row in rows {
        let (id, version) = (row.id, row.version);
        match row.decode() {
            Ok(series) => {
                decoded.series.insert(id, series);
            }
            Err(error) => {
                // It was read before it was kept: by a newer version, or with zones that are not
                // known here.
                tracing::error!(
                    error = &*error,
                    notification.id = %id,
                    "recurrence rule is unusable by this version, the occurrence was quarantined"
                );
                decoded.unreadable.insert(id, version);
            }
        }
    }
    decoded
}

/// Runs the evaluation of the rules of a number of claims.
pub(super) async fn evaluate<T: Send + 'static>(
    claims: usize,
    action: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if claims <= MAX_ON_THREAD {
        Ok(work())
    } else {
        spawn_blocking(work).await.map_err(Error::of(action))
    }
}
