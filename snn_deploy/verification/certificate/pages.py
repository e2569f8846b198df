"""A certificate for people and for build servers: one HTML page, and JUnit XML.

Both are renderings of the statement alone, so that anyone can make them again and compare; they prove nothing by themselves.
"""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import cast

from snn_deploy.verification.comparison.levels import Status
from snn_deploy.verification.comparison.verdict_record import Json, as_mapping


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
    head = ["population", "neurons", "probed", *names, "differing", "status"]
    rows = []
    for row in _rows(verdict):
        sides = _list(row["sides"])
        differing = "; ".join(f"{side['backend']}: {_pairs(side['differing'])}" for side in sides[1:])
        cells = [
            row["name"],
            row["neurons"],
            row["probed"],
            *(side["counts"] for side in sides),
            differing,
            row["status"],
        ]
        rows.append(_row("td", cells, str(row["status"])))
    warnings = "".join(f"<li>{_text(warning)}</li>" for warning in cast("list[Json]", verdict["warnings"]))
    facts = {"subject": statement["subject"], **{key: predicate[key] for key in _FACTS}}
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            f"<title>{_text(verdict['network'])}: {_text(verdict['status'])}</title><style>{_STYLE}</style>",
            f"<h1>{_text(verdict['network'])}</h1>",
            f"<p class='{_class(str(verdict['status']))}'>{_text(verdict['line'])}</p>",
            f"<p>{_text(verdict['story'])}</p><ul>{warnings}</ul>",
            f"<table><caption>Counts of every population; asked for level {_text(verdict['asked'])}, reached "
            f"{_text(verdict['reached'])}</caption>{_row('th', head, '')}{''.join(rows)}</table>",
            f"<pre>{_text(json.dumps(facts, indent=1, sort_keys=True))}</pre>",
            f"<p>certificate {_text(predicate['digest'])}; check it with",
            "<code>snn-deploy verify --check FILE.json</code></p></html>",
        ]
    )


_FACTS = (
    *("model", "files", "stimuli", "cause", "mutation", "options", "schedule", "configuration"),
    *("verifier", "backends", "libraries"),
)

_STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{padding:.25em .7em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}"
    ".equal{color:#06623b}.different{color:#a4133c;font-weight:600}.not-compared,.within-spread{color:#8a5a00}"
)


def _row(tag: str, cells: Sequence[Json], status: str) -> str:
    return f"<tr class='{_class(status)}'>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _class(status: str) -> str:
    return _text(status.replace(" ", "-"))


def _text(value: Json) -> str:
    text = "-" if value is None else f"{value:,}" if type(value) is int else str(value)
    return html.escape(_printable(text))


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
