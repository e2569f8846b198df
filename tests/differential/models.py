"""Random ONNX U-Nets over the operators that the importer reads, and random options of a conversion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from snn_deploy.conversion.options import NeuronKind, Options
from snn_deploy.errors import ConversionError
from tests.differential.hostile import make_extreme, rename

Value = TypeVar("Value")

OPSETS = range(13, 22)
"""Operator sets in which the operators drawn here have the same form."""


@dataclass(frozen=True)
class DrawnModel:
    """A model with the size (C, H, W) of its image."""

    model: ModelProto
    shape: tuple[int, int, int]


def draw_model(random: Random) -> DrawnModel:
    """A U-Net of one or two levels, at most 5 channels and 16 pixels a side, odd sides in a third of them.

    Some have channels last at their edges, a second output, names that passes use themselves, or weights beyond the usual.
    """
    channels, depth = random.randint(1, 3), random.randint(1, 2)
    odd = random.random() < 0.35
    shape = (
        channels,
        random.randint(5, 13) if odd else 2**depth * random.randint(2, 4),
        random.randint(5, 13) if odd else 2**depth * random.randint(2, 4),
    )
    graph = _Graph(random, "image", shape)
    channels_last = random.random() < 0.15
    if channels_last:
        graph.node("Transpose", "image", perm=[0, 3, 1, 2])
    source, skips = graph.value, []
    for _ in range(depth):
        for _ in range(random.randint(1, 2)):
            graph.block(random.randint(2, 5))
        skips.append((graph.value, graph.shape))
        graph.down()
    graph.block(random.randint(2, 5))
    for skip, skip_shape in reversed(skips):
        join = random.choice(("Concat", "Concat", "Add", "none"))
        graph.up(skip_shape[0] if join == "Add" else random.randint(2, 4))
        graph.crop(skip_shape[1:])
        if join == "Concat":
            graph.node("Concat", skip, graph.value, axis=1)
            graph.shape = (skip_shape[0] + graph.shape[0], *graph.shape[1:])
        elif join == "Add":
            graph.node("Add", skip, graph.value)
        graph.block(random.randint(2, 5))
    trunk = graph.value, graph.shape
    graph.head(channels, source)
    outputs = [(graph.value, graph.shape)]
    if random.random() < 0.15:
        graph.value, graph.shape = trunk
        graph.conv(2, 1)
        outputs.append((graph.value, graph.shape))
    model = graph.model(shape, outputs, channels_last=channels_last)
    if random.random() < 0.3:
        rename(random, model)
    if random.random() < 0.3:
        make_extreme(random, model)
    return DrawnModel(model, shape)


def draw_options(random: Random) -> Options:
    """Options of a conversion, each over its range in its mode; combinations that are refused are drawn again."""
    while True:
        neurons: tuple[NeuronKind, ...] = ("multi-threshold",) * 6 + ("lif", "sigma-delta")
        neuron = random.choice(neurons)
        lif = neuron == "lif"
        rate = lif or (neuron == "multi-threshold" and random.random() < 0.5)
        try:
            return Options(
                mode="rate" if rate else "exact",
                levels=random.choice((1, 15, 127, 255)),
                steps=random.choice((1, 4, 9, 20)),
                thresholds=1 if lif else random.choice((1, 2, 4)),
                normalization=random.choice(
                    ("connection-wise", "channel-wise", "layer-wise" if rate else "connection-wise")
                ),
                scale=random.choice(("mmse", "percentile", "max")),
                percentile=random.choice((99.0, 99.9, 100.0)),
                percentile_of_zeros=random.random() < 0.5,
                span=random.choice(("paper", "full")),
                signed=random.random() < 0.5,
                half_start=random.random() < 0.5,
                strict=lif or random.random() < 0.5,
                reset="zero" if lif or (rate and random.random() < 0.5) else "subtract",
                pool="neuron" if rate and random.random() < 0.5 else "relay",
                weight_bits=random.choice((2, 4, 8, 8)),
                rounding=random.choice(("second-order", "nearest")),
                theta=random.choice(("power-of-two", "integer")) if neuron == "multi-threshold" else "power-of-two",
                bias_correction=random.random() < 0.5,
                equalization=random.random() < 0.3,
                input_levels=random.choice((1, 255, 1023)),
                neuron=neuron,
                slack=random.choice((1, 1, 8)),
                fuse_upsampling=random.random() < 0.5,
            )
        except ConversionError:  # equalization beside another normalization
            continue


@dataclass
class _Graph:
    """A graph that grows; ``value`` names its last map, of ``shape`` (C, H, W)."""

    random: Random
    value: str
    shape: tuple[int, int, int]
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)

    def model(
        self, image: tuple[int, int, int], outputs: Sequence[tuple[str, tuple[int, ...]]], *, channels_last: bool
    ) -> ModelProto:
        axes = (*image[1:], image[0]) if channels_last else image
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *axes])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in outputs],
            self.tensors,
        )
        opset = self.choice(*OPSETS)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 20 else 10
        )

    def choice(self, *values: Value) -> Value:
        return self.random.choice(values)

    def constant(self, values: npt.ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        name = f"constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def normal(self, shape: Sequence[int], scale: float, mean: float = 0.0) -> str:
        rng = np.random.default_rng(self.random.getrandbits(32))
        return self.constant(rng.normal(mean, scale, shape))

    def uniform(self, shape: Sequence[int], low: float, high: float) -> str:
        rng = np.random.default_rng(self.random.getrandbits(32))
        return self.constant(rng.uniform(low, high, shape))

    def node(self, operator: str, *inputs: str, **attributes: Any) -> None:
        self.value = f"value{len(self.nodes)}"
        name = f"/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [self.value], name=name, **attributes))

    def conv(self, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        channels, height, width = self.shape
        dilation = self.choice(1, 1, 2) if stride == 1 else 1
        groups = self.choice(1, 1, channels) if outputs % channels == 0 else 1
        inputs = channels // groups
        weight = self.normal((outputs, inputs, kernel, kernel), 1.2 / (inputs * kernel * kernel) ** 0.5)
        bias = [self.normal((outputs,), 0.1)] if self.random.random() < 0.7 else []
        total = dilation * (kernel - 1)
        before = [self.choice(total // 2, total // 2, 0, total) for _ in range(2)]
        self.node(
            "Conv",
            self.value,
            weight,
            *bias,
            pads=[*before, total - before[0], total - before[1]],
            strides=[stride] * 2,
            dilations=[dilation] * 2,
            group=groups,
        )
        self.shape = (outputs, -(-height // stride), -(-width // stride))

    def block(self, outputs: int) -> None:
        if self.random.random() < 0.1:
            self.matmul(outputs)
        else:
            self.conv(outputs, self.choice(1, 2, 3, 3, 3, 4, 5))
        if self.random.random() < 0.5:
            channel = (self.shape[0],)
            scale, shift = self.uniform(channel, 0.5, 1.5), self.normal(channel, 0.2)
            mean, variance = self.normal(channel, 0.2), self.uniform(channel, 0.5, 2.0)
            self.node("BatchNormalization", self.value, scale, shift, mean, variance)
        self.activation()
        self.arithmetic()
        if self.random.random() < 0.1:
            self.context()

    def matmul(self, outputs: int) -> None:
        """Channels last for one product with a constant."""
        self.node("Transpose", self.value, perm=[0, 2, 3, 1])
        self.node("MatMul", self.value, self.normal((self.shape[0], outputs), 1.0 / self.shape[0] ** 0.5))
        self.node("Transpose", self.value, perm=[0, 3, 1, 2])
        self.shape = (outputs, *self.shape[1:])

    def context(self) -> None:
        """The mean of the whole map, one pixel, beside the map itself."""
        value, (channels, height, width) = self.value, self.shape
        self.node("GlobalAveragePool", value)
        self.shape = (channels, 1, 1)
        self.conv(2, 1)
        self.activation()
        sizes = self.constant([1, 2, height, width], np.int64)
        self.node("Resize", self.value, "", "", sizes, mode="nearest", coordinate_transformation_mode="asymmetric")
        self.node("Concat", value, self.value, axis=1)
        self.shape = (channels + 2, height, width)

    def activation(self) -> None:
        kind = self.choice("Relu", "Relu", "Relu", "LeakyRelu", "PRelu", "Relu6", "Clip", "Max", "none")
        if kind == "Relu":
            self.node("Relu", self.value)
        elif kind == "LeakyRelu":
            self.node("LeakyRelu", self.value, alpha=self.choice(0.01, 0.1, 0.25))
        elif kind == "PRelu":
            self.node("PRelu", self.value, self.uniform((self.shape[0], 1, 1), 0.0, 0.5))
        elif kind in ("Relu6", "Clip"):
            low, high = (0.0, 6.0) if kind == "Relu6" else (-0.3, 0.7)
            self.node("Clip", self.value, self.constant(low), self.constant(high))
        elif kind == "Max":
            self.node("Max", self.value, self.constant(0.05))

    def arithmetic(self) -> None:
        kind = self.choice(
            *("none",) * 4, "Mul", "Add", "Sub", "Div", "Neg", "Dropout", "Identity", "Pad", "Gather", "Split"
        )
        if kind in ("Mul", "Add", "Sub", "Div"):
            self.node(kind, self.value, self.uniform((self.shape[0], 1, 1), 0.5, 1.5))
        elif kind == "Pad":
            self.pad_and_crop()
        elif kind == "Gather":
            order = self.random.sample(range(self.shape[0]), self.shape[0])
            self.node("Gather", self.value, self.constant(order, np.int64), axis=1)
        elif kind == "Split":
            self.split()
        elif kind != "none":
            self.node(kind, self.value)

    def split(self) -> None:
        """Two parts of the channels, back to front, the second one doubled."""
        source, first = self.value, self.random.randint(1, self.shape[0])
        parts = []
        for start, end in ((first, self.shape[0]), (0, first)):
            if start < end:
                self.node("Slice", source, *(self.constant([number], np.int64) for number in (start, end, 1)))
                parts.append(self.value)
        self.node("Sum", parts[-1], parts[-1])
        self.node("Concat", *parts[:-1], self.value, axis=1)

    def crop(self, size: tuple[int, int]) -> None:
        """The first rows and columns, where upsampling made one more than the skip has."""
        if self.shape[1:] != size:
            ends = self.constant(size, np.int64)
            self.node("Slice", self.value, self.constant([0, 0], np.int64), ends, self.constant([2, 3], np.int64))
            self.shape = (self.shape[0], *size)

    def pad_and_crop(self) -> None:
        """One row above, one below and one column at the right; then the first row and the last column go."""
        _, height, width = self.shape
        pads = self.constant([0, 0, 1, 0, 0, 0, 1, 1], np.int64)
        self.node("Pad", self.value, pads, mode=self.choice("constant", "reflect", "edge"))
        starts, ends = self.constant([1, 0], np.int64), self.constant([height + 1, width], np.int64)
        self.node("Slice", self.value, starts, ends, self.constant([2, 3], np.int64))

    def down(self) -> None:
        channels, height, width = self.shape
        even = height % 2 == width % 2 == 0
        kind = self.choice("MaxPool", "AveragePool", "overlapping", "conv", *(("SpaceToDepth",) if even else ()))
        if kind == "conv":
            self.conv(channels, 3, 2)
            return
        if kind == "SpaceToDepth":
            self.node("SpaceToDepth", self.value, blocksize=2)
            channels *= 4
        elif kind == "overlapping":
            self.node("MaxPool", self.value, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        else:
            self.node(kind, self.value, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=0 if even else 1)
        self.shape = (channels, -(-height // 2), -(-width // 2))

    def up(self, outputs: int) -> None:
        channels, height, width = self.shape
        kind = self.choice("ConvTranspose", "nearest", "linear", "cubic", "DepthToSpace")
        if kind in ("nearest", "linear", "cubic"):
            scales = self.constant([1, 1, 2, 2])
            coordinates = (
                "asymmetric" if kind == "nearest" else self.choice("half_pixel", "align_corners", "asymmetric")
            )
            attributes = {"nearest_mode": "floor"} if kind == "nearest" else {}
            self.node(
                "Resize", self.value, "", scales, mode=kind, coordinate_transformation_mode=coordinates, **attributes
            )
            self.shape = (channels, 2 * height, 2 * width)
            self.conv(outputs)
            return
        if kind == "DepthToSpace":
            self.conv(4 * outputs, 1)
            self.node("DepthToSpace", self.value, blocksize=2, mode=self.choice("DCR", "CRD"))
        else:
            kernel = self.choice(2, 3, 4)
            weight = self.normal((channels, outputs, kernel, kernel), 0.6 / channels**0.5)
            pad, extra = (kernel - 1) // 2, kernel % 2
            self.node("ConvTranspose", self.value, weight, strides=[2, 2], pads=[pad] * 4, output_padding=[extra] * 2)
        self.shape = (outputs, 2 * height, 2 * width)

    def head(self, channels: int, source: str) -> None:
        outputs = self.choice(1, 2, channels)
        self.conv(outputs, self.choice(1, 3))
        kind = self.choice("none", "none", "residual", "Sigmoid", "Softmax", "Relu", "ArgMax")
        if kind == "residual" and outputs == channels:
            self.node("Sub", source, self.value)
        elif kind == "Softmax":
            self.node("Softmax", self.value, axis=1)
        elif kind == "ArgMax":
            self.node("ArgMax", self.value, axis=1, keepdims=1)
            self.shape = (1, *self.shape[1:])
        elif kind in ("Sigmoid", "Relu"):
            self.node(kind, self.value)
