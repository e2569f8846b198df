"""Layers at work on one group of images, chunk of steps by chunk of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.network.network import Network
from snn_deploy_cpu.activations import Activations, OutputBuffers
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.conv.autotune import Overrides
from snn_deploy_cpu.conv.compiled import CompiledConv
from snn_deploy_cpu.conv.direct import DirectConv, JoinedConv
from snn_deploy_cpu.conv.operators import Operator
from snn_deploy_cpu.conv.payload_stats import PayloadStats
from snn_deploy_cpu.delay_line import DelayLine
from snn_deploy_cpu.neurons.multi_threshold import ThresholdNeurons
from snn_deploy_cpu.plan import Input, NeuronLayer, PassThroughLayer
from snn_deploy_cpu.thread_pool import ThreadPool

BLOCK_BYTES = 2**21
"""Currents computed at a time: they stay near the core, and a call's fixed cost is small beside its work."""

FUSED_BLOCK_BYTES = 2**19
"""The same where compiled loops step every row at once: membranes stay in the core's own cache, and calls cost little."""


@dataclass(frozen=True, eq=False)
class Addend:
    """One connection's part of a current, from ``payloads``: by a library's ``operator`` or, where given, a compiled ``conv``."""

    payloads: tuple[Array, ...]
    operator: Operator
    conv: CompiledConv | None

    @classmethod
    def joined(cls, addends: list[Addend]) -> list[Addend]:
        """``addends``, or the one that computes all of them together."""
        convs = tuple(addend.conv for addend in addends if isinstance(addend.conv, DirectConv))
        conv = JoinedConv.of(convs) if len(convs) == len(addends) > 1 else None
        payloads = tuple(addend.payloads[0] for addend in addends)
        return addends if conv is None else [cls(payloads, addends[0].operator, conv)]

    def of_maps(self, maps: slice) -> tuple[Array, ...]:
        """The payloads of some maps."""
        return tuple(payloads[maps] for payloads in self.payloads)

    def add_to(self, total: Array | None, maps: slice, row_begin: int, row_end: int, threads: int) -> Array:
        """The current of rows of ``maps``, added to ``total`` in place where there is one; compiled, on ``threads``."""
        if self.conv is not None:
            return self.conv.accumulate(total, self.of_maps(maps), row_begin, row_end, threads)
        current = self.operator(self.payloads[0][maps], row_begin, row_end)
        return current if total is None else np.add(total, current, out=total)


class PassThroughRunner:
    """A layer without membranes.

    Where it only copies pixels, its counts are copies of its source's, ``source_outputs``; its payloads are then
    computed only if a later layer reads them.
    """

    saturations = 0
    compiled: frozenset[str] = frozenset()

    def __init__(
        self,
        layer: PassThroughLayer,
        outputs: OutputBuffers,
        chunk: int,
        window: int,
        source_outputs: OutputBuffers,
    ) -> None:
        self.name, self._layer, self._chunk, self._window = layer.population.name, layer, chunk, window
        self._outputs, self._source_outputs = outputs, source_outputs
        # trains would need every step anyway
        self._copies_counts = layer.operator.copies_pixels and outputs.events is not None and outputs.trains is None

    def next_frame(self, outputs: Mapping[str, OutputBuffers], change: Array) -> None:  # noqa: ARG002
        """Begin another frame, whose results go to ``outputs``."""
        self._outputs, self._source_outputs = outputs[self.name], outputs[self._layer.source]
        self._copies_counts = self._copies_counts and self._outputs.trains is None

    def run(self, activations: Activations, step: int, steps: int, threads: ThreadPool) -> None:
        """Payloads of steps ``step .. step + steps`` of the window, from those of the source, into ``activations``."""
        outputs = self._outputs
        if self._copies_counts:
            activations.defer(self.name, partial(self._compute, activations, steps, threads))
            if step + steps == self._window:
                self._copy_counts()
            return
        activations[self.name] = computed = self._compute(activations, steps, threads)
        payloads = computed.reshape(steps, -1)
        stats = outputs.count_events(payloads, self._layer.population.payload_range[1], 0, outputs.shape[1])
        if stats is not None:
            activations.set_stats(self.name, stats)
        outputs.write_trains(payloads, step)

    def _copy_counts(self) -> None:
        """Counts and events of the whole window, from those of the source, which are complete."""
        source, target = self._source_outputs, self._outputs
        for arrived, passed_on in ((source.counts, target.counts), (source.events, target.events)):
            if arrived is not None and passed_on is not None:
                self._layer.operator(arrived, passed_on)

    def _compute(self, activations: Activations, steps: int, threads: ThreadPool) -> Array:
        """The payloads (steps * images, H, W, C) of a chunk."""
        buffer = activations.buffer(self.name, self._outputs, self._chunk, self._layer.formats.payload)
        x, out = activations[self._layer.source], buffer[:steps].reshape(-1, *self._outputs.shape[1:])
        self._layer.operator(x, out, threads.threads)
        return out

    def would_fire(self) -> bool:
        """False: nothing is left in its membranes."""
        return False

    def close(self, pool: BufferPool) -> None:
        """It took nothing from ``pool``."""


