//! Help texts of the metrics of event-service.

use service::telemetry::Metric;

/// Metrics that this service records, beside those of every service.
pub(crate) const METRICS: &[Metric] = &[
    Metric::gauge(
        "reminders_backlog",
        "Due occurrences that are not released; counted up to 10000",
    ),
    Metric::counter(
        "reminders_backlog_query_failures_total",
        "Failed readings of the backlog, the oldest ages and the queue lengths, by source",
    ),
    Metric::counter(
        "reminders_catalogue_partitions_dropped_total",
        "Weeks of the event catalogue deleted after their retention",
    ),
    Metric::counter("reminders_erasure_failures_total", "Erasures that failed and are retried"),
    Metric::counter("reminders_erasures_completed_total", "Erasures whose rows are all deleted"),
    Metric::counter("reminders_events_applied_total", "Events applied for the first time"),
    Metric::histogram(
        "reminders_events_batch_duration_seconds",
        "Duration of handling a batch of events",
    ),
    Metric::counter(
        "reminders_events_of_erased_users_total",
        "Events dropped because their user was erased after them",
    ),
    Metric::counter(
        "reminders_occurrences_reconciled_total",
        "Released occurrences without an outcome for which reconciliation was requested",
    ),
    Metric::gauge(
        "reminders_occurrences_unsettled",
        "Released occurrences without an outcome after a first reconciliation",
    ),
    Metric::gauge(
        "reminders_oldest_erasure_seconds",
        "Age of the oldest erasure whose rows are not all deleted; 0 if there is none",
    ),
    Metric::gauge(
        "reminders_oldest_overdue_seconds",
        "Age of the oldest due occurrence that is not released; 0 if there is none",
    ),
    Metric::gauge("reminders_outbox_parked", "Rows that can never be published, by table"),
    Metric::gauge(
        "reminders_queue_messages",
        "Messages of a queue, by queue and state (visible, in_flight, dead)",
    ),
    Metric::counter(
        "reminders_unreadable_rows_total",
        "Stored rows that this version cannot read, by table",
    ),
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
