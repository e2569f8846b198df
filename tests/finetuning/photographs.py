"""Photographs of the package as data to train on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from snn_deploy.data import images
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.finetuning.data import Data


def entries_of(samples: Iterable[Sample]) -> list[Entry]:
    """Entries of a data set that holds ``samples``."""
    return [Entry(sample.name, partial(_read, sample)) for sample in samples]


def make_data(validation: float, side: int | None = None) -> Data:
    """Eight photographs with noise of 25 / 255, or their ``side`` x ``side`` middles; a share of them for ``validation``."""
    pictures = {name: images.load_photograph(name, 1) for name in images.CALIBRATION[:8]}
    samples = [Sample(name, images.center_crop(each, side, side) if side else each) for name, each in pictures.items()]
    return Data.of(entries_of(samples), "denoise", 1, validation, 25.0, 32, 0)


def _read(sample: Sample, _: int) -> Sample:
    return sample
