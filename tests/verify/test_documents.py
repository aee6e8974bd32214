"""Documents: links have targets, named files exist, and prose keeps to the width."""

import functools
import re

import pytest

from conftest import ROOT, run

FILES = run("git", "ls-files", "*.md").split()
DOCUMENTS = [name for name in FILES if not name.startswith("tests/")]
WIDTH = 100


@functools.cache
def text_of(path):
    """The document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


@functools.cache
def anchors_of(path):
    """The anchors of a document's headings, as GitHub forms them."""
    found = []
    for heading in re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return found


def links_of(path):
    """The relative links of a document: file, if it names one, and anchor."""
    for link in re.findall(r"\]\(\s*([^)\s]+)\s*\)", text_of(path)):
        if not re.match(r"[a-z]+:", link):
            name, _, anchor = link.partition("#")
            yield link, (path.parent / name).resolve() if name else path, anchor


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_have_targets(document):
    broken = []
    for link, target, anchor in links_of(ROOT / document):
        is_heading = not anchor or target.suffix != ".md" or anchor in anchors_of(target)
        if not target.exists() or not is_heading:
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_prose_keeps_to_the_width(document):
    """Tables, and lines that a link or a path makes long, may be wider."""
    lines = text_of(ROOT / document).splitlines()
    wide = [line for line in lines if len(line) > WIDTH and not line.lstrip().startswith("|")]
    assert [line for line in wide if max(map(len, line.split())) < 60] == []


def test_files_of_map_exist():
    """docs/ARCHITECTURE.md, "Where is what": every path in the tables."""
    chapter = (ROOT / "docs/ARCHITECTURE.md").read_text().partition("## Where is what")[2]
    rows = [line for line in chapter.splitlines() if line.startswith("|")]
    named = {path for row in rows for path in re.findall(r"`([\w-][\w./-]*)`", row)}
    paths = {path for path in named if "/" in path}
    assert paths and {path for path in paths if not (ROOT / path).exists()} == set()


def test_limits_are_listed_once():
    """A merge of two branches easily keeps a row of docs/LIMITS.md twice."""
    listed = []
    for section in (ROOT / "docs/LIMITS.md").read_text().split("\n## ")[1:]:
        name, _, rows = section.partition("\n")
        listed += [(name, row.split(" | ")[0]) for row in rows.splitlines() if row[:2] == "| "]
    tables = [row for row in listed if row[1] not in ("| limit", "| ---", "| connection")]
    assert len(tables) > 100 and sorted(tables) == sorted(set(tables))
