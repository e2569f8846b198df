"""What dead zones and ``hold`` save and cost: ``python tests/benchmarks/held_streams.py --data DIR [--frames 24] [--holds 0,1,2]``.

Static scenes in which a square of 24x24 pixels moves, with fresh sensor noise of 0, 1 and 3 / 255, without a dead zone and with
one of five times the noise: the denoiser on a photograph against the clean one, the segmenter on three frames of CamSeq against
their label maps, without the square. Still images of the same frames are timed in turn with the stream's, as process CPU time.
Nothing runs with the tests.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from streams import OBJECT, SIDE, SPEED, WARM_UP, convert, say, still_scene

import snn_deploy as sd
from snn_deploy.activity.stream import StreamCounter
from snn_deploy.arrays import Float32
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.data.datasets import list_entries
from snn_deploy.data.metrics import VOID, Labels, psnr_db
from snn_deploy.network.host import choose_classes

NOISES, ZONE = (0, 1, 3), 5
"""Noises in 255ths, and how many times as wide a dead zone is."""

PLACES = (10, 40, 70)
"""Frames of CamSeq that stand still."""

SETTLED = 2
"""Frames of a stream before its operations count."""

Sequence = list[tuple[Float32, Any]]
"""Frames (1, C, H, W) with what they are judged by: a clean picture, or labels (H, W)."""


def denoised(frames: int, noise: float, _: Path) -> Iterator[Sequence]:
    """The photograph with noise of 25/255 that stays."""
    yield list(zip(still_scene(1, frames, 25.0, noise), still_scene(1, frames, 0.0), strict=True))


def segmented(frames: int, noise: float, data: Path) -> Iterator[Sequence]:
    """Frames of the drive that stand still; the square is part of another one, and void."""
    entries, rng = list_entries(data / "CamSeq_frames", "segment"), np.random.default_rng(0)
    samples = [entries[place].read(3).crop((SIDE, SIDE)) for place in PLACES]
    square = samples[0].image[..., 50 : 50 + OBJECT, 50 : 50 + OBJECT]
    for sample in samples:
        sequence: Sequence = []
        for number in range(frames):
            left = (20 + SPEED * number) % (SIDE - OBJECT)
            frame, labels = sample.image.copy(), np.array(sample.labels)
            frame[..., 40 : 40 + OBJECT, left : left + OBJECT] = square
            labels[40 : 40 + OBJECT, left : left + OBJECT] = VOID
            seen = np.clip(frame + rng.normal(0, noise / 255, frame.shape), 0, 1)
            sequence.append(((np.rint(seen * 255) / 255).astype(np.float32), labels))
        yield sequence


@dataclass
class Outcome:
    """Of every frame: operations per MAC, score, and how long frame and still image took."""

    operations: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    stream_s: float = 0.0
    still_s: float = 0.0


def measure(net: sd.SpikingNetwork, sequences: Iterator[Sequence], zone: float, hold: int) -> Outcome:
    """Run ``sequences`` one after the other, each from rest."""
    out, cpu = Outcome(), load_backend("cpu")
    for sequence in sequences:
        stream, counter = net.stream(dead_zone=zone, hold=hold), None
        for frame, _ in sequence[:WARM_UP]:  # the still run measures its convolutions
            cpu.run(net.network, quantize_images(net.network, frame))
        for number, (frame, wanted) in enumerate(sequence):
            began = time.process_time()
            result = stream.push(frame)
            between = time.process_time()
            cpu.run(net.network, quantize_images(net.network, frame))
            ended = time.process_time()
            counter = counter or StreamCounter(result.network)
            operations = counter.add(result.events).synaptic_operations / counter.macs
            out.scores.append(score(net, result.output, wanted))
            if number >= SETTLED:
                out.operations.append(operations)
                out.stream_s, out.still_s = out.stream_s + between - began, out.still_s + ended - between
    return out


def score(net: sd.SpikingNetwork, output: Any, wanted: Float32 | Labels) -> float:
    """PSNR in dB, or the share of the pixels in % that are right."""
    if wanted.ndim == 4:
        return psnr_db(output, wanted.astype(np.float32))
    classes, counted = choose_classes(net.network.outputs[0].host, output)[0], wanted != VOID
    return float(100 * np.mean(classes[counted] == wanted[counted]))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--holds", default="0,1,2")
    given = parser.parse_args()
    say("| network | noise | dead zone | hold | operations per MAC | score | times as fast as still images |")
    say("|---|---|---|---|---|---|---|")
    for name, scenes in (("denoiser_s25", denoised), ("segmenter_camseq", segmented)):
        net = sd.SpikingNetwork(convert(name, 127, given.data))
        unit = "dB" if scenes is denoised else "%"
        for noise in NOISES:
            for zone in sorted({0, ZONE * noise}):
                for hold in map(int, given.holds.split(",")):
                    out = measure(net, scenes(given.frames, noise, given.data), zone, hold)
                    say(
                        f"| {name} | {noise} | {zone} | {hold} | {np.mean(out.operations):.4f} "
                        f"| {np.mean(out.scores):.3f} {unit} | "
                        f"{out.still_s / out.stream_s:.2f} |"
                    )


if __name__ == "__main__":
    main()
