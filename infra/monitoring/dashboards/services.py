"""Each service by itself: its own work first, then what all have in common."""

from panels import HERE, count, dashboard, heatmap, per_second, quantiles, selector, series


def _common(job):
    """What every process has: requests, an outbox, a pod."""
    of = f'job="{job}"'
    pods = f'pod=~".*{job}-.*", container!=""'
    rows = []
    if job != "notification-scheduler":
        served = [(per_second("reminders_http_request_duration_seconds_count", "status", of), "{{status}}")]
        rows.append(
            (
                "REST",
                [
                    series("Requests", served, "reqps", width=12, stacked=True),
                    series("Latency", quantiles("reminders_http_request_duration_seconds", labels=of), "s", width=12),
                ],
            )
        )
        moved = [
            (per_second("reminders_outbox_published_total", labels=of), "published"),
            (per_second("reminders_outbox_swept_total", labels=of), "taken by the sweep"),
        ]
        trouble = [
            (count("reminders_outbox_parked_total", labels=of), "parked"),
            (count("reminders_outbox_left_to_sweep_total", labels=of), "no room in memory"),
            (count("reminders_outbox_backlogged_total", labels=of), "users beyond their share"),
            (f"max by (table) ({selector('reminders_outbox_parked', of)})", "parked rows: {{table}}"),
        ]
        rows.append(
            (
                "Outbox",
                [
                    series("Waiting", [(f"max({selector('reminders_outbox_messages', of)})", "rows")]),
                    series("Published", moved, "cps", "The sweep takes what its writer could not publish, or died before."),
                    series("Trouble", trouble, about="Parked: can never be published."),
                    series(
                        "Share of one user",
                        [(f"min({selector('reminders_outbox_pace', of)})", "messages a second")],
                        about="Below USER_EVENTS_PER_SECOND while the topic is slow.",
                    ),
                    series("Age of the oldest", [(f"max({selector('reminders_outbox_oldest_seconds', of)})", "oldest")], "s"),
                ],
            )
        )
    panics = [
        (count("reminders_panics_total", labels=of), "panics"),
        (count("reminders_consumer_panics_total", labels=of), "of a batch"),
    ]
    cpu = [(f"sum by (pod) (rate(container_cpu_usage_seconds_total{{{HERE}, {pods}}}[$__rate_interval]))", "{{pod}}")]
    memory = [(f"sum by (pod) (container_memory_working_set_bytes{{{HERE}, {pods}}})", "{{pod}}")]
    rows.append(
        (
            "Processes",
            [
                series("Answering", [(f"sum({selector('up', of)})", "processes")]),
                series("Panics", panics, about="Each cost one request, task or batch."),
                series("CPU", cpu, about="Cores. From the kubelet; empty outside Kubernetes."),
                series("Memory", memory, "bytes", "Working set. From the kubelet; empty outside Kubernetes."),
            ],
        )
    )
    return rows


def _reminder_service():
    changes = [(per_second(f"reminders_{what}_total"), what) for what in ("created", "updated", "deleted")]
    of = 'job="reminder-service"'
    kept = [
        (count("reminders_users_erased_total", labels=of), "users erased"),
        (count("reminders_idempotency_keys_purged_total", labels=of), "idempotency keys forgotten"),
        (count("reminders_jwks_fetches_total", labels=of), "key sets fetched"),
    ]
    return [("Reminders", [series("Changes", changes, "cps", width=12), series("Erasure and housekeeping", kept, width=12)])]


