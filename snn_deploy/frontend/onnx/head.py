"""Sigmoid, Softmax, ArgMax, Tanh, comparisons, ...: functions the host applies after read-out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.factors import Factor
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.host import HostFunction
from snn_deploy.graph.ops import Host


def _host(call: Call, wire: Wire, function: str) -> Outcome:
    return Outcome((call.add(Host(function), wire),), "host", "after read-out")


# ---------------------------------------------------------------------- value by value


@operator("Sigmoid", 6, 13)
def sigmoid(call: Call) -> Outcome:
    """At the end of the model, on the host."""
    return _host(call, call.view(0), "sigmoid")


@operator("Tanh", 6, 13)
def tanh(call: Call) -> Outcome:
    """At the end of the model, on the host."""
    return _host(call, call.view(0), "tanh")


@operator("Exp", 6, 13)
def exponential(call: Call) -> Outcome:
    """At the end of the model, on the host."""
    return _host(call, call.view(0), "exp")


@operator("Softplus", 1, 22)
def softplus(call: Call) -> Outcome:
    """At the end of the model, on the host."""
    return _host(call, call.view(0), "softplus")


@operator("Round", 11, 22)
def to_nearest(call: Call) -> Outcome:
    """At the end of the model, on the host."""
    return _host(call, call.view(0), "round")


@operator("Greater", 9, 13)
def greater(call: Call) -> Outcome:
    """With one constant number, at the end of the model, on the host."""
    return _compare(call, "greater", "less")


@operator("Less", 9, 13)
def less(call: Call) -> Outcome:
    """With one constant number, at the end of the model, on the host."""
    return _compare(call, "less", "greater")


@operator("GreaterOrEqual", 12, 16)
def at_least(call: Call) -> Outcome:
    """With one constant number, at the end of the model, on the host."""
    return _compare(call, "at_least", "at_most")


@operator("LessOrEqual", 12, 16)
def at_most(call: Call) -> Outcome:
    """With one constant number, at the end of the model, on the host."""
    return _compare(call, "at_most", "at_least")


def _compare(call: Call, function: str, mirrored: str) -> Outcome:
    place = 0 if isinstance(call.inputs[0], Wire) else 1
    wire, limit = call.view(place), np.asarray(call.constant(1 - place), np.float64).ravel()
    if limit.size != 1 or np.isnan(limit[0]):
        raise RefusedError(f"compares with a constant of shape {limit.shape}; only one number is supported")
    return _host(call, wire, str(HostFunction(function if place == 0 else mirrored, (float(limit[0]),))))


# ---------------------------------------------------------------------- over channels


def _over_channels(call: Call, wire: Wire, axis: int) -> None:
    """:class:`RefusedError` unless axis ``axis`` holds all channels and nothing else."""
    found = wire.factored(call.batch)[axis]
    whole = (Factor("C", wire.shape[0], 1),)
    if found != (whole if wire.shape[0] > 1 else ()) or (wire.axes and wire.axes[axis] != "C"):
        name = wire.axes[axis] if wire.axes else f"{axis} of {list(wire.extents(call.batch))}"
        raise RefusedError(f"runs over axis {name}; only channels are supported")


SOFTMAX = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}


@operator("LogSoftmax", 13)
@operator("Softmax", 13)
def softmax(call: Call) -> Outcome:
    """At the end of the model, over channels, on the host."""
    wire = call.view(0)
    _over_channels(call, wire, call.integer("axis", -1))
    return _host(call, wire, SOFTMAX[call.node.op_type])


@operator("LogSoftmax", 1, 11)
@operator("Softmax", 1, 11)
def softmax_from_axis(call: Call) -> Outcome:
    """At the end of the model, on the host, over channels of one pixel: it runs over all axes from its own on."""
    wire, axis = call.view(0), call.integer("axis", 1)
    extents = wire.extents(call.batch)
    if any(extent != 1 for extent in extents[axis % len(extents) + 1 :]):
        raise RefusedError("runs over all axes from its own on, as before operator set 13; export with set 13 or newer")
    _over_channels(call, wire, axis)
    return _host(call, wire, SOFTMAX[call.node.op_type])


@operator("ArgMax", 1, 11, 12, 13)
def argmax(call: Call) -> Outcome:
    """At the end of the model, over channels, first of equals, on the host; the channel axis stays."""
    wire, axis = call.view(0), call.integer("axis", 0)
    _over_channels(call, wire, axis)
    if call.integer("select_last_index", 0):
        raise RefusedError("takes the last of equal channels; the host takes the first")
    outcome = _host(call, wire, "argmax")
    (made,) = (value for value in outcome.values if isinstance(value, Wire))
    rank = len(wire.extents(call.batch))
    factors = tuple(() if place == axis % rank else factor for place, factor in enumerate(made.factors))
    if not call.integer("keepdims", 1):
        factors = tuple(factor for place, factor in enumerate(factors) if place != axis % rank)
        made = replace(made, axes=made.axes.replace("C", ""))
    return replace(outcome, values=(replace(made, factors=factors),))
