"""The compiled kernels: which library is loaded, and its functions.

One library is built for each of :data:`INSTRUCTION_SETS`; the first is for any processor and says which of them this
one has. The environment variable :data:`VARIABLE` names a lesser one, or ``numpy`` for none of them, which is what a
package without compiled kernels has: libraries and NumPy then compute everything, in the same integers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import CDLL, Structure, addressof, byref, c_int64, c_void_p, cast
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.errors import BackendUnavailableError
from snn_deploy_cpu.kernels.arguments import (
    ConvGeometry,
    Currents,
    EventCounting,
    PackedRows,
    PackedTaps,
    PackedWeights,
    PayloadMaps,
    ThresholdCells,
    UpsampleGeometry,
    address_of,
    format_of,
)
from snn_deploy_cpu.kernels.sources import digest_sources

INSTRUCTION_SETS = ("baseline", "avx2", "avxvnni", "avx512vnni", "dotprod", "i8mm")
"""Of all kinds of processor, each from the least to the best; not every one that has one has all before it.

``baseline`` is plain C on x86-64, Neon on aarch64; ``dotprod`` and ``i8mm`` are aarch64's, with SDOT and USDOT."""

VARIABLE = "SNN_DEPLOY_INSTRUCTION_SET"

PackedKernel: TypeAlias = PackedWeights | PackedRows | PackedTaps
"""Weights as a convolution reads them, which say which one."""

CONVOLUTIONS: dict[tuple[type[Structure], type[Structure]], str] = {
    (PackedWeights, ConvGeometry): "direct_conv",
    (PackedWeights, UpsampleGeometry): "upsampled_direct_conv",
    (PackedRows, ConvGeometry): "sparse_conv",
    (PackedRows, UpsampleGeometry): "upsampled_sparse_conv",
    (PackedTaps, ConvGeometry): "depthwise_conv",
}


class Kernels:
    """The functions of one library; ``instruction_set`` names it. Calls release the interpreter.

    :class:`~snn_deploy.errors.BackendUnavailableError` for a library that was built from other sources than those beside it.
    """

    def __init__(self, instruction_set: str) -> None:
        self.instruction_set = instruction_set
        path = library_path(instruction_set)
        self._library = CDLL(str(path))
        _check_sources(self._library, path)
        for name in CONVOLUTIONS.values():
            self._declare(name, *[c_void_p] * 5)
        self._declare("share_rows", *[c_void_p] * 6, c_int64)
        self._declare("step_many", c_void_p, c_void_p, *[c_int64] * 4)
        self._declare("count_events", c_void_p)
        self._declare("gather_pixels", *[c_void_p] * 3, *[c_int64] * 4)
        for name in ("lanes", "max_vectors", "sums_32_bits", "interleaves_rows", "instruction_sets", "parts_each"):
            self._declare(name)
        self.lanes, self.max_vectors = int(self._library.lanes()), int(self._library.max_vectors())
        self.sums_32_bits = bool(self._library.sums_32_bits())
        self.interleaves_rows = bool(self._library.interleaves_rows())
        self.parts_each = int(self._library.parts_each())
        present = int(self._library.instruction_sets())
        self.supported = frozenset(name for bit, name in enumerate(INSTRUCTION_SETS) if present >> bit & 1)

    def _declare(self, name: str, *arguments: type) -> None:
        function = getattr(self._library, name)
        function.argtypes, function.restype = arguments, c_int64

    def _call(self, name: str, *arguments: object) -> int:
        answer: int = getattr(self._library, name)(*arguments)
        if answer < 0:
            raise MemoryError(f"kernel {name}: no memory for its buffers")
        return answer

    def convolve(
        self,
        x: Sequence[Array],
        weights: Sequence[PackedKernel],
        geometry: ConvGeometry | UpsampleGeometry,
        currents: Currents,
        cells: ThresholdCells | None,
        threads: int = 1,
    ) -> int:
        """Write the currents of ``x`` (N, H, W, C), uint8, int16 or int32, and step ``cells``, if any, as rows are complete.

        Several sources, which only a direct convolution sums up, are of one size and have ``weights`` each. Up to ``threads``
        share out the rows; ``parts_each`` rows for each of them where rows share one. Returns how many membranes left 24 bits.
        """
        name = CONVOLUTIONS[type(weights[0]), type(geometry)]
        if len(x) > 1 and name != "direct_conv":
            raise ValueError(f"kernel {name}: {len(x)} sources; it computes one")
        # from the last on: each knows what is beside it
        maps, kept = PayloadMaps.of(x[-1]), list[Structure]()
        packed = weights[-1]
        for each, own in zip(reversed(x[:-1]), reversed(weights[:-1]), strict=True):
            kept += maps, packed
            maps, packed = PayloadMaps.of(each, maps), type(own).from_buffer_copy(own)
            packed.beside = addressof(kept[-1])
        arguments: tuple[Structure, ...] = (maps, packed, geometry, currents)
        stepped = None if cells is None else byref(cells)
        if threads == 1:
            return self._call(name, *map(byref, arguments), stepped)
        kernel = cast(getattr(self._library, name), c_void_p)
        return self._call("share_rows", kernel, *map(byref, arguments), stepped, threads)

    def step_many(self, cells: ThresholdCells, currents: Array, begin: int, steps: int) -> int:
        """Step neurons ``begin`` ... by ``currents`` (T or 1, n) float32; returns how many membranes left 24 bits."""
        return self._call("step_many", byref(cells), address_of(currents), *currents.shape, begin, steps)

    def count_events(
        self, payloads: Array, counts: Array, events: Array, begin: int, end: int, channels: int, bytes_hold_sums: bool
    ) -> tuple[Array, int, int]:
        """Add sums over steps and numbers of events of neurons ``begin .. end``.

        ``payloads`` (T, N) uint8, int16 or int32; ``counts`` and ``events`` (N,) uint16 or int64. With
        ``bytes_hold_sums`` payloads are uint8 and their sums at most 255. Returns the largest payload of each channel
        (C,) int64, or 0; the smallest payload, or 0; and the number of all events.
        """
        statistics = np.zeros(channels + 2, np.int64)
        largest, least, nonzero = statistics[:channels], statistics[channels:], statistics[channels + 1 :]
        job = EventCounting(
            *map(address_of, (payloads, counts, events, largest, least, nonzero)),
            *(*payloads.shape, channels, begin, end),
            *map(format_of, (payloads.dtype, counts.dtype, events.dtype)),
            bytes_hold_sums,
        )
        self._call("count_events", byref(job))
        return largest, int(least[0]), int(nonzero[0])

    def gather_pixels(self, x: Array, indices: Array, out: Array) -> None:
        """``out[n, p] = x[n, indices[p]]``, whole pixels: ``x`` (N, H * W, C), ``out`` (N, P, C) of the same format."""
        (count, pixels, channels), arrays = x.shape, (x, indices, out)
        self._call("gather_pixels", *map(address_of, arrays), count, pixels, indices.size, channels * x.itemsize)


