//! Help texts of the metrics of reminder-service.

use service::telemetry::Metric;

/// Metrics that this service records, beside those of every service.
pub(crate) const METRICS: &[Metric] = &[
    Metric::counter("reminders_created_total", "Reminders created"),
    Metric::counter("reminders_deleted_total", "Reminders deleted by their users"),
    Metric::counter(
        "reminders_idempotency_keys_purged_total",
        "Idempotency keys deleted after 24 hours",
    ),
    Metric::counter(
        "reminders_outcome_requests_failed_total",
        "Requests for the outcomes of reminders that notification-service did not answer in time",
    ),
    Metric::counter(
        "reminders_updated_total",
        "Changes of reminders: edits, snoozes, acknowledgements and single occurrences",
    ),
    Metric::gauge(
        "reminders_zone_changes_age_seconds",
        "Time since all changes of users' zones were read; about 0 in a process that need not",
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
