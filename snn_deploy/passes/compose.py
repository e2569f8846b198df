"""Composition of linear operators: scales into weights, padding into convolutions, repetition into transposed ones.

:func:`fuse` also composes what :func:`compose` leaves apart since it takes more weights.

``identity`` is a depthwise 1x1 convolution; its weights are per-channel scales.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.graph.ops import Conv, ConvTranspose, Nearest, Op, Resample
from snn_deploy.shapes import Pads

Synapses = TypeVar("Synapses", bound=Conv | ConvTranspose)

MAX_GROWTH = 64
"""How many times the taps of a convolution repetition before it may make; beyond that a population of copies is cheaper."""


def identity(scale: Float64, pads: Pads = (0, 0, 0, 0)) -> Conv:
    """Each channel times its ``scale`` (C,); ``pads`` pad with zeros or crop."""
    return Conv(scale.reshape(-1, 1, 1, 1), np.zeros(len(scale)), pads=pads, groups=len(scale))


def is_identity(op: Op) -> bool:
    """Whether ``op`` only scales channels."""
    return is_shift(op) and isinstance(op, Conv) and not any(op.pads)


def is_shift(op: Op) -> bool:
    """Whether ``op`` only scales channels, pads with zeros and crops."""
    return isinstance(op, Conv) and op.weight.shape == (op.groups, 1, 1, 1) and op.strides == (1, 1)


def scale_of(op: Op) -> Float64:
    """The per-channel scales (C,) of an :func:`is_shift` operator."""
    if not isinstance(op, Conv):
        raise TypeError(f"{type(op).__name__} has no scales")
    return op.weight.ravel()


def scale_inputs(op: Conv | ConvTranspose, scale: Float64) -> Conv | ConvTranspose:
    """``op`` after ``scale`` (C_in,) on its input."""
    if isinstance(op, ConvTranspose):
        return replace(op, weight=op.weight * scale[:, None, None, None])
    return _scale_within_groups(op, scale)


def scale_outputs(op: Conv | ConvTranspose, scale: Float64) -> Conv | ConvTranspose:
    """``scale`` (C_out,) on the output of ``op``, whose bias must be zero."""
    if isinstance(op, Conv):
        return replace(op, weight=op.weight * scale[:, None, None, None])
    return _scale_within_groups(op, scale)


def _scale_within_groups(op: Conv | ConvTranspose, scale: Float64) -> Conv | ConvTranspose:
    """``op`` with ``scale`` on the second axis of its weights, which counts the channels of one group."""
    by_group = scale.reshape(op.groups, op.weight.shape[1])
    return replace(op, weight=op.weight * by_group.repeat(len(op.weight) // op.groups, axis=0)[:, :, None, None])


def ungroup(op: Synapses) -> Synapses:
    """``op`` in one group: the other groups' weights are zeros."""
    if op.groups == 1:
        return op
    axis = 0 if isinstance(op, Conv) else 1
    per_group_in = op.weight.shape[1 - axis] if axis == 0 else op.weight.shape[0] // op.groups
    per_group_out = op.weight.shape[0] // op.groups if axis == 0 else op.weight.shape[1]
    inputs, outputs = per_group_in * op.groups, per_group_out * op.groups
    shape = (outputs, inputs) if axis == 0 else (inputs, outputs)
    weight = np.zeros((*shape, *op.weight.shape[2:]))
    for group in range(op.groups):
        of_inputs = slice(group * per_group_in, (group + 1) * per_group_in)
        of_outputs = slice(group * per_group_out, (group + 1) * per_group_out)
        if isinstance(op, Conv):
            weight[of_outputs, of_inputs] = op.weight[of_outputs]
        else:
            weight[of_inputs, of_outputs] = op.weight[of_inputs]
    return replace(op, weight=weight, groups=1)


def widen(op: Conv | ConvTranspose, offset: int, channels: int) -> Conv | ConvTranspose:
    """``op`` writing its outputs to ``offset`` of ``channels`` outputs, zeros elsewhere."""
    op = ungroup(op)
    axis = 0 if isinstance(op, Conv) else 1
    before_after = (offset, channels - offset - op.weight.shape[axis])
    pads = ((0, 0),) * axis + (before_after,) + ((0, 0),) * (3 - axis)
    return replace(op, weight=np.pad(op.weight, pads), bias=np.zeros(channels))


def compose(first: Op, second: Op) -> Op | None:
    """One operator for ``second(first(x))``, both without bias; ``None`` where none is as cheap as the two."""
    if is_identity(first):
        return _after_scale(scale_of(first), second)
    if isinstance(first, Resample) and isinstance(second, Resample):
        return Resample(second.rows @ first.rows, second.columns @ first.columns)
    if isinstance(second, Conv):
        if is_shift(first) and isinstance(first, Conv):
            return _after_shift(first, second)
        if isinstance(first, Nearest):
            return _after_nearest(first, second)
        if is_shift(second):
            return _shift_after(first, second)
    return None


