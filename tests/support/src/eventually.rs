//! Waiting until something holds, with a limit.

use std::{
    fmt::Debug,
    panic::Location,
    time::{Duration, Instant},
};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What a probe answers: `bool`, `Option` and `Result` do.
pub trait Probed {
    /// What is there once it holds.
    type Value;

    /// The value, or why it is not there yet.
    ///
    /// # Errors
    ///
    /// When it does not hold yet.
    fn probed(self) -> Result<Self::Value, String>;
}

impl Probed for bool {
    type Value = ();

    fn probed(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("it is still false".to_owned()) }
    }
}

impl<T> Probed for Option<T> {
    type Value = T;

    fn probed(self) -> Result<T, String> {
        self.ok_or_else(|| "it is still None".to_owned())
    }
}

impl<T, E: Debug> Probed for Result<T, E> {
    type Value = T;

    fn probed(self) -> Result<T, String> {
        self.map_err(|error| format!("last: {error:?}"))
    }
}

/// Asks `probe` again and again until it holds, and answers what it answered.
///
/// ```
/// # use std::time::Duration;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut rows = 0;
/// let found = support::eventually(Duration::from_secs(5), async || {
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
/// When it does not hold within `limit`: with the caller's place and the last answer.
#[track_caller]
pub fn eventually<P, F>(limit: Duration, probe: F) -> impl Future<Output = P::Value>
where
    P: Probed,
    F: AsyncFnMut() -> P,
{
    let caller = Location::caller();
    wait(limit, probe, caller)
}

async fn wait<P, F>(limit: Duration, mut probe: F, caller: &'static Location<'static>) -> P::Value
where
    P: Probed,
    F: AsyncFnMut() -> P,
{
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match probe().await.probed() {
            Ok(value) => return value,
            Err(why) if begun.elapsed() >= limit => {
                panic!("{caller}: did not hold within {limit:?}: {why}")
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
