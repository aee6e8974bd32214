"""What Grafana's own schema, as its foundation SDK has it, has against a dashboard.

The SDK reads a dashboard into its classes, those of each panel's plugin included, and writes it
again. A field that is missing afterwards is not part of the schema. The values of the classes are
then compared with the types that they declare.
"""

import enum
import json
import types
import typing

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

plugins.register_default_plugins()
PLAIN = {str: str, bool: bool, int: int, float: (int, float)}


def _lost(given, kept, where=""):
    """What of a value is not in another."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from _lost(value, kept[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is unknown"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for place, (one, other) in enumerate(zip(given, kept)):
            yield from _lost(one, other, f"{where}[{place}]")
    elif given != kept:
        yield f"{where} is {given!r}, understood as {kept!r}"


def _of_either(value, choices, where):
    tried = [list(_unfit(value, choice, where)) for choice in choices]
    if all(tried):
        yield min(tried, key=len)[0]


def _unfit(value, hint, where):
    """Where a value is not of a declared type; what is of a class is looked into."""
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    problem = f"{where} is {value!r}, not {hint}"
    if kind in (typing.Union, types.UnionType):
        yield from _of_either(value, inner, where)
    elif kind in (list, dict):
        if not isinstance(value, kind):
            yield problem
        else:
            for place, item in enumerate(value) if kind is list else value.items():
                yield from _unfit(item, inner[-1], f"{where}[{place!r}]")
    elif kind is typing.Literal:
        if value not in inner:
            yield problem
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        if value not in {one.value for one in hint}:
            yield problem
    elif hint in PLAIN:
        if not isinstance(value, PLAIN[hint]) or (hint is not bool and isinstance(value, bool)):
            yield problem
    elif hint is types.NoneType:
        if value is not None:
            yield problem
    elif hasattr(value, "to_json"):
        yield from _unfit_fields(value, where)


def _unfit_fields(value, where):
    for name, hint in typing.get_type_hints(type(value).__init__).items():
        if name != "return":
            yield from _unfit(getattr(value, name), hint, f"{where}.{name}")


def _unfit_panel(panel):
    if not isinstance(panel, model.Panel):
        return
    if not runtime.panelcfg_config(panel.type_val):
        yield f"{panel.title}: there is no panel {panel.type_val}"
    # Declared as anything: what they are depends on the plugin.
    parts = {"options": panel.options, "custom": panel.field_config.defaults.custom}
    parts |= {f"targets[{place}]": target for place, target in enumerate(panel.targets or [])}
    for name, part in parts.items():
        yield from _unfit(part, object, f"{panel.title}.{name}")


def faults(content):
    """What is wrong with a dashboard."""
    read = model.Dashboard.from_json(content)
    written = json.loads(json.dumps(read, cls=JSONEncoder))
    panels = [fault for panel in read.panels or [] for fault in _unfit_panel(panel)]
    return [*_lost(content, written), *_unfit(read, model.Dashboard, "dashboard"), *panels]
