"""What ``snn-deploy verify`` compares: backends on images, and recordings of the same images, batch by batch."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.stimulus import stimulus_digest, stimulus_of
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.commands.verify_folder import folder_image
from snn_deploy.data import images
from snn_deploy.data.stimulus import stimulus_at
from snn_deploy.display.console import note
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification import Comparison, Level, Status, Trace, Verdict
from snn_deploy.verification.diagnosis.autopsy import explain
from snn_deploy.verification.traces.alignment import align_batch
from snn_deploy.verification.traces.decoding import decode
from snn_deploy.verification.traces.readers import is_potentials, read_nir_data, read_sana_fe
from snn_deploy.verification.traces.trace_file import Time, TraceFile

Payloads = Int64

SANA_FE = ("spikes.csv", "potentials.csv")
"""Names of SANA-FE's tables in a folder."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--trace`` and how to read it."""
    group = parser.add_argument_group("recordings")
    group.add_argument(
        "--trace",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a recording: .npz, .nir, SANA-FE .csv, or a folder with spikes.csv and potentials.csv",
    )
    group.add_argument(
        "--share",
        type=shared.real(0, 1),
        default=1.0,
        metavar="PART",
        help="part of each population that must have been probed (default: 1, all)",
    )
    group.add_argument(
        "--mark", type=shared.whole(1), metavar="V", help="membrane that the read-out shows at a spike (Loihi: 128)"
    )
    group.add_argument(
        "--bits", type=shared.whole(2, 63), metavar="N", help="words were read as unsigned; their N-th bit is the sign"
    )
    group.add_argument("--dt", type=shared.real(1e-12, 1e12), help="length of a step in a .nir file with event times")


@dataclass(frozen=True)
class Compared:
    """A comparison with what a report of it needs.

    ``stimuli`` are digests of the batches, ``payloads`` the last of them, ``engines`` what computed each backend,
    ``cause`` what the autopsy of the first introduced error found.
    """

    network: Network
    verdict: Verdict
    stimuli: tuple[str, ...]
    payloads: Payloads
    engines: Mapping[str, str]
    cause: str


def compared(arguments: argparse.Namespace, network: Network, level: Level) -> Compared:
    """Run the backends on one batch after the other, and compare them with what was recorded of it."""
    network, source = _source(arguments, network)
    with ExitStack() as opened:
        recordings = [_open(path, network, arguments, opened) for path in arguments.trace]
        if len(arguments.backends) + len(recordings) < 2:
            raise VerificationError(
                "one backend and no --trace: there is nothing to compare it with; write --backends reference,cpu, say"
            )
        comparison = Comparison(network, level, share=arguments.share, replay=level >= Level.TRAIN)
        whole = any(item.time == "recording" for item in recordings)
        record = max(level.record, Record.TRAINS if whole else Record.COUNTS)
        stimuli: list[str] = []
        engines: dict[str, str] = {}
        cause = ""
        for index, payloads in enumerate(_batches(source, recordings)):
            runs = [shared.run(name, network, payloads, record) for name in arguments.backends]
            batch: list[Run | Trace] = [*runs, *(_aligned(item, index, network, runs[0]) for item in recordings)]
            comparison.add(batch)
            stimuli.append(stimulus_digest(payloads))
            engines |= {run.backend: "+".join(sorted(set(run.engines.values()))) for run in runs}
            cause = cause or _cause(network, comparison.verdict(), batch)
        return Compared(network, comparison.verdict(), tuple(stimuli), payloads, engines, cause)


def _cause(network: Network, verdict: Verdict, batch: Sequence[Run | Trace]) -> str:
    if verdict.status is not Status.DIFFERENT or verdict.asked < Level.TRAIN:
        return ""
    diagnosis = explain(network, verdict, batch)
    return "" if diagnosis is None else diagnosis.text


@dataclass(frozen=True)
class _Source:
    """Images of one size: ``read(first, last)`` gives payloads (last - first, C, H, W); ``together`` are run at once."""

    name: str
    count: int
    together: int
    read: Callable[[int, int], Payloads]


