"""Runs bundles against the stand-in for lava-loihi in ``loihi/``, many by one process.

As a program, ``python contact.py FOLDER...``, it is that process: it runs each job, with the fault planted that
``fault.txt`` names.
"""

from __future__ import annotations

import importlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

LOIHI = Path(__file__).with_name("loihi")

THREADS = Path(__file__).parents[2] / "differential"
"""Where ``lava_threads`` lies, which runs Lava's processes as threads."""

TIMEOUT_S = 300


@dataclass(frozen=True)
class Visit:
    """One run of a bundle's ``run.py`` with ``arguments`` and, in the worker, a planted ``fault``."""

    bundle: Path
    arguments: tuple[str, ...] = ()
    fault: str = ""


def contact(visits: Sequence[Visit]) -> list[tuple[int, str]]:
    """Exit status and output of every visit to the chip's stand-in."""
    from snn_deploy_lava.runtime.guard import WorkerError

    with tempfile.TemporaryDirectory(prefix="contact-") as name:
        folders: list[list[Path]] = [[] for _ in visits]

        def put_aside(index: int, job: Path) -> None:
            folder = Path(name) / f"{index}-{len(folders[index])}"
            shutil.copytree(job, folder)
            (folder / "fault.txt").write_text(visits[index].fault, "utf-8")
            folders[index].append(folder)
            raise WorkerError("put aside")

        # images that run one by one are known only once the first has run, so jobs are collected until none is new
        results: list[tuple[int, str]] = []
        done: set[Path] = set()
        while True:
            results = [run_command(visit, _replay(folders[n], done, n, put_aside)) for n, visit in enumerate(visits)]
            new = [folder for each in folders for folder in each if folder not in done]
            if not new:
                return results
            _run(new)
            done |= set(new)


def _replay(
    folders: list[Path], done: set[Path], index: int, put_aside: Callable[[int, Path], None]
) -> Callable[..., None]:
    """In place of ``run_guarded``: results of jobs that have run, in order; the first other one is put aside."""
    from snn_deploy_lava.runtime.guard import WorkerError

    finished: Iterator[Path] = iter([folder for folder in folders if folder in done])

    def run(job: Path, *_: Any) -> None:
        folder = next(finished, None)
        if folder is None:
            put_aside(index, job)
            return
        error = folder / "error.txt"
        if error.exists():
            raise WorkerError(error.read_text("utf-8").strip().splitlines()[-1])
        shutil.copytree(folder, job, dirs_exist_ok=True)

    return run


def run_command(visit: Visit, run_guarded: Callable[..., None] | None = None) -> tuple[int, str]:
    """Exit status and output of the command in this process; ``run_guarded`` runs its jobs."""
    from snn_deploy_lava.runtime import command, guard

    out = io.StringIO()
    with (
        mock.patch.object(command, "run_guarded", run_guarded or guard.run_guarded),
        redirect_stdout(out),
        redirect_stderr(out),
    ):
        status = command.main(visit.bundle, ["--target", "loihi2", *visit.arguments])
    return status, out.getvalue()


def _run(folders: Sequence[Path]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(LOIHI), str(THREADS), *filter(None, sys.path)])}
    command = [sys.executable, __file__, *map(str, folders)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment, cwd=folders[0]
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


@contextmanager
def planted(fault: str) -> Iterator[None]:
    """One mistake of a team, of Lava's choice or of this project."""
    from lava.proc.conv.models import PyConvModelFixed
    from lava.proc.conv.process import Conv
    from lava.proc.io.source import PySendModelFloat, RingBuffer

    from snn_deploy_lava.runtime import chip, chip_graph, graph, models, worker
    from snn_deploy_lava.runtime.processes import traffic

    own = chip.load_hook
    recorder = traffic.Recorder
    adapters = chip.Adapters
    build = graph.build_neuron
    faults: dict[str, tuple[Any, str, Any]] = {
        "missing model": (chip, "load_hook", lambda *_: {}),
        "Lava's own Conv": (
            chip,
            "load_hook",
            lambda name, *args: own(name, *args) | ({Conv: PyConvModelFixed} if name == "process_models" else {}),
        ),
        "float source": (models, "HOST", models.HOST | {RingBuffer: PySendModelFloat}),
        "dropped input adapter": (adapters, "to_conv", lambda _, port, __: port),
        "dropped output adapter": (adapters, "from_chip", lambda _, port, __: port),
        "swapped adapters": (adapters, "to_conv", _swapped),
        "profiler": (
            chip,
            "load_hook",
            lambda name, *args: HOOKS[name](*args) if name in HOOKS else own(name, *args),
        ),
        "frames begun anew": (
            chip_graph,
            "build_neuron",
            lambda network, record, schedule, **own: build(network, record, replace(schedule, frames=False), **own),
        ),
        "frames without a difference": (worker, "list_changes", lambda frames: frames),
        "unsigned read-out": (graph, "Recorder", lambda **fields: recorder(**{**fields, "sign_bits": 0})),
    }
    if not fault:
        yield
        return
    owner, name, value = faults[fault]
    with mock.patch.object(owner, name, value):
        yield


def _profiled(callbacks: Any) -> None:
    raise RuntimeError(f"profilers at the end: {callbacks}")


HOOKS: dict[str, Callable[..., Any]] = {"callback_fxs": lambda steps: [f"of {steps} steps"], "after_run": _profiled}
"""A team's profilers, which say that they were asked."""


def _swapped(adapters: Any, port: Any, name: str) -> Any:
    return adapters._join(port, adapters._spike.PyToNxAdapter(shape=port.shape, num_message_bits=16), name)


def main() -> None:
    """Run every job; one that fails does not keep others from running."""
    from snn_deploy_lava.runtime import worker

    importlib.import_module("lava_threads").use_threads()
    worker.REPORTS = 1
    for folder in map(Path, sys.argv[1:]):
        try:
            with planted((folder / "fault.txt").read_text("utf-8")):
                for _ in worker.run(folder):
                    pass
        except Exception:
            (folder / "error.txt").write_text(traceback.format_exc(), "utf-8")
    os._exit(0)


if __name__ == "__main__":
    main()
