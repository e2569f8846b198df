"""Tests against mutants: copies of the tree, and one forked process per mutant in which pytest is imported already.

The mutant is written into the copy, so tests that read source and tests that start programs see it. A run counts as *killed* only
if pytest says that a test failed, or if it needed several times the CPU time of the tests without the mutant.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "build", "out", "dist", "site", ".mypy_cache", ".ruff_cache", "*.pt"
)
"""What no selected test reads."""

OPTIONS = ("-x", "-q", "--tb=line", "-p", "no:xdist", "-p", "no:cov", "-W", "ignore::pytest.PytestAssertRewriteWarning")

LIBRARIES = (
    *("numpy", "onnx", "onnxruntime", "scipy.sparse", "rich.table", "torch", "skimage.metrics", "PIL.Image"),
    *("hypothesis.strategies", "hypothesis.extra.numpy"),
)
"""Imported once, before processes are forked, where they are installed; nothing of the package itself may be among them."""

MEMORY_BYTES = 12 * 2**30
"""Address space of one run: a mutant that asks for more fails alone."""

OUTCOMES = {0: "survived", 1: "killed", 2: "killed", 3: "killed", 4: "killed", 5: "survived"}
"""Exit statuses of pytest: passed, failed, not collected, broken inside, wrong usage, and no test that runs by default."""


@dataclass(frozen=True)
class Job:
    """Tests against one module with one text."""

    path: str
    text: str
    tests: tuple[str, ...]
    cpu_s: int
    """CPU time after which the run counts as endless."""


@dataclass(frozen=True)
class Result:
    """What pytest said, and how long it took."""

    outcome: str
    cpu_s: float
    log: str


class Tree:
    """A copy of the repository in which one module at a time differs."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self._original = ("", b"")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(root, folder, ignore=LEFT_OUT, symlinks=True)
        shared = folder.parent / "shared"
        if not shared.exists() and (root.parent / "shared").is_dir():
            shared.symlink_to(root.parent / "shared")

    def start(self, job: Job) -> int:
        """Fork a process that runs the tests; its number."""
        path = self.folder / job.path
        self._original = job.path, path.read_bytes()
        path.write_text(job.text, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            self._run(job)
        return child

    def restore(self) -> None:
        """Put the module back."""
        path, content = self._original
        (self.folder / path).write_bytes(content)

    def has_types(self, path: str, text: str) -> bool:
        """Whether ``make types`` finds nothing wrong with ``text`` in the place of the module."""
        self._original = path, (self.folder / path).read_bytes()
        (self.folder / path).write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--cache-dir", self.folder.with_suffix(".mypy")],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self.restore()
        if done.returncode not in (0, 1):
            raise RuntimeError(done.stdout + done.stderr)
        return done.returncode == 0

    @property
    def log(self) -> Path:
        """What pytest wrote."""
        return self.folder.with_suffix(".log")

    def _run(self, job: Job) -> None:
        """Never returns."""
        status = 3
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
            os.chdir(self.folder)
            sys.dont_write_bytecode = True
            moved = {str(self.root): str(self.folder), str(self.root / "backends"): str(self.folder / "backends")}
            sys.path[:] = [
                str(self.folder),
                str(self.folder / "backends"),
                *(p for p in sys.path[1:] if p not in moved),
            ]
            os.environ["PYTHONPATH"] = os.pathsep.join(moved.values())
            status = int(pytest.main([*OPTIONS, *job.tests]))
            sys.stdout.flush()
        finally:
            os._exit(status)


def prepare() -> None:
    """Import what all runs need."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            import_module(name)


def run(jobs: Iterable[Job], trees: list[Tree]) -> list[tuple[Job, Result]]:
    """Run every job in some tree, as many at a time as there are trees, each of which gets one before any gets a second."""
    results: list[tuple[Job, Result]] = []
    waiting, free = iter(jobs), list(trees)
    running: dict[int, tuple[Tree, Job, float]] = {}
    while True:
        while free and (job := next(waiting, None)) is not None:
            tree = free.pop()
            running[tree.start(job)] = tree, job, time.monotonic()
        if not running:
            return results
        child, status, usage = os.wait3(os.WNOHANG)
        if child == 0:
            _stop_late(running)
            time.sleep(0.02)
            continue
        tree, job, _ = running.pop(child)
        _end_group(child)
        code = os.waitstatus_to_exitcode(status)
        outcome = "timeout" if code < 0 else OUTCOMES[code]
        tree.restore()
        free.append(tree)
        results.append((job, Result(outcome, usage.ru_utime + usage.ru_stime, tree.log.read_text(errors="replace"))))


def _stop_late(running: dict[int, tuple[Tree, Job, float]]) -> None:
    """End runs that wait for something instead of computing: what computes ends by its CPU time, however busy the machine."""
    for child, (_, job, start) in running.items():
        if time.monotonic() - start > 300 + 30 * job.cpu_s:
            os.kill(child, signal.SIGKILL)


def _end_group(child: int) -> None:
    """End what the run left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
