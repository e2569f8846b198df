"""A certificate for people and for build servers: one HTML page, and JUnit XML.

Both are renderings of the statement alone, so that anyone can make them again and compare; they prove nothing by themselves.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, cast

from snn_deploy.templates import open_templates
from snn_deploy.verification.comparison.levels import Status
from snn_deploy.verification.comparison.verdict_record import Json, as_mapping

if TYPE_CHECKING:
    from jinja2 import Template


def render_junit(statement: Mapping[str, Json]) -> str:
    """JUnit XML: one test case per population and backend beside the baseline, and one for the verdict."""
    verdict = as_mapping(as_mapping(statement["predicate"])["verdict"])
    suite = ET.Element("testsuite", name=_printable(f"snn-deploy verify {verdict['network']}"))
    counts = {"tests": 0, "failures": 0, "errors": 0}
    for row in _rows(verdict):
        for side in _list(row["sides"])[1:]:
            names = {"classname": _printable(str(side["backend"])), "name": _printable(str(row["name"]))}
            case = ET.SubElement(suite, "testcase", names)
            _outcome(case, str(side["status"]), json.dumps(side["first"] or side["missing"], sort_keys=True), counts)
    case = ET.SubElement(suite, "testcase", classname="verdict", name=f"level {verdict['asked']}")
    _outcome(case, str(verdict["status"]), str(verdict["line"]), counts)
    for name, number in counts.items():
        suite.set(name, str(number))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _outcome(case: ET.Element, status: str, message: str, counts: dict[str, int]) -> None:
    counts["tests"] += 1
    if status == Status.DIFFERENT.value:
        counts["failures"] += 1
        ET.SubElement(case, "failure", message=_printable(message))
    elif status != Status.EQUAL.value:  # not established: not compared, or within the spread
        counts["errors"] += 1
        ET.SubElement(case, "error", message=_printable(message))


def render_page(statement: Mapping[str, Json]) -> str:
    """One self-contained HTML page: no script, no address, nothing fetched."""
    predicate = as_mapping(statement["predicate"])
    verdict = as_mapping(predicate["verdict"])
    names = [str(name) for name in cast("list[Json]", verdict["backends"])]
    rows = []
    for row in _rows(verdict):
        sides = _list(row["sides"])
        differing = "; ".join(f"{side['backend']}: {_pairs(side['differing'])}" for side in sides[1:])
        counts = [side["counts"] for side in sides]
        cells = [row["name"], row["neurons"], row["probed"], *counts, differing, row["status"]]
        rows.append((row["status"], cells))
    facts = {"subject": statement["subject"], **{key: predicate[key] for key in _FACTS}}
    return _open_page().render(
        verdict=verdict,
        headings=["population", "neurons", "probed", *names, "differing", "status"],
        rows=rows,
        facts=json.dumps(facts, indent=1, sort_keys=True),
        digest=predicate["digest"],
    )


@cache
def _open_page() -> Template:
    environment = open_templates("snn_deploy.verification.certificate", _printable)
    environment.filters["shown"] = _shown
    environment.filters["css"] = lambda status: str(status).replace(" ", "-")
    return environment.get_template("certificate.html")


_FACTS = (
    *("model", "files", "stimuli", "cause", "mutation", "options", "schedule", "configuration"),
    *("verifier", "backends", "libraries"),
)


def _shown(value: Json) -> str:
    return "-" if value is None else f"{value:,}" if type(value) is int else str(value)


_UNPRINTABLE = re.compile("[^\t\n\r -~\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")
"""What XML 1.0 has no characters for or discourages (W3C, section 2.2), and what browsers and parsers drop or refuse."""


def _printable(text: str) -> str:
    """``text`` with control characters, halves of surrogate pairs and non-characters written as in Python."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def _pairs(values: Json) -> str:
    return ", ".join(
        f"{key} {number:,}" for key, number in sorted(as_mapping(values).items()) if isinstance(number, int)
    )


def _list(value: Json) -> list[dict[str, Json]]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} stands where a list belongs")
    return [as_mapping(element) for element in value]


def _rows(verdict: Mapping[str, Json]) -> list[dict[str, Json]]:
    return _list(verdict["populations"])
