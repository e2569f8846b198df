"""Conv, ConvTranspose."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.frontend.onnx.call import LINE, Call, Outcome, RefusedError
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.ops import Conv, ConvTranspose
from snn_deploy.shapes import Pads, Pair

NO_PADS = (0, 0, 0, 0)


def pair(values: tuple[int, ...]) -> Pair:
    """Two integers of an attribute, each at least 1."""
    if min(values) < 1:
        raise RefusedError(f"{list(values)} must be at least 1")
    return values[0], values[1]


def same_pads(call: Call, sizes: Pair, window: Pair, strides: Pair) -> Pads:
    """``pads``, or what ``auto_pad`` stands for; ``window`` is the dilated kernel."""
    mode = call.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        top, left, bottom, right = call.integers("pads", NO_PADS) if mode == "NOTSET" else NO_PADS
        return top, left, bottom, right
    totals = [
        max((-(-size // stride) - 1) * stride + extent - size, 0)
        for size, extent, stride in zip(sizes, window, strides, strict=True)
    ]
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    if mode == "SAME_LOWER":
        less, more = more, less
    elif mode != "SAME_UPPER":
        raise RefusedError(f"auto_pad {mode!r} is unknown; NOTSET, VALID, SAME_UPPER and SAME_LOWER are supported")
    return less[0], less[1], more[0], more[1]


def dilated(kernel: tuple[int, ...], dilations: Pair) -> Pair:
    """Extent of a dilated kernel."""
    return (kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1


def _weight(call: Call) -> Float64:
    weight = call.real_constant(1)
    if weight.ndim == 3 and call.wire(0).axes == LINE:
        return weight[:, :, None]
    if weight.ndim != 4:
        raise RefusedError(
            f"weight {weight.shape} has {weight.ndim} axes; only convolutions of one and two dimensions are supported"
        )
    return weight


def _bias(call: Call, channels: int) -> Float64:
    return call.real_constant(2).ravel() if call.has(2) else np.zeros(channels)


@operator("Conv", 1, 11, 22)
def convolution(call: Call) -> Outcome:
    """One- and two-dimensional, constant weights; any strides, pads, auto_pad, dilations and groups."""
    wire, weight = call.wire(0), _weight(call)
    strides, dilations = pair(call.integers("strides", (1, 1))), pair(call.integers("dilations", (1, 1)))
    pads = same_pads(call, wire.shape[1:], dilated(weight.shape[2:], dilations), strides)
    op = Conv(weight, _bias(call, weight.shape[0]), strides, pads, dilations, call.integer("group", 1))
    return call.mapped(call.add(op, wire), "synapses")


@operator("ConvTranspose", 1, 11, 22)
def transposed_convolution(call: Call) -> Outcome:
    """One- and two-dimensional, constant weights; any strides, pads, auto_pad, dilations, groups, output_padding, _shape."""
    wire, weight = call.wire(0), _weight(call)
    strides, dilations = pair(call.integers("strides", (1, 1))), pair(call.integers("dilations", (1, 1)))
    group, extra = call.integer("group", 1), call.integers("output_padding", (0, 0))
    window = dilated(weight.shape[2:], dilations)
    full = [(size - 1) * stride + extent for size, stride, extent in zip(wire.shape[1:], strides, window, strict=True)]
    op = ConvTranspose(
        weight,
        _bias(call, weight.shape[1] * group),
        strides,
        _transposed_pads(call, wire.shape[1:], full, strides, extra),
        dilations,
        group,
    )
    return call.mapped(call.add(op, wire), "synapses")


def _transposed_pads(call: Call, sizes: Pair, full: list[int], strides: Pair, extra: tuple[int, ...]) -> Pads:
    """``pads`` less output_padding at the end; from ``output_shape`` or ``auto_pad`` by the specification's formula."""
    mode = call.text("auto_pad", "NOTSET")
    wanted = call.attribute("output_shape")
    if wanted is None and mode in ("NOTSET", "VALID"):
        top, left, bottom, right = call.integers("pads", NO_PADS) if mode == "NOTSET" else NO_PADS
        return top, left, bottom - extra[0], right - extra[1]
    shape = (
        [size * stride for size, stride in zip(sizes, strides, strict=True)] if wanted is None else [1, *wanted][-2:]
    )
    totals = [whole + more - int(target) for whole, more, target in zip(full, extra, shape, strict=True)]
    totals = [max(total, 0) for total in totals]
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    if mode == "SAME_UPPER":
        starts, ends = less, more
    else:
        starts, ends = more, less
    return starts[0], starts[1], ends[0] - extra[0], ends[1] - extra[1]
