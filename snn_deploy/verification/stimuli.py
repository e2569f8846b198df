"""What a network is shown while it is verified: images of one size, read batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.data import images
from snn_deploy.data.stimulus import prepare_stimulus
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.shapes import Size


@dataclass(frozen=True, eq=False)
class Stimuli:
    """``count`` images for ``network``, which has their size.

    ``read(first, last)`` gives their payloads (last - first, C, H, W) int64; ``together`` of them are run at once where
    no recording says otherwise. ``name`` stands in messages.
    """

    network: Network
    name: str
    count: int
    together: int
    read: Callable[[int, int], Int64]

    @classmethod
    def of_payloads(cls, network: Network, payloads: Int64, name: str = "the stimulus") -> Stimuli:
        """Payloads (B, C, H, W) int64, run at once."""
        return cls(network, name, len(payloads), len(payloads), lambda first, last: payloads[first:last])

    @classmethod
    def of_images(cls, network: Network, values: images.Image, name: str = "the images") -> Stimuli:
        """Real images (B, C, H, W), float, run at once; ``network`` is taken to their size."""
        return cls.of_payloads(*prepare_stimulus(network, values, name), name)

    @classmethod
    def of_folder(cls, network: Network, folder: FolderImages) -> Stimuli:
        """Every image of ``folder``, one at a time; all must have the size of the first."""
        sized, _ = prepare_stimulus(network, folder.image(0), str(folder.paths[0]))

        def read(first: int, last: int) -> Int64:
            return np.concatenate([_payloads(sized, folder, index) for index in range(first, last)])

        return cls(sized, str(folder.paths[0].parent), len(folder.paths), 1, read)


@dataclass(frozen=True)
class FolderImages:
    """The images at ``paths``, read when they are needed: cropped, and with noise of ``noise / 255``.

    The noise of image i has the seed ``seed + i``.
    """

    paths: tuple[Path, ...]
    channels: int
    crop: Size | None = None
    noise: float = 0.0
    seed: int = 0
    picture: PictureScale = images.PLAIN

    def image(self, index: int) -> images.Image:
        """Image ``index`` (1, C, H, W) float32."""
        image = images.read_image(self.paths[index], self.channels, self.picture)
        if self.crop is not None:
            image = images.center_crop(image, *self.crop, str(self.paths[index]))
        return images.add_noise(image, self.noise, self.seed + index, self.picture) if self.noise else image

    def __iter__(self) -> Iterator[tuple[str, images.Image]]:
        """Every image with its file's name."""
        return ((path.name, self.image(index)) for index, path in enumerate(self.paths))


def _payloads(network: Network, folder: FolderImages, index: int) -> Int64:
    image, (height, width) = folder.image(index), network.input.shape[1:]
    if image.shape[2:] != (height, width):
        raise VerificationError(
            f"{folder.paths[index]}: is {image.shape[2]}x{image.shape[3]}, the first image {height}x{width}; one network "
            "is verified, so crop them to one size"
        )
    return quantize_images(network, image)
