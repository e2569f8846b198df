"""Activations of straight pieces: Relu, LeakyRelu, PRelu, Abs, Clip, HardSigmoid, Max and Min."""

from __future__ import annotations

import numpy as np

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.host import HostFunction
from snn_deploy.graph.ops import Add, Affine, Clip, Host, LeakyRelu, Relu

FLOAT_MAX = 3.4e38
"""Exporters write the largest float32 for a limit that is not there."""

TWO_SLOPES = "a population with a threshold for each sign, or a pair of populations"
"""What becomes of a LeakyReLU, as options and slopes ask for."""


@operator("Relu", 6, 13, 14)
def relu(call: Call) -> Outcome:
    """A population that counts 0..N."""
    return _between(call, call.last_wire(0), 0, np.inf)


@operator("LeakyRelu", 6, 16)
def leaky_relu(call: Call) -> Outcome:
    """A population with a threshold for each sign; a pair with a negative slope, in rate mode or by ``--leaky two``."""
    wire = call.any_wire(0)
    return call.mapped(call.add(LeakyRelu(np.full(wire.shape[0], call.real("alpha", 0.01))), wire), TWO_SLOPES)


@operator("PRelu", 9, 16)
def parametric_relu(call: Call) -> Outcome:
    """As LeakyRelu; one slope, or one per channel."""
    wire = call.any_wire(0)
    return call.mapped(call.add(LeakyRelu(call.per_channel(call.constant(1), wire)), wire), TWO_SLOPES)


@operator("Abs", 6, 13)
def magnitude(call: Call) -> Outcome:
    """A pair of populations."""
    wire = call.any_wire(0)
    return call.mapped(call.add(LeakyRelu(np.full(wire.shape[0], -1.0)), wire), "a pair of populations")


@operator("HardSigmoid", 6, 22)
def hard_sigmoid(call: Call) -> Outcome:
    """A factor and an addend, and one population."""
    wire, scale, shift = call.any_wire(0), call.real("alpha", 0.2), call.real("beta", 0.5)
    channels = wire.shape[0]
    return _between(
        call, call.add(Affine(np.full(channels, scale), np.full(channels, shift)), wire, part="scaled"), 0, 1
    )


@operator("Clip", 6, 11, 12, 13)
def clip(call: Call) -> Outcome:
    """Constant limits (Relu6 and others): one population, whose largest count is the upper one."""
    low, high = (  # attributes before operator set 11
        _scalar(call, index) if call.has(index) else call.real(name, end)
        for index, name, end in ((1, "min", -np.inf), (2, "max", np.inf))
    )
    return _between(call, call.last_wire(0), low, high)


@operator("Max", 8, 12, 13)
def maximum(call: Call) -> Outcome:
    """With one constant number: a population; of maps of one shape: one for each but the first."""
    if _of_maps(call):
        return _greatest(call, 1)
    wire, limit = _with_constant(call)
    return _between(call, wire, limit, np.inf)


@operator("Min", 8, 12, 13)
def minimum(call: Call) -> Outcome:
    """With one constant number: a population; of maps of one shape: one for each but the first."""
    if _of_maps(call):
        return _greatest(call, -1)
    wire, limit = _with_constant(call)
    return _between(call, wire, -np.inf, limit)


def _of_maps(call: Call) -> bool:
    return len(call.inputs) > 1 and all(isinstance(value, Wire) for value in call.inputs)


def _greatest(call: Call, sign: int) -> Outcome:
    """``max(a, b) = a + relu(b - a)``, ``min(a, b) = a - relu(a - b)``, map after map."""
    best, *others = (call.any_wire(index) for index in range(len(call.inputs)))
    if any(wire.shape != best.shape or wire.axes != best.axes for wire in others):
        raise RefusedError(
            f"compares maps {', '.join(str(wire.shape) for wire in (best, *others))}; one shape is needed"
        )
    for number, other in enumerate(others):
        negative = _times(call, -1, best if sign > 0 else other, f"negative{number}")
        apart = call.add(Add(), *((other, negative) if sign > 0 else (best, negative)), part=f"apart{number}")
        excess = call.add(Relu(), apart, part=f"excess{number}")
        change = excess if sign > 0 else _times(call, -1, excess, f"change{number}")
        best = call.add(Add(), best, change, part="" if number == len(others) - 1 else f"best{number}")
    return call.mapped(best, "a population for each map but the first")


def _times(call: Call, factor: float, wire: Wire, part: str) -> Wire:
    channels = wire.shape[0]
    return call.add(Affine(np.full(channels, factor), np.zeros(channels)), wire, part=part)


def _with_constant(call: Call) -> tuple[Wire, float]:
    if len(call.inputs) != 2:
        raise RefusedError(f"has {len(call.inputs)} inputs; one map and one constant number are supported")
    first = 0 if isinstance(call.inputs[0], Wire) else 1
    return call.last_wire(first), _scalar(call, 1 - first)


def _scalar(call: Call, index: int) -> float:
    values = np.asarray(call.constant(index), np.float64).ravel()
    if values.size != 1 or np.isnan(values[0]):
        raise RefusedError(f"limit of shape {values.shape} is not one number")
    return float(values[0])


def _between(call: Call, wire: Wire, low: float, high: float) -> Outcome:
    low, high = (-np.inf if low <= -FLOAT_MAX else low), (np.inf if high >= FLOAT_MAX else high)
    if low >= high:
        raise RefusedError(f"limits {low} and {high} leave nothing between them")
    if (low, high) == (-np.inf, np.inf):
        return call.folded(wire, "nothing: it has no limits")
    if wire.hosted:
        return Outcome((call.add(Host(str(HostFunction("clip", (low, high)))), wire),), "host", "after read-out")
    if (low, high) == (0, np.inf):
        return call.mapped(call.add(Relu(), wire), "a population")
    return call.mapped(call.add(Clip(low, high), wire), "a population")