def _source(arguments: argparse.Namespace, network: Network) -> tuple[Network, _Source]:
    """The network at the size of the images that ``--input`` names, a file or a folder, and these."""
    name = str(arguments.input)
    if not arguments.input.is_dir():
        network, _, payloads = shared.stimulus(arguments, network)
        return network, _Source(name, len(payloads), len(payloads), lambda first, last: payloads[first:last])
    paths = images.image_paths(arguments.input)
    sized, _ = stimulus_at(network, folder_image(arguments, paths, 0, network.input.shape[0]), name)

    def read(first: int, last: int) -> Payloads:
        found = []
        for index in range(first, last):
            image = folder_image(arguments, paths, index, sized.input.shape[0])
            if image.shape[1:] != sized.input.shape:
                raise VerificationError(
                    f"{paths[index]}: is {image.shape[2]}x{image.shape[3]}, the first image "
                    f"{sized.input.shape[1]}x{sized.input.shape[2]}; one network is verified, so use --crop"
                )
            found.append(stimulus_of(sized, image))
        return np.concatenate(found)

    return sized, _Source(name, len(paths), 1, read)


@dataclass(frozen=True)
class _Recording:
    """``sizes`` are the numbers of images in its batches, ``batch`` reads one of these, ``time`` says what steps mean."""

    path: Path
    sizes: tuple[int, ...]
    batch: Callable[[int], Trace]
    time: Time


def _open(path: Path, network: Network, arguments: argparse.Namespace, opened: ExitStack) -> _Recording:
    if path.is_dir() or path.suffix == ".csv":
        return _one_batch(path, read_sana_fe(network, *_sana_fe_files(path)), arguments)
    if path.suffix in (".nir", ".nird"):
        return _one_batch(path, read_nir_data(path, network, dt=arguments.dt), arguments)
    file = opened.enter_context(TraceFile(path))
    return _Recording(path, file.header.images, lambda index: _decoded(file[index], arguments), file.header.time)


def _one_batch(path: Path, trace: Trace, arguments: argparse.Namespace) -> _Recording:
    return _Recording(path, (trace.images,), lambda _: _decoded(trace, arguments), "recording")


def _decoded(trace: Trace, arguments: argparse.Namespace) -> Trace:
    if arguments.mark is None and arguments.bits is None:
        return trace
    return decode(trace, mark=arguments.mark, bits=arguments.bits)


def _sana_fe_files(path: Path) -> tuple[Path | None, Path | None]:
    """Spikes and potentials: those of a folder, or the one that a table's first line tells."""
    if path.is_dir():
        spikes, potentials = (path / name if (path / name).is_file() else None for name in SANA_FE)
        if spikes is None and potentials is None:
            raise VerificationError(f"{path}: holds neither {' nor '.join(SANA_FE)}")
        return spikes, potentials
    return (None, path) if is_potentials(path) else (path, None)


def _batches(source: _Source, recordings: Sequence[_Recording]) -> Iterator[Payloads]:
    """The images, batch by batch as they were recorded."""
    sizes = {item.sizes for item in recordings}
    if len(sizes) > 1:
        raise VerificationError(f"the recordings hold batches of {' and '.join(map(str, sorted(sizes)))} images")
    images_of = sizes.pop() if sizes else (source.together,) * (source.count // source.together)
    if sum(images_of) != source.count:
        raise VerificationError(
            f"{recordings[0].path}: holds {sum(images_of)} image(s), {source.name} {source.count}; give those recorded"
        )
    for first, last in pairwise(accumulate(images_of, initial=0)):
        yield source.read(first, last)


def _aligned(recording: _Recording, index: int, network: Network, baseline: Run) -> Trace:
    """One batch, cut to the populations' windows; where it begins is found by itself."""
    found = align_batch(network, Trace.of(baseline), recording.batch(index), recording.time)
    for warning in found.warnings:
        note(f"{recording.path}: {warning}")
    return found.trace
