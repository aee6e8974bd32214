"""Each service by itself: its own work first, then what all have in common."""

from panels import HERE, count, dashboard, heatmap, per_second, quantiles, selector, series


def _common(job):
    """Rows that every service has: requests, the outbox, the database, the process."""
    of = f'job="{job}"'
    pods = f'pod=~".*{job}-.*", container!=""'
    rows = []
    if job != "notification-scheduler":
        served = [
            (
                per_second("reminders_http_request_duration_seconds_count", "status", of),
                "{{status}}",
            )
        ]
        rows.append(
            (
                "REST",
                [
                    series("Requests", served, "reqps", width=12, stacked=True),
                    series(
                        "Latency",
                        quantiles("reminders_http_request_duration_seconds", labels=of),
                        "s",
                        width=12,
                    ),
                ],
            )
        )
        moved = [
            (per_second("reminders_outbox_published_total", labels=of), "published"),
            (per_second("reminders_outbox_recovered_total", labels=of), "published by the recovery"),
        ]
        trouble = [
            (count("reminders_outbox_parked_total", labels=of), "parked"),
            (count("reminders_outbox_left_to_recovery_total", labels=of), "left to the recovery"),
            (
                count("reminders_outbox_backlogged_total", labels=of),
                "users that exceed their share",
            ),
            (
                f"max by (table) ({selector('reminders_outbox_parked', of)})",
                "parked rows: {{table}}",
            ),
        ]
        rows.append(
            (
                "Outbox",
                [
                    series(
                        "Messages that wait",
                        [(f"max({selector('reminders_outbox_messages', of)})", "rows")],
                    ),
                    series(
                        "Published",
                        moved,
                        "cps",
                        "The recovery publishes the messages that their own process did not.",
                    ),
                    series("Problems", trouble, about="Parked messages can never be published."),
                    series(
                        "Share of one user",
                        [(f"min({selector('reminders_outbox_pace', of)})", "messages a second")],
                        about="Falls below USER_EVENTS_PER_SECOND while the topic is slow.",
                    ),
                    series(
                        "Age of the oldest message",
                        [(f"max({selector('reminders_outbox_oldest_seconds', of)})", "oldest")],
                        "s",
                    ),
                ],
            )
        )
    connections = [
        (
            f"sum by (pool, state) ({selector('reminders_database_connections', of)})",
            "{{pool}} {{state}}",
        ),
        (
            f"sum by (pool) ({selector('reminders_database_connections_max', of)})",
            "{{pool}} largest number",
        ),
    ]
    acquired = quantiles("reminders_database_acquire_duration_seconds", "pool", of, (0.5, 0.99))
    rows.append(
        (
            "Database",
            [
                series(
                    "Connections",
                    connections,
                    about="All processes together, by pool; bus: the PostgreSQL of the bus.",
                    width=12,
                ),
                series(
                    "Waiting time for a connection",
                    acquired,
                    "s",
                    "Sampled every 5 seconds. Above 0, callers wait for a pool that is used up.",
                    width=12,
                ),
            ],
        )
    )
    panics = [
        (count("reminders_panics_total", labels=of), "panics"),
        (count("reminders_consumer_panics_total", labels=of), "of message handlers"),
    ]
    versions = [(f"count by (version) ({selector('reminders_build_info', of)})", "{{version}}")]
    used_cpu = [(per_second("process_cpu_seconds_total", "instance", of), "{{instance}}")]
    used_memory = [
        (
            f"sum by (instance) ({selector('process_resident_memory_bytes', of)})",
            "resident: {{instance}}",
        ),
        (
            f"sum by (instance) ({selector('process_virtual_memory_bytes', of)})",
            "virtual: {{instance}}",
        ),
    ]
    files = [
        (f"sum by (instance) ({selector('process_open_fds', of)})", "{{instance}}"),
        (f"min({selector('process_max_fds', of)})", "limit"),
    ]
    threads = [(f"sum by (instance) ({selector('process_threads', of)})", "{{instance}}")]
    uptime = [
        (
            f"time() - max by (instance) ({selector('process_start_time_seconds', of)})",
            "{{instance}}",
        )
    ]
    cpu = [
        (
            f"sum by (pod) (rate(container_cpu_usage_seconds_total{{{HERE}, {pods}}}"
            "[$__rate_interval]))",
            "{{pod}}",
        )
    ]
    memory = [(f"sum by (pod) (container_memory_working_set_bytes{{{HERE}, {pods}}})", "{{pod}}")]
    rows.append(
        (
            "Processes",
            [
                series("Processes that answer", [(f"sum({selector('up', of)})", "processes")]),
                series("Versions", versions, about="Number of processes of each version."),
                series("Panics", panics, about="Each ends one request, task or batch."),
                series("CPU", used_cpu, about="Cores used by the process."),
                series("Memory", used_memory, "bytes"),
                series("Open files", files, about="File descriptors, connections included."),
                series("Threads", threads),
                series("Uptime", uptime, "s"),
                series(
                    "CPU of the pod",
                    cpu,
                    about="Cores. From the kubelet; empty outside Kubernetes.",
                ),
                series(
                    "Memory of the pod",
                    memory,
                    "bytes",
                    "Working set. From the kubelet; empty outside Kubernetes.",
                ),
            ],
        )
    )
    return rows


