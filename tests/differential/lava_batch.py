"""Many small networks in Lava by one process, where each would start a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend import Record, Run, load_backend
from snn_deploy.errors import BackendError, BackendUnavailableError
from snn_deploy.network.network import Network
from snn_deploy_lava import LavaBackend
from snn_deploy_lava.runtime.guard import WorkerError
from tests.differential.engines import unequal

PROGRAM = Path(__file__).with_name("lava_threads.py")

TIMEOUT_S = 300
"""For one batch; a network takes about 0.2 s."""


@dataclass(frozen=True)
class Case:
    """A network, its stimulus (B, C, H, W) and the Lava backend that runs them; ``name`` says how to draw it again."""

    name: str
    network: Network
    stimulus: Int64
    backend: LavaBackend

    def run(self) -> Run:
        """In this process; the job goes to ``snn_deploy_lava.backend.run_guarded``, which :func:`run_batch` replaces."""
        return self.backend.run(self.network, self.stimulus, Record.STATES)


class _PostponedError(Exception):
    """The job was put aside."""


def lava_differences(cases: Sequence[Case]) -> tuple[list[str], list[str]]:
    """What Lava says otherwise than the reference, and what it refuses."""
    wrong, refused = [], []
    for case, run in zip(cases, run_batch(cases), strict=True):
        try:
            expected = load_backend("reference").run(case.network, case.stimulus, Record.STATES)
        except BackendError:  # an event beyond what the proof assumes
            expected = None
        if isinstance(run, BackendUnavailableError):
            refused.append(f"{case.name}: {run}")
        elif isinstance(run, BackendError):
            wrong += [f"{case.name}: {run}"] if expected is not None else []
        elif expected is None:
            wrong.append(f"{case.name}: runs what the reference refuses")
        else:
            counted = replace(run, saturations={**expected.saturations, **run.saturations})  # Lava's own do not count
            wrong += [f"{case.name}: {what}" for what in unequal(counted, expected)]
    return wrong, refused


def run_batch(cases: Sequence[Case]) -> list[Run | BackendError | BackendUnavailableError]:
    """The run of each case, or the error with which it ends."""
    with tempfile.TemporaryDirectory(prefix="snn-batch-") as name:
        folders = [Path(name) / str(index) for index in range(len(cases))]
        for case, folder in zip(cases, folders, strict=True):
            _run(case, lambda job, *_, kept=folder: _put_aside(job, kept))
        jobs = [str(folder) for folder in folders if folder.exists()]
        done = subprocess.run(
            [sys.executable, str(PROGRAM), *jobs], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [
            _run(case, lambda job, *_, kept=folder: _take_back(job, kept))
            for case, folder in zip(cases, folders, strict=True)
        ]


def _run(case: Case, run_guarded: Callable[..., None]) -> Run | BackendError | BackendUnavailableError:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snn_deploy_lava.backend.run_guarded", run_guarded)
        try:
            return case.run()
        except _PostponedError:
            return BackendError("postponed")
        except (BackendError, BackendUnavailableError) as error:
            return error


def _put_aside(job: Path, folder: Path) -> None:
    shutil.copytree(job, folder)
    raise _PostponedError


def _take_back(job: Path, folder: Path) -> None:
    error = folder / "error.txt"
    if error.exists():
        raise WorkerError(error.read_text("utf-8").strip().splitlines()[-1])
    shutil.copytree(folder, job, dirs_exist_ok=True)
