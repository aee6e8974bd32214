"""The pieces that the dashboards are made of: queries, panels, rows, and a dashboard around them.

A panel is Grafana's JSON without its position; `dashboard` puts rows of panels on the grid of 24
columns.
"""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
HERE = 'namespace="$namespace"'
SERVICES = "reminder-service|event-service|notification-scheduler|notification-service"


def selector(metric, labels=""):
    """A metric of the chosen environment; `labels` are further matchers."""
    return f"{metric}{{{HERE}{', ' + labels if labels else ''}}}"


def per_second(metric, by="", labels=""):
    """How fast a counter grows, over all replicas."""
    return f"sum by ({by}) (rate({selector(metric, labels)}[$__rate_interval]))"


def count(metric, by="", labels=""):
    """By how much a counter grew within the time between two points."""
    return f"sum by ({by}) (increase({selector(metric, labels)}[$__rate_interval]))"


def quantile(share, histogram, by="", labels=""):
    """A quantile of a histogram, over all replicas."""
    grouped = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {per_second(histogram + '_bucket', grouped, labels)})"


def quantiles(histogram, by="", labels="", shares=(0.5, 0.9, 0.99)):
    """Queries for several quantiles of a histogram."""
    legend = "".join(f" {{{{{label.strip()}}}}}" for label in by.split(",") if by)
    return [
        (quantile(share, histogram, by, labels), f"p{share * 100:g}{legend}") for share in shares
    ]


def _targets(queries, **more):
    return [
        {
            "refId": chr(ord("A") + place),
            "datasource": SOURCE,
            "expr": expr,
            "legendFormat": legend,
            **more,
        }
        for place, (expr, legend) in enumerate(queries)
    ]


def _steps(steps):
    """Thresholds: the first colour holds from below everything."""
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for value, color in steps],
    }


def _panel(kind, title, about, width, height, defaults, options, targets):
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "size": (width, height),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }


def series(title, queries, unit="short", about="", width=8, stacked=False, limit=None):
    """Lines over time; a `limit` is drawn as a red line."""
    custom = {
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 5,
        "showPoints": "never",
        "spanNulls": False,
    }
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    defaults = {"unit": unit, "min": 0, "custom": custom}
    if limit is not None:
        custom["thresholdsStyle"] = {"mode": "line"}
        defaults["thresholds"] = _steps([(None, "transparent"), (limit, "red")])
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel(
        "timeseries", title, about, width, 8, defaults, options, _targets(queries, range=True)
    )


def figure(
    title, expr, unit="short", about="", steps=((None, "text"),), words=None, width=4, none="–"
):
    """One figure of now; `words` name values. `none` is shown where there is nothing."""
    defaults = {"unit": unit, "noValue": none, "thresholds": _steps(steps)}
    if words:
        named = {str(value): {"text": text, "index": value} for value, text in words.items()}
        defaults["mappings"] = [{"type": "value", "options": named}]
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return _panel(
        "stat", title, about, width, 4, defaults, options, _targets([(expr, "")], instant=True)
    )


def heatmap(title, histogram, about="", labels="", width=12, unit="s"):
    """How many observations fell into each bucket of a histogram."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "steps": 64,
            "exponent": 0.5,
            "reverse": False,
            "fill": "dark-orange",
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    queries = [(count(histogram + "_bucket", "le", labels), "{{le}}")]
    custom = {
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        "scaleDistribution": {"type": "linear"},
    }
    return _panel(
        "heatmap",
        title,
        about,
        width,
        8,
        {"custom": custom},
        options,
        _targets(queries, range=True, format="heatmap"),
    )


def states(title, expr, legend, words, about="", width=12):
    """How a state changed; `words` maps its values to a name and a colour."""
    named = {
        str(value): {"text": text, "color": color, "index": value}
        for value, (text, color) in words.items()
    }
    defaults = {
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "mappings": [{"type": "value", "options": named}],
    }
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel(
        "state-timeline",
        title,
        about,
        width,
        8,
        defaults,
        options,
        _targets([(expr, legend)], range=True),
    )


def _placed(rows):
    """Panels with their ids and places: row by row, from left to right."""
    placed, top = [], 0
    for title, panels in rows:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        placed.append(
            {
                "id": len(placed) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        top, left, tallest = top + 1, 0, 0
        for panel in panels:
            panel = dict(panel)
            width, height = panel.pop("size")
            if left + width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            place = {"x": left, "y": top, "w": width, "h": height}
            placed.append({"id": len(placed) + 1, "gridPos": place, **panel})
            left, tallest = left + width, max(tallest, height)
        top += tallest
    return placed


def choice(name, label, query):
    """A variable with the values that a query of Prometheus finds."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "choice"},
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": False,
    }


def dashboard(uid, title, about, rows, choices=()):
    """A dashboard: what Grafana reads from a file."""
    source = {
        "name": "datasource",
        "label": "Source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }
    namespace = choice(
        "namespace", "Environment", f'label_values(up{{job=~"{SERVICES}"}}, namespace)'
    )
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["reminders"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source, namespace, *choices]},
        "annotations": {"list": []},
        "links": [
            {
                "title": "Reminders",
                "type": "dashboards",
                "tags": ["reminders"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": _placed(rows),
    }
