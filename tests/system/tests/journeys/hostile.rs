//! Hostile users for some seconds. `make hostile` attacks for five minutes, and checks lateness as
//! well. Only on the postgres bus: the emulator of AWS needs minutes for messages that hostile
//! users create in seconds (`make hostile ARGS="--bus aws"`).

use std::time::Duration;

use system::{
    Bus,
    hostile::{self, Attackers},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protects_others_from_hostile_users() {
    let report =
        hostile::run(Bus::Postgres, Attackers::Several, Duration::from_secs(15), |_| {}).await;
    assert!(report.violations().is_empty(), "{:#?}\n{report}", report.violations());
}
