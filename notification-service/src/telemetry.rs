//! Help texts of the metrics of notification-service.

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}
use Kind::{Counter, Gauge, Histogram};

/// Every metric of the service, with its help text.
const METRICS: [(&str, Kind, &str); 25] = [
    (
        "reminders_deliveries_corrected_total",
        Counter,
        "Deliveries that failed after SES had accepted them, by reason",
    ),
    (
        "reminders_deliveries_total",
        Counter,
        "Deliveries that came to a state, by channel and state",
    ),
    (
        "reminders_delivery_attempts_total",
        Counter,
        "Requests to a provider for a delivery, by channel and class of the outcome",
    ),
    (
        "reminders_delivery_lateness_seconds",
        Histogram,
        "Time from when a delivery was due to its acceptance by the provider",
    ),
    (
        "reminders_delivery_leases_expired_total",
        Counter,
        "Claimed deliveries given back because too little of their lease was left",
    ),
    (
        "reminders_delivery_retries_total",
        Counter,
        "Attempts after which a delivery waits for another one, by channel",
    ),
    (
        "reminders_outcomes_stale_total",
        Counter,
        "Outcomes that came after another process had claimed the delivery",
    ),
    ("reminders_devices_registered_total", Counter, "Registrations of devices, by type"),
    (
        "reminders_email_feedback_total",
        Counter,
        "Notices of SES about e-mails that it had accepted, by kind",
    ),
    ("reminders_dispatcher_attempts_in_flight", Gauge, "Attempts under way, by channel"),
    ("reminders_dispatcher_permits_used", Gauge, "Deliveries in memory, by channel"),
    (
        "reminders_circuit_breaker_state",
        Gauge,
        "State of a channel: 0 sends, 1 throttled or without quota, 2 stopped",
    ),
    (
        "reminders_circuit_breaker_opened_total",
        Counter,
        "Times a channel stopped because the provider refused our account, key or settings",
    ),
    ("reminders_delivery_streams_open", Gauge, "Streams of deliveries that are open"),
    (
        "reminders_deliveries_postponed_total",
        Counter,
        "Claimed deliveries put off because their user had their share of the \
        channel",
    ),
    (
        "reminders_deliveries_recalled_total",
        Counter,
        "Claimed deliveries given back unsent because they were changed or taken back meanwhile",
    ),
    (
        "reminders_outcomes_republished_total",
        Counter,
        "Outcomes told again because event-service had not heard them",
    ),
    ("reminders_addresses_paused", Gauge, "Addresses that are paused or lately were, by channel"),
    (
        "reminders_push_platform_circuit_breaker_open",
        Gauge,
        "Whether pushes to a platform are stopped, by platform",
    ),
    (
        "reminders_push_platform_circuit_breaker_opened_total",
        Counter,
        "Times pushes to a platform were stopped because several users' \
        devices were refused",
    ),
    (
        "reminders_device_registrations_rejected_total",
        Counter,
        "Registrations refused because too many tokens were being checked",
    ),
    (
        "reminders_provider_quota_remaining",
        Gauge,
        "Messages left of the provider's quota of 24 hours, by channel",
    ),
    (
        "reminders_unreadable_rows_total",
        Counter,
        "Stored rows that this version of the service could not read, by table",
    ),
    (
        "reminders_outcomes_abandoned_total",
        Counter,
        "Outcomes that could not be recorded while others were, by channel",
    ),
    ("reminders_users_erased_total", Counter, "Users whose data was erased"),
];

/// Registers the help texts.
pub(crate) fn describe_metrics() {
    for (name, kind, help) in METRICS {
        match kind {
            Counter => metrics::describe_counter!(name, help),
            Gauge => metrics::describe_gauge!(name, help),
            Histogram => metrics::describe_histogram!(name, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Adds the names that the macros of counters, gauges and histograms are given in the source
    /// files below a folder.
    fn used(folder: &Path, names: &mut BTreeSet<(String, &'static str)>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                used(&path, names);
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file");
            for (call, kind) in
                [("counter", "Counter"), ("gauge", "Gauge"), ("histogram", "Histogram")]
            {
                let call = format!("metrics::{call}!(");
                let named = text
                    .split(&call)
                    .skip(1)
                    .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                names.extend(named.map(|name| (name.to_owned(), kind)));
            }
        }
    }

    #[test]
    fn describes_every_metric() {
        let mut names = BTreeSet::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
        let described: BTreeSet<_> = METRICS
            .iter()
            .map(|(name, kind, _)| ((*name).to_owned(), format!("{kind:?}")))
            .collect();
        let used: BTreeSet<_> =
            names.into_iter().map(|(name, kind)| (name, kind.to_owned())).collect();
        assert_eq!(used, described);
        assert!(METRICS.iter().all(|(_, _, help)| help.len() > 10 && !help.ends_with('.')));
    }
}
