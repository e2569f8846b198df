"""Layers at work on one group of images, chunk of steps by chunk of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.network.network import Network
from snn_deploy_cpu.activations import Sent, Sheet, keep
from snn_deploy_cpu.buffer_pool import Rooms
from snn_deploy_cpu.conv.autotune import Rows, Wishes
from snn_deploy_cpu.conv.compiled import Sums
from snn_deploy_cpu.conv.operators import Current
from snn_deploy_cpu.conv.payload_stats import ALL, Extent
from snn_deploy_cpu.neurons.multi_threshold import Rule, fire_once, ready, restless, scan, tally
from snn_deploy_cpu.plan import FiringLayer, Part, RelayLayer, Stream
from snn_deploy_cpu.thread_pool import Team

Array = npt.NDArray[Any]

BLOCK_BYTES = 2**21
"""Currents computed at a time: they stay near the core, and a call's fixed cost is small beside its work."""

FIRING_BLOCK_BYTES = 2**19
"""The same where compiled loops fire every row at once: the membranes stay in the core's own cache, and calls cost little."""


@dataclass(frozen=True, eq=False)
class Way:
    """How one part of a connection's current is computed from ``payloads``: by a library or, with ``sums``, a compiled loop."""

    payloads: Array
    current: Current
    sums: Sums | None

    def add(self, total: Array | None, maps: slice, top: int, bottom: int) -> Array:
        """The current of rows ``top..bottom`` of ``maps``, in ``total`` where there is one."""
        if self.sums is not None:
            return self.sums.add(total, self.payloads[maps], top, bottom)
        return _sum(total, self.current(self.payloads[maps], top, bottom))


class RelayRunner:
    """A layer without membranes.

    Where it only copies pixels, as those of ``origin``, its source's sheet, are, so are its counts; its payloads are then
    written only if somebody reads them.
    """

    saturations = 0
    compiled: frozenset[str] = frozenset()

    def __init__(self, layer: RelayLayer, sheet: Sheet, chunk: int, window: int, origin: Sheet) -> None:
        self.name, self._layer, self._chunk, self._window = layer.population.name, layer, chunk, window
        self._sheet, self._origin = sheet, origin
        self._copies = layer.relay.copies and sheet.events is not None and sheet.trains is None

    def run(self, sent: Sent, first: int, steps: int, team: Team) -> None:
        """Events (steps * images, H, W, C) of steps ``first ...`` of the window, from those of the source, into ``sent``."""
        sheet, relay = self._sheet, self._layer.relay
        if self._copies:
            sent.later(self.name, partial(self._relayed, sent, steps, team))
            if first + steps == self._window:
                for arrived, passed_on in ((self._origin.counts, sheet.counts), (self._origin.events, sheet.events)):
                    if arrived is not None and passed_on is not None:
                        relay(arrived, passed_on)
            return
        sent[self.name] = relayed = self._relayed(sent, steps, team)
        payloads, most = relayed.reshape(steps, -1), self._layer.population.payload_range[1]
        if sheet.events is not None:
            sent.measured(self.name, tally(payloads, most, sheet.counts, sheet.events, 0, sheet.shape[1]))
        if sheet.trains is not None:
            keep(sheet.trains, payloads, first)

    def _relayed(self, sent: Sent, steps: int, team: Team) -> Array:
        """The events of a chunk."""
        room = sent.room(self._layer, self._sheet, self._chunk)
        arriving, out = sent[self._layer.source], room[:steps].reshape(-1, *self._sheet.shape[1:])
        parts = _split(len(out), team.threads)
        team.each(lambda part: self._layer.relay(arriving[slice(*part)], out[slice(*part)]), parts)
        return out

    def restless(self) -> bool:
        """Whether any neuron would send a payload without further input."""
        return False

    def close(self, rooms: Rooms) -> None:
        """Give back what was taken from ``rooms``."""