def _event_service():
    applied = [
        (per_second("reminders_events_applied_total"), "applied"),
        (per_second("reminders_events_of_erased_users_total"), "of erased users, dropped"),
    ]
    queue = [(per_second("reminders_consumer_messages_total", "outcome", 'job="event-service"'), "{{outcome}}")]
    trouble = [
        (count("reminders_consumer_batch_retries_total", labels='job="event-service"'), "batches tried again"),
        (count("reminders_consumer_batches_split_total", labels='job="event-service"'), "batches split"),
        (count("reminders_dead_letters_purged_total", labels='job="event-service"'), "old dead letters purged"),
        (count("reminders_catalogue_partitions_dropped_total"), "old weeks dropped"),
        (count("reminders_erasures_completed_total"), "erasures complete"),
        (count("reminders_erasure_failures_total"), "erasures interrupted"),
        (count("reminders_backlog_query_failures_total", "of"), "figures not read: {{of}}"),
    ]
    unsettled = [
        (count("reminders_occurrences_reconciled_total"), "asked about"),
        (f"max({selector('reminders_occurrences_unsettled')})", "asked about in vain"),
        (count("reminders_unreadable_rows_total", "table", 'job="event-service"'), "unreadable rows: {{table}}"),
    ]
    overdue = [
        (f"max({selector('reminders_oldest_overdue_seconds')})", "oldest overdue occurrence"),
        (f"max({selector('reminders_oldest_erasure_seconds')})", "oldest unfinished erasure"),
    ]
    queues = [(f"max by (queue, state) ({selector('reminders_queue_messages')})", "{{queue}} {{state}}")]
    pools = [(f"sum by (pool, state) ({selector('reminders_database_connections')})", "{{pool}} {{state}}")]
    return [
        (
            "Events",
            [
                series("Applied", applied, "cps", "An event that came before is not applied again."),
                series("Messages", queue, "cps", "Done, back to the queue, or dead-lettered."),
                series("Retries and retention", trouble),
                series("Without an outcome", unsettled, about="Released, and no outcome for an hour: the ledger is asked."),
                series("A batch takes", quantiles("reminders_events_batch_duration_seconds"), "s", width=12),
                heatmap("A batch takes", "reminders_events_batch_duration_seconds"),
            ],
        ),
        (
            "Signals",
            [
                series("Oldest", overdue, "s", "Read from the tables: a scheduler that hangs shows here."),
                series("Backlog", [(f"max({selector('reminders_backlog')})", "due, not released")], about="Counting stops at 10,000."),
                series("Queues", queues, about="As the bus counts them; dead: in the dead-letter queue."),
                series("Connections", pools, width=12),
            ],
        ),
    ]


def _scheduler():
    moved = [(per_second(f"scheduler_{what}_total"), what) for what in ("claimed", "released")]
    moved += [(per_second("reminders_scheduler_ended_total", "reason"), "ended: {{reason}}")]
    unusual = [
        (count("reminders_scheduler_returned_total"), "given back"),
        (count("reminders_scheduler_leases_expired_total"), "lease lost"),
        (count("reminders_scheduler_stale_total"), "published again"),
        (count("reminders_scheduler_settled_before_mark_total"), "settled before the mark"),
        (count("reminders_scheduler_over_share_total"), "beyond a user's share"),
        (count("reminders_scheduler_orphans_total"), "of a notification that is gone"),
        (count("reminders_scheduler_unreadable_total"), "unreadable, set aside"),
    ]
    recurring = [
        (count("reminders_scheduler_series_invalid_total"), "broken"),
        (count("reminders_scheduler_series_rescheduled_total"), "moved to another edition of the zones"),
    ]
    failures = [
        (count("reminders_scheduler_database_failures_total"), "database"),
        (count("reminders_scheduler_publish_failures_total"), "topic"),
    ]
    commands = [(per_second("reminders_scheduler_commands_published_total"), "relayed")]
    return [
        (
            "Occurrences",
            [
                series("Due", moved, "cps"),
                series("Lateness of claims", quantiles("reminders_scheduler_lateness_seconds"), "s"),
                heatmap("Lateness of claims", "reminders_scheduler_lateness_seconds", width=8),
                series("A claim takes", quantiles("reminders_scheduler_claim_duration_seconds"), "s"),
                series("Out of the ordinary", unusual),
                series("Failures", failures),
                series(
                    "Share of one user",
                    [(f"min({selector('reminders_scheduler_pace')})", "releases a second")],
                    about="Below USER_RELEASES_PER_SECOND while the topic is slow.",
                ),
                series("Series", recurring, width=12),
                series("Commands", commands, "cps", "Changes, deletions and erasures for what was released already.", width=12),
            ],
        )
    ]


