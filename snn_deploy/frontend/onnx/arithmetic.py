"""Add, Sub, Mul, Div, Sum, Neg: sums of maps, and constants per channel. Products of maps are refused."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.frontend.onnx.call import Call, HostedError, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.layout import select_channels
from snn_deploy.frontend.onnx.products import name_product
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.host import HostFunction
from snn_deploy.graph.ops import Add, Affine, Host, Nearest


def _scaled(call: Call, wire: Wire, scale: Float64 | float, shift: Float64 | float, part: str = "") -> Wire:
    ones = np.ones(wire.shape[0])
    if wire.hosted:
        return on_host(call, on_host(call, wire, "times", scale * ones, 1.0), "plus", shift * ones, 0.0)
    return call.add(Affine(scale * ones, shift * ones), wire, part=part)


def on_host(call: Call, wire: Wire, name: str, values: Float64, neutral: float) -> Wire:
    """A factor or addend for each channel on the host, where it changes anything."""
    if np.all(values == neutral):
        return wire
    kept = values[:1] if np.all(values == values[0]) else values
    return call.add(Host(str(HostFunction(name, tuple(float(value) for value in kept)))), wire)


def _sum(call: Call, *wires: Wire) -> Outcome:
    shape = tuple(map(max, zip(*(wire.shape for wire in wires), strict=True)))
    fits = all(own in (1, extent) for wire in wires for own, extent in zip(wire.shape, shape, strict=True))
    if not fits or any(wire.axes != wires[0].axes for wire in wires):
        named = " and ".join(dict.fromkeys(f"{wire.shape} ({wire.axes})" for wire in wires))
        raise RefusedError(
            f"adds maps {named}; they must have one shape, or a single channel, row or column that is repeated"
        )
    spread = (_spread(call, wire, shape, f"part{index}") for index, wire in enumerate(wires))
    return call.mapped(call.add(Add(), *spread), "synapses of both sources onto one population")


def _spread(call: Call, wire: Wire, shape: tuple[int, ...], part: str) -> Wire:
    """``wire`` with its single channel, row or column repeated to ``shape`` (C, H, W), as ONNX broadcasts."""
    channels, *sides = shape
    if wire.shape[0] != channels:
        wire = select_channels(call, wire, np.zeros(channels, np.intp), f"{part}.channels")
    times = tuple(extent // own for extent, own in zip(sides, wire.shape[1:], strict=True))
    return call.add(Nearest((times[0], times[1])), wire, part=part) if max(times) > 1 else wire


def _maps(call: Call) -> list[int]:
    """Places of the inputs that come from the image; a single one may be on the host already."""
    places = [index for index, value in enumerate(call.inputs) if isinstance(value, Wire)]
    for index in places:
        call.last_wire(index) if len(places) == 1 else call.any_wire(index)
    return places


def _outcome(call: Call, wire: Wire, note: str) -> Outcome:
    return Outcome((wire,), "host", "after read-out") if wire.hosted else call.folded(wire, note)


@operator("Add", 7, 13, 14)
def add(call: Call) -> Outcome:
    """Two maps of one shape, or one of a single channel, row or column; or a map and a constant (a number, or one per channel)."""
    maps = _maps(call)
    if len(maps) == 2:
        return _sum(call, call.any_wire(0), call.any_wire(1))
    (place,) = maps
    wire = call.last_wire(place)
    shift = call.per_channel(call.constant(1 - place), wire)
    return _outcome(call, _scaled(call, wire, 1.0, shift), "biases")


@operator("Sum", 8, 13)
def add_all(call: Call) -> Outcome:
    """Maps of one shape, or of a single channel, row or column."""
    return _sum(call, *(call.any_wire(index) for index in range(len(call.inputs))))


@operator("Sub", 7, 13, 14)
def subtract(call: Call) -> Outcome:
    """As Add, either way round."""
    maps = _maps(call)
    if len(maps) == 2:
        return _sum(call, call.any_wire(0), _scaled(call, call.any_wire(1), -1.0, 0.0, "minus"))
    (place,) = maps
    wire = call.last_wire(place)
    constant = call.per_channel(call.constant(1 - place), wire)
    scale, shift = (1.0, -constant) if place == 0 else (-1.0, constant)
    return _outcome(call, _scaled(call, wire, scale, shift), "weights and biases")


@operator("Neg", 6, 13)
def negate(call: Call) -> Outcome:
    """Any map."""
    return _outcome(call, _scaled(call, call.last_wire(0), -1.0, 0.0), "weights")


@operator("Mul", 7, 13, 14)
def multiply(call: Call) -> Outcome:
    """A map and a constant (one number, or one per channel); a product of maps is refused."""
    wires = [value for value in call.inputs if isinstance(value, Wire)]
    if len(wires) == 2:
        makers = " and ".join(wire.maker for wire in wires)
        construct = name_product(*wires)
        if construct is not None:
            raise HostedError(next(wire for wire in wires if wire.hosted), *construct)
        call.any_wire(0), call.any_wire(1)
        refused = next((wire.refused for wire in wires if wire.refused), "")
        if refused:
            raise RefusedError(f"reads {refused}, which is refused")
        raise RefusedError(
            f"multiplies two maps ({makers}): spiking networks add, they do not multiply;"
            " train the model without attention gates, squeeze-and-excitation or HardSwish"
        )
    (place,) = _maps(call)
    wire = call.last_wire(place)
    return _outcome(call, _scaled(call, wire, call.per_channel(call.constant(1 - place), wire), 0.0), "weights")


@operator("Div", 7, 13, 14)
def divide(call: Call) -> Outcome:
    """A map by a constant (one number, or one per channel)."""
    if all(isinstance(value, Wire) and not value.refused for value in call.inputs):
        makers = " and ".join(value.maker for value in call.inputs if isinstance(value, Wire))
        raise RefusedError(
            f"divides one map by another ({makers}), as Softsign and normalizations by each image's statistics do: spiking"
            " networks add, they do not divide; train with Relu and batch normalization in its place, or, for Softsign, convert"
            " --approximate"
        )
    wire = call.last_wire(0)
    divisor = call.per_channel(call.constant(1), wire)
    if not divisor.all():
        raise RefusedError("divides by zero")
    return _outcome(call, _scaled(call, wire, 1 / divisor, 0.0), "weights")
