//! Edition of the time zone database: logged at the start, and replaced while the process runs if
//! the machine gets a newer one.

use std::{sync::Once, thread, time::Duration};

/// Time between two looks at the machine's database, which read one line of a file.
const PERIOD: Duration = Duration::from_secs(60);

/// Logs the edition in use, and looks for newer ones as long as the process runs.
pub fn watch() {
    static WATCH: Once = Once::new();
    tracing::info!(tzdata = time_zone::edition(), "time zone database is in use");
    WATCH.call_once(|| {
        let started = thread::Builder::new().name("time-zones".to_owned()).spawn(|| {
            loop {
                thread::sleep(PERIOD);
                look();
            }
        });
        if let Err(error) = started {
            tracing::warn!(
                error = %error,
                "thread for the time zone database did not start, a newer edition needs a restart"
            );
        }
    });
}

fn look() {
    let previous = time_zone::edition();
    if let Some(edition) = time_zone::refresh() {
        tracing::info!(
            tzdata = edition,
            previous,
            "machine has a newer time zone database, it is used from now on"
        );
    }
}
