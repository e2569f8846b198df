"""Arguments that several verbs share, and what they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from snn_deploy import images
from snn_deploy.backend import stimulus_of
from snn_deploy.conversion.calibrate import Images
from snn_deploy.conversion.options import PRESETS, Options, preset
from snn_deploy.errors import StimulusError
from snn_deploy.network import Network

CALIBRATION_PATCH = 128
CALIBRATION_COUNT = 32


def size(text: str) -> tuple[int, int]:
    """``HxW`` (or one number for a square) as (H, W)."""
    parts = text.lower().split("x")
    try:
        height, width = (int(parts[0]), int(parts[-1])) if len(parts) < 3 else (0, 0)
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write HEIGHTxWIDTH, for example 64x64")
    return height, width


def indices(text: str) -> slice:
    """``FIRST-LAST`` (or one number) as a slice, both ends included."""
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write FIRST-LAST, for example 25-29")
    return slice(int(first), int(last or first) + 1)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_conversion(parser: argparse.ArgumentParser) -> None:
    """The options of a conversion; fields that are not given keep the preset's value."""
    group = parser.add_argument_group("conversion")
    group.add_argument("--preset", choices=tuple(PRESETS), default="exact", help="starting point (default: exact)")
    group.add_argument("--levels", type=int, metavar="N", help="exact mode: counts 0..N")
    group.add_argument("--steps", type=int, metavar="T", help="rate mode: time steps")
    group.add_argument("--thresholds", type=int, metavar="n", help="rate mode: binary thresholds per neuron")
    group.add_argument("--normalization", choices=("connection-wise", "layer-wise", "channel-wise"))
    group.add_argument("--scale", choices=("mmse", "percentile", "max"), help="what one spike is worth")
    group.add_argument("--weight-bits", type=int, metavar="BITS", help="bits of a weight, 2 to 8")
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="images on which activations are measured (default: photographs that scikit-image brings)",
    )
    group.add_argument(
        "--noise", type=float, default=0.0, metavar="SIGMA", help="Gaussian noise of SIGMA/255 added to images"
    )
    group.add_argument("--seed", type=int, default=0, help="seed of noise and patches")


def options_of(arguments: argparse.Namespace) -> Options:
    """The options that :func:`add_conversion` parsed."""
    names = ("levels", "steps", "thresholds", "normalization", "scale", "weight_bits")
    changes = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return preset(arguments.preset, **changes)


def calibration_images(folder: Path | None, channels: int, noise: float, seed: int) -> Images:
    """Noisy patches of the images of ``folder``, or of scikit-image's photographs."""
    if folder is None:
        whole = images.bundled_images(channels)
    else:
        whole = [images.read_image(path, channels) for path in images.image_paths(folder)]
    found = images.patches(whole, CALIBRATION_PATCH, CALIBRATION_COUNT, seed)
    return [images.add_noise(patch, noise, seed + 1 + index) for index, patch in enumerate(found)]


def add_stimulus(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The image that a network is shown."""
    group = parser.add_argument_group("stimulus")
    group.add_argument(
        "--input", type=Path, required=required, metavar="FILE", help="image, or .npy float (batch, C, H, W)"
    )
    group.add_argument("--crop", type=size, metavar="HxW", help="use the middle of the image only")
    group.add_argument("--noise", type=float, default=0.0, metavar="SIGMA", help="Gaussian noise of SIGMA/255 added")
    group.add_argument("--seed", type=int, default=0, help="seed of the noise")


def stimulus(arguments: argparse.Namespace, network: Network) -> tuple[Network, images.Image, npt.NDArray[np.int64]]:
    """The network at the image's size, the image, and its input payloads."""
    image = images.read_image(arguments.input, network.input.shape[0])
    if image.shape[1] != network.input.shape[0]:
        raise StimulusError(f"{arguments.input}: {image.shape[1]} channels; the network reads {network.input.shape[0]}")
    if arguments.crop is not None:
        image = images.center_crop(image, *arguments.crop)
    if arguments.noise > 0:
        image = images.add_noise(image, arguments.noise, arguments.seed)
    height, width = image.shape[2:]
    sized = network if (height, width) == network.input.shape[1:] else network.at_size(height, width)
    return sized, image, stimulus_of(sized, image)
