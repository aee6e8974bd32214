//! Help texts of the metrics of notification-scheduler.

use service::telemetry::Metric;

/// Metrics that this service records, beside those of every service.
pub(crate) const METRICS: &[Metric] = &[
    Metric::histogram("reminders_scheduler_claim_duration_seconds", "Duration of a claim"),
    Metric::counter("reminders_scheduler_claimed_total", "Due occurrences claimed under a lease"),
    Metric::counter(
        "reminders_scheduler_commands_published_total",
        "Changes, deletions and erasures of released occurrences that were published",
    ),
    Metric::counter(
        "reminders_scheduler_database_failures_total",
        "Failed queries of the claim loop, each of which is retried",
    ),
    Metric::counter(
        "reminders_scheduler_ended_total",
        "Occurrences that ended without a send, by reason code",
    ),
    Metric::histogram(
        "reminders_scheduler_lateness_seconds",
        "Time from the due time of an occurrence to its claim",
    ),
    Metric::counter(
        "reminders_scheduler_leases_expired_total",
        "Claimed occurrences whose lease expired before they were published",
    ),
    Metric::counter(
        "reminders_scheduler_orphans_total",
        "Occurrences cancelled because their notification was deleted or erased",
    ),
    Metric::counter(
        "reminders_scheduler_rate_limited_total",
        "Claimed occurrences returned because their user exceeded their share",
    ),
    Metric::gauge(
        "reminders_scheduler_user_rate_limit",
        "Occurrences of one user released per second; falls while the topic is slow",
    ),
    Metric::counter(
        "reminders_scheduler_publish_failures_total",
        "Failed publications of a batch, each of which is retried",
    ),
    Metric::counter(
        "reminders_scheduler_released_total",
        "Occurrences published and marked as released",
    ),
    Metric::counter(
        "reminders_scheduler_returned_total",
        "Claimed occurrences whose lease was released before they were published",
    ),
    Metric::counter(
        "reminders_scheduler_series_invalid_total",
        "Series found with a rule or time zone that this version cannot use",
    ),
    Metric::counter(
        "reminders_scheduler_series_rescheduled_total",
        "Series rescheduled after a change of the time zone data",
    ),
    Metric::counter(
        "reminders_scheduler_settled_before_mark_total",
        "Occurrences whose outcome arrived before they were marked as released",
    ),
    Metric::counter(
        "reminders_scheduler_stale_total",
        "Published occurrences whose lease expired before the mark; they are published again",
    ),
    Metric::counter(
        "reminders_scheduler_unreadable_total",
        "Occurrences quarantined because this version cannot read them",
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
