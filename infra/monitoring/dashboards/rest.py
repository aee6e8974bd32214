"""The REST APIs, by service and route."""

from panels import (
    HERE,
    choice,
    count,
    dashboard,
    figure,
    heatmap,
    per_second,
    quantile,
    quantiles,
    series,
)

LATENCY = "reminders_http_request_duration_seconds"
API = 'job="$job"'
OK_OR_NOT = [(None, "green"), (0.001, "orange"), (0.01, "red")]


def _share(status):
    """The share of all requests with such a status; none without requests."""
    asked = per_second(f"{LATENCY}_count", labels=API)
    return f"({per_second(f'{LATENCY}_count', labels=f'{API}, {status}')} or 0 * {asked}) / {asked}"


def _now():
    within = quantile(0.99, LATENCY, labels=API)
    return [
        figure("Requests", per_second(f"{LATENCY}_count", labels=API), "reqps", width=6),
        figure(
            "Our errors",
            _share('status=~"5.."'),
            "percentunit",
            "Share of requests that are answered with a 5xx.",
            OK_OR_NOT,
            width=6,
        ),
        figure(
            "99 % within",
            within,
            "s",
            steps=[(None, "green"), (0.5, "orange"), (1, "red")],
            width=6,
        ),
        figure("Burn rate over 1h", f'slo:burn_rate:1h{{{HERE}, slo="rest", {API}}}', width=6),
    ]


def _requests():
    return [
        series(
            "By route",
            [(per_second(f"{LATENCY}_count", "method, route", API), "{{method}} {{route}}")],
            "reqps",
            width=12,
        ),
        series(
            "By status",
            [(per_second(f"{LATENCY}_count", "status", API), "{{status}}")],
            "reqps",
            width=12,
            stacked=True,
        ),
    ]


def _latency():
    routes = [(quantile(0.99, LATENCY, "method, route", API), "{{method}} {{route}}")]
    return [
        series("All requests", quantiles(LATENCY, labels=API), "s"),
        series("99 % of each route within", routes, "s"),
        heatmap("All requests", LATENCY, labels=API, width=8),
    ]


def _errors():
    failed = [
        (
            count(f"{LATENCY}_count", "method, route, status", f'{API}, status=~"5.."'),
            "{{status}} {{method}} {{route}}",
        )
    ]
    refused = [
        (
            count(f"{LATENCY}_count", "method, route, status", f'{API}, status=~"4.."'),
            "{{status}} {{method}} {{route}}",
        )
    ]
    return [
        series(
            "Server errors (5xx)",
            failed,
            about="The log line with the request id has the chain of causes.",
            width=12,
        ),
        series("Client errors (4xx)", refused, width=12),
    ]


DASHBOARD = dashboard(
    "reminders-rest",
    "Reminders: REST",
    "Requests, answers and latency of one API.",
    [("Now", _now()), ("Requests", _requests()), ("Latency", _latency()), ("Errors", _errors())],
    [choice("job", "Service", f"label_values({LATENCY}_count{{{HERE}}}, job)")],
)
