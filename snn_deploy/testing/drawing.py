"""Random integer networks over all options: kernels, neuron kinds, modes, limits, resets, biases, strictness.

Networks are small (at most 7 populations of 3 channels and 200 pixels), so that a difference is easy to read, and each is
a function of the random numbers given: a seed reproduces it, and Hypothesis can shrink it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendError, NetworkError, OverflowProofError
from snn_deploy.network.bounds import prove
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.network.two_sided import TwoSided
from snn_deploy.shapes import Pair, Shape

Value = TypeVar("Value")

MOST_PIXELS = 200
"""Pixels of a map; larger ones show nothing that these do not."""

BIASES = (*((-400, 900),) * 8, (-(2**20), 2**20), (STATE_MAX - 9, STATE_MAX))
"""Least and greatest bias, of which every population draws a pair."""

EVENT_LIMIT = 2**15
"""Largest magnitude of a sigma-delta event that the proof assumes."""


def draw_case(seed: int) -> tuple[Network, Int64]:
    """Network ``drawn-SEED`` and its stimulus, the same in every call.

    Of eight seeds in a row two each draw multi-threshold neurons in exact and in rate mode, sigma-delta and leaky neurons.
    """
    random, reference = Random(seed), load_backend("reference")
    mode: Mode = "rate" if seed % 2 else "exact"
    while True:
        network = replace(draw_network(random, mode, stock=seed % 8 >= 4), name=f"drawn-{seed}")
        stimulus = draw_stimulus(network, random)
        try:
            reference.run(network, stimulus)
        except BackendError:  # a sigma-delta event beyond what the proof assumes, which every backend refuses
            continue
        return network, stimulus


def draw_network(random: Random, mode: Mode | None = None, *, stock: bool | None = None) -> Network:
    """A legal network: where the 24-bit proof fails, weights, biases and initial membranes are halved until it holds.

    ``mode`` and whether its neurons are Lava's own (``stock``) are drawn, too, unless they are given.
    """
    chosen: Mode = random.choice(("exact", "rate")) if mode is None else mode
    network = _Drawing(random, chosen, stock=random.random() < 0.25 if stock is None else stock).network()
    while True:
        try:
            prove(network)
        except OverflowProofError:
            network = _halved(network)
        else:
            return network


def draw_late(random: Random, mode: Mode | None = None, *, stock: bool | None = None) -> Network:
    """A legal network off its schedule: events of some connections arrive later in their targets' windows than they were sent.

    In ``exact`` mode its window may be too short for silence, and a run is then an error.
    """
    network = draw_network(random, mode, stock=stock)
    late = [random.choice((0, 0, 1, 2, 5)) for _ in network.connections]
    connections = tuple(
        replace(each, delay=each.delay + steps) for each, steps in zip(network.connections, late, strict=True)
    )
    patience = random.choice((0, sum(late), 3 * sum(late))) if network.mode == "exact" else 0
    return replace(network, connections=connections, steps=network.steps + patience)


def draw_stream(random: Random, *, stock: bool | None = None) -> Network:
    """A legal network for streams: its neurons can take back what they have sent, and 24 bits hold every change."""
    network = draw_network(random, "exact", stock=stock)
    while True:
        try:
            return _holding(prepare_stream(network), random)
        except OverflowProofError:
            network = _halved(network)
        except NetworkError:
            network = align(replace(network, populations=tuple(map(_taking_back, network.populations))))


def _holding(stream: Network, random: Random) -> Network:
    """``stream``, some of whose neurons hold back a count or two, if it is aligned."""

    def held(population: Population) -> Population:
        neuron, counts = population.neuron, random.choice((0, 0, 1, 2))
        if neuron is None or not counts:
            return population
        with suppress(NetworkError):  # of a kind, or with so few counts, that none can be held back
            neuron = neuron.holding(counts)
        return replace(population, neuron=neuron)

    return replace(stream, populations=tuple(map(held, stream.populations))) if stream.aligned else stream


def draw_frames(network: Network, random: Random, number: int = 4, batch: int = 2) -> list[Int64]:
    """Frames (batch, C, H, W) int64 of a stream: some change everywhere, some in a corner, some not at all."""
    frames = [draw_stimulus(network, random, batch)]
    while len(frames) < number:
        drawn, kind = draw_stimulus(network, random, batch), random.choice(("cut", "corner", "still"))
        frame = drawn if kind == "cut" else frames[-1].copy()
        if kind == "corner":
            rows, columns = random.randint(1, frame.shape[2]), random.randint(1, frame.shape[3])
            frame[..., :rows, :columns] = drawn[..., :rows, :columns]
        frames.append(frame)
    return frames


def draw_stimulus(network: Network, random: Random, batch: int = 2) -> Int64:
    """Input payloads (batch, C, H, W) int64 over the whole range, its extremes and zeros among them."""
    rng = np.random.default_rng(random.getrandbits(32))
    low, high = network.input.payload_range
    shape = (batch, *network.input.shape)
    values = rng.integers(low, high, shape, endpoint=True)
    values = np.where(rng.random(shape) < 0.1, rng.choice([low, high], shape), values)
    return np.where(rng.random(shape) < random.choice((0.0, 0.5, 0.9)), 0, values).astype(np.int64)


def _halved(network: Network) -> Network:
    def half(kernel: Kernel) -> Kernel:
        if isinstance(kernel, SpatialKernel):
            return replace(kernel, data=np.trunc(kernel.data / 2).astype(np.int8))
        return replace(kernel, weight=np.trunc(kernel.weight / 2).astype(np.int8))

    lower = (
        replace(connection, kernel=half(connection.kernel), exponent=max(connection.exponent - 1, 0))
        for connection in network.connections
    )
    populations = (
        population
        if population.neuron is None
        else replace(
            population,
            bias=_half(population.bias),
            neuron=replace(population.neuron, v0=_half(population.neuron.v0)),
        )
        for population in network.populations
    )
    return replace(network, connections=tuple(lower), populations=tuple(populations))


def _half(values: Int64) -> Int64:
    half: Int64 = np.sign(values) * (np.abs(values) >> 1)
    return half


@dataclass(frozen=True)
class _Drawing:
    """The choices of one network."""

    random: Random
    mode: Mode
    stock: bool

    def network(self) -> Network:
        """Each population reads the one before it or any other, and sometimes a second one (a skip)."""
        populations = [self.source()]
        connections: list[Connection] = []
        for number in range(self.random.randint(1, 6)):
            name = f"layer{number}"
            first = populations[-1] if self.random.random() < 0.7 else self.choice(populations)
            kernel = self.kernel(first.shape)
            shape = kernel.output_shape(first.shape)
            edges = [(first, kernel)]
            second = self.choice(populations)
            if second is not first and (joined := self.joining(second.shape, shape)) is not None:
                edges.append((second, joined))
            populations.append(self.population(name, shape))
            connections += [
                Connection(f"{source.name}->{name}", source.name, name, between, self.choice((0, 0, 0, 1, 3, 7, 15)))
                for source, between in edges
            ]
        read = {connection.source for connection in connections}
        outputs = tuple(
            Output(population.name, population.name) for population in populations if population.name not in read
        )
        steps = self.random.randint(1, 12) if self.mode == "rate" else 1
        network = Network("drawn", self.mode, steps, tuple(populations), tuple(connections), outputs)
        try:
            return align(network)
        except NetworkError:  # a neuron that cannot take spikes back reads one that sends for several steps
            return align(replace(network, populations=tuple(map(_taking_back, populations))))

    def choice(self, values: Sequence[Value]) -> Value:
        return self.random.choice(values)

    def integers(self, low: int, high: int, *shape: int) -> Int64:
        """Numbers from ``low`` to ``high``, both included."""
        rng = np.random.default_rng(self.random.getrandbits(32))
        return rng.integers(low, high, shape, np.int64, endpoint=True)

    def weights(self, *shape: int) -> Int64:
        """-128..127, a fifth of them 0; in every eighth kernel all are 0, small, or 0 but for the first, which is extreme."""
        values = np.where(self.integers(0, 4, *shape) > 0, self.integers(-128, 127, *shape), 0)
        first = np.arange(values.size).reshape(shape) == 0
        odd = (0 * values, np.sign(values), np.where(first, self.choice((-128, 127)), 0))
        return self.choice((*odd, *(values,) * 21))

    def pair(self, low: int, high: int) -> Pair:
        return self.random.randint(low, high), self.random.randint(low, high)

    def source(self) -> Population:
        levels = self.choice((1, 7, 255, 1023))
        shape = (self.random.randint(1, 3), *self.pair(3, 9))
        return Population(
            "input",
            shape,
            None,
            np.zeros((shape[0], 1, 1), np.int64),
            np.full(shape[0], 1 / levels),
            input_min=self.choice((0, -levels)),
            input_max=levels,
        )

    def kernel(self, shape: Shape) -> Kernel:
        """A kernel that maps of ``shape`` fit into."""
        kind = self.choice(("conv", "conv", "depthwise", "transposed", "pixels"))
        if kind == "pixels":
            return self.pixel_map(shape[1:], self.pair(1, 9))
        kernel = self.transposed(shape[0]) if kind == "transposed" else self.conv(shape[0], kind == "depthwise")
        try:
            _, rows, columns = kernel.output_shape(shape)
        except NetworkError:
            rows = columns = MOST_PIXELS
        return kernel if rows * columns <= MOST_PIXELS else ConvKernel(self.weights(2, shape[0], 1, 1).astype(np.int8))

    def conv(self, channels: int, depthwise: bool) -> ConvKernel:
        groups = channels if depthwise else 1
        shape = (groups * self.random.randint(1, 3), channels // groups, *self.pair(1, 3))
        pads = (*self.pair(-1, 2), *self.pair(-1, 2))
        return ConvKernel(self.weights(*shape).astype(np.int8), self.pair(1, 2), pads, self.pair(1, 2), groups)

    def transposed(self, channels: int) -> TransposedKernel:
        groups = self.choice((1, channels))
        shape = (channels, self.random.randint(1, 2), *self.pair(1, 3))
        pads = (*self.pair(0, 1), *self.pair(-1, 1))
        return TransposedKernel(self.weights(*shape).astype(np.int8), self.pair(1, 2), pads, self.pair(1, 2), groups)

    def joining(self, source: Shape, target: Shape) -> Kernel | None:
        """A kernel from maps of shape ``source`` to shape ``target``, if any kind has one."""
        if source[1:] == target[1:]:
            return ConvKernel(self.weights(target[0], source[0], 3, 3).astype(np.int8), pads=(1, 1, 1, 1))
        return self.pixel_map(source[1:], target[1:]) if source[0] == target[0] else None

    def pixel_map(self, source: Pair, target: Pair) -> SpatialKernel:
        """0 to 4 weights for each pixel of the target."""
        indptr = np.concatenate([[0], np.cumsum(self.integers(0, 4, target[0] * target[1]))])
        entries = int(indptr[-1])
        indices = self.integers(0, source[0] * source[1] - 1, entries)
        return SpatialKernel(source, target, indptr, indices, self.weights(entries).astype(np.int8))

    def population(self, name: str, shape: Shape) -> Population:
        channels = shape[0]
        bias = self.integers(*self.choice(BIASES), *self.choice((shape, (channels, 1, 1), (channels, 1, 1))))
        if self.stock:
            neuron: Neuron = self.cuba_lif(channels) if self.mode == "rate" else self.sigma_delta(channels)
            bias = np.zeros((channels, 1, 1), np.int64)
        else:
            kinds = (self.relay,) * 3 + (self.two_sided,) * 3 + (self.multi_threshold,) * 14
            neuron = self.choice(kinds)(channels)
        return Population(name, shape, neuron, bias, np.full(channels, 0.01))

    def multi_threshold(self, channels: int) -> Neuron:
        powers = 1 << self.integers(0, 11, channels)
        theta = self.choice((powers, powers, self.integers(1, 2000, channels)))
        payload = self.choice((1, 3, 15, 255))
        least = self.choice((0, -1, -payload))
        counts: tuple[int | None, int | None] = (None, None)
        if self.mode == "exact" or self.random.random() < 0.5:
            most = self.choice((1, 7, payload, 4 * payload))
            counts = (self.choice((0, -1, -most)), most)
        return MultiThreshold(
            theta,
            self.choice((0 * theta, theta // 2, self.integers(-500, 500, channels), *self.extremes(channels))),
            least,
            payload,
            *counts,
            strict=self.random.random() < 0.3,
            reset="zero" if self.mode == "rate" and self.random.random() < 0.4 else "subtract",
        )

    def two_sided(self, channels: int) -> Neuron:
        """Slopes from 1/100 to 3, powers of two and not, some channels without any; windows of one step and of several."""
        theta = self.choice((1 << self.integers(0, 11, channels), self.integers(1, 2000, channels)))
        slopes = self.integers(0, 8, channels)
        below = np.maximum(np.array([100, 10, 8, 5, 4, 2, 1, 3, 1])[slopes] * theta // np.where(slopes < 7, 1, 9), 1)
        never = self.integers(0, 9, channels) == 0
        half_start = self.choice((0 * theta, theta // 2, theta // 2, *self.extremes(channels)))
        offset = self.choice((below // 2 - theta // 2, below // 2 - theta // 2, 0 * below, -theta, below * 3))
        most, fewest = self.choice((1, 7, 255)), self.choice((1, 2, 100))
        swing = most + fewest
        return TwoSided(
            theta,
            half_start,
            -self.choice((1, 15, swing, 2 * swing)),
            self.choice((3, 15, swing, 2 * swing)),
            -fewest,
            most,
            theta_below=np.where(never, STATE_MAX, below),
            offset_below=np.where(never, STATE_MAX, offset),
        )

    def extremes(self, channels: int) -> tuple[Int64, ...]:
        """Membranes at either limit of 24 bits, in every tenth population."""
        far = self.integers(0, 1, channels) * 2 * STATE_MAX - STATE_MAX
        return (far,) if self.random.random() < 0.4 else ()

    def relay(self, channels: int) -> Neuron:
        limit = self.choice((100, 2**12, 2**16))
        limited = self.mode == "exact" or self.random.random() < 0.3
        one = np.ones(channels, np.int64)
        return MultiThreshold(one, 0 * one, -limit, limit, *((-limit, limit) if limited else (None, None)))

    def cuba_lif(self, channels: int) -> Neuron:
        mantissas = self.integers(-4096, 4095, channels)
        biases = (
            mantissas,
            mantissas << 1,
            mantissas << 3,
            self.integers(-5000, 9000, channels),
        )  # Lava refuses the last
        return CubaLif.of(
            np.full(channels, 64 * self.random.randint(1, 400), np.int64),
            self.choice((*biases, mantissas, mantissas, mantissas << 1)),
            current_decay=self.choice((1, 400, 2048, 4096)),
            voltage_decay=self.choice((0, 1, 128, 2048, 4096)),
        )

    def sigma_delta(self, channels: int) -> Neuron:
        return SigmaDelta.of(
            self.integers(-400, 900, channels),
            shift=self.random.randint(3, 9),
            payloads=(-EVENT_LIMIT, EVENT_LIMIT),
            counts=(-EVENT_LIMIT, EVENT_LIMIT),
            threshold=self.choice((1, 1, 2)),
            rectify=self.random.random() < 0.5,
        )


def _taking_back(population: Population) -> Population:
    neuron = population.neuron
    if neuron is None:
        return population
    return replace(population, neuron=replace(neuron, payload_min=-neuron.payload_max))
