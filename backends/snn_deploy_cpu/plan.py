"""What is decided before anything runs: formats, engines and operators for each population of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network import artifact
from snn_deploy.network.bounds import Bound, bound_payloads, bound_population
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.network.two_sided import TwoSided
from snn_deploy_cpu.conv import providers
from snn_deploy_cpu.conv.autotune import Autotuner
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.exactness import (
    INT16_MAX,
    divides_exactly,
    fits_float32,
    fits_float64,
    offsets_fit_float32,
    passes_through,
)
from snn_deploy_cpu.conv.float_conv import Real
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.operators import DepthwiseConv, FloatConv, Operator, PixelMap
from snn_deploy_cpu.kernels.library import VARIABLE, select_kernels
from snn_deploy_cpu.neurons.cuba_lif import CubaLifNeurons, decay_fits_float64
from snn_deploy_cpu.neurons.multi_threshold import ThresholdNeurons
from snn_deploy_cpu.neurons.pass_through import PassThrough, PixelCopy, SumPooling
from snn_deploy_cpu.neurons.protocol import Neurons
from snn_deploy_cpu.neurons.sigma_delta import SigmaDeltaNeurons

Engine: TypeAlias = Literal["int8", "f32", "f64"]
Integer: TypeAlias = type[np.uint8] | type[np.uint16] | type[np.int16] | type[np.int32] | type[np.int64]


@dataclass(frozen=True, eq=False)
class Formats:
    """Integer formats that hold a population's payloads, their sums over all steps, and the numbers of its events."""

    payload: Integer
    count: Integer
    events: Integer

    @classmethod
    def of(cls, network: Network, population: Population) -> Formats:
        """The smallest formats."""
        smallest, largest = bound_payloads(network, population)
        payload = _smallest(smallest, largest, np.uint8, np.int16, np.int32)
        if network.steps == 1:
            return cls(payload, payload, np.uint8)
        count = _smallest(smallest * network.steps, largest * network.steps, np.uint16, np.int64)
        return cls(payload, count, _smallest(0, network.steps, np.uint16, np.int64))


@dataclass(frozen=True, eq=False)
class Input:
    """A connection into a layer: the operator that a library computes, and the autotuner of compiled alternatives, if any.

    What ``source`` sends in a step of its window arrives ``lag`` steps later in that of the target.
    """

    source: str
    operator: Operator
    autotuner: Autotuner | None
    lag: int = 0


@dataclass(frozen=True, eq=False)
class NeuronLayer:
    """One population with membranes, ready to run.

    ``inputs`` are the connections whose payloads change from step to step; ``constant_inputs`` those from the network's
    input, computed once. ``real`` is the format of currents. ``bias`` (H, W, C) is ``None`` where one number for
    each channel, which ``neurons`` have, says it all. ``settles``: the network's single step provably leaves the
    population silent. ``carries``: membranes stay from frame to frame.
    """

    population: Population
    formats: Formats
    engine: str
    neurons: Neurons
    bias: Array | None
    inputs: tuple[Input, ...]
    constant_inputs: tuple[Input, ...]
    real: Real
    settles: bool
    carries: bool

    @property
    def sources(self) -> frozenset[str]:
        """The populations whose payloads it reads."""
        return frozenset(connection.source for connection in self.inputs)


@dataclass(frozen=True, eq=False)
class PassThroughLayer:
    """One population that passes on what ``source`` sends through ``operator``, its membranes 0."""

    population: Population
    formats: Formats
    engine: str
    source: str
    operator: PassThrough

    @property
    def sources(self) -> frozenset[str]:
        """The population whose payloads it reads."""
        return frozenset((self.source,))


Layer: TypeAlias = NeuronLayer | PassThroughLayer


@dataclass(frozen=True, eq=False)
class Plan:
    """A network ready to run; ``digest`` names it. ``varying``: the input is what the host sends in each step of the window."""

    network: Network
    digest: str
    input_formats: Formats
    layers: tuple[Layer, ...]
    varying: bool

    @cached_property
    def last_reads(self) -> tuple[tuple[str, ...], ...]:
        """For each layer the populations whose payloads no later one reads."""
        last = {layer.population.name: place for place, layer in enumerate(self.layers)}
        for place, layer in reversed(tuple(enumerate(self.layers))):
            if isinstance(layer, PassThroughLayer):  # its payloads may be computed as late as its last reader asks
                place = last[layer.population.name]
            for name in layer.sources & last.keys():
                last[name] = max(last[name], place)
        return tuple(tuple(name for name, place in last.items() if place == layer) for layer in range(len(self.layers)))

    @cached_property
    def proved_ranges(self) -> Mapping[str, tuple[int, int]]:
        """Payloads of a stream that 16 bits hold: changes have both signs, and are summed alike however large they are."""
        if not self.network.stream:
            return {}
        ranges = {each.name: bound_payloads(self.network, each) for each in self.network.populations}
        return {name: ends for name, ends in ranges.items() if -INT16_MAX <= ends[0] < 0 and ends[1] <= INT16_MAX}

    @cached_property
    def peak_payload_bytes(self) -> int:
        """Most bytes of one step's payloads that are alive at a time: those that a later layer reads."""
        sizes = {
            layer.population.name: layer.population.size * np.dtype(layer.formats.payload).itemsize
            for layer in self.layers
        }
        alive, peak = 0, 0
        for layer, read in zip(self.layers, self.last_reads, strict=True):
            alive += sizes[layer.population.name]
            peak = max(peak, alive)
            alive -= sum(sizes[name] for name in read)
        return peak


