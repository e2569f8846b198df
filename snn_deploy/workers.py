"""One piece of work over many items, on many machines: Dask distributed moves it, the results stay the same.

The work is a callable value that all items share; it reaches each worker once and may keep there what it prepares. A
result depends on its item alone and comes with the item's place, so nothing depends on the number of workers or on
which finishes first. A worker that is lost gives its items to the others. Without a scheduler and with one worker
everything happens in this process and Dask is not needed.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from snn_deploy.errors import BackendError, BackendUnavailableError

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

PACKAGE = "snn-deploy"
"""What every worker must have, in the same version."""

IN_FLIGHT = 4
"""Items on their way for each worker: enough to keep it busy, few enough for memory."""

CONNECT_S = 20
"""Seconds to wait for a scheduler, and then for its first worker."""

SETTINGS = {"distributed.admin.large-graph-warning-threshold": "2GiB"}
"""Networks and images are large, and meant to travel."""

_turn = threading.Lock()
"""Workers with several threads compute one item at a time: backends have threads of their own, and caches."""


def spread(
    work: Callable[[Item], Result], items: Iterable[Item], *, scheduler: str | None = None, workers: int = 1
) -> Iterator[tuple[int, Result]]:
    """``(place, work(item))`` of every item, as results arrive; items are taken when a worker is near them.

    ``scheduler`` is the address of a running one (``tcp://host:8786``); otherwise ``workers`` local processes are started,
    or none where that is 1. ``work``, items and results must survive pickling. Errors of ``work`` are raised here;
    :class:`BackendError` where an item loses one worker after the other.
    """
    if workers < 1:
        raise BackendError(f"{workers} workers; at least 1 is needed")
    if scheduler is None and workers == 1:
        for place, item in enumerate(items):
            yield place, work(item)
        return
    with _client(scheduler, workers) as client:
        yield from _distributed(client, work, items)


def gather(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    total: int,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """``[work(item) for item in items]``, ``total`` of them, by :func:`spread`."""
    found: dict[int, Result] = {}
    for place, result in spread(work, items, scheduler=scheduler, workers=workers):
        found[place] = result
        if progress is not None:
            progress(len(found), total)
    return [found[place] for place in range(len(found))]


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Client]:
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BackendUnavailableError(
            "several workers need Dask distributed: pip install snn-deploy[dask]; or use --workers 1"
        ) from error
    if scheduler is not None:
        with dask.config.set(SETTINGS), _connected(Client, scheduler) as client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        dask.config.set(SETTINGS | {"temporary-directory": folder}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            preload=[__name__],
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _connected(kind: type[Client], scheduler: str) -> Client:
    """A client of ``scheduler``, once that has a worker."""
    try:
        client = kind(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise BackendUnavailableError(f"--scheduler {scheduler}: nobody answers there ({error})") from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        client.close()
        raise BackendUnavailableError(
            f"--scheduler {scheduler}: has no worker; start one with dask worker {scheduler}"
        ) from error
    try:
        versions = client.run(version, PACKAGE)
    except PackageNotFoundError as error:
        client.close()
        raise BackendUnavailableError(f"--scheduler {scheduler}: a worker lacks {PACKAGE}; install it there") from error
    for address, found in versions.items():
        if found != version(PACKAGE):
            client.close()
            raise BackendUnavailableError(
                f"--scheduler {scheduler}: worker {address} has {PACKAGE} {found}, and this is {version(PACKAGE)}"
            )
    return client


def _distributed(client: Client, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
    from cloudpickle import dumps
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    # A task and no scattered data: computed again where it is lost. Bytes: what a worker cannot unpack is an error of the
    # task; Dask's own unpacking would end that worker's connection and wait forever.
    common = client.submit(_unpacked, dumps(work), pure=False)
    queue = enumerate(items)
    places: dict[str, int] = {}

    def submitted(number: int) -> list[Future]:
        """The next items on their way; where each result belongs stays here."""
        futures = []
        for place, item in islice(queue, number):
            futures.append(client.submit(_apply, common, dumps(item), pure=False))
            places[futures[-1].key] = place
        return futures

    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    arriving = as_completed(submitted(IN_FLIGHT * workers), loop=client.loop)
    for future in arriving:
        place = places.pop(future.key)
        try:
            result = future.result()
        except KilledWorker as error:
            raise BackendError(
                f"item {place} lost one worker after the other, perhaps for lack of memory: {error}"
            ) from error
        except ModuleNotFoundError as error:
            raise BackendError(f"a worker lacks {error.name}; install there what is installed here") from error
        arriving.update(submitted(1))
        yield place, result


def dask_setup(_: object) -> None:
    """Called by Dask in every local worker process: Ctrl-C is for the process that started it, which ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unpacked(packed: bytes) -> Any:
    from cloudpickle import loads

    return loads(packed)


def _apply(work: Callable[[Item], Result], packed: bytes) -> Result:
    with _turn:
        return work(_unpacked(packed))
