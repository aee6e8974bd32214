//! Send budgets of the providers, which every process that sends shares.

use std::time::Duration;

use contract::Channel;
use sqlx::PgExecutor;

use super::interval;

/// Request for a lease of a budget.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Channel of the budget.
    pub channel: Channel,
    /// Most messages.
    pub messages: i64,
    /// Time of one message at the provider's rate, in seconds.
    pub seconds_each: f64,
    /// Longest unused time that may be made up for.
    pub burst: Duration,
    /// Longest time ahead of now at which the lease may begin.
    pub ahead: Duration,
    /// Messages of earlier leases that were not sent, which are returned to the day's quota.
    pub unused: i64,
}

/// Lease of a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leased {
    /// Messages; 0 if the budget is leased too far ahead, or the day's quota is used up.
    pub messages: i64,
    /// Begin of the lease, in seconds from now; negative if it makes up for unused time.
    pub begins_in: f64,
    /// Messages left of the day's quota, if there is one.
    pub day_left: Option<i64>,
}

/// Leases the next part of a channel's budget, and returns unused messages to the day's quota.
/// Returns `None` if the channel has no budget.
///
/// # Errors
/// If the statement fails.
pub async fn lease(
    executor: impl PgExecutor<'_>,
    wanted: Wanted,
) -> Result<Option<Leased>, sqlx::Error> {
    let row = sqlx::query!(
        r#"with budget as materialized (
               select channel, day_left + $6::bigint as day_left, clock_timestamp() as at,
                   greatest(leased_until, clock_timestamp() - $3::interval) as begins
               from send_budgets where channel = $1 for update
           ), given as materialized (
               select *, case when begins <= at + $5::interval then greatest(least($2, coalesce(day_left, $2)), 0)
                         else 0 end as messages
               from budget
           ), leased as (
               update send_budgets as b
               set leased_until = case when given.messages = 0 then b.leased_until
                                  else given.begins + make_interval(secs => given.messages * $4::float8) end,
                   day_left = given.day_left - given.messages
               from given
               where b.channel = given.channel and (given.messages > 0 or $6 > 0)
           )
           select messages as "messages!", extract(epoch from begins - at)::float8 as "begins_in!",
               day_left - messages as day_left
           from given"#,
        wanted.channel.as_str(),
        wanted.messages,
        interval(wanted.burst),
        wanted.seconds_each,
        interval(wanted.ahead),
        wanted.unused,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Leased {
        messages: row.messages,
        begins_in: row.begins_in,
        day_left: row.day_left,
    }))
}

/// Stores the messages that the provider reports as left of the day's quota; `None` if it has no
/// such quota.
///
/// # Errors
/// If the statement fails.
pub async fn note_day_left(
    executor: impl PgExecutor<'_>,
    channel: Channel,
    left: Option<i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update send_budgets set day_left = $2 where channel = $1",
        channel.as_str(),
        left
    )
    .execute(executor)
    .await?;
    Ok(())
}