def _notification_service():
    attempts = [(per_second("reminders_delivery_attempts_total", "channel, outcome"), "{{channel}} {{outcome}}")]
    ends = [(per_second("reminders_deliveries_total", "channel, state"), "{{channel}} {{state}}")]
    lanes = [
        (f"sum by (channel) ({selector('reminders_dispatcher_permits_used')})", "places taken: {{channel}}"),
        (f"sum by (channel) ({selector('reminders_dispatcher_attempts_in_flight')})", "in flight: {{channel}}"),
    ]
    again = [
        (count("reminders_delivery_retries_total", "channel"), "to be tried again: {{channel}}"),
        (count("reminders_circuit_breaker_opened_total", "channel"), "lane stopped: {{channel}}"),
        (count("reminders_delivery_leases_expired_total", "channel"), "lease lost: {{channel}}"),
        (count("reminders_outcomes_stale_total"), "outcome after its lease"),
        (count("reminders_outcomes_republished_total"), "outcome told again"),
        (count("reminders_unreadable_rows_total", "table", 'job="notification-service"'), "unreadable rows: {{table}}"),
        (count("reminders_outcomes_abandoned_total", "channel"), "outcome given up: {{channel}}"),
        (count("reminders_deliveries_recalled_total", "channel"), "recalled by a change: {{channel}}"),
    ]
    breakers = [
        (f"max by (platform) ({selector('reminders_push_platform_circuit_breaker_open')})", "stopped: {{platform}}"),
        (count("reminders_push_platform_circuit_breaker_opened_total", "platform"), "stops: {{platform}}"),
        (f"sum by (channel) ({selector('reminders_addresses_paused')})", "paused addresses: {{channel}}"),
    ]
    beyond = [(count("reminders_deliveries_postponed_total", "channel"), "put off: {{channel}}")]
    quota = [(f"min by (channel) ({selector('reminders_provider_quota_remaining')})", "left in 24 hours: {{channel}}")]
    feedback = [(count("reminders_email_feedback_total", "kind"), "{{kind}}"), (count("reminders_deliveries_corrected_total", "reason"), "corrected: {{reason}}")]
    people = [
        (f"sum({selector('reminders_delivery_streams_open')})", "streams open"),
        (count("reminders_devices_registered_total", "type"), "registered: {{type}}"),
        (count("reminders_device_registrations_rejected_total"), "registrations refused: too many at once"),
    ]
    of = 'job="notification-service"'
    kept = [
        (count("reminders_users_erased_total", labels=of), "users erased"),
        (count("dispatches_forgotten_total"), "old deliveries"),
        (count("revisions_forgotten_total"), "revisions that nothing came for"),
        (count("reminders_idempotency_keys_purged_total", labels=of), "idempotency keys"),
    ]
    return [
        (
            "Deliveries",
            [
                series("Attempts", attempts, "cps", stacked=True),
                series("States", ends, "cps", stacked=True),
                series("In memory of the lanes", lanes),
                heatmap("Lateness of push", "reminders_delivery_lateness_seconds", labels='channel="push"'),
                heatmap("Lateness of e-mail", "reminders_delivery_lateness_seconds", labels='channel="email"'),
                series("Again", again),
                series("Messages", [(per_second("reminders_consumer_messages_total", "queue, outcome", of), "{{queue}} {{outcome}}")], "cps"),
                series("What SES says afterwards", feedback),
                series("Refused or throttled", breakers, about="What pauses by itself, and platforms that are stopped for all."),
                series("Quota", quota),
                series("Beyond a user's pace", beyond, about="Deliveries put off because their user had their share of the minute."),
            ],
        ),
        ("People", [series("Streams and devices", people, width=12), series("Erasure and housekeeping", kept, width=12)]),
    ]


def _of(job, about, rows):
    return dashboard(f"reminders-{job}", f"Reminders: {job}", about, rows + _common(job))


DASHBOARDS = {
    "reminder-service": _of("reminder-service", "What people ask for.", _reminder_service()),
    "event-service": _of("event-service", "What happened, and what is to be sent.", _event_service()),
    "notification-scheduler": _of("notification-scheduler", "What is due.", _scheduler()),
    "notification-service": _of("notification-service", "What reaches devices and mailboxes.", _notification_service()),
}