def _check_sources(library: CDLL, path: Path) -> None:
    """Refuse a library whose arguments may have changed since it was built: it would compute other numbers."""
    expected = digest_sources(path.parent)
    if expected is None:
        return
    built = getattr(library, "source_digest", None)  # libraries built before there was a digest have none
    if built is not None:
        built.restype = c_int64
    if built is None or built() != expected:
        raise BackendUnavailableError(
            f"{path}: compiled from other sources than those beside it; compile them again: python backends/hatch_build.py"
            f" (or set {VARIABLE}=numpy to do without compiled kernels)"
        )


def library_path(instruction_set: str) -> Path:
    """Where the library for ``instruction_set`` is, if the package has one."""
    return Path(__file__).parent / f"kernels_{instruction_set}.so"


@cache
def load_kernels(instruction_set: str) -> Kernels | None:
    """The kernels for ``instruction_set``; ``None`` where the package has none, or the processor cannot run them."""
    if not library_path(instruction_set).exists():
        return None
    if instruction_set != INSTRUCTION_SETS[0]:
        least = load_kernels(INSTRUCTION_SETS[0])
        # asked before it is loaded: a library may hold instructions that the processor does not know
        if least is None or instruction_set not in least.supported:
            return None
    try:
        return Kernels(instruction_set)
    except OSError:  # built for another system
        return None


@cache
def select_kernels() -> Kernels | None:
    """The best kernels that run here; ``None`` where there are none, or ``numpy`` is asked for."""
    wanted = os.environ.get(VARIABLE, INSTRUCTION_SETS[-1])
    if wanted == "numpy":
        return None
    if wanted not in INSTRUCTION_SETS:
        raise BackendUnavailableError(
            f"{VARIABLE}={wanted}: no such instruction set; choose {', '.join(INSTRUCTION_SETS)} or numpy"
        )
    allowed = INSTRUCTION_SETS[: INSTRUCTION_SETS.index(wanted) + 1]
    return next(filter(None, map(load_kernels, reversed(allowed))), None)
