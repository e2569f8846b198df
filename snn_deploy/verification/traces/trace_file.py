"""Trace files: what a chip or a simulator recorded, as an ``.npz`` that NumPy alone can write, read in a stream.

A file holds arrays named ``BATCH/KIND/POPULATION`` (``0/trains/enc1/b``), where KIND is a field of
:class:`snn_deploy.verification.traces.trace.Probe` and batches count from 0, and one array of text, ``manifest``, that is JSON::

    {"format": "snn-deploy trace", "version": 1, "name": "loihi2", "time": "window",
     "network": SHA-256 or null, "batches": [{"images": 2, "stimulus": SHA-256 or null}]}

``time`` is ``window`` where trains and states hold each population's own window, and ``recording`` where they hold the
whole recording, whose lag :mod:`snn_deploy.verification.traces.alignment` finds. With ``"frames": true`` the batches are the frames
of streams, in order: counts are those after a frame, and stand beside its trains. Nothing is unpickled, no array is read
before its size is checked, and none before it is looked at: one population of one batch is in memory at a time.
``docs/reference/trace-format.md`` says it all again for those who write such files.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import textwrap
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.errors import VerificationError
from snn_deploy.files import check_regular, replacing
from snn_deploy.verification.traces.trace import Deferred, Probe, Time, Trace

FORMAT = "snn-deploy trace"
VERSION = 1
KINDS = {
    "neurons": "neurons",
    "totals": "totals",
    "counts": "counts",
    "events": "events",
    "trains": "trains",
    "states": "states",
    "currents": "second_states",
}
"""Kinds of arrays in a file, and the fields of :class:`Probe` that hold them."""

STIMULUS = "stimulus"
"""Kind of the payloads (B, C, H, W) that a batch was recorded of; the name is that of the input."""

PROBE_LIMIT = 2**31
"""Largest sum of one population's arrays in one batch, in bytes, uncompressed, that a reader accepts."""

_BATCH = re.compile(r"0|[1-9][0-9]{0,8}")
"""Batches are written in one way only: ``0`` and ``00`` would be two entries for one array."""

_FLOAT64_EXACT = 2**53
"""Whole numbers below are exact in float64."""

MANIFEST_LIMIT = 2**24
"""Largest manifest in bytes."""

