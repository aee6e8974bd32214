//! Background task by which floating reminders follow the zones of their users.

use std::time::Duration;

use backoff::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::usecases::{Following, Resources, ZoneFollower};

/// Pause while the changes are read.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after failures. Shorter than the lease, so that the process that fails keeps it,
/// and its gauge shows for how long.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Pause while another process reads them, or there is no floating reminder.
const IDLE: Duration = Duration::from_secs(5);
/// Random share of a pause, so that processes that started together do not act together.
const JITTER: f64 = 0.2;

/// Follows the zones until the token is cancelled.
pub(crate) async fn run(resources: Resources, shutdown: CancellationToken) {
    if !resources.peers.knows_preferences() {
        return;
    }
    let mut follower = ZoneFollower::new(resources);
    let (backoff, mut failures) = (Backoff::new(PAUSE, LONGEST_PAUSE), 0);
    loop {
        let step = tokio::select! {
            step = follower.step() => step,
            () = shutdown.cancelled() => return,
        };
        let pause = match step {
            Ok(following) => {
                failures = 0;
                let pause = match following {
                    Following::Behind => Duration::ZERO,
                    Following::Current => PAUSE,
                    Following::Other | Following::Unneeded => IDLE,
                };
                pause.mul_f64(1.0 + rand::random_range(0.0..JITTER))
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "changes of users' zones were not applied, will retry"
                );
                backoff.jittered_pause(failures)
            }
        };
        metrics::gauge!("reminders_zone_changes_age_seconds").set(follower.age().as_secs_f64());
        tokio::select! {
            () = sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
