"""Work shared out over processes: results in the order of the items, however many processes there are."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from snn_deploy.errors import BackendError

Item = TypeVar("Item")
Result = TypeVar("Result")

_held: list[Callable[[Any], Any]] = []
"""In a worker process: the function it was started with."""


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``work`` of each of ``items`` by ``workers`` processes; 1 works in this one.

    ``work`` travels to each process once, so what it prepares is kept there; items are taken at most two for each
    process ahead of the results. ``work``, items and results must survive pickling.
    """
    if workers < 1:
        raise BackendError(f"{workers} worker processes; at least 1 is needed")
    if workers == 1:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _hold, (work,)) as pool:
        try:
            for item in items:
                pending.append(pool.submit(_apply, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise BackendError("a worker process died, perhaps for lack of memory; use fewer workers") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _hold(work: Callable[[Any], Any]) -> None:
    _held.append(work)


def _apply(item: Any) -> Any:
    return _held[0](item)
