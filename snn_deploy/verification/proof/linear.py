r"""Equality of the current that one population sends another: linear maps compared weight by weight, for all payloads.

The specification sends :math:`\sum W p` over payloads p. The form sends :math:`\sum_r M_r\, d_r(p)` where the readings
:math:`d_r` are functions of one payload (the payload itself, or its digits). Both are sums over synapses, of
functions that may be chosen one by one, so they are equal for all payloads if and only if for every synapse

.. math:: \sum_r M_r\, d_r(p) = W p \qquad \text{for every } p \text{ that the source can send.}

That is decided completely: where every :math:`M_r = f_r W` it is one identity :math:`\sum_r f_r d_r(p) = p` over the payloads;
otherwise each distinct tuple of weights is tried with each payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import NOWHERE, LinearMap, Part, Pixels, Windows
from snn_deploy.errors import CompiledFormError
from snn_deploy.shapes import Pair, Shape
from snn_deploy.verification.proof.windows import divide, list_synapses

BAND = 2**22
"""Products that are compared at a time."""


@dataclass(frozen=True)
class Difference:
    """A synapse, and a payload for which it adds ``found`` to the current instead of ``expected``.

    Neurons are (c, y, x); a synapse from padding has no ``source``.
    """

    source: Shape | None
    target: Shape
    payload: int
    expected: int
    found: int

    @property
    def text(self) -> str:
        """One phrase."""
        sent = "padding" if self.source is None else f"payload {self.payload} of neuron {self.source}"
        return f"{sent} adds {self.found} to the current of neuron {self.target}, {self.expected} expected"


@dataclass(frozen=True)
class Agreement:
    """What was compared: distinct weights, and payloads that one synapse can carry."""

    weights: int
    payloads: int
    readings: int


@dataclass(frozen=True, eq=False)
class Edge:
    """All that ``source`` sends ``target``: by the specification the maps ``expected``, by the form ``parts``.

    ``payloads`` are the least and the greatest that one synapse can carry.
    """

    source: Shape
    target: Shape
    payloads: Pair
    expected: tuple[LinearMap, ...]
    parts: tuple[Part, ...]


Ends: TypeAlias = Callable[[int], tuple[Shape, Shape]]
"""The source and the target of a synapse, given by its number."""


def compare_edge(edge: Edge) -> Agreement | Difference:
    """Whether both send the same for all payloads; :class:`CompiledFormError` where that cannot be decided."""
    readings, tables = _readings(edge)
    compared, factors = 0, None
    for expected, read, ends in _weights(edge, readings, len(tables)):
        compared += expected.size
        if factors is None and expected.any():
            factors = _factors(expected, read, tables, edge.payloads)
        if factors is not None and np.array_equal(read, factors[:, None] * expected):
            continue
        found = _search(expected, read, tables, edge.payloads)
        if found is not None:
            column, payload = found
            source, target = ends(column)
            sent = int(read[:, column] @ tables[:, payload - edge.payloads[0]])
            return Difference(source, target, payload, int(expected[column]) * payload, sent)
    beyond = _padding(edge)
    return beyond or Agreement(compared, edge.payloads[1] - edge.payloads[0] + 1, len(tables))


def _readings(edge: Edge) -> tuple[list[int], Int64]:
    """For each part the number of its reading, and what each reading makes of every payload: (readings, payloads)."""
    low, high = edge.payloads
    payloads = np.arange(low, high + 1, dtype=np.int64)
    numbers: dict[bytes, int] = {}
    tables: list[Int64] = []
    readings = []
    for part in edge.parts:
        table = payloads
        if part.reading is not None:
            begin = low - part.first
            table = part.reading[max(begin, 0) : begin + payloads.size]
            if begin < 0 or table.size != payloads.size:
                raise CompiledFormError(f"payloads {low}..{high} are read as if they began at {part.first}")
        key = table.tobytes()
        if key not in numbers:
            numbers[key] = len(tables)
            tables.append(table)
        readings.append(numbers[key])
    return readings, np.stack(tables) if tables else np.zeros((0, payloads.size), np.int64)


def _factors(expected: Int64, read: Int64, tables: Int64, payloads: Pair) -> Int64 | None:
    """Numbers f with ``read = f * expected`` in one synapse, if they make every payload of its readings."""
    place = int(np.flatnonzero(expected)[0])
    factors, rest = np.divmod(read[:, place], expected[place])
    if rest.any() or not np.array_equal(factors @ tables, np.arange(payloads[0], payloads[1] + 1)):
        return None
    return factors


def _search(expected: Int64, read: Int64, tables: Int64, payloads: Pair) -> Pair | None:
    """The synapse, and the payload nearest the greatest, for which the weights send something else; ``None``: none does."""
    every = np.arange(payloads[0], payloads[1] + 1, dtype=np.int64)
    tuples, first = np.unique(np.vstack([read, expected]), axis=1, return_index=True)
    step = max(1, BAND // every.size)
    for begin in range(0, tuples.shape[1], step):
        part = tuples[:, begin : begin + step]
        differs = part[:-1].T @ tables != part[-1][:, None] * every
        if differs.any():
            row = int(np.flatnonzero(differs.any(1))[0])
            return int(first[begin + row]), int(every[np.flatnonzero(differs[row])[-1]])
    return None


def _weights(edge: Edge, readings: Sequence[int], count: int) -> Iterator[tuple[Int64, Int64, Ends]]:
    """All synapses, in groups: the weights expected (n,), those of each of ``count`` readings (count, n), and their ends."""
    maps = (*edge.expected, *(part.linear for part in edge.parts))
    places = np.array([*[0] * len(edge.expected), *(1 + reading for reading in readings)])
    windows = [linear for linear in maps if isinstance(linear, Windows)]
    if len(windows) == len(maps):
        for block in divide(windows, edge.source):
            summed = np.zeros((1 + count, *block.weights.shape[1:]), np.int64)
            np.add.at(summed, places, block.weights)
            flat = summed.reshape(1 + count, -1)
            yield flat[0], flat[1:], _ends_in(block.output, block.input, edge.source[0])
        return
    pixels = all(isinstance(linear, Pixels) for linear in maps)
    one = 1 if pixels else None  # pixel maps do the same to every channel
    source, target = (one or edge.source[0], *edge.source[1:]), (one or edge.target[0], *edge.target[1:])
    lists = [list_synapses(linear, source, target) for linear in maps]
    size = int(np.prod(source))
    keys = np.concatenate([each.targets * size + each.sources for each in lists])
    found, where = np.unique(keys, return_inverse=True)
    summed = np.zeros((1 + count, found.size), np.int64)
    rows = np.repeat(places, [each.weights.size for each in lists])
    np.add.at(summed, (rows, where), np.concatenate([each.weights for each in lists]))
    yield (
        summed[0],
        summed[1:],
        lambda number: (_neuron(int(found[number]) % size, source), _neuron(int(found[number]) // size, target)),
    )


def _ends_in(output: Pair, source: Pair, channels: int) -> Ends:
    """The ends of the synapses of one block, of which ``output`` and ``source`` are a pair of pixels."""
    return lambda number: ((number % channels, *source), (number // channels, *output))


def _neuron(place: int, shape: Shape) -> Shape:
    pixels = shape[1] * shape[2]
    return place // pixels, place % pixels // shape[2], place % shape[2]


def _padding(edge: Edge) -> Difference | None:
    """The first neuron to which padding sends a current."""
    total = np.zeros(edge.target, np.int64)
    for part in edge.parts:
        if part.padding and isinstance(part.linear, Windows):
            linear = part.linear
            taps = linear.weight.sum(1)
            inside = [(axis != NOWHERE).astype(np.int64) for axis in (linear.rows, linear.columns)]
            total += part.padding * (taps.sum((1, 2))[:, None, None] - np.einsum("ohw,yh,xw->oyx", taps, *inside))
    reached = np.argwhere(total)
    if not reached.size:
        return None
    channel, y, x = (int(place) for place in reached[0])
    return Difference(None, (channel, y, x), 0, 0, int(total[channel, y, x]))
