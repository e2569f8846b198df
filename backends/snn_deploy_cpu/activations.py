"""The payloads that populations send each other, and the buffers that their results are written to, channels last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.conv.payload_stats import LazyStats, PayloadStats
from snn_deploy_cpu.delay_line import DelayLine
from snn_deploy_cpu.kernels.library import select_kernels


class Activations(dict[str, Array]):
    """Payloads (steps * images, H, W, C) of a chunk of steps, by population; some are computed when they are first read.

    Their buffers come from ``pool`` and go back to it when they are released. ``ranges``: payloads whose proved (least,
    greatest) say enough, so that they need not be measured.
    """

    def __init__(
        self, payloads: dict[str, Array], pool: BufferPool, ranges: Mapping[str, tuple[int, int]] | None = None
    ) -> None:
        super().__init__(payloads)
        self._pool, self._ranges = pool, ranges or {}
        self._buffers: dict[str, Array] = {}
        self._deferred: dict[str, Callable[[], Array]] = {}
        self._stats: dict[str, LazyStats] = {}
        self._measured: dict[str, PayloadStats] = {}

    def buffer(self, name: str, outputs: OutputBuffers, chunk: int, dtype: npt.DTypeLike) -> Array:
        """A buffer for the payloads (chunk, B * H * W * C) of a chunk; those of a single step are the counts."""
        if outputs.events is None:
            return outputs.counts.reshape(1, -1)
        # a whole chunk, though the last one may have fewer steps: buffers of one size are found again
        buffer = self._buffers[name] = self._pool.acquire((chunk, outputs.counts.size), dtype)
        return buffer

    def defer(self, name: str, compute: Callable[[], Array]) -> None:
        """``compute`` the payloads of population ``name`` when they are first read, once."""
        self._deferred[name] = compute

    def set_stats(self, name: str, stats: PayloadStats) -> None:
        """The statistics of the payloads of ``name``, measured while they were counted."""
        self._measured[name] = stats

    def stats(self, name: str) -> LazyStats:
        """The statistics of the payloads of ``name``."""
        found = self._stats.get(name)
        if found is None:
            found = self._stats[name] = LazyStats(self[name], self._ranges.get(name), self._measured.get(name))
        return found

    def delayed(self, name: str, line: DelayLine) -> Activations:
        """The payloads of population ``name`` alone, as they come out of ``line``."""
        return Activations({name: line.shift(self[name])}, self._pool, self._ranges)

    def release(self, name: str) -> None:
        """No layer will read the payloads of ``name`` any more."""
        self.pop(name, None)
        self._deferred.pop(name, None)
        buffer = self._buffers.pop(name, None)
        if buffer is not None:
            self._pool.release(buffer)

    def __missing__(self, name: str) -> Array:
        payloads = self[name] = self._deferred.pop(name)()
        return payloads


@dataclass(frozen=True, eq=False)
class OutputBuffers:
    """Where one population's results are written, for one group of images or for all, channels last.

    ``counts`` and ``events`` are (B, H, W, C), ``trains``, ``states`` and ``second_states`` (B, T, H, W, C), ``None`` where
    they are not recorded. Networks of a single step need no ``events``: they are the counts that are not 0.
    """

    counts: Array
    events: Array | None
    trains: Array | None
    states: Array | None
    second_states: Array | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, H, W, C)."""
        images, height, width, channels = self.counts.shape
        return images, height, width, channels

    def of_images(self, images: slice) -> OutputBuffers:
        """The buffers of some images, as views."""
        fields = (self.events, self.trains, self.states, self.second_states)
        return OutputBuffers(self.counts[images], *(None if array is None else array[images] for array in fields))

    def write_trains(self, payloads: Array, step: int) -> None:
        """Write a chunk's payloads (steps, B * H * W * C) to steps ``step ...`` of the trains, if they are recorded."""
        if self.trains is None:
            return
        steps, (images, _, *shape) = payloads.shape[0], self.trains.shape
        self.trains[:, step : step + steps] = payloads.reshape(steps, images, *shape).swapaxes(0, 1)

    def count_events(self, payloads: Array, payload_max: int, row_begin: int, row_end: int) -> PayloadStats | None:
        """Add the sums over steps of ``payloads`` (T, N) to the counts, how many are not 0 to the events.

        Rows ``row_begin..row_end`` of a single image only, or all; no payload is greater than ``payload_max``. Returns
        the statistics of what was counted; ``None`` where a single step's counts are the payloads themselves.
        """
        if self.events is None:
            return None
        images, _, width, channels = self.shape
        begin, size = row_begin * width * channels, images * (row_end - row_begin) * width * channels
        counts, events = self.counts.reshape(-1), self.events.reshape(-1)
        kernels = select_kernels()
        if kernels is None:
            part = payloads[:, begin : begin + size]
            counts[begin : begin + size] += part.sum(0).astype(counts.dtype)
            events[begin : begin + size] += np.count_nonzero(part, axis=0).astype(events.dtype)
            return PayloadStats.of(part.reshape(-1, 1, width, channels))
        # measured while the payloads are in the cache: the next layer needs it to prove its sums
        # four times as many sums fit a vector where a byte holds them
        bytes_hold_sums = payloads.dtype == np.uint8 and payload_max * payloads.shape[0] <= np.iinfo(np.uint8).max
        end = begin + size
        largest, least, nonzero = kernels.count_events(payloads, counts, events, begin, end, channels, bytes_hold_sums)
        return PayloadStats(np.maximum(largest, -least), least, nonzero, size * payloads.shape[0])
