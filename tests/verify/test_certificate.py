"""Certificates hold what was verified and show when they were edited."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from snn_deploy import artifact
from snn_deploy.backend import Record, load_backend
from snn_deploy.errors import VerificationError
from snn_deploy.network import Network
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verify import Comparison, Level, Trace
from snn_deploy.verify.certificate import (
    Certificate,
    certify,
    check_certificate,
    read_certificate,
    write_certificate,
)
from snn_deploy.verify.mutation import mutation_score
from snn_deploy.verify.replay import Site, forward, repeated


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
    other = forward(network, repeated(network, stimulus), sites, name="<chip & co>").trace
    comparison = Comparison(network, Level.TRAIN)
    comparison.add([run, other])
    score = mutation_score(network, stimulus, populations=["output"])
    return certify(comparison.verdict(), network, files={"artifact": file}, stimuli=[run.stimulus], score=score)


def test_a_certificate_stands_until_it_or_a_file_changes(network: Network, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(certificate(network, file), path)
    assert check_certificate(path) == ()
    assert check_certificate(path, {"artifact": file}) == ()
    values = json.loads(path.read_text())
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
    assert values["verdict"]["exit_code"] == 1
    values["verdict"]["exit_code"] = 0
    path.write_text(json.dumps(values))
    assert check_certificate(path) == (
        "its digest is not that of its content; it was edited",
        "its exit code is 0, its rows say 1",
    )
    del values["verdict"]["populations"]
    path.write_text(json.dumps(values))
    assert check_certificate(path)[-1] == "it is incomplete: KeyError 'populations'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no JSON: JSONDecodeError$"),
        ("[]", r"not a certificate of 'snn-deploy certificate' version 1$"),
        ('{"format": "snn-deploy certificate", "version": 2}', r"not a certificate of .* version 1$"),
        ('{"format": "snn-deploy certificate", "version": 1}', r"holds no digest$"),
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


def test_the_digest_does_not_depend_on_order(network: Network, file: Path) -> None:
    one = certificate(network, file)
    other = Certificate(dict(reversed(list(one.body.items()))), one.digest)
    assert json.loads(one.json) == json.loads(other.json)
    assert one.digest == certificate(network, file).digest
    assert np.all([isinstance(key, str) for key in one.body])
