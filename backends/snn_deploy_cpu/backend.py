"""The backend: groups of images, chunks of steps, and what is recorded of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import CompiledForm
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.errors import BackendError
from snn_deploy.network.network import Network, Population
from snn_deploy_cpu import executor
from snn_deploy_cpu.activations import Activations, OutputBuffers
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.conv.autotune import Overrides
from snn_deploy_cpu.executor import NeuronRunner, PassThroughRunner, Runner
from snn_deploy_cpu.lazy_maps import LazyMaps
from snn_deploy_cpu.plan import Engine, Layer, PassThroughLayer, Plan, prepare
from snn_deploy_cpu.thread_pool import ThreadPool

CHUNK_STEPS = 16
"""Steps computed layer by layer before the next ones; more gain nothing (docs/performance.md)."""

CHUNK_BYTES = 512 * 2**20
"""Bytes of payloads that a chunk may have alive at a time; steps are taken fewer at a time beyond it."""

UNUSED_BYTES = 128 * 2**20
"""Bytes of memory that stay reserved from run to run."""


class CpuBackend:
    """Runs aligned networks. ``engine`` overrides the automatic choice: ``int8``, ``f32`` or ``f64``.

    ``threads`` share out the images, or the rows of each layer where there are fewer images than threads.

    How a layer is computed is measured on this machine, unless it is told: those whose density (share of payloads that
    are not 0) lies below ``sparse_below`` take the sparse path, others do not; ``direct`` takes the direct path wherever it
    exists, or nowhere. ``sparse_below=0, direct=False`` leaves everything to a library.
    """

    name = "cpu"

    def __init__(
        self,
        engine: Engine | None = None,
        threads: int = 1,
        sparse_below: float | None = None,
        direct: bool | None = None,
    ) -> None:
        if threads < 1:
            raise BackendError(f"backend cpu: {threads} threads; at least 1 is needed")
        self._engine, self._threads, self._overrides = engine, threads, Overrides(sparse_below, direct)
        # by identity and weakly: a network is immutable, and its plan must not keep it alive
        self._plans: WeakKeyDictionary[Network, Plan] = WeakKeyDictionary()
        self._pool = BufferPool()

    def __reduce__(self) -> tuple[type[CpuBackend], tuple[Engine | None, int, float | None, bool | None]]:
        """Plans stay in the process that made them."""
        return CpuBackend, (self._engine, self._threads, self._overrides.sparse_below, self._overrides.direct)

    def run(
        self, network: Network, stimulus: Int64, record: Record = Record.COUNTS, progress: Progress | None = None
    ) -> Run:
        """Run ``stimulus`` (B, C, H, W); in ``exact`` mode :class:`BackendError` unless all neurons end silent."""
        check_stimulus(network, stimulus)
        started = time.perf_counter()
        plan = self._plan(network)
        log = _Log.of(plan, stimulus, record)
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

    def _run_group(self, plan: Plan, log: _Log, stimulus: Int64, images: slice, threads: ThreadPool) -> list[Runner]:
        """Run ``stimulus``, the images ``images`` of all, through all chunks; ``log``'s buffers receive what is recorded.

        Returns the layers' runners, which know what happened in them.
        """
        network, chunk = plan.network, _chunk_steps(plan, stimulus.shape[0])
        # once for all layers and steps
        source = np.ascontiguousarray(np.moveaxis(stimulus, 1, -1), plan.input_formats.payload)
        runners: list[Runner] = []
        for layer in plan.layers:
            outputs = log.outputs[layer.population.name].of_images(images)
            if isinstance(layer, PassThroughLayer):
                source_outputs = log.outputs[layer.source].of_images(images)
                runners.append(PassThroughRunner(layer, outputs, chunk, network.steps, source_outputs))
            else:
                runners.append(NeuronRunner(layer, outputs, chunk, network, source, self._overrides, self._pool))
        for step in range(0, network.steps, chunk):
            activations = Activations({network.input.name: source}, self._pool)
            for runner, read in zip(runners, plan.last_reads, strict=True):
                runner.run(activations, step, min(chunk, network.steps - step), threads)
                for name in read:
                    activations.release(name)
        # only exact mode promises silence; in rate mode the window cuts a steady state
        active = [runner.name for runner in runners if runner.would_fire()] if network.mode == "exact" else []
        for runner in runners:
            runner.close(self._pool)
        if active:
            raise BackendError(
                f"exact mode is not silent after {network.duration} steps: {', '.join(active[:4])}; "
                "the schedule's window is too short"
            )
        return runners

    def read_compiled(self, network: Network) -> CompiledForm:
        """What its plan computes with, read back from operators and neurons."""
        from snn_deploy_cpu.compiled import read_plan

        return read_plan(self._plan(network))

    def _plan(self, network: Network) -> Plan:
        plan = self._plans.get(network)
        if plan is None:
            plan = prepare(network, self._engine)
            self._plans[network] = plan
        return plan


@dataclass(frozen=True, eq=False)
class _Log:
    """What is recorded of all images, by population."""

    outputs: dict[str, OutputBuffers]
    saturations: dict[str, int]
    compiled: dict[str, frozenset[str]]

    @classmethod
    def of(cls, plan: Plan, stimulus: Int64, record: Record) -> _Log:
        """Empty buffers, but for the input's, which are filled."""
        network, images = plan.network, stimulus.shape[0]
        formats = {layer.population.name: layer.formats for layer in plan.layers}
        formats[network.input.name] = plan.input_formats
        outputs = {}
        for population in network.populations:
            kind, shape = formats[population.name], _last(population)
            window = (images, network.steps, *shape)
            states = record >= Record.STATES and population.neuron is not None
            outputs[population.name] = OutputBuffers(
                np.zeros((images, *shape), kind.count),
                None if network.steps == 1 else np.zeros((images, *shape), kind.events),
                np.zeros(window, kind.payload) if record >= Record.TRAINS else None,
                np.zeros(window, np.int32) if states else None,
                np.zeros(window, np.int32) if states and _remembers(population) else None,
            )
        names = [layer.population.name for layer in plan.layers]
        log = cls(outputs, dict.fromkeys(names, 0), dict.fromkeys(names, frozenset[str]()))
        payloads, sent = np.moveaxis(stimulus, 1, -1), outputs[network.input.name]
        # the input has no runner: what the host sends is known before anything runs
        sent.counts[...] = payloads * network.input_steps
        if sent.events is not None:
            sent.events[...] = (payloads != 0) * network.input_steps
        if sent.trains is not None:
            sent.trains[:, : network.input_steps] = payloads[:, None]
        return log

    def add(self, runners: Sequence[Runner]) -> None:
        """Add what happened in a group of images."""
        for runner in runners:
            self.saturations[runner.name] += runner.saturations
            self.compiled[runner.name] |= runner.compiled

    def _engine(self, layer: Layer) -> str:
        return "+".join((layer.engine, *sorted(self.compiled[layer.population.name])))

    def result(self, plan: Plan, stimulus: Int64, seconds: float) -> Run:
        """The run, as the protocol has it."""
        outputs = self.outputs.items()
        counts = {name: buffers.counts for name, buffers in outputs}
        events = {name: buffers.events for name, buffers in outputs if buffers.events is not None}
        trains = {name: buffers.trains for name, buffers in outputs if buffers.trains is not None}
        states = {name: buffers.states for name, buffers in outputs if buffers.states is not None}
        second = {name: buffers.second_states for name, buffers in outputs if buffers.second_states is not None}
        return Run(
            backend=CpuBackend.name,
            network=plan.digest,
            stimulus=digest_stimulus(stimulus),
            counts=LazyMaps(counts, np.int64),
            events=LazyMaps(events or counts, np.int64, nonzero=not events),
            trains=LazyMaps(trains, np.int32) if trains else None,
            states=LazyMaps(states, np.int32) if states else None,
            second_states=LazyMaps(second, np.int32) if states else None,
            saturations=self.saturations,
            engines={layer.population.name: self._engine(layer) for layer in plan.layers},
            seconds=seconds,
        )


def _remembers(population: Population) -> bool:
    return population.neuron is not None and population.neuron.has_second_state


def _last(population: Population) -> tuple[int, int, int]:
    """The shape (H, W, C)."""
    channels, height, width = population.shape
    return height, width, channels


def _group_size(plan: Plan) -> int:
    """Images that are taken together: several small ones fill a block."""
    largest = max(layer.population.size for layer in plan.layers)
    return max(1, executor.BLOCK_BYTES // (largest * np.dtype(np.float32).itemsize))


def _chunk_steps(plan: Plan, images: int) -> int:
    """Steps of a chunk."""
    return max(1, min(CHUNK_STEPS, plan.network.steps, CHUNK_BYTES // (images * plan.peak_payload_bytes)))