def _reminder_service():
    changes = [
        (per_second(f"reminders_{what}_total"), what) for what in ("created", "updated", "deleted")
    ]
    of = 'job="reminder-service"'
    kept = [
        (count("reminders_users_erased_total", labels=of), "users erased"),
        (count("reminders_idempotency_keys_purged_total", labels=of), "idempotency keys purged"),
        (count("reminders_jwks_fetches_total", labels=of), "key sets of the token issuer fetched"),
    ]
    outcomes = [(count("reminders_outcome_requests_failed_total", labels=of), "not answered")]
    return [
        (
            "Reminders",
            [
                series("Changes", changes, "cps"),
                series("Erasure and purge", kept),
                series(
                    "Requests for outcomes",
                    outcomes,
                    about="Reminders are shown without lastOutcome while these fail.",
                ),
                series(
                    "Age of the changes of zones",
                    [(f"max({selector('reminders_zone_changes_age_seconds')})", "age")],
                    "s",
                    about="Floating reminders follow a change of a user's zone this late.",
                ),
            ],
        )
    ]


def _event_service():
    applied = [
        (per_second("reminders_events_applied_total"), "applied"),
        (per_second("reminders_events_of_erased_users_total"), "dropped, of erased users"),
    ]
    queue = [
        (
            per_second("reminders_consumer_messages_total", "outcome", 'job="event-service"'),
            "{{outcome}}",
        )
    ]
    trouble = [
        (
            count("reminders_consumer_batch_retries_total", labels='job="event-service"'),
            "batches retried",
        ),
        (
            count("reminders_consumer_batches_split_total", labels='job="event-service"'),
            "batches split",
        ),
        (
            count("reminders_dead_letters_purged_total", labels='job="event-service"'),
            "dead letters purged",
        ),
        (count("reminders_catalogue_partitions_dropped_total"), "weeks of the catalogue purged"),
        (count("reminders_erasures_completed_total"), "erasures completed"),
        (count("reminders_erasure_failures_total"), "erasures failed"),
        (count("reminders_backlog_query_failures_total", "of"), "failed readings: {{of}}"),
    ]
    unsettled = [
        (count("reminders_occurrences_reconciled_total"), "reconciliation requested"),
        (f"max({selector('reminders_occurrences_unsettled')})", "unsettled after a reconciliation"),
        (
            count("reminders_unreadable_rows_total", "table", 'job="event-service"'),
            "unreadable rows: {{table}}",
        ),
    ]
    overdue = [
        (f"max({selector('reminders_oldest_overdue_seconds')})", "oldest overdue occurrence"),
        (f"max({selector('reminders_oldest_erasure_seconds')})", "oldest unfinished erasure"),
    ]
    queues = [
        (f"max by (queue, state) ({selector('reminders_queue_messages')})", "{{queue}} {{state}}")
    ]
    return [
        (
            "Events",
            [
                series("Applied", applied, "cps", "A repeated event is not applied again."),
                series("Messages", queue, "cps", "Done, returned to the queue, or dead-lettered."),
                series("Retries and retention", trouble),
                series(
                    "Without an outcome",
                    unsettled,
                    about="Occurrences without an outcome an hour after their release: their "
                    "reconciliation with the ledger is requested.",
                ),
                series(
                    "Duration of a batch",
                    quantiles("reminders_events_batch_duration_seconds"),
                    "s",
                    width=12,
                ),
                heatmap("Duration of a batch", "reminders_events_batch_duration_seconds"),
            ],
        ),
        (
            "Signals",
            [
                series(
                    "Oldest",
                    overdue,
                    "s",
                    "Read from the tables, so that a scheduler that hangs is visible.",
                ),
                series(
                    "Backlog",
                    [(f"max({selector('reminders_backlog')})", "due, not released")],
                    about="Counted up to 10,000.",
                ),
                series(
                    "Queues", queues, about="Counts of the bus; dead: in the dead-letter queue."
                ),
            ],
        ),
    ]


