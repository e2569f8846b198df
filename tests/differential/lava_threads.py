"""Runs many small Lava jobs in one process: ``python lava_threads.py FOLDER...``.

Lava starts an operating system's process for every process of its graph, which costs more than a small network computes.
Here they are threads, and their channels plain memory; compiler, runtime and process models are Lava's and ours. Each
``FOLDER`` is a job of :mod:`snn_deploy_lava.runtime.worker`, whose results it receives; ``error.txt`` holds what failed.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snn_deploy_lava.runtime import lava_import, worker


class ActorThread(threading.Thread):
    """What Lava's ``SystemProcess`` is for its runtime."""

    exitcode = 0

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(target=self._guarded, daemon=True)
        self._call = target, args, kwargs
        self._parent_pid = os.getpid()
        self.exception: tuple[Exception, str] | None = None

    def _guarded(self) -> None:
        target, args, kwargs = self._call
        try:
            target(*args, **kwargs)
        except Exception as error:
            self.exception = error, traceback.format_exc()


class PlainMemory:
    """What Lava's ``SharedMemoryManager`` is for its channels."""

    def start(self) -> None:
        """Nothing to start."""

    def shutdown(self) -> None:
        """Nothing to release."""

    def create_shared_memory(self, size: int) -> SimpleNamespace:
        """Memory of ``size`` bytes."""
        return SimpleNamespace(buf=memoryview(bytearray(size)))


def use_threads() -> None:
    """Put threads and plain memory in the place of processes and shared memory, in this process."""
    lava_import.prepare()
    from lava.magma.compiler.channels import pypychannel
    from lava.magma.runtime import runtime
    from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure

    infrastructure.SystemProcess = ActorThread
    infrastructure.SharedMemoryManager = PlainMemory
    pypychannel.Semaphore = threading.Semaphore
    runtime.Queue = queue.Queue


def main() -> None:
    """Run every job; one that fails does not keep others from running."""
    use_threads()
    worker.REPORTS = 1  # progress would pause Lava
    for folder in map(Path, sys.argv[1:]):
        try:
            for _ in worker.run(folder):
                pass
        except Exception:
            (folder / "error.txt").write_text(traceback.format_exc(), "utf-8")
    os._exit(0)


if __name__ == "__main__":
    main()
