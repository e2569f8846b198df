"""Public conformance kit: random networks with everything a U-Net has, and the suite every backend must pass.

A third-party backend is tested with::

    from snn_deploy.testing import check_backend
    check_backend(MyBackend())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.arrays import Int8, Int64
from snn_deploy.backend.protocol import Backend, Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendUnavailableError, VerificationError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel, identity
from snn_deploy.network.network import Connection, Mode, Network, Neuron, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.verification import Level, Status, compare


def _weights(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Int8:
    """Mixed signs, odd values included (a chip that drops the lowest bit must be caught), zeros included."""
    values = rng.integers(-90, 110, shape)
    return np.where(rng.random(shape) < 0.9, values, 0).astype(np.int8)


def _spiking(
    name: str, shape: tuple[int, int, int], mode: Mode, levels: int, payload: int, rng: np.random.Generator
) -> Population:
    theta = 2 ** rng.integers(6, 11, shape[0])
    if mode == "exact":
        neuron = Neuron(theta, theta // 2, -payload, payload, 0, levels)
    else:
        neuron = Neuron(theta, np.zeros_like(theta), 0, 15, strict=True)
    return Population(name, shape, neuron, rng.integers(-300, 900, (shape[0], 1, 1)), np.full(shape[0], 0.01))


def _linear(name: str, shape: tuple[int, int, int], mode: Mode, limit: int) -> Population:
    """A relay (or read-out): threshold 1, signed, passes every sum on."""
    one = np.ones(shape[0], np.int64)
    counts = (-limit, limit) if mode == "exact" else (None, None)
    neuron = Neuron(one, 0 * one, -limit, limit, *counts)
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
    half, quarter = size // 2, size // 4
    levels_in = 255
    populations = [
        Population(
            "input",
            (1, size, size),
            None,
            np.zeros((1, 1, 1), np.int64),
            np.full(1, 1 / 255),
            input_min=-levels_in,
            input_max=levels_in,
        ),
        _spiking("enc1/a", (width, size, size), mode, levels, payload or levels, rng),
        _spiking("enc1/b", (width, size, size), mode, levels, payload or levels, rng),
        _linear("pool", (width, half, half), mode, 4 * levels),
        _spiking("enc2", (2 * width, half, half), mode, levels, payload or levels, rng),
        _spiking("down", (2 * width, quarter, quarter), mode, levels, payload or levels, rng),
        _spiking("up2", (2 * width, half, half), mode, levels, payload or levels, rng),
        _spiking("up1", (width, size, size), mode, levels, payload or levels, rng),
        _spiking("dec", (width, size, size), mode, levels, payload or levels, rng),
        _linear("output", (1, size, size), mode, 2**20),
    ]
    double = np.repeat(np.arange(quarter), 2)
    nearest = (double[:, None] * quarter + double[None, :]).reshape(-1)
    pixels = SpatialKernel(
        (quarter, quarter),
        (half, half),
        np.arange(half * half + 1),
        nearest,
        rng.integers(40, 100, half * half).astype(np.int8),
    )

    def conv(outputs: int, inputs: int, kernel: int = 3, **geometry: object) -> Kernel:
        pads = (kernel // 2,) * 4
        return ConvKernel(_weights(rng, (outputs, inputs, kernel, kernel)), **({"pads": pads} | geometry))  # type: ignore[arg-type]

    edges: list[tuple[str, str, Kernel, int]] = [
        ("input", "enc1/a", conv(width, 1), 0),
        ("enc1/a", "enc1/b", conv(width, width), 0),
        ("enc1/b", "pool", ConvKernel(np.ones((width, 1, 2, 2), np.int8), (2, 2), groups=width), 0),
        ("pool", "enc2", conv(2 * width, width, pads=(2, 2, 2, 2), dilations=(2, 2)), 0),
        ("enc2", "down", conv(2 * width, width, strides=(2, 2), pads=(1, 1, 0, 0), groups=2), 1),
        ("down", "up2", pixels, 3),
        ("enc2", "up2", conv(2 * width, 2 * width, 1), 0),
        ("up2", "up1", TransposedKernel(_weights(rng, (2 * width, width, 3, 3)), (2, 2), (1, 1, 0, 0)), 1),
        ("enc1/b", "dec", conv(width, width), 0),
        ("up1", "dec", conv(width, width), 1),
        ("dec", "output", conv(1, width), 0),
        ("input", "output", identity(1, 64), 2),
    ]
    connections = tuple(
        Connection(f"{source}->{target}", source, target, kernel, exponent)
        for source, target, kernel, exponent in edges
    )
    return align(
        Network(
            f"random-{mode}-{seed}",
            mode,
            steps if mode == "rate" else 1,
            tuple(populations),
            connections,
            (Output("output", "output"),),
        )
    )


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
    """What a backend may refuse: hard reset; a bias of its own for each neuron; membranes that reach their limit."""
    rng = np.random.default_rng(0)
    network = random_unet("rate", 3)
    strong = (replace(item, exponent=5) if item.target == "enc1/a" else item for item in network.connections)
    changes: tuple[tuple[str, Network, Callable[[Population, Neuron], Population]], ...] = (
        ("hard-reset", network, lambda item, neuron: replace(item, neuron=replace(neuron, reset="zero"))),
        ("bias-map", network, lambda item, _: replace(item, bias=rng.integers(-300, 900, item.shape))),
        (
            "saturating",
            replace(network, steps=16, connections=tuple(strong)),
            lambda item, neuron: replace(item, neuron=replace(neuron, payload_max=1)),
        ),
    )
    for name, base, change in changes:
        populations = (
            change(item, item.neuron) if isinstance(item.neuron, Neuron) and not item.neuron.relays else item
            for item in base.populations
        )
        changed = replace(base, name=f"random-rate-{name}", populations=tuple(populations))
        yield align(changed), random_stimulus(changed, 3)


@dataclass(frozen=True)
class Conformance:
    """Networks in which a backend was equal, and those it refused, with its reasons."""

    equal: tuple[str, ...]
    refused: Mapping[str, str]

    def __str__(self) -> str:
        refused = "".join(f"; {name} refused: {reason}" for name, reason in self.refused.items())
        return f"{len(self.equal)} networks, every event and every membrane equal{refused}"


def check_backend(backend: Backend, record: Record = Record.STATES) -> Conformance:
    """Compare ``backend`` with the reference on all cases, every event and state, with ``==``.

    A network that it refuses with ``BackendUnavailableError`` is not compared, and listed. :class:`VerificationError`
    for whatever else it returns: a contract that is broken (formats, digests, populations), or the first difference
    with its image, step, neuron and both values.
    """
    reference = load_backend("reference")
    level = {Record.COUNTS: Level.NEURON_COUNT, Record.TRAINS: Level.TRAIN, Record.STATES: Level.STATE}[record]
    equal: list[str] = []
    refused: dict[str, str] = {}
    for network, stimulus in (*conformance_cases(), *special_cases()):
        try:
            run = backend.run(network, stimulus, record)
        except BackendUnavailableError as error:
            refused[network.name] = str(error)
            continue
        expected = reference.run(network, stimulus, record)
        verdict = compare(network, [replace(expected, backend="specification"), run], level)
        if verdict.status is not Status.EQUAL:
            raise VerificationError(f"{network.name}: {verdict.line}")
        if dict(run.saturations) != dict(expected.saturations):
            raise VerificationError(
                f"{network.name}: {backend.name} counts saturations {dict(run.saturations)}, "
                f"the reference {dict(expected.saturations)}"
            )
        equal.append(network.name)
    if not equal:
        raise VerificationError(f"{backend.name} refuses every network: {next(iter(refused.values()))}")
    return Conformance(tuple(equal), refused)
