"""Reads the process graph that Lava would run back from its processes: their variables, parameters and ports.

What a process does is what its model of :mod:`snn_deploy_lava.runtime.processes` says: a synapse sends what it computed in the step
before, a delay line of n maps sends what came n steps before, all that arrives at a port is added. Lava's axes are (X, Y, C).
Processes that are not ours, those of networks of Lava's own neurons, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
from lava.proc.conv.process import Conv

from snn_deploy.arrays import Array, Int64
from snn_deploy.backend.compiled_form import (
    NOWHERE,
    Accumulator,
    CompiledConnection,
    CompiledForm,
    CompiledPopulation,
    LinearMap,
    Number,
    Part,
    Pixels,
    Step,
    SteppedFiring,
    Timing,
    Windows,
)
from snn_deploy.errors import CompiledFormError
from snn_deploy.shapes import Pair, Shape
from snn_deploy_lava.runtime import graph as graphs
from snn_deploy_lava.runtime.description import Description
from snn_deploy_lava.runtime.models import ConvModel, FireModel
from snn_deploy_lava.runtime.processes import neuron as neurons
from snn_deploy_lava.runtime.processes.synapse import Correlate, SumPixels, Transpose
from snn_deploy_lava.runtime.processes.traffic import Delay, Source
from snn_deploy_lava.runtime.processes.two_sided import PyTwoSided, PyTwoSidedLadder, TwoSided
from snn_deploy_lava.runtime.stock import MESSAGE_BITS

OUTSIDE = (
    "Lava: that its runtime passes every message on, one step after the other, and adds what arrives at a port",
    "the Python models of the processes, and the products of matrices (BLAS) that they call",
)
"""What the form takes for granted."""

Models: TypeAlias = Mapping[type, tuple[str, type[neurons.PyMultiThreshold]]]
"""Kind of neuron and the model that runs it, by process."""

CLOSED: Models = {
    neurons.MultiThreshold: ("multi-threshold", neurons.PyMultiThreshold),
    TwoSided: ("two-sided", PyTwoSided),
}
"""Models that divide."""

LADDERS: Models = {
    neurons.MultiThreshold: ("multi-threshold", neurons.PyMultiThresholdLadder),
    TwoSided: ("two-sided", PyTwoSidedLadder),
}
"""Models that compare and subtract."""

FLOAT64_EXACT = 2**53
"""Integers up to here are exact in float64, which the models multiply in."""


def read_graph(network: Description, payloads: Pair, conv: ConvModel, fire: FireModel) -> CompiledForm:
    """The form of the graph that is built for one image of ``network``, whose input carries ``payloads``."""
    source = network.manifest["populations"][0]
    image = np.zeros((1, *source["shape"]), np.int64)
    schedule = graphs.plan(network, 1, stream=False)
    graph = graphs.build(network, image, schedule, graphs.Recording(Path()), conv)
    return read_processes(graph, payloads, CLOSED if fire == "closed" else LADDERS)


def read_processes(graph: graphs.Graph, payloads: Pair, models: Models = CLOSED) -> CompiledForm:
    """The form of ``graph``, whose neurons run ``models``.

    :class:`~snn_deploy.errors.CompiledFormError` names a process that is not recognised.
    """
    source = graph.source
    if not isinstance(source, Source):
        raise CompiledFormError(
            f"{source.name}: {type(source).__name__} is not recognised, nor is what Lava's own neurons need"
        )
    clock = source.proc_params["clock"]
    if clock.onset:
        raise CompiledFormError(f"{source.name}: images overlap from step {clock.onset} on")
    populations: list[CompiledPopulation] = []
    connections: list[CompiledConnection] = []
    accumulators: list[Accumulator] = []
    limits = {source.name: payloads}
    for neuron in graph.neurons.values():
        populations.append(_read_neuron(neuron, clock, models))
        limits[neuron.name] = neuron.proc_params["payloads"]
    for synapse in graph.synapses:
        if type(synapse) not in (Conv, Correlate, Transpose, SumPixels):
            raise CompiledFormError(f"{synapse.name}: synapses of {type(synapse).__name__} are not recognised")
        origin, steps = _trace(synapse, clock.interval)
        linear = _read_synapse(synapse)
        for target in synapse.a_out.out_connections:
            if not isinstance(target.process, neurons.MultiThreshold) or target.name != "a_in":
                raise CompiledFormError(f"{synapse.name}: sends to {target.process.name}, expected a population")
            connections.append(CompiledConnection(origin, target.process.name, (Part(linear),), steps))
        accumulators += _bound(synapse.name, linear, limits[origin])
    return CompiledForm(
        "lava",
        "",
        source.name,
        _shape(source.s_out.shape),
        tuple(populations),
        tuple(connections),
        tuple(accumulators),
        OUTSIDE,
        Timing(clock.interval, source.proc_params["repeats"]),
    )


def _shape(shape: tuple[int, int, int]) -> Shape:
    """(X, Y, C) as (C, H, W)."""
    return shape[2], shape[1], shape[0]


def _step_of(process: Any, model: type[neurons.PyMultiThreshold], below: Mapping[str, Int64]) -> Step:
    """The code of the process's model, run by itself on neurons (n, 1, C) of which none has a bias."""

    def step(v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        states = [each[:, None, :, 0, 0].copy() for each in (v, second)]
        sent: list[Array] = []
        clock, start = process.proc_params["clock"], process.proc_params["start"]
        own = SimpleNamespace(
            a_in=SimpleNamespace(recv=lambda: current[:, None, :, 0, 0].astype(np.int32)),
            s_out=SimpleNamespace(send=sent.append),
            time_step=max(start, clock.onset + 1) + 1,
            proc_params=process.proc_params,
            theta=np.asarray(process.theta.init, np.int64),
            v0=np.asarray(process.v0.init, np.int64),
            bias=np.int64(0),
            v=states[0],
            count=states[1],
            saturations=np.zeros(1, np.int64),
            fire=model.fire,
            **below,
        )
        own._fire = partial(model._fire, own)  # type: ignore[arg-type]  # it has all that the model reads
        model.run_spk(own)  # type: ignore[arg-type]
        after = (own.v, own.count, sent[0].astype(np.int64))
        return after[0][:, 0, :, None, None], after[1][:, 0, :, None, None], after[2][:, 0, :, None, None]

    return step


def _read_neuron(process: Any, clock: Any, models: Models) -> CompiledPopulation:
    kind, model = models.get(type(process), ("", None))
    if model is None:
        raise CompiledFormError(f"{process.name}: the neurons of {type(process).__name__} are not recognised")
    own = process.proc_params
    if own["clock"] != clock:
        raise CompiledFormError(f"{process.name}: begins images at other steps than the source")
    if own["hold"]:
        raise CompiledFormError(f"{process.name}: holds changes back, in streams, of which nothing is proved")
    (least, greatest), counts = own["payloads"], own["counts"] or (None, None)
    shape = _shape(own["shape"])
    bias = np.asarray(process.bias.init, np.int64)
    below = {
        name: np.asarray(getattr(process, name).init, np.int64)
        for name in ("theta_below", "offset_below")
        if isinstance(process, TwoSided)
    }
    numbers: dict[str, Number] = {
        "theta": np.asarray(process.theta.init, np.int64),
        "v0": np.asarray(process.v0.init, np.int64),
        "payload_min": least,
        "payload_max": greatest,
        "count_min": counts[0],
        "count_max": counts[1],
        "strict": own["strict"],
        "reset": "zero" if own["hard"] else "subtract",
    }
    if below:
        numbers |= {**below, "hold": own["hold"]}
    step = _step_of(process, model, below)
    firing = SteppedFiring(kind, numbers, bias.transpose(2, 1, 0), own["start"], own["bias_repeats"], step)
    return CompiledPopulation(process.name, shape, firing)


def _trace(synapse: Any, interval: int) -> tuple[str, int]:
    """The population whose events reach ``synapse``, and the steps from its sending to their arrival as a current."""
    steps, port = 1, synapse.s_in
    while True:
        if len(port.in_connections) != 1:
            raise CompiledFormError(f"{synapse.name}: {len(port.in_connections)} sources at one port")
        (before,) = port.in_connections
        process = before.process
        if before.name != "s_out" or before.shape != port.shape:
            raise CompiledFormError(
                f"{synapse.name}: reads {before.name} of {process.name}, of another shape or meaning"
            )
        if not isinstance(process, Delay):
            return process.name, steps
        if process.proc_params["clear"] != interval:
            raise CompiledFormError(f"{process.name}: is not emptied at the begin of every image")
        steps, port = steps + process.line.shape[0], process.s_in


def _read_synapse(synapse: Any) -> LinearMap:
    inputs, outputs = _shape(synapse.s_in.shape), _shape(synapse.a_out.shape)
    if isinstance(synapse, SumPixels):
        return _read_pixels(synapse)
    weight = np.asarray(synapse.weight.init, np.int64)
    if isinstance(synapse, Correlate):  # a transposed one is a kind of it
        strides, pads, dilations, groups, exponent = synapse.proc_params["geometry"]
    else:
        strides, dilations, around = (
            tuple(map(int, _init(synapse, name))) for name in ("stride", "dilation", "padding")
        )
        pads, groups, exponent = (
            (*around, *around),
            int(_number(synapse, "groups")),
            int(_number(synapse, "weight_exp")),
        )
        if _number(synapse, "num_message_bits") != MESSAGE_BITS:
            raise CompiledFormError(f"{synapse.name}: its events carry no payloads of 24 bits")
        weight = weight[:, ::-1, ::-1]  # Lava's Conv turns its kernel
    if exponent < 0:
        raise CompiledFormError(f"{synapse.name}: a right shift by {-exponent} may lose bits")
    axis = _Axis.transposed if isinstance(synapse, Transpose) else _Axis.plain
    columns, rows = (
        axis(inputs[2 - n], outputs[2 - n], weight.shape[1 + n], strides[n], dilations[n], pads[n]) for n in (0, 1)
    )
    planes = weight.transpose(0, 3, 2, 1) << exponent  # (O, I, K_y, K_x), or (I, O, ...) of a transposed one
    if isinstance(synapse, Transpose):
        split = [planes[group] for group in np.split(np.arange(planes.shape[0]), groups)]
        planes = np.concatenate([part.swapaxes(0, 1) for part in split])
    return Windows(planes, rows, columns, groups)


def _init(process: Any, name: str) -> Array:
    return np.asarray(getattr(process, name).init).reshape(-1)


def _number(process: Any, name: str) -> Any:
    (value,) = _init(process, name)
    return value


def _read_pixels(synapse: Any) -> Pixels:
    """Flat pixels of (X, Y) maps as those of (H, W) maps."""
    exponent = synapse.proc_params["exponent"]
    if exponent < 0 or tuple(synapse.proc_params["size"]) != tuple(synapse.a_out.shape[:2]):
        raise CompiledFormError(f"{synapse.name}: shifts right, or its size is not that of its port")
    targets, sources = (
        places % shape[1] * shape[0] + places // shape[1]
        for places, shape in (
            (np.asarray(synapse.rows.init, np.int64), synapse.a_out.shape),
            (np.asarray(synapse.indices.init, np.int64), synapse.s_in.shape),
        )
    )
    return Pixels(targets, sources, np.asarray(synapse.data.init, np.int64) << exponent)


class _Axis:
    """Which input place each tap of each output place reads along one axis: (outputs, taps)."""

    @staticmethod
    def plain(inputs: int, outputs: int, taps: int, step: int, gap: int, before: int) -> Int64:
        """Tap i of output n reads ``n * step + i * gap - before``."""
        places = np.add.outer(np.arange(outputs) * step, np.arange(taps) * gap) - before
        places[(places < 0) | (places >= inputs)] = NOWHERE
        return places

    @staticmethod
    def transposed(inputs: int, outputs: int, taps: int, step: int, gap: int, before: int) -> Int64:
        """Input n adds to output ``n * step + i * gap - before`` by tap i."""
        places = np.full((outputs, taps), NOWHERE, np.int64)
        for tap in range(taps):
            reached = np.arange(inputs) * step + tap * gap - before
            inside = (reached >= 0) & (reached < outputs)
            places[reached[inside], tap] = np.flatnonzero(inside)
        return places


def _bound(name: str, linear: LinearMap, payloads: Pair) -> Iterator[Accumulator]:
    """What the sums of a synapse must fit: exact floats while they add up, int32 when they are sent."""
    if isinstance(linear, Windows):
        largest = int(np.abs(linear.weight).sum((1, 2, 3)).max())
    else:
        largest = int(np.bincount(linear.targets, np.abs(linear.weights)).max(initial=0))
    most = largest * max(abs(payloads[0]), abs(payloads[1]))
    yield Accumulator(f"{name} in float64", -most, most, -FLOAT64_EXACT, FLOAT64_EXACT)
    yield Accumulator(f"{name} in int32", -most, most, -(2**31), 2**31 - 1)
