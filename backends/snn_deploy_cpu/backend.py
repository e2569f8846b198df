"""The backend: groups of images, chunks of steps, and what is kept of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus, stimulus_digest
from snn_deploy.errors import BackendError
from snn_deploy.network.network import Network, Population
from snn_deploy_cpu import executor as runners
from snn_deploy_cpu.activations import Sent, Sheet
from snn_deploy_cpu.buffer_pool import Rooms
from snn_deploy_cpu.conv import providers as libraries
from snn_deploy_cpu.conv.autotune import Wishes
from snn_deploy_cpu.executor import FiringRunner, RelayRunner, Runner
from snn_deploy_cpu.lazy_maps import Widened
from snn_deploy_cpu.plan import Engine, Layer, Plan, RelayLayer, prepare
from snn_deploy_cpu.thread_pool import Team

Int64 = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

CHUNK_STEPS = 16
"""Steps computed layer by layer before the next ones; more gain nothing (docs/performance.md)."""

CHUNK_BYTES = 512 * 2**20
"""Bytes of payloads that a chunk may hold at a time; steps are taken fewer at a time beyond it."""

UNUSED_BYTES = 128 * 2**20
"""Bytes of memory that stay reserved from run to run."""


class CpuBackend:
    """Runs aligned networks. ``engine`` overrides the automatic choice: ``int8``, ``f32`` or ``f64``.

    ``threads`` share out the images, or the rows of each layer where there are fewer images than threads.

    How a layer is computed is measured on this machine, unless it is told: those whose activity (share of payloads that are
    not 0) lies below ``quiet`` run event by event, others not; ``direct`` takes the direct path wherever it exists, or
    nowhere. ``quiet=0, direct=False`` leaves everything to a library.
    """

    name = "cpu"

    def __init__(
        self, engine: Engine | None = None, threads: int = 1, quiet: float | None = None, direct: bool | None = None
    ) -> None:
        if threads < 1:
            raise BackendError(f"backend cpu: {threads} threads; at least 1 is needed")
        self._engine, self._threads, self._wishes = engine, threads, Wishes(quiet, direct)
        self._plans: WeakKeyDictionary[Network, Plan] = WeakKeyDictionary()
        self._rooms = Rooms()

    def __reduce__(self) -> tuple[type[CpuBackend], tuple[Engine | None, int, float | None, bool | None]]:
        """Plans stay in the process that made them."""
        return CpuBackend, (self._engine, self._threads, self._wishes.quiet, self._wishes.direct)

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
        alone = Team(1)
        with libraries.single_thread(), Team(self._threads) as team:
            for first in range(0, len(groups), self._threads):
                together = groups[first : first + self._threads]
                if len(together) == self._threads:
                    found = team.each(lambda group: self._run_group(plan, log, stimulus[group], group, alone), together)
                else:
                    found = [self._run_group(plan, log, stimulus[group], group, team) for group in together]
                for runs in found:
                    log.add(runs)
                if progress is not None:
                    progress(together[-1].stop, images)
        self._rooms.trim(UNUSED_BYTES)
        return log.result(plan, stimulus, time.perf_counter() - started)

    def _run_group(self, plan: Plan, log: _Log, stimulus: Int64, images: slice, team: Team) -> list[Runner]:
        """Run ``stimulus``, the images ``images`` of all, through all chunks; the sheets of ``log`` receive what is kept.

        Returns the layers' runners, which know what happened in them.
        """
        network, chunk, rooms = plan.network, _chunk_steps(plan, stimulus.shape[0]), self._rooms
        source = np.ascontiguousarray(np.moveaxis(stimulus, 1, -1), plan.source.payload)
        runs: list[Runner] = []
        for layer in plan.layers:
            sheet = log.part(layer.population.name, images)
            if isinstance(layer, RelayLayer):
                runs.append(RelayRunner(layer, sheet, chunk, network.steps, log.part(layer.source, images)))
            else:
                runs.append(FiringRunner(layer, sheet, chunk, network, source, self._wishes, rooms))
        for first in range(0, network.steps, chunk):
            sent = Sent({network.input.name: source}, rooms)
            for one, read in zip(runs, plan.last_reads, strict=True):
                one.run(sent, first, min(chunk, network.steps - first), team)
                for name in read:
                    sent.release(name)
        moving = [one.name for one in runs if one.restless()] if network.mode == "exact" else []
        for one in runs:
            one.close(rooms)
        if moving:
            raise BackendError(
                f"exact mode is not silent after {network.duration} steps: {', '.join(moving[:4])}; "
                "the schedule's window is too short"
            )
        return runs

    def _plan(self, network: Network) -> Plan:
        plan = self._plans.get(network)
        if plan is None:
            plan = prepare(network, self._engine)
            self._plans[network] = plan
        return plan


@dataclass(frozen=True, eq=False)
class _Log:
    """What is kept of all images, channels last, by population."""

    sheets: dict[str, Sheet]
    saturations: dict[str, int]
    compiled: dict[str, frozenset[str]]

    @classmethod
    def of(cls, plan: Plan, stimulus: Int64, record: Record) -> _Log:
        """Empty sheets, but for the input's, which are filled."""
        network, images = plan.network, stimulus.shape[0]
        formats = {network.input.name: plan.source} | {layer.population.name: layer.formats for layer in plan.layers}
        sheets = {}
        for population in network.populations:
            format_, shape = formats[population.name], _last(population)
            kept = (images, network.steps, *shape)
            sheets[population.name] = Sheet(
                np.zeros((images, *shape), format_.count),
                None if network.steps == 1 else np.zeros((images, *shape), format_.events),
                np.zeros(kept, format_.payload) if record >= Record.TRAINS else None,
                np.zeros(kept, np.int32) if record >= Record.STATES and population.neuron is not None else None,
                np.zeros(kept, np.int32) if record >= Record.STATES and _remembers(population) else None,
            )
        names = [layer.population.name for layer in plan.layers]
        log = cls(sheets, dict.fromkeys(names, 0), dict.fromkeys(names, frozenset[str]()))
        maps, sheet = np.moveaxis(stimulus, 1, -1), sheets[network.input.name]
        sheet.counts[...] = maps * network.input_steps
        if sheet.events is not None:
            sheet.events[...] = (maps != 0) * network.input_steps
        if sheet.trains is not None:
            sheet.trains[:, : network.input_steps] = maps[:, None]
        return log

    def add(self, runs: Sequence[Runner]) -> None:
        """Add what happened in a group of images."""
        for one in runs:
            self.saturations[one.name] += one.saturations
            self.compiled[one.name] |= one.compiled

    def part(self, name: str, images: slice) -> Sheet:
        """The sheet of some images."""
        sheet = self.sheets[name]
        fields = (sheet.counts, sheet.events, sheet.trains, sheet.states, sheet.currents)
        counts, *rest = (None if array is None else array[images] for array in fields)
        return Sheet(sheet.counts[images] if counts is None else counts, *rest)

    def _engine(self, layer: Layer) -> str:
        return "+".join((layer.engine, *sorted(self.compiled[layer.population.name])))

    def result(self, plan: Plan, stimulus: Int64, seconds: float) -> Run:
        """The run, as the protocol has it."""
        sheets = self.sheets
        counts = {name: sheet.counts for name, sheet in sheets.items()}
        events = {name: sheet.events for name, sheet in sheets.items() if sheet.events is not None}
        trains = {name: sheet.trains for name, sheet in sheets.items() if sheet.trains is not None}
        states = {name: sheet.states for name, sheet in sheets.items() if sheet.states is not None}
        currents = {name: sheet.currents for name, sheet in sheets.items() if sheet.currents is not None}
        return Run(
            backend=CpuBackend.name,
            network=plan.digest,
            stimulus=stimulus_digest(stimulus),
            counts=Widened(counts, np.int64),
            events=Widened(events or counts, np.int64, nonzero=not events),
            trains=Widened(trains, np.int32) if trains else None,
            states=Widened(states, np.int32) if states else None,
            second_states=Widened(currents, np.int32) if states else None,
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
    return max(1, runners.BLOCK_BYTES // (largest * np.dtype(np.float32).itemsize))


def _chunk_steps(plan: Plan, images: int) -> int:
    """Steps of a chunk."""
    return max(1, min(CHUNK_STEPS, plan.network.steps, CHUNK_BYTES // (images * plan.held_bytes)))
