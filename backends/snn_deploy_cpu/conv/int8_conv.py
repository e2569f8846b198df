"""8-bit convolutions by oneDNN, reached through PyTorch: u8 x s8 products, summed in 32 bits, returned as float32.

The operator (``torch.ops.onednn.qconv2d_pointwise``) is the one that PyTorch's own compiler emits for quantized
networks. All scales but one power of two are 1, so nothing is ever rounded. It is not a documented interface; a
self-test on worst-case operands decides at load whether it is used, and how many bits it may be given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.geometry import Convolution, Maps


class OneDnn:
    """Convolutions of uint8 maps; ``payload_bits`` (8 or 7) is the widest payload that the self-test proved exact."""

    def __init__(self, payload_bits: int) -> None:
        self.payload_bits = payload_bits

    def convolution(self, conv: Convolution, scale: float, zero_point: int) -> Int8Primitive:
        """``scale * sum(weight * (x - zero_point))``, ``scale`` a power of two."""
        return Int8Primitive(conv, scale, zero_point)


class Int8Primitive:
    """One packed convolution: (N, H, W, C) uint8 to (N, h, w, O) float32."""

    def __init__(self, conv: Convolution, scale: float, zero_point: int) -> None:
        import torch

        self._torch = torch
        self._conv, self._scale, self._zero_point = conv, scale, zero_point
        # a copy: the network's arrays are read-only, of which PyTorch warns
        self._weight = torch.from_numpy(conv.weight.copy())
        self._scales = torch.ones(conv.weight.shape[0])
        self._zeros = torch.zeros(conv.weight.shape[0], dtype=torch.int32)
        self._packed: dict[tuple[object, ...], Any] = {}
        self._call = torch.ops.onednn.qconv2d_pointwise.default

    @property
    def weights(self) -> Array:
        """What every packing is made of, times the scale: (O, I, K_h, K_w) float64."""
        weights: Array = self._weight.numpy().astype(np.float64) * self._scale
        return weights

    @property
    def zero_point(self) -> int:
        """The byte that stands for 0."""
        return self._zero_point

    def __call__(self, x: Maps, pads: Pair) -> Maps:
        """The convolution of ``x``, zero-padded by ``pads`` (rows, columns) on both sides (0 where ``zero_point`` is not)."""
        conv, torch = self._conv, self._torch
        strides = conv.needed_strides(x, pads)
        planar = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)
        # weights are packed for one shape of input: oneDNN chooses its blocking by it
        key = (x.shape, pads)
        packed = self._packed.get(key)
        if packed is None:
            packed = self._packed[key] = torch.ops.onednn.qconv_prepack(
                self._weight,
                self._scales,
                self._scale,
                self._zero_point,
                strides,
                pads,
                conv.dilations,
                conv.groups,
                planar.shape,
            )
        y = self._call(
            planar,
            self._scale,
            self._zero_point,
            packed,
            self._scales,
            self._zeros,
            None,
            strides,
            pads,
            conv.dilations,
            conv.groups,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return np.ascontiguousarray(y.permute(0, 2, 3, 1).numpy())
