"""Patches for training and crops for validation, from disjoint images of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.data import images
from snn_deploy.data.datasets import holds_labels, list_clean_images, list_entries
from snn_deploy.data.images import Image
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.errors import StimulusError
from snn_deploy.evaluation.evaluate import Predictor, Task
from snn_deploy.network.picture_scale import PictureScale


def list_training(folder: Path, task: Task) -> tuple[Entry, ...]:
    """What ``folder`` (or a table) holds for ``task``; images without labels are listed, too."""
    unlabelled = task == "segment" and folder.is_dir() and not holds_labels(folder)
    if unlabelled and any(path.suffix.lower() in images.SUFFIXES for path in folder.iterdir()):
        return list_clean_images(folder)
    return list_entries(folder, task)


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
        """Patches of all images, whose range is that of the input, noisy where the task is restoration."""
        pictures = [sample.image for sample in (*self.training, *self.validation)]
        patches = images.cut_patches(pictures, (self.patch, self.patch), count, seed)
        if self.task == "denoise":
            patches = [images.add_noise(patch, self.sigma, seed + 1 + index) for index, patch in enumerate(patches)]
        return [self.picture.apply(patch) for patch in patches]

    def held_out(self, teacher: Predictor) -> tuple[Sample, ...]:
        """The validation part: the middle patch of each image; ``teacher`` says what is true where the data do not."""
        return tuple(self._answered(sample.crop((self.patch, self.patch)), teacher) for sample in self.validation)

    def _answered(self, sample: Sample, teacher: Predictor) -> Sample:
        if self.is_answered(sample):
            return sample
        prediction = teacher(sample.image)
        if self.task == "denoise":
            return replace(sample, target=prediction.restored.astype(np.float32))
        return replace(sample, labels=prediction.labels()[0])

    def check_answers(self) -> None:
        """:class:`StimulusError` where an image does not say what the network should make of it."""
        for sample in (*self.training, *self.validation):
            if not self.is_answered(sample):
                wanted = "a clean image, and there is no noise to add" if self.task == "denoise" else "labels"
                raise StimulusError(
                    f"{sample.name}: comes without {wanted}; train for the loss 'float', which needs none"
                )

    def is_answered(self, sample: Sample) -> bool:
        """Whether ``sample`` says what to make of it: by labels, a clean image, or an image to which noise is added."""
        return sample.labels is not None or sample.target is not None or (self.task == "denoise" and self.sigma > 0)

    def entries(self) -> tuple[Entry, ...]:
        """The validation part."""
        return tuple(Entry(sample.name, lambda _, sample=sample: sample) for sample in self.validation)  # type: ignore[misc]


def _turn(array: Array, turns: int, mirror: bool) -> Array:
    """One of the eight symmetries of a square, applied to the last two axes."""
    turned = np.rot90(array, turns, axes=(-2, -1))
    return turned[..., ::-1] if mirror else turned
