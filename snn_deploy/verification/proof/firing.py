r"""Equality of what a population makes of its summed current, for all sums: two staircases compared step by step.

.. math:: a(s) = \mathrm{clip}(\lfloor (s + b) / \theta \rfloor, a_{min}, a_{max})

(two-sided neurons: the sum of two of these, compared one by one) reaches count a at :math:`s = a\theta - b`. Two of these
functions are equal where b, :math:`\theta` and the limits are; if not, they differ exactly for the sums between their steps
to the same count. Sums are multiples of a common divisor of the weights and lie within the bounds of
:mod:`snn_deploy.network.bounds`; outside, a difference is none. Inside, a sum is a counterexample once payloads are found
that add up to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import Firing, LinearMap, OpaqueFiring, Quantizer, QuantizerSum, SteppedFiring
from snn_deploy.errors import CompiledFormError
from snn_deploy.network.network import Population
from snn_deploy.shapes import Pair, Shape
from snn_deploy.verification.proof.windows import list_afferents

NEVER = 2**40
"""A sum beyond all that 24 bits hold: where a step never comes."""

MOST_SUMS = 2**27
"""Sums that are tried one by one where nothing is known of a function."""

BAND = 2**20
"""Sums that are tried at a time."""

MOST_TRIALS = 64
"""Sums for which payloads are looked for."""


@dataclass(frozen=True, eq=False)
class Drive:
    """The currents of a population: ``low`` and ``high`` (C,) int64, multiples of ``quantum``, sums over ``afferents``.

    ``afferents`` are the source's shape, the limits of its payloads, and its linear maps, for each source.
    """

    low: Int64
    high: Int64
    quantum: int
    afferents: tuple[tuple[Shape, Pair, tuple[LinearMap, ...]], ...]


Sides: TypeAlias = tuple[Quantizer, ...]
"""Functions of one sum whose sum a count is."""


def reach(sides: Sides, low: Int64, high: Int64) -> Pair:
    """Least and greatest count for sums from ``low`` to ``high`` (C,)."""
    least, greatest = (_evaluate(sides, end[:, None, None]) for end in (low, high))
    return int(least.min()), int(greatest.max())


def _evaluate(sides: Sides, sums: Int64) -> Int64:
    """Counts of ``sums`` (C, ...)."""
    parts = [np.clip((sums + each.offset) // each.divisor[:, None, None], each.least, each.greatest) for each in sides]
    total: Int64 = np.sum(parts, axis=0)
    return total


@dataclass(frozen=True)
class Divergence:
    """A neuron (c, y, x) and a sum of currents, reached by ``payloads`` events, for which the counts differ."""

    neuron: Shape
    sum: int
    payloads: int
    expected: int
    found: int

    @property
    def text(self) -> str:
        """One phrase."""
        return (
            f"neuron {self.neuron} counts {self.found}, {self.expected} expected, where {self.payloads} payload(s) add up to a "
            f"current of {self.sum}"
        )


def specify(population: Population) -> Sides:
    """What the specification makes of the sum of all currents in ``exact`` mode, once silent."""
    neuron = population.neuron
    if neuron is None or not neuron.staircases:
        raise CompiledFormError(f"{population.name}: its counts are not the floor of a sum over the threshold")
    return tuple(
        Quantizer(population.bias + (neuron.v0 + each.offset)[:, None, None], each.theta, each.least, each.greatest)
        for each in neuron.staircases
    )


def compare_firing(expected: Sides, found: Firing, shape: Shape, drive: Drive) -> str | Divergence:
    """How equality was shown, or where it fails; :class:`CompiledFormError` where neither can be decided."""
    if isinstance(found, SteppedFiring):
        raise CompiledFormError("its neurons are stepped in time, and no step is known")
    if isinstance(found, OpaqueFiring):
        trials = _opaque_trials(expected, found, shape, drive)
    else:
        pairs = _pair(expected, found.parts if isinstance(found, QuantizerSum) else (found,))
        if all(_same(own, other, shape) for own, other in pairs):
            return "offsets, thresholds and limits are equal"
        others = tuple(other for _, other in pairs)
        trials = (
            (neuron, total, _count(others, neuron, total))
            for own, other in pairs
            for neuron, total in _trials(own, other, shape, drive)
        )
    tried = 0
    for neuron, total, counted in trials:
        tried += 1
        right = _count(expected, neuron, total)
        payloads = None if right == counted else _find_payloads(drive, neuron, shape, total)
        if payloads is not None:
            return Divergence(neuron, total, payloads, right, counted)
        if tried == MOST_TRIALS:
            break
    if tried:
        raise CompiledFormError(
            f"the counts differ for {tried} sum(s), of which no payloads were found that reach them"
        )
    if isinstance(found, OpaqueFiring):
        return "both count the same for every sum that weights and payloads allow"
    return "they differ for no sum that weights and payloads allow"


def _pair(expected: Sides, found: Sides) -> list[tuple[Quantizer, Quantizer]]:
    """Sides by place; for one that is missing stands a function that is 0."""
    missing = [[replace(each, least=0, greatest=0) for each in sides] for sides in (found, expected)]
    own, other = [*expected, *missing[0][len(expected) :]], [*found, *missing[1][len(found) :]]
    return list(zip(own, other, strict=True))


def _same(expected: Quantizer, found: Quantizer, shape: Shape) -> bool:
    limits = (expected.least, expected.greatest) == (found.least, found.greatest)
    offset, other = (np.broadcast_to(each.offset, shape) for each in (expected, found))
    return limits and np.array_equal(expected.divisor, found.divisor) and np.array_equal(offset, other)


def _count(sides: Sides, neuron: Shape, total: int) -> int:
    return sum(_count_side(each, neuron, total) for each in sides)


def _count_side(firing: Quantizer, neuron: Shape, total: int) -> int:
    offset = np.broadcast_to(firing.offset, (firing.divisor.size, *firing.offset.shape[1:]))
    _, height, width = offset.shape
    own = int(offset[neuron[0], neuron[1] if height > 1 else 0, neuron[2] if width > 1 else 0])
    return min(max((total + own) // int(firing.divisor[neuron[0]]), firing.least), firing.greatest)


def _trials(expected: Quantizer, found: Quantizer, shape: Shape, drive: Drive) -> Iterator[tuple[Shape, int]]:
    """Neurons and sums for which their counts differ: for each kind of neuron that can differ."""
    if found.divisor.shape != expected.divisor.shape:
        raise CompiledFormError("thresholds differ in number")
    columns = [
        np.broadcast_to(values, shape).reshape(-1)
        for firing in (expected, found)
        for values in (firing.divisor[:, None, None], firing.offset)
    ]
    ends = (np.broadcast_to(end[:, None, None], shape).reshape(-1) for end in (drive.low, drive.high))
    kinds, inverse = np.unique(np.stack([*columns, *ends]), axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    for kind, (theta, offset, other_theta, other_offset, low, high) in enumerate(kinds.T.tolist()):
        # counts that both reach for the least sum, or neither for the greatest, differ for none between
        begin = min((low + offset) // theta, (low + other_offset) // other_theta)
        end = max((high + offset) // theta, (high + other_offset) // other_theta) + 1
        counts = np.arange(
            max(min(expected.least, found.least) + 1, begin), min(max(expected.greatest, found.greatest), end) + 1
        )
        steps = _steps(expected, counts, theta, offset), _steps(found, counts, other_theta, other_offset)
        first = -(-np.maximum(np.minimum(*steps), low) // drive.quantum) * drive.quantum
        last = np.minimum(np.maximum(*steps) - 1, high) // drive.quantum * drive.quantum
        sums = np.unique(np.concatenate([first, last])[np.tile(first <= last, 2)])
        if sums.size:
            neuron = _most_central(np.flatnonzero(inverse == kind), shape)
            for total in sums[np.argsort(np.abs(sums), kind="stable")][: 2 * MOST_TRIALS].tolist():
                yield neuron, total


def _steps(firing: Quantizer, counts: Int64, theta: int, offset: int) -> Int64:
    """The least sum for which each of ``counts`` is reached."""
    steps = counts * theta - offset
    return np.where(counts <= firing.least, -NEVER, np.where(counts > firing.greatest, NEVER, steps))


def _most_central(places: Int64, shape: Shape) -> Shape:
    """That of ``places`` in the flat map that is nearest the middle, where most synapses end."""
    channel, y, x = np.unravel_index(places, shape)
    best = int(np.argmin(np.abs(2 * y - shape[1]) + np.abs(2 * x - shape[2])))
    return int(channel[best]), int(y[best]), int(x[best])


def _opaque_trials(
    expected: Sides, found: OpaqueFiring, shape: Shape, drive: Drive
) -> Iterator[tuple[Shape, int, int]]:
    """Every sum, neuron by neuron of the middle, for which an unknown function counts otherwise; none is left out."""
    if not found.per_channel or any(each.offset.shape[1:] != (1, 1) for each in expected):
        raise CompiledFormError(f"{found.reason}, and differs from neuron to neuron")
    first, last = int(drive.low.min()) // drive.quantum, int(drive.high.max()) // drive.quantum
    if (last - first) * shape[0] > MOST_SUMS:
        raise CompiledFormError(f"{found.reason}, and {last - first:,} sums are too many to try them all")
    band = max(1, BAND // shape[0])
    for begin in range(first, last + 1, band):
        sums = np.arange(begin, min(begin + band, last + 1), dtype=np.int64) * drive.quantum
        sums = sums[np.argsort(np.abs(sums), kind="stable")]
        every = np.broadcast_to(sums, (shape[0], 1, sums.size))
        try:
            counted = found.evaluate(every)
        except CompiledFormError:  # undefined for some sums, so that the others can only refute
            yield from _defined_trials(expected, found, shape, drive, sums)
            raise
        right = _evaluate(expected, every)
        possible = (drive.low[:, None, None] <= every) & (every <= drive.high[:, None, None])
        differs = (counted != right) & possible
        for place, channel in np.argwhere(differs[:, 0].T)[:MOST_TRIALS].tolist():
            yield (channel, shape[1] // 2, shape[2] // 2), int(sums[place]), int(counted[channel, 0, place])


def _defined_trials(
    expected: Sides, found: OpaqueFiring, shape: Shape, drive: Drive, sums: Int64
) -> Iterator[tuple[Shape, int, int]]:
    """Differences among some of ``sums``, tried one after the other."""
    for total in sums[:MOST_TRIALS].tolist():
        with suppress(CompiledFormError):
            counted = found.evaluate(np.full((shape[0], 1, 1), total, np.int64))
            for channel in range(shape[0]):
                neuron = (channel, shape[1] // 2, shape[2] // 2)
                possible = drive.low[channel] <= total <= drive.high[channel]
                if possible and counted[channel, 0, 0] != _count(expected, neuron, total):
                    yield neuron, total, int(counted[channel, 0, 0])


def _find_payloads(drive: Drive, neuron: Shape, shape: Shape, total: int) -> int | None:
    """The number of payloads, not 0, that add up to ``total`` at ``neuron``; ``None`` where none were found."""
    weights, least, greatest = _afferents(drive, neuron, shape)
    rng = np.random.default_rng(0)
    order = np.argsort(-np.abs(weights), kind="stable")
    for _ in range(MOST_TRIALS):
        rest, used = total, 0
        for place in order.tolist():
            weight = int(weights[place])
            if weight == 0 or rest == 0:
                break
            wanted = abs(rest) // abs(weight) * (1 if (rest > 0) == (weight > 0) else -1)
            payload = min(max(wanted, int(least[place])), int(greatest[place]))
            rest, used = rest - payload * weight, used + (payload != 0)
        if rest == 0:
            return used
        order = rng.permutation(np.flatnonzero(weights))
    return None


def _afferents(drive: Drive, neuron: Shape, shape: Shape) -> tuple[Int64, Int64, Int64]:
    """Weights from all source neurons of ``neuron``, and the least and greatest payload of each."""
    weights, least, greatest = [], [], []
    for source, payloads, maps in drive.afferents:
        lists = [list_afferents(linear, source, neuron, shape) for linear in maps]
        places, inverse = np.unique(np.concatenate([each[0] for each in lists]), return_inverse=True)
        own = np.zeros(places.size, np.int64)
        np.add.at(own, inverse, np.concatenate([each[1] for each in lists]))
        weights.append(own)
        least.append(np.full(own.size, payloads[0], np.int64))
        greatest.append(np.full(own.size, payloads[1], np.int64))
    return np.concatenate(weights), np.concatenate(least), np.concatenate(greatest)
