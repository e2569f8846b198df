"""How the command line ends: a defect is status 4, output that cannot be written is 3; neither looks like a verdict."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snn_deploy.cli import app as cli
from snn_deploy.cli.status import MEANINGS
from snn_deploy.network import artifact
from tests.cli.conftest import Tool


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError("too deep"), ValueError("two\nlines \x1b[31m"), ModuleNotFoundError("x")]
)
@pytest.mark.parametrize("verb", ["verify", "run", "diff"])
def test_a_defect_is_an_internal_error(
    tool: Tool, network: Path, picture: Path, verb: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(artifact, "load", fail)
    words = (verb, network, network) if verb == "diff" else (verb, network, "--input", picture)
    found = tool(*words)
    assert (found.status, found.out, found.err.count("\n")) == (4, "", 1)
    assert found.err.startswith(f"snn-deploy {verb}: internal error: {type(error).__name__}: ")
    assert found.err.endswith("please report it to its maintainers with the traceback that --verbose shows\n")
    assert "\x1b" not in found.err
    told = tool(*words, "--verbose").err
    assert told.startswith(found.err)
    assert "Traceback (most recent call last)" in told
    assert "test_status.py" in told


@pytest.mark.parametrize(
    "words",
    [("run", "NET", "--inp", "PIC"), ("run", "NET", "--input", "PIC", "--thread", "2"), ("run", "--proj", "p.toml")],
)
def test_options_are_written_in_full(tool: Tool, network: Path, picture: Path, words: tuple[str, ...]) -> None:
    found = tool(*({"NET": network, "PIC": picture}.get(word, word) for word in words))
    assert (found.status, found.out) == (3, "")


def test_help_and_documents_list_every_status(tool: Tool, root: Path) -> None:
    shown = " ".join(tool("--help").out.split())
    page = " ".join((root / "docs" / "reference" / "cli.md").read_text(encoding="utf-8").split())
    for status, meaning in MEANINGS.items():
        assert f"{status} {meaning}" in shown
        assert f"| {status} | {meaning} |" in page


def _outside(words: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """A shell that runs ``words``, in which ``$TOOL`` is the command line and ``$1``... are ``arguments``."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TOOL": f"{sys.executable} -m snn_deploy",
    }
    command = ["bash", "-c", f"set -o pipefail; {words}", "bash", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("$TOOL targets >&-", "standard output is closed; to discard the result, write > /dev/null"),
        pytest.param(
            "$TOOL targets > /dev/full",
            "standard output: No space left on device; the result is incomplete",
            marks=pytest.mark.extended,
        ),
        ("$TOOL targets --json > /dev/full", "standard output: No space left on device; the result is incomplete"),
        pytest.param(
            "$TOOL complete bash > /dev/full",
            "standard output: No space left on device; the result is incomplete",
            marks=pytest.mark.extended,
        ),
        ("$TOOL --help > /dev/full", "standard output: No space left on device; the result is incomplete"),
        ("$TOOL targets loihi2 --json | true", "standard output: Broken pipe; the result is incomplete"),
    ],
)
def test_output_that_cannot_be_written(words: str, reason: str) -> None:
    done = _outside(words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert done.stderr.endswith(f": {reason}\n")


@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
def test_messages_that_cannot_be_written_change_nothing(tmp_path: Path, network: Path) -> None:
    plain = _outside('$TOOL estimate "$1" --rate 0.5 --map map.svg', network).stdout
    for redirection in ("2>&-", "2> /dev/full"):
        done = _outside(f'$TOOL estimate "$1" --rate 0.5 --map map.svg {redirection}', network)
        assert (done.returncode, done.stdout, done.stderr) == (0, plain, "")
        assert Path("map.svg").read_text(encoding="utf-8").startswith("<svg"), "no message went into it"
    assert _outside("$TOOL targets none 2>&-").returncode == 3


def test_an_encoding_without_these_characters(monkeypatch: pytest.MonkeyPatch, network: Path) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["estimate", str(network), "--rate", "0.5"]) == 0
    stream.seek(0)
    assert "/mid/Relu" in stream.read() or "mid/Relu" in stream.buffer.getvalue().decode()
