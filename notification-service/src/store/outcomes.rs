//! Outcomes of occurrences, read by their ids.

use std::collections::HashMap;

use contract::ReasonCode;
use db::StoredTime;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::payload;
use crate::domain::occurrence_outcome::Outcome;

/// Returns the outcomes of a user's occurrences. Those that are not in the ledger, and those of
/// other users, are left out. Reads the primary key of the ledger only.
///
/// # Errors
/// If the statement fails.
pub async fn of_occurrences(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Outcome>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select occurrence_id, state, reason, finished_at as "finished_at?: StoredTime"
           from deliveries where occurrence_id = any($1) and user_id = $2"#,
        ids,
        user_id,
    )
    .fetch_all(executor)
    .await?;
    let mut deliveries = HashMap::<Uuid, Vec<Outcome>>::new();
    for row in rows {
        let Ok(state) = row.state.parse() else {
            // A newer version of the service wrote it.
            payload::note("deliveries", row.occurrence_id);
            continue;
        };
        deliveries.entry(row.occurrence_id).or_default().push(Outcome {
            state,
            reason: row.reason.map(ReasonCode::stored),
            finished_at: row.finished_at.map(StoredTime::nearest),
        });
    }
    let outcomes = deliveries.into_iter().filter_map(|(id, all)| Some((id, Outcome::of_all(all)?)));
    Ok(outcomes.collect())
}
