"""U-Nets to time: integer networks of random weights, and float ones of the same shape as ONNX, the unit of all ratios.

A net of ``base`` channels has ``poolings`` levels of two 3x3 convolutions, 2x2 average pooling down, nearest-neighbour
doubling and a 3x3 convolution up, and concatenated skips. Weights are random: dense engines do not look at values, and
thresholds are set so that activity is like a trained net's (10-20 % of the payloads).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.network.bounds import prove
from snn_deploy.network.kernels import ConvKernel, SpatialKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align


@dataclass(frozen=True)
class Step:
    """One layer of the plan: ``kind`` is conv, pool, up or head; more than one source means their concatenation."""

    name: str
    kind: str
    sources: tuple[str, ...]
    channels: int
    size: int


def layers(base: int, poolings: int, size: int) -> list[Step]:
    """The layers of a U-Net, sources first."""
    steps, last = [], "input"
    for level in range(poolings + 1):
        if level:
            steps.append(Step(f"pool{level}", "pool", (last,), base << (level - 1), size >> level))
            last = f"pool{level}"
        for half in "ab":
            steps.append(Step(f"enc{level}{half}", "conv", (last,), base << level, size >> level))
            last = f"enc{level}{half}"
    for level in reversed(range(poolings)):
        width, side = base << level, size >> level
        steps += [
            Step(f"up{level}", "up", (last,), 2 * width, side),
            Step(f"join{level}", "conv", (f"up{level}",), width, side),
            Step(f"dec{level}a", "conv", (f"join{level}", f"enc{level}b"), width, side),
            Step(f"dec{level}b", "conv", (f"dec{level}a",), width, side),
        ]
        last = f"dec{level}b"
    return [*steps, Step("output", "head", (last,), 1, size)]


def macs(base: int, poolings: int, size: int) -> int:
    """Multiplications of one pass of the convolutions."""
    widths = {"input": 1}
    total = 0
    for step in layers(base, poolings, size):
        widths[step.name] = step.channels
        if step.kind in ("conv", "head"):
            inputs = sum(widths[source] for source in step.sources)
            total += step.size**2 * step.channels * inputs * (9 if step.kind == "conv" else 1)
    return total


def integer_unet(mode: Mode, base: int, poolings: int, size: int, levels: int = 127, steps: int = 32) -> Network:
    """The integer network; in ``rate`` mode neurons have four thresholds (payloads to 15)."""
    rng = np.random.default_rng(0)
    top = levels if mode == "exact" else 15
    limits = {"input": 255}
    one = np.zeros((1, 1, 1), np.int64)
    populations = [Population("input", (1, size, size), None, one, np.full(1, 1 / 255), input_min=-255, input_max=255)]
    connections = []
    shapes = {"input": populations[0].shape}
    for step in layers(base, poolings, size):
        shape = shapes[step.name] = (step.channels, step.size, step.size)
        relay = step.kind in ("pool", "up", "head")
        fan_in = sum(shapes[source][0] for source in step.sources) * (9 if step.kind == "conv" else 1)
        spread, square = 0.0, 0.0
        for source in step.sources:
            if step.kind in ("conv", "head"):
                side = 3 if step.kind == "conv" else 1
                spread = min(40.0, STATE_MAX / (0.5 * fan_in * limits[source] * 1.2))
                weight = np.clip(np.rint(rng.normal(0, spread, (shape[0], shapes[source][0], side, side))), -127, 127)
                kernel: ConvKernel | SpatialKernel = ConvKernel(weight.astype(np.int8), pads=(side // 2,) * 4)
                square += fan_in / len(step.sources) * (spread * limits[source] * 0.2) ** 2
            elif step.kind == "pool":
                kernel = ConvKernel(np.ones((shape[0], 1, 2, 2), np.int8), (2, 2), groups=shape[0])
            else:
                kernel = _doubled(step.size)
            connections.append(Connection(f"{source}->{step.name}", source, step.name, kernel))
        bias = np.zeros((shape[0], 1, 1), np.int64)
        if relay:
            limits[step.name] = {"pool": 4 * limits[step.sources[0]], "up": limits[step.sources[0]], "head": 2**20}[
                step.kind
            ]
            low = -limits[step.name] if step.kind == "head" else 0
            neuron = _relay(shape[0], low, limits[step.name], mode)
        else:
            limits[step.name] = top
            theta = 2 ** int(np.clip(np.rint(np.log2(4 * np.sqrt(square) / top)), 0, 18))
            ones = np.full(shape[0], theta)
            if mode == "exact":
                neuron = MultiThreshold(ones, ones // 2, -top, top, 0, top)
            else:
                neuron = MultiThreshold(ones, 0 * ones, 0, top, strict=True)
            bias = rng.integers(-theta * top // 8, theta * top // 16, (shape[0], 1, 1))
        populations.append(Population(step.name, shape, neuron, bias, np.full(shape[0], 0.01)))
    name = f"unet-{base}-{poolings}-{size}-{mode}"
    network = align(
        Network(
            name,
            mode,
            steps if mode == "rate" else 1,
            tuple(populations),
            tuple(connections),
            (Output("output", "output"),),
        )
    )
    prove(network)
    return network


def _relay(channels: int, low: int, high: int, mode: Mode) -> Neuron:
    one = np.ones(channels, np.int64)
    counts = (low, high) if mode == "exact" else (None, None)
    return MultiThreshold(one, 0 * one, low, high, *counts)


def _doubled(size: int) -> SpatialKernel:
    half = size // 2
    double = np.repeat(np.arange(half), 2)
    indices = (double[:, None] * half + double[None, :]).reshape(-1)
    return SpatialKernel((half, half), (size, size), np.arange(size * size + 1), indices, np.ones(size * size, np.int8))


def float_unet(base: int, poolings: int, size: int) -> bytes:
    """The float network of the same shape: an ONNX model of Conv, Relu, AveragePool, Resize and Concat."""
    rng = np.random.default_rng(0)
    nodes, tensors = [], [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    widths = {"input": 1}
    for step in layers(base, poolings, size):
        widths[step.name] = step.channels
        source = step.sources[0]
        if len(step.sources) > 1:
            source = f"{step.name}.concat"
            nodes.append(helper.make_node("Concat", step.sources, [source], axis=1))
        if step.kind == "pool":
            nodes.append(helper.make_node("AveragePool", [source], [step.name], kernel_shape=[2, 2], strides=[2, 2]))
        elif step.kind == "up":
            nodes.append(helper.make_node("Resize", [source, "", "scales"], [step.name], mode="nearest"))
        else:
            side, inputs = (3 if step.kind == "conv" else 1), sum(widths[name] for name in step.sources)
            weight = rng.normal(0, (2 / (inputs * side**2)) ** 0.5, (step.channels, inputs, side, side))
            tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"{step.name}.weight"))
            tensors.append(numpy_helper.from_array(np.zeros(step.channels, np.float32), f"{step.name}.bias"))
            result = step.name if step.kind == "head" else f"{step.name}.conv"
            names = [source, f"{step.name}.weight", f"{step.name}.bias"]
            nodes.append(helper.make_node("Conv", names, [result], pads=[side // 2] * 4))
            if step.kind == "conv":
                nodes.append(helper.make_node("Relu", [result], [step.name]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "unet",
        [value("input", TensorProto.FLOAT, ["N", 1, size, size])],
        [value("output", TensorProto.FLOAT, ["N", 1, size, size])],
        tensors,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def photograph(size: int, batch: int = 1) -> npt.NDArray[np.int64]:
    """Input payloads (batch, 1, size, size) int64: smooth structure and noise, both signs."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.arange(size)[:, None] / 9) + np.cos(np.arange(size)[None, :] / 13)
    noise = rng.normal(0, 0.2, (batch, 1, size, size))
    payloads: npt.NDArray[np.int64] = np.clip(np.rint((waves / 3 + noise) * 255), -255, 255).astype(np.int64)
    return payloads
