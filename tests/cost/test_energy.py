"""Joules by hand for a network of one synapse, refusals, and the band beside every figure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.activity.counting import Activity, assume_activity, count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.cost.energy import EVENT_COEFFICIENTS, estimate
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import map_network
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.targets.load import load_target, target_names
from snn_deploy.targets.quantity import Quantity, rounded
from snn_deploy.testing import random_stimulus, random_unet


@pytest.fixture(scope="module")
def measured() -> tuple[Network, Activity]:
    network = random_unet("exact", 5)
    return network, count_activity(network, load_backend("reference").run(network, random_stimulus(network, 5)))


def test_the_formula_by_hand(measured: tuple[Network, Activity]) -> None:
    """Every term of the chip formula from the totals, with Davies' numbers, for images one at a time."""
    network, activity = measured
    target = load_target("loihi1")
    mapping = map_network(network, target)
    energy = estimate(network, activity, target, mapping=mapping)
    moved = measure_traffic(network, activity, mapping, target)
    firing = activity.populations[1:]
    active = sum(int(population.events.sum()) for population in firing) / activity.images
    neurons = sum(population.neurons for population in firing)
    expected = (
        23.6e-12 * activity.synaptic_operations / activity.images
        + 81e-12 * active
        + 52e-12 * (neurons * network.duration - active)
        + sum(
            1.7e-12 * message.sent + 3.0e-12 * message.hops_ew + 4.0e-12 * message.hops_ns for message in moved.messages
        )
    )
    assert energy.dynamic_j.value == pytest.approx(expected, rel=1e-12)
    assert (energy.dynamic_j.low, energy.dynamic_j.high) == pytest.approx((expected, 2 * expected), rel=1e-12)
    assert energy.timing is not None
    assert energy.static_j is not None
    steps = [step.duration_s.value for step in energy.timing.timeline.steps]  # test_timeline.py walks over them
    assert len(steps) == network.duration
    assert energy.timing.latency_s.value == pytest.approx(sum(steps), rel=1e-12)
    assert energy.timing.step_s.value == pytest.approx(sum(steps) / network.duration, rel=1e-12)
    assert energy.static_j.value == pytest.approx(0.104 * energy.timing.latency_s.value * mapping.chips, rel=1e-12)
    assert energy.total_j.value == pytest.approx(energy.dynamic_j.value + energy.static_j.value, rel=1e-12)
    assert energy.edp_js is not None
    assert energy.edp_js.value == pytest.approx(energy.total_j.value * energy.timing.latency_s.value, rel=1e-12)
    assert energy.images_per_s is not None
    assert energy.images_per_s.value == pytest.approx(1 / energy.timing.latency_s.value, rel=1e-12)


@pytest.mark.parametrize(("cores_per_chip", "chips", "barrier_s"), [(3, 1, 465e-9), (2, 2, 14300e-9), (1, 3, 14300e-9)])
def test_a_step_across_chips_waits_for_the_slower_barrier(cores_per_chip: int, chips: int, barrier_s: float) -> None:
    """Three populations on a core each; Loihi 1 synchronizes one chip in 465 ns and several in 14.3 us."""
    network = copies(3)
    loihi1 = load_target("loihi1")
    limit = replace(loihi1.figure("limits.cores_per_chip"), value=float(cores_per_chip))
    target = replace(loihi1, figures={**loihi1.figures, limit.key: limit})
    timing = estimate(network, assume_activity(network, 0.0), target).timing
    assert timing is not None
    assert (timing.cores, timing.chips) == (3, chips)
    assert timing.step_s.value == pytest.approx(8.4e-9 + barrier_s, rel=1e-12)  # one neuron a core, no spikes
    assert timing.static_w.value == pytest.approx(0.104 * chips, rel=1e-12)


def test_the_busiest_core_is_named(measured: tuple[Network, Activity]) -> None:
    """The population whose cores hold the one with the most time for operations and neurons."""
    network, activity = measured
    target = load_target("loihi1")
    mapping = map_network(network, target)
    moved = measure_traffic(network, activity, mapping, target)
    loads = moved.operations / network.steps * 3.5e-9 + moved.neurons * 8.4e-9
    timing = estimate(network, activity, target, streamed=True).timing
    assert timing is not None
    peaks = {name: loads[block.cores].max() for name, block in moved.blocks.items()}
    assert timing.longest_step.busiest == max(peaks, key=lambda name: peaks[name])
    assert timing.longest_step.core == int(np.argmax(loads))
    assert (timing.cores, timing.chips) == (mapping.cores, mapping.chips)


