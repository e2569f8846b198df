"""What is decided before anything runs: formats, engines and buffers for each population of a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network import artifact
from snn_deploy.network.bounds import Bound, bound, event_range
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy_cpu.conv import providers as libraries
from snn_deploy_cpu.conv.autotune import Choice
from snn_deploy_cpu.conv.compiled import Path
from snn_deploy_cpu.conv.exactness import (
    Plane,
    float32_fires,
    float32_fits,
    float64_fits,
    planes,
    planes_fit,
    transparent,
)
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.operators import Current, DepthwiseCurrent, FloatCurrent, PixelCurrent, PlaneCurrent
from snn_deploy_cpu.neurons.cuba_lif import Leak, leak_fits
from snn_deploy_cpu.neurons.multi_threshold import Rule
from snn_deploy_cpu.neurons.pass_through import Copying, Pooling, Relay
from snn_deploy_cpu.neurons.sigma_delta import Deltas

Engine: TypeAlias = Literal["int8", "f32", "f64"]
Integer: TypeAlias = type[np.uint8] | type[np.uint16] | type[np.int16] | type[np.int32] | type[np.int64]

MOST_PLANES = 3
"""A float32 convolution costs about 3.4 8-bit ones (with VNNI; docs/performance.md)."""


@dataclass(frozen=True, eq=False)
class Formats:
    """Integer formats that hold a population's payloads, their sums over all steps, and the numbers of its events."""

    payload: Integer
    count: Integer
    events: Integer

    @classmethod
    def of(cls, network: Network, population: Population) -> Formats:
        """The smallest formats."""
        smallest, largest = event_range(network, population)
        payload = _smallest(smallest, largest, np.uint8, np.int16, np.int32)
        if network.steps == 1:
            return cls(payload, payload, np.uint8)
        count = _smallest(smallest * network.steps, largest * network.steps, np.uint16, np.int64)
        return cls(payload, count, _smallest(0, network.steps, np.uint16, np.int64))


@dataclass(frozen=True, eq=False)
class Part:
    """What one plane of a connection's payloads adds, or where ``plane`` is ``None`` all of them."""

    plane: Plane | None
    current: Current


@dataclass(frozen=True, eq=False)
class Stream:
    """A connection: its source, parts that add up to its current before others join, and the compiled ways to them."""

    source: str
    parts: tuple[Part, ...]
    choice: Choice | None


@dataclass(frozen=True, eq=False)
class FiringLayer:
    """One population with membranes, ready to run.

    ``streams`` are the connections whose payloads change from step to step; ``constants`` those from the input,
    computed once. ``real`` is the format of membranes and currents. ``bias`` (H, W, C) is ``None``
    where one number for each channel, kept in ``rule``, says it all. ``settles``: the network's single step provably
    leaves the population silent.
    """

    population: Population
    formats: Formats
    engine: str
    rule: Rule | Leak | Deltas
    bias: npt.NDArray[Any] | None
    streams: tuple[Stream, ...]
    constants: tuple[Stream, ...]
    real: Real
    settles: bool


@dataclass(frozen=True, eq=False)
class RelayLayer:
    """One population that passes on what ``source`` sends through ``relay``, its membranes 0."""

    population: Population
    formats: Formats
    engine: str
    source: str
    relay: Relay


Layer: TypeAlias = FiringLayer | RelayLayer


@dataclass(frozen=True, eq=False)
class Plan:
    """A network ready to run; ``digest`` names it."""

    network: Network
    digest: str
    source: Formats
    layers: tuple[Layer, ...]

    @cached_property
    def last_reads(self) -> tuple[tuple[str, ...], ...]:
        """For each layer the populations whose payloads no later one reads; what a relay sends may be computed late."""
        last = {layer.population.name: place for place, layer in enumerate(self.layers)}
        for place, layer in reversed(tuple(enumerate(self.layers))):
            if isinstance(layer, RelayLayer):
                place, read = last[layer.population.name], {layer.source}
            else:
                read = {stream.source for stream in layer.streams}
            for name in read & last.keys():
                last[name] = max(last[name], place)
        return tuple(tuple(name for name, place in last.items() if place == layer) for layer in range(len(self.layers)))

    @cached_property
    def held_bytes(self) -> int:
        """Bytes of one step's payloads that are held at a time, at most: those that a later layer reads."""
        sizes = {
            layer.population.name: layer.population.size * np.dtype(layer.formats.payload).itemsize
            for layer in self.layers
        }
        held, most = 0, 0
        for layer, read in zip(self.layers, self.last_reads, strict=True):
            held += sizes[layer.population.name]
            most = max(most, held)
            held -= sum(sizes[name] for name in read)
        return most


def prepare(network: Network, engine: Engine | None) -> Plan:
    """The plan of ``network``; :class:`BackendUnavailableError` where it cannot be run exactly."""
    if not network.aligned or network.input.start != 0:
        raise BackendUnavailableError(
            f"backend cpu: network {network.name} is not aligned (a delay differs from target.start - source.start); "
            "run it on the reference backend"
        )
    layers = tuple(_layer(network, population, connections, engine) for population, connections in network.layers())
    return Plan(network, artifact.digest(network), Formats.of(network, network.input), layers)


def _smallest(least: int, most: int, *formats: Integer) -> Integer:
    """The first of ``formats`` that holds ``least..most``; the last one where none does."""
    return next((one for one in formats if np.iinfo(one).min <= least and most <= np.iinfo(one).max), formats[-1])