def prepare(network: Network, engine: Engine | None, *, varying: bool = False) -> Plan:
    """The plan of ``network``; :class:`BackendUnavailableError` where it cannot be run exactly.

    ``varying``: the input changes from step to step.
    """
    _check_schedule(network)
    if engine == "int8" and select_kernels() is None:
        raise BackendUnavailableError(
            "backend cpu: engine int8 needs the package's compiled kernels, which are missing or switched off "
            f"({VARIABLE}=numpy); install a wheel, or a C compiler before the package, or choose engine f32"
        )
    varying = varying or any(network.lag(connection) for connection in network.outgoing(network.input.name))
    constant = network.input.name if network.steps > 1 and not varying else None
    layers = tuple(
        _layer(network, population, connections, engine, constant) for population, connections in network.layers()
    )
    return Plan(network, artifact.digest(network), Formats.of(network, network.input), layers, varying)


def _check_schedule(network: Network) -> None:
    """:class:`BackendUnavailableError` where layers cannot run one after the other over the whole window."""
    early = [each.name for each in network.connections if network.lag(each) < 0]
    if early or network.input.start != 0:
        where = (
            f"an event of {early[0]} arrives" if early else f"{network.input.name} starts late, and its events arrive"
        )
        raise BackendUnavailableError(
            f"backend cpu: {network.name}: {where} before its target's window, and layers run one after the other here; align the "
            "network, or run it on the reference backend"
        )


def _smallest(least: int, most: int, *formats: Integer) -> Integer:
    """The first of ``formats`` that holds ``least..most``; the last one where none does."""
    return next((kind for kind in formats if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max), formats[-1])


def _layer(
    network: Network,
    population: Population,
    connections: tuple[Connection, ...],
    engine: Engine | None,
    constant_source: str | None,
) -> Layer:
    """The layer of ``population``; currents from ``constant_source`` are the same in every step."""
    formats = Formats.of(network, population)
    # not the input of several steps: its currents are constant and join the drive instead
    if len(connections) == 1 and connections[0].source != constant_source and network.lag(connections[0]) == 0:
        operator = _pass_through(network, population, connections[0])
        if operator is not None:
            return PassThroughLayer(population, formats, "int32", connections[0].source, operator)
    neuron = population.neuron
    if neuron is None:
        raise BackendUnavailableError(
            f"{population.name}: a population without neurons cannot fire; only the input may have none"
        )
    real = _float_format(population, bound_population(network, population), engine)
    per_channel = population.bias.shape[1:] == (1, 1)
    bias = np.moveaxis(np.broadcast_to(population.bias, population.shape), 0, -1)
    channel_bias = population.bias.ravel() if per_channel else np.zeros_like(neuron.theta)
    planned = [_input(network, connection, real, engine) for connection in connections]
    # what the host sends in every step adds the same current in every step
    constant = [connection.source == constant_source for connection in connections]
    all_sent = network.stream or not neuron.holds_back
    settles = network.steps == 1 and all_sent and _payloads_hold_counts(network, population, neuron)
    return NeuronLayer(
        population,
        formats,
        # in the order of the connections, each engine once
        "+".join(dict.fromkeys(name for _, name in planned)),
        _neurons(network, population, neuron, channel_bias, real, settles),
        None if per_channel else np.ascontiguousarray(bias, real),
        tuple(planned[place][0] for place, fixed in enumerate(constant) if not fixed),
        tuple(planned[place][0] for place, fixed in enumerate(constant) if fixed),
        real,
        settles,
        network.stream,
    )


def _payloads_hold_counts(network: Network, population: Population, neuron: Neuron) -> bool:
    """Whether one payload takes a count wherever it may have to go: from 0, in a stream from any other count."""
    counts = population.count_range
    if counts is None:
        return False
    low, high = (counts[0] - counts[1], counts[1] - counts[0]) if network.stream else counts
    return neuron.payload_min <= low and high <= neuron.payload_max


