"""Reads the plan of a network back from what it runs: weights, coefficients of neurons.

What an operator computes is what its class says; what it computes with is taken from where it keeps it, in the floats in
which it does, and must be integers there. A population's steps are counted from its start: layers run one after the other.
"""

from __future__ import annotations

from functools import partial

import numpy as np

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
    SteppedFiring,
    Timing,
    Windows,
)
from snn_deploy.errors import CompiledFormError
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.shapes import Pair, Shape
from snn_deploy_cpu.conv.exactness import FLOAT32_EXACT, FLOAT64_EXACT
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.operators import DepthwiseConv, FloatConv, PixelMap
from snn_deploy_cpu.neurons.cuba_lif import CubaLifNeurons
from snn_deploy_cpu.neurons.multi_threshold import Below, ThresholdNeurons
from snn_deploy_cpu.neurons.pass_through import PixelCopy, SumPooling
from snn_deploy_cpu.neurons.protocol import Neurons
from snn_deploy_cpu.neurons.sigma_delta import SigmaDeltaNeurons
from snn_deploy_cpu.plan import Input, NeuronLayer, PassThroughLayer, Plan

OUTSIDE = (
    "the convolutions of onnxruntime and NumPy; each is tried on worst-case operands before it is used",
    "the compiled kernels, which may take the place of a library's convolution with the same weights, and how they pack them",
    "the loops that step neurons, and the executor: that every layer runs over its window step by step, image and bias in theirs",
)
"""What the form takes for granted."""


def read_plan(plan: Plan) -> CompiledForm:
    """The form of ``plan``; :class:`~snn_deploy.errors.CompiledFormError` names what is not recognised."""
    network = plan.network
    reader = _Reader({network.input.name: network.input.shape}, {network.input.name: network.input.payload_range})
    for layer in plan.layers:
        if isinstance(layer, NeuronLayer):
            reader.read_neurons(layer, network.steps, network.input_steps)
        else:
            reader.read_pass_through(layer)
    return CompiledForm(
        "cpu",
        "",
        network.input.name,
        network.input.shape,
        tuple(reader.populations),
        tuple(reader.connections),
        tuple(reader.accumulators),
        OUTSIDE,
        Timing(network.steps, network.input_steps, is_local=True),
    )


class _Reader:
    """What was read so far; ``shapes`` and ``payloads``, the limits of one event, of every population."""

    def __init__(self, shapes: dict[str, Shape], payloads: dict[str, Pair]) -> None:
        self.shapes, self.payloads = shapes, payloads
        self.populations: list[CompiledPopulation] = []
        self.connections: list[CompiledConnection] = []
        self.accumulators: list[Accumulator] = []

    def read_pass_through(self, layer: PassThroughLayer) -> None:
        """A population that sends its current on: threshold 1, and no limits."""
        name, shape = layer.population.name, layer.population.shape
        if not isinstance(layer.operator, (SumPooling, PixelCopy)):
            raise CompiledFormError(f"{name}: {type(layer.operator).__name__} is not recognised")
        linear = _read_linear(layer.operator, self.shapes[layer.source], shape)
        self.connections.append(CompiledConnection(layer.source, name, (Part(linear),), 0))
        sums = _span(linear, self.payloads[layer.source], shape)
        low, high = int(sums[0].min()), int(sums[1].max())
        self.accumulators.append(Accumulator(f"sums of {name}", low, high, -(2**31), 2**31 - 1))
        limits = np.iinfo(layer.formats.payload)
        self.accumulators.append(Accumulator(f"payloads of {name}", low, high, int(limits.min), int(limits.max)))
        one = np.ones(shape[0], np.int64)
        numbers: dict[str, Number] = {"theta": one, "v0": 0 * one, "strict": False, "reset": "subtract"}
        numbers |= dict.fromkeys(("payload_min", "payload_max", "count_min", "count_max"))
        firing = SteppedFiring("multi-threshold", numbers, np.zeros((shape[0], 1, 1), np.int64), 0, False)
        self._add(CompiledPopulation(name, shape, firing), (low, high))

    def read_neurons(self, layer: NeuronLayer, steps: int, driven_steps: int) -> None:
        """A population with membranes."""
        name, shape = layer.population.name, layer.population.shape
        kind, numbers = _read_numbers(name, layer.neurons, shape[0])
        bias = _untile(name, layer.neurons.bias, shape[0])[:, None, None]
        if layer.bias is not None:
            bias = np.moveaxis(_integers(name, layer.bias), -1, 0)
        least, greatest = (np.broadcast_to(limit(bias, 0), shape) for limit in (np.minimum, np.maximum))
        for connection in (*layer.inputs, *layer.constant_inputs):
            sent = self._read_input(name, shape, connection)
            least, greatest = least + sent[0], greatest + sent[1]
        low, high = int(least.min()), int(greatest.max())
        largest = FLOAT32_EXACT if layer.real is np.float32 else FLOAT64_EXACT
        rest = largest - STATE_MAX - 1  # the membrane is added
        self.accumulators.append(Accumulator(f"currents of {name}", low, high, -rest, rest))
        if isinstance(layer.neurons, CubaLifNeurons):
            self.accumulators.append(_bound_decay(name, (low, high), numbers["current_decay"]))
        step = None if isinstance(layer.neurons, SigmaDeltaNeurons) else partial(_step, layer)
        firing = SteppedFiring(kind, numbers, bias, 0, driven_steps == steps, step)
        self._add(CompiledPopulation(name, shape, firing), _event_limits(kind, numbers, steps))

    def _add(self, population: CompiledPopulation, payloads: Pair) -> None:
        self.populations.append(population)
        self.shapes[population.name], self.payloads[population.name] = population.shape, payloads

    def _read_input(self, target: str, shape: Shape, connection: Input) -> tuple[Int64, Int64]:
        """Add a connection; returns the least and the greatest current that it sends to each neuron, of ``shape``."""
        source, name = connection.source, f"{connection.source} -> {target}"
        linear = _read_linear(connection.operator, self.shapes[source], shape)
        self.connections.append(CompiledConnection(source, target, (Part(linear),), connection.lag))
        if connection.autotuner is not None:
            _check_task(name, connection, linear)
        return _span(linear, self.payloads[source], shape)


