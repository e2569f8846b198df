"""Random networks within 8 bits: counts of 0..127 or -128..127, sent once, in the shapes that layers of Akida 2 have.

They are small and, as those of :mod:`snn_deploy.testing.drawing`, functions of the random numbers given.
"""

from __future__ import annotations

from random import Random

import numpy as np

from snn_deploy.arrays import Int8, Int64
from snn_deploy.errors import OverflowProofError
from snn_deploy.network.bounds import prove
from snn_deploy.network.kernels import ConvKernel, Kernel, TransposedKernel, identity
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.shapes import Pads, Pair, Shape

KINDS = ("conv", "strided", "depthwise", "transposed", "joined", "spread", "maximum", "average")
"""What a layer may be."""

MOST_PIXELS = 400
"""Pixels up to which maps are doubled."""


def draw_narrow(random: Random) -> Network:
    """A network of one to five layers and a read-out; where 24 bits do not hold it, another one."""
    while True:
        network = _Narrow(random).network()
        try:
            prove(network)
        except OverflowProofError:
            continue
        return network


class _Narrow:
    """The choices of one network, and what was made of it so far."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.populations: list[Population] = []
        self.connections: list[Connection] = []

    def network(self) -> Network:
        shape = (self.random.randint(1, 3), self.random.randint(4, 9), self.random.randint(4, 9))
        low, high = self.random.choice(((-127, 127), (0, 127), (-1, 1)))
        one = np.zeros((shape[0], 1, 1), np.int64)
        self.populations.append(
            Population("input", shape, None, one, np.full(shape[0], 0.01), input_min=low, input_max=high)
        )
        for number in range(self.random.randint(1, 5)):
            getattr(self, f"_add_{self.random.choice(KINDS)}")(f"layer{number}")
        last = self.populations[-1]
        self._join("output", [(last, self._conv(last, 2, 1)), *self._skip(last.shape[1:], 2)], wide=True)
        return align(Network("narrow", "exact", 1, tuple(self.populations), tuple(self.connections), self._outputs()))

    def _outputs(self) -> tuple[Output, ...]:
        """Everything that no other population reads."""
        read = {connection.source for connection in self.connections}
        return tuple(Output(each.name, each.name) for each in self.populations if each.name not in read)

    def _choose(self) -> Population:
        """The last population, or any that is none of a maximum's own."""
        readable = [each for each in self.populations if "max" not in each.name]
        return readable[-1] if self.random.random() < 0.6 else self.random.choice(readable)

    def _weights(self, *shape: int) -> Int8:
        rng = np.random.default_rng(self.random.getrandbits(32))
        values = rng.integers(-128, 127, shape, endpoint=True)
        return np.where(rng.random(shape) < self.random.choice((0.0, 0.3)), 0, values).astype(np.int8)

    def _add_conv(self, name: str) -> None:
        source = self._choose()
        self._join(name, [(source, self._conv(source, self.random.randint(1, 4), 1))])

    def _add_strided(self, name: str) -> None:
        source = self._choose()
        self._join(name, [(source, self._conv(source, self.random.randint(1, 4), 2))])

    def _add_depthwise(self, name: str) -> None:
        source = self._choose()
        self._join(name, [(source, self._conv(source, source.shape[0], self.random.choice((1, 2)), depthwise=True))])

    def _add_joined(self, name: str) -> None:
        source, outputs = self._choose(), self.random.randint(1, 4)
        parts = [(source, self._conv(source, outputs, 1)), *self._skip(source.shape[1:], outputs)]
        self._join(name, parts)

    def _add_transposed(self, name: str) -> None:
        source = self._choose()
        if source.shape[1] * source.shape[2] > MOST_PIXELS // 4:
            return self._add_conv(name)
        return self._join(name, [(source, self._transposed(source, self.random.randint(1, 4)))])

    def _add_spread(self, name: str) -> None:
        """A transposed convolution and a convolution of a larger map in one sum."""
        sources = [each for each in self.populations if "max" not in each.name]
        for small in sources:
            for large in sources:
                if large.shape[1:] == (2 * small.shape[1], 2 * small.shape[2]):
                    parts: list[tuple[Population, Kernel]] = [(small, self._transposed(small, 2))]
                    return self._join(name, [*parts, (large, self._conv(large, 2, 1))])
        return self._add_transposed(name)

    def _add_average(self, name: str) -> None:
        source = self._choose()
        channels, height, width = source.shape
        if height % 2 or width % 2:
            return self._add_depthwise(name)
        kernel = ConvKernel(np.full((channels, 1, 2, 2), 64), (2, 2), groups=channels)
        return self._join(name, [(source, kernel)], theta=np.full(channels, 256, np.int64))

    def _add_maximum(self, name: str) -> None:
        """A tournament, pixel against pixel: ``max(a, b) = a + relu(b - a)``."""
        source = self._choose()
        channels, height, width = source.shape
        signed = (source.count_range or (0, 0))[0] < 0
        geometries: list[tuple[int, int, Pads]] = [(2, 2, (0, 0, 0, 0))] * (height % 2 == width % 2 == 0)
        geometries += [(3, 1, (1, 1, 1, 1)), (3, 2, (1, 1, 1, 1))] * (not signed)
        if not geometries:
            return self._add_conv(name)
        side, stride, pads = self.random.choice(geometries)

        def tap(places: dict[Pair, int]) -> Kernel:
            weight = np.zeros((channels, 1, side, side), np.int8)
            for (row, column), sign in places.items():
                weight[:, :, row, column] = sign
            return ConvKernel(weight, (stride, stride), pads, groups=channels)

        leader: tuple[Pair, list[Population]] = ((0, 0), [])
        for number in range(1, side * side):
            place = number // side, number % side
            ahead = [(source, tap({place: 1, leader[0]: -1}))]
            behind: list[tuple[Population, Kernel]] = [(relay, identity(channels, -1)) for relay in leader[1]]
            relay = self._relay(f"{name}.max{number}", [*ahead, *behind], rectified=True)
            leader = leader[0], [*leader[1], relay]
        relays: list[tuple[Population, Kernel]] = [(relay, identity(channels)) for relay in leader[1]]
        self._relay(name, [(source, tap({leader[0]: 1})), *relays], rectified=False)
        return None

    def _relay(self, name: str, parts: list[tuple[Population, Kernel]], *, rectified: bool) -> Population:
        channels, limit = parts[0][0].shape[0], 4096
        one = np.ones(channels, np.int64)
        neuron = MultiThreshold(one, 0 * one, -limit, limit, 0 if rectified else -128, 255 if rectified else 127)
        return self._connect(name, parts, neuron, np.zeros((channels, 1, 1), np.int64), [0] * len(parts))

    def _skip(self, size: Pair, outputs: int) -> list[tuple[Population, Kernel]]:
        """A connection from any other population of ``size``, or of twice that by every second pixel; or none."""
        found: list[tuple[Population, Kernel]] = []
        for source in self.populations:
            if "max" in source.name or self.random.random() < 0.4:
                continue
            if source.shape[1:] == size:
                found.append((source, self._conv(source, outputs, 1)))
            elif (-(-source.shape[1] // 2), -(-source.shape[2] // 2)) == size:
                found.append((source, ConvKernel(self._weights(outputs, source.shape[0], 1, 1), (2, 2))))
        return found[:2]

    def _conv(self, source: Population, outputs: int, stride: int, *, depthwise: bool = False) -> ConvKernel:
        """A convolution that keeps the size or halves it, not always centered."""
        channels, height, width = source.shape
        taps, gaps = (
            (self.random.randint(1, 3), self.random.randint(1, 3)),
            self.random.choice(((1, 1), (1, 1), (2, 2))),
        )
        before, after = [], []
        for extent, number, gap in zip((height, width), taps, gaps, strict=True):
            span = (number - 1) * gap
            first = self.random.randint(max(span - 3, 0), min(span, 3))
            before.append(first)
            after.append((-(-extent // stride) - 1) * stride + span + 1 - extent - first)
        groups = channels if depthwise else self._draw_groups(channels, outputs)
        pads = (before[0], before[1], after[0], after[1])
        return ConvKernel(self._weights(outputs, channels // groups, *taps), (stride, stride), pads, gaps, groups)

    def _draw_groups(self, inputs: int, outputs: int) -> int:
        """A number of groups that splits both, mostly 1."""
        return self.random.choice([1, 1, *(number for number in (2, 3) if inputs % number == outputs % number == 0)])

    def _transposed(self, source: Population, outputs: int) -> TransposedKernel:
        """One of stride 2 that doubles the size, of at most 4 taps a side."""
        taps = self.random.randint(2, 4), self.random.randint(2, 4)
        first = [self.random.choice((0, 1)) if number == 3 else int(number == 4) for number in taps]
        groups = self._draw_groups(source.shape[0], outputs)
        pads = (first[0], first[1], taps[0] - 2 - first[0], taps[1] - 2 - first[1])
        return TransposedKernel(self._weights(source.shape[0], outputs // groups, *taps), (2, 2), pads, groups=groups)

    def _join(
        self,
        name: str,
        parts: list[tuple[Population, Kernel]],
        *,
        wide: bool = False,
        theta: Int64 | None = None,
    ) -> None:
        """A population of ``parts``: rectified, signed, or a ``wide`` read-out."""
        channels = parts[0][1].output_shape(parts[0][0].shape)[0]
        rng = np.random.default_rng(self.random.getrandbits(32))
        powers = np.int64(1) << rng.integers(0, 14, channels) if theta is None else theta
        signed = self.random.random() < 0.3
        limits = (-128, 127) if signed else (0, self.random.choice((127, 127, 100, 1)))
        neuron = MultiThreshold(powers, powers // 2, -128, 128, *limits)
        if wide:
            limit = 2**22
            neuron = MultiThreshold(powers * 0 + 1, powers * 0, -limit, limit, -limit, limit)
        bias = rng.integers(-127, 127, (channels, 1, 1), endpoint=True) << rng.integers(0, 12, (channels, 1, 1))
        self._connect(name, parts, neuron, bias, [self.random.choice((0, 0, 1, 3)) for _ in parts])

    def _connect(
        self,
        name: str,
        parts: list[tuple[Population, Kernel]],
        neuron: MultiThreshold,
        bias: Int64,
        exponents: list[int],
    ) -> Population:
        shape: Shape = parts[0][1].output_shape(parts[0][0].shape)
        population = Population(name, shape, neuron, bias, np.full(shape[0], 0.01))
        self.populations.append(population)
        self.connections += [
            Connection(f"{source.name}->{name} {number}", source.name, name, kernel, exponent)
            for number, ((source, kernel), exponent) in enumerate(zip(parts, exponents, strict=True))
        ]
        return population
