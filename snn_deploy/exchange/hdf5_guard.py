"""A process of its own that opens strangers' HDF5 files before this one does, and may hang or crash on them.

It is started with the first file, answers one after the other, and is started again where it was lost. Run as a module, it
is that process: a path and a number of elements in each line of standard input, the reason of a refusal in each of its output.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

SECONDS = 20
"""Longest wait for an answer: a sound file of the largest size takes some seconds on a busy machine."""

_HUNG = (
    f"the HDF5 library did not come to an end within {SECONDS} s, or crashed; the file is damaged, or made to do this"
)

_lock = threading.Lock()
_running: dict[int, subprocess.Popen[bytes]] = {}
"""The process, while there is one, by the number of the process that started it: a fork does not inherit it."""


def ask(path: Path, allowed: int) -> str:
    """Why the HDF5 file ``path`` is refused (:func:`snn_deploy.exchange.hdf5.find_refusal`); empty where it is not."""
    with _lock:
        process = _running.get(os.getpid())
        if process is None or process.poll() is not None:
            process = _start()
        question = json.dumps([os.fsdecode(path.absolute()), allowed])
        try:
            if process.stdin is None or process.stdout is None:
                return _HUNG
            process.stdin.write(question.encode() + b"\n")
            process.stdin.flush()
            answered = select.select([process.stdout], [], [], SECONDS)[0]
            line = process.stdout.readline() if answered else b""
        except OSError:
            line = b""
        if not line:
            _stop()
            return _HUNG
        return str(json.loads(line))


def _start() -> subprocess.Popen[bytes]:
    _stop()
    command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-m", __name__]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    atexit.register(_stop)
    _running[os.getpid()] = process
    return process


def _stop() -> None:
    process = _running.pop(os.getpid(), None)
    if process is not None:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def main() -> None:
    """Answer until standard input ends."""
    import signal

    from snn_deploy.exchange.hdf5 import find_refusal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and that ends standard input
    for line in sys.stdin.buffer:
        path, allowed = json.loads(line)
        sys.stdout.write(json.dumps(find_refusal(Path(os.fsdecode(os.fsencode(path))), allowed)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
