//! Users who do everything at once that costs much, for some seconds. `make hostile` does it for
//! five minutes, and measures lateness, which a test does not. On the other bus that would measure
//! the emulator of AWS: it takes minutes for what the hostile user puts through it in seconds
//! (`make hostile ARGS="--bus aws"`).

use std::time::Duration;

use system::{
    Bus,
    hostile::{self, Attackers},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harms_nobody_else() {
    let report =
        hostile::run(Bus::Postgres, Attackers::Several, Duration::from_secs(15), |_| {}).await;
    assert!(report.broken().is_empty(), "{:#?}\n{report}", report.broken());
}
