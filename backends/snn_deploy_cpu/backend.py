"""The backend: still images in groups that share a plan, and streams."""

from __future__ import annotations

import os
import time
from weakref import WeakKeyDictionary

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import CompiledForm
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus
from snn_deploy.backend.stream import FrameStream, StreamState
from snn_deploy.errors import BackendError
from snn_deploy.network.network import Network
from snn_deploy_cpu import executor
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.conv.autotune import Overrides
from snn_deploy_cpu.executor import Runner
from snn_deploy_cpu.plan import Engine, Plan, prepare
from snn_deploy_cpu.stream import CpuStream
from snn_deploy_cpu.thread_pool import ThreadPool
from snn_deploy_cpu.window import NAME, Log, channels_last, make_runners, run_window

UNUSED_BYTES = 128 * 2**20
"""Bytes of memory that stay reserved from run to run."""


class CpuBackend:
    """Runs layers one after the other: no event may arrive before its target's window. ``engine``: ``int8``, ``f32`` or ``f64``.

    ``threads`` share out the images, or the rows of each layer where there are fewer images than threads; ``None`` takes as many
    as the environment variable OMP_NUM_THREADS names, as numerical libraries do, or one.

    How a layer is computed is measured on this machine, unless it is told: those whose density (share of payloads that
    are not 0) lies below ``sparse_below`` take the sparse path, others do not; ``direct`` takes the direct path wherever it
    exists, or nowhere. ``sparse_below=0, direct=False`` leaves everything to a library.
    """

    name = NAME

    def __init__(
        self,
        engine: Engine | None = None,
        threads: int | None = None,
        sparse_below: float | None = None,
        direct: bool | None = None,
    ) -> None:
        threads = _named_threads() if threads is None else threads
        if threads < 1:
            raise BackendError(f"backend cpu: {threads} threads; at least 1 is needed")
        self._engine, self._threads, self._overrides = engine, threads, Overrides(sparse_below, direct)
        # by identity and weakly: a network is immutable, and its plan must not keep it alive
        self._plans: WeakKeyDictionary[Network, dict[bool, Plan]] = WeakKeyDictionary()
        self._pool = BufferPool()

    def __reduce__(self) -> tuple[type[CpuBackend], tuple[Engine | None, int, float | None, bool | None]]:
        """Plans stay in the process that made them."""
        return CpuBackend, (self._engine, self._threads, self._overrides.sparse_below, self._overrides.direct)

    def run(
        self, network: Network, stimulus: Int64, record: Record = Record.COUNTS, progress: Progress | None = None
    ) -> Run:
        """Run ``stimulus`` (B, C, H, W), or (B, T, C, H, W) with an input for each step of a ``rate``-mode window.

        In ``exact`` mode :class:`BackendError` unless all neurons end silent.
        """
        check_stimulus(network, stimulus, varying=True)
        started = time.perf_counter()
        plan = self._plan(network, varying=stimulus.ndim == 5)
        log = Log.of(plan, stimulus, record)
        images, size = stimulus.shape[0], _group_size(plan)
        groups = [slice(first, min(first + size, images)) for first in range(0, images, size)]
        serial = ThreadPool(1)
        with ThreadPool(self._threads) as threads:
            for first in range(0, len(groups), self._threads):
                batch = groups[first : first + self._threads]
                if len(batch) == self._threads:
                    done = threads.map(lambda group: self._run_group(plan, log, stimulus[group], group, serial), batch)
                else:  # fewer groups than threads: each group takes all of them
                    done = [self._run_group(plan, log, stimulus[group], group, threads) for group in batch]
                for runners in done:
                    log.add(runners)
                if progress is not None:
                    progress(batch[-1].stop, images)
        self._pool.trim(UNUSED_BYTES)
        return log.result(plan, stimulus, time.perf_counter() - started)

    def _run_group(self, plan: Plan, log: Log, stimulus: Int64, images: slice, threads: ThreadPool) -> list[Runner]:
        """Run ``stimulus``, the images ``images`` of all, through all chunks; ``log``'s buffers receive what is recorded.

        Returns the layers' runners, which know what happened in them.
        """
        # once for all layers and steps
        source = channels_last(plan, stimulus)
        outputs = {name: buffers.of_images(images) for name, buffers in log.outputs.items()}
        runners = make_runners(plan, outputs, source, self._overrides, self._pool)
        try:
            run_window(plan, runners, source, self._pool, threads)
        finally:
            for runner in runners:
                runner.close(self._pool)
        return runners

    def open_stream(self, network: Network, state: StreamState) -> FrameStream:
        """A stream that goes on from ``state``."""
        return CpuStream(self._plan(network), state, self._overrides, self._pool, self._threads)

    def read_compiled(self, network: Network) -> CompiledForm:
        """What its plan computes with, read back from operators and neurons."""
        from snn_deploy_cpu.compiled import read_plan

        return read_plan(self._plan(network))

    def _plan(self, network: Network, *, varying: bool = False) -> Plan:
        plans = self._plans.setdefault(network, {})
        if varying not in plans:
            plans[varying] = prepare(network, self._engine, varying=varying)
        return plans[varying]


def _named_threads() -> int:
    """The threads that the environment names."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(named)) if named.isdecimal() and len(named) < 5 else 1


def _group_size(plan: Plan) -> int:
    """Images that are taken together: several small ones fill a block."""
    largest = max(layer.population.size for layer in plan.layers)
    return max(1, executor.BLOCK_BYTES // (largest * np.dtype(np.float32).itemsize))