@pytest.mark.parametrize(
    ("cores_per_chip", "streamed", "notes"),
    [
        (3, False, ["images one at a time; streamed images share leakage and idle updates"]),
        (3, True, ["images stream through the pipeline: all layers work at once"]),
        (
            1,
            False,
            [
                "images one at a time; streamed images share leakage and idle updates",
                "4 messages per image cross chips; their hops and energy are unknown and not included",
            ],
        ),
    ],
)
def test_notes_say_what_is_not_included(cores_per_chip: int, streamed: bool, notes: list[str]) -> None:
    """Of three populations the first two send 0.5 events in each of four steps; the input's messages cross nothing."""
    network, loihi1 = copies(3), load_target("loihi1")
    limit = replace(loihi1.figure("limits.cores_per_chip"), value=float(cores_per_chip))
    target = replace(loihi1, figures={**loihi1.figures, limit.key: limit})
    energy = estimate(network, assume_activity(network, 0.5), target, streamed=streamed)
    step = (
        "operations are spread evenly over each layer's window of 4 steps; a step is as long as its busiest core takes; "
        "messages from the host are counted without hops"
    )
    assert energy.notes == (*loihi1.notes, notes[0], step, *notes[1:])
    crossing = ["messages between chips"] if len(notes) > 1 else []
    assert energy.excluded == ("host input and output", "barriers between steps", *crossing)
    assert energy.record()["excluded"] == list(energy.excluded)
    assert (energy.network, energy.target) == ("copies", "loihi1")
    assert energy.activity == "assumed: 0.5 events per neuron and step"
    keys = [figure.key for figure in energy.figures]
    assert keys[0] == "energy.synapse_pj"
    assert keys[1:7] == [*EVENT_COEFFICIENTS]


@pytest.mark.parametrize(
    ("cores_per_chip", "hops", "crossing"),
    [
        (3, ("0", "0 J (0 J to 0 J)"), None),  # three populations on one chip, all in one tile of its mesh
        (2, ("0", "0 J (0 J to 0 J)"), ("2", "- (no published coefficient)")),
        (1, ("-", "- (no message stays on its chip)"), ("4", "- (no published coefficient)")),
    ],
)
def test_what_is_not_priced_is_absent_not_zero(
    cores_per_chip: int, hops: tuple[str, str], crossing: tuple[str, str] | None
) -> None:
    """Of the two populations that send to another one, none, one and both send to another chip; 2 events each."""
    network, loihi1 = copies(3), load_target("loihi1")
    limit = replace(loihi1.figure("limits.cores_per_chip"), value=float(cores_per_chip))
    target = replace(loihi1, figures={**loihi1.figures, limit.key: limit})
    energy = estimate(network, assume_activity(network, 0.5), target)
    rows = {what: (count, text) for what, count, text in energy.rows()}
    assert (rows["hops east-west"], rows["hops north-south"]) == (hops, hops)
    assert rows.get("messages between chips") == crossing
    listed = {part["name"]: part for part in json.loads(json.dumps(energy.record()))["parts"]}
    for name in ("hops east-west", "hops north-south", "messages between chips"):
        if name not in rows:
            assert name not in listed
        elif rows[name][1].startswith("-"):
            assert listed[name]["energy_j"] is None
            assert f"- ({listed[name]['missing']})" == rows[name][1]
            assert (listed[name]["count"] is None) == (rows[name][0] == "-")
        else:
            assert listed[name]["energy_j"] == {"value": 0, "low": 0, "high": 0}
            assert listed[name]["missing"] is None


def test_what_does_not_fit_is_noted() -> None:
    network = copies(3)
    loihi1 = load_target("loihi1")
    limit = replace(loihi1.figure("limits.payload_bits"), value=0.0)
    target = replace(loihi1, figures={**loihi1.figures, limit.key: limit})
    assert estimate(network, assume_activity(network, 0.5), target).notes[-1] == (
        "the network does not fit: 4 problem(s), see the mapping"
    )


def test_a_mapping_of_something_else_is_refused(measured: tuple[Network, Activity]) -> None:
    network, activity = measured
    for mapping in (map_network(copies(3), load_target("loihi1")), map_network(network, load_target("loihi2"))):
        with pytest.raises(TargetError, match=r"^the mapping is of '.*' on 'loihi[12]'$"):
            estimate(network, activity, load_target("loihi1"), mapping=mapping)


