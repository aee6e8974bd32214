"""Dashboards fit Grafana's schema, are as generated, and are mounted by compose."""

import json

import pytest
import yaml

from conftest import ROOT, run
from monitoring.dashboards import FOLDER, dashboards, targets
from monitoring.grafana import faults

NAMES = sorted(dashboards())
GRAFANA = ROOT / "infra/monitoring/grafana"


def test_everything_is_as_generated():
    run(ROOT / "infra/monitoring/generate.py", "--check")


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_fits_grafanas_schema(name):
    assert not faults(dashboards()[name])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda panel: panel.update(tittle="x"),
        lambda panel: panel.update(type="timeserie"),
        lambda panel: panel["options"].update(tooltips={}),
        lambda panel: panel["options"]["legend"].update(placement="left"),
        lambda panel: panel["fieldConfig"]["defaults"]["custom"].update(showPoints="rarely"),
        lambda panel: panel["fieldConfig"]["defaults"].update(min="0"),
        lambda panel: panel["targets"][0].update(expresion="up"),
        lambda panel: panel["gridPos"].update(w="8"),
    ],
)
def test_what_does_not_fit_is_found(spoil):
    content = json.loads(json.dumps(dashboards()["suite"]))
    spoil(next(panel for panel in content["panels"] if panel["type"] == "timeseries"))
    assert faults(content)


def test_each_has_an_address_and_a_title_of_its_own():
    for key in ("uid", "title"):
        assert len({content[key] for content in dashboards().values()}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_their_places_and_say_what_they_show(name):
    panels = dashboards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"] and (panel["type"] == "row" or panel["targets"])


@pytest.mark.parametrize("name", NAMES)
def test_queries_ask_for_one_environment_of_the_chosen_source(name):
    for panel, target in targets(dashboards()[name]):
        assert (
            panel["datasource"]
            == target["datasource"]
            == {"type": "prometheus", "uid": "${datasource}"}
        )
        assert 'namespace="$namespace"' in target["expr"], panel["title"]


def test_prometheus_can_read_every_query(tmp_path):
    read = [
        {"record": f"q{place}", "expr": target["expr"].replace("$__rate_interval", "5m")}
        for content in dashboards().values()
        for place, (_, target) in enumerate(targets(content))
    ]
    names = [{**rule, "record": f"query{place}"} for place, rule in enumerate(read)]
    (tmp_path / "queries.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "queries", "rules": names}]})
    )
    run("promtool", "check", "rules", tmp_path / "queries.yml")


def test_compose_gives_grafana_its_source_and_the_dashboards():
    grafana = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["grafana"]
    ours = [mount.split(":") for mount in grafana["volumes"] if mount.startswith(".")]
    mounts = {target: (ROOT / source).resolve() for source, target, _ in ours}
    assert mounts["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/reminders.yml").read_text())[
        "providers"
    ][0]
    assert mounts[provider["options"]["path"]] == FOLDER
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ][0]
    assert source["url"] == "http://prometheus:9090" and source["isDefault"]
    scraped = yaml.safe_load((ROOT / "infra/monitoring/prometheus.yml").read_text())["global"][
        "scrape_interval"
    ]
    assert source["jsonData"]["timeInterval"] == scraped, "what $__rate_interval is made of"
