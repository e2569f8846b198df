r"""Exact integer arithmetic of one step, in Lava's axis order. Lava is not needed to import or test it.

Synapses sum by float64 BLAS: products and partial sums of integers are exact in float64 while they stay below
2**53, and the network's proof keeps them below 2**23. The firing rule is

.. math:: k = \mathrm{clip}(\lfloor (v - \mathrm{strict}) / \theta \rfloor, k_{min}, k_{max})

in closed form, and as a ladder of binary thresholds that hardware evaluates with compares and subtractions only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]

STATE_MAX = 2**23 - 1
"""Largest magnitude of a membrane, 24 bits signed."""

_BAND = 2**21
"""Elements of unfolded input that one matrix product reads: 16 MiB of float64."""


def fire(v: Int64, theta: Int64, payload_min: int, payload_max: int, *, strict: bool) -> Int64:
    """Payload ``clip(floor((v - strict) / theta), payload_min, payload_max)``; shapes broadcast."""
    return np.clip((v - int(strict)) // theta, payload_min, payload_max)


def fire_ladder(v: Int64, theta: Int64, payload_min: int, payload_max: int, *, strict: bool) -> Int64:
    """The same by a ladder: thresholds ``theta * 2**n, ..., theta`` tested once each in descending order.

    ``v`` is raised by ``-payload_min`` thresholds first. A ladder of n rungs counts to ``2**n - 1``; n covers
    ``payload_max - payload_min``, and a last compare limits the count.
    """
    span = payload_max - payload_min
    rest = v.astype(np.int64) - payload_min * theta
    count = np.zeros_like(rest)
    for rung in reversed(range(span.bit_length())):
        threshold = theta << rung
        crossed = rest > threshold if strict else rest >= threshold
        rest -= np.where(crossed, threshold, 0)
        count += np.where(crossed, 1 << rung, 0)
    return np.minimum(count, span) + payload_min


class Correlation:
    """``out[x, y, o] = sum weight[o, i, j, c] * padded[x * s_x + i * d_x, y * s_y + j * d_y, c] * 2**exponent``.

    ``weight`` is (C_out, K_x, K_y, C_in / groups), unflipped; ``pads`` are before x, before y, after x, after y,
    negative to cut.
    """

    def __init__(self, weight: Array, strides: Pair, pads: Pads, dilations: Pair, groups: int, exponent: int) -> None:
        outputs, self.kernel_x, self.kernel_y, self.inputs = weight.shape
        self.strides, self.pads, self.dilations, self.groups, self.exponent = strides, pads, dilations, groups, exponent
        taps = weight.astype(np.float64).reshape(groups, outputs // groups, -1)
        self.taps = np.ascontiguousarray(taps.transpose(0, 2, 1))

    def __call__(self, maps: Array) -> Int64:
        """Current (X_out, Y_out, C_out) int64 of payloads (X, Y, C_in)."""
        view = self._windows(_fit(maps, self.pads).astype(np.float64))
        columns, rows = view.shape[:2]
        out = np.empty((columns, rows, self.groups, self.taps.shape[2]))
        fields = self.taps.shape[1]
        band = max(1, _BAND // (rows * self.groups * fields))
        for first in range(0, columns, band):
            part = view[first : first + band]
            unfolded = part.transpose(4, 0, 1, 2, 3, 5).reshape(self.groups, -1, fields)
            sums = np.matmul(unfolded, self.taps).reshape(self.groups, part.shape[0], rows, -1)
            out[first : first + band] = sums.transpose(1, 2, 0, 3)
        return _shift(out.reshape(columns, rows, -1).astype(np.int64), self.exponent)

    def _windows(self, padded: Array) -> Array:
        """(X_out, Y_out, K_x, K_y, groups, C_in / groups) view of the padded map."""
        (step_x, step_y), (gap_x, gap_y) = self.strides, self.dilations
        columns = (padded.shape[0] - gap_x * (self.kernel_x - 1) - 1) // step_x + 1
        rows = (padded.shape[1] - gap_y * (self.kernel_y - 1) - 1) // step_y + 1
        along_x, along_y, along_c = padded.strides
        return np.lib.stride_tricks.as_strided(
            padded,
            (columns, rows, self.kernel_x, self.kernel_y, self.groups, self.inputs),
            (
                along_x * step_x,
                along_y * step_y,
                along_x * gap_x,
                along_y * gap_y,
                along_c * self.inputs,
                along_c,
            ),
            writeable=False,
        )


class Transposition:
    """``full[x * s_x + i * d_x, y * s_y + j * d_y, o] += weight[c, i, j, o] * maps[x, y, c]``.

    ``weight`` is (C_in, K_x, K_y, C_out / groups), unflipped; ``pads`` cut the full map, the exponent shifts it left.
    """

    def __init__(self, weight: Array, strides: Pair, pads: Pads, dilations: Pair, groups: int, exponent: int) -> None:
        inputs, self.kernel_x, self.kernel_y, self.outputs = weight.shape
        self.strides, self.pads, self.dilations, self.groups, self.exponent = strides, pads, dilations, groups, exponent
        self.taps = weight.astype(np.float64).reshape(groups, inputs // groups, -1)

    def __call__(self, maps: Array) -> Int64:
        """Current (X_out, Y_out, C_out) int64 of payloads (X, Y, C_in)."""
        (step_x, step_y), (gap_x, gap_y) = self.strides, self.dilations
        columns, rows, _ = maps.shape
        pixels = maps.astype(np.float64).reshape(columns * rows, self.groups, -1).transpose(1, 0, 2)
        spread = np.matmul(pixels, self.taps).reshape(self.groups, columns, rows, self.kernel_x, self.kernel_y, -1)
        spread = spread.transpose(3, 4, 1, 2, 0, 5).reshape(self.kernel_x, self.kernel_y, columns, rows, -1)
        full = np.zeros(
            (
                (columns - 1) * step_x + gap_x * (self.kernel_x - 1) + 1,
                (rows - 1) * step_y + gap_y * (self.kernel_y - 1) + 1,
                spread.shape[-1],
            )
        )
        for i in range(self.kernel_x):
            for j in range(self.kernel_y):
                full[
                    i * gap_x : i * gap_x + (columns - 1) * step_x + 1 : step_x,
                    j * gap_y : j * gap_y + (rows - 1) * step_y + 1 : step_y,
                ] += spread[i, j]
        before_x, before_y, after_x, after_y = self.pads
        return _shift(_fit(full, (-before_x, -before_y, -after_x, -after_y)).astype(np.int64), self.exponent)


class PixelSum:
    """``out[p, c] = sum_j data[j] * maps[indices[j], c] * 2**exponent`` over the entries j of pixel p.

    ``rows``, ``indices`` and ``data`` are the entries of the sparse map, in flat (X, Y) pixels; ``size`` is (X_out,
    Y_out).
    """

    def __init__(self, rows: Int64, indices: Int64, data: Array, size: Pair, exponent: int) -> None:
        order = np.argsort(rows, kind="stable")
        self.indices, self.weights = indices[order], data[order].astype(np.int64)[:, None]
        self.filled, self.first = np.unique(rows[order], return_index=True)
        self.size, self.exponent = size, exponent

    def __call__(self, maps: Array) -> Int64:
        """Current (X_out, Y_out, C) int64 of payloads (X, Y, C)."""
        channels = maps.shape[-1]
        out = np.zeros((self.size[0] * self.size[1], channels), np.int64)
        if self.filled.size:
            terms = self.weights * maps.reshape(-1, channels).astype(np.int64)[self.indices]
            out[self.filled] = np.add.reduceat(terms, self.first, axis=0)
        return _shift(out.reshape(*self.size, channels), self.exponent)


def encode_weights(weight: Array, exponent: int) -> tuple[Array, int]:
    """``weight * 2**exponent`` as the chip stores it: weights of mixed sign are even, in -256..254.

    Their lowest bit is not stored (lava ``utils/weightutils.py``), so they are doubled and the exponent is one
    less. Weights of one sign fit 0..255 or -255..0 unchanged, as do none at all.
    """
    if np.any(weight < 0) and np.any(weight > 0):
        return weight * 2, exponent - 1
    return weight, exponent


def _shift(sums: Int64, exponent: int) -> Int64:
    """``sums * 2**exponent``; a negative exponent shifts right, which is exact for the doubled weights that need it."""
    return sums << exponent if exponent >= 0 else sums >> -exponent


def _fit(maps: Array, pads: Pads) -> Array:
    """Zeros added before and after x and y; a negative number crops."""
    before_x, before_y, after_x, after_y = pads
    columns, rows, _ = maps.shape
    cut = maps[max(-before_x, 0) : columns - max(-after_x, 0), max(-before_y, 0) : rows - max(-after_y, 0)]
    return np.pad(cut, ((max(before_x, 0), max(after_x, 0)), (max(before_y, 0), max(after_y, 0)), (0, 0)))
