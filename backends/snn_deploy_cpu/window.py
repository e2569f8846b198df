"""One window of steps: chunks of steps through all layers, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.errors import BackendError
from snn_deploy.network.network import Population
from snn_deploy_cpu.activations import Activations, OutputBuffers
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.conv.autotune import Overrides
from snn_deploy_cpu.executor import NeuronRunner, PassThroughRunner, Runner
from snn_deploy_cpu.lazy_maps import LazyMaps
from snn_deploy_cpu.plan import Layer, PassThroughLayer, Plan
from snn_deploy_cpu.thread_pool import ThreadPool

NAME = "cpu"
"""Name of the backend."""

CHUNK_STEPS = 16
"""Steps computed layer by layer before the next ones; more gain nothing (docs/reference/performance.md)."""

CHUNK_BYTES = 512 * 2**20
"""Bytes of payloads that a chunk may have alive at a time; steps are taken fewer at a time beyond it."""


def channels_last(plan: Plan, stimulus: Int64) -> Array:
    """Input payloads (B, C, H, W) as (B, H, W, C) in the plan's format, those of every step (B, T, C, H, W) as (T, B, H, W, C).

    Where the plan wants what is sent in every step, images are repeated as the host repeats them.
    """
    network = plan.network
    if plan.varying and stimulus.ndim == 4:
        stepwise = np.zeros((len(stimulus), network.steps, *network.input.shape), np.int64)
        stepwise[:, : network.input_steps] = stimulus[:, None]
        stimulus = stepwise
    ordered = np.moveaxis(stimulus, -3, -1)
    return np.ascontiguousarray(ordered.swapaxes(0, 1) if stimulus.ndim == 5 else ordered, plan.input_formats.payload)


def make_runners(
    plan: Plan, outputs: Mapping[str, OutputBuffers], source: Array, overrides: Overrides, pool: BufferPool
) -> list[Runner]:
    """A runner for each layer, from rest; the input is ``source`` (B, H, W, C) or (T, B, H, W, C)."""
    runners: list[Runner] = []
    chunk = _chunk_steps(plan, source.shape[-4])
    for layer in plan.layers:
        written = outputs[layer.population.name]
        if isinstance(layer, PassThroughLayer):
            runners.append(PassThroughRunner(layer, written, chunk, plan.network.steps, outputs[layer.source]))
        else:
            runners.append(NeuronRunner(layer, written, chunk, plan.network, source, overrides, pool))
    return runners


def run_window(plan: Plan, runners: Sequence[Runner], source: Array, pool: BufferPool, threads: ThreadPool) -> None:
    """All steps of the window; in ``exact`` mode :class:`BackendError` unless all neurons end silent."""
    network, chunk = plan.network, _chunk_steps(plan, source.shape[-4])
    for step in range(0, network.steps, chunk):
        sent = source if source.ndim == 4 else source[step : step + chunk].reshape(-1, *source.shape[2:])
        activations = Activations({network.input.name: sent}, pool, plan.proved_ranges)
        for runner, read in zip(runners, plan.last_reads, strict=True):
            runner.run(activations, step, min(chunk, network.steps - step), threads)
            for name in read:
                activations.release(name)
    # only exact mode promises silence; in rate mode the window cuts a steady state
    active = [runner.name for runner in runners if runner.would_fire()] if network.mode == "exact" else []
    if active:
        raise BackendError(
            f"exact mode is not silent after {network.duration} steps: {', '.join(active[:4])}; "
            "the schedule's window is too short"
        )


@dataclass(frozen=True, eq=False)
class Log:
    """What is recorded of all images, by population."""

    outputs: dict[str, OutputBuffers]
    saturations: dict[str, int]
    compiled: dict[str, frozenset[str]]

    @classmethod
    def of(cls, plan: Plan, stimulus: Int64, record: Record) -> Log:
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
        payloads, sent = np.moveaxis(stimulus, -3, -1), outputs[network.input.name]
        repeats, stepwise = network.input_steps, payloads[:, None]
        if stimulus.ndim == 5:
            repeats, stepwise = 1, payloads
        # the input has no runner: what the host sends is known before anything runs
        sent.counts[...] = stepwise.sum(1) * repeats
        if sent.events is not None:
            sent.events[...] = np.count_nonzero(stepwise, axis=1) * repeats
        if sent.trains is not None:
            sent.trains[:, : network.input_steps] = stepwise
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
            backend=NAME,
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


def _chunk_steps(plan: Plan, images: int) -> int:
    """Steps of a chunk."""
    return max(1, min(CHUNK_STEPS, plan.network.steps, CHUNK_BYTES // (images * plan.peak_payload_bytes)))
