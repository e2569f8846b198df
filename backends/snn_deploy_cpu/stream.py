"""Frame after frame: membranes and running counts stay in the runners of the layers."""

from __future__ import annotations

import time
import weakref
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Array, Int32, Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.stimulus import check_stimulus
from snn_deploy.backend.stream import StreamState, check_counts, check_frame
from snn_deploy.network import dynamics
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.conv.autotune import Overrides
from snn_deploy_cpu.executor import NeuronRunner, Runner
from snn_deploy_cpu.kernels.library import select_kernels
from snn_deploy_cpu.lazy_maps import CarriedMaps
from snn_deploy_cpu.plan import Plan
from snn_deploy_cpu.thread_pool import ThreadPool
from snn_deploy_cpu.window import Log, channels_last, make_runners, run_window

SPARSE_BELOW = {"avx512vnni": 0.02, "avxvnni": 0.02}
"""Density below which the sparse path is taken in streams, by instruction set: no frame is like the next, so nothing is timed.

Both paths skip positions that no event reaches. With VNNI the direct one multiplies signed bytes as fast as a still image's."""

SPARSE_BELOW_ELSEWHERE = 0.25


class CpuStream:
    """A stream in progress (:class:`snn_deploy.backend.stream.FrameStream`)."""

    def __init__(self, plan: Plan, state: StreamState, overrides: Overrides, pool: BufferPool, threads: int) -> None:
        if overrides.sparse_below is None:
            kernels = select_kernels()
            instruction_set = "numpy" if kernels is None else kernels.instruction_set
            overrides = replace(overrides, sparse_below=SPARSE_BELOW.get(instruction_set, SPARSE_BELOW_ELSEWHERE))
        self._plan, self._overrides, self._pool, self._threads = plan, overrides, pool, threads
        self._frames, self._source = state.frames, state.source.astype(np.int64)
        self._initial: StreamState | None = state
        self._runners: list[Runner] = []
        # running counts of layers whose neurons keep none (B, H, W, C)
        self._sums: dict[str, Array] = {}
        self._handed_out: weakref.ref[CarriedMaps[np.int64]] | None = None

    def push(self, frame: Int64, record: Record = Record.COUNTS) -> Run:
        """Run one frame."""
        plan, started = self._plan, time.perf_counter()
        check_stimulus(plan.network, frame)
        check_frame(frame, len(self._source))
        change = dynamics.subtract_frames(frame, self._source)
        log, source = Log.of(plan, change, record), channels_last(plan, change)
        self._keep_counts()
        self._begin(log, source)
        with ThreadPool(self._threads) as threads:
            run_window(plan, self._runners, source, self._pool, threads)
        for name, sums in self._sums.items():
            sums += log.outputs[name].counts
            check_counts(plan.network.population(name), sums)
        log.add(self._runners)
        self._frames, self._source = self._frames + 1, frame.copy()
        counts = CarriedMaps(self._counts(), np.int64)
        self._handed_out = weakref.ref(counts)
        return replace(log.result(plan, frame, time.perf_counter() - started), counts=counts)

    def state(self) -> StreamState:
        """What it carries over to the next frame."""
        if self._initial is not None:
            return self._initial
        membranes, second = {}, {}
        counts = self._counts()
        for layer, runner in zip(self._plan.layers, self._runners, strict=True):
            name, neuron = layer.population.name, layer.population.neuron
            v, beside = runner.states if isinstance(runner, NeuronRunner) else (np.zeros_like(counts[name]), None)
            membranes[name] = _channels_first(v)
            if neuron is not None and neuron.has_second_state and beside is not None:
                second[name] = _channels_first(beside)
        del counts[self._plan.network.input.name]
        first = {name: _channels_first(values) for name, values in counts.items()}
        return StreamState(self._plan.digest, self._frames, self._source.astype(np.int32), membranes, first, second)

    def _begin(self, log: Log, source: Array) -> None:
        """Runners at the start of a frame."""
        state, self._initial = self._initial, None
        if state is None:
            for runner in self._runners:
                runner.next_frame(log.outputs, source)
            return
        self._runners = make_runners(self._plan, log.outputs, source, self._overrides, self._pool)
        for layer, runner in zip(self._plan.layers, self._runners, strict=True):
            name, neuron = layer.population.name, layer.population.neuron
            counted = not isinstance(runner, NeuronRunner) or (neuron is not None and neuron.has_second_state)
            if counted:
                self._sums[name] = np.moveaxis(state.counts[name], 1, -1).copy()
            if isinstance(runner, NeuronRunner):
                v, beside = runner.states
                v[...] = np.moveaxis(state.membranes[name], 1, -1)
                if beside is not None:
                    kept = state.second_states if counted else state.counts
                    beside[...] = np.moveaxis(kept[name], 1, -1)
            if state.frames:
                runner.next_frame(log.outputs, source)

    def _counts(self) -> dict[str, Array]:
        """Running counts (B, H, W, C) of all populations, which the next frame changes in place."""
        counts: dict[str, Array] = {self._plan.network.input.name: np.moveaxis(self._source, 1, -1)}
        for runner in self._runners:
            sums = self._sums.get(runner.name)
            if sums is None and isinstance(runner, NeuronRunner):
                sums = runner.states[1]
            if sums is not None:
                counts[runner.name] = sums
        return counts

    def _keep_counts(self) -> None:
        """Copy the counts of the last run, if anyone still has it, before they change."""
        counts = None if self._handed_out is None else self._handed_out()
        if counts is not None:
            counts.detach()


def _channels_first(values: Array) -> Int32:
    return np.ascontiguousarray(np.moveaxis(values, -1, 1), np.int32)
