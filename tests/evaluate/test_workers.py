"""Worker processes: the same scores in the same order, and errors that arrive."""

import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.backend import load_backend
from snn_deploy.errors import BackendError, StimulusError
from snn_deploy.evaluate import SpikingPredictor, evaluate
from snn_deploy.tasks.datasets import clean_images
from snn_deploy.tasks.images import read_image
from snn_deploy.testing import random_unet
from snn_deploy.workers import in_order


def test_results_come_in_order_and_items_are_taken_when_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number**2

    results = in_order(math.isqrt, items(), 2)
    assert next(results) == 0
    assert len(taken) <= 5
    assert list(results) == list(range(1, 20))


def test_errors_cross_processes() -> None:
    with pytest.raises(StimulusError, match="absent.png"):
        list(in_order(partial(read_image, channels=1), [Path("absent.png")], 2))
    with pytest.raises(BackendError, match="a worker process died.*use fewer workers"):
        list(in_order(os._exit, [1], 2))
    with pytest.raises(BackendError, match="0 worker processes"):
        list(in_order(math.isqrt, [2], 0))


def test_scores_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    network = random_unet("exact", size=16)
    channels, side, _ = network.input.shape
    for index in range(5):
        shape = (side, side) if channels == 1 else (side, side, channels)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(tmp_path / f"{index}.png")
    entries = clean_images(tmp_path)
    found = []
    for workers in (1, 2):
        predictor = SpikingPredictor(network, load_backend("cpu"))
        done: list[int] = []
        found.append(
            evaluate(
                predictor,
                entries,
                "denoise",
                channels,
                sigma=25,
                workers=workers,
                progress=lambda count, total, done=done: done.append(count),  # type: ignore[misc]
            )
        )
        assert done == [1, 2, 3, 4, 5]
    assert found[0] == found[1]
