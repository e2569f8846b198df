"""One file, read in a child of its own with bounded time and memory, and what the law says of how that ended.

A file is accepted, or refused by one of our errors in one line. Anything else is a finding: another exception, a warning,
more than ``SECONDS`` or ``MEMORY``, a crash.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snn_deploy.errors import SnnDeployError

SECONDS = 5
MEMORY = 2**30
"""What reading a small file may take, in seconds of processor time and bytes beyond what the program has at its start."""

LONGEST = 20_000
"""Characters of a message."""


@dataclass(frozen=True)
class Outcome:
    """``kind`` is accepted, refused or a kind of finding; ``text`` what was said, with the place where it was."""

    kind: str
    text: str

    @property
    def is_finding(self) -> bool:
        """Whether the law is broken."""
        return self.kind not in ("accepted", "refused")


def judge(read: Callable[[Path], None], path: Path) -> Outcome:
    """Read ``path`` in this process, and name how that ended."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except SnnDeployError as error:
        message = str(error)
        if "\n" in message or len(message) > LONGEST or not message:
            return Outcome("message", f"{len(message)} characters: {message[:300]!r}")
        return Outcome("refused", message[:300])
    except MemoryError as error:
        return Outcome("memory", _place(error))
    except Exception as error:  # what is sought
        return Outcome("exception", f"{type(error).__name__}: {str(error)[:200]!r} {_place(error)}")
    return Outcome("accepted", "")


def _place(error: BaseException) -> str:
    """Where ``error`` came from: the last lines of our own code, the same for all findings of one defect."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "fuzzing" not in frame.filename]
    own = [frame for frame in frames if "snn_deploy" in frame.filename] or frames
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in own[:-3:-1])


def judge_in_child(read: Callable[[Path], None], path: Path) -> Outcome:
    """The same in a child that is forked off, which may not take more than the law allows, and may crash."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 warns of threads, which the child does not use
        child = os.fork()
    if child == 0:
        os.close(reading)
        _run_child(read, path, writing)
    os.close(writing)
    said = b""
    while select.select([reading], [], [], 4 * SECONDS)[0]:
        piece = os.read(reading, 2**16)
        if not piece:
            break
        said += piece
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if said:
        return Outcome(*json.loads(said))
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        kind = "time" if number in (signal.SIGXCPU, signal.SIGKILL) else "crash"
        return Outcome(kind, signal.Signals(number).name)
    return Outcome("crash", f"exit status {os.waitstatus_to_exitcode(status)}")


def _run_child(read: Callable[[Path], None], path: Path, writing: int) -> None:
    """Never returns."""
    try:
        faulthandler.disable()
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + SECONDS, used + SECONDS))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        outcome = judge(read, path)
        os.write(writing, json.dumps([outcome.kind, outcome.text]).encode())
    finally:
        sys.stdout = sys.stderr = None  # nothing of the parent's is flushed twice
        os._exit(0)
