"""Bands of output rows by a library that pads both sides alike: on the map itself or on a part cut out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.float_conv import Primitive
from snn_deploy_cpu.conv.geometry import Convolution, Maps, Window, padded_crop


@dataclass(frozen=True, eq=False)
class RowBand:
    """A band of output rows: the windows they read, and the pads that the library adds itself.

    ``pads`` has rows too only where the windows span the ``whole`` map and as much above as below it; otherwise the
    input rows are cut out, so that the library computes exactly this band and returns it without gaps. ``cropped`` are
    the columns cut out then. ``size`` is (rows, columns) of the band.

    No library sees pads as large as its kernel, whose outermost outputs read nothing of the map, or more columns than a
    single output reads: not every release of every library has been right there.
    """

    conv: Convolution
    rows: Window
    columns: Window
    size: Pair
    pads: Pair
    whole: bool
    cropped: Window

    @classmethod
    def of(cls, conv: Convolution, height: int, width: int, row_begin: int, row_end: int, columns: int) -> RowBand:
        """The band of rows ``row_begin..row_end``, each of ``columns`` pixels, on a map of ``height`` x ``width``."""
        rows, across = conv.input_window(0, row_begin, row_end), conv.input_window(1, 0, columns)
        above, left = -rows.start, -across.start
        outputs = (width + 2 * left - conv.kernel_extent(1)) // conv.strides[1] + 1
        # the library pads as much on the right as on the left; this asks whether that is right here
        symmetric = 0 <= left < conv.kernel_extent(1) and outputs == across.outputs > 1
        whole = symmetric and 0 <= above < conv.kernel_extent(0) and rows.stop == height + above
        pads = (above if whole else 0, left if symmetric else 0)
        cropped = Window(0, width, across.outputs, across.skip) if symmetric else across
        return cls(conv, rows, across, (row_end - row_begin, columns), pads, whole, cropped)

    def convolve(self, primitive: Primitive, x: Maps) -> Maps:
        """The sums (N, h, w, O) at all kernel positions."""
        return primitive(x if self.whole else padded_crop(x, self.rows, self.cropped), self.pads)

    def depth_to_space(self, sums: Maps) -> Maps:
        """Channels (N, h, w, groups * u_y * u_x * o) rearranged into pixels, and the band's own cut out."""
        conv = self.conv
        if conv.phases == (1, 1):
            return sums
        count, height, width, channels = sums.shape
        (up_y, up_x), depth = conv.phases, channels // (conv.groups * conv.phases[0] * conv.phases[1])
        split = sums.reshape(count, height, width, conv.groups, up_y, up_x, depth)
        # (N, h, u_y, w, u_x, group, o)
        joined = np.ascontiguousarray(split.transpose(0, 1, 4, 2, 5, 3, 6))
        joined = joined.reshape(count, height * up_y, width * up_x, conv.groups * depth)
        (above, beside), (rows, columns) = (self.rows.skip, self.columns.skip), self.size
        return np.ascontiguousarray(joined[:, above : above + rows, beside : beside + columns])


class RowBands:
    """The bands of one connection, made once each; rows of its result have ``columns`` pixels."""

    def __init__(self, conv: Convolution, columns: int) -> None:
        self.conv, self._columns = conv, columns
        self._bands: dict[tuple[int, int, int, int], RowBand] = {}

    def of(self, x: Maps, row_begin: int, row_end: int) -> RowBand:
        """The band of rows ``row_begin..row_end`` of the result on ``x`` (N, H, W, C)."""
        key = (x.shape[1], x.shape[2], row_begin, row_end)
        band = self._bands.get(key)
        if band is None:
            band = self._bands[key] = RowBand.of(self.conv, *key, self._columns)
        return band