def _scheduler():
    moved = [
        (per_second(f"reminders_scheduler_{what}_total"), what) for what in ("claimed", "released")
    ]
    moved += [(per_second("reminders_scheduler_ended_total", "reason"), "ended: {{reason}}")]
    unusual = [
        (count("reminders_scheduler_returned_total"), "lease released"),
        (count("reminders_scheduler_leases_expired_total"), "lease expired"),
        (count("reminders_scheduler_stale_total"), "published again"),
        (count("reminders_scheduler_settled_before_mark_total"), "outcome before the mark"),
        (count("reminders_scheduler_rate_limited_total"), "user exceeds the share"),
        (count("reminders_scheduler_orphans_total"), "notification deleted"),
        (count("reminders_scheduler_unreadable_total"), "unreadable, quarantined"),
    ]
    recurring = [
        (count("reminders_scheduler_series_invalid_total"), "unusable"),
        (
            count("reminders_scheduler_series_rescheduled_total"),
            "rescheduled after a change of the time zone data",
        ),
    ]
    failures = [
        (count("reminders_scheduler_database_failures_total"), "database"),
        (count("reminders_scheduler_publish_failures_total"), "topic"),
    ]
    commands = [(per_second("reminders_scheduler_commands_published_total"), "published")]
    return [
        (
            "Occurrences",
            [
                series("Due", moved, "cps"),
                series(
                    "Lateness of claims", quantiles("reminders_scheduler_lateness_seconds"), "s"
                ),
                heatmap("Lateness of claims", "reminders_scheduler_lateness_seconds", width=8),
                series(
                    "Duration of a claim",
                    quantiles("reminders_scheduler_claim_duration_seconds"),
                    "s",
                ),
                series("Exceptions", unusual),
                series("Failures", failures),
                series(
                    "Share of one user",
                    [(f"min({selector('reminders_scheduler_user_rate_limit')})", "releases a second")],
                    about="Falls below USER_RELEASES_PER_SECOND while the topic is slow.",
                ),
                series("Series", recurring, width=12),
                series(
                    "Commands",
                    commands,
                    "cps",
                    "Changes, deletions and erasures of occurrences that are released.",
                    width=12,
                ),
            ],
        )
    ]


