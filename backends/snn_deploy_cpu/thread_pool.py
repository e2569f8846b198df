"""Threads of one run. Libraries are limited to one thread each, so that nothing is oversubscribed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class ThreadPool:
    """``threads`` threads, the caller's among them, that share out independent tasks.

    Kernels and libraries release the interpreter.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def __enter__(self) -> ThreadPool:
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """``work`` done on each of ``tasks``; results in their order. The first exception of a thread is raised again.

        No thread takes another task once its own has failed; tasks that have begun end first.
        """
        if self._executor is None or len(tasks) < 2:
            return [work(task) for task in tasks]
        waiting, results = deque(enumerate(tasks)), dict[int, Result]()

        def take() -> None:
            while True:
                # popleft, and not a test before it: another thread may take the last task in between
                try:
                    place, task = waiting.popleft()
                except IndexError:
                    return
                results[place] = work(task)

        helpers = [self._executor.submit(take) for _ in range(min(self.threads, len(tasks)) - 1)]
        try:
            take()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()
        return [results[place] for place in range(len(tasks))]
