"""Networks and stimuli for tests: random U-Nets with everything that a U-Net has, and special cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Int8, Int64
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel, identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.network.two_sided import TwoSided

INPUT_LEVELS = 255
"""Largest magnitude of an input payload."""


def random_weights(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Int8:
    """Weights of mixed signs, odd values included (a chip that drops the lowest bit must be caught), zeros included."""
    values = rng.integers(-90, 110, shape)
    return np.where(rng.random(shape) < 0.9, values, 0).astype(np.int8)


def _spiking(
    name: str, shape: tuple[int, int, int], mode: Mode, levels: int, payload: int, rng: np.random.Generator
) -> Population:
    theta = 2 ** rng.integers(6, 11, shape[0])
    if mode == "exact":
        neuron = MultiThreshold(theta, theta // 2, -payload, payload, 0, levels)
    else:
        neuron = MultiThreshold(theta, np.zeros_like(theta), 0, 15, strict=True)
    return Population(name, shape, neuron, rng.integers(-300, 900, (shape[0], 1, 1)), np.full(shape[0], 0.01))


def _linear(name: str, shape: tuple[int, int, int], mode: Mode, limit: int) -> Population:
    """A relay (or read-out): threshold 1, signed, passes every sum on."""
    one = np.ones(shape[0], np.int64)
    counts = (-limit, limit) if mode == "exact" else (None, None)
    neuron = MultiThreshold(one, 0 * one, -limit, limit, *counts)
    return Population(name, shape, neuron, np.zeros((shape[0], 1, 1), np.int64), np.full(shape[0], 0.01))


def random_unet(
    mode: Mode = "exact",
    seed: int = 0,
    *,
    size: int = 16,
    width: int = 4,
    steps: int = 8,
    levels: int = 63,
    payload: int | None = None,
) -> Network:
    """A U-Net of random weights with every kind of connection.

    Two convolutions, sum pooling, a strided grouped one, a dilated one, a transposed one, a skip into two convolutions
    (the concat), a pixel map, an identity from the input, and a read-out.

    ``size`` must be a multiple of 4; ``payload`` below ``levels`` makes exact mode take several steps. Weights are
    drawn so that every population fires, none always.
    """
    rng = np.random.default_rng(seed)
    populations = _unet_populations(rng, mode, size, width, levels, payload or levels)
    connections = _unet_connections(rng, size, width)
    window = steps if mode == "rate" else 1
    outputs = (Output("output", "output"),)
    return align(Network(f"random-{mode}-{seed}", mode, window, populations, connections, outputs))


def _unet_populations(
    rng: np.random.Generator, mode: Mode, size: int, width: int, levels: int, payload: int
) -> tuple[Population, ...]:
    """An input of -255..255, two levels down and up again, and a read-out."""
    half, quarter = size // 2, size // 4
    source = Population(
        "input",
        (1, size, size),
        None,
        np.zeros((1, 1, 1), np.int64),
        np.full(1, 1 / 255),
        input_min=-INPUT_LEVELS,
        input_max=INPUT_LEVELS,
    )

    def spiking(name: str, channels: int, side: int) -> Population:
        return _spiking(name, (channels, side, side), mode, levels, payload, rng)

    return (
        source,
        spiking("enc1/a", width, size),
        spiking("enc1/b", width, size),
        _linear("pool", (width, half, half), mode, 4 * levels),
        spiking("enc2", 2 * width, half),
        spiking("down", 2 * width, quarter),
        spiking("up2", 2 * width, half),
        spiking("up1", width, size),
        spiking("dec", width, size),
        _linear("output", (1, size, size), mode, 2**20),
    )


def _unet_connections(rng: np.random.Generator, size: int, width: int) -> tuple[Connection, ...]:
    """What joins the populations: source, target, kernel and exponent of each connection."""
    pixels = _doubling(rng, size // 4)

    def conv(outputs: int, inputs: int, kernel: int = 3, **geometry: object) -> Kernel:
        pads = (kernel // 2,) * 4
        return ConvKernel(random_weights(rng, (outputs, inputs, kernel, kernel)), **({"pads": pads} | geometry))  # type: ignore[arg-type]

    edges: tuple[tuple[str, str, Kernel, int], ...] = (
        ("input", "enc1/a", conv(width, 1), 0),
        ("enc1/a", "enc1/b", conv(width, width), 0),
        ("enc1/b", "pool", ConvKernel(np.ones((width, 1, 2, 2), np.int8), (2, 2), groups=width), 0),
        ("pool", "enc2", conv(2 * width, width, pads=(2, 2, 2, 2), dilations=(2, 2)), 0),
        ("enc2", "down", conv(2 * width, width, strides=(2, 2), pads=(1, 1, 0, 0), groups=2), 1),
        ("down", "up2", pixels, 3),
        ("enc2", "up2", conv(2 * width, 2 * width, 1), 0),
        ("up2", "up1", TransposedKernel(random_weights(rng, (2 * width, width, 3, 3)), (2, 2), (1, 1, 0, 0)), 1),
        ("enc1/b", "dec", conv(width, width), 0),
        ("up1", "dec", conv(width, width), 1),
        ("dec", "output", conv(1, width), 0),
        ("input", "output", identity(1, 64), 2),
    )
    return tuple(
        Connection(f"{source}->{target}", source, target, kernel, exponent)
        for source, target, kernel, exponent in edges
    )


def _doubling(rng: np.random.Generator, side: int) -> SpatialKernel:
    """Every pixel of a ``side`` x ``side`` map to four, each with a weight of its own."""
    double = np.repeat(np.arange(side), 2)
    nearest = (double[:, None] * side + double[None, :]).reshape(-1)
    weights = rng.integers(40, 100, nearest.size).astype(np.int8)
    return SpatialKernel((side, side), (2 * side, 2 * side), np.arange(nearest.size + 1), nearest, weights)


def random_stimulus(network: Network, seed: int = 0, batch: int = 2) -> Int64:
    """Input payloads (batch, C, H, W) int64: smooth structure and noise, both signs."""
    rng = np.random.default_rng(seed)
    channels, height, width = network.input.shape
    waves = np.sin(np.arange(height)[:, None] / 3) + np.cos(np.arange(width)[None, :] / 4)
    noise = rng.normal(0.3, 0.5, (batch, channels, height, width))
    values = np.rint((waves + noise) * network.input.input_max / 3)
    limited: Int64 = np.clip(values, network.input.input_min, network.input.input_max).astype(np.int64)
    return limited


def conformance_cases() -> Iterator[tuple[Network, Int64]]:
    """Networks and stimuli that together use every kernel, both modes, and every option of the multi-threshold neuron."""
    for mode in ("exact", "rate"):
        for seed in range(2):
            network = random_unet(mode, seed)
            yield network, random_stimulus(network, seed)
    several = random_unet("exact", 2, levels=15, payload=4)
    yield several, random_stimulus(several, 2)


def special_cases() -> Iterator[tuple[Network, Int64]]:
    """What a backend may refuse: hard reset; a bias of its own for each neuron; saturating membranes; two-sided neurons."""
    rng = np.random.default_rng(0)
    network = random_unet("rate", 3)
    strong = (replace(edge, exponent=5) if edge.target == "enc1/a" else edge for edge in network.connections)
    changes: tuple[tuple[str, Network, Callable[[Population, Neuron], Population]], ...] = (
        ("hard-reset", network, lambda population, neuron: replace(population, neuron=replace(neuron, reset="zero"))),
        (
            "bias-map",
            network,
            lambda population, _: replace(population, bias=rng.integers(-300, 900, population.shape)),
        ),
        (
            "saturating",
            replace(network, steps=16, connections=tuple(strong)),
            lambda population, neuron: replace(population, neuron=replace(neuron, payload_max=1)),
        ),
    )
    for name, base, change in changes:
        populations = (
            change(population, population.neuron)
            if population.neuron is not None and not population.neuron.relays
            else population
            for population in base.populations
        )
        changed = replace(base, name=f"random-rate-{name}", populations=tuple(populations))
        yield align(changed), random_stimulus(changed, 3)
    two_sided = random_two_sided()
    yield two_sided, random_stimulus(two_sided, 3)


def random_two_sided(seed: int = 0, *, size: int = 8, payload: int | None = None) -> Network:
    """An ``exact`` network whose spiking populations are two-sided neurons, with slopes from 1/100 to 2 and one channel without.

    ``payload``: the largest of a step; without it one step holds every count.
    """
    network, rng = random_unet("exact", seed, size=size, levels=15, payload=15), np.random.default_rng(seed)

    def changed(population: Population) -> Population:
        neuron = population.neuron
        if neuron is None or neuron.relays:
            return population
        below = np.maximum(neuron.theta * rng.choice([100, 10, 4, 2, 1], neuron.theta.size) // rng.choice([1, 2]), 1)
        offset = below // 2 - neuron.theta // 2
        below[0], offset[0] = STATE_MAX, STATE_MAX
        most = payload or 15
        return replace(
            population,
            neuron=TwoSided(neuron.theta, neuron.v0, -most, most, -7, 15, theta_below=below, offset_below=offset),
        )

    name = f"random-two-sided-{seed}"
    return align(replace(network, name=name, populations=tuple(map(changed, network.populations))))


def random_plain(seed: int = 0, *, size: int = 8, width: int = 2, steps: int = 8) -> Network:
    """Two convolutions of plain integrate-and-fire neurons, whose spikes are single and carry 1, and a read-out."""
    rng = np.random.default_rng(seed)
    pads = (1, 1, 1, 1)
    shape, one = (width, size, size), np.ones(1)
    populations = [
        Population("input", (1, size, size), None, np.zeros((1, 1, 1), np.int64), one, input_max=INPUT_LEVELS)
    ]
    for name, theta in (("first", 2**13), ("second", 2**7)):
        thresholds = np.full(width, theta)
        neuron = MultiThreshold(thresholds, 0 * thresholds, 0, 1, strict=True)
        populations.append(Population(name, shape, neuron, np.zeros((width, 1, 1), np.int64), np.ones(width)))
    populations.append(_linear("output", (1, size, size), "rate", 2**20))
    kernels = (
        ConvKernel(np.abs(random_weights(rng, (width, 1, 3, 3))), pads=pads),
        ConvKernel(random_weights(rng, (width, width, 3, 3)), pads=pads),
        ConvKernel(random_weights(rng, (1, width, 3, 3)), pads=pads),
    )
    names = [population.name for population in populations]
    connections = tuple(
        Connection(f"{source}->{target}", source, target, kernel)
        for source, target, kernel in zip(names, names[1:], kernels, strict=False)
    )
    outputs = (Output("output", "output"),)
    return align(Network(f"plain-{seed}", "rate", steps, tuple(populations), connections, outputs))
