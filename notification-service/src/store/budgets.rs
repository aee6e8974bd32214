//! Budgets of the providers, shared by every process that sends.

use std::time::Duration;

use shared::contract::Channel;
use sqlx::PgExecutor;

use super::interval;

/// A request for a part of a budget.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The channel of the budget.
    pub channel: Channel,
    /// Messages at the most.
    pub messages: i64,
    /// The time one message takes at the provider's rate, in seconds.
    pub seconds_each: f64,
    /// The part of the time that passed unused which may be made up for.
    pub burst: Duration,
    /// The longest time ahead of now at which a lease may begin.
    pub ahead: Duration,
    /// Messages of earlier leases that were not sent: they are given back to the day's quota.
    pub unused: i64,
}

/// The answer to a request for a part of a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leased {
    /// Messages; none where the budget is leased too far ahead, or the day's quota is used up.
    pub messages: i64,
    /// When the lease begins, in seconds from now; negative where it makes up for time that passed.
    pub begins_in: f64,
    /// Messages left of the day's quota, where there is one.
    pub day_left: Option<i64>,
}

/// Leases the next part of a channel's budget, and gives back what was not used of the day's quota.
/// `None` when the channel has no budget.
///
/// # Errors
/// When the statement fails.
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

/// Notes what the provider said is left of the day's quota; `None` where it has no such quota.
///
/// # Errors
/// When the statement fails.
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
