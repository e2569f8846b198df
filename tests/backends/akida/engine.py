"""The engine as its documentation describes it, in NumPy: what programs are tested with where the engine is not installed.

Of the docstrings of the layers of akida 2.19.3 (Conv2D: ``inputs << input_shift``, convolution, ``bias << bias_shift``, pooling,
ReLU, ``output_shift``, saturation at ``output_bits``). Padding is TensorFlow's "same".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

from snn_deploy.arrays import Array, Int64

__version__ = "double"


class ActivationType(Enum):
    NoActivation = 0
    ReLU = 1


class PoolType(Enum):
    NoPooling = 0
    Max = 1


def pad_same(maps: Int64, side: int, stride: int, value: int = 0) -> Int64:
    widths = []
    for extent in maps.shape[1:3]:
        total = max((-(-extent // stride) - 1) * stride + side - extent, 0)
        widths.append((total // 2, total - total // 2))
    return np.pad(maps, ((0, 0), *widths, (0, 0)), constant_values=value)


def windows(maps: Int64, side: int, stride: int) -> Array:
    """(B, H, W, C, side, side)."""
    return np.lib.stride_tricks.sliding_window_view(maps, (side, side), axis=(1, 2))[:, ::stride, ::stride]  # type: ignore[call-overload,no-any-return]


class Node:
    """A layer in a model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inbound: Sequence[Node] = ()
        self.shape: tuple[int, int, int] = (0, 0, 0)

    def build(self) -> None:
        self.shape = self.inbound[0].shape

    def compute(self, inputs: Sequence[Int64]) -> Int64:
        raise NotImplementedError


class InputData(Node):
    def __init__(self, input_shape: tuple[int, int, int], input_bits: int = 4, name: str = "") -> None:
        super().__init__(name)
        assert input_bits == 8
        self.shape = input_shape


class Concatenate(Node):
    def build(self) -> None:
        if len(self.inbound) != 2:
            raise ValueError(f"{self.name} must have exactly 2 inbound layers")
        one, two = (each.shape for each in self.inbound)
        self.shape = (*one[:2], one[2] + two[2])

    def compute(self, inputs: Sequence[Int64]) -> Int64:
        return np.concatenate(inputs, axis=3)


class Neural(Node):
    """What convolutions share."""

    depthwise = False
    transposed = False

    def __init__(
        self,
        kernel_size: int,
        output_bits: int,
        activation: ActivationType,
        name: str,
        filters: int = 0,
        kernel_stride: int = 1,
        pool_type: PoolType = PoolType.NoPooling,
        pool_size: int = -1,
        pool_stride: int = -1,
    ) -> None:
        super().__init__(name)
        self.side, self.stride, self.filters = kernel_size, kernel_stride, filters
        self.bits, self.activation = output_bits, activation
        self.pool = (pool_size, pool_stride) if pool_type is PoolType.Max else None
        sides = (3, 4) if self.transposed else {1: (1, 3, 5, 7), 2: (1, 3)}[kernel_stride]
        if kernel_size not in sides or (self.depthwise and kernel_size < 3):
            raise ValueError(f"{name}: no kernel of {kernel_size} at stride {kernel_stride}")
        if output_bits not in (8, 28) or (output_bits == 28 and activation is ActivationType.ReLU):
            raise ValueError(f"{name}: {output_bits} bits")

    def build(self) -> None:
        height, width, channels = self.inbound[0].shape
        outputs = channels if self.depthwise else self.filters
        step = self.stride * (1 if self.pool is None else self.pool[1])
        size = (2 * height, 2 * width) if self.transposed else (-(-height // step), -(-width // step))
        self.shape = (*size, outputs)
        self.variables: dict[str, Array] = {
            "weights": np.zeros((self.side, self.side, channels, 1 if self.depthwise else outputs), np.int8),
            "bias": np.zeros(outputs, np.int8),
            "bias_shift": np.zeros(outputs, np.uint8),
            "input_shift": np.zeros(channels, np.uint8),
            "output_shift": np.zeros(outputs, np.int8),
        }
        if self.activation is ActivationType.ReLU:
            self.variables |= {
                "max_value": np.full(outputs, 255, np.uint8),
                "max_value_shift": np.full(outputs, 23, np.uint8),
            }

    def set_variable(self, name: str, values: Array) -> None:
        known = self.variables[name]
        if (values.shape, values.dtype) != (known.shape, known.dtype):
            raise ValueError(f"{self.name}: {name} is {known.dtype} {known.shape}, not {values.dtype} {values.shape}")
        self.variables[name] = values

    def compute(self, inputs: Sequence[Int64]) -> Int64:
        known = {name: values.astype(np.int64) for name, values in self.variables.items()}
        weights = known["weights"]
        if self.depthwise:
            weights = np.eye(weights.shape[2], dtype=np.int64) * weights
        maps = inputs[0] << known["input_shift"]
        total = self.spread(maps, weights) if self.transposed else self.convolve(maps, weights)
        total = total + (known["bias"] << known["bias_shift"])
        if self.pool is not None:
            side, step = self.pool
            total = windows(pad_same(total, side, step, -(2**40)), side, step).max((4, 5))
        if self.activation is ActivationType.ReLU:
            total = np.clip(total, 0, known["max_value"] << known["max_value_shift"])
        shift = -known["output_shift"]
        limit = 2 ** (self.bits - 1)
        return np.clip((total + ((1 << shift) >> 1)) >> shift, -limit, limit - 1)

    def convolve(self, maps: Int64, weights: Int64) -> Int64:
        found = windows(pad_same(maps, self.side, self.stride), self.side, self.stride)
        total: Int64 = np.einsum("bhwcyx,yxco->bhwo", found, weights[::-1, ::-1])
        return total

    def spread(self, maps: Int64, weights: Int64) -> Int64:
        batch, height, width, _ = maps.shape
        whole = np.zeros((batch, 2 * height + 2, 2 * width + 2, weights.shape[3]), np.int64)
        for row in range(self.side):
            for column in range(self.side):
                whole[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += maps @ weights[row, column]
        first = (self.side - 2) // 2
        return whole[:, first : first + 2 * height, first : first + 2 * width]


class Conv2D(Neural):
    pass


class DepthwiseConv2D(Neural):
    depthwise = True


class Conv2DTranspose(Neural):
    transposed = True


class DepthwiseConv2DTranspose(Neural):
    depthwise = transposed = True


class Model:
    def __init__(self) -> None:
        self.layers: list[Node] = []

    def add(self, layer: Node, inbound_layers: Sequence[Node] = ()) -> None:
        assert layer.name not in {each.name for each in self.layers}
        layer.inbound = inbound_layers
        if self.layers:
            layer.build()
        self.layers.append(layer)

    def forward(self, inputs: Array) -> Int64:
        if inputs.dtype != np.int8 or inputs.shape[1:] != self.layers[0].shape:
            raise ValueError(f"inputs {inputs.dtype} {inputs.shape}")
        made = {self.layers[0].name: inputs.astype(np.int64)}
        for layer in self.layers[1:]:
            made[layer.name] = layer.compute([made[each.name] for each in layer.inbound])
        read = {each.name for layer in self.layers for each in layer.inbound}
        if [layer.name for layer in self.layers if layer.name not in read] != [self.layers[-1].name]:
            raise RuntimeError("the output layer should be the last layer")
        return made[self.layers[-1].name]
