"""Layer by layer: all steps of a chunk and all images of a group at once, membranes carried from chunk to chunk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from snn_deploy.backend import Progress, Record, Run, check_stimulus, stimulus_digest
from snn_deploy.errors import BackendError
from snn_deploy.network import Network
from snn_deploy_cpu import libraries, onednn
from snn_deploy_cpu.firing import State, fire_once, restless, scan
from snn_deploy_cpu.plan import Engine, Layer, Plan, prepare
from snn_deploy_cpu.results import Widened

Int64 = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

BLOCK_BYTES = 4 * 2**20
"""Currents computed at a time: more leave the cache, and from 32 MiB on each allocation faults its pages anew."""

CHUNK_STEPS = 8
"""Steps computed layer by layer before the next ones; more gain nothing (performance.md, section 7)."""

CHUNK_BYTES = 512 * 2**20
"""Bytes of events that a chunk may hold; steps are taken fewer at a time beyond it."""


class CpuBackend:
    """Runs aligned networks. ``engine`` overrides the automatic choice: ``int8``, ``f32`` or ``f64``."""

    name = "cpu"

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine = engine
        self._plans: WeakKeyDictionary[Network, Plan] = WeakKeyDictionary()

    def run(
        self, network: Network, stimulus: Int64, record: Record = Record.COUNTS, progress: Progress | None = None
    ) -> Run:
        """Run ``stimulus`` (B, C, H, W); in ``exact`` mode :class:`BackendError` unless all neurons end silent."""
        check_stimulus(network, stimulus)
        started = time.perf_counter()
        plan = self._plan(network)
        log = _Log.of(plan, stimulus, record)
        with onednn.single_thread() if libraries.eight_bit() is not None else nullcontext():
            size = _group_size(plan)
            for first in range(0, stimulus.shape[0], size):
                _run_group(plan, log, slice(first, min(first + size, stimulus.shape[0])), record)
                if progress is not None:
                    progress(min(first + size, stimulus.shape[0]), stimulus.shape[0])
        return log.result(plan, stimulus, time.perf_counter() - started)

    def _plan(self, network: Network) -> Plan:
        plan = self._plans.get(network)
        if plan is None:
            plan = prepare(network, self._engine)
            self._plans[network] = plan
        return plan


@dataclass(eq=False)
class _Log:
    """What is kept of all images, channels last: payloads of every step where trains are asked for, and their sums."""

    counts: dict[str, Array]
    events: dict[str, Array] | None
    trains: dict[str, Array] | None
    states: dict[str, Array] | None
    saturations: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, stimulus: Int64, record: Record) -> _Log:
        network, images = plan.network, stimulus.shape[0]
        once = network.steps == 1
        shapes = {population.name: _last(population.shape) for population in network.populations}
        totals = {layer.population.name: layer.payload if once else layer.total for layer in plan.layers}
        maps = np.ascontiguousarray(np.moveaxis(stimulus, 1, -1))
        counts = {name: np.zeros((images, *shapes[name]), dtype) for name, dtype in totals.items()}
        events = None if once else {name: np.zeros((images, *shapes[name]), np.int32) for name in totals}
        trains = states = None
        if record >= Record.TRAINS:
            trains = {
                name: np.zeros((images, network.steps, *shapes[name]), dtype) for name, dtype in plan.payloads.items()
            }
            trains[network.input.name][:, : network.input_steps] = maps[:, None]
        if record >= Record.STATES:
            states = {name: np.zeros((images, network.steps, *shapes[name]), np.int32) for name in totals}
        source = network.input.name
        counts = {source: maps * network.input_steps} | counts
        if events is not None:
            events = {source: (maps != 0) * network.input_steps} | events
        return cls(counts, events, trains, states, dict.fromkeys(totals, 0))

    def result(self, plan: Plan, stimulus: Int64, seconds: float) -> Run:
        """The run, as the protocol has it."""
        return Run(
            backend=CpuBackend.name,
            network=plan.digest,
            stimulus=stimulus_digest(stimulus),
            counts=Widened(self.counts, np.int64),
            events=Widened(self.counts if self.events is None else self.events, np.int64, self.events is None),
            trains=None if self.trains is None else Widened(self.trains, np.int32),
            states=None if self.states is None else Widened(self.states, np.int32),
            saturations=self.saturations,
            engines={layer.population.name: layer.engine for layer in plan.layers},
            seconds=seconds,
        )


def _last(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return shape[1], shape[2], shape[0]


def _largest(plan: Plan) -> int:
    """Bytes of the currents of the largest population in one step of one image."""
    return max(layer.population.size * np.dtype(layer.real).itemsize for layer in plan.layers)


def _group_size(plan: Plan) -> int:
    """Images that are taken together: several small ones fill a block."""
    return max(1, BLOCK_BYTES // _largest(plan))


def _chunk_steps(plan: Plan, images: int) -> int:
    per_step = images * sum(layer.population.size * np.dtype(layer.payload).itemsize for layer in plan.layers)
    return max(1, min(CHUNK_STEPS, plan.network.steps, CHUNK_BYTES // per_step))


def _run_group(plan: Plan, log: _Log, images: slice, record: Record) -> None:
    """Run the images of ``images`` together through all chunks and write what is kept into ``log``."""
    network, group = plan.network, images.stop - images.start
    source, chunk = network.input.name, _chunk_steps(plan, group)
    once = log.counts[source][images] // network.input_steps
    stimulus = once.astype(plan.payloads[source])
    runners = [_Runner(layer, network, stimulus, chunk, log, images, record) for layer in plan.layers]
    for first in range(0, network.steps, chunk):
        payloads = {source: stimulus}
        for runner in runners:
            payloads[runner.name] = runner.run(payloads, first, min(chunk, network.steps - first))
    if network.mode == "exact":
        moving = [runner.name for runner in runners if runner.restless()]
        if moving:
            raise BackendError(
                f"exact mode is not silent after {network.duration} steps: {', '.join(moving[:4])}; "
                "the schedule's window is too short"
            )
    for runner in runners:
        log.saturations[runner.name] += runner.saturations


class _Runner:
    """One layer at work on one group of images; its counts and events are those of the log."""

    def __init__(
        self, layer: Layer, network: Network, stimulus: Array, chunk: int, log: _Log, images: slice, record: Record
    ) -> None:
        self.name, self.saturations = layer.population.name, 0
        self._layer, self._driven = layer, network.input_steps
        self._shape = (stimulus.shape[0], *_last(layer.population.shape))
        self._trains = None if log.trains is None else log.trains[self.name][images]
        self._states = None if log.states is None else log.states[self.name][images]
        self._drive = self._driving(stimulus)
        count = log.counts[self.name][images].reshape(-1)
        self._state: State | None = None
        if layer.settles and record < Record.STATES:
            self._payloads = count.reshape(1, -1)
            return
        self._payloads = np.empty((chunk, count.size), layer.payload)
        v = np.empty(self._shape, layer.real)
        v[...] = layer.rule.start[: self._shape[3]]
        events = np.zeros(count.size, np.int32) if log.events is None else log.events[self.name][images].reshape(-1)
        self._state = State(v.reshape(-1), count, events)

    def _driving(self, stimulus: Array) -> Array | None:
        """Bias and constant currents of every neuron, flat; ``None`` where the rule's bias is all."""
        layer = self._layer
        if layer.bias is None and not layer.constants:
            return None
        bias = layer.rule.bias[: self._shape[3]] if layer.bias is None else layer.bias
        drive: Array = np.broadcast_to(bias, self._shape).astype(layer.real, copy=True)
        for current in layer.constants:
            drive += current(stimulus, 0, self._shape[1])
        return drive.reshape(-1)

    def run(self, payloads: dict[str, Array], first: int, steps: int) -> Array:
        """Events (steps * images, H, W, C) of steps ``first ...`` of the window, from those of the sources."""
        out = self._payloads[:steps]
        for low, high, top, bottom in self._blocks(steps):
            currents = self._currents(payloads, low, high, top, bottom)
            begin = top * self._shape[2] * self._shape[3]
            if self._state is None:
                self.saturations += fire_once(self._layer.rule, currents[0], self._drive, out[0], begin)
                continue
            driven = max(self._driven - first - low, 0)
            self.saturations += scan(self._layer.rule, self._state, currents, self._drive, driven, out[low:high], begin)
            if self._states is not None:
                self._states[:, first + low, top:bottom] = self._state.v.reshape(self._shape)[:, top:bottom]
        maps = out.reshape(steps, *self._shape)
        if self._trains is not None:
            self._trains[:, first : first + steps] = maps.swapaxes(0, 1)
        return maps.reshape(-1, *self._shape[1:])

    def _blocks(self, steps: int) -> Iterator[tuple[int, int, int, int]]:
        """Steps ``low..high``, rows ``top..bottom``: whole maps of several steps, or strips of one step of an image."""
        images, height, _, _ = self._shape
        per_step = self._layer.population.size * images * np.dtype(self._layer.real).itemsize
        together = 1 if self._states is not None else max(1, BLOCK_BYTES // per_step)
        strips = min(height, -(-per_step // BLOCK_BYTES)) if images == 1 else 1
        edges = [height * strip // strips for strip in range(strips + 1)]
        for low in range(0, steps, together):
            for top, bottom in pairwise(edges):
                yield low, min(low + together, steps), top, bottom

    def _currents(self, payloads: dict[str, Array], low: int, high: int, top: int, bottom: int) -> Array:
        """Sums (steps, neurons) of all changing currents of a block; one row of zeros where there is none."""
        images = self._shape[0]
        total: Array | None = None
        for source, current in self._layer.streams:
            part = current(payloads[source][low * images : high * images], top, bottom)
            total = part if total is None else np.add(total, part, out=total)
        if total is None:
            return np.zeros((1, images * (bottom - top) * self._shape[2] * self._shape[3]), self._layer.real)
        return total.reshape(high - low, -1)

    def restless(self) -> bool:
        """Whether any neuron would send a payload without further input."""
        return self._state is not None and restless(self._layer.rule, self._state)