class NeuronRunner:
    """A layer with membranes, which stay from chunk to chunk."""

    def __init__(
        self,
        layer: NeuronLayer,
        outputs: OutputBuffers,
        chunk: int,
        network: Network,
        stimulus: Array,
        overrides: Overrides,
        pool: BufferPool,
    ) -> None:
        self.name, self.saturations, self.compiled = layer.population.name, 0, frozenset[str]()
        self._overrides = overrides
        self._addends: list[Addend] = []
        self._fused: CompiledConv | None = None
        self._block, self._row_by_row, self._kernel_threads = BLOCK_BYTES, False, 1
        self._layer, self._outputs, self._driven_steps = layer, outputs, network.input_steps
        self._row_bytes = math.prod(outputs.shape) // outputs.shape[1] * np.dtype(layer.real).itemsize
        self._chunk, self._window, self._payloads = chunk, network.steps, np.empty((0, 0))
        self._drive, self._lines = self._constant_drive(stimulus), self._empty_lines()
        neurons = layer.neurons
        without_membranes = layer.settles and not layer.carries and outputs.states is None
        self._once = neurons if without_membranes and isinstance(neurons, ThresholdNeurons) else None
        self._v, self._second = self._initial_states(pool)

    def next_frame(self, outputs: Mapping[str, OutputBuffers], change: Array) -> None:
        """Begin another frame of a stream with the states of the last: no bias, and ``change`` (B, H, W, C) as the input."""
        self._outputs, self.saturations, self.compiled = outputs[self.name], 0, frozenset[str]()
        self._drive, self._driven_steps, self._lines = None, 0, self._empty_lines()
        if self._layer.constant_inputs:
            drive: Array = np.zeros(self._outputs.shape, self._layer.real)
            for connection in self._layer.constant_inputs:
                drive += connection.operator(change, 0, drive.shape[1])
            self._drive, self._driven_steps = drive.reshape(-1), 1

    def _empty_lines(self) -> list[DelayLine | None]:
        """A delay line for each input that needs one."""
        images = self._outputs.shape[0]
        return [DelayLine(connection.lag, images) if connection.lag else None for connection in self._layer.inputs]

    @property
    def states(self) -> tuple[Array, Array | None]:
        """Membranes and second states or running counts (B, H, W, C), views of what the runner changes in place."""
        shape = self._outputs.shape
        return self._v.reshape(shape), None if self._second is None else self._second.reshape(shape)

    def _initial_states(self, pool: BufferPool) -> tuple[Array, Array | None]:
        """Membranes (N,) and second states, ``None`` where there are none."""
        if self._once is not None:
            return np.empty(0), None
        neurons, shape = self._layer.neurons, self._outputs.shape
        v = pool.acquire(shape, neurons.start.dtype)
        v[...] = neurons.start[: shape[3]]
        v = v.reshape(-1)
        return v, np.zeros_like(v) if neurons.has_second_state else None

    def _constant_drive(self, stimulus: Array) -> Array | None:
        """Bias and constant currents of every neuron (N,); ``None`` where the neurons' bias is all."""
        layer, shape = self._layer, self._outputs.shape
        if layer.bias is None and not layer.constant_inputs:
            return None
        bias = layer.neurons.bias[: shape[3]] if layer.bias is None else layer.bias
        # added up once for the whole window: bias and input do not change
        drive: Array = np.broadcast_to(bias, shape).astype(layer.real, copy=True)
        for connection in layer.constant_inputs:
            drive += connection.operator(stimulus, 0, shape[1])
        return drive.reshape(-1)

    def run(self, activations: Activations, step: int, steps: int, threads: ThreadPool) -> None:
        """Payloads of steps ``step .. step + steps`` of the window, from those of the sources, into ``activations``."""
        layer, outputs = self._layer, self._outputs
        addends = [self._addend(*each, activations) for each in zip(layer.inputs, self._lines, strict=True)]
        addends = Addend.joined(addends)
        if len(addends) > 1:  # a compiled convolution last: it may step the neurons as rows are complete
            addends.sort(key=lambda addend: addend.conv is not None)
        self._addends = addends
        self._payloads = activations.buffer(self.name, outputs, self._chunk, layer.formats.payload)
        fuses = self._once is not None or layer.neurons.fuses
        self._fused = self._addends[-1].conv if fuses and addends else None
        all_compiled = self._fused is not None and self._addends[0].conv is not None
        self._row_by_row = self._fused is not None and len(addends) == 1
        for addend in addends:
            if addend.conv is not None and addend.conv.name not in self.compiled:
                self.compiled |= {addend.conv.name}
        # kernels share out the rows of what is wholly compiled, with less ado
        self._kernel_threads, band_threads = (threads.threads, 1) if all_compiled else (1, threads.threads)
        self._block = min(FUSED_BLOCK_BYTES * self._kernel_threads, BLOCK_BYTES) if all_compiled else BLOCK_BYTES
        bands = self._bands(band_threads)
        stats: list[PayloadStats] = []
        self.saturations += sum(threads.map(lambda band: self._run_band(step, steps, stats, *band), bands))
        if stats:
            activations.set_stats(self.name, PayloadStats.merged(stats))
        outputs.write_trains(self._payloads[:steps], step)
        activations[self.name] = self._payloads[:steps].reshape(-1, *outputs.shape[1:])

    def _addend(self, connection: Input, line: DelayLine | None, activations: Activations) -> Addend:
        """The fastest computation of ``connection`` for these payloads, which ``line``, if any, delays."""
        if line is not None:
            activations = activations.delayed(connection.source, line)

        def library(maps: slice, row_begin: int, row_end: int) -> Array:
            return connection.operator(activations[connection.source][maps], row_begin, row_end)

        conv, tuner = None, connection.autotuner
        if tuner is not None:
            source = tuner.task.source
            conv = tuner.best(activations[source], activations.stats(source), library, self._overrides)
        payloads = activations[connection.source if conv is None else conv.task.source]
        return Addend((payloads,), connection.operator, conv)

    def _run_band(self, step: int, steps: int, stats: list[PayloadStats], row_begin: int, row_end: int) -> int:
        """Rows of all images through the steps; returns how many membranes left 24 bits, adds to ``stats`` what was counted."""
        outputs, shape = self._outputs, self._outputs.shape
        saturated, rows = 0, slice(row_begin, row_end)
        for low, high in self._step_ranges(steps, row_end - row_begin):
            saturated += self._run_steps(low, high, row_begin, row_end, step)
            if outputs.states is not None:
                outputs.states[:, step + low, rows] = self._v.reshape(shape)[:, rows]
            if outputs.second_states is not None and self._second is not None:
                outputs.second_states[:, step + low, rows] = self._second.reshape(shape)[:, rows]
        payload_max = self._layer.population.payload_range[1]
        counted = outputs.count_events(self._payloads[:steps], payload_max, row_begin, row_end)
        if counted is not None:
            stats.append(counted)
        return saturated

    def _run_steps(self, low: int, high: int, row_begin: int, row_end: int, step: int) -> int:
        """Rows through steps ``low..high`` of the chunk that begins with ``step``; returns how many membranes left 24 bits."""
        (images, _, width, channels), layer, out = self._outputs.shape, self._layer, self._payloads[low:high]
        maps, driven_steps = slice(low * images, high * images), max(self._driven_steps - step - low, 0)
        if self._fused is not None and isinstance(layer.neurons, ThresholdNeurons):
            *others, last = self._addends
            v, driven = (self._v, driven_steps) if self._once is None else (None, 1)
            neurons = layer.neurons.fused(v, self._second, self._drive, driven, images, out)
            total, threads = _current(others, maps, row_begin, row_end, self._kernel_threads), self._kernel_threads
            return self._fused.accumulate_and_fire(total, last.of_maps(maps), row_begin, row_end, neurons, threads)
        total = _current(self._addends, maps, row_begin, row_end, 1)
        size, begin = images * (row_end - row_begin) * width * channels, row_begin * width * channels
        # a layer whose inputs are all constant has nothing to add in a step
        currents = np.zeros((1, size), layer.real) if total is None else total.reshape(-1, size)
        if self._once is not None:
            return self._once.step_once(currents[0], self._drive, out[:1], begin)
        return layer.neurons.step_many(self._v, self._second, currents, self._drive, driven_steps, out, begin)

    def _bands(self, threads: int) -> list[tuple[int, int]]:
        """Bands of rows of a single image, for threads and blocks; several images, small ones, stay whole."""
        images, height, _, _ = self._outputs.shape
        # several images are many maps already, and a band of each would not be contiguous
        count = threads if images == 1 else 1
        # currents are kept for all rows of a band, and membranes are read again in every step
        if images == 1 and not (self._row_by_row and self._window == 1):
            count = max(threads, -(-height * self._row_bytes // self._block))
        return _split(height, count)

    def _step_ranges(self, steps: int, rows: int) -> Iterator[tuple[int, int]]:
        """Steps ``low..high`` whose currents are computed together."""
        together = max(1, self._block // (rows * self._row_bytes))
        # membranes are read after every step
        if self._outputs.states is not None:
            together = 1
        elif self._row_by_row:
            together = steps  # currents of one row or map are enough, however many steps there are
        for low in range(0, steps, together):
            yield low, min(low + together, steps)

    def would_fire(self) -> bool:
        """Whether any neuron would send a payload without further input, or some is on its way."""
        if any(line is not None and not line.is_empty for line in self._lines):
            return True
        return not self._layer.settles and self._layer.neurons.would_fire(self._v, self._second)

    def close(self, pool: BufferPool) -> None:
        """Release the membranes to ``pool``."""
        if self._once is None:
            pool.release(self._v)


Runner: TypeAlias = PassThroughRunner | NeuronRunner


def _current(addends: Sequence[Addend], maps: slice, row_begin: int, row_end: int, threads: int) -> Array | None:
    """The sum of ``addends``, rows of ``maps``; ``None`` where there are none."""
    total: Array | None = None
    for addend in addends:
        total = addend.add_to(total, maps, row_begin, row_end, threads)
    return total


def _split(length: int, parts: int) -> list[tuple[int, int]]:
    """``0..length`` in at most ``parts`` ranges of nearly equal length, none empty."""
    if parts == 1:
        return [(0, length)]
    parts = min(parts, length)
    return list(pairwise(length * part // parts for part in range(parts + 1)))
