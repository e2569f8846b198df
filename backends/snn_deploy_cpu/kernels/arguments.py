"""The structures that kernels take, field by field those of ``kernels.h``. They hold addresses: arrays must outlive a call."""

from __future__ import annotations

from ctypes import Structure, addressof, c_char, c_double, c_float, c_int32, c_int64, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array
from snn_deploy.shapes import Pair

FORMATS: dict[np.dtype[Any], int] = {
    np.dtype(kind): place
    for place, kind in enumerate((np.uint8, np.int16, np.int32, np.uint16, np.int64, np.float32, np.float64, np.int8))
}
"""The numbers of formats in C; int8 are stored there plus 128."""

PAYLOAD_FORMATS = {np.dtype(kind): FORMATS[np.dtype(kind)] for kind in (np.uint8, np.int16, np.int32)}
"""Formats of payloads that kernels read."""

PairField = c_int64 * 2

NO_BYTES = c_char * 0


def address_of(array: Array) -> int:
    """Where ``array`` begins in memory; :class:`ValueError` unless its numbers follow each other."""
    try:  # half the time of asking the array, which every call does several times
        return addressof(NO_BYTES.from_buffer(array))  # type: ignore[arg-type]  # buffers have no type before Python 3.12
    except TypeError:  # may not be written to, or has gaps
        if not array.flags.c_contiguous:
            raise ValueError(f"an array of shape {array.shape} and strides {array.strides} is not contiguous") from None
        address: int = array.__array_interface__["data"][0]
        return address


def format_of(dtype: npt.DTypeLike) -> int:
    """The number of a format in C."""
    return FORMATS[np.dtype(dtype)]


class PayloadMaps(Structure):
    """Payloads (N, H, W, C), uint8, int16 or int32; ``beside``: of another source, for kernels that sum several up."""

    _fields_ = (
        ("data", c_void_p),
        ("count", c_int64),
        ("height", c_int64),
        ("width", c_int64),
        ("channels", c_int64),
        ("beside", c_void_p),
        ("format", c_int32),
    )

    @classmethod
    def of(cls, x: Array, beside: PayloadMaps | None = None) -> PayloadMaps:
        """The maps ``x``; :class:`ValueError` where they have another format."""
        number = PAYLOAD_FORMATS.get(x.dtype)
        if number is None:
            raise ValueError(f"payloads of {x.dtype}; kernels read uint8, int16 and int32")
        return cls(address_of(x), *x.shape, None if beside is None else addressof(beside), number)


class ConvGeometry(Structure):
    """Which input pixels a convolution reads (:class:`snn_deploy_cpu.conv.geometry.Convolution`), each as (rows, columns)."""

    _fields_ = tuple((name, PairField) for name in ("kernel", "strides", "dilations", "pads", "phases", "crop"))

    @classmethod
    def of(cls, *pairs: Pair) -> ConvGeometry:
        """Kernel, strides, dilations, pads, phases and crop."""
        return cls(*(PairField(*pair) for pair in pairs))


class UpsampleGeometry(Structure):
    """Which low-resolution products a pixel of the target adds (:class:`snn_deploy_cpu.conv.geometry.UpsampledConv`).

    ``left`` pixels of the row ring buffer stand before the map's own.
    """

    _fields_ = (("factor", c_int64), ("kernel", PairField), ("pads", PairField), ("left", c_int64))


class Currents(Structure):
    """Where currents are written: ``out`` (n_slots, rows, W', C') float32, whose row 0 is row ``row_begin`` of the target.

    One slot for each map, or a single one that maps share where currents are used up at once. Slots and rows begin so many
    numbers of ``number_bytes`` apart; ``pitch`` is 0 where rows share one place. Sums times ``scale``, a power of two, are
    written where ``overwrite``, and added to what stands there otherwise.
    """

    _fields_ = (
        ("out", c_void_p),
        ("slots", c_int64),
        ("rows", c_int64),
        ("columns", c_int64),
        ("channels", c_int64),
        ("row_begin", c_int64),
        ("slot_pitch", c_int64),
        ("pitch", c_int64),
        ("number_bytes", c_int64),
        ("scale", c_float),
        ("overwrite", c_int32),
    )

    @classmethod
    def of(cls, out: Array, row_begin: int, scale: float, overwrite: bool, shared_by: int | None = None) -> Currents:
        """The rows of ``out``, or as many as share each of its rows."""
        slots, rows, columns, channels = out.shape
        row = columns * channels
        sizes = (slots, shared_by or rows, columns, channels, row_begin)
        return cls(address_of(out), *sizes, rows * row, 0 if shared_by else row, out.itemsize, scale, overwrite)


class ThresholdCells(Structure):
    """Neurons with thresholds: their coefficients, states and payloads (``neurons`` in ``kernels.h`` says how they fire)."""

    _fields_ = (
        *((name, c_void_p) for name in ("v", "count", "drive", "start", "theta", "rounding_below")),
        *((name, c_void_p) for name in ("reciprocal", "reciprocal_below", "payloads")),
        *((name, c_int64) for name in ("size", "images", "tile", "driven_steps")),
        *((name, c_double) for name in ("least", "most")),
        *((name, c_float) for name in ("rounding", "count_least", "count_most", "reset_value", "hold")),
        *((name, c_int32) for name in ("per_neuron", "payload_format", "quotient", "resets", "stays")),
    )


class PackedWeights(Structure):
    """Weights of a direct convolution (:func:`snn_deploy_cpu.kernels.packing.pack_tiles`), and of the maps ``beside``."""

    _fields_ = (
        ("data", c_void_p),
        ("tiles", c_int64),
        ("vectors", c_int64),
        ("depth", c_int64),
        ("beside", c_void_p),
        ("format", c_int32),
    )


class PackedRows(Structure):
    """Weights of a sparse convolution (:func:`snn_deploy_cpu.kernels.packing.pack_rows`)."""

    _fields_ = (
        ("data", c_void_p),
        ("tiles", c_int64),
        ("width", c_int64),
        ("part", PairField),
        ("format", c_int32),
    )


class PackedTaps(Structure):
    """Weights of a depthwise convolution (:func:`snn_deploy_cpu.kernels.packing.pack_taps`), and the format of its sums."""

    _fields_ = (
        ("weights", c_void_p),
        ("places", c_void_p),
        ("count", c_int64),
        ("format", c_int32),
    )


class EventCounting(Structure):
    """What :meth:`snn_deploy_cpu.kernels.library.Kernels.count_events` reads and writes."""

    _fields_ = (
        *((name, c_void_p) for name in ("payloads", "counts", "events", "channel_max", "least", "nonzero")),
        *((name, c_int64) for name in ("steps", "size", "channels", "begin", "end")),
        *((name, c_int32) for name in ("payload_format", "count_format", "event_format", "bytes_hold_sums")),
    )
