//! Deliveries in the ledger of a [`TestService`].

use contract::Channel;
use support::wait_until;

use super::{DueOccurrence, LIMIT, TestService};

impl TestService {
    /// Waits until a delivery of the occurrence has a state. Returns its reason and attempts.
    pub(crate) async fn wait_for_state(
        &self,
        due: &DueOccurrence,
        channel: Channel,
        state: &str,
    ) -> (Option<String>, i32) {
        wait_until(LIMIT, async || {
            let row: Option<(String, Option<String>, i32)> = sqlx::query_as(
                "select state, reason, attempts from deliveries
                 where occurrence_id = $1 and channel = $2",
            )
            .bind(due.id())
            .bind(channel.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| error.to_string())?;
            match row {
                Some((found, reason, attempts)) if found == state => Ok((reason, attempts)),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Waits until the push of the occurrence to one device has a state. Returns its reason.
    pub(crate) async fn wait_for_state_on_device(
        &self,
        due: &DueOccurrence,
        device: &str,
        state: &str,
    ) -> Option<String> {
        let device: uuid::Uuid = device.parse().expect("a device's id");
        wait_until(LIMIT, async || {
            let row: Option<(String, Option<String>)> = sqlx::query_as(
                "select state, reason from deliveries where occurrence_id = $1 and device_id = $2",
            )
            .bind(due.id())
            .bind(device)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| error.to_string())?;
            match row {
                Some((found, reason)) if found == state => Ok(reason),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Makes every retry due now.
    pub(crate) async fn make_retries_due(&self) {
        sqlx::query(
            "update deliveries set next_attempt_at = now()
             where state = 'pending' and attempts > 0 and next_attempt_at > now()",
        )
        .execute(&self.pool)
        .await
        .expect("hurried");
    }

    /// Waits until the queue of due occurrences is empty.
    pub(crate) async fn wait_until_consumed(&self) {
        wait_until(LIMIT, async || {
            self.bus
                .depth("notification-queue")
                .await
                .is_ok_and(|depth| depth.visible + depth.in_flight == 0)
        })
        .await;
    }

    /// Counts the deliveries in a state.
    pub(crate) async fn count_in_state(&self, state: &str) -> i64 {
        let count =
            sqlx::query_scalar("select count(*) from deliveries where state = $1").bind(state);
        count.fetch_one(&self.pool).await.expect("counted")
    }

    /// Counts the pending deliveries that have a reason: they were attempted, or postponed because
    /// of another attempt.
    pub(crate) async fn count_attempted(&self) -> i64 {
        let count = sqlx::query_scalar(
            "select count(*) from deliveries where state = 'pending' and reason is not null",
        );
        count.fetch_one(&self.pool).await.expect("counted")
    }

    /// Returns the stored number of e-mails left of the daily quota.
    pub(crate) async fn day_left(&self) -> Option<i64> {
        let left = sqlx::query_scalar("select day_left from send_budgets where channel = 'email'");
        left.fetch_one(&self.pool).await.expect("a row")
    }
}
