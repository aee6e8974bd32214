//! Help texts of the metrics of notification-service.

use service::telemetry::Metric;

/// Metrics that this service records, beside those of every service.
pub(crate) const METRICS: &[Metric] = &[
    Metric::gauge(
        "reminders_addresses_paused",
        "Addresses that are paused after a refusal, or lately were, by channel",
    ),
    Metric::counter(
        "reminders_circuit_breaker_opened_total",
        "Times a channel stopped because the provider refused its account, key or settings",
    ),
    Metric::gauge(
        "reminders_circuit_breaker_state",
        "State of a channel: 0 closed, 1 paused (throttled or without quota), 2 open",
    ),
    Metric::counter(
        "reminders_deliveries_corrected_total",
        "Deliveries that failed after SES had accepted them, by reason",
    ),
    Metric::counter(
        "reminders_deliveries_postponed_total",
        "Claimed deliveries postponed because their user had used their share of the channel",
    ),
    Metric::counter(
        "reminders_deliveries_recalled_total",
        "Claimed deliveries released unsent because they were changed or cancelled meanwhile",
    ),
    Metric::counter(
        "reminders_deliveries_early_total",
        "Attempts that began before their delivery was due, by channel: never",
    ),
    Metric::counter(
        "reminders_deliveries_total",
        "Deliveries that reached a state, by channel and state",
    ),
    Metric::counter(
        "reminders_delivery_attempts_total",
        "Requests to a provider for a delivery, by channel and class of the outcome",
    ),
    Metric::histogram(
        "reminders_delivery_lateness_seconds",
        "Time from the due time of a delivery to its acceptance by the provider, by channel",
    ),
    Metric::counter(
        "reminders_delivery_leases_expired_total",
        "Claimed deliveries released because too little of their lease was left, by channel",
    ),
    Metric::counter(
        "reminders_delivery_retries_total",
        "Attempts after which a delivery waits for another one, by channel",
    ),
    Metric::gauge("reminders_delivery_streams_open", "Open streams of deliveries"),
    Metric::counter(
        "reminders_device_registrations_rejected_total",
        "Registrations refused because too many tokens were being checked",
    ),
    Metric::counter("reminders_devices_registered_total", "Registrations of devices, by type"),
    Metric::gauge("reminders_dispatcher_attempts_in_flight", "Attempts in flight, by channel"),
    Metric::gauge(
        "reminders_dispatcher_permits_used",
        "Deliveries held in memory, each under a permit, by channel",
    ),
    Metric::counter(
        "reminders_dispatches_purged_total",
        "Dispatches deleted with their deliveries after their retention",
    ),
    Metric::counter(
        "reminders_email_feedback_total",
        "Notices of SES about e-mails that it had accepted, by kind",
    ),
    Metric::counter(
        "reminders_idempotency_keys_purged_total",
        "Idempotency keys deleted after 24 hours",
    ),
    Metric::counter(
        "reminders_outcomes_abandoned_total",
        "Outcomes that could not be recorded while others were, by channel",
    ),
    Metric::counter(
        "reminders_outcomes_republished_total",
        "Outcomes published again because event-service had not received them",
    ),
    Metric::counter(
        "reminders_outcomes_stale_total",
        "Outcomes that arrived after another process had claimed the delivery",
    ),
    Metric::gauge(
        "reminders_provider_quota_remaining",
        "Messages left of the provider's quota of 24 hours, by channel",
    ),
    Metric::gauge(
        "reminders_push_platform_circuit_breaker_open",
        "1 while pushes to a platform are stopped, by platform",
    ),
    Metric::counter(
        "reminders_push_platform_circuit_breaker_opened_total",
        "Times pushes to a platform were stopped because devices of several users were refused",
    ),
    Metric::counter(
        "reminders_revisions_purged_total",
        "Revisions deleted because their occurrence never arrived",
    ),
    Metric::counter(
        "reminders_unreadable_rows_total",
        "Stored rows that this version cannot read, by table",
    ),
    Metric::counter("reminders_users_erased_total", "Users whose data was erased"),
];

#[cfg(test)]
mod tests {
    use super::METRICS;

    #[test]
    fn describes_every_metric() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let described = METRICS.iter().map(|metric| (metric.name, format!("{:?}", metric.kind)));
        support::metrics::assert_described(&source, described);
    }
}
