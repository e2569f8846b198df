"""Activity counters against the prediction: PilotNet on Loihi 2, and tables that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import VerificationError
from snn_deploy.exchange.netx import read_net
from snn_deploy.mapping.counters import PopulationCounters, predict_counters
from snn_deploy.mapping.fit import map_network
from snn_deploy.network.network import Network
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification.counters import Count, compare_counters

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "pilotnet_lif" / "network.net"

LOIHI2 = load_target("loihi2")

MEASURED = {"layer/2": 16_134, "layer/3": 4_524, "layer/4": 1_516, "layer/5": 678}
"""Millions of synaptic operations in 10,000 steps on Loihi 2 (lava-dl ``pilotnet_snn/benchmark.ipynb``), read off its plots."""

PIXEL = 4.3
"""Millions of operations in a pixel of those plots."""


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden record stands in ../shared/golden/pilotnet_lif")
def test_pilotnet_on_loihi_2(tmp_path: Path) -> None:
    """Within 1 % of what half a pixel of the plots says; the first layer was silent."""
    pytest.importorskip("h5py")
    network = read_net(GOLDEN, steps=16)
    silent = np.full((1, *network.input.shape), -36, np.int64)
    activity = count_activity(network, load_backend("cpu").run(network, silent))
    predicted = predict_counters(network, activity, map_network(network, LOIHI2), LOIHI2)
    table = tmp_path / "counters.csv"
    lines = [f"{name},,{operations}e6" for name, operations in MEASURED.items()]
    table.write_text("\n".join(["population,core,syn_ops", *lines]) + "\n", "utf-8")
    for count in compare_counters(table, network, predicted, 10_000 / 16, 10_000):
        apart = abs(count.predicted - count.counted) / 1e6
        assert apart <= 0.01 * count.counted / 1e6 + PIXEL / 2, count
        assert abs(count.deviation) < 0.0104, count
    assert predicted["layer/2"].neurons.tolist() == [2160] * 13


def predicted_of(network: Network) -> dict[str, PopulationCounters]:
    activity = count_activity(network, load_backend("cpu").run(network, random_stimulus(network)))
    return predict_counters(network, activity, map_network(network, LOIHI2), LOIHI2)


def test_where_tiles_are_whole_the_counters_are_those_of_the_activity() -> None:
    network = random_unet("rate", 0, size=8, steps=4)
    activity = count_activity(network, load_backend("cpu").run(network, random_stimulus(network)))
    predicted = predict_counters(network, activity, map_network(network, LOIHI2), LOIHI2)
    # the host's input takes no core
    assert list(predicted) == [population.name for population in network.populations[1:]]
    for population in network.populations[1:]:
        found = predicted[population.name]
        arriving = activity.arriving(population.name).sum() / activity.images
        assert found.syn_ops.sum() == pytest.approx(arriving, rel=1e-12)  # sums of float64 in another order
        assert found.neurons.sum() == population.size
        assert found.spikes_out == activity.population(population.name).events.mean()


def test_lines_of_cores_and_of_populations(tmp_path: Path) -> None:
    network = random_unet("rate", 0, size=8, steps=4)
    predicted = predicted_of(network)
    name = network.populations[1].name
    table = tmp_path / "counters.csv"
    table.write_text(f"population,core,syn_ops,neuron_updates,spikes_out\n{name},0,0,8192,\n{name},,,,5\n", "utf-8")
    counts = compare_counters(table, network, predicted, 2.0, 8)
    assert [(count.core, count.counter) for count in counts] == [
        (0, "syn_ops"),
        (0, "neuron_updates"),
        (None, "spikes_out"),
    ]
    assert counts[1] == Count(name, 0, "neuron_updates", 8192.0, 8.0 * network.populations[1].size)
    assert counts[0].deviation == float("inf")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "core,syn_ops\n0,1\n",
            r"columns core, syn_ops; population, core and syn_ops, neuron_updates, spikes_in, spikes_out are",
        ),
        ("population,energy\nenc1/a,1\n", r"columns population, energy; population, core and syn_ops, "),
        ("population,syn_ops\nnone,1\n", r"line 2: none is not in network random-rate-0; it has input, enc1/a, "),
        ("population,syn_ops\ninput,1\n", r"line 2: input is the input, which takes no core$"),
        ("population,syn_ops\nenc1/a,-1\n", r"line 2: syn_ops is '-1'; a number that is not negative is needed$"),
        ("population,core,syn_ops\nenc1/a,1,1\n", r"line 2: core 1 of enc1/a, which is mapped to 1 cores$"),
        ("population,core,syn_ops\nenc1/a,0.5,1\n", r"line 2: core is '0.5'; a number that is not negative is needed$"),
        (
            "population,core,spikes_in\nenc1/a,0,1\n",
            r"line 2: spikes_in is predicted for a population as a whole; leave core",
        ),
        ("population,syn_ops\n", r"holds no counter; nothing would be compared$"),
        ('population,syn_ops\n"enc1/a,1\n', r"not a table of counters: "),
    ],
)
def test_tables_that_say_nothing(text: str, message: str, tmp_path: Path) -> None:
    network = random_unet("rate", 0, size=8, steps=4)
    table = tmp_path / "counters.csv"
    table.write_text(text, "utf-8")
    with pytest.raises(VerificationError, match=message):
        compare_counters(table, network, predicted_of(network), 1.0, 4)
