"""The suite as a whole: traffic, lateness, outcomes and backlogs."""

from panels import (
    HERE,
    SERVICES,
    count,
    dashboard,
    figure,
    heatmap,
    per_second,
    quantile,
    quantiles,
    selector,
    series,
    states,
)

BREAKER = {0: ("closed", "green"), 1: ("paused", "orange"), 2: ("open", "red")}
IN_TIME = [(None, "green"), (0.25, "orange"), (2.5, "red")]


def _health():
    alarms = f'count(ALERTS{{{HERE}, alertstate="firing"}}) or vector(0)'
    answering = f'sum(up{{{HERE}, job=~"{SERVICES}"}})'
    waiting = f"sum(namespace_job:reminders_outbox_messages:max{{{HERE}}})"
    promised = quantile(0.99, "reminders_delivery_lateness_seconds", labels='channel="push"')
    return [
        figure(
            "Alarms",
            alarms,
            steps=[(None, "green"), (1, "red")],
            about="Alarms that fire, of any severity.",
        ),
        figure("Processes that answer", answering),
        figure(
            "Accepted by providers", per_second("reminders_delivery_lateness_seconds_count"), "cps"
        ),
        figure(
            "Push, 99 % within", promised, "s", "From the due time to FCM's acceptance.", IN_TIME
        ),
        figure("Messages in outboxes", waiting, steps=[(None, "green"), (5000, "orange")]),
        figure(
            "Circuit breakers",
            f"max({selector('reminders_circuit_breaker_state')})",
            about="The worst state of all channels.",
            steps=[(None, "green"), (1, "orange"), (2, "red")],
            words={value: text for value, (text, _) in BREAKER.items()},
        ),
    ]


def _traffic():
    reminders = [
        (per_second(f"reminders_{what}_total"), what) for what in ("created", "updated", "deleted")
    ]
    due = [
        (per_second("reminders_scheduler_claimed_total"), "claimed"),
        (per_second("reminders_scheduler_released_total"), "released"),
        (per_second("reminders_scheduler_ended_total", "reason"), "ended: {{reason}}"),
    ]
    return [
        series(
            "Requests",
            [(per_second("reminders_http_request_duration_seconds_count", "job"), "{{job}}")],
            "reqps",
        ),
        series("Reminders", reminders, "cps"),
        series(
            "Due occurrences",
            due,
            "cps",
            "Occurrences that the scheduler claims, publishes, or ends without a send.",
        ),
    ]


def _lateness():
    late = "From the due time to the provider's acceptance."
    claimed = "From the due time to the scheduler's claim."
    # Prometheus 3 writes a whole bound with its decimal point.
    bounds = {
        'le="0.25"': "within 250 ms",
        'le=~"1|1.0"': "within 1 s",
        'le=~"30|30.0"': "within 30 s",
    }
    within = {
        bound: per_second("reminders_delivery_lateness_seconds_bucket", labels=bound)
        for bound in bounds
    }
    everything = per_second("reminders_delivery_lateness_seconds_count")
    shares = [(f"{within[bound]} / {everything}", name) for bound, name in bounds.items()]
    return [
        series(
            "Lateness of push",
            quantiles("reminders_delivery_lateness_seconds", labels='channel="push"'),
            "s",
            late,
            limit=0.25,
        ),
        series(
            "Lateness of e-mail",
            quantiles("reminders_delivery_lateness_seconds", labels='channel="email"'),
            "s",
            late,
            limit=2.5,
        ),
        series(
            "Lateness of claims", quantiles("reminders_scheduler_lateness_seconds"), "s", claimed
        ),
        heatmap("Lateness of push", "reminders_delivery_lateness_seconds", late, 'channel="push"'),
        series("Deliveries in time", shares, "percentunit", late, width=12),
    ]


def _outcomes():
    attempts = [
        (
            per_second("reminders_delivery_attempts_total", "channel, outcome"),
            "{{channel}} {{outcome}}",
        )
    ]
    ends = [(per_second("reminders_deliveries_total", "channel, state"), "{{channel}} {{state}}")]
    unsent = [
        (count("reminders_scheduler_ended_total", "reason"), "occurrence {{reason}}"),
        (count("reminders_deliveries_corrected_total", "reason"), "corrected: {{reason}}"),
    ]
    feedback = [(count("reminders_email_feedback_total", "kind"), "{{kind}}")]
    classes = (
        "Gone and rejected are final; throttled and unavailable are retried;"
        " misconfigured opens the circuit breaker."
    )
    return [
        series("Attempts by class", attempts, "cps", classes, stacked=True),
        series(
            "Deliveries by state",
            ends,
            "cps",
            "Pending: attempted, and waits for a retry.",
            stacked=True,
        ),
        states(
            "Circuit breakers",
            f"max by (channel) ({selector('reminders_circuit_breaker_state')})",
            "{{channel}}",
            BREAKER,
            "The worst state of all processes.",
            8,
        ),
        series(
            "Not sent, or corrected",
            unsent,
            about="Occurrences without a send; deliveries that failed after their acceptance.",
            width=12,
        ),
        series("Notices of SES", feedback, width=12),
    ]


