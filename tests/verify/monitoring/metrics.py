"""Metrics that the services expose, read from the Rust source: name, kind, labels and crates.

Every use of `metrics::counter!`, `gauge!` or `histogram!` in a crate's src is found. A use that
cannot be read (a name that is neither a literal nor among the literals of its file, or a label that
is not a literal) is an error.
"""

import dataclasses
import functools
import re

from conftest import ROOT, SERVICES

MACRO = re.compile(r"\b(?:(metrics)::)?(counter|gauge|histogram)!\s*\(")
NAME = re.compile(r'"([a-z][a-z0-9_]*_(?:total|seconds))"')
LABEL = re.compile(r'"([a-z_]+)"\s*=>')
# What Prometheus adds: the target's labels, with compose as with the PodMonitor.
TARGET = frozenset({"namespace", "job", "instance"})


@dataclasses.dataclass
class Metric:
    """One metric, wherever it is written."""

    kind: str
    labels: frozenset
    crates: set


def _sources():
    for crate, folders in [("shared", "shared/*/src"), *((name, f"{name}/src") for name in SERVICES)]:
        for folder in sorted(ROOT.glob(folders)):
            for path in sorted(folder.rglob("*.rs")):
                yield crate, path, path.read_text()


def _arguments(text, begin):
    """What stands between a macro's parentheses."""
    depth, quoted, place = 1, False, begin
    while depth:
        character = text[place]
        if character == "\\" and quoted:
            place += 1
        elif character == '"':
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")")
        place += 1
    return text[begin : place - 1]


def _names(arguments, path, text):
    """Name of the metric; for a variable, every name in the literals outside of the macros."""
    if arguments.lstrip().startswith('"'):
        return [arguments.lstrip()[1:].split('"')[0]]
    named = set(NAME.findall(text)) - set(re.findall(r'!\s*\(\s*"([^"]+)"', text))
    assert named, f"{path}: the name in {arguments!r} cannot be told"
    return sorted(named)


def scan(sources):
    """The metrics of some (crate, path, text)."""
    found = {}
    for crate, path, text in sources:
        for use in MACRO.finditer(text):
            assert use[1], f"{path}: write metrics::{use[2]}!, so that it is found"
            arguments = _arguments(text, use.end())
            labels = frozenset(LABEL.findall(arguments))
            assert arguments.count("=>") == len(labels), (
                f"{path}: a label of {arguments!r} is not written out"
            )
            for name in _names(arguments, path, text):
                known = found.setdefault(name, Metric(use[2], labels, set()))
                assert (known.kind, known.labels) == (use[2], labels), (
                    f"{path}: {name} is something else elsewhere"
                )
                known.crates.add(crate)
    return found


@functools.cache
def exposed():
    """Every metric of the four services, by its name."""
    found = scan(_sources())
    assert found
    return found


@functools.cache
def words():
    """Every text literal of the source: what a label's value may be."""
    return {
        word for _, _, text in _sources() for word in re.findall(r'"((?:[^"\\\n]|\\.)*)"', text)
    }


@functools.cache
def bounds():
    """The bounds of the histograms' buckets, as Prometheus 2 and 3 write them."""
    text = (ROOT / "shared/service/src/telemetry/metrics.rs").read_text()
    listed = re.search(r"let seconds =\s*\[([^\]]+)\]", text)[1]
    numbers = [float(number) for number in listed.split(",") if number.strip()]
    return {f"{number:g}" for number in numbers} | {str(number) for number in numbers} | {"+Inf"}
