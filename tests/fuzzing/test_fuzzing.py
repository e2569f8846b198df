"""Files from strangers, changed by chance: accepted and consistent, or refused in one line, in bounded time and memory.

``make test`` reads what was found before (``corpus``) and a few new ones; ``make fuzz MINUTES=30`` searches, with other files
each time. A case of the corpus is called ``FORMAT-WHAT.SUFFIX``.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzzing.cases import SECONDS, judge, judge_in_child
from tests.fuzzing.formats import FORMATS
from tests.fuzzing.search import search

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
MINUTES = float(os.environ.get("SNN_DEPLOY_FUZZ_MINUTES", "0"))
"""Minutes for all formats together that ``make fuzz`` asks for."""

SEED = int(os.environ.get("SNN_DEPLOY_FUZZ_SEED", "0")) or (secrets.randbits(32) if MINUTES else 1)
INPUTS = 4
"""Changed files of each format in ``make test``."""


@pytest.mark.parametrize("name", FORMATS)
def test_sound_files_are_accepted(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    (tmp_path / "work").mkdir()
    for seed, data in form.seeds(tmp_path / "work").items():
        path = tmp_path / seed
        path.write_bytes(data)
        outcome = judge(form.read, path)
        assert (outcome.kind, outcome.text) == ("accepted", "") or name == "picture", f"{seed}: {outcome}"
        assert not outcome.is_finding, f"{seed}: {outcome}"


@pytest.mark.parametrize("path", CORPUS, ids=[path.name for path in CORPUS])
def test_what_was_found_once(path: Path) -> None:
    form = FORMATS[max((name for name in FORMATS if path.name.startswith(f"{name}-")), key=len)]
    started = time.process_time()
    outcome = judge(form.read, path)
    assert not outcome.is_finding, outcome
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("name", FORMATS)
def test_changed_files(name: str) -> None:
    seconds, inputs = (60 * MINUTES / len(FORMATS), 10**9) if MINUTES else (60, INPUTS)
    found = search(name, FORMATS[name], Random(f"{SEED} {name}"), seconds, inputs, Path("build/fuzz"))
    assert not found, f"SNN_DEPLOY_FUZZ_SEED={SEED}\n" + "\n".join(found)


def test_the_law_is_enforced(tmp_path: Path) -> None:
    """Each way to break it is a finding."""

    def fail(_: Path) -> None:
        raise KeyError("x")

    def spin(_: Path) -> None:
        while True:
            pass

    def grow(_: Path) -> None:
        bytearray(2 * 2**30)

    def crash(_: Path) -> None:
        os.abort()

    expected = {fail: "exception", grow: "memory", crash: "crash"} | ({spin: "time"} if MINUTES else {})
    for read, kind in expected.items():
        outcome = judge_in_child(read, tmp_path)
        assert (outcome.kind, outcome.is_finding) == (kind, True), outcome
    assert judge_in_child(lambda _: None, tmp_path).kind == "accepted"
