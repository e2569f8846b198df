"""Events of an event camera, (x, y, t, p), binned into frames.

They stand in an ``.npz`` of four arrays, in an ``.npy`` of records with these fields (as tonic's data sets give them), or in an
AEDAT 4 file, which the package aedat reads (extra ``events``); its times are microseconds.

The rule: frame k counts the events with ``first + k bin <= t < first + (k + 1) bin``, ``first`` being the time of the earliest
one, pixel by pixel. With two channels channel 0 counts those of negative polarity (``p`` 0, -1 or false) and channel 1 those of
positive polarity; with one, positive ones count 1 and negative ones -1. Counts are what the network reads, as they are. A
bin without events is a frame of zeros. Where a network of rate mode reads a window of T steps, T frames in a row are one window.
``x`` is the column and ``y`` the row; ``t`` may have any unit, in which ``bin`` is, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Array, Float32, Int64, lies_within
from snn_deploy.data.array_file import read_entries, read_fields
from snn_deploy.errors import StimulusError, suggest_extras
from snn_deploy.files import check_regular
from snn_deploy.shapes import Size

FIELDS = ("x", "y", "t", "p")
"""Names of the arrays, one entry for each event."""

SUFFIXES = (".npz", ".npy", ".aedat4")
"""Of files that may hold events."""

MAX_RECORDING = 2**34
"""Largest AEDAT 4 file in bytes; its events are held at once."""

MAX_FRAMES = 2**20
"""Most frames of a file: a bin that is far too short must not ask for a stream that never ends."""


MAX_VALUES = 2**27
"""Most values of all windows of a file together: they are held at once."""


def holds_events(path: Path) -> bool:
    """Whether ``path`` is a file of events and not of images."""
    kind = path.suffix.lower()
    if kind == ".npz":
        return set(FIELDS) <= set(read_entries(path))
    return kind == ".aedat4" or (kind == ".npy" and bool(read_fields(path)))


def read_events(path: Path, channels: int, size: Size, bin: float) -> Iterator[Float32]:  # noqa: A002  # what it is called
    """Frames (1, C, H, W) float32, C = 1 or 2, of the events in ``path``, each of so much time; ``size`` is (H, W)."""
    if channels not in (1, 2):
        raise StimulusError(f"{path}: events have one channel or two polarities; the network reads {channels} channels")
    arrays = _checked(path, _read(path))
    time = arrays["t"]
    order = np.argsort(time, kind="stable")
    places, time = _places(path, arrays, size, channels)[order], time[order]
    positive = arrays["p"][order] > 0
    if not (np.isfinite(bin) and bin > 0):
        raise StimulusError(f"{path}: bins of {bin:g}; a positive duration in the file's unit of time is needed")
    number = np.floor((time - time[0]) / bin)
    if number[-1] >= MAX_FRAMES:
        raise StimulusError(
            f"{path}: bins of {bin:g} make {number[-1] + 1:,.0f} frames; at most {MAX_FRAMES:,} are read"
        )
    ends = np.searchsorted(number, np.arange(int(number[-1]) + 1), side="right")
    begin = 0
    for end in map(int, ends):
        frame = np.zeros(channels * size[0] * size[1], np.float32)
        weight = np.where(positive[begin:end], 1, -1) if channels == 1 else np.ones(end - begin)
        np.add.at(frame, places[begin:end], weight)
        yield frame.reshape(1, channels, *size)
        begin = end


def read_windows(path: Path, channels: int, size: Size, bin: float, steps: int) -> Float32:  # noqa: A002  # as above
    """The events in ``path`` as windows (B, T, C, H, W) float32: frame k is step ``k % steps`` of window ``k // steps``.

    What is missing of the last window is zeros. :class:`~snn_deploy.errors.StimulusError` beyond :data:`MAX_VALUES`.
    """
    windows: list[Float32] = []
    for number, frame in enumerate(read_events(path, channels, size, bin)):
        if number % steps == 0:
            if (len(windows) + 1) * steps * frame.size > MAX_VALUES:
                raise StimulusError(
                    f"{path}: bins of {bin:g} make more than {len(windows)} windows of {steps} steps, all of which are held at "
                    "once; take longer bins, or a part of the recording"
                )
            windows.append(np.zeros((steps, *frame.shape[1:]), np.float32))
        windows[-1][number % steps] = frame[0]
    return np.stack(windows)


def _read(path: Path) -> Mapping[str, Array]:
    if path.suffix.lower() == ".aedat4":
        return _decode(path)
    entries = read_entries(path)
    if path.suffix.lower() == ".npz":
        return entries
    (records,) = entries.values()
    return {name: records[name] for name in records.dtype.names or ()}


def _decode(path: Path) -> Mapping[str, Array]:
    """The events of an AEDAT 4 file."""
    check_regular(path, StimulusError, MAX_RECORDING)
    try:
        import aedat
    except ImportError as error:
        raise StimulusError(
            f"{path}: AEDAT 4 files need aedat; {suggest_extras('events')}, or give an .npz with arrays x, y, t and p"
        ) from error
    try:
        parts = [packet["events"] for packet in aedat.Decoder(path) if "events" in packet]
    except Exception as error:  # of its own kinds, which it does not name
        raise StimulusError(f"{path}: not a readable AEDAT 4 file: {' '.join(str(error).split())[:200]}") from error
    if not parts:
        raise StimulusError(f"{path}: contains no events")
    events = np.concatenate(parts)
    return {"x": events["x"], "y": events["y"], "t": events["t"], "p": events["on"]}


def _checked(path: Path, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    missing = [name for name in FIELDS if name not in arrays]
    if missing:
        raise StimulusError(f"{path}: no array {', '.join(missing)}; a file of events has {', '.join(FIELDS)}")
    shapes = {arrays[name].shape for name in FIELDS}
    if len(shapes) > 1 or arrays["t"].ndim != 1 or not arrays["t"].size:
        raise StimulusError(f"{path}: x, y, t and p have shapes {sorted(shapes)}; each needs one number for each event")
    if any(arrays[name].dtype.kind not in ("biuf" if name in "tp" else "iu") for name in FIELDS):
        raise StimulusError(f"{path}: x and y must be integers, t and p numbers")
    if not lies_within(arrays["t"].astype(np.float64), -(2.0**53), 2.0**53):
        raise StimulusError(f"{path}: times beyond +-2**53, or that are not numbers")
    if not set(np.unique(arrays["p"]).tolist()) <= {-1, 0, 1}:
        raise StimulusError(f"{path}: polarities p other than 1 and 0, or 1 and -1")
    return {name: arrays[name].astype(np.float64 if name in "tp" else np.int64) for name in FIELDS}


def _places(path: Path, arrays: Mapping[str, Array], size: Size, channels: int) -> Int64:
    """Flat places of the events in a frame (C, H, W)."""
    x, y = arrays["x"], arrays["y"]
    if not (lies_within(x, 0, size[1] - 1) and lies_within(y, 0, size[0] - 1)):
        raise StimulusError(
            f"{path}: events at columns {x.min()}..{x.max()} and rows {y.min()}..{y.max()}; the network reads "
            f"{size[0]}x{size[1]}, convert it for the sensor's size"
        )
    polarity = (arrays["p"] > 0).astype(np.int64) if channels == 2 else np.zeros_like(x)
    places: Int64 = (polarity * size[0] + y) * size[1] + x
    return places
