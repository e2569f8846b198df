"""MatMul over channels, and MatMul and Gemm over a whole map: convolutions of 1x1 and of the map's size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.ops import Conv


@operator("MatMul", 9, 13)
def matmul(call: Call) -> Outcome:
    """By a constant (inputs, outputs): over channels, last, as a 1x1 convolution; of a flattened map, as one of its size."""
    if all(isinstance(value, Wire) and not value.refused for value in call.inputs):
        makers = " and ".join(value.maker for value in call.inputs if isinstance(value, Wire))
        raise RefusedError(
            f"multiplies two maps as matrices ({makers}), as attention does: spiking networks add, they do not multiply;"
            " train the model without attention, as a plain U-Net"
        )
    wire, weight = call.view(0), call.real_constant(1)
    if weight.ndim == 2 and len(wire.extents(call.batch)) == 2:
        return _over_the_map(call, wire, weight.T, np.zeros(weight.shape[1]))
    wire = call.any_wire(0)
    if wire.axes[-1] != "C" or weight.ndim != 2:
        raise RefusedError(
            f"multiplies axes {wire.axes} by a constant {weight.shape}; only channels, last, are supported"
        )
    op = Conv(weight.T[:, :, None, None], np.zeros(weight.shape[1]))
    return call.mapped(call.add(op, wire), "synapses")


@operator("Gemm", 9, 11, 13)
def gemm(call: Call) -> Outcome:
    """Of a flattened map by a constant, also behind a global mean: a convolution of the map's size."""
    wire, weight = call.view(0), call.real_constant(1)
    if weight.ndim != 2 or call.integer("transA", 0):
        raise RefusedError(
            f"multiplies by a constant {weight.shape} or transposes the map; only A times B is supported"
        )
    weight = call.real("alpha", 1.0) * (weight if call.integer("transB", 0) else weight.T)
    bias = call.real("beta", 1.0) * call.real_constant(2) if call.has(2) else np.zeros(1)
    if bias.size not in (1, len(weight)):
        raise RefusedError(f"adds a constant {bias.shape}; one number for each of {len(weight)} outputs is supported")
    return _over_the_map(call, wire, weight, np.broadcast_to(bias.ravel(), len(weight)))


def _over_the_map(call: Call, wire: Wire, weight: Float64, bias: Float64) -> Outcome:
    """Weights (outputs, inputs) for inputs (batch, inputs), which hold channels, rows and columns in any order."""
    factors = wire.factored(call.batch)
    batch, flat = factors if len(factors) == 2 else ((), ())
    sizes = dict(zip("CHW", wire.shape, strict=True))
    named = "".join(factor.letter for factor in flat)
    whole = all(factor.letter in sizes and factor.extent == sizes[factor.letter] for factor in flat)
    if len(factors) != 2 or not whole or any(factor.letter != "N" for factor in batch):
        raise RefusedError(
            f"multiplies a map laid out as {list(wire.extents(call.batch))}; only (batch, channels x rows x columns) is supported"
        )
    if weight.shape[1] != np.prod(wire.shape):
        raise RefusedError(f"constant {weight.shape} does not fit {int(np.prod(wire.shape))} values of the map")
    order = named + "".join(letter for letter in "CHW" if letter not in named)
    kernel = weight.reshape(len(weight), *(sizes[letter] for letter in order))
    kernel = kernel.transpose(0, *(1 + order.index(letter) for letter in "CHW"))
    made = call.add(Conv(kernel, bias), replace(wire, axes="NCHW", factors=()))
    return call.mapped(replace(made, axes="NC"), "synapses from the whole map")