def _pass_through(network: Network, population: Population, connection: Connection) -> PassThrough | None:
    """The operator that passes sums on in integers, where ``population`` provably does nothing else."""
    kernel = connection.kernel
    if not passes_through(network, population, connection):
        return None
    if isinstance(kernel, SpatialKernel):
        return PixelCopy(kernel, connection.exponent) if PixelCopy.covers(kernel) else None
    conv = Convolution.of(kernel)
    return SumPooling(conv, connection.exponent) if conv.depthwise else None


def _neurons(
    network: Network, population: Population, neuron: Neuron, bias: Int64, real: Real, settles: bool
) -> Neurons:
    if isinstance(neuron, SigmaDelta):
        return SigmaDeltaNeurons.of(population, neuron, bias, real)
    if isinstance(neuron, MultiThreshold | TwoSided):
        quotient = _quotient_format(network, population, neuron, real)
        from_rest, carried = settles and not network.stream, settles and network.stream
        return ThresholdNeurons.of(neuron, bias, real, quotient, from_rest, carried)
    if not isinstance(neuron, CubaLif):
        raise BackendUnavailableError(
            f"{population.name}: {neuron.kind} neurons are not implemented; run the network on the reference backend"
        )
    if not decay_fits_float64(bound_population(network, population)):
        raise BackendUnavailableError(
            f"{population.name}: its decaying current is wider than float64 computes exactly; run the network on the "
            "reference backend"
        )
    return CubaLifNeurons.of(neuron, bias, real)


def _quotient_format(network: Network, population: Population, neuron: Neuron, real: Real) -> Real:
    """The format in which ``v / theta`` is exact enough."""
    smallest, largest = bound_payloads(network, population)
    sides = [(neuron.theta, max(-smallest, largest))]
    if isinstance(neuron, TwoSided):
        sides = [(neuron.theta, neuron.count_max or 0), (neuron.theta_below, -(neuron.count_min or 0))]
    exact = (
        # v & (v - 1) clears the lowest bit that is set
        divides_exactly(int(theta.max()), bool(np.all(theta & (theta - 1) == 0)), most)
        for theta, most in sides
    )
    return real if all(exact) else np.float64


def _float_format(population: Population, worst: Bound, engine: Engine | None) -> Real:
    if engine != "f64" and fits_float32(worst) and offsets_fit_float32(population.neuron, worst):
        return np.float32
    if engine in (None, "f64") and fits_float64(worst):
        return np.float64
    raise BackendUnavailableError(
        f"{population.name}: its current reaches {worst.current}, more than engine {engine or 'f64'} computes exactly; "
        "choose engine f64 or run the network on the reference backend"
    )


def _input(network: Network, connection: Connection, real: Real, engine: Engine | None) -> tuple[Input, Engine]:
    """The operator of ``connection``, and the name of its engine."""
    name: Engine = "f64" if real is np.float64 else "f32"
    source, kernel, exponent = connection.source, connection.kernel, connection.exponent
    lag = network.lag(connection)
    if isinstance(kernel, SpatialKernel):
        return Input(source, PixelMap(kernel, exponent, real), None, lag), name
    conv = Convolution.of(kernel)
    width = network.population(connection.target).shape[2]
    autotuner = Autotuner.of(_task(network, connection, conv), real) if engine in (None, "int8") else None
    if conv.depthwise:
        return Input(source, DepthwiseConv(conv, exponent, width, real), autotuner, lag), name
    library = providers.select_float64 if name == "f64" else providers.select_float32
    operator = FloatConv(conv, exponent, width, library)
    return Input(source, operator, autotuner, lag), name if autotuner is None else "int8"


def _task(network: Network, connection: Connection, conv: Convolution) -> ConvTask:
    """What compiled loops compute of ``connection``; from a source that only upsamples, at the low resolution before it."""
    size, scale = network.population(connection.target).shape[1:], np.float32(2.0**connection.exponent)
    source = network.population(connection.source)
    arriving = network.incoming(source.name)
    on_time = not any(map(network.lag, (connection, *arriving)))
    if len(arriving) == 1 and arriving[0].source != network.input.name and on_time:
        kernel, scaled = arriving[0].kernel, arriving[0].exponent > 0
        factor = PixelCopy.upsampling_factor(kernel) if isinstance(kernel, SpatialKernel) and not scaled else None
        fused = conv.upsampled(factor) if factor is not None else None
        if fused is not None and passes_through(network, source, arriving[0]):
            return ConvTask(arriving[0].source, fused[0], scale, size, fused[1])
    return ConvTask(source.name, conv, scale, size)
