"""8-bit convolutions by oneDNN, reached through PyTorch: u8 x s8 products, summed in 32 bits, returned as float32.

The operator (``torch.ops.onednn.qconv2d_pointwise``) is the one that PyTorch's own compiler emits for quantized
networks. All scales but one power of two are 1, so nothing is ever rounded. It is not a documented interface; a
self-test on worst-case operands decides at load whether it is used, and how many bits it may be given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.geometry import Convolution, Maps


class OneDnn:
    """Convolutions of u8 maps; ``bits`` is the widest payload that the self-test found exact."""

    name = "int8"

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def convolution(self, form: Convolution, scale: float, zero: int) -> Primitive:
        """``scale * sum(weight * (x - zero))``, ``scale`` a power of two."""
        return Primitive(form, scale, zero)


class Primitive:
    """One packed convolution: (M, H, W, C) u8 to (M, h, w, O) float32."""

    def __init__(self, form: Convolution, scale: float, zero: int) -> None:
        import torch

        self._torch = torch
        self._form, self._scale, self._zero = form, scale, zero
        self._weight = torch.from_numpy(form.weight.copy())
        self._scales = torch.ones(form.weight.shape[0])
        self._zeros = torch.zeros(form.weight.shape[0], dtype=torch.int32)
        self._packed: dict[tuple[object, ...], Any] = {}
        self._call = torch.ops.onednn.qconv2d_pointwise.default

    def __call__(self, maps: Maps, pads: Pair) -> Maps:
        """The convolution of ``maps``, zero-padded by ``pads`` on both sides (0 where ``zero`` is not)."""
        form, torch = self._form, self._torch
        x = torch.from_numpy(np.ascontiguousarray(maps)).permute(0, 3, 1, 2)
        key = (maps.shape, pads)
        packed = self._packed.get(key)
        if packed is None:
            packed = self._packed[key] = torch.ops.onednn.qconv_prepack(
                self._weight,
                self._scales,
                self._scale,
                self._zero,
                form.strides,
                pads,
                form.dilations,
                form.groups,
                x.shape,
            )
        y = self._call(
            x,
            self._scale,
            self._zero,
            packed,
            self._scales,
            self._zeros,
            None,
            form.strides,
            pads,
            form.dilations,
            form.groups,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return np.ascontiguousarray(y.permute(0, 2, 3, 1).numpy())
