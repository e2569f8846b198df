"""The direct path: every payload times every weight, with two instructions where the library's 8-bit kernels take three.

Without VNNI, oneDNN multiplies and adds pairs of 8-bit products in 16 bits, and moves every such sum to 32 bits. What a
spiking network sends is mostly small, so many of these sums can be added in 16 bits first: as many as weights and the
largest payload of each channel prove that nothing overflows. Payloads of 9 to 16 bits, for which the library needs several
8-bit convolutions, are multiplied as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from snn_deploy_cpu.conv.compiled import Path, Stored, Sums, ring_of
from snn_deploy_cpu.conv.geometry import Convolution, Fold, Maps
from snn_deploy_cpu.conv.payload_stats import kept


@dataclass(frozen=True, eq=False)
class DirectSums(Sums):
    """Direct sums: ``at_once`` words of payloads before the sums are moved to 32 bits."""

    name: ClassVar[str] = "direct"

    @classmethod
    def of(cls, path: Path, bits: int, signed: bool, peaks: npt.NDArray[np.int64]) -> DirectSums | None:
        """The sums of payloads that are so large in each channel; ``None`` where there are none, or not on this machine."""
        from snn_deploy_cpu.kernels.simd import pairs_products

        form, largest = path.form, int(peaks.max())
        if not pairs_products():
            return None
        if not signed and largest <= np.iinfo(np.uint8).max:
            at_once = _at_once(form, peaks)
            if at_once:
                return cls(path, bits, np.uint8, at_once)
        return cls(path, bits, np.int16, form.weight[0].size) if largest <= np.iinfo(np.int16).max else None

    def _convolve(self, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        from snn_deploy_cpu.kernels import direct_conv as direct_numba
        from snn_deploy_cpu.kernels.register_tile import POSITIONS

        form, window = self.path.form, self.path.form.window(1, 0, out.shape[2])
        slots, left = form.reach(0), max(-window.start, 0)
        pixels = left + max(maps.shape[2], window.stop + (POSITIONS - 1) * form.strides[1])
        limited = direct_numba.convolve(
            maps,
            kept(maps, self.bits),
            self.path.weights(_words, self.payload),
            self.at_once,
            form.numbers,
            first,
            self.path.scale,
            new,
            slots,
            left,
            self._held(slots * pixels),
            out,
            neurons,
        )
        return int(limited)

    def _fold(self, fold: Fold, maps: Maps, first: int, new: bool, out: Maps, neurons: tuple[object, ...]) -> int:
        from snn_deploy_cpu.kernels import upsampled_conv as folds_numba
        from snn_deploy_cpu.kernels.register_tile import POSITIONS

        words = self.path.weights(_words, self.payload)
        lanes = words.nbytes // self._held(1).nbytes
        positions = -(-maps.shape[2] // POSITIONS) * POSITIONS
        limited = folds_numba.fold_words(
            maps,
            kept(maps, self.bits),
            words,
            self.at_once,
            fold.numbers,
            first,
            self.path.scale,
            new,
            ring_of(fold, positions, out.shape[2], lanes, np.int32),
            self._held(positions),
            out,
            neurons,
        )
        return int(limited)

    def _held(self, pixels: int) -> npt.NDArray[Any]:
        """Zeros for payloads of so many pixels, each filled up to whole words."""
        from snn_deploy_cpu.kernels.register_tile import WORD

        inputs, together = self.path.form.weight.shape[1], WORD // np.dtype(self.payload).itemsize
        return np.zeros(pixels * -(-inputs // together) * together, self.payload)


def _at_once(form: Convolution, peaks: npt.NDArray[np.int64]) -> int:
    """Most words of payloads whose products no 16-bit sum can overflow, 0 where those of a single word may.

    A word adds the products of two channels to one sum and those of two more to another one. Words neighbour each other
    along a row of the kernel; in a dilated one, within a tap. No sum goes beyond what all of one sign come to.
    """
    outputs, inputs, height, width = form.weight.shape
    rows = height if form.dilations[1] == 1 else height * width
    products = np.zeros((outputs, height, width, -(-inputs // 4) * 4), np.int32)
    products[..., :inputs] = form.weight.transpose(0, 2, 3, 1) * peaks.astype(np.int32)
    pairs = products.reshape(outputs, rows, -1, 2, 2)
    above, below = np.maximum(pairs, 0).sum(-1), np.maximum(-pairs, 0).sum(-1)
    length, parts = pairs.shape[2], 1
    while True:
        at_once = -(-length // parts)
        starts = np.arange(0, length, at_once)
        if max(np.add.reduceat(sums, starts, axis=2).max() for sums in (above, below)) <= np.iinfo(np.int16).max:
            return at_once
        if at_once == 1:
            return 0
        parts += (parts + 1) // 2


def _words(form: Convolution, payload: Stored) -> npt.NDArray[np.void]:
    from snn_deploy_cpu.kernels.register_tile import words_of

    return words_of(form.weight if payload is np.uint8 else form.weight.astype(np.int16))
