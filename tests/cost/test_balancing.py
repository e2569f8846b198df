"""How evenly cores are loaded, and that no cut of layers on cores of their own is more even than the bound."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.convert import convert
from snn_deploy.cost.balancing import EVEN, Evenness, _bound, map_balanced, measure_evenness
from snn_deploy.data import images
from snn_deploy.data.stimulus import prepare_stimulus
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet

LOIHI2 = load_target("loihi2")


def test_the_bound_is_the_best_of_all_ways_to_share_cores() -> None:
    works, fewest = [70.0, 23.0, 5.0], [2, 1, 3]
    bounds = _bound(works, fewest)
    for cores in range(6, 14):
        total, largest = next(bounds)
        assert total == cores
        shares = [
            max(work / share for work, share in zip(works, each, strict=True))
            for each in product(*(range(least, cores) for least in fewest))
            if sum(each) == cores
        ]
        assert largest == pytest.approx(min(shares), rel=1e-12)


@pytest.mark.parametrize("goal", [None, "cores", "latency"])
def test_evenness_by_hand(goal: str | None) -> None:
    network = random_unet("rate", 2, size=60)
    activity = count_activity(network, load_backend("cpu").run(network, random_stimulus(network, batch=2)))
    mapping = map_balanced(network, activity, LOIHI2, goal)  # type: ignore[arg-type]
    found = measure_evenness(network, activity, LOIHI2, mapping)
    traffic = measure_traffic(network, activity, mapping, LOIHI2)
    synapse, neuron = (LOIHI2.quantity(f"time.{key}").value for key in ("synapse_ns", "neuron_ns"))
    loads = traffic.operations * synapse + traffic.neurons * network.steps * neuron
    neurons = sum(population.size for population in network.populations[1:])
    work = activity.synaptic_operations / activity.images * synapse + neurons * network.steps * neuron
    assert found.ratio == pytest.approx(loads.max() * mapping.cores / work, rel=1e-12)
    block = traffic.blocks[found.busiest].cores
    assert block.start <= int(np.argmax(loads)) < block.stop
    assert 1 <= found.bound <= found.ratio
    assert found.even_cores >= sum(layer.free_bound or 0 for layer in mapping.layers)
    assert found.record() == {
        "busiest": found.busiest,
        "busiest_over_mean": found.ratio,
        "bound": found.bound,
        "cores_for_even": found.even_cores,
    }
    assert f"{found.ratio:.2f} times the mean load ({found.busiest})" in found.text
    assert f"less than {found.bound:.2f} on as many cores, or 1.3 on fewer than {found.even_cores:,}" in found.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "noise", "most"),
    [
        ("denoiser_s25", 25.0, 1.70),
        ("denoiser_blind", 25.0, 1.66),
        ("denoiser_color_s25", 25.0, 1.86),
        ("segmenter_camseq", 0.0, 2.55),
        ("segmenter_isbi", 0.0, 2.42),
    ],
)
def test_shipped_models_are_as_even_as_layers_on_cores_of_their_own_can_be(
    root: Path, model: str, noise: float, most: float
) -> None:
    """1.3 on a tenth more cores than the fewest is out of reach; what is reached is within 9 % of the bound."""
    channels = 3 if model in ("denoiser_color_s25", "segmenter_camseq") else 1
    photographs = images.load_bundled_images(channels)
    photograph = images.center_crop(photographs[0], 64, 64)
    shown = images.add_noise(photograph, noise, 0) if noise else photograph
    network = convert(root / f"models/{model}.onnx", [shown]).conversion.network
    network, payloads = prepare_stimulus(network, shown, model)
    activity = count_activity(network, load_backend("cpu").run(network, payloads))
    fewest = map_balanced(network, activity, LOIHI2, "cores")
    mapping = map_balanced(network, activity, LOIHI2, "latency", streamed=True)
    assert mapping.cores <= 1.1 * fewest.cores
    found: Evenness = measure_evenness(network, activity, LOIHI2, mapping)
    assert EVEN < found.bound <= found.ratio < found.bound * 1.09
    assert found.ratio <= most
    assert found.even_cores > 1.1 * fewest.cores
