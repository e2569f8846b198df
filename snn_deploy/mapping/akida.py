"""A network as layers of BrainChip's Akida 2 (:mod:`snn_deploy.mapping.akida_layers`), or every reason why it is none.

A population becomes one layer that reads the channels of all its sources one after the other; a connection's exponent is the
shift of its channels, a threshold of ``2**n`` the shift n, half a threshold at the start the layer's rounding. What else is
needed are layers that pass counts on: copies of the input, every second pixel of a map, a map with zeros between its pixels.
Maxima are the engine's own (:mod:`snn_deploy.mapping.maxima`): a maximum of rounded counts is the rounded maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.arrays import Int8, Int64
from snn_deploy.errors import MisfitError
from snn_deploy.graph.names import Names
from snn_deploy.mapping.akida_layers import (
    COUNT_MAX,
    COUNT_MIN,
    MANTISSA_MAX,
    SUM_BITS,
    EngineLayer,
    Kind,
    is_depthwise,
    pad_before,
    pass_on,
    place_convolutions,
    place_transposed,
    unfold,
)
from snn_deploy.mapping.maxima import Maximum, find_maxima
from snn_deploy.network import bounds
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.shapes import Shape

REMEDY = "convert with --for akida"
"""What gives a network numbers that fit; shapes are the model's."""


@dataclass(frozen=True)
class Misfit:
    """A population that is no layer, and why."""

    population: str
    reason: str


def name_misfits(misfits: Sequence[Misfit], most: int) -> str:
    """The first ``most`` of ``misfits`` with their reasons, and how many more there are."""
    named = [f"{each.population}: {each.reason}" for each in misfits[:most]]
    return "; ".join([*named, *([f"and {len(misfits) - most} more"] if len(misfits) > most else [])])


@dataclass(frozen=True, eq=False)
class EnginePlan:
    """The layers of a network, sources first; ``maxima`` of it that the engine takes whole; what does not fit."""

    layers: tuple[EngineLayer, ...]
    maxima: tuple[Maximum, ...]
    misfits: tuple[Misfit, ...]


@dataclass(frozen=True, eq=False)
class _Part:
    """One source of a layer: its weights (C_out, C_in, K, K), or (C, 1, K, K), and its exponent."""

    source: str
    weight: Int8
    exponent: int


def plan_layers(network: Network) -> EnginePlan:
    """The layers of ``network``, and all its misfits; layers of a network with misfits are of no use."""
    plan = _Plan(network)
    for population in network.populations[1:]:
        plan.add(population)
    return EnginePlan(tuple(plan.layers), tuple(plan.maxima.values()), tuple(plan.misfits))


