//! Pages of rows that are bounded by bytes as well as by number.

use futures::{Stream, TryStreamExt};
use serde_json::Value;

/// Bytes of users' content after which a page ends.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A page of rows.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Rows, at least one if there are any.
    pub rows: Vec<T>,
    /// `true` if more rows may follow.
    pub is_full: bool,
}

/// Collects at most `limit` rows of a query, until they have [`PAGE_BYTES`].
pub(super) async fn collect_page<T>(
    found: impl Stream<Item = Result<T, sqlx::Error>>,
    limit: i64,
    bytes_of: impl Fn(&T) -> usize,
) -> Result<Page<T>, sqlx::Error> {
    let mut found = std::pin::pin!(found);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.try_next().await? {
        bytes += bytes_of(&row);
        rows.push(row);
        if bytes >= PAGE_BYTES {
            return Ok(Page { rows, is_full: true });
        }
    }
    let is_full = i64::try_from(rows.len()).is_ok_and(|number| number >= limit);
    Ok(Page { rows, is_full })
}

/// Estimates the bytes that a value takes as JSON.
pub(super) fn bytes_of(value: &Value) -> usize {
    const PUNCTUATION: usize = 4;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => PUNCTUATION,
        Value::String(text) => PUNCTUATION + text.len(),
        Value::Array(values) => values.iter().map(bytes_of).sum::<usize>() + PUNCTUATION,
        Value::Object(fields) => {
            fields
                .iter()
                .map(|(name, value)| name.len() + bytes_of(value) + PUNCTUATION)
                .sum::<usize>()
                + PUNCTUATION
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn ends_pages_by_bytes_and_by_number() {
        let rows = |number: usize| stream::iter((0..number).map(Ok));
        let of = async |number, limit, bytes: usize| {
            let page = collect_page(rows(number), limit, |_| bytes).await.expect("read");
            (page.rows.len(), page.is_full)
        };
        assert_eq!(of(0, 10, 1).await, (0, false));
        assert_eq!(of(9, 10, 1).await, (9, false));
        assert_eq!(of(10, 10, 1).await, (10, true));
        assert_eq!(of(10, 10, PAGE_BYTES / 2).await, (2, true));
        assert_eq!(of(10, 10, PAGE_BYTES + 1).await, (1, true));
    }

    #[test]
    fn estimates_bytes_of_json() {
        let value = serde_json::json!({
            "message": "x".repeat(1_000), "exdates": ["2026-01-01T00:00:00"], "urgent": null,
        });
        let (reckoned, written) = (bytes_of(&value), value.to_string().len());
        assert!(reckoned.abs_diff(written) < 40, "{reckoned} {written}");
    }
}
