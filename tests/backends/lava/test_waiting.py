"""A process of Lava wakes for every command, also for one that arrives while it takes the one before."""

from __future__ import annotations

import importlib.util
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snn_deploy_lava.runtime import lava_import

pytestmark = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


def test_a_command_that_arrives_while_another_is_taken_wakes_its_process() -> None:
    """Lava's own thread finds the first command queued, is overtaken by the process, which then waits, and does not wake it."""
    lava_import.prepare()
    from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSelector, Proto
    from lava.magma.compiler.channels.watchdog import NoOPWatchdog

    second, asleep = threading.Event(), threading.Event()

    class OvertakenPort(CspRecvPort):  # type: ignore[misc]
        def probe(self) -> bool:
            queued: bool = super().probe()
            if queued and threading.current_thread() is self.thread:
                second.set()
                asleep.wait(60)
            return queued

    class Selector(CspSelector):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._sleep, self._cv.wait = self._cv.wait, self._wait

        def _wait(self) -> None:
            asleep.set()
            self._sleep()

    memory = SimpleNamespace(buf=memoryview(bytearray(8)))
    arrived = threading.Semaphore(0)
    port = OvertakenPort(
        "commands",
        memory,
        Proto((1,), np.int32, 4),
        2,
        arrived,
        threading.Semaphore(0),
        NoOPWatchdog(None),
        NoOPWatchdog(None),
    )
    port.start()
    put = port._queue.put_nowait

    def put_and_tell(item: int) -> None:
        put(item)
        if port._queue.qsize() == 2:
            second.set()

    port._queue.put_nowait = put_and_tell
    arrived.release(2)
    assert second.wait(60)
    port.recv()
    woken: list[Any] = []
    process = threading.Thread(target=lambda: woken.append(Selector().select((port, port.recv))), daemon=True)
    process.start()
    process.join(10)
    assert len(woken) == 1