def split_bias(bias: Int64) -> tuple[Int64, Int64]:
    """Mantissas and shifts (C,) int64 of ``bias`` (C,), ``mantissa << shift``; :class:`MisfitError` where 8 bits lose some."""
    mantissa, shift = bias.copy(), np.zeros_like(bias)
    while np.any(np.abs(mantissa) > MANTISSA_MAX):
        long = np.abs(mantissa) > MANTISSA_MAX
        if np.any(mantissa[long] % 2):
            raise MisfitError(f"a bias of {int(bias[long][0])}, which has more than 8 significant bits; {REMEDY}")
        mantissa, shift = np.where(long, mantissa // 2, mantissa), shift + long
    return mantissa, shift


class _Plan:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.maxima = {maximum.name: maximum for maximum in find_maxima(network)}
        self.layers: list[EngineLayer] = []
        self.misfits: list[Misfit] = []
        self._inner = {name for maximum in self.maxima.values() for name in maximum.inner}
        self._names = Names(population.name for population in network.populations)
        self._made: dict[tuple[str, str], str] = {}
        for name, reason in _find_general_misfits(network):
            self.misfits.append(Misfit(name, reason))

    def add(self, population: Population) -> None:
        """The layers of ``population``, unless a maximum takes it; or why there are none."""
        if population.name in self._inner:
            return
        try:
            maximum = self.maxima.get(population.name)
            if maximum is not None:
                self.layers += self._take_maximum(maximum)
            else:
                self.layers += self._convolve(population)
        except MisfitError as error:
            self.misfits.append(Misfit(population.name, str(error)))

    def _shape(self, name: str) -> Shape:
        return self.network.population(name).shape

    def _is_signed(self, name: str) -> bool:
        counts = self.network.population(name).count_range
        return counts is None or counts[0] < 0

    def _read(self, source: str, *, alone: bool) -> str:
        """The layer to read ``source`` from: the input itself feeds one layer only, and none that reads others, too."""
        if source != self.network.input.name or (alone and len(self.network.outgoing(source)) == 1):
            return source
        return self._pass_on(source, "copy", "depthwise", (1, 1))

    def _pass_on(self, source: str, what: str, kind: Kind, tap: tuple[int, int], stride: int = 1) -> str:
        """A layer that passes ``source`` on, made once."""
        key = source, what
        if key not in self._made:
            read = source if what == "copy" else self._read(source, alone=False)
            self._made[key] = self._names.fresh(f"{source} ({what})")
            channels, signed = self._shape(source)[0], self._is_signed(source)
            layer = pass_on(self._made[key], read, channels, signed=signed, tap=tap)
            self.layers.append(replace(layer, kind=kind, stride=stride))
        return self._made[key]

    def _take_maximum(self, maximum: Maximum) -> list[EngineLayer]:
        channels, height, width = self._shape(maximum.source)
        signed = self._is_signed(maximum.source)
        if signed and any(maximum.pads):
            raise MisfitError("a maximum that counts zeros around the map; Akida's leave them out")
        side, step = maximum.kernel[0], maximum.strides[0]
        square = maximum.kernel == (side, side) and maximum.strides == (step, step)
        source = self._read(maximum.source, alone=False)
        rows, columns = self._shape(maximum.name)[1:]
        for direct in (step, 1):
            before = pad_before(side, direct, height), pad_before(side, direct, width)
            fits = (rows, columns) == (-(-height // step), -(-width // step)) and before == maximum.pads[:2]
            if not square or step > 2 or side > 3 or not fits:
                continue
            if direct == step:
                layer = pass_on(maximum.name, source, channels, signed=signed)
                return [replace(layer, pool=side, step=step)]
            whole = pass_on(self._names.fresh(f"{maximum.name} (stride 1)"), source, channels, signed=signed)
            return [replace(whole, pool=side, step=1), self._thin(maximum.name, whole.name, (height, width), signed)]
        raise MisfitError(
            f"a maximum over {maximum.kernel[0]}x{maximum.kernel[1]} pixels, strides {maximum.strides}, pads {maximum.pads}, of a"
            f" map of {height}x{width}; Akida's are over 2x2 or 3x3 pixels, in steps of 1 or 2, and keep the map's edges"
        )

    def _thin(self, name: str, source: str, size: tuple[int, int], signed: bool) -> EngineLayer:
        """Every second pixel of ``source``, from the first on, as layer ``name``; it has the channels of population ``name``."""
        tap = pad_before(3, 2, size[0]), pad_before(3, 2, size[1])
        return replace(pass_on(name, source, self._shape(name)[0], signed=signed, tap=tap), stride=2)

    def _convolve(self, population: Population) -> list[EngineLayer]:
        incoming = self.network.incoming(population.name)
        if all(isinstance(each.kernel, TransposedKernel) for each in incoming):
            return [self._layer(population, population.name, *self._transposed(population, incoming))]
        if any(not isinstance(each.kernel, ConvKernel | TransposedKernel) for each in incoming):
            raise MisfitError("an interpolation, which is no convolution")
        read = [self._as_convolution(each, alone=len(incoming) == 1, of=incoming) for each in incoming]
        kernels = [kernel for _, kernel, _ in read]
        strides = {kernel.strides for kernel in kernels}
        size = read[0][2]
        if len(strides) != 1 or len({shape for _, _, shape in read}) != 1 or strides.pop() not in {(1, 1), (2, 2)}:
            described = " and ".join(sorted({str(kernel.strides) for kernel in kernels}))
            raise MisfitError(f"convolutions of strides {described} in one sum; Akida's layers have one stride, 1 or 2")
        stride = kernels[0].strides[0]
        if population.shape[1:] != (-(-size[0] // stride), -(-size[1] // stride)):
            raise MisfitError(
                f"a convolution that makes {population.shape[1]}x{population.shape[2]} of {size[0]}x{size[1]} pixels; Akida's"
                " layers keep the size, or halve it and round up"
            )
        depthwise = len(kernels) == 1 and is_depthwise(kernels[0])
        kind: Kind = "depthwise" if depthwise else "conv"
        sources = [source for source, _, _ in read]
        try:
            weights = place_convolutions(kernels, size, stride, depthwise=depthwise)
        except MisfitError:
            if stride == 1:
                raise
            weights = place_convolutions(kernels, size, 1, depthwise=depthwise)
            parts = self._join(sources, weights, incoming)
            whole = self._layer(population, self._names.fresh(f"{population.name} (stride 1)"), kind, parts, 1)
            if whole.limits is None:
                raise
            return [whole, self._thin(population.name, whole.name, size, whole.limits[0] < 0)]
        return [self._layer(population, population.name, kind, self._join(sources, weights, incoming), stride)]

    def _as_convolution(
        self, connection: Connection, *, alone: bool, of: Sequence[Connection]
    ) -> tuple[str, ConvKernel, tuple[int, int]]:
        """The layer that a convolution reads, the convolution, and the size of what it reads."""
        kernel, source = connection.kernel, connection.source
        height, width = self._shape(source)[1:]
        if isinstance(kernel, TransposedKernel):
            if kernel.strides != (2, 2):
                raise MisfitError(f"a transposed convolution of strides {kernel.strides}; Akida's have stride 2")
            spread = self._pass_on(source, "spread", "depthwise transposed", (0, 0))
            return spread, unfold(kernel), (2 * height, 2 * width)
        if not isinstance(kernel, ConvKernel):
            raise MisfitError("an interpolation, which is no convolution")
        single = kernel.weight.shape[2:] == (1, 1) and not any(kernel.pads)
        mixed = len({(each.kernel.strides, self._shape(each.source)[1:]) for each in of}) > 1  # type: ignore[union-attr]
        if mixed and single and kernel.strides == (2, 2):
            tap = pad_before(3, 2, height), pad_before(3, 2, width)
            thin = self._pass_on(source, "every second pixel", "depthwise", tap, 2)
            return thin, replace(kernel, strides=(1, 1)), (-(-height // 2), -(-width // 2))
        return self._read(source, alone=alone), kernel, (height, width)

    def _transposed(self, population: Population, incoming: Sequence[Connection]) -> tuple[Kind, list[_Part], int]:
        kernels = [each.kernel for each in incoming if isinstance(each.kernel, TransposedKernel)]
        if any(kernel.strides != (2, 2) for kernel in kernels):
            raise MisfitError(f"a transposed convolution of strides {kernels[0].strides}; Akida's have stride 2")
        sizes = {(2 * self._shape(each.source)[1], 2 * self._shape(each.source)[2]) for each in incoming}
        if sizes != {population.shape[1:]}:
            raise MisfitError(
                f"a transposed convolution that makes {population.shape[1]}x{population.shape[2]} pixels; Akida's make twice as"
                " many rows and columns as they read"
            )
        depthwise = len(kernels) == 1 and is_depthwise(kernels[0])
        weights = place_transposed(kernels, depthwise=depthwise)
        sources = [self._read(each.source, alone=len(incoming) == 1) for each in incoming]
        return "depthwise transposed" if depthwise else "transposed", self._join(sources, weights, incoming), 1

    def _join(self, sources: Sequence[str], weights: Sequence[Int8], incoming: Sequence[Connection]) -> list[_Part]:
        return [
            _Part(source, weight, each.exponent)
            for source, weight, each in zip(sources, weights, incoming, strict=True)
        ]

    def _layer(self, population: Population, name: str, kind: Kind, parts: Sequence[_Part], stride: int) -> EngineLayer:
        neuron = population.neuron
        if neuron is None or neuron.is_stock or not neuron.quantizes:
            raise MisfitError(f"{neuron.kind if neuron else 'no'} neurons; {REMEDY}")
        if np.any(neuron.theta & (neuron.theta - 1)):
            raise MisfitError(f"a threshold of {int(neuron.theta.max())}, which is no power of two; {REMEDY}")
        if neuron.strict or not np.array_equal(neuron.v0, neuron.theta // 2):
            raise MisfitError(f"counts that are not rounded to the nearest; {REMEDY}")
        if population.bias.shape[1:] != (1, 1):
            raise MisfitError("a bias for each pixel; Akida's layers have one for each channel")
        depthwise = kind.startswith("depthwise")
        mantissa, shift = split_bias(population.bias[:, 0, 0])
        inputs = [np.full(part.weight.shape[0 if depthwise else 1], part.exponent) for part in parts]
        return EngineLayer(
            name=name,
            kind=kind,
            sources=tuple(part.source for part in parts),
            weight=np.concatenate([part.weight for part in parts], axis=1),
            input_shift=np.concatenate(inputs).astype(np.int64),
            bias=mantissa,
            bias_shift=shift,
            output_shift=np.round(np.log2(neuron.theta)).astype(np.int64),
            limits=_choose_limits(self.network, population, neuron),
            stride=stride,
        )


def _find_general_misfits(network: Network) -> list[tuple[str, str]]:
    low, high = network.input.input_min, network.input.input_max
    found = []
    if not network.one_shot:
        found.append((network.name, f"{network.mode} mode, or several steps; Akida sends every count once; {REMEDY}"))
    if low < COUNT_MIN or high > COUNT_MAX:
        found.append((network.input.name, f"input counts of {low}..{high}; Akida reads 8 bits with sign; {REMEDY}"))
    return found


def _choose_limits(network: Network, population: Population, neuron: Neuron) -> tuple[int, int] | None:
    """The counts to which the engine must limit ``population``, as its neurons do; ``None`` for sums of 28 bits."""
    count_min, count_max = neuron.count_range or (0, 0)
    low, high = max(neuron.payload_min, count_min), min(neuron.payload_max, count_max)
    least, greatest = _reach(network, population, neuron)
    sent = max(low, least), min(high, greatest)
    if sent[0] >= 0 and sent[1] <= COUNT_MAX:
        return 0, max(sent[1], 1)
    limited = low > least, high < greatest
    alike = (low == COUNT_MIN or not limited[0]) and (high == COUNT_MAX or not limited[1])
    if alike and sent[0] >= COUNT_MIN and sent[1] <= COUNT_MAX:
        return COUNT_MIN, COUNT_MAX
    if not any(limited) and not network.outgoing(population.name) and max(-least, greatest) < 2 ** (SUM_BITS - 1):
        return None
    raise MisfitError(
        f"counts of {sent[0]}..{sent[1]}; Akida's layers send 0..{COUNT_MAX} or {COUNT_MIN}..{COUNT_MAX}; {REMEDY}"
    )


def _reach(network: Network, population: Population, neuron: Neuron) -> tuple[int, int]:
    """Least and greatest count that the inputs of ``population`` could cause without limits."""
    least = greatest = neuron.v0 + population.bias.reshape(population.shape[0], -1)[:, 0]
    for connection in network.incoming(population.name):
        counts = network.population(connection.source).count_range or (0, 0)
        low, high = bounds.bound_current(connection, *counts)
        least, greatest = least + low, greatest + high
    return int((least // neuron.theta).min()), int((greatest // neuron.theta).max())
