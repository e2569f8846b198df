"""Neurons that hold small changes back do so in still images as well, where one step could settle all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus, random_two_sided, random_unet
from snn_deploy_cpu import CpuBackend
from snn_deploy_reference import ReferenceBackend


def holding(network: Network) -> Network:
    """``network``, whose neurons keep up to two counts to themselves."""
    populations = [
        each if each.neuron is None or np.all(each.neuron.theta == 1) else replace(each, neuron=each.neuron.holding(2))
        for each in network.populations
    ]
    return replace(network, populations=tuple(populations))


@pytest.mark.parametrize("record", [Record.COUNTS, Record.STATES])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "make", [random_two_sided, lambda seed: random_unet("exact", seed, size=8, levels=15, payload=15)]
)
def test_small_counts_are_held_back(make: Callable[[int], Network], seed: int, record: Record) -> None:
    network = holding(make(seed))
    assert not network.one_shot
    stimulus = random_stimulus(network) // 4
    found, expected = (backend.run(network, stimulus, record) for backend in (CpuBackend(), ReferenceBackend()))
    for kind in ("counts", "events"):
        assert all(
            np.array_equal(getattr(found, kind)[name], values) for name, values in getattr(expected, kind).items()
        )
    plain = ReferenceBackend().run(make(seed), stimulus)
    assert any(not np.array_equal(plain.counts[name], counts) for name, counts in expected.counts.items())
