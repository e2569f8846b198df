"""DepthToSpace, SpaceToDepth: channels to pixels and back, as (transposed) convolutions with weights 0 and 1."""

from __future__ import annotations

import numpy as np

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.ops import Conv, ConvTranspose


def _block(call: Call) -> int:
    block = call.integer("blocksize", 0)
    if not 1 <= block <= 2**6:
        raise RefusedError(f"blocksize {block} is not within 1 and {2**6}")
    return block


@operator("DepthToSpace", 1, 11, 13, 28)
def depth_to_space(call: Call) -> Outcome:
    """Both modes."""
    wire = call.wire(0)
    block, channels = _block(call), wire.shape[0]
    mode = call.text("mode", "DCR")
    if channels % block**2 or mode not in ("DCR", "CRD"):
        raise RefusedError(f"{channels} channels do not fill blocks of {block} (mode {mode})")
    outputs = channels // block**2
    call.weights.check(channels * channels)
    weight = np.zeros((channels, outputs, block, block))
    for output, row, column in np.ndindex(outputs, block, block):
        place = row * block + column
        source = place * outputs + output if mode == "DCR" else output * block**2 + place
        weight[source, output, row, column] = 1
    op = ConvTranspose(weight, np.zeros(outputs), (block, block))
    return call.mapped(call.add(op, wire), "synapses of weight 1")


@operator("SpaceToDepth", 1, 13, 28)
def space_to_depth(call: Call) -> Outcome:
    """Any block size that divides height and width."""
    wire = call.wire(0)
    block, channels = _block(call), wire.shape[0]
    if wire.shape[1] % block or wire.shape[2] % block:
        raise RefusedError(f"blocks of {block} do not divide {wire.shape[1]}x{wire.shape[2]}")
    call.weights.check(channels**2 * block**4)
    weight = np.zeros((channels * block**2, channels, block, block))
    for row, column, channel in np.ndindex(block, block, channels):
        weight[(row * block + column) * channels + channel, channel, row, column] = 1
    op = Conv(weight, np.zeros(len(weight)), (block, block))
    return call.mapped(call.add(op, wire), "synapses of weight 1")
