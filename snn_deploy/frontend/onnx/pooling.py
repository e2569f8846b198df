"""MaxPool, AveragePool, GlobalAveragePool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from snn_deploy.frontend.onnx.axis_matrix import axis_matrix
from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.convolution import dilated, pair, same_pads
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.limits import MAX_EXTENT, MAX_WINDOW
from snn_deploy.graph.ops import AveragePool, MaxPool, Resample
from snn_deploy.shapes import Pads, Pair


def _window(call: Call, wire: Wire) -> tuple[Pair, Pair, Pads, Pair]:
    kernel, strides = pair(call.integers("kernel_shape", (1, 1))), pair(call.integers("strides", (1, 1)))
    dilations = pair(call.integers("dilations", (1, 1)))
    return kernel, strides, same_pads(call, wire.shape[1:], dilated(kernel, dilations), strides), dilations


def _rounded_up(size: int, window: int, stride: int, before: int, after: int) -> int:
    """``after``, enlarged: rounding down then gives what rounding up did; no window starts in the end pads."""
    count = -(-(size + before + after - window) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max((count - 1) * stride + window - size - before, after)


@operator("MaxPool", 8, 10, 11, 12, 22)
def max_pool(call: Call) -> Outcome:
    """Any window, strides, pads and ceil_mode, also overlapping; no dilations, no indices."""
    wire = call.wire(0)
    if len(call.node.output) > 1 and call.node.output[1]:
        raise RefusedError("gives the indices of its maxima, for unpooling; only values are supported")
    kernel, strides, pads, dilations = _window(call, wire)
    if kernel[0] * kernel[1] > MAX_WINDOW:
        raise RefusedError(f"window {kernel} has more than {MAX_WINDOW} pixels, one population for each")
    if dilations != (1, 1):
        raise RefusedError(f"has dilations {dilations}; only 1 is supported")
    if call.integer("ceil_mode", 0):
        bottom, right = (
            _rounded_up(wire.shape[axis + 1], kernel[axis], strides[axis], pads[axis], pads[axis + 2])
            for axis in (0, 1)
        )
        pads = (pads[0], pads[1], bottom, right)
    if any(pads[axis] >= kernel[axis % 2] for axis in range(4)) or min(pads) < 0:
        raise RefusedError(f"pads {pads} leave windows of {kernel} without a pixel")
    return call.mapped(call.add(MaxPool(kernel, strides, pads), wire), "a tournament of populations")


@operator("AveragePool", 7, 10, 11, 19, 22)
def average_pool(call: Call) -> Outcome:
    """Any window, strides, pads, ceil_mode, dilations and count_include_pad."""
    wire = call.wire(0)
    kernel, strides, pads, dilations = _window(call, wire)
    ceil, counted = call.integer("ceil_mode", 0), call.integer("count_include_pad", 0)
    if dilations == (1, 1) and not ceil and (counted or not any(pads)):
        return call.mapped(call.add(AveragePool(kernel, strides, pads), wire), "a population of sums")
    matrices = []
    for axis in (0, 1):
        attributes: list[tuple[str, Any]] = [
            ("kernel_shape", (kernel[axis], 1)),
            ("strides", (strides[axis], 1)),
            ("pads", (pads[axis], 0, pads[axis + 2], 0)),
            ("count_include_pad", counted),
        ]
        attributes += [("ceil_mode", ceil)] if ceil else []  # which older operator sets do not know
        attributes += [("dilations", (dilations[axis], 1))] if call.attribute("dilations") else []
        extent = wire.shape[axis + 1]
        extents = extent, (extent + max(pads[axis], 0) + max(pads[axis + 2], 0)) // strides[axis] + 1
        matrices.append(axis_matrix(call, "AveragePool", extents, tuple(attributes), window=kernel[axis]))
    return call.mapped(call.add(Resample(*matrices), wire), "fixed connections")


@operator("GlobalAveragePool", 1, 22)
def global_average_pool(call: Call) -> Outcome:
    """Any size."""
    return call.mapped(_mean(call, call.wire(0), "HW"), "fixed connections")


def _mean(call: Call, wire: Wire, letters: str) -> Wire:
    """The mean over rows, columns, or both."""
    rows, columns = (
        np.full((1, extent), 1 / extent) if letter in letters else np.eye(extent)
        for letter, extent in zip("HW", wire.shape[1:], strict=True)
    )
    return call.add(Resample(rows, columns), wire)


@operator("ReduceMean", 1, 11, 13, 18)
def reduce_mean(call: Call) -> Outcome:
    """Over height, width or both: as GlobalAveragePool."""
    wire, axes = call.view(0), call.listed(1, "axes")
    letters = "" if wire.factors else "".join(call.any_wire(0).axes[axis] for axis in axes)
    if not letters or set(letters) - set("HW"):
        raise RefusedError(
            "is a mean over other axes than height and width, as layer and group normalization take it from each image at run time;"
            " train with batch normalization"
        )
    if max(wire.shape[1:]) > MAX_EXTENT:
        raise RefusedError(f"averages along an axis of more than {MAX_EXTENT} pixels")
    made = _mean(call, wire, letters)
    if not call.integer("keepdims", 1):
        made = replace(made, axes="".join(letter for letter in wire.axes if letter not in letters))
    return call.mapped(made, "fixed connections")
