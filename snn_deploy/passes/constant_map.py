"""The response of a linear operator to a constant added to its input: the bias after it, exact at zero-padded borders.

A bias is (C, 1, 1) where it is the same at every pixel and (C, H, W) where it is not.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.graph.ops import AveragePool, Conv, ConvTranspose, Nearest, Op, Resample
from snn_deploy.shapes import Pads, Pair, Shape


def propagate_bias(op: Op, bias: Float64, shape: Shape) -> Float64:
    """The bias after the linear ``op``, whose input has ``shape`` (C, H, W) and the constant ``bias`` added to it."""
    if not bias.any():
        return np.zeros((op.infer((shape,))[0], 1, 1))
    if bias.shape[1:] == (1, 1) and isinstance(op, Conv | ConvTranspose):
        # One channel of ones stands for all: sum the weights over the input channels first.
        op, bias = _collapse(op, bias), np.ones_like(bias[:1])
    return _reduced(apply_linear(op, np.broadcast_to(bias, (bias.shape[0], *shape[1:]))))


def _collapse(op: Conv | ConvTranspose, bias: Float64) -> Conv | ConvTranspose:
    weight, constant = _by_group(op.weight, op.groups), _by_group(bias.ravel(), op.groups)
    if isinstance(op, Conv):
        sums = np.concatenate(np.einsum("goihw,gi->gohw", weight, constant))
        return Conv(sums[:, None], np.zeros(len(sums)), op.strides, op.pads, op.dilations)
    sums = np.concatenate(np.einsum("giohw,gi->gohw", weight, constant))
    return ConvTranspose(sums[None], np.zeros(len(sums)), op.strides, op.pads, op.dilations)


def _by_group(values: Float64, groups: int) -> Float64:
    """The first axis of ``values`` as (groups, channels of a group)."""
    return values.reshape(groups, len(values) // groups, *values.shape[1:])


def _reduced(values: Float64) -> Float64:
    corner = values[:, :1, :1]
    return corner if np.all(values == corner) else values


def apply_linear(op: Op, x: Float64) -> Float64:
    """The linear ``op`` (its own bias left out) on one map ``x`` (C, H, W) float64."""
    if isinstance(op, Conv):
        return _conv(op, x)
    if isinstance(op, ConvTranspose):
        return _conv_transpose(op, x)
    if isinstance(op, Resample):
        return np.asarray(op.rows @ x @ op.columns.T, np.float64)
    if isinstance(op, Nearest):
        return x.repeat(op.scale[0], axis=1).repeat(op.scale[1], axis=2)
    if isinstance(op, AveragePool):
        window = np.full((len(x), 1, *op.kernel), 1 / (op.kernel[0] * op.kernel[1]))
        return _conv(Conv(window, np.zeros(len(x)), op.strides, op.pads, groups=len(x)), x)
    raise TypeError(f"{type(op).__name__} is not a linear operator")


def pad(x: Float64, pads: Pads) -> Float64:
    """``x`` (C, H, W) with zeros around it; negative ``pads`` crop."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))))
    return x[:, max(-top, 0) : x.shape[1] - max(-bottom, 0), max(-left, 0) : x.shape[2] - max(-right, 0)]


def _tap(maps: Float64, op: Conv | ConvTranspose, tap: Pair, size: Pair) -> Float64:
    """View (..., H, W) of the ``size`` pixels of the padded or full ``maps`` that meet the kernel at ``tap``."""
    top, left = tap[0] * op.dilations[0], tap[1] * op.dilations[1]
    return maps[..., top :: op.strides[0], left :: op.strides[1]][..., : size[0], : size[1]]


def _conv(op: Conv, x: Float64) -> Float64:
    outputs, height, width = op.infer(((len(x), x.shape[1], x.shape[2]),))
    x, weight = _by_group(pad(x, op.pads), op.groups), _by_group(op.weight, op.groups)
    out = np.zeros((op.groups, outputs // op.groups, height, width))
    for row in range(op.weight.shape[2]):
        for column in range(op.weight.shape[3]):
            out += _mix(weight[..., row, column], _tap(x, op, (row, column), (height, width)))
    return out.reshape(outputs, height, width)


def _conv_transpose(op: ConvTranspose, x: Float64) -> Float64:
    channels, height, width = x.shape
    x, weight = _by_group(x, op.groups), _by_group(op.weight, op.groups)
    outputs, rows, columns = ConvTranspose(
        op.weight, np.zeros(op.weight.shape[1] * op.groups), op.strides, (0, 0, 0, 0), op.dilations, op.groups
    ).infer(((channels, height, width),))
    out = np.zeros((op.groups, outputs // op.groups, rows, columns))
    for row in range(op.weight.shape[2]):
        for column in range(op.weight.shape[3]):
            target = _tap(out, op, (row, column), (height, width))
            target += _mix(weight[..., row, column].swapaxes(1, 2), x)
    top, left, bottom, right = op.pads
    return pad(out.reshape(outputs, rows, columns), (-top, -left, -bottom, -right))


def _mix(weight: Float64, x: Float64) -> Float64:
    """Channels mixed within groups: ``weight`` (G, O, I) times ``x`` (G, I, H, W), as one matrix product per group."""
    groups, inputs, height, width = x.shape
    product: Float64 = weight @ x.reshape(groups, inputs, height * width)
    return product.reshape(*product.shape[:2], height, width)
