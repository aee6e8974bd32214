//! Waiting for a condition, with a limit.

use std::{
    fmt::Debug,
    panic::Location,
    time::{Duration, Instant},
};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Result of one look at a condition: `bool`, `Option` or `Result`.
pub trait Condition {
    /// Value that is there once the condition holds.
    type Value;

    /// Returns the value, or the reason why it is not there yet.
    ///
    /// # Errors
    ///
    /// If the condition does not hold yet.
    fn met(self) -> Result<Self::Value, String>;
}

impl Condition for bool {
    type Value = ();

    fn met(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("the condition is still false".to_owned()) }
    }
}

impl<T> Condition for Option<T> {
    type Value = T;

    fn met(self) -> Result<T, String> {
        self.ok_or_else(|| "the value is still None".to_owned())
    }
}

impl<T, E: Debug> Condition for Result<T, E> {
    type Value = T;

    fn met(self) -> Result<T, String> {
        self.map_err(|error| format!("last: {error:?}"))
    }
}

/// Evaluates `condition` again and again until it is met, and returns its value.
///
/// ```
/// # use std::time::Duration;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut rows = 0;
/// let found = support::wait_until(Duration::from_secs(5), async || {
///     rows += 1;
///     if rows >= 3 { Ok(rows) } else { Err(format!("{rows} rows")) }
/// })
/// .await;
/// assert_eq!(found, 3);
/// # });
/// ```
///
/// # Panics
///
/// If it is not met within `limit`: with the caller's location and the last result.
#[track_caller]
pub fn wait_until<C, F>(limit: Duration, condition: F) -> impl Future<Output = C::Value>
where
    C: Condition,
    F: AsyncFnMut() -> C,
{
    let caller = Location::caller();
    wait(limit, condition, caller)
}

async fn wait<C, F>(
    limit: Duration,
    mut condition: F,
    caller: &'static Location<'static>,
) -> C::Value
where
    C: Condition,
    F: AsyncFnMut() -> C,
{
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match condition().await.met() {
            Ok(value) => return value,
            Err(reason) if started.elapsed() >= limit => {
                panic!("{caller}: not met within {limit:?}: {reason}")
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
