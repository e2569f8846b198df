"""Planned layers as layers of the engine, one by one or all together as one model.

Arrays are (images, H, W, C) there. Kernels of convolutions are stored turned by half a turn (the engine convolves, where networks
correlate), those of transposed ones as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snn_deploy.arrays import Array, Int8, Int64
from snn_deploy.mapping.akida_layers import COUNT_MAX, SUM_BITS, EngineLayer
from snn_deploy.shapes import Pair

COUNT_BITS = 8
"""Bits of a count, sign included."""


def run_layer(engine: Any, layer: EngineLayer, inputs: Sequence[Int64]) -> Int64:
    """Counts (B, C, H, W) int64 of one layer from those of its sources, as a model of its own."""
    counts = np.concatenate(inputs, axis=1)
    model = engine.Model()
    source = _add_input(engine, model, counts.shape[1], (counts.shape[2], counts.shape[3]))
    _add_layer(engine, model, layer, [source], "layer")
    return forward(model, counts)


def build_model(engine: Any, layers: Sequence[EngineLayer], input_name: str, channels: int, size: Pair) -> Any:
    """The model of ``layers``, sources first, of which the last one is what the host reads."""
    needed = {layers[-1].name}
    for layer in reversed(layers):
        if layer.name in needed:
            needed |= set(layer.sources)
    model = engine.Model()
    made = {input_name: _add_input(engine, model, channels, size)}
    for number, layer in enumerate(layers):
        if layer.name in needed:
            inbound = [made[source] for source in layer.sources]
            made[layer.name] = _add_layer(engine, model, layer, inbound, f"layer {number}")
    return model


def forward(model: Any, counts: Int64) -> Int64:
    """What ``model`` sends for input counts (B, C, H, W) int64."""
    values = np.ascontiguousarray(counts.transpose(0, 2, 3, 1)).astype(np.int8)
    sent: Int64 = np.asarray(model.forward(values)).astype(np.int64).transpose(0, 3, 1, 2)
    return sent


def _add_input(engine: Any, model: Any, channels: int, size: Pair) -> Any:
    source = engine.InputData((*size, channels), input_bits=COUNT_BITS, name="input")
    model.add(source)
    return source


def _add_layer(engine: Any, model: Any, layer: EngineLayer, inbound: Sequence[Any], name: str) -> Any:
    source = inbound[0]
    for number, other in enumerate(inbound[1:]):
        joined = engine.Concatenate(name=f"{name} inputs {number}")
        model.add(joined, [source, other])  # two at a time
        source = joined
    made = _make_layer(engine, layer, name)
    model.add(made, [source])
    for variable, values in _list_variables(layer).items():
        made.set_variable(variable, values)
    return made


def _make_layer(engine: Any, layer: EngineLayer, name: str) -> Any:
    rectified = layer.limits is not None and layer.limits[0] == 0
    settings: dict[str, Any] = {
        "name": name,
        "kernel_size": layer.side,
        "output_bits": SUM_BITS if layer.limits is None else COUNT_BITS,
        "activation": engine.ActivationType.ReLU if rectified else engine.ActivationType.NoActivation,
    }
    if layer.kind == "depthwise transposed":
        return engine.DepthwiseConv2DTranspose(**settings)
    if layer.kind == "transposed":
        return engine.Conv2DTranspose(filters=layer.weight.shape[0], **settings)
    settings["kernel_stride"] = layer.stride
    if layer.pool > 1:
        settings |= {"pool_type": engine.PoolType.Max, "pool_size": layer.pool, "pool_stride": layer.step}
    if layer.kind == "depthwise":
        return engine.DepthwiseConv2D(**settings)
    return engine.Conv2D(filters=layer.weight.shape[0], **settings)


def _list_variables(layer: EngineLayer) -> Mapping[str, Array]:
    variables: dict[str, Array] = {
        "weights": _arrange_weights(layer),
        "bias": layer.bias.astype(np.int8),
        "bias_shift": layer.bias_shift.astype(np.uint8),
        "input_shift": layer.input_shift.astype(np.uint8),
        "output_shift": (-layer.output_shift).astype(np.int8),
    }
    if layer.limits is not None and layer.limits[0] == 0 and layer.limits[1] < COUNT_MAX:
        # limits the sum before it is shifted: high << n is rounded to high
        channels = layer.weight.shape[0]
        variables["max_value"] = np.full(channels, layer.limits[1], np.uint8)
        variables["max_value_shift"] = layer.output_shift.astype(np.uint8)
    return variables


def _arrange_weights(layer: EngineLayer) -> Int8:
    """Weights (K, K, C_in, C_out), or (K, K, C, 1) where every channel is read by itself."""
    turned = layer.weight if "transposed" in layer.kind else layer.weight[..., ::-1, ::-1]
    axes = (2, 3, 0, 1) if layer.kind.startswith("depthwise") else (2, 3, 1, 0)
    return np.ascontiguousarray(turned.transpose(axes))