def _backlog():
    published = [(f"namespace_job:outbox_published:rate5m{{{HERE}}}", "{{job}}")]
    moving = [
        (f"namespace_queue:messages_in:rate5m{{{HERE}}}", "into {{queue}}"),
        (f"namespace_queue:messages_out:rate5m{{{HERE}}}", "out of {{queue}}"),
    ]
    settled = [
        (
            count("reminders_consumer_messages_total", "queue, outcome", 'outcome!="done"'),
            "{{queue}} {{outcome}}",
        )
    ]
    repeated = [
        (count("reminders_scheduler_stale_total"), "published again"),
        (count("reminders_outcomes_stale_total"), "outcome after its lease expired"),
        (count("reminders_delivery_leases_expired_total", "channel"), "lease expired: {{channel}}"),
        (count("reminders_scheduler_leases_expired_total"), "lease expired: scheduler"),
    ]
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
    return [
        series(
            "Outbox: messages that wait",
            [(f"namespace_job:reminders_outbox_messages:max{{{HERE}}}", "{{job}}")],
        ),
        series("Outbox: published", published, "cps"),
        series("Queues", moving, "cps", "The queue grows while more messages go in than come out."),
        series(
            "Dead letters and returns",
            settled,
            about="Rejected: dead-lettered. Retry: returned to the queue.",
        ),
        series(
            "Dispatchers", dispatchers, about="Deliveries held in memory, and attempts in flight."
        ),
        series(
            "Repeats", repeated, about="Leases that expired, and the repetitions that followed."
        ),
    ]


def _database():
    failing = [
        (count("reminders_scheduler_database_failures_total"), "scheduler: queries failed"),
        (count("reminders_scheduler_publish_failures_total"), "scheduler: publications failed"),
        (
            count("reminders_consumer_batch_retries_total", labels='job="event-service"'),
            "event-service: batches retried",
        ),
    ]
    return [
        series("Failures", failing),
        series(
            "Claims",
            quantiles("reminders_scheduler_claim_duration_seconds"),
            "s",
            "One query that claims due occurrences.",
        ),
        series(
            "Batches of events",
            quantiles("reminders_events_batch_duration_seconds"),
            "s",
            "One transaction that applies a batch.",
        ),
    ]


def _budget():
    about = (
        "At a rate of 1, a budget lasts 30 days. 14.4 over an hour, and 6 over six hours,"
        " raise a critical alarm."
    )
    return [
        series(
            f"Burn rate over {window}",
            [(f"slo:burn_rate:{window}{{{HERE}}}", "{{slo}} {{job}}")],
            about=about,
            limit=limit,
        )
        for window, limit in (("1h", 14.4), ("6h", 6), ("3d", 1))
    ]


def _pods():
    cpu = [
        (
            f'sum by (pod) (rate(container_cpu_usage_seconds_total{{{HERE}, container!=""}}'
            "[$__rate_interval]))",
            "{{pod}}",
        )
    ]
    memory = [
        (f'sum by (pod) (container_memory_working_set_bytes{{{HERE}, container!=""}})', "{{pod}}")
    ]
    replicas = [
        (f"kube_deployment_status_replicas_available{{{HERE}}}", "{{deployment}}"),
        (
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{HERE}}}",
            "at most: {{horizontalpodautoscaler}}",
        ),
    ]
    return [
        series("CPU", cpu, about="Cores. From the kubelet; empty outside Kubernetes."),
        series(
            "Memory", memory, "bytes", "Working set. From the kubelet; empty outside Kubernetes."
        ),
        series("Replicas", replicas, about="From kube-state-metrics; empty outside Kubernetes."),
    ]


DASHBOARD = dashboard(
    "reminders-suite",
    "Reminders: suite",
    "Traffic, lateness, outcomes and backlogs of all services.",
    [
        ("Now", _health()),
        ("Traffic", _traffic()),
        ("Lateness", _lateness()),
        ("Outcomes", _outcomes()),
        ("Backlog and bus", _backlog()),
        ("Database", _database()),
        ("Error budgets", _budget()),
        ("Pods", _pods()),
    ],
)
