#!/usr/bin/env python3
"""Generates the monitoring of Kubernetes: rules as PrometheusRules, dashboards as JSON.

    infra/monitoring/generate.py            write k8s/components/monitoring/{rules,dashboards}
    infra/monitoring/generate.py --check    only report changes; exit status 1 if there are any

The source of the rules is infra/monitoring/rules, in Prometheus's own format; a PrometheusRule is
the same text below `spec`. The source of the dashboards is infra/monitoring/dashboards; compose
mounts the same JSON as Kubernetes.
"""

import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "k8s" / "components" / "monitoring"
NOTE = (
    "# Written by infra/monitoring/generate.py from infra/monitoring/rules/{name};"
    " change it there.\n"
)
HEAD = """apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {name}
  labels:
    app.kubernetes.io/part-of: reminders
spec:
"""

sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE / "dashboards"))


def rules():
    """Each file of rules as a PrometheusRule, by its path."""
    for source in sorted((HERE / "rules").glob("*.yml")):
        lines = source.read_text().splitlines(keepends=True)
        begin = next(place for place, line in enumerate(lines) if line.startswith("groups:"))
        body = "".join(f"  {line}" if line.strip() else line for line in lines[begin:])
        text = (
            NOTE.format(name=source.name)
            + "".join(lines[:begin])
            + HEAD.format(name=source.stem)
            + body
        )
        yield TARGET / "rules" / f"{source.stem}.yaml", text


def dashboards():
    """Each dashboard as JSON, by its path."""
    import rest
    import services
    import suite

    known = {"suite": suite.DASHBOARD, "rest": rest.DASHBOARD, **services.DASHBOARDS}
    for name, content in known.items():
        yield (
            TARGET / "dashboards" / f"{name}.json",
            json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        )


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 if something is not as generated",
    )
    check = arguments.parse_args().check
    wanted = dict([*rules(), *dashboards()])
    known = {*(TARGET / "rules").glob("*.yaml"), *(TARGET / "dashboards").glob("*.json")}
    changed = [
        path for path, text in wanted.items() if not path.exists() or path.read_text() != text
    ]
    surplus = sorted(known - wanted.keys())
    for path in changed + surplus:
        print(
            f"{'differs' if check else 'written' if path in wanted else 'removed'}:"
            f" {path.relative_to(HERE.parents[1])}"
        )
    if check:
        return 1 if changed or surplus else 0
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
    for path in surplus:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
