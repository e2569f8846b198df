"""Certificates hold what was verified and show when they were edited."""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Comparison, Level, Trace
from snn_deploy.verification.certificate import (
    Certificate,
    certify,
    check_certificate,
    read_certificate,
    write_certificate,
)
from snn_deploy.verification.certificate.pages import render_junit
from snn_deploy.verification.certificate.statement import PREDICATE, digest_statement
from snn_deploy.verification.comparison.replay import Site, forward, repeat
from snn_deploy.verification.diagnosis.mutation import score_mutants


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("exact", 1, size=8)


@pytest.fixture
def file(network: Network, tmp_path: Path) -> Path:
    artifact.save(network, tmp_path / "unet.snn")
    return tmp_path / "unet.snn"


def certificate(network: Network, file: Path, *, wrong: bool = False) -> Certificate:
    stimulus = random_stimulus(network)
    run = load_backend("reference").run(network, stimulus, Record.STATES)
    site = Site.of(network, "dec")
    sites = {"dec": Site(site.population, site.incoming[:1], site.repeat_bias)} if wrong else {}
    other = forward(network, repeat(network, stimulus), sites, name="<chip & co>").trace
    comparison = Comparison(network, Level.TRAIN)
    comparison.add([run, other])
    score = score_mutants(network, stimulus, populations=["output"])
    return certify(comparison.verdict(), network, files={"artifact": file}, stimuli=[run.stimulus], score=score)