def _notification_service():
    attempts = [
        (
            per_second("reminders_delivery_attempts_total", "channel, outcome"),
            "{{channel}} {{outcome}}",
        )
    ]
    ends = [(per_second("reminders_deliveries_total", "channel, state"), "{{channel}} {{state}}")]
    dispatchers = [
        (
            f"sum by (channel) ({selector('reminders_dispatcher_permits_used')})",
            "permits used: {{channel}}",
        ),
        (
            f"sum by (channel) ({selector('reminders_dispatcher_attempts_in_flight')})",
            "in flight: {{channel}}",
        ),
    ]
    again = [
        (count("reminders_delivery_retries_total", "channel"), "waits for a retry: {{channel}}"),
        (
            count("reminders_circuit_breaker_opened_total", "channel"),
            "circuit breaker opened: {{channel}}",
        ),
        (count("reminders_delivery_leases_expired_total", "channel"), "lease expired: {{channel}}"),
        (count("reminders_outcomes_stale_total"), "outcome after its lease expired"),
        (count("reminders_outcomes_republished_total"), "outcome republished"),
        (
            count("reminders_unreadable_rows_total", "table", 'job="notification-service"'),
            "unreadable rows: {{table}}",
        ),
        (count("reminders_outcomes_abandoned_total", "channel"), "outcome abandoned: {{channel}}"),
        (
            count("reminders_deliveries_recalled_total", "channel"),
            "recalled by a change: {{channel}}",
        ),
        (count("reminders_deliveries_early_total", "channel"), "early: {{channel}}"),
    ]
    breakers = [
        (
            f"max by (platform) ({selector('reminders_push_platform_circuit_breaker_open')})",
            "circuit breaker open: {{platform}}",
        ),
        (
            count("reminders_push_platform_circuit_breaker_opened_total", "platform"),
            "circuit breaker opened: {{platform}}",
        ),
        (
            f"sum by (channel) ({selector('reminders_addresses_paused')})",
            "paused addresses: {{channel}}",
        ),
    ]
    beyond = [(count("reminders_deliveries_postponed_total", "channel"), "postponed: {{channel}}")]
    quota = [
        (
            f"min by (channel) ({selector('reminders_provider_quota_remaining')})",
            "left in 24 hours: {{channel}}",
        )
    ]
    feedback = [
        (count("reminders_email_feedback_total", "kind"), "{{kind}}"),
        (count("reminders_deliveries_corrected_total", "reason"), "corrected: {{reason}}"),
    ]
    users = [
        (f"sum({selector('reminders_delivery_streams_open')})", "streams open"),
        (count("reminders_devices_registered_total", "type"), "registered: {{type}}"),
        (
            count("reminders_device_registrations_rejected_total"),
            "registrations refused: too many at the same time",
        ),
    ]
    of = 'job="notification-service"'
    kept = [
        (count("reminders_users_erased_total", labels=of), "users erased"),
        (count("reminders_dispatches_purged_total"), "old deliveries"),
        (count("reminders_revisions_purged_total"), "revisions whose occurrence never arrived"),
        (count("reminders_idempotency_keys_purged_total", labels=of), "idempotency keys"),
    ]
    return [
        (
            "Deliveries",
            [
                series("Attempts", attempts, "cps", stacked=True),
                series("States", ends, "cps", stacked=True),
                series(
                    "Dispatchers",
                    dispatchers,
                    about="Deliveries held in memory, and attempts in flight.",
                ),
                heatmap(
                    "Lateness of push",
                    "reminders_delivery_lateness_seconds",
                    labels='channel="push"',
                ),
                heatmap(
                    "Lateness of e-mail",
                    "reminders_delivery_lateness_seconds",
                    labels='channel="email"',
                ),
                series("Retries and exceptions", again),
                series(
                    "Messages",
                    [
                        (
                            per_second("reminders_consumer_messages_total", "queue, outcome", of),
                            "{{queue}} {{outcome}}",
                        )
                    ],
                    "cps",
                ),
                series(
                    "Notices of SES",
                    feedback,
                    about="Bounces, complaints and failures of e-mails that SES had accepted.",
                ),
                series(
                    "Refused or throttled",
                    breakers,
                    about="Platforms whose circuit breaker is open, and addresses that are paused.",
                ),
                series("Quota", quota),
                series(
                    "Postponed for a user's share",
                    beyond,
                    about="Deliveries postponed because their user had used the minute's share.",
                ),
            ],
        ),
        (
            "Users",
            [
                series("Streams and devices", users, width=12),
                series("Erasure and purge", kept, width=12),
            ],
        ),
    ]


def _of(job, about, rows):
    return dashboard(f"reminders-{job}", f"Reminders: {job}", about, rows + _common(job))


DASHBOARDS = {
    "reminder-service": _of("reminder-service", "REST API of reminders.", _reminder_service()),
    "event-service": _of(
        "event-service", "Events, and the occurrences that are due.", _event_service()
    ),
    "notification-scheduler": _of(
        "notification-scheduler", "Claims and publications of due occurrences.", _scheduler()
    ),
    "notification-service": _of(
        "notification-service", "Deliveries to devices and mailboxes.", _notification_service()
    ),
}
