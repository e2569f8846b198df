"""The integer network: populations joined by connections. Everything right of the artifact speaks only this.

Numbers. A population's neuron counts in units: the real value of its activation is ``count * unit`` in ``exact``
mode and ``count * unit / steps`` in ``rate`` mode. Weights are int8, times ``2**exponent``; thresholds, biases and
states are integers of at most 24 bits. :mod:`snn_deploy.network.dynamics` holds the equations.

Time. An event sent at step t arrives at step ``t + delay`` (``delay >= 1``). A population fires from its ``start``
on. When every ``delay`` equals ``target.start - source.start`` the network is *aligned*: skip and decoder meet in
step, and each population sees in ``[start, start + steps)`` exactly what it would see if layers ran one after the
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from snn_deploy.arrays import Float64, Int64, find_largest_magnitude, freeze, lies_within
from snn_deploy.errors import GraphError, NetworkError
from snn_deploy.graph.host import HostFunction
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel
from snn_deploy.network.limits import MAX_EXPONENT, MAX_GROWTH, MAX_NEURONS, MAX_STEPS, MIN_GROWTH, STATE_MAX
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.network.pixel_maps import resize_bias, resize_pixel_map
from snn_deploy.shapes import Shape

Mode = Literal["exact", "rate"]


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one layer.

    ``shape`` is (C, H, W). ``neuron`` is ``None`` for the input, whose payloads the host sends. ``bias`` (C, 1, 1)
    or (C, H, W) int64 enters the membrane once at ``start`` (``exact``) or at each step from ``start`` on
    (``rate``). ``unit`` (C,) float64 is the real value of one count. ``payload_range`` bounds what one event
    carries. ``origin`` holds the names of the ONNX nodes it stands for.
    """

    name: str
    shape: Shape
    neuron: Neuron | None
    bias: Int64
    unit: Float64
    start: int = 0
    input_min: int = 0
    input_max: int = 0
    origin: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        channels, height, width = self.shape
        object.__setattr__(self, "bias", freeze(self.bias, np.int64))
        object.__setattr__(self, "unit", freeze(self.unit, np.float64))
        if min(self.shape) < 1:
            raise NetworkError(f"{self.name}: shape {self.shape} has an empty axis")
        if self.bias.shape not in {(channels, 1, 1), (channels, height, width)}:
            raise NetworkError(f"{self.name}: bias {self.bias.shape} is neither ({channels}, 1, 1) nor {self.shape}")
        if not lies_within(self.bias, -STATE_MAX, STATE_MAX):
            raise NetworkError(f"{self.name}: bias reaches {find_largest_magnitude(self.bias)}, more than {STATE_MAX}")
        if self.unit.shape != (channels,) or not np.all(np.isfinite(self.unit)) or self.unit.min() <= 0:
            raise NetworkError(f"{self.name}: unit must be ({channels},), finite and positive")
        if self.neuron is not None and self.neuron.theta.shape != (channels,):
            raise NetworkError(f"{self.name}: {self.neuron.theta.shape[0]} thresholds for {channels} channels")
        if self.neuron is None and not -STATE_MAX <= self.input_min <= 0 < self.input_max <= STATE_MAX:
            raise NetworkError(
                f"{self.name}: input payloads {self.input_min}..{self.input_max} must hold 0 and lie in +-{STATE_MAX}"
            )
        if self.size > MAX_NEURONS:
            raise NetworkError(f"{self.name}: {self.size} neurons; at most {MAX_NEURONS} are allowed")
        if not 0 <= self.start <= MAX_STEPS:
            raise NetworkError(f"{self.name}: starts at step {self.start}, outside 0..{MAX_STEPS}")

    @property
    def payload_range(self) -> tuple[int, int]:
        """Smallest and largest payload that one event can carry."""
        if self.neuron is None:
            return self.input_min, self.input_max
        return self.neuron.payload_min, self.neuron.payload_max

    @property
    def count_range(self) -> tuple[int, int] | None:
        """Smallest and largest running count; ``None`` where nothing bounds it."""
        if self.neuron is None:
            return self.input_min, self.input_max
        return self.neuron.count_range

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from ``source`` to ``target``: ``current = kernel(payload) * 2**exponent``, ``delay`` steps later."""

    name: str
    source: str
    target: str
    kernel: Kernel
    exponent: int = 0
    delay: int = 1
    origin: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.exponent <= MAX_EXPONENT:
            raise NetworkError(f"{self.name}: exponent {self.exponent} outside 0..{MAX_EXPONENT}")
        if not 1 <= self.delay <= MAX_STEPS:
            raise NetworkError(
                f"{self.name}: delay {self.delay} outside 1..{MAX_STEPS}; a spike takes at least one step"
            )


@dataclass(frozen=True, eq=False)
class Output:
    """A result the host reads: a population, then the host's functions (``sigmoid``, ``softmax``, ...) in order."""

    name: str
    population: str
    host: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            tuple(map(HostFunction.of, self.host))
        except GraphError as error:
            raise NetworkError(f"output {self.name}: {error}") from error


