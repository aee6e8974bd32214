#!/usr/bin/env python3
"""Queries a running Prometheus with every expression of the rules and the dashboards.

Prints the expressions that have no data.

    infra/monitoring/ask.py [--url http://localhost:9090] [--namespace compose] [--window 5m]

The exit status is 1 if Prometheus cannot parse or evaluate an expression. An expression without
data is not an error by itself: a counter appears with its first event, and only Kubernetes has
metrics of pods.
"""

import argparse
import json
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "k8s" / "components" / "monitoring" / "dashboards"


def asked(url, path, **query):
    """The data of an answer of Prometheus's API; its error as a text."""
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=30
        ) as answer:
            return json.load(answer)["data"], None
    except urllib.error.HTTPError as error:
        return None, json.load(error).get("error", str(error))


def of_dashboards(namespace, window):
    """Location and text of each expression of a dashboard, with its variables replaced.

    A dashboard with a choice of service yields its expressions for each service.
    """
    services = ("reminder-service", "event-service", "notification-service")
    for path in sorted(DASHBOARDS.glob("*.json")):
        content = json.loads(path.read_text())
        jobs = (
            services
            if any(choice["name"] == "job" for choice in content["templating"]["list"])
            else ("",)
        )
        for job in jobs:
            values = {"namespace": namespace, "job": job, "__rate_interval": window}
            for panel in content["panels"]:
                for target in panel.get("targets", []):
                    expr = re.sub(r"\$(\w+)", lambda name: values[name[1]], target["expr"])
                    yield (
                        f"{path.stem}{' ' + job if job else ''}: {panel['title']}"
                        f" [{target['legendFormat']}]",
                        expr,
                    )


def of_rules(url):
    """Location and text of each expression of a rule, from the server that loaded it."""
    groups, error = asked(url, "rules")
    if error:
        sys.exit(f"{url} does not tell its rules: {error}")
    for group in groups["groups"]:
        for rule in group["rules"]:
            if rule["health"] == "err":
                print(f"FAILS   rule {rule['name']}: {rule['lastError']}")
            yield (
                f"rule {rule['name']} ({rule['type']})",
                rule["query"],
                rule["type"] == "recording",
            )


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--url", default="http://localhost:9090", help="where Prometheus is")
    arguments.add_argument("--namespace", default="compose", help="the environment to ask for")
    arguments.add_argument(
        "--window", default="5m", help="what Grafana would put for $__rate_interval"
    )
    options = arguments.parse_args()
    wanted = [(place, expr) for place, expr, recording in of_rules(options.url) if recording]
    wanted += of_dashboards(options.namespace, options.window)
    failed, empty = 0, 0
    for place, expr in wanted:
        data, error = asked(options.url, "query", query=expr)
        if error:
            failed += 1
            print(f"FAILS   {place}: {error}\n        {expr}")
        elif not data["result"]:
            empty += 1
            print(f"nothing {place}")
    print(
        f"{len(wanted)} expressions: {len(wanted) - failed - empty} with data,"
        f" {empty} without, {failed} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