def _step(layer: NeuronLayer, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
    """One step of the layer's own loop over neurons that lie flat, channels last; no bias joins."""
    membranes, states = (each.astype(layer.neurons.start.dtype).reshape(-1) for each in (v, second))
    payloads = np.zeros((1, v.size), layer.formats.payload)
    kept = states if layer.neurons.has_second_state else None
    layer.neurons.step_many(membranes, kept, current.astype(layer.real).reshape(1, -1), None, 0, payloads, 0)
    after = (_integers(layer.population.name, each).reshape(v.shape) for each in (membranes, states, payloads[0]))
    left, second_left, sent = after
    return left, second_left, sent


def _integers(name: str, values: Array) -> Int64:
    """Floats that must be integers, as such."""
    whole = np.rint(values).astype(np.int64)
    if not np.array_equal(whole, values):
        raise CompiledFormError(f"{name}: holds numbers that are not whole")
    return whole


def _untile(name: str, tiled: Array, channels: int) -> Int64:
    """The numbers (C,) that are repeated to a tile."""
    numbers = _integers(name, tiled)
    if not np.array_equal(numbers, np.tile(numbers[:channels], numbers.size // channels)):
        raise CompiledFormError(f"{name}: a tile does not repeat the numbers of its channels")
    return numbers[:channels]


def _read_numbers(name: str, neurons: Neurons, channels: int) -> tuple[str, dict[str, Number]]:
    """The kind of ``neurons``, and their numbers."""
    if isinstance(neurons, ThresholdNeurons):
        numbers = _read_thresholds(name, neurons, channels)
        if neurons.below is None:
            return "multi-threshold", numbers
        return "two-sided", numbers | _read_below(name, neurons, neurons.below, channels)
    if isinstance(neurons, SigmaDeltaNeurons):
        fixed = neurons.neuron
        own: dict[str, Number] = {"shift": fixed.shift, "rectify": fixed.rectify, "reset": "subtract", "strict": False}
        own |= {key: getattr(fixed, key) for key in ("payload_min", "payload_max", "count_min", "count_max")}
        kind = "sigma-delta"
    elif isinstance(neurons, CubaLifNeurons):
        kept = np.array([neurons.current_retention, neurons.voltage_retention])
        decays = _integers(name, (1 - kept) * DECAY_ONE)
        own = {"current_decay": int(decays[0]), "voltage_decay": int(decays[1]), "reset": "subtract", "strict": True}
        own |= {"payload_min": 0, "payload_max": 1, "count_min": None, "count_max": None}
        kind = "CUBA-LIF"
    else:
        raise CompiledFormError(f"{name}: {type(neurons).__name__} are not recognised")
    arrays = {"theta": neurons.theta, "v0": neurons.start, "offset": neurons.offset}
    return kind, own | {key: _untile(name, values, channels) for key, values in arrays.items()}


def _bound_decay(name: str, currents: Pair, decay: Number) -> Accumulator:
    """What a decaying current is multiplied to before it is divided, at most."""
    if not isinstance(decay, int) or decay < 1:
        raise CompiledFormError(f"{name}: its current never decays")
    largest = -(-(max(-currents[0], currents[1]) << CURRENT_SHIFT) * DECAY_ONE // decay) * DECAY_ONE
    return Accumulator(f"decay of {name}", -largest, largest, -FLOAT64_EXACT, FLOAT64_EXACT)


def _read_thresholds(name: str, neurons: ThresholdNeurons, channels: int) -> dict[str, Number]:
    """The numbers of multi-threshold neurons, whose quotient in floats must be the floor of a division for every membrane."""
    fields, counts = neurons.thresholds, neurons.count_limits or (None, None)
    theta = _untile(name, fields.theta, channels)
    least, greatest = int(fields.payload_min), int(fields.payload_max)
    limits = [None if each is None else int(each) for each in counts]
    if neurons.hold:
        raise CompiledFormError(f"{name}: holds changes back, in streams, of which nothing is proved")
    if fields.rounding not in (0.5, -0.5) or neurons.reset_value not in (0.0, None):
        raise CompiledFormError(f"{name}: rounds by {fields.rounding}, or is reset to {neurons.reset_value}")
    limits_of_quotients = (least, greatest) if neurons.below is None else (0, int(neurons.below.counts[1]))
    _check_quotients(name, theta, fields.reciprocal, fields.rounding, neurons.start.dtype, limits_of_quotients)
    return {
        "theta": theta,
        "v0": _untile(name, neurons.start, channels),
        "payload_min": least,
        "payload_max": greatest,
        "count_min": limits[0],
        "count_max": limits[1],
        "strict": fields.rounding < 0,
        "reset": "subtract" if neurons.reset_value is None else "zero",
    }


def _read_below(name: str, neurons: ThresholdNeurons, below: Below, channels: int) -> dict[str, Number]:
    """The numbers that two-sided neurons have beside those of others."""
    theta, offset = _untile(name, below.theta, channels), _untile(name, below.rounding - 0.5, channels)
    least, most = (int(each) for each in below.counts)
    fields, once = neurons.thresholds, neurons.count_limits is None
    limits = (fields.payload_min, fields.payload_max) if once else neurons.count_limits
    if limits != below.counts or fields.rounding != 0.5:
        raise CompiledFormError(f"{name}: two limits of counts, or firing above a threshold only")
    _check_quotients(name, theta, below.reciprocal, 0.5, neurons.start.dtype, (least, 0))
    own: dict[str, Number] = {"theta_below": theta, "offset_below": offset, "hold": 0}
    return own | {"count_min": None if once else least, "count_max": None if once else most}


def _check_quotients(
    name: str, theta: Int64, reciprocal: Array, rounding: float, membrane: object, limits: Pair
) -> None:
    """Whether ``floor((v + rounding) * reciprocal)`` steps where a floor division does.

    Sum, product and floor of floats never decrease as v grows, so it is enough to look before and at every step to a
    payload within the ``limits``.
    """
    strict = int(rounding < 0)
    payloads = np.arange(limits[0] + 1, limits[1] + 1, dtype=np.int64)
    pairs = np.unique(np.stack([theta.astype(np.float64), reciprocal[: theta.size].astype(np.float64)]), axis=1)
    for threshold, factor in pairs.T:
        steps = payloads * int(threshold) + strict
        steps, right = steps[np.abs(steps) <= STATE_MAX], payloads[np.abs(steps) <= STATE_MAX]
        for before in (0, 1):
            v = (steps - before).astype(membrane)
            found = np.floor((v + rounding) * np.array([factor], reciprocal.dtype))
            if not np.array_equal(np.clip(found, *limits), right - before):
                raise CompiledFormError(f"{name}: its quotient by {int(threshold)} in floats is not that of a division")


def _event_limits(kind: str, numbers: dict[str, Number], steps: int) -> Pair:
    """What one event can carry; the counts of Lava's own neurons have no limits."""
    least, greatest, low, high = (numbers[key] for key in ("payload_min", "payload_max", "count_min", "count_max"))
    if not isinstance(least, int) or not isinstance(greatest, int):
        raise CompiledFormError("payloads without limits")
    if not isinstance(low, int) or not isinstance(high, int) or kind not in ("multi-threshold", "two-sided"):
        return least, greatest
    low = 0 if least == 0 else low
    spread = (low, high) if steps == 1 else (low - high, high - low)
    return max(least, spread[0]), min(greatest, spread[1])


def _read_linear(operator: object, source: Shape, target: Shape) -> LinearMap:
    """The map of an operator with the weights that it has packed."""
    name = type(operator).__name__
    if isinstance(operator, (PixelMap, PixelCopy)):
        targets, sources, weights = operator.entries
        return Pixels(targets, sources, _integers(name, weights))
    if not isinstance(operator, (FloatConv, DepthwiseConv, SumPooling)):
        raise CompiledFormError(f"{name}: this operator is not recognised")
    conv, weights = operator.kernel
    return _unfold(conv, _integers(name, weights), source, target)


def _unfold(conv: Convolution, weight: Int64, source: Shape, target: Shape) -> Windows:
    """A convolution in normal form, whose phases become taps of their own: each is read by the outputs of its phase alone."""
    rows, columns = (_places(conv, axis, target[1 + axis], source[1 + axis], weight.shape[2 + axis]) for axis in (0, 1))
    (up_y, up_x), (outputs, inputs, height, width) = conv.phases, weight.shape
    split = weight.reshape(conv.groups, up_y, up_x, outputs // (conv.groups * up_y * up_x), inputs, height, width)
    taps = split.transpose(0, 3, 4, 1, 5, 2, 6)  # (group, o, i, u_y, h, u_x, w)
    return Windows(taps.reshape(-1, inputs, up_y * height, up_x * width), rows, columns, conv.groups)


def _places(conv: Convolution, axis: int, outputs: int, inputs: int, taps: int) -> Int64:
    """Place that each tap of each phase reads along an axis: (outputs, phases * taps)."""
    position, phase = np.divmod(np.arange(outputs) + conv.crop[axis], conv.phases[axis])
    reads = position[:, None] * conv.strides[axis] + np.arange(taps) * conv.dilations[axis] - conv.pads[axis]
    reads = np.where((reads >= 0) & (reads < inputs), reads, NOWHERE)
    places = np.full((outputs, conv.phases[axis], taps), NOWHERE, np.int64)
    places[np.arange(outputs), phase] = reads
    return places.reshape(outputs, -1)


def _span(linear: LinearMap, payloads: Pair, shape: Shape) -> tuple[Int64, Int64]:
    """Least and greatest sum of any of the synapses of each neuron of ``shape`` (C, H, W)."""
    low, high = min(payloads[0], 0), max(payloads[1], 0)
    if isinstance(linear, Windows):
        reached = [(axis != NOWHERE).astype(np.int64) for axis in (linear.rows, linear.columns)]
        sides = (np.maximum(linear.weight, 0).sum(1), np.minimum(linear.weight, 0).sum(1))
        positive, negative = (np.einsum("ohw,yh,xw->oyx", side, *reached, optimize=True) for side in sides)
    else:
        sides = (np.maximum(linear.weights, 0), np.minimum(linear.weights, 0))
        pixels = shape[1] * shape[2]  # all channels share them
        positive, negative = (
            np.broadcast_to(np.bincount(linear.targets, side, pixels).astype(np.int64).reshape(shape[1:]), shape)
            for side in sides
        )
    return positive * low + negative * high, positive * high + negative * low


def _check_task(name: str, connection: Input, base: LinearMap) -> None:
    """Whether compiled kernels, which may replace the library, are given the same weights and geometry."""
    if connection.autotuner is None or not isinstance(base, Windows):
        raise CompiledFormError(f"{name}: nothing is known of its compiled kernels")
    task = connection.autotuner.task
    weight, scale = task.conv.weight.astype(np.int64), int(task.scale)
    operator = connection.operator
    conv = operator.kernel[0] if isinstance(operator, (FloatConv, DepthwiseConv)) else None
    if task.upsampled is None:
        same = conv is task.conv and task.source == connection.source
        found = weight
    else:  # every tap of the kernel is an output of a pointwise convolution at the low resolution
        kernel = task.upsampled.kernel
        found = weight.reshape(*kernel, -1, weight.shape[1]).transpose(2, 3, 0, 1)
        same = conv is not None and conv.pads == task.upsampled.pads and conv.phases == (1, 1)
    if not same or conv is None or not np.array_equal(found * scale, _integers(name, _weights_of(operator))):
        raise CompiledFormError(f"{name}: its compiled kernels are given other weights than the library")


def _weights_of(operator: object) -> Array:
    if not isinstance(operator, (FloatConv, DepthwiseConv)):
        raise CompiledFormError(f"{type(operator).__name__} has no kernel")
    return operator.kernel[1]
