"""Pixel maps and biases by pixel for another image size, where they repeat themselves away from the borders.

Interpolation by a fixed factor, reflection and the response of zero padding to a constant are the same in every period of
some pixels, except near the borders: output ``y + p`` reads what output ``y`` reads, ``q`` input pixels further on. Such a
map is cut behind its upper border, and whole periods are put in or taken out. A border may read the other end of the input, as
that of circular padding does, and then reads the other end of the resized one. What repeats itself nowhere (the mean of a
whole map, interpolation that aligns the corners) has no other size, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from snn_deploy.arrays import Bool, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.shapes import Pair

LONGEST_PERIOD = 64
"""Most pixels after which a map may repeat itself."""

MOST_TAPS = 2**28
"""Most taps of a resized map: a file from a stranger must not ask for one that no memory holds."""

BIAS_PERIODS = (1, 2, 4, 8, 16, 32, 64)
"""Periods that are tried for biases, which do not tell their own: products of the strides of transposed convolutions."""


@dataclass(frozen=True)
class Rhythm:
    """How one axis repeats itself: ``outputs`` pixels per period for ``inputs`` pixels, behind ``border`` pixels."""

    outputs: int
    inputs: int
    border: int

    @property
    def ratio(self) -> Fraction:
        """Output pixels per input pixel."""
        return Fraction(self.outputs, self.inputs)

    @property
    def reach(self) -> int:
        """How many pixels from an end of the input one at the border still belongs to that end."""
        return -(-self.border * self.inputs // self.outputs)


def resize_pixel_map(kernel: SpatialKernel, size: Pair) -> SpatialKernel:
    """``kernel`` for an input of ``size`` (H, W); :class:`NetworkError` where it does not repeat itself."""
    if size == kernel.input_size:
        return kernel
    taps = Taps.of(kernel)
    for axis in (0, 1):
        taps = taps.resized(axis, size[axis])
    return taps.kernel()


def find_rhythms(kernel: SpatialKernel) -> tuple[Rhythm, Rhythm]:
    """How rows and columns of ``kernel`` repeat themselves; :class:`NetworkError` where they do not."""
    taps = Taps.of(kernel)
    return taps.rhythm(0), taps.rhythm(1)


def resize_bias(name: str, bias: Int64, size: Pair) -> Int64:
    """``bias`` (C, H, W) of population ``name`` for ``size`` (H, W); one of shape (C, 1, 1) as it is."""
    if bias.shape[1:] in ((1, 1), size):
        return bias
    for axis in (0, 1):
        before, after = bias.shape[axis + 1], size[axis]
        values = np.moveaxis(bias, axis + 1, 0).reshape(before, -1)
        for period in BIAS_PERIODS:
            border = _find_border(before, period, np.any(values[period:] != values[:-period], axis=1))
            if border is not None and (after - before) % period == 0 and after >= 2 * border:
                positions, _ = _spread(before, after, period, border)
                bias = bias.take(positions, axis + 1)
                break
        else:
            raise NetworkError(
                f"{name}: its bias differs by pixel and does not repeat itself; convert again for {size[0]}x{size[1]}"
            )
    return bias


def _find_border(length: int, period: int, differs: Bool) -> int | None:
    """Pixels at each end that lie outside the repetition; ``differs`` (length - period,) of pixel y and y + period.

    ``None`` unless two periods lie between the borders.
    """
    wrong = np.flatnonzero(differs)
    border = int(np.minimum(wrong + 1, length - period - wrong).max()) if wrong.size else 0
    return border if length >= 2 * (border + period) else None


def _spread(length: int, wanted: int, period: int, border: int) -> tuple[Int64, Int64]:
    """For every one of ``wanted`` pixels the one of ``length`` that it copies, and how many pixels before it that stands."""
    positions = np.arange(wanted, dtype=np.int64)
    inner = border + (positions - border) % period
    copied = np.where(positions < border, positions, inner)
    copied = np.where(positions >= wanted - border, positions - (wanted - length), copied)
    return copied, positions - copied


@dataclass(frozen=True, eq=False)
class Taps:
    """A pixel map by output pixel: ``rows`` and ``columns`` of the input, and ``data``, each (H, W, K) int64.

    K is the length of the longest list; a shorter one ends in taps of ``data`` 0 at the place of its first.
    """

    size: Pair
    rows: Int64
    columns: Int64
    data: Int64

    @classmethod
    def of(cls, kernel: SpatialKernel) -> Taps:
        """The taps of ``kernel``, in the order of its input's pixels."""
        order = np.lexsort((kernel.indices, kernel.rows))
        counts = np.diff(kernel.indptr)
        place = np.arange(kernel.indices.size) - np.repeat(kernel.indptr[:-1], counts)
        shape = counts.size, max(int(counts.max(initial=0)), 1)
        indices, data = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        first = np.zeros(counts.size, np.int64)
        first[counts > 0] = kernel.indices[order][kernel.indptr[:-1][counts > 0]]
        indices[:] = first[:, None]
        indices[kernel.rows, place], data[kernel.rows, place] = kernel.indices[order], kernel.data[order]
        full = *kernel.output_size, shape[1]
        rows, columns = np.divmod(indices.reshape(full), kernel.input_size[1])
        return cls(kernel.input_size, rows, columns, data.reshape(full))

    def _axis(self, axis: int) -> tuple[Int64, Int64, Int64]:
        """(along, across, data) with ``axis`` first."""
        along, across = (self.rows, self.columns) if axis == 0 else (self.columns, self.rows)
        return np.moveaxis(along, axis, 0), np.moveaxis(across, axis, 0), np.moveaxis(self.data, axis, 0)

    def rhythm(self, axis: int) -> Rhythm:
        """The shortest repetition along ``axis``."""
        along, across, data = self._axis(axis)
        length, inputs = data.shape[0], self.size[axis]
        whole = Fraction(length, inputs)
        for ratio in dict.fromkeys((whole, Fraction(1))):
            outputs, step = ratio.numerator, ratio.denominator
            if max(outputs, step) > LONGEST_PERIOD or length <= outputs:
                continue
            differs = along[outputs:] != along[:-outputs] + step
            differs |= (across[outputs:] != across[:-outputs]) | (data[outputs:] != data[:-outputs])
            border = _find_border(length, outputs, differs.any((1, 2)))
            if border is not None:
                return Rhythm(outputs, step, border)
        raise NetworkError(
            f"the pixel map from {self.size[0]}x{self.size[1]} to {self.data.shape[0]}x{self.data.shape[1]} does not repeat"
            " itself; convert again for this size"
        )

    def _misfit(self, rhythm: Rhythm, extent: int) -> NetworkError:
        return NetworkError(
            f"the pixel map from {self.size[0]}x{self.size[1]} repeats itself every {rhythm.inputs} pixels behind a border of"
            f" {rhythm.border}; {extent} pixels do not fit it"
        )

    def resized(self, axis: int, extent: int) -> Taps:
        """The map for an input of ``extent`` pixels along ``axis``."""
        before = self.size[axis]
        if extent == before:
            return self
        rhythm = self.rhythm(axis)
        along, across, data = self._axis(axis)
        wanted = data.shape[0] + rhythm.ratio * (extent - before)
        if wanted.denominator != 1 or wanted < max(2 * rhythm.border, 1):
            raise self._misfit(rhythm, extent)
        if int(wanted) * data[0].size > MOST_TAPS:
            raise NetworkError(f"a pixel map of {int(wanted) * data[0].size} taps; at most {MOST_TAPS} are allowed")
        positions, moved = _spread(data.shape[0], int(wanted), rhythm.outputs, rhythm.border)
        outputs = np.arange(int(wanted))
        at_end = positions + (int(wanted) - data.shape[0]) == outputs
        shift = np.where(at_end, extent - before, moved // rhythm.outputs * rhythm.inputs)[:, None, None]
        along = along[positions]
        for border, own, far, moves in (
            (outputs < rhythm.border, along, before - 1 - along, extent - before),
            (outputs >= int(wanted) - rhythm.border, before - 1 - along, along, 0),
        ):
            wraps = border[:, None, None] & (far < own) & (far < rhythm.reach)
            if np.any(wraps & (own <= rhythm.reach)):  # reflected or wrapped: so few pixels do not tell
                raise self._misfit(rhythm, extent)
            shift = np.where(wraps, moves, shift)
        along = along + shift
        if along.min() < 0 or along.max() >= extent:  # a border that reads farther than so small a map reaches
            raise self._misfit(rhythm, extent)
        back = [np.moveaxis(values, 0, axis) for values in (along, across[positions], data[positions])]
        rows, columns = (back[0], back[1]) if axis == 0 else (back[1], back[0])
        size = (extent, self.size[1]) if axis == 0 else (self.size[0], extent)
        return Taps(size, rows, columns, back[2])

    def kernel(self) -> SpatialKernel:
        """The map of these taps; zeros that a list was filled up with are left out."""
        height, width, most = self.data.shape
        pixels, data = (self.rows * self.size[1] + self.columns).reshape(-1, most), self.data.reshape(-1, most)
        given = data != 0
        pointers = np.concatenate([[0], np.cumsum(given.sum(1))])
        return SpatialKernel(self.size, (height, width), pointers, pixels[given], data[given].astype(np.int8))
