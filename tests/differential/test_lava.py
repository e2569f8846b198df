"""Drawn networks in Lava: every event, membrane and saturation is that of the specification.

Eight run in ``make test``, hundreds of other ones by ``make differential N=2000``.
"""

from __future__ import annotations

import importlib.util
import os
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from snn_deploy.backend import quantize_images
from snn_deploy.testing.drawing import draw_case, draw_late, draw_network, draw_stimulus
from tests.differential.models import draw_model, draw_options
from tests.differential.test_differential import EXAMPLES, converted, within

if TYPE_CHECKING:
    from tests.differential.lava_batch import Case

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
]

BATCH = 16 if EXAMPLES else 8
"""Networks of one process."""

FIRST = Random(os.environ.get("PYTEST_XDIST_TESTRUNUID")).randrange(10**9) * BATCH if EXAMPLES else 0
"""The first seed: 0, or another one each time that ``make differential`` runs, the same for all of its processes."""

BATCHES = range(FIRST, FIRST + max(EXAMPLES // 4, BATCH), BATCH)


def check(cases: list[Case]) -> None:
    from tests.differential.lava_batch import lava_differences

    wrong, refused = lava_differences(cases)
    assert wrong == []
    assert len(refused) <= len(cases) / 4, refused


@pytest.mark.parametrize("first", BATCHES)
def test_drawn_networks(first: int) -> None:
    """In both forms of the neuron and both models of ``Conv``, image by image and in a stream."""
    from snn_deploy_lava import LavaBackend
    from tests.differential.lava_batch import Case

    cases = []
    for seed in range(first, first + BATCH):
        network, stimulus = draw_case(seed)
        way = seed // 8 % 3
        backend = LavaBackend(stream=way == 0, ladder=way == 1, stock_conv=way == 2)
        cases.append(Case(f"draw_case({seed})", network, stimulus[: 2 if way == 0 else 1], backend))
    check(cases)


@pytest.mark.parametrize("first", BATCHES)
def test_drawn_networks_off_their_schedules(first: int) -> None:
    """Lava's own neurons, too, whose biases wait for their starts."""
    from snn_deploy_lava import LavaBackend
    from tests.differential.lava_batch import Case

    cases = []
    for seed in range(first, first + BATCH):
        random = Random(seed)
        network = draw_late(random, stock=seed % 2 == 0)
        cases.append(Case(f"draw_late(Random({seed}))", network, draw_stimulus(network, random, 1), LavaBackend()))
    check(cases)


@pytest.mark.parametrize("first", BATCHES)
def test_drawn_inputs_of_every_step(first: int) -> None:
    """Image by image and in a stream, aligned and late."""
    from snn_deploy_lava import LavaBackend
    from tests.differential.lava_batch import Case

    cases = []
    for seed in range(first, first + BATCH):
        random = Random(f"every step {seed}")
        late, stock = seed % 4 == 0, seed % 8 > 3
        network = draw_late(random, "rate", stock=stock) if late else draw_network(random, "rate", stock=stock)
        steps = np.stack([draw_stimulus(network, random, 1 if late else 2) for _ in range(network.steps)], axis=1)
        backend = LavaBackend(stream=seed % 4 == 1)
        cases.append(Case(f"every step {seed}", network, steps, backend))
    check(cases)


@(pytest.mark.lava if EXAMPLES else pytest.mark.slow)
@pytest.mark.parametrize("first", BATCHES)
def test_drawn_conversions(first: int) -> None:
    from snn_deploy_lava import LavaBackend
    from tests.differential.lava_batch import Case

    cases = []
    for seed in range(first, first + BATCH):
        random = Random(seed)
        drawn, options = draw_model(random), draw_options(random)
        rng = np.random.default_rng(seed)
        images = [rng.random((1, *drawn.shape), np.float32) for _ in range(3)]
        network = converted(drawn.model.SerializeToString(), images, options)
        if network is not None:
            stimulus = quantize_images(network, within(images, rng.random((1, *drawn.shape))))
            cases.append(Case(f"model and options of Random({seed})", network, stimulus, LavaBackend()))
    check(cases)
