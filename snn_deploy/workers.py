"""A parallel map with Dask distributed, over local processes or the workers of a scheduler.

The function is a callable value that all inputs share; it is sent to each worker once and may cache there what it prepares.
A result depends on its input alone and comes with the input's index, so neither the number of workers nor the order in
which they finish changes anything. Inputs of a lost worker are computed again by others. With one worker and without a
scheduler everything happens in this process, and Dask is not needed.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from snn_deploy.errors import BackendError, BackendUnavailableError, ClippedInputWarning, suggest_extras

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

Input = TypeVar("Input")
Result = TypeVar("Result")

PACKAGE = "snn-deploy"
"""The distribution that every worker must have, in the same version."""

TASKS_PER_WORKER = 4
"""Submitted inputs for each worker: enough to keep it busy, few enough for memory."""

CONNECT_TIMEOUT_S = 20
"""Seconds to wait for a scheduler, and then for its first worker."""

SETTINGS = {"distributed.admin.large-graph-warning-threshold": "2GiB"}
"""Networks and images are large, and sending them is the purpose."""

_lock = threading.Lock()
"""Workers with several threads compute one input at a time: backends have their own threads, and caches without locks."""


def spread(
    function: Callable[[Input], Result], inputs: Iterable[Input], *, scheduler: str | None = None, workers: int = 1
) -> Iterator[tuple[int, Result]]:
    """``(index, function(inputs[index]))`` as results arrive; inputs are taken from the iterable shortly before they are sent.

    ``scheduler`` is the address of a running one (``tcp://host:8786``); otherwise ``workers`` local processes are started,
    or none where that is 1. ``function``, inputs and results must survive pickling. Errors of ``function`` are raised here,
    and its :class:`ClippedInputWarning` are issued here; :class:`BackendError` where an input loses one worker after the other.
    """
    if workers < 1:
        raise BackendError(f"{workers} workers; at least 1 is needed")
    if scheduler is None and workers == 1:
        for index, value in enumerate(inputs):
            yield index, function(value)
        return
    with _client(scheduler, workers) as client:
        yield from _distribute(client, function, inputs)


def gather(
    function: Callable[[Input], Result],
    inputs: Iterable[Input],
    total: int,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """``list(map(function, inputs))``, ``total`` results, by :func:`spread`; ``progress(done, total)`` after each."""
    results: dict[int, Result] = {}
    for index, result in spread(function, inputs, scheduler=scheduler, workers=workers):
        results[index] = result
        if progress is not None:
            progress(len(results), total)
    return [results[index] for index in range(len(results))]


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Client]:
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BackendUnavailableError(
            f"several workers need Dask distributed: {suggest_extras('dask')}; or use --workers 1"
        ) from error
    if scheduler is not None:
        with dask.config.set(SETTINGS), _connect(Client, scheduler) as client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        dask.config.set(SETTINGS | {"temporary-directory": folder}),
        _started(LocalCluster, workers) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _started(kind: type[LocalCluster], workers: int) -> LocalCluster:
    """A cluster of local processes; :class:`BackendError` where one dies before it is ready."""
    try:
        return kind(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            preload=[__name__],
        )
    except (RuntimeError, OSError) as error:  # TimeoutError is an OSError
        raise BackendError(
            f"--workers {workers}: a worker ended before it was ready ({error}); try fewer workers"
        ) from error


def _connect(client_class: type[Client], scheduler: str) -> Client:
    """A client of ``scheduler``, once that has a worker."""
    import dask

    settings = [f"distributed.comm.tls.{name}" for name in ("ca-file", "client.cert", "client.key")]
    absent = [name for name in settings if dask.config.get(name, None) is None]
    if scheduler.startswith("tls://") and absent:
        raise BackendUnavailableError(
            f"--scheduler {scheduler}: TLS needs certificates; set {', '.join(absent)} of Dask, in its configuration or as "
            f"DASK_{absent[0].upper().replace('.', '__').replace('-', '_')} and the like"
        )
    try:
        client = client_class(scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise BackendUnavailableError(
            f"--scheduler {scheduler}: cannot connect ({error}); start one with dask scheduler, or check the address"
        ) from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_TIMEOUT_S)
    except TimeoutError as error:
        client.close()
        raise BackendUnavailableError(
            f"--scheduler {scheduler}: no worker within {CONNECT_TIMEOUT_S} s; start one with dask worker {scheduler}"
        ) from error
    try:
        versions = client.run(version, PACKAGE)
    except PackageNotFoundError as error:
        client.close()
        raise BackendUnavailableError(f"--scheduler {scheduler}: a worker lacks {PACKAGE}; install it there") from error
    for address, installed in versions.items():
        if installed != version(PACKAGE):
            client.close()
            raise BackendUnavailableError(
                f"--scheduler {scheduler}: worker {address} has {PACKAGE} {installed}, this client {version(PACKAGE)}; "
                "install the same version on both"
            )
    return client


def _distribute(
    client: Client, function: Callable[[Input], Result], inputs: Iterable[Input]
) -> Iterator[tuple[int, Result]]:
    from cloudpickle import dumps
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    # The function is the result of a task, not scattered data: where it is lost with a worker, it is computed again. It
    # travels as bytes: where Dask itself cannot unpack an argument, it closes the connection and waits forever, while an
    # error in our task is reported.
    shared = client.submit(_unpack, dumps(function), pure=False)
    pending = enumerate(inputs)
    indices: dict[str, int] = {}

    def submit(number: int) -> list[Future]:
        """Submit the next inputs and remember which index each result will have."""
        futures = []
        for index, value in islice(pending, number):
            futures.append(client.submit(_call, shared, dumps(value), pure=False))
            indices[futures[-1].key] = index
        return futures

    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    arriving = as_completed(submit(TASKS_PER_WORKER * workers), loop=client.loop)
    for future in arriving:
        index = indices.pop(future.key)
        try:
            result, told = future.result()
        except KilledWorker as error:
            raise BackendError(
                f"input {index}: one worker after the other ended while computing it, perhaps for lack of memory; "
                f"use fewer workers or smaller images ({error})"
            ) from error
        except ModuleNotFoundError as error:
            raise BackendError(f"a worker lacks {error.name}; install there what is installed here") from error
        for warning in told:
            warnings.warn(warning, stacklevel=2)
        arriving.update(submit(1))
        yield index, result


def dask_setup(_: object) -> None:
    """Called by Dask in every local worker process: Ctrl-C is left to the process that started them, which stops them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unpack(packed: bytes) -> Any:
    from cloudpickle import loads

    return loads(packed)


def _call(function: Callable[[Input], Result], packed: bytes) -> tuple[Result, tuple[ClippedInputWarning, ...]]:
    """The result, and the warnings that whoever asked for it must see."""
    with _lock:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ClippedInputWarning)
            result = function(_unpack(packed))
        for entry in caught:
            if not isinstance(entry.message, ClippedInputWarning):
                warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
    return result, tuple(entry.message for entry in caught if isinstance(entry.message, ClippedInputWarning))