def copies(number: int) -> Network:
    """A chain of ``number`` populations of one neuron, each a copy of the one before."""
    zero, kernel = np.zeros((1, 1, 1), np.int64), ConvKernel(np.ones((1, 1, 1, 1), np.int8))
    populations = [Population("p0", (1, 1, 1), None, zero, np.ones(1), input_max=1)]
    connections = []
    for index in range(1, number + 1):
        neuron = MultiThreshold(np.ones(1, np.int64), np.zeros(1, np.int64), 0, 1)
        populations.append(Population(f"p{index}", (1, 1, 1), neuron, zero, np.ones(1), start=index))
        connections.append(Connection(f"c{index}", f"p{index - 1}", f"p{index}", kernel))
    outputs = (Output("out", f"p{number}"),)
    return Network("copies", "rate", 4, tuple(populations), tuple(connections), outputs)


def test_a_measurement_stands_in_for_the_model(tmp_path: Path, measured: tuple[Network, Activity]) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(
        'name = "bench"\ntitle = "bench"\ninherit = "loihi2"\n[sources.lab]\ntitle = "our bench"\ndate = "2026-01"\n'
        '[measured]\nstep_us = {value = 100.0, source = "lab", basis = "measured", band = [0.99, 1.01]}\n'
        'dynamic_per_image_uj = {value = 7.0, source = "lab", basis = "measured", band = [0.9, 1.1]}\n'
        'static_w = {value = 0.3, source = "lab", basis = "measured", band = [1.0, 1.0]}\n'
    )
    network, activity = measured
    energy = estimate(network, activity, load_target(path))
    assert energy.dynamic_j.value == pytest.approx(7e-6, rel=1e-12)
    assert energy.model_j == estimate(network, activity, load_target("loihi2")).dynamic_j
    assert energy.timing is not None
    assert energy.timing.step_s.value == pytest.approx(1e-4, rel=1e-12)
    assert energy.static_j is not None
    assert energy.static_j.value == pytest.approx(0.3 * 1e-4 * network.duration, rel=1e-12)
    assert {row[:2] for row in energy.rows()} >= {("longest step", "measured")}
    assert energy.excluded == ("host input and output",)
    assert any("our bench, 2026-01" in figure.citation for figure in energy.figures)


@pytest.mark.parametrize(("operations", "measured_us"), [(106e3, 107), (124e3, 125), (177e3, 181), (195e3, 201)])
def test_step_times_of_a_chip_lie_in_the_band(operations: float, measured_us: float) -> None:
    """PilotNet LIF on Loihi 2: the four step times of the benchmark and the operations of its busiest core."""
    target = load_target("loihi2")
    step = (
        target.quantity("time.synapse_ns") * operations
        + target.quantity("time.neuron_ns") * 2688.0
        + target.quantity("time.barrier_chip_ns")
    )
    assert step.low < measured_us * 1e-6 < step.high
    assert step.value == pytest.approx(measured_us * 1e-6, rel=0.12)


def test_streaming_shares_leakage_and_idle_updates(measured: tuple[Network, Activity]) -> None:
    """The next image follows after ``steps`` steps, in which all layers work: each is longer, an image takes fewer."""
    network, activity = measured
    single, streamed = (estimate(network, activity, load_target("loihi2"), streamed=flag) for flag in (False, True))
    assert single.timing is not None
    assert streamed.timing is not None
    assert len(streamed.timing.timeline.steps) == network.steps
    longest = max(step.duration_s.value for step in single.timing.timeline.steps)
    assert streamed.timing.interval_s.value == pytest.approx(longest, rel=1e-12)
    latency_s = streamed.timing.interval_s.value * network.duration
    assert streamed.timing.latency_s.value == pytest.approx(latency_s, rel=1e-12)
    assert single.timing.interval_s == single.timing.latency_s
    assert streamed.timing.interval_s.value < single.timing.latency_s.value < latency_s
    idle = {part.name: part.count for part in single.parts}["inactive neuron updates"]
    less = {part.name: part.count for part in streamed.parts}["inactive neuron updates"]
    neurons = sum(population.size for population in network.populations[1:])
    assert idle is not None
    assert less is not None
    assert idle - less == neurons * (network.duration - network.steps)


