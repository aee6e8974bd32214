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
        "Changes of the state of deliveries, by channel and state",
    ),
    (
        "reminders_delivery_attempts_total",
        Counter,
        "Requests to a provider for a delivery, by channel and class of the outcome",
    ),
    (
        "reminders_delivery_lateness_seconds",
        Histogram,
        "Time from the due time of a delivery to its acceptance by the provider",
    ),
    (
        "reminders_delivery_leases_expired_total",
        Counter,
        "Claimed deliveries released because too little of their lease was left",
    ),
    (
        "reminders_delivery_retries_total",
        Counter,
        "Attempts after which a delivery is retried, by channel",
    ),
    (
        "reminders_outcomes_stale_total",
        Counter,
        "Results dropped because another process had claimed the delivery meanwhile",
    ),
    ("reminders_devices_registered_total", Counter, "Registrations of devices, by type"),
    (
        "reminders_email_feedback_total",
        Counter,
        "Notices of SES about e-mails that it had accepted, by kind",
    ),
    ("reminders_dispatcher_attempts_in_flight", Gauge, "Attempts in flight, by channel"),
    ("reminders_dispatcher_permits_used", Gauge, "Deliveries in memory, by channel"),
    (
        "reminders_circuit_breaker_state",
        Gauge,
        "State of a channel: 0 sending, 1 throttled or without quota, 2 stopped",
    ),
    (
        "reminders_circuit_breaker_opened_total",
        Counter,
        "Times the circuit breaker of a channel opened: account, key or settings refused",
    ),
    ("reminders_delivery_streams_open", Gauge, "Streams of deliveries that are open"),
    (
        "reminders_deliveries_postponed_total",
        Counter,
        "Claimed deliveries postponed because their user held their share of the permits",
    ),
    (
        "reminders_deliveries_recalled_total",
        Counter,
        "Claimed deliveries released unsent because they were revised or cancelled meanwhile",
    ),
    (
        "reminders_outcomes_republished_total",
        Counter,
        "Outcomes published again because event-service had not received them",
    ),
    (
        "reminders_addresses_paused",
        Gauge,
        "Addresses that are paused or were until lately, by channel",
    ),
    (
        "reminders_push_platform_circuit_breaker_open",
        Gauge,
        "1 if the circuit breaker of a platform is open, by platform",
    ),
    (
        "reminders_push_platform_circuit_breaker_opened_total",
        Counter,
        "Times the circuit breaker of a platform opened: devices of several users refused",
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
        "Results that could not be written while others were, by channel",
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
