"""Threads of one run. Each computes alone: the libraries below are held to one thread, so nothing is oversubscribed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from snn_deploy_cpu.conv import providers as libraries

Item = TypeVar("Item")
Result = TypeVar("Result")


class Team:
    """``threads`` threads, the caller's among them, that share out independent pieces of work.

    Kernels and libraries release the interpreter.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """``work`` done on each of ``items``; results in their order."""
        if self._pool is None or len(items) < 2:
            return [work(item) for item in items]
        waiting, done = deque(enumerate(items)), dict[int, Result]()

        def take() -> None:
            with libraries.single_thread():
                while True:
                    try:
                        place, item = waiting.popleft()
                    except IndexError:
                        return
                    done[place] = work(item)

        helpers = [self._pool.submit(take) for _ in range(min(self.threads, len(items)) - 1)]
        try:
            take()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()
        return [done[place] for place in range(len(items))]
