"""Runs the worker in a session of its own, so that nothing it starts can hang or outlive the caller."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LOG = "worker.log"
"""Output of Lava and the models, in the job's folder."""

_GRACE_S = 5.0
"""Time between SIGTERM and SIGKILL, in which the resource tracker unlinks shared memory."""


class WorkerError(Exception):
    """The worker failed, was killed or timed out; the message is one line."""


def run_guarded(folder: Path, timeout_s: float, progress: Callable[[int, int], None] | None = None) -> None:
    """Run the job in ``folder`` (:mod:`snn_deploy_lava.runtime.worker`); :class:`WorkerError` unless it succeeds.

    However this returns (result, error, time-out, interrupt), every process of the worker's session has ended, its shared
    memory is unlinked and its temporary files are removed.
    """
    # Not in the job's folder, which may lie deep: the path of a socket has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="lava-", ignore_cleanup_errors=True) as scratch:
        with (folder / LOG).open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "snn_deploy_lava.runtime.worker", str(folder.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=_environment(scratch),
                start_new_session=True,
            )
        try:
            _follow(worker, time.monotonic() + timeout_s, timeout_s, folder, progress)
        finally:
            _end_session(worker)


def _follow(
    worker: subprocess.Popen[bytes],
    deadline: float,
    timeout_s: float,
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Read reports until the last one."""
    pending, reached = b"", "before its first step"
    descriptor = worker.stdout.fileno() if worker.stdout else -1
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise WorkerError(
                f"Lava did not finish within {timeout_s:g} s, {reached}; raise the time-out or use a smaller image"
            )
        data = os.read(descriptor, 65536)
        if not data:
            raise WorkerError(f"the Lava worker died: {_last_line(folder / LOG)}")
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "error" in report:
                raise WorkerError(report["error"])
            if progress is not None:
                progress(report["step"], report["steps"])
            reached = f"step {report['step']} of {report['steps']}"
            if report["step"] == report["steps"]:
                return


def _environment(scratch: str) -> dict[str, str]:
    """The caller's environment and import path, with one thread for each of Lava's processes, and their temporary folder."""
    package_root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package_root, *(str(Path(entry).resolve()) for entry in sys.path)])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return os.environ | threads | {"PYTHONPATH": path, "TMPDIR": scratch}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _processes(session: int) -> Iterator[Path]:
    """Folders under ``/proc``, where there is one, of the processes of ``session`` that still run (zombies do not)."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                yield process


def _mapped_segments(session: int) -> set[Path]:
    """Shared memory mapped by processes of ``session``, on systems with ``/proc``."""
    segments = set()
    for process in _processes(session):
        with contextlib.suppress(OSError):
            for line in (process / "maps").read_text(encoding="utf-8").splitlines():
                if "/dev/shm/" in line:
                    segments.add(Path(line[line.index("/dev/shm/") :].split(" ")[0]))
    return segments


def _end_session(worker: subprocess.Popen[bytes]) -> None:
    """End the worker and all its children: terminate, wait, kill; then unlink their remaining shared memory."""
    segments = _mapped_segments(worker.pid)
    for stream in (worker.stdin, worker.stdout):
        if stream is not None:
            stream.close()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    while _session_lives(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for segment in segments:
        segment.unlink(missing_ok=True)


def _session_lives(worker: subprocess.Popen[bytes]) -> bool:
    worker.poll()
    if Path("/proc/self/stat").exists():
        return any(True for _ in _processes(worker.pid))
    try:
        os.killpg(worker.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