_DAMAGE = (
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the readers of ZIP entries and of NumPy's headers raise on damaged bytes."""


@dataclass(frozen=True)
class TraceHeader:
    """What a trace file says about itself; ``stimuli`` and ``images`` have one entry for each batch.

    ``frames``: the batches are frames of streams, and ``images`` how many streams run side by side.
    """

    name: str
    time: Time
    network: str | None
    images: tuple[int, ...]
    stimuli: tuple[str | None, ...]
    frames: bool = False


def write_trace(path: Path, batches: Iterable[Trace]) -> TraceHeader:
    """Write ``batches``, all of one recorder, network and time, to ``path``; one of them is in memory at a time."""
    images: list[int] = []
    stimuli: list[str | None] = []
    named: tuple[str, str | None, Time] | None = None
    with (
        replacing(path, VerificationError) as neighbour,
        zipfile.ZipFile(neighbour, "w") as archive,
    ):
        for index, trace in enumerate(batches):
            if named not in (None, (trace.name, trace.network, trace.time)):
                raise VerificationError(
                    f"batch {index} is of {trace.name}, those before it of another recorder, network or time"
                )
            named = (trace.name, trace.network, trace.time)
            images.append(trace.images)
            stimuli.append(trace.stimulus)
            for population, probe in trace.probes.items():
                _write_probe(archive, f"{index}/{{}}/{population}", probe)
        if named is None:
            raise VerificationError("a trace without a batch would compare nothing")
        name, network, time = named
        header = TraceHeader(name, time, network, tuple(images), tuple(stimuli))
        _write_array(archive, "manifest", np.array(_manifest(header)))
    return header


def _manifest(header: TraceHeader) -> str:
    batches = [
        {"images": images, "stimulus": stimulus} for images, stimulus in zip(header.images, header.stimuli, strict=True)
    ]
    record = {
        "format": FORMAT,
        "version": VERSION,
        "name": header.name,
        "time": header.time,
        "network": header.network,
        "batches": batches,
    }
    return json.dumps(record)


def _write_probe(archive: zipfile.ZipFile, key: str, probe: Probe) -> None:
    derived = probe.trains is not None
    for kind, field in KINDS.items():
        array: Array | None = getattr(probe, field)
        if array is None or (derived and kind in ("totals", "counts", "events")):
            continue
        _write_array(archive, key.format(kind), array)


def _write_array(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED  # an entry of its own forgets what the archive was opened with
    with archive.open(entry, "w", force_zip64=True) as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)


_Entries: TypeAlias = dict[int, dict[str, dict[str, zipfile.ZipInfo]]]
"""Batch, population, kind."""


class TraceFile:
    """An open trace file; iterate it for its batches, as often as needed. Also a context manager."""

    def __init__(self, path: Path, limit: int = PROBE_LIMIT) -> None:
        self.path, self.limit = path, limit
        check_regular(path, VerificationError)
        try:
            self._archive = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise VerificationError(f"{path}: not a trace file, or damaged: {_reason(error)}") from error
        try:
            self.header, self._entries, self._stimuli = self._open()
        except VerificationError as error:
            self.close()
            raise VerificationError(f"{path}: {error}") from error
        except _DAMAGE as error:
            self.close()
            raise VerificationError(f"{path}: damaged: {_reason(error)}") from error

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def __iter__(self) -> Iterator[Trace]:
        """Batches; their probes are read when they are looked at, while the file is open."""
        return (self[index] for index in self._entries)

    def __getitem__(self, index: int) -> Trace:
        """One batch."""
        probes, header = Deferred(self._entries[index], partial(self._probe, index)), self.header
        return Trace(header.name, header.images[index], probes, header.network, header.stimuli[index], header.time)

    def kinds(self, index: int) -> dict[str, frozenset[str]]:
        """Kinds of arrays of every population in one batch; none is read."""
        return {population: frozenset(entries) for population, entries in self._entries[index].items()}

    def stimulus(self, index: int) -> Int64 | None:
        """Payloads (B, C, H, W) int64 that batch ``index`` was recorded of; ``None`` where the file does not hold them.

        (B, T, C, H, W) where every step of a window has an input of its own.
        """
        info, said = self._stimuli.get(index), self.header.stimuli[index]
        if info is None:
            return None
        where = f"{self.path}: batch {index}: {STIMULUS}"
        payloads: Int64 = self._read(where, {STIMULUS: info})[STIMULUS].astype(np.int64)
        if payloads.ndim not in (4, 5) or len(payloads) != self.header.images[index]:
            raise VerificationError(
                f"{where}: shape {payloads.shape}; ({self.header.images[index]}, C, H, W) is expected, or with an axis of steps "
                "behind the first"
            )
        if said is not None and digest_stimulus(payloads) != said:
            raise VerificationError(f"{where}: is not the one that the manifest names by its digest")
        return payloads

    def _open(self) -> tuple[TraceHeader, _Entries, dict[int, zipfile.ZipInfo]]:
        infos = self._archive.infolist()
        names = [info.filename for info in infos]
        if len(set(names)) != len(names):
            raise VerificationError("two entries share a name")
        manifest = next((info for info in infos if info.filename == "manifest.npy"), None)
        if manifest is None:
            raise VerificationError("not a trace file: no array 'manifest'")
        header = _parse(self._text(manifest))
        entries: _Entries = {index: {} for index in range(len(header.images))}
        stimuli: dict[int, zipfile.ZipInfo] = {}
        for info in infos:
            if info is manifest:
                continue
            batch, kind, population = _key(info.filename)
            if batch not in entries:
                raise VerificationError(f"{info.filename}: the manifest has {len(entries)} batches, numbered from 0")
            if kind == STIMULUS:
                if batch in stimuli:
                    raise VerificationError(f"{info.filename}: batch {batch} has two stimuli; one is needed")
                stimuli[batch] = info
            else:
                entries[batch].setdefault(population, {})[kind] = info
        empty = [index for index, found in entries.items() if not found]
        if empty:
            raise VerificationError(f"batch {empty[0]} contains no arrays")
        for index, found in entries.items():
            bare = [
                name for name, kinds in found.items() if header.frames and "trains" in kinds and "counts" not in kinds
            ]
            if bare:
                raise VerificationError(
                    f"batch {index}: {bare[0]}: trains without counts; of a frame, counts are what was counted since the stream "
                    "began, and do not follow from its trains: give them, too"
                )
        return header, entries, stimuli

    def _text(self, info: zipfile.ZipInfo) -> str:
        if info.file_size > MANIFEST_LIMIT:
            raise VerificationError(f"the manifest holds {info.file_size} bytes; {MANIFEST_LIMIT} are allowed")
        array = np.load(io.BytesIO(self._archive.read(info)), allow_pickle=False)
        if array.dtype.kind != "U" or array.size != 1:
            raise VerificationError(f"the manifest is {array.dtype} {array.shape}, not one text")
        return str(array.reshape(())[()])

    def _probe(self, index: int, population: str) -> Probe:
        where = f"{self.path}: batch {index}: {population}"
        arrays = self._read(where, self._entries[index][population])
        try:
            return Probe(**{KINDS[kind]: array for kind, array in arrays.items()})
        except VerificationError as error:
            raise VerificationError(f"{where}: {error}") from error

    def _read(self, where: str, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, Array]:
        """The arrays of ``entries`` by kind."""
        total = sum(info.file_size for info in entries.values())
        if total > self.limit:
            raise VerificationError(f"{where}: {total} bytes, {self.limit} are allowed; record fewer images in a batch")
        arrays = {}
        try:
            for kind, info in entries.items():
                with self._archive.open(info) as stream:
                    arrays[kind] = _read_array(stream, info)
        except VerificationError as error:
            raise VerificationError(f"{where}: {error}") from error
        except _DAMAGE as error:
            raise VerificationError(f"{where}: damaged: {_reason(error)}") from error
        return arrays


def read_trace(path: Path) -> Iterator[Trace]:
    """The batches of the trace file ``path``, which stays open as long as one of them is used."""
    return iter(TraceFile(path))


def _read_array(stream: IO[bytes], info: zipfile.ZipInfo) -> Array:
    """The array of one entry, whose header must promise no more than the entry holds."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise VerificationError(f"{info.filename}: array format {version} is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)  # type: ignore[no-untyped-call]  # numpy types no header readers
    if dtype.hasobject or dtype.kind not in "iubf":
        raise VerificationError(f"{info.filename}: {dtype}; integers are compared")
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if expected > info.file_size:
        raise VerificationError(f"{info.filename}: promises {expected} bytes, holds {info.file_size}")
    data = stream.read(expected)
    if len(data) != expected or stream.read(1):
        raise VerificationError(f"{info.filename}: does not hold the {expected} bytes that its header promises")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "f":
        return _whole(array, info.filename)
    return array.astype(np.int8) if dtype.kind == "b" else array


def _whole(array: Array, where: str) -> Int64:
    """Integers that were kept as floats, as Lava's ``Monitor`` does."""
    numbers = np.asarray(array, np.float64)
    fractions = ~(np.abs(numbers) < _FLOAT64_EXACT) | (numbers != np.rint(numbers))
    if np.any(fractions):
        raise VerificationError(
            f"{where}: {array.dtype}, of which {np.count_nonzero(fractions)} of {array.size} values are not whole numbers, "
            f"as {numbers[fractions][0]:g}; integers are compared: multiply by the unit that they were divided by"
        )
    return numbers.astype(np.int64)


def _key(filename: str) -> tuple[int, str, str]:
    parts = filename.removesuffix(".npy").split("/", 2)
    if (
        not filename.endswith(".npy")
        or len(parts) != 3
        or not _BATCH.fullmatch(parts[0])
        or parts[1] not in (*KINDS, STIMULUS)
    ):
        raise VerificationError(
            f"entry {filename!r} is not BATCH/KIND/POPULATION with a batch of 0, 1, ... and a kind of {', '.join(KINDS)}"
        )
    return int(parts[0]), parts[1], parts[2]


def _parse(text: str) -> TraceHeader:
    try:
        record = json.loads(text)
        if record["format"] != FORMAT or record["version"] != VERSION:
            raise VerificationError(
                f"format {record['format']!r} version {record['version']!r}; this program reads {FORMAT!r} "
                f"version {VERSION}"
            )
        header = TraceHeader(
            name=record["name"],
            time=record["time"],
            network=record["network"],
            images=tuple(batch["images"] for batch in record["batches"]),
            stimuli=tuple(batch["stimulus"] for batch in record["batches"]),
            frames=record.get("frames", False),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise VerificationError(f"the manifest is incomplete or not JSON: {_reason(error)}") from error
    texts = (header.network, *header.stimuli)
    if (
        not isinstance(header.name, str)
        or header.time not in ("window", "recording")
        or not all(text is None or isinstance(text, str) for text in texts)
        or not header.images
        or not all(type(images) is int and images > 0 for images in header.images)
        or type(header.frames) is not bool
    ):
        raise VerificationError("the manifest holds a value of the wrong type, or no batch")
    if header.frames and (header.time != "window" or len(set(header.images)) > 1):
        raise VerificationError("frames of streams are windows, and every batch has as many images: one of each stream")
    return header


def _reason(error: BaseException) -> str:
    """What went wrong; some of these errors quote the file."""
    return textwrap.shorten(f"{type(error).__name__}: {error}".splitlines()[0], 160, placeholder=" ...")
