"""One function over many inputs, on many machines: Dask distributed moves the work, the results stay the same.

The function is called once for each item, with one value that all calls share; results come back in the order of the
items, so nothing depends on the number of workers or on which finishes first. A worker that is lost gives its items to
the others. Without a scheduler and with one worker everything happens in this process and Dask is not needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from snn_deploy.backend import Progress
from snn_deploy.errors import BackendError, BackendUnavailableError

if TYPE_CHECKING:
    from distributed import Client, Future

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 4
"""Items on their way for each worker: enough to keep it busy, few enough for memory."""

CONNECT_S = 20
"""Seconds to wait for a scheduler."""


def spread(
    function: Callable[[Shared, Item], Result],
    shared: Shared,
    items: Iterable[Item],
    total: int,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Result]:
    """``[function(shared, item) for item in items]``, ``total`` of them.

    ``scheduler`` is the address of a running one (``tcp://host:8786``); otherwise ``workers`` local processes are started.
    Errors of ``function`` are raised here; :class:`BackendError` where an item loses one worker after the other.
    """
    if scheduler is None and workers <= 1:
        found = []
        for item in items:
            found.append(function(shared, item))
            if progress is not None:
                progress(len(found), total)
        return found
    with _client(scheduler, workers) as client:
        return _distributed(client, function, shared, items, total, progress)


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Client]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BackendUnavailableError(
            "several workers need Dask distributed: pip install snn-deploy[dask]; or use --workers 1"
        ) from error
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise BackendUnavailableError(f"--scheduler {scheduler}: nobody answers there ({error})") from error
        with client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _distributed(
    client: Client,
    function: Callable[[Shared, Item], Result],
    shared: Shared,
    items: Iterable[Item],
    total: int,
    progress: Progress | None,
) -> list[Result]:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    common = client.submit(_same, shared, pure=False)  # a task and no scattered data: computed again where it is lost
    queue = enumerate(items)
    places: dict[str, int] = {}

    def submitted(number: int) -> list[Future]:
        """The next items on their way; where each result belongs stays here."""
        futures = []
        for place, item in islice(queue, number):
            futures.append(client.submit(function, common, item, pure=False))
            places[futures[-1].key] = place
        return futures

    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    arriving = as_completed(submitted(IN_FLIGHT * workers), loop=client.loop)
    results: dict[int, Result] = {}
    for future in arriving:
        try:
            results[places[future.key]] = future.result()
        except KilledWorker as error:
            raise BackendError(f"item {places[future.key]} lost one worker after the other: {error}") from error
        if progress is not None:
            progress(len(results), total)
        arriving.update(submitted(1))
    return [results[place] for place in range(len(results))]


def _same(value: Shared) -> Shared:
    return value
