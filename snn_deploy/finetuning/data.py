"""Patches for training and crops for validation, from disjoint images of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.data import images
from snn_deploy.data.images import Image
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.errors import StimulusError
from snn_deploy.evaluation.evaluate import Task
from snn_deploy.network.picture_scale import PictureScale


@dataclass(frozen=True, eq=False)
class Data:
    """Training and validation samples, the noise that restoration removes, and the side of a patch in pixels."""

    task: Task
    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    sigma: float
    patch: int
    picture: PictureScale = images.PLAIN

    def scaled(self, picture: PictureScale) -> Data:
        """The same data for a network that reads pictures by this scale; samples stay pictures from 0 to 1."""
        return replace(self, picture=picture)

    @classmethod
    def of(
        cls, entries: Sequence[Entry], task: Task, channels: int, share: float, sigma: float, patch: int, seed: int
    ) -> Data:
        """Read ``entries``; a random ``share`` of them, at least one, is for validation."""
        if len(entries) < 2:
            raise StimulusError("fine-tuning needs at least two images: one trains, one validates")
        order = np.random.default_rng(seed).permutation(len(entries))
        validating = min(max(1, round(share * len(entries))), len(entries) - 1)
        samples = [entry.read(channels) for entry in entries]
        small = next((sample for sample in samples if min(sample.image.shape[2:]) < patch), None)
        if small is not None:
            raise StimulusError(
                f"{small.name}: {small.image.shape[2:]} pixels are smaller than a patch of {patch}; lower --patch"
            )
        if sigma and any(sample.target is not None for sample in samples):
            raise StimulusError("the images have clean images of their own; leave the noise out")
        chosen = [tuple(samples[index] for index in sorted(part)) for part in (order[validating:], order[:validating])]
        return cls(task, chosen[0], chosen[1], sigma, patch)

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """``size`` random patches of the training part in random symmetries, and their targets."""
        inputs: list[Array] = []
        targets: list[Array] = []
        for _ in range(size):
            sample = self.training[rng.integers(len(self.training))]
            top, left = (int(rng.integers(extent - self.patch + 1)) for extent in sample.image.shape[2:])
            turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
            window = (slice(top, top + self.patch), slice(left, left + self.patch))
            image = _turn(sample.image[0][:, window[0], window[1]], turns, mirror)
            clean = image
            if sample.target is not None:
                clean = _turn(sample.target[0][:, window[0], window[1]], turns, mirror)
            noise = rng.standard_normal(image.shape, np.float32) * np.float32(self.sigma / 255)
            inputs.append(self.picture.apply((image + noise if self.task == "denoise" else image)[None])[0])
            restored = self.picture.low + (self.picture.high - self.picture.low) * clean
            targets.append(restored if sample.labels is None else _turn(sample.labels[window], turns, mirror))
        return np.stack(inputs), np.stack(targets)

    def calibration(self, count: int, seed: int) -> list[Image]:
        """Patches of the training part, noisy where the task is restoration."""
        patches = images.cut_patches([sample.image for sample in self.training], (self.patch, self.patch), count, seed)
        if self.task == "denoise":
            patches = [images.add_noise(patch, self.sigma, seed + 1 + index) for index, patch in enumerate(patches)]
        return [self.picture.apply(patch) for patch in patches]

    def held_out(self) -> tuple[Entry, ...]:
        """The validation part: the middle patch of each image."""
        return tuple(Entry(sample.name, lambda _, sample=sample: sample) for sample in self.validation)  # type: ignore[misc]


def _turn(array: Array, turns: int, mirror: bool) -> Array:
    """One of the eight symmetries of a square, applied to the last two axes."""
    turned = np.rot90(array, turns, axes=(-2, -1))
    return turned[..., ::-1] if mirror else turned