def test_a_certificate_stands_until_it_or_a_file_changes(network: Network, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(certificate(network, file), path)
    assert check_certificate(path) == ()
    assert check_certificate(path, {"artifact": file}) == ()
    values = json.loads(path.read_text())["predicate"]
    assert values["verdict"]["exit_code"] == 0
    assert values["verdict"]["digest"] == artifact.digest(network)
    assert values["mutation"]["mutants"] > 10
    assert check_certificate(path, {"onnx": file}) == ("it does not certify a file 'onnx'",)
    file.write_bytes(file.read_bytes() + b"0")
    assert "is not the file that was verified" in check_certificate(path, {"artifact": file})[0]


def test_edits_show(network: Network, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(certificate(network, file, wrong=True), path)
    assert check_certificate(path) == ()
    values = json.loads(path.read_text())
    assert values["predicate"]["verdict"]["exit_code"] == 1
    values["predicate"]["verdict"]["exit_code"] = 0
    path.write_bytes(Certificate(values).data)
    assert check_certificate(path) == (
        "its digest is not that of its content; it was edited",
        "its exit_code does not follow from its rows",
    )
    del values["predicate"]["verdict"]["populations"]
    path.write_bytes(Certificate(values).data)
    assert check_certificate(path)[-1].endswith("not the record of a verdict: KeyError 'populations'")


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all values that are neither a record nor a list."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*place, key))
    if not isinstance(value, dict | list):
        yield place


def edited(values: Any, place: tuple[Any, ...]) -> Any:
    """A copy of ``values`` with the value at ``place`` changed."""
    copy = json.loads(json.dumps(values))
    target = copy
    for key in place[:-1]:
        target = target[key]
    old = target[place[-1]]
    target[place[-1]] = (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old}x"
    return copy


def test_an_edit_of_any_value_shows(network: Network, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(certificate(network, file, wrong=True), path)
    values = json.loads(path.read_text())
    places = list(leaves(values))
    assert len(places) > 100
    for place in places[::12]:  # tests/verification/test_signature.py changes any byte of any of them
        path.write_bytes(Certificate(edited(values, place)).data)
        try:
            assert check_certificate(path), place
        except VerificationError:
            assert place in {("_type",), ("predicateType",)}, place


def redigested(statement: Any) -> Certificate:
    """A forged ``statement`` as the program would write it: with a digest of its own."""
    digest = digest_statement(Certificate(statement))
    return Certificate({**statement, "predicate": {**statement["predicate"], "digest": digest}})


def test_a_forged_verdict_contradicts_its_rows(network: Network, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(certificate(network, file, wrong=True), path)
    values = json.loads(path.read_text())
    derived = [
        place
        for place in leaves(values["predicate"]["verdict"])
        if (place[0] in {"exit_code", "status", "line", "story", "reached", "coverage"} and place[-1] != "values")
        or place[-1] in {"status", "neurons", "first"}
    ]
    assert len(derived) > 20
    for place in derived:
        if place[0] == "coverage" and place[-1] in {"steps", "steps_expected", "images", "populations"}:
            continue  # what follows from no row stands in the line
        try:
            write_certificate(redigested(edited(values, ("predicate", "verdict", *place))), path)
        except (KeyError, TypeError):
            continue  # not even a page can be made of it
        assert check_certificate(path), place
    whitewashed = json.loads(json.dumps(values))
    for row in whitewashed["predicate"]["verdict"]["populations"]:
        row["status"] = "equal"
        for side in row["sides"]:
            side.update(status="equal", first=None)
    whitewashed["predicate"]["verdict"].update(status="equal", exit_code=0, reached="train")
    write_certificate(redigested(whitewashed), path)
    assert any("reported equal despite a difference" in text for text in check_certificate(path))


def test_what_stands_beside_is_checked_too(network: Network, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(certificate(network, file), path)
    page = path.with_suffix(".html")
    page.write_text(page.read_text().replace("EQUAL", "SUPERB"))
    assert check_certificate(path) == (f"{page} is not the one that was written with it",)
    page.unlink()
    assert check_certificate(path) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"not a certificate as snn-deploy writes it: no line feed at its end$"),
        ("\n", r"not a certificate as snn-deploy writes it: Expecting value: line 1 column 1 \(char 0\)$"),
        ("[]\n", rf"not a certificate of type {PREDICATE}; have it issued again by this version$"),
        ('{"format":"snn-deploy certificate","version":2}\n', r"have it issued again by this version$"),
        ('{"_type":"https://in-toto.io/Statement/v1"}\n', r"have it issued again by this version$"),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(VerificationError, match=message):
        read_certificate(path)
    with pytest.raises(VerificationError, match=r"cannot be read: No such file or directory$"):
        check_certificate(tmp_path / "none.json")


def test_a_certificate_names_its_stimulus(network: Network) -> None:
    run = load_backend("reference").run(network, random_stimulus(network))
    comparison = Comparison(network)
    comparison.add([run, Trace.of(run, "cpu")])
    with pytest.raises(VerificationError, match=r"none was given$"):
        certify(comparison.verdict(), network)


def test_junit_and_html_say_the_same(network: Network, file: Path, tmp_path: Path) -> None:
    write_certificate(certificate(network, file, wrong=True), tmp_path / "certificate.json")
    suite = ET.fromstring((tmp_path / "certificate.xml").read_text())
    assert suite.get("tests") == str(len(network.populations) + 1)
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["dec", "output", "level train"]
    assert suite.get("failures") == "3"
    text = (tmp_path / "certificate.html").read_text()
    assert "DIFFERENT at level train" in text
    assert "&lt;chip &amp; co&gt;" in text
    assert "<chip" not in text

    class Links(HTMLParser):
        found: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found += [tag] if tag in {"script", "link", "img", "iframe"} else []
            self.found += [name for name, _ in attrs if name in {"src", "href"}]

    links = Links()
    links.found = []
    links.feed(text)
    assert links.found == [], "the page fetches nothing"


def test_the_bytes_do_not_depend_on_order(network: Network, file: Path) -> None:
    made = certificate(network, file)
    assert Certificate(dict(reversed(list(made.statement.items())))).data == made.data
    assert certificate(network, file).data == made.data


def test_without_a_file_the_subject_is_the_one_that_would_be_saved(network: Network, file: Path) -> None:
    run = load_backend("reference").run(network, random_stimulus(network))
    comparison = Comparison(network)
    comparison.add([run, Trace.of(run, "cpu")])
    made = certify(comparison.verdict(), network, stimuli=[run.stimulus])
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert made.statement["subject"] == [{"name": f"{network.name}.snn", "digest": {"sha256": sha256}}]


@pytest.mark.parametrize("name", ["c.html", "c.xml", "c", "c.JSON", "c.json.gz"])
def test_a_certificate_is_a_json_file(network: Network, file: Path, tmp_path: Path, name: str) -> None:
    """Two more files take its name; were it ``c.html``, the page would replace it."""
    with pytest.raises(VerificationError, match=r"a certificate is a \.json file, .*; write c(\.json)+$"):
        write_certificate(certificate(network, file), tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {file.name}


@pytest.mark.parametrize("suffix", [".html", ".xml"])
def test_a_neighbor_that_is_another_file_is_not_overwritten(
    network: Network, file: Path, tmp_path: Path, suffix: str
) -> None:
    path, neighbor = tmp_path / "certificate.json", tmp_path / f"certificate{suffix}"
    neighbor.write_text("<html>my thesis</html>")
    with pytest.raises(
        VerificationError, match=rf"where the certificate's \{suffix} belongs, .*; choose another name$"
    ):
        write_certificate(certificate(network, file), path)
    assert neighbor.read_text() == "<html>my thesis</html>"
    assert not path.exists()
    neighbor.unlink()
    write_certificate(certificate(network, file, wrong=True), path)
    write_certificate(certificate(network, file), path)
    assert check_certificate(path) == (), "its own files are replaced"


@pytest.mark.parametrize("suffix", [".json", ".html", ".xml"])
def test_three_files_are_written_or_none(
    network: Network, file: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full while any of them is written: the old ones stay."""
    path = tmp_path / "certificate.json"
    write_certificate(certificate(network, file, wrong=True), path)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    whole = Path.write_bytes

    def full(target: Path, data: bytes) -> int:
        if suffix in target.name:
            whole(target, data[:100])
            raise OSError(28, "No space left on device")
        return whole(target, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(VerificationError, match=rf"certificate\{suffix}: cannot be written: No space left on device$"):
        write_certificate(certificate(network, file), path)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


TAGS = {"html", "meta", "title", "style", "h1", "p", "ul", "li", "table", "caption", "tr", "th", "td", "pre", "code"}


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag} | {f"{tag} {name}" for name, _ in attrs if name.startswith("on")}


def test_any_name_is_well_formed(network: Network, file: Path, tmp_path: Path) -> None:
    """Every code point of the first plane, in names of populations, backends and the network."""
    made = certificate(network, file, wrong=True)
    control = {chr(code) for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFFFE, 0xFFFF)}
    for first in range(0, 0x10000, 0x1000):
        codes = [code for code in range(first, first + 0x1000) if not 0xD800 <= code < 0xE000]
        name = "".join(map(chr, codes)) + "<b onclick='x'>&\"]]>\U0001fffe\U0010ffff"
        statement = json.loads(made.payload)
        verdict = statement["predicate"]["verdict"]
        verdict.update(network=name, line=name, story=name, status=name, warnings=[name], backends=[name, name])
        for row in verdict["populations"]:
            row["name"] = row["status"] = name
            for side in row["sides"]:
                side["backend"] = name
        path = tmp_path / f"{first}.json"
        write_certificate(Certificate(statement), path)
        suite = ET.parse(path.with_suffix(".xml")).getroot()
        if first not in (0, 0xD000, 0xF000):
            assert suite.get("name") == f"snn-deploy verify {name[:-1]}\\U0010ffff"
        assert len(suite) == len(network.populations) + 1
        page, tags = path.with_suffix(".html").read_text(encoding="utf-8"), Tags()
        tags.feed(page)
        assert tags.found <= TAGS
        assert not set(page) & control


def test_control_characters_are_shown(network: Network, file: Path, tmp_path: Path) -> None:
    statement = json.loads(certificate(network, file).payload)
    statement["predicate"]["verdict"]["network"] = "a\0b\x1b[31m\ufffe\ud800"
    suite = ET.fromstring(render_junit(statement))
    assert suite.get("name") == r"snn-deploy verify a\x00b\x1b[31m\ufffe\ud800"
    with pytest.raises(VerificationError, match=r"cannot be written as JSON: .* surrogates not allowed$"):
        write_certificate(Certificate(statement), tmp_path / "c.json")


def test_what_would_not_be_read_is_not_written(network: Network, file: Path, tmp_path: Path) -> None:
    statement = json.loads(certificate(network, file).payload)
    statement["predicate"]["stimuli"] = ["0" * 64] * 70_000
    with pytest.raises(VerificationError, match=r"at most 4194304 are read; certify fewer images at once$"):
        write_certificate(Certificate(statement), tmp_path / "c.json")
    assert list(tmp_path.glob("c.*")) == []


def test_a_device_is_not_read_for_ever() -> None:
    with pytest.raises(VerificationError, match=r"/dev/zero: is a device; name a regular file$"):
        read_certificate(Path("/dev/zero"))
