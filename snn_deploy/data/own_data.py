"""A user's own data: folders ``images/`` and ``masks/``, pairs of noisy and clean images, and tables that name files.

========================================  ======================================================================
``images/`` with ``masks/``               segmentation; also ``labels/`` or ``annotations/``; a mask has the name
                                          of its image, perhaps followed by ``_mask`` or the like
``noisy/`` with ``clean/``                restoration; also ``input/`` with ``target/``
``NAME.csv``                              a header that names columns ``image`` and ``mask``, or ``noisy`` and
                                          ``clean``; files are named relative to the table
========================================  ======================================================================
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from snn_deploy.data.array_file import SUFFIXES as ARRAYS
from snn_deploy.data.images import SUFFIXES, list_image_paths, read_image
from snn_deploy.data.masks import Masks
from snn_deploy.data.metrics import Labels
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.errors import StimulusError
from snn_deploy.files import MAX_READ, read_limited

MASKS = ("masks", "labels", "annotations")

PAIRS = (("noisy", "clean"), ("input", "target"))

COLUMNS = {
    "segment": (("image", "mask"), ("image", "label")),
    "denoise": PAIRS,
}

MASK_SUFFIXES = (*SUFFIXES, ".gif", *ARRAYS[:1])

Pair = tuple[Path, Path]

MaskReader = Callable[[Path], Labels]


def find_masks(folder: Path) -> Path | None:
    """The folder of masks beside ``images/``; ``None`` where ``folder`` is not laid out so."""
    found = [folder / name for name in MASKS if (folder / name).is_dir()]
    return found[0] if found and (folder / "images").is_dir() else None


def list_masked(folder: Path, read: MaskReader | None = None) -> tuple[Entry, ...]:
    """Images and masks of ``folder``, for which :func:`find_masks` finds one; ``read`` reads masks of other colors."""
    masks = find_masks(folder)
    if masks is None:
        raise StimulusError(f"{folder}: no folder {' or '.join(MASKS)} beside images")
    return _masked(_partners(folder / "images", masks, MASK_SUFFIXES), read)


def list_pairs(folder: Path) -> tuple[Entry, ...] | None:
    """Pairs of noisy and clean images of ``folder``; ``None`` where it is not laid out so."""
    for given, wanted in PAIRS:
        if (folder / given).is_dir() and (folder / wanted).is_dir():
            return _restored(_partners(folder / given, folder / wanted, SUFFIXES))
    return None


SEPARATORS = (",", ";", "\t")
"""What spreadsheets put between columns, as their language asks."""


def list_table(path: Path, task: str) -> tuple[Entry, ...]:
    """The files that a table names, for ``task``; :class:`StimulusError` for other columns and for files that do not exist."""
    content = read_limited(path, StimulusError, MAX_READ)
    try:
        lines = content.decode("utf-8-sig").splitlines()
        between = max(SEPARATORS, key=(lines or [""])[0].count)
        table = csv.DictReader(lines, strict=True, delimiter=between)
        table.fieldnames = [name.strip().lower() for name in table.fieldnames or ()]
        rows = list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise StimulusError(f"{path}: not a table in UTF-8: {error}") from error
    names = set(rows[0]) if rows else set()
    columns = next((pair for pair in COLUMNS[task] if set(pair) <= names), None)
    if columns is None:
        wanted = " or ".join(",".join(pair) for pair in COLUMNS[task])
        raise StimulusError(f"{path}: the first line must name the columns {wanted}, and files must follow")
    pairs = [tuple(path.parent / (row[column] or "").strip() for column in columns) for row in rows]
    for number, pair in enumerate(pairs, 2):
        for file in pair:
            if not file.is_file():
                raise StimulusError(f"{path}, line {number}: {file}: no such file")
    return (_masked if task == "segment" else _restored)([(first, second) for first, second in pairs])


def _partners(images: Path, others: Path, suffixes: tuple[str, ...]) -> list[Pair]:
    """Every image with the file of ``others`` that has its name, or the only one whose name begins with it and a separator."""
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(others.iterdir()):
        if path.suffix.lower() in suffixes:
            by_stem.setdefault(path.stem, []).append(path)
    pairs = []
    for image in list_image_paths(images):
        found = by_stem.get(image.stem) or [
            path
            for stem, paths in by_stem.items()
            if stem.startswith(image.stem) and stem[len(image.stem)] in "_-. "
            for path in paths
        ]
        if len(found) != 1:
            raise StimulusError(f"{image}: {len(found)} files in {others} have its name; exactly one is needed")
        pairs.append((image, found[0]))
    return pairs


def _masked(pairs: Sequence[Pair], read: MaskReader | None = None) -> tuple[Entry, ...]:
    reader = read or Masks.of([mask for _, mask in pairs]).read
    return tuple(Entry(image.name, partial(_read_masked, image, mask, reader)) for image, mask in pairs)


def _read_masked(image: Path, mask: Path, read: MaskReader, channels: int) -> Sample:
    sample = Sample(image.name, read_image(image, channels), read(mask))
    if sample.labels is not None and sample.labels.shape != sample.image.shape[2:]:
        raise StimulusError(f"{image}: {sample.image.shape[2:]} pixels, but {mask} has {sample.labels.shape}")
    return sample


def _restored(pairs: Sequence[Pair]) -> tuple[Entry, ...]:
    return tuple(Entry(noisy.name, partial(_read_pair, noisy, clean)) for noisy, clean in pairs)


def _read_pair(noisy: Path, clean: Path, channels: int) -> Sample:
    sample = Sample(noisy.name, read_image(noisy, channels), target=read_image(clean, channels))
    if sample.target is not None and sample.target.shape != sample.image.shape:
        raise StimulusError(f"{noisy}: {sample.image.shape[2:]} pixels, but {clean} has {sample.target.shape[2:]}")
    return sample