def _layer(
    network: Network, population: Population, connections: tuple[Connection, ...], engine: Engine | None
) -> Layer:
    formats = Formats.of(network, population)
    if len(connections) == 1 and (network.steps == 1 or connections[0].source != network.input.name):
        relay = _relay(network, population, connections[0])
        if relay is not None:
            return RelayLayer(population, formats, "int32", connections[0].source, relay)
    neuron = population.neuron
    if neuron is None:
        raise BackendUnavailableError(f"{population.name}: a population without neurons cannot fire")
    real = _real(population, bound(network, population), engine)
    per_channel = population.bias.shape[1:] == (1, 1)
    bias = np.moveaxis(np.broadcast_to(population.bias, population.shape), 0, -1)
    channel_bias = population.bias[:, 0, 0] if per_channel else np.zeros_like(neuron.theta)
    found = [_stream(network, connection, real, engine) for connection in connections]
    streams: list[Stream] = []
    constants: list[Stream] = []
    for stream, _ in found:
        (constants if network.steps > 1 and stream.source == network.input.name else streams).append(stream)
    counts = population.count_range
    covered = counts is not None and neuron.payload_min <= counts[0] and neuron.payload_max >= counts[1]
    settles = network.steps == 1 and covered
    return FiringLayer(
        population,
        formats,
        "+".join(dict.fromkeys(name for _, name in found)),
        _rule(network, population, neuron, channel_bias, real, settles),
        None if per_channel else np.ascontiguousarray(bias, real),
        tuple(streams),
        tuple(constants),
        real,
        settles,
    )


def _relay(network: Network, population: Population, connection: Connection) -> Relay | None:
    """The way to pass sums on in integers, where ``population`` provably does nothing else."""
    kernel = connection.kernel
    if not transparent(network, population, connection):
        return None
    if isinstance(kernel, SpatialKernel):
        return Copying(kernel, connection.exponent) if Copying.covers(kernel) else None
    form = Convolution.of(kernel)
    return Pooling(form, connection.exponent) if form.depthwise else None


def _rule(
    network: Network, population: Population, neuron: Neuron, bias: npt.NDArray[np.int64], real: Real, settles: bool
) -> Rule | Leak | Deltas:
    if isinstance(neuron, SigmaDelta):
        return Deltas.of(population, neuron, bias, real)
    if not isinstance(neuron, CubaLif):
        return Rule.of(neuron, bias, real, _quotient(network, population, neuron, real), settles)
    if not leak_fits(bound(network, population)):
        raise BackendUnavailableError(
            f"{population.name}: its decaying current is wider than float64 computes exactly; run the network on the "
            "reference backend"
        )
    return Leak.of(neuron, bias, real)


def _quotient(network: Network, population: Population, neuron: Neuron, real: Real) -> Real:
    """The format in which ``v / theta`` is exact enough."""
    smallest, largest = event_range(network, population)
    powers = bool(np.all(neuron.theta & (neuron.theta - 1) == 0))
    quick = float32_fires(int(neuron.theta.max()), powers, max(-smallest, largest))
    return real if quick else np.float64


def _real(population: Population, worst: Bound, engine: Engine | None) -> Real:
    if engine != "f64" and float32_fits(worst):
        return np.float32
    if engine in (None, "f64") and float64_fits(worst):
        return np.float64
    raise BackendUnavailableError(
        f"{population.name}: its current reaches {worst.current}, more than engine {engine or 'f64'} computes exactly; "
        "choose engine f64 or run the network on the reference backend"
    )


def _stream(network: Network, connection: Connection, real: Real, engine: Engine | None) -> tuple[Stream, Engine]:
    """The ways to compute ``connection``, and the name of its engine."""
    name: Engine = "f64" if real is np.float64 else "f32"
    source, kernel, exponent = connection.source, connection.kernel, connection.exponent
    if isinstance(kernel, SpatialKernel):
        return Stream(source, (Part(None, PixelCurrent(kernel, exponent, real)),), None), name
    form = Convolution.of(kernel)
    width = network.population(connection.target).shape[2]
    choice = Choice(_path(network, connection, form)) if Choice.covers(form, real) else None
    if form.depthwise:
        return Stream(source, (Part(None, DepthwiseCurrent(form, exponent, width, real)),), choice), name
    library = libraries.eight_bit() if name == "f32" and engine in (None, "int8") else None
    if library is None and name == "f32" and engine == "int8":
        raise BackendUnavailableError(
            f"{connection.name}: engine int8 needs PyTorch with a quantized convolution that is exact here; "
            "install torch or choose engine f32"
        )
    if library is not None:
        split = planes(*event_range(network, network.population(source)), library.bits)
        narrow = form.weight.shape[1] < 4 and len(split) > 1
        if planes_fit(kernel, split) and (engine == "int8" or (len(split) <= MOST_PLANES and not narrow)):
            parts = (Part(plane, PlaneCurrent(form, exponent, width, library, plane)) for plane in split)
            return Stream(source, tuple(parts), choice), "int8"
    floats = libraries.float64() if name == "f64" else libraries.float32()
    return Stream(source, (Part(None, FloatCurrent(form, exponent, width, floats)),), choice), name


def _path(network: Network, connection: Connection, form: Convolution) -> Path:
    """What compiled loops compute of ``connection``; what its source merely repeats is read where it comes from."""
    size, scale = network.population(connection.target).shape[1:], np.float32(2.0**connection.exponent)
    source = network.population(connection.source)
    arriving = [one for one in network.connections if one.target == source.name]
    if len(arriving) == 1 and arriving[0].source != network.input.name:
        kernel = arriving[0].kernel
        factor = Copying.factor(kernel) if isinstance(kernel, SpatialKernel) and not arriving[0].exponent else None
        found = form.folded(factor) if factor is not None and transparent(network, source, arriving[0]) else None
        if found is not None:
            return Path(arriving[0].source, found[0], scale, size, found[1])
    return Path(source.name, form, scale, size)
