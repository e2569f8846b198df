"""Recordings of any kind, opened: batches of images that are read, and decoded, when they are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from snn_deploy.arrays import Int64
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.checks import match_names
from snn_deploy.verification.traces.decoding import decode
from snn_deploy.verification.traces.nir_data import read_nir_data
from snn_deploy.verification.traces.sana_fe import is_potentials, read_sana_fe
from snn_deploy.verification.traces.trace import Deferred, Probe, Time, Trace
from snn_deploy.verification.traces.trace_file import KINDS, TraceFile

SANA_FE = ("spikes.csv", "potentials.csv")
"""Names of SANA-FE's tables in a folder."""

NIR = (".nir", ".nird")
"""Suffixes of NIRData files."""


@dataclass(frozen=True)
class Readout:
    """What a recorder did to the values, and cannot say itself.

    ``mark`` is the membrane that the read-out shows in a step with a spike (Loihi: 128). ``bits``: words were read as
    unsigned, and their sign is the bit of this number. ``dt`` is the length of a step in a NIRData file of event times.
    """

    mark: int | None = None
    bits: int | None = None
    dt: float | None = None

    def decode(self, trace: Trace) -> Trace:
        """``trace`` with the values that were there."""
        if self.mark is None and self.bits is None:
            return trace
        return decode(trace, mark=self.mark, bits=self.bits)


AS_RECORDED = Readout()
"""Nothing was done to the values."""


@dataclass(frozen=True)
class Batches:
    """An open recording: ``images`` in each of its batches, ``read`` gives one of these, ``time`` says what steps mean.

    ``network`` is the digest of what it says that it recorded; ``kinds`` are the arrays of every population of the first batch;
    ``stimulus`` gives the payloads (B, C, H, W) of a batch, or ``None`` where the recording does not hold them. ``frames``: its
    batches are the frames of streams, in order.
    """

    name: str
    images: tuple[int, ...]
    read: Callable[[int], Trace]
    time: Time
    network: str | None
    kinds: Mapping[str, frozenset[str]]
    stimulus: Callable[[int], Int64 | None] = lambda _: None
    frames: bool = False


@contextmanager
def open_recording(source: Path | Trace, network: Network, readout: Readout) -> Iterator[Batches]:
    """The batches of ``source``: a trace file, NIRData, SANA-FE's table or a folder of these, or one batch in memory."""
    if isinstance(source, Trace):
        yield _one_batch(source.name, source, readout)
    elif source.is_dir() or source.suffix == ".csv":
        yield _one_batch(str(source), read_sana_fe(network, *_tables(source)), readout)
    elif source.suffix in NIR:
        yield _one_batch(str(source), read_nir_data(source, network, dt=readout.dt), readout)
    else:
        with TraceFile(source) as file:
            renamed = match_names(network, file.kinds(0))
            yield Batches(
                str(source),
                file.header.images,
                lambda index: readout.decode(_renamed(file[index], renamed)),
                file.header.time,
                file.header.network,
                {renamed.get(name, name): kinds for name, kinds in file.kinds(0).items()},
                file.stimulus,
                file.header.frames,
            )


def list_recording_files(path: Path) -> dict[str, Path]:
    """The files that make up the recording at ``path``, by what to call them beside its name; a file is called ``""``."""
    tables = [path / name for name in SANA_FE if (path / name).is_file()]
    return {table.stem: table for table in tables} or {"": path}


def _one_batch(name: str, trace: Trace, readout: Readout) -> Batches:
    kinds = {population: _kinds(trace.probes[population]) for population in trace.probes}
    return Batches(name, (trace.images,), lambda _: readout.decode(trace), trace.time, trace.network, kinds)


def _kinds(probe: Probe) -> frozenset[str]:
    return frozenset(kind for kind, field in KINDS.items() if getattr(probe, field) is not None)


def _renamed(trace: Trace, names: Mapping[str, str]) -> Trace:
    """``trace`` with the populations called as ``names`` says."""
    if not names:
        return trace
    files = {names.get(name, name): name for name in trace.probes}
    return replace(trace, probes=Deferred(tuple(files), lambda name: trace.probes[files[name]]))


def _tables(path: Path) -> tuple[Path | None, Path | None]:
    """Spikes and potentials: those of a folder, or the one that a table's first line tells."""
    if path.is_dir():
        spikes, potentials = (path / name if (path / name).is_file() else None for name in SANA_FE)
        if spikes is None and potentials is None:
            raise VerificationError(f"{path}: holds neither {' nor '.join(SANA_FE)}")
        return spikes, potentials
    return (None, path) if is_potentials(path) else (path, None)
