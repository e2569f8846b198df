"""How a library that pads both sides alike computes rows of a result: on the map itself or on a part cut out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.shapes import Pair
from snn_deploy_cpu.conv.float_conv import Primitive
from snn_deploy_cpu.conv.geometry import Convolution, Maps, Window, cut_out


@dataclass(frozen=True, eq=False)
class View:
    """Rows of a result: the windows they read, and the pads that the library adds itself.

    ``pads`` has rows too only where the windows span the whole map and as much above as below it; otherwise the rows
    are cut out, so that the library computes exactly the wanted ones and returns them without gaps.
    """

    form: Convolution
    rows: Window
    columns: Window
    size: Pair
    pads: Pair
    whole: bool
    across: Window

    @classmethod
    def of(cls, form: Convolution, height: int, width: int, first: int, last: int, columns: int) -> View:
        """The view for rows ``first..last``, each of ``columns`` pixels, on a map of ``height`` x ``width``."""
        rows, across = form.window(0, first, last), form.window(1, 0, columns)
        above, left = -rows.start, -across.start
        wide = (width + 2 * left - form.reach(1)) // form.strides[1] + 1
        even = left >= 0 and wide == across.outputs
        whole = even and above >= 0 and rows.stop == height + above
        pads = (above if whole else 0, left if even else 0)
        inside = Window(0, width, across.outputs, across.skip) if even else across
        return cls(form, rows, across, (last - first, columns), pads, whole, inside)

    def convolve(self, primitive: Primitive, maps: Maps) -> Maps:
        """The sums of all kernel positions."""
        return primitive(maps if self.whole else cut_out(maps, self.rows, self.across), self.pads)

    def interleave(self, maps: Maps) -> Maps:
        """Channels (M, h, w, groups * u_y * u_x * o) rearranged into pixels, and the wanted ones cut out."""
        form = self.form
        if form.up == (1, 1):
            return maps
        count, height, width, channels = maps.shape
        (up_y, up_x), depth = form.up, channels // (form.groups * form.up[0] * form.up[1])
        split = maps.reshape(count, height, width, form.groups, up_y, up_x, depth)
        joined = np.ascontiguousarray(split.transpose(0, 1, 4, 2, 5, 3, 6))
        joined = joined.reshape(count, height * up_y, width * up_x, form.groups * depth)
        (above, beside), (rows, columns) = (self.rows.skip, self.columns.skip), self.size
        return np.ascontiguousarray(joined[:, above : above + rows, beside : beside + columns])


class Views:
    """The views of one connection, made once for each run of rows; rows of its result have ``columns`` pixels."""

    def __init__(self, form: Convolution, columns: int) -> None:
        self._form, self._columns = form, columns
        self._found: dict[tuple[int, int, int, int], View] = {}

    def of(self, maps: Maps, first: int, last: int) -> View:
        """The view for rows ``first..last``."""
        key = (maps.shape[1], maps.shape[2], first, last)
        view = self._found.get(key)
        if view is None:
            view = self._found[key] = View.of(self._form, *key, self._columns)
        return view
