"""Sigmoid, Softmax, ArgMax: functions the host applies after read-out."""

from __future__ import annotations

from dataclasses import replace

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.ops import Host


def _over_channels(wire: Wire, axis: int) -> None:
    if wire.axes[axis] != "C":
        raise RefusedError(f"runs over axis {wire.axes[axis]}; only channels are supported")


def _host(call: Call, wire: Wire, function: str) -> Outcome:
    made = call.add(Host(function), wire)
    return Outcome((replace(made, hosted=True),), "host", "after read-out")


@operator("Sigmoid", 6, 13)
def sigmoid(call: Call) -> Outcome:
    """At the end of the model, on the host."""
    return _host(call, call.last_wire(0), "sigmoid")


@operator("Softmax", 1, 11, 13)
def softmax(call: Call) -> Outcome:
    """At the end of the model, over channels, on the host."""
    wire = call.last_wire(0)
    axis = call.integer("axis", -1 if call.since >= 13 else 1)
    if call.since < 13:
        inner = wire.extents(call.batch)[axis if axis >= 0 else axis + 4 :]
        if any(extent != 1 for extent in inner[1:]):
            raise RefusedError(
                "runs over all axes from its own on, as before operator set 13; export with set 13 or newer"
            )
    _over_channels(wire, axis)
    return _host(call, wire, "softmax")


@operator("ArgMax", 1, 11, 12, 13)
def argmax(call: Call) -> Outcome:
    """At the end of the model, over channels, first of equals, on the host; the channel axis stays."""
    wire = call.last_wire(0)
    _over_channels(wire, call.integer("axis", 0))
    if call.integer("select_last_index", 0):
        raise RefusedError("takes the last of equal channels; the host takes the first")
    outcome = _host(call, wire, "argmax")
    if call.integer("keepdims", 1):
        return outcome
    (made,) = (value for value in outcome.values if isinstance(value, Wire))
    return replace(outcome, values=(replace(made, axes=made.axes.replace("C", "")),))
