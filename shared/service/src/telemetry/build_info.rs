//! The metric `reminders_build_info`, recorded at each scrape, because the edition of the time zone
//! database can change while the process runs.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::VERSION;

static SERVICES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Adds a service that this process runs.
pub(super) fn add(service: &'static str) {
    SERVICES.lock().unwrap_or_else(PoisonError::into_inner).insert(service);
    record(time_zone::edition());
}

/// Records the version and the edition in use for each service.
pub(super) fn record(edition: &'static str) {
    for service in SERVICES.lock().unwrap_or_else(PoisonError::into_inner).iter().copied() {
        metrics::gauge!(
            "reminders_build_info",
            "version" => VERSION, "service" => service, "tzdata" => edition
        )
        .set(1.0);
    }
}

/// Removes the samples of editions that are no longer in use from the rendered metrics.
pub(super) fn without_earlier_editions(text: &str, edition: &str) -> String {
    let label = format!("tzdata=\"{edition}\"");
    let is_current =
        |line: &&str| !line.starts_with("reminders_build_info{") || line.contains(&label);
    text.split_inclusive('\n').filter(is_current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_samples_of_earlier_editions() {
        let sample = |edition| {
            format!("reminders_build_info{{service=\"a-service\",tzdata=\"{edition}\"}} 1\n")
        };
        let other = "# TYPE reminders_build_info gauge\nprocess_threads 2\n";
        let text = [other, &sample("2026f"), &sample("2027a")].concat();
        let expected = [other, &sample("2027a")].concat();
        assert_eq!(without_earlier_editions(&text, "2027a"), expected);
    }
}