class FiringRunner:
    """A layer with membranes, which stay from chunk to chunk."""

    def __init__(
        self,
        layer: FiringLayer,
        sheet: Sheet,
        chunk: int,
        network: Network,
        stimulus: Array,
        wishes: Wishes,
        rooms: Rooms,
    ) -> None:
        self.name, self.saturations, self.compiled = layer.population.name, 0, frozenset[str]()
        self._wishes = wishes
        self._ways: list[Way] = []
        self._block = BLOCK_BYTES
        self._firing: Sums | None = None
        self._layer, self._sheet, self._driven = layer, sheet, network.input_steps
        self._chunk, self._payloads = chunk, np.empty((0, 0))
        self._drive = self._driving(stimulus)
        self._count: Array | None = None
        once = layer.settles and sheet.states is None
        self._once = layer.rule if once and isinstance(layer.rule, Rule) else None
        self._v: Array = np.empty(0)
        if self._once is None:
            v = rooms.take(sheet.shape, layer.rule.start.dtype)
            v[...] = layer.rule.start[: sheet.shape[3]]
            self._v = v.reshape(-1)
            if layer.rule.counts:
                self._count = np.zeros_like(self._v)

    def _driving(self, stimulus: Array) -> Array | None:
        """Bias and constant currents of every neuron, flat; ``None`` where the rule's bias is all."""
        layer, shape = self._layer, self._sheet.shape
        if layer.bias is None and not layer.constants:
            return None
        bias = layer.rule.bias[: shape[3]] if layer.bias is None else layer.bias
        drive: Array = np.broadcast_to(bias, shape).astype(layer.real, copy=True)
        for stream in layer.constants:
            for part in stream.parts:
                drive += part.current(stimulus, 0, shape[1])
        return drive.reshape(-1)

    def run(self, sent: Sent, first: int, steps: int, team: Team) -> None:
        """Events (steps * images, H, W, C) of steps ``first ...`` of the window, from those of the sources, into ``sent``."""
        chosen = [way for stream in self._layer.streams for way in self._chosen(stream, sent)]
        self._ways = sorted(chosen, key=lambda way: way.sums is not None)
        self._payloads = sent.room(self._layer, self._sheet, self._chunk)
        self._firing = self._rows_fire()
        self._block = self._block_bytes()
        self.compiled |= {way.sums.name for way in chosen if way.sums is not None}
        strips = self._strips(team.threads)
        extents: list[Extent] = []
        self.saturations += sum(team.each(lambda strip: self._run_strip(first, steps, extents, *strip), strips))
        if extents:
            sent.measured(self.name, Extent.joined(extents))
        if self._sheet.trains is not None:
            keep(self._sheet.trains, self._payloads[:steps], first)
        sent[self.name] = self._payloads[:steps].reshape(-1, *self._sheet.shape[1:])

    def _block_bytes(self) -> int:
        """Bytes of currents computed at a time."""
        fires = self._firing is not None and self._ways[0].sums is not None
        return min(FIRING_BLOCK_BYTES, BLOCK_BYTES) if fires else BLOCK_BYTES

    def _rows_fire(self) -> Sums | None:
        """The sums at whose rows neurons fire: the last ones, where the compiled rule is all that the neurons need."""
        rule, compiled = self._layer.rule, self._once is None and self._count is None
        plain = compiled and isinstance(rule, Rule) and not rule.hard
        return self._ways[-1].sums if plain and self._ways else None

    def _chosen(self, stream: Stream, sent: Sent) -> list[Way]:
        """The cheaper way to each part of ``stream`` at the activity of these payloads; silent planes are left out.

        Planes are not taken apart where all bits together cost less.
        """
        first, *others = stream.parts
        ways = [self._way(stream, first, sent)]
        ways += [
            self._way(stream, one, sent)
            for one in others
            if one.plane is None or not one.plane.silent(_read(stream, sent))
        ]
        if len(ways) > 1:
            whole = self._sums(stream, ALL, partial(_current, ways), sent)
            if whole is not None:
                return [Way(sent[whole.path.source], first.current, whole)]
        return ways

    def _way(self, stream: Stream, part: Part, sent: Sent) -> Way:
        """The cheapest way to one part."""
        bits = ALL if part.plane is None else part.plane.bits
        sums = self._sums(stream, bits, lambda maps, *rows: part.current(sent[stream.source][maps], *rows), sent)
        return Way(sent[stream.source if sums is None else sums.path.source], part.current, sums)

    def _sums(self, stream: Stream, bits: int, library: Rows, sent: Sent) -> Sums | None:
        """The cheapest compiled way, if it costs less than ``library`` at the activity of these payloads."""
        if stream.choice is None:
            return None
        source = stream.choice.path.source
        return stream.choice.cheapest(sent[source], partial(sent.extent, source), bits, library, self._wishes)

    def _run_strip(self, first: int, steps: int, extents: list[Extent], top: int, bottom: int) -> int:
        """Rows ``top..bottom`` of all images through the steps; returns how many membranes were limited.

        What is counted is measured, too, for ``extents``.
        """
        layer, shape, out = self._layer, self._sheet.shape, self._payloads[:steps]
        limited = 0
        for low, high in self._spans(steps, bottom - top):
            limited += self._run_span(low, high, top, bottom, first)
            if self._sheet.states is not None:
                self._sheet.states[:, first + low, top:bottom] = self._v.reshape(shape)[:, top:bottom]
            if self._sheet.currents is not None and self._count is not None:
                self._sheet.currents[:, first + low, top:bottom] = self._count.reshape(shape)[:, top:bottom]
        if self._sheet.events is not None:
            most = layer.population.payload_range[1]
            extents.append(tally(out, most, self._sheet.counts, self._sheet.events, top, bottom))
        return limited

    def _run_span(self, low: int, high: int, top: int, bottom: int, first: int) -> int:
        """Rows ``top..bottom`` through steps ``low..high`` of the chunk that begins with step ``first`` of the window."""
        (images, _, width, channels), rule, out = self._sheet.shape, self._layer.rule, self._payloads[low:high]
        maps, driven, firing = slice(low * images, high * images), max(self._driven - first - low, 0), self._firing
        if firing is not None and isinstance(rule, Rule):
            *others, last = self._ways
            neurons = ready(rule, self._v, self._drive, driven, images, out)
            return firing.fire(_current(others, maps, top, bottom), last.payloads[maps], top, bottom, neurons)
        total = _current(self._ways, maps, top, bottom)
        size, begin = images * (bottom - top) * width * channels, top * width * channels
        currents = np.zeros((1, size), self._layer.real) if total is None else total.reshape(-1, size)
        if self._once is not None:
            return fire_once(self._once, currents[0], self._drive, out[0], begin)
        return scan(rule, self._v, self._count, currents, self._drive, driven, out, begin)

    def _row_bytes(self) -> int:
        images, _, width, channels = self._sheet.shape
        return images * width * channels * np.dtype(self._layer.real).itemsize

    def _strips(self, threads: int) -> list[tuple[int, int]]:
        """Rows ``top..bottom`` of the strips of a single image; several images, small ones, stay whole."""
        images, height, _, _ = self._sheet.shape
        count = max(threads, -(-height * self._row_bytes() // self._block)) if images == 1 else 1
        return _split(height, count)

    def _spans(self, steps: int, rows: int) -> Iterator[tuple[int, int]]:
        """Steps ``low..high`` whose currents are computed together."""
        together = max(1, self._block // (rows * self._row_bytes()))
        if self._sheet.states is not None:
            together = 1
        elif self._firing is not None and len(self._ways) == 1:
            together = steps
        for low in range(0, steps, together):
            yield low, min(low + together, steps)

    def restless(self) -> bool:
        """Whether any neuron would send a payload without further input."""
        rule = self._layer.rule
        return isinstance(rule, Rule) and not self._layer.settles and restless(rule, self._v, self._count)

    def close(self, rooms: Rooms) -> None:
        """Give back what was taken from ``rooms``: the membranes."""
        if self._once is None:
            rooms.give(self._v)


Runner = RelayRunner | FiringRunner


def _read(stream: Stream, sent: Sent) -> Array:
    """Payloads of the source of ``stream``, unrepeated where it repeats others."""
    return sent[stream.source if stream.choice is None else stream.choice.path.source]


def _current(ways: Sequence[Way], maps: slice, top: int, bottom: int) -> Array | None:
    """What ``ways`` add to rows ``top..bottom`` together; ``None`` where there are none."""
    total: Array | None = None
    for way in ways:
        total = way.add(total, maps, top, bottom)
    return total


def _sum(total: Array | None, current: Array) -> Array:
    """``current``, added to ``total`` in place where there is one."""
    return current if total is None else np.add(total, current, out=total)


def _split(length: int, parts: int) -> list[tuple[int, int]]:
    """``0..length`` in at most ``parts`` runs of nearly equal length, none empty."""
    parts = min(parts, length)
    return list(pairwise(length * part // parts for part in range(parts + 1)))
