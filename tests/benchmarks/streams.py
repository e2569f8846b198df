"""What streams cost: ``python tests/benchmarks/streams.py [--frames 100] [--reference 5] [--levels 31,127] [--data DIR]
[--fuse-upsampling]``.

Two sequences of 128x128 pixels through three shipped networks: a scene that stands still, in which a square of 24x24 pixels
moves by 3 pixels a frame, and a drive (CamSeq, forth and back where there are fewer frames; left out without ``--data``). Every
frame's counts are compared with the integer network's for that frame, ``==``, on the cpu and, for the first ``--reference``
frames, on the reference. Still images and frames are timed in turn, each as process CPU time. Nothing runs with the tests.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import snn_deploy as sd
from snn_deploy.activity.stream import StreamCounter
from snn_deploy.arrays import Float32, Int64
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.backend.stream import open_stream
from snn_deploy.data.frames import Frames
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from snn_deploy_cpu.kernels.library import select_kernels

SIDE, OBJECT, SPEED = 128, 24, 3
NETWORKS = {
    "denoiser_s25": (1, 25.0, None),
    "segmenter_isbi": (1, 0.0, "ISBI2012/image"),
    "segmenter_camseq": (3, 0.0, "CamSeq_frames/val"),
}
"""Channels, noise in 255ths of calibration images and fixed in the static scene, calibration images below ``--data``."""

WARM_UP = 5
"""Frames before anything is timed: the still run measures its convolutions."""


def still_scene(channels: int, frames: int, fixed: float, fresh: float = 0.0) -> Iterator[Float32]:
    """A photograph with noise of ``fixed / 255`` that stays and of ``fresh / 255`` in every frame; a textured square moves."""
    import skimage.data

    rng = np.random.default_rng(0)
    photograph = skimage.data.camera() if channels == 1 else skimage.data.astronaut()
    texture = skimage.data.brick()[:OBJECT, :OBJECT, None] / 255
    scene = photograph.reshape(*photograph.shape[:2], channels)[128 : 128 + SIDE, 128 : 128 + SIDE] / 255
    noise = rng.normal(0, fixed / 255, scene.shape)
    for number in range(frames):
        frame = scene.copy()
        left = (20 + SPEED * number) % (SIDE - OBJECT)
        frame[40 : 40 + OBJECT, left : left + OBJECT] = texture
        seen = np.clip(frame + noise + rng.normal(0, fresh / 255, scene.shape), 0, 1)
        yield (np.rint(np.moveaxis(seen, 2, 0)[None] * 255) / 255).astype(np.float32)


def drive(folder: Path, channels: int, frames: int) -> Iterator[Float32]:
    """The frames of a folder, and back again."""
    there = [image for _, image in Frames(folder, channels, (SIDE, SIDE), last=frames)]
    places = [*range(len(there)), *range(len(there) - 2, 0, -1)]
    for number in range(frames):
        yield there[places[number % len(places)]]


@dataclass
class Outcome:
    """Sums over the frames after the first."""

    still: float = 0.0
    changed: float = 0.0
    still_s: float = 0.0
    stream_s: float = 0.0
    equal: int = 0
    reference_equal: int = 0
    frames: int = 0


def measure(network: Network, frames: list[Int64], reference: int) -> Outcome:
    """Run, compare and time ``frames``."""
    cpu, streaming, out = load_backend("cpu"), prepare_stream(network), Outcome()
    for frame in frames[:WARM_UP]:
        cpu.run(network, frame)
    stream, slow = open_stream(cpu, streaming), open_stream(load_backend("reference"), streaming)
    counters = StreamCounter(network), StreamCounter(streaming)
    for number, frame in enumerate(frames):
        began = time.process_time()
        still = cpu.run(network, frame)
        between = time.process_time()
        run = stream.push(frame)
        ended = time.process_time()
        expected = compute_integer_counts(network, frame)
        out.equal += all(np.array_equal(run.counts[name], values) for name, values in expected.items())
        if number < reference:
            counts = slow.push(frame).counts
            out.reference_equal += all(np.array_equal(counts[name], values) for name, values in expected.items())
        operations = [
            each.add(events).synaptic_operations
            for each, events in zip(counters, (still.events, run.events), strict=True)
        ]
        if number >= WARM_UP:
            out.frames += 1
            out.still, out.changed = out.still + operations[0], out.changed + operations[1]
            out.still_s, out.stream_s = out.still_s + between - began, out.stream_s + ended - between
    out.still, out.changed = (value / counters[1].macs / out.frames for value in (out.still, out.changed))
    return out


def convert(name: str, levels: int, data: Path | None, *, fuse_upsampling: bool = False) -> Network:
    """A shipped network with room for streams."""
    _, noise, folder = NETWORKS[name]
    calibration = data / folder if data is not None and folder is not None else None
    options = sd.Options(levels=levels, stream=True, fuse_upsampling=fuse_upsampling)
    return sd.convert(f"models/{name}.onnx", calibration, options, size=(SIDE, SIDE), noise=noise).network


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--reference", type=int, default=5)
    parser.add_argument("--levels", default="127")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--fuse-upsampling", action="store_true")
    given = parser.parse_args()
    kernels = select_kernels()
    say(f"{platform.processor() or platform.machine()}, kernels {kernels.instruction_set if kernels else 'none'}\n")
    columns = ("network", "N", "sequence", "still, op/MAC", "stream, op/MAC", "still, ms", "stream, ms", "faster")
    say(f"| {' | '.join((*columns, 'cpu equal', 'reference equal'))} |")
    say("|---|---|---|---|---|---|---|---|---|---|")
    for name in given.networks.split(","):
        channels, noise, _ = NETWORKS[name]
        for levels in map(int, given.levels.split(",")):
            network = convert(name, levels, given.data, fuse_upsampling=given.fuse_upsampling)
            sequences = {"static": still_scene(channels, given.frames, noise)}
            if given.data is not None:
                sequences["drive"] = drive(given.data / "CamSeq_frames/val", channels, given.frames)
            for label, images in sequences.items():
                frames = [quantize_images(network, image) for image in images]
                out = measure(network, frames, given.reference)
                say(
                    f"| {name} | {levels} | {label} | {out.still:.3f} | {out.changed:.4f} | {out.still_s / out.frames * 1e3:.1f} | "
                    f"{out.stream_s / out.frames * 1e3:.1f} | {out.still_s / out.stream_s:.2f} | {out.equal} of {len(frames)} | "
                    f"{out.reference_equal} of {min(given.reference, len(frames))} |"
                )


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