def _after_scale(scale: Float64, second: Op) -> Op | None:
    if isinstance(second, Conv | ConvTranspose):
        return scale_inputs(second, scale)
    return second if np.all(scale == 1) else None


def _after_shift(first: Conv, second: Conv) -> Op | None:
    """Pads add up unless zeros would replace pixels that ``first`` crops."""
    pads = _sum(first.pads, second.pads)
    if any(inner < 0 < outer for inner, outer in zip(first.pads, second.pads, strict=True)):
        return None
    return scale_inputs(replace(second, pads=pads), scale_of(first))


def _shift_after(first: Op, second: Conv) -> Op | None:
    """Cropping the output of a convolution crops its input, that of a transposed one more of its full output."""
    if max(second.pads) > 0:
        return None
    top, left, bottom, right = second.pads
    if isinstance(first, ConvTranspose):
        cut = scale_outputs(first, scale_of(second))
        return replace(cut, pads=_sum(first.pads, (-top, -left, -bottom, -right)))
    if isinstance(first, Conv):
        rows, columns = first.strides
        cut = scale_outputs(first, scale_of(second))
        return replace(cut, pads=_sum(first.pads, (top * rows, left * columns, bottom * rows, right * columns)))
    return None


def _after_nearest(first: Nearest, second: Conv) -> ConvTranspose | None:
    """Repeating each pixel s times, then a k x k convolution: one transposed convolution with kernel s + k - 1.

    Output row y reads ``sum_h w[h] x[(y + h - p) // s]``; pixel m reaches it through ``y = m s + r - h + p`` for the s
    copies r, so its kernel is ``K[f] = sum_{r - h + k - 1 = f} w[h]``, cut by k - 1 - p.
    """
    top, left, bottom, right = second.pads
    rows, columns = second.weight.shape[2:]
    pads = (rows - 1 - top, columns - 1 - left, rows - 1 - bottom, columns - 1 - right)
    if second.groups > 1 or second.strides != (1, 1) or second.dilations != (1, 1) or min(pads) < 0:
        return None
    if (rows + first.scale[0] - 1) * (columns + first.scale[1] - 1) > MAX_GROWTH * rows * columns:
        return None
    flipped = second.weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    weight = np.zeros((*flipped.shape[:2], rows + first.scale[0] - 1, columns + first.scale[1] - 1))
    for row in range(first.scale[0]):
        for column in range(first.scale[1]):
            weight[:, :, row : row + rows, column : column + columns] += flipped
    return ConvTranspose(weight, np.zeros(weight.shape[1]), first.scale, pads)


def fuse(first: Op, second: Op) -> Op | None:
    """As :func:`compose`, and also a convolution after a transposed one, as one that is transposed, where it multiplies less.

    Row y of the output reads row ``y + h - p`` of the map between, which pixel m of the input reaches through
    ``m s + f = y + h - p + c`` for a crop of c: the kernel is ``K[f + k - 1 - h] += w1[f] w2[h]``, cut by ``k - 1 - p + c``. Zeros
    that pad the map between must not lie where it was cropped: there the kernel would see pixels.
    """
    composed = compose(first, second)
    if composed is not None or not isinstance(first, ConvTranspose) or not isinstance(second, Conv):
        return composed
    return _after_transposed(ungroup(first), ungroup(second), first.weight.size, second.weight.size)


def _after_transposed(first: ConvTranspose, second: Conv, first_size: int, second_size: int) -> ConvTranspose | None:
    """``second`` after ``first``, both in one group; the sizes are those of the weights that they have without zeros."""
    (rows, columns), (height, width) = first.weight.shape[2:], second.weight.shape[2:]
    cuts = tuple(size - 1 - pad for size, pad in zip((height, width) * 2, second.pads, strict=True))
    pads = _sum((cuts[0], cuts[1], cuts[2], cuts[3]), first.pads)
    apart = second.strides != (1, 1) or second.dilations != (1, 1) or first.dilations != (1, 1)
    covered = any(crop > 0 and pad > 0 for crop, pad in zip(first.pads, second.pads, strict=True))
    if apart or covered or min(pads) < 0:
        return None
    inputs, outputs = first.weight.shape[0], second.weight.shape[0]
    taken = (
        inputs * outputs * (rows + height - 1) * (columns + width - 1)
    )  # multiplications for each pixel of the input
    if taken > first_size + min(math.prod(first.strides), MAX_GROWTH) * second_size:
        return None
    weight = np.zeros((inputs, outputs, rows + height - 1, columns + width - 1))
    for row in range(rows):
        for column in range(columns):
            reached = np.tensordot(first.weight[:, :, row, column], second.weight[:, :, ::-1, ::-1], (1, 1))
            weight[:, :, row : row + height, column : column + width] += reached
    return ConvTranspose(weight, np.zeros(outputs), first.strides, pads)


def _sum(first: Pads, second: Pads) -> Pads:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2], first[3] + second[3]