def test_kinds_of_synapses_have_their_own_coefficient(measured: tuple[Network, Activity]) -> None:
    network, activity = measured
    parts = {part.name: part for part in estimate(network, activity, load_target("loihi1-sanafe")).parts}
    for name, coefficient_j in (("synaptic operations", 24.0e-12), ("spikes", 69.3e-12)):
        part = parts[name]
        assert part.energy is not None
        assert part.count is not None
        assert part.energy.value == pytest.approx(coefficient_j * part.count, rel=1e-12)


def test_arithmetic_and_the_published_formula(measured: tuple[Network, Activity]) -> None:
    network, activity = measured
    sums = estimate(network, activity, load_target("cmos45-fp32"))
    assert sums.total_j.value == pytest.approx(0.9e-12 * activity.synaptic_operations / activity.images, rel=1e-12)
    assert sums.timing is None
    assert sums.static_share is None
    assert sums.excluded == ("neuron updates", "routing", "leakage", "host input and output")
    paper = estimate(network, activity, load_target("spiking-unet-formula"))
    spikes = sum(int(counts.unit_spikes.sum()) for counts in activity.populations[1:] if counts.unit_spikes is not None)
    first = sum(counts.dense_macs for counts in activity.connections if counts.source == network.input.name)
    assert paper.total_j.value == pytest.approx(0.9e-12 * spikes / activity.images + 4.6e-12 * first, rel=1e-12)
    assert any("counts a spike once however many synapses it reaches" in note for note in paper.notes)


def test_a_device_without_coefficients_is_refused(tmp_path: Path, measured: tuple[Network, Activity]) -> None:
    path = tmp_path / "half.toml"
    path.write_text(
        'name = "half"\ntitle = "half"\nkind = "chip"\n[sources.lab]\ntitle = "bench"\ndate = "2026-01"\n'
        '[energy]\nsynapse_pj = {value = 9.5, source = "lab", basis = "measured", band = [0.9, 1.2]}\n'
    )
    with pytest.raises(TargetError, match=r"target half: no limits.cores_per_chip, .* and band$"):
        estimate(*measured, load_target(path))


@pytest.mark.parametrize("key", ["energy.spike_pj", "time.neuron_ns", "power.static_chip_w"])
def test_a_missing_coefficient_is_refused(key: str, measured: tuple[Network, Activity]) -> None:
    target = load_target("loihi2")
    less = replace(target, figures={name: figure for name, figure in target.figures.items() if name != key})
    with pytest.raises(TargetError, match=f"target loihi2: no {key}; an estimate is refused rather than guessed"):
        estimate(*measured, less)


def test_unknown_unit_spikes_are_refused() -> None:
    network = random_unet("rate", 1)
    with pytest.raises(TargetError, match=r"unit spikes of enc1/a are unknown; record trains in a run$"):
        estimate(network, assume_activity(network, 0.1), load_target("spiking-unet-formula"))


def test_the_activity_of_another_network_is_refused(measured: tuple[Network, Activity]) -> None:
    with pytest.raises(TargetError, match=r"^the activity is of network .*, not of "):
        estimate(random_unet("rate", 1), measured[1], load_target("loihi1"))


@pytest.mark.parametrize("name", target_names())
def test_every_figure_has_its_band_and_basis(name: str, measured: tuple[Network, Activity]) -> None:
    energy = estimate(*measured, load_target(name))
    for _, _, figure in energy.rows():
        assert " to " in figure
    assert energy.figures
    assert json.loads(json.dumps(energy.record()))["basis"][0].count("[") == 1
    total = sum((layer.energy.value for layer in energy.layers), 0.0)
    assert total == pytest.approx(energy.dynamic_j.value, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01536, "15 mJ"),
        (9.96e-3, "10 mJ"),
        (9.94e-3, "9.9 mJ"),
        (0.0, "0 J"),
        (123.0, "120 J"),
        (999.0, "1.0 kJ"),
        (1.0, "1.0 J"),
        (3.14e-10, "310 pJ"),
    ],
)
def test_two_significant_digits(value: float, text: str) -> None:
    assert rounded(value, "J") == text


def test_a_band_must_hold_its_value() -> None:
    with pytest.raises(ValueError, match=r"does not lie in its band \[2.0, 3.0\], or a bound is negative$"):
        Quantity(1.0, 2.0, 3.0)
    assert Quantity(2.0, 1.0, 4.0).inverse() == Quantity(0.5, 0.25, 1.0)
    assert np.isclose((Quantity(2.0, 1.0, 4.0) * 3.0).high, 12.0)
