"""Options of streams that several verbs share, and the stream that they name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.backend.stream import StreamState
from snn_deploy.backend.stream_file import load_state
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.modes import Mode, Need
from snn_deploy.data.event_file import SUFFIXES
from snn_deploy.data.frames import Frames
from snn_deploy.data.stimulus import prepare_stimulus, quantize_dead_zone
from snn_deploy.errors import StimulusError
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import hold_small_changes, prepare_stream


def add_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """``--stream`` and ``--frames``; returns the group, for options of one verb."""
    group = parser.add_argument_group("stream")
    group.add_argument(
        "--stream",
        type=Path,
        metavar="PATH",
        help="frames one after the other, states carried over: a folder of pictures in natural order, a video, TIFF pages, .npy,"
        " events (.npz, .npy, .aedat4)",
    )
    group.add_argument(
        "--frames", type=shared.indices, metavar="FIRST-LAST", help="range of frames to use, counted from 0"
    )
    group.add_argument(
        "--bin",
        type=shared.real(0, 2.0**53),
        metavar="TIME",
        help="of a file of events (x, y, t, p): a frame, or a step of a rate-mode window, counts those of so much time, in the unit"
        " of t",
    )
    group.add_argument(
        "--dead-zone",
        type=shared.real(0, 255),
        default=0.0,
        metavar="SIZE",
        help="do not send values that differ by at most SIZE/255 from what was sent of them last (default: 0)",
    )
    group.add_argument(
        "--hold",
        type=shared.whole(0),
        default=0,
        metavar="N",
        help="neurons do not send changes of at most N counts: fewer operations, less quality (default: 0)",
    )
    return group


def mode(options: str) -> Mode:
    """The mode of a verb with ``--stream``, in which ``options`` act."""
    return Mode(
        "with --stream",
        f"network stream frames bin dead_zone hold crop noise seed {options}",
        lambda arguments: arguments.stream is not None,
    )


BIN = Need(
    "bin",
    f"without a file of events ({', '.join(SUFFIXES)}) as --stream or --input",
    lambda arguments: (arguments.stream or arguments.input or Path()).suffix.lower() in SUFFIXES,
)


def is_shown(arguments: argparse.Namespace) -> bool:
    """Whether an image or a stream is given."""
    return arguments.input is not None or arguments.stream is not None


def check_one(arguments: argparse.Namespace) -> None:
    """:class:`StimulusError` unless exactly one of ``--input`` and ``--stream`` is given."""
    if (arguments.input is None) == (arguments.stream is None):
        raise StimulusError("give either --input FILE, an image, or --stream PATH, frames one after the other")


def read_frames(arguments: argparse.Namespace, network: Network) -> Frames:
    """The frames that the command line names, for ``network``."""
    chosen = arguments.frames or slice(0, None)
    return Frames(
        arguments.stream,
        network.input.shape[0],
        arguments.crop,
        arguments.noise,
        arguments.seed,
        network.picture,
        chosen.start,
        chosen.stop,
        arguments.bin,
        network.input.shape[1:],
    )


@dataclass(frozen=True, eq=False)
class StreamInput:
    """``network`` as it streams, at the size of the frames; ``state``: where it goes on from, ``None`` from rest.

    Iterate it for the payloads (1, C, H, W) int64 of one frame after the other; ``total`` is their number, where it is known.
    ``dead_zone``: changes of so many counts (C, 1, 1) are not sent.
    """

    network: Network
    state: StreamState | None
    frames: Frames
    dead_zone: Int64

    @classmethod
    def of(cls, arguments: argparse.Namespace, network: Network) -> StreamInput:
        """What the command line names; ``--resume``, where the verb has it, is read."""
        frames = read_frames(arguments, network)
        resume = getattr(arguments, "resume", None)
        if resume is not None:
            return cls(
                *load_state(resume, network, arguments.hold), frames, quantize_dead_zone(network, arguments.dead_zone)
            )
        name, image = next(iter(frames))
        sized, _ = prepare_stimulus(network, image, name)
        return cls(
            prepare_stream(sized, arguments.hold), None, frames, quantize_dead_zone(network, arguments.dead_zone)
        )

    @property
    def total(self) -> int | None:
        """Number of frames, as far as it is known."""
        return self.frames.number

    def __iter__(self) -> Iterator[Int64]:
        """Payloads, frame after frame; :class:`StimulusError` for a frame of another size."""
        size = self.network.input.shape[1:]
        held = None if self.state is None else self.state.source.astype(np.int64)
        for name, image in self.frames:
            if image.shape[2:] != size:
                raise StimulusError(
                    f"{name}: is {image.shape[2]}x{image.shape[3]}, the stream {size[0]}x{size[1]}; give frames of one size, "
                    "or --crop"
                )
            payloads = quantize_images(self.network, image)
            held = payloads if held is None else hold_small_changes(payloads, held, self.dead_zone)
            yield held
