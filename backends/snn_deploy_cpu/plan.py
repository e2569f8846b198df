"""What is decided before anything runs: formats, engines and buffers for each population of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snn_deploy import artifact
from snn_deploy.bounds import Bound, bound, event_range
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.kernels import SpatialKernel
from snn_deploy.network import Connection, Network, Population
from snn_deploy_cpu import libraries
from snn_deploy_cpu.certificate import float32_fires, float32_fits, float64_fits, planes, planes_fit
from snn_deploy_cpu.currents import Current, DepthwiseCurrent, FloatCurrent, PixelCurrent, PlaneCurrent
from snn_deploy_cpu.firing import Rule
from snn_deploy_cpu.floating import Real
from snn_deploy_cpu.geometry import Convolution

Engine = Literal["int8", "f32", "f64"]
Integer = type[np.uint8] | type[np.int16] | type[np.int32] | type[np.int64]

MOST_PLANES = 3
"""A float32 convolution costs about 3.4 8-bit ones (performance.md, section 0)."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One population ready to run.

    ``streams`` are the connections whose payloads change from step to step, with their sources; ``constants`` those
    from the input, computed once. ``real`` is the format of membranes and currents, ``payload`` that of events, ``total``
    that of counts. ``bias`` (H, W, C) is ``None`` where one number for each channel, kept in ``rule``, says it all.
    ``settles``: the network's single step provably leaves the population silent.
    """

    population: Population
    rule: Rule
    bias: npt.NDArray[Any] | None
    streams: tuple[tuple[str, Current], ...]
    constants: tuple[Current, ...]
    real: Real
    payload: Integer
    total: Integer
    settles: bool
    engine: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A network ready to run; ``digest`` names it. ``payloads`` holds the format of every population's events."""

    network: Network
    digest: str
    layers: tuple[Layer, ...]
    payloads: Mapping[str, Integer]


def prepare(network: Network, engine: Engine | None) -> Plan:
    """The plan of ``network``; :class:`BackendUnavailableError` where it cannot be run exactly."""
    if not network.aligned or network.input.start != 0:
        raise BackendUnavailableError(
            f"backend cpu: network {network.name} is not aligned (a delay differs from target.start - source.start); "
            "run it on the reference backend"
        )
    for population in network.populations[1:]:
        if population.neuron is not None and population.neuron.reset != "subtract":
            raise BackendUnavailableError(
                f"backend cpu: {population.name} resets to zero; only reset by subtraction is supported here, run it on "
                "the reference backend"
            )
    payloads = {population.name: _integer(*event_range(network, population)) for population in network.populations}
    layers = tuple(
        _layer(network, population, connections, payloads[population.name], engine)
        for population, connections in network.layers()
    )
    return Plan(network, artifact.digest(network), layers, payloads)


def _integer(smallest: int, largest: int) -> Integer:
    """The smallest of the formats for events that holds ``smallest..largest``."""
    if smallest >= 0 and largest <= 255:
        return np.uint8
    return np.int16 if max(-smallest, largest) < 2**15 else np.int32


def _layer(
    network: Network,
    population: Population,
    connections: tuple[Connection, ...],
    payload: Integer,
    engine: Engine | None,
) -> Layer:
    neuron = population.neuron
    if neuron is None:
        raise BackendUnavailableError(f"{population.name}: a population without neurons cannot fire")
    worst = bound(network, population)
    real = _real(population, worst, engine)
    smallest, largest = event_range(network, population)
    powers = bool(np.all(neuron.theta & (neuron.theta - 1) == 0))
    quick = real is np.float32 and float32_fires(int(neuron.theta.max()), powers, max(-smallest, largest))
    bias = np.moveaxis(np.broadcast_to(population.bias, population.shape), 0, -1)
    per_channel = population.bias.shape[1:] == (1, 1)
    rule = Rule.of(
        neuron,
        population.bias[:, 0, 0] if per_channel else np.zeros_like(neuron.theta),
        real,
        np.float32 if quick else np.float64,
        network.steps,
    )
    currents = [_current(network, connection, real, engine) for connection in connections]
    constant = [network.steps > 1 and connection.source == network.input.name for connection in connections]
    covers = population.count_range is not None and (
        neuron.payload_min <= population.count_range[0] and neuron.payload_max >= population.count_range[1]
    )
    return Layer(
        population,
        rule,
        None if per_channel else np.ascontiguousarray(bias, real),
        tuple(
            (connection.source, current)
            for connection, (current, _), fixed in zip(connections, currents, constant, strict=True)
            if not fixed
        ),
        tuple(current for (current, _), fixed in zip(currents, constant, strict=True) if fixed),
        real,
        payload,
        np.int32 if max(-smallest, largest) * network.steps < 2**31 else np.int64,
        network.steps == 1 and covers,
        "+".join(dict.fromkeys(name for _, name in currents)),
    )


def _real(population: Population, worst: Bound, engine: Engine | None) -> Real:
    if engine != "f64" and float32_fits(worst):
        return np.float32
    if engine in (None, "f64") and float64_fits(worst):
        return np.float64
    raise BackendUnavailableError(
        f"{population.name}: its current reaches {worst.current}, more than engine {engine or 'f64'} computes exactly; "
        "choose engine f64 or run the network on the reference backend"
    )


def _current(network: Network, connection: Connection, real: Real, engine: Engine | None) -> tuple[Current, Engine]:
    """The way to compute ``connection``, and the name of its engine."""
    name: Engine = "f64" if real is np.float64 else "f32"
    if isinstance(connection.kernel, SpatialKernel):
        return PixelCurrent(connection.kernel, connection.exponent, real), name
    form = Convolution.of(connection.kernel)
    width = network.population(connection.target).shape[2]
    if form.depthwise:
        return DepthwiseCurrent(form, connection.exponent, width, real), name
    if name == "f32" and engine in (None, "int8"):
        library = libraries.eight_bit()
        if library is None and engine == "int8":
            raise BackendUnavailableError(
                f"{connection.name}: engine int8 needs PyTorch with a quantized convolution that is exact here; "
                "install torch or choose engine f32"
            )
        if library is not None:
            split = planes(*event_range(network, network.population(connection.source)), library.bits)
            narrow = form.weight.shape[1] < 4 and len(split) > 1
            if planes_fit(connection.kernel, split, library.bits) and (
                engine == "int8" or (len(split) <= MOST_PLANES and not narrow)
            ):
                return PlaneCurrent(form, connection.exponent, width, library, split), "int8"
    floats = libraries.float64() if name == "f64" else libraries.float32()
    return FloatCurrent(form, connection.exponent, width, floats), name