@dataclass(frozen=True, eq=False)
class Network:
    """Populations in topological order (sources first), the connections between them, and the schedule.

    ``steps`` is the length of every population's window ``[start, start + steps)``: T in ``rate`` mode, and in
    ``exact`` mode the bound after which every neuron is silent (1 when each payload holds the whole count).
    ``config`` is the resolved conversion configuration, for the record; ``picture`` says how pictures become inputs.
    ``stream``: it runs frame after frame with its states carried over (:mod:`snn_deploy.network.streaming`).
    """

    name: str
    mode: Mode
    steps: int
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    outputs: tuple[Output, ...]
    config: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    picture: PictureScale = field(default_factory=PictureScale)
    stream: bool = False

    def __post_init__(self) -> None:
        self.picture.check(self.populations[0].shape[0] if self.populations else 1)
        if self.mode not in ("exact", "rate"):
            raise NetworkError(f"mode {self.mode!r} is neither 'exact' nor 'rate'")
        if self.stream and self.mode != "exact":
            raise NetworkError("states are carried from frame to frame in exact mode only")
        if not 1 <= self.steps <= MAX_STEPS:
            raise NetworkError(f"{self.steps} steps; 1..{MAX_STEPS} are allowed")
        order = {population.name: index for index, population in enumerate(self.populations)}
        if len(order) != len(self.populations):
            raise NetworkError("two populations share a name")
        if len({connection.name for connection in self.connections}) != len(self.connections):
            raise NetworkError("two connections share a name")
        if [population.neuron is None for population in self.populations] != [
            index == 0 for index in range(len(self.populations))
        ]:
            raise NetworkError("the first population, and no other, must be the input")
        for connection in self.connections:
            for end in (connection.source, connection.target):
                if end not in order:
                    raise NetworkError(f"{connection.name}: unknown population {end!r}")
            if order[connection.source] >= order[connection.target]:
                raise NetworkError(f"{connection.name}: {connection.source} does not stand before {connection.target}")
            source, target = (self.populations[order[end]] for end in (connection.source, connection.target))
            shape = connection.kernel.output_shape(source.shape)
            if shape != target.shape:
                raise NetworkError(
                    f"{connection.name}: maps {source.name} {source.shape} to {shape}, "
                    f"but {target.name} is {target.shape}"
                )
        if self.populations:
            self._check_growth()
        for population in self.populations[1:]:
            if not self.incoming(population.name):
                raise NetworkError(f"{population.name}: nothing reaches it")
            if self.mode == "exact" and population.count_range is None:
                raise NetworkError(f"{population.name}: exact mode needs count limits")
            if self.mode == "exact" and population.neuron is not None and population.neuron.reset == "zero":
                raise NetworkError(f"{population.name}: a reset to zero loses charge; exact mode resets by subtraction")
        if not self.outputs:
            raise NetworkError("no output")
        for output in self.outputs:
            if output.population not in order:
                raise NetworkError(f"output {output.name}: unknown population {output.population!r}")

    def _check_growth(self) -> None:
        """A small image must not lead to maps that no memory holds, as strides and pads of thousands of pixels would."""
        _, height, width = self.input.shape
        allowed = max(MAX_GROWTH * height * width, MIN_GROWTH)
        total = sum(population.size for population in self.populations)
        if total > allowed:
            raise NetworkError(
                f"{total} neurons for an input of {height}x{width} pixels; at most {allowed} are allowed"
            )
        for connection in self.connections:
            workspace = connection.kernel.workspace(self.population(connection.source).shape)
            if workspace > allowed:
                raise NetworkError(
                    f"{connection.name}: pads or strides make a map of {workspace} values for an input of {height}x{width}"
                    f" pixels; at most {allowed} are allowed"
                )

    def __repr__(self) -> str:
        parts = f"{len(self.populations)} populations, {len(self.connections)} connections"
        return f"Network({self.name}: {self.mode} mode, {parts})"

    @property
    def input(self) -> Population:
        """The population whose payloads the host sends."""
        return self.populations[0]

    @cached_property
    def _by_name(self) -> dict[str, Population]:
        return {population.name: population for population in self.populations}

    @cached_property
    def _incoming(self) -> dict[str, tuple[Connection, ...]]:
        incoming: dict[str, list[Connection]] = {population.name: [] for population in self.populations}
        for connection in self.connections:
            incoming[connection.target].append(connection)
        return {name: tuple(connections) for name, connections in incoming.items()}

    def population(self, name: str) -> Population:
        """The population called ``name``; :class:`NetworkError` where there is none."""
        if name not in self._by_name:
            raise NetworkError(f"unknown population {name!r}; populations: {', '.join(self._by_name)}")
        return self._by_name[name]

    def incoming(self, name: str) -> tuple[Connection, ...]:
        """Connections into population ``name``."""
        return self._incoming[name]

    def outgoing(self, name: str) -> tuple[Connection, ...]:
        """Connections out of population ``name``."""
        return tuple(connection for connection in self.connections if connection.source == name)

    def layers(self) -> Iterator[tuple[Population, tuple[Connection, ...]]]:
        """Every population that fires, with its incoming connections, sources first."""
        for population in self.populations[1:]:
            yield population, self._incoming[population.name]

    @cached_property
    def aligned(self) -> bool:
        """Whether every delay equals ``target.start - source.start``."""
        return not any(map(self.lag, self.connections))

    def lag(self, connection: Connection) -> int:
        """Steps by which an event of ``connection`` arrives later in the target's window than it was sent in the source's.

        0 where aligned; below 0 where events arrive before the target fires.
        """
        return connection.delay - self.population(connection.target).start + self.population(connection.source).start

    @property
    def one_shot(self) -> bool:
        """Whether, in ``exact`` mode and aligned, every neuron sends its whole count in its first step, from rest."""
        holding = any(population.neuron is not None and population.neuron.holds_back for population in self.populations)
        return self.mode == "exact" and self.aligned and self.steps == 1 and not (self.stream or holding)

    @property
    def input_steps(self) -> int:
        """Steps for which the host repeats the image: ``steps`` in ``rate`` mode, one in ``exact`` mode."""
        return self.steps if self.mode == "rate" else 1

    @property
    def duration(self) -> int:
        """Steps from the first input event to the end of the last window."""
        return max(population.start for population in self.populations) + self.steps

    def at_size(self, height: int, width: int) -> Network:
        """The same network for images of another size; :class:`NetworkError` where something depends on the size.

        Pixel maps and biases by pixel are repeated as :mod:`snn_deploy.network.pixel_maps` says.
        """
        shapes: dict[str, Shape] = {self.input.name: (self.input.shape[0], height, width)}
        populations = [replace(self.input, shape=shapes[self.input.name])]
        kernels: dict[str, Kernel] = {}
        for population, connections in self.layers():
            for connection in connections:
                before, after = self.population(connection.source).shape, shapes[connection.source]
                if before != after:
                    _check_pads(connection, before, after)
                kernels[connection.name] = _resized(connection.kernel, after)
            candidates = {kernels[each.name].output_shape(shapes[each.source]) for each in connections}
            if len(candidates) != 1:
                raise NetworkError(f"{population.name}: sources disagree at {height}x{width}: {sorted(candidates)}")
            shape = shapes[population.name] = candidates.pop()
            bias = resize_bias(population.name, population.bias, shape[1:])
            populations.append(replace(population, shape=shape, bias=bias))
        connections = tuple(replace(each, kernel=kernels[each.name]) for each in self.connections)
        return replace(self, populations=tuple(populations), connections=connections)


def _check_pads(connection: Connection, before: Shape, after: Shape) -> None:
    """:class:`NetworkError` where pads or cuts of ``connection`` hang on the size ``before`` of its source.

    What cuts more than half off an end picks the other one; zeros for half a map, more than its window, leave room for another.
    """
    kernel = connection.kernel
    if not isinstance(kernel, ConvKernel):
        return
    for axis in (0, 1):
        extent, window = before[axis + 1], (kernel.weight.shape[axis + 2] - 1) * kernel.dilations[axis] + 1
        for pad in (kernel.pads[axis], kernel.pads[axis + 2]):
            if -2 * pad > extent or (2 * pad >= extent and pad >= window):
                raise NetworkError(
                    f"{connection.name}: {'cuts' if pad < 0 else 'adds'} {abs(pad)} of {extent} pixels at one end, which may"
                    f" hang on the size; convert again for {after[1]}x{after[2]}"
                )


def _resized(kernel: Kernel, shape: Shape) -> Kernel:
    return resize_pixel_map(kernel, shape[1:]) if isinstance(kernel, SpatialKernel) else kernel
