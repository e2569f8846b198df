"""Networks built for SANA-FE, checked by hand: windows, cores of clocks and inputs, responses, and limits at their boundaries."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("sanafe", reason="needs the extra sanafe")

from snn_deploy.activity.synapses import count_synapses
from snn_deploy.errors import BackendError, BackendUnavailableError
from snn_deploy.mapping.traffic import locate_cores
from snn_deploy.network.dynamics import transmit
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Network
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_unet
from snn_deploy_sanafe import backend, measure, program
from snn_deploy_sanafe.chip import describe_chip
from snn_deploy_sanafe.placement import CORES, NEURONS_PER_CORE, Placement, list_cores, number_core
from snn_deploy_sanafe.program import Program
from snn_deploy_sanafe.support import check_network, is_read_out

RATE = random_unet("rate", 3, size=8, steps=5)
EXACT = random_unet("exact", 3, size=8)


@pytest.mark.parametrize("inputs", [1, 2, 1024])
def test_a_chip_has_as_many_inputs_as_asked_for(inputs: int) -> None:
    text = describe_chip(inputs)
    assert text.count(f"loihi_inputs[0..{inputs - 1}]") == 1
    assert describe_chip(7).replace("loihi_inputs[0..6]", f"loihi_inputs[0..{inputs - 1}]") == text


def test_thresholds_that_are_never_reached() -> None:
    assert program.NEVER == 1e12 > 2 * STATE_MAX
    assert program.LEAD == 1


@pytest.mark.parametrize("start", [0, 3])
def test_a_window_begins_a_step_later_there(start: int) -> None:
    population = replace(RATE.populations[1], start=start)
    others = [each if each.name != population.name else population for each in RATE.populations]
    network = cast(Network, SimpleNamespace(population=lambda _: population, steps=5, populations=others))
    inside = [step for step in range(20) if measure._is_in_window(network, population.name, step)]
    assert inside == [start + 1 + step for step in range(5)]


def test_steps_and_clocks_of_a_network() -> None:
    assert program.count_steps(RATE) == RATE.duration + 2
    assert program.count_inputs(RATE) == 2 * (len(RATE.populations) - 1)
    assert [program.group_name(number) for number in (0, 12)] == ["population 000000", "population 000012"]


def test_what_is_no_population_fills_the_free_cores() -> None:
    made = object.__new__(Program)
    made._cores, made.placement, made.others = [f"core {number}" for number in range(20)], Placement({}, 7), 0
    used: list[str] = []
    neuron = SimpleNamespace(map_to_core=used.append)
    for _ in range(2 * NEURONS_PER_CORE + 1):
        made._map_other(neuron)
    assert NEURONS_PER_CORE == 1024
    assert [used.count(f"core {number}") for number in range(6, 11)] == [0, 1024, 1024, 1, 0]
    assert made.others == 2049


@pytest.mark.parametrize("at_once", [1, 7, 64, 256])
def test_responses_are_those_of_single_spikes(at_once: int) -> None:
    connection = RATE.connections[-1]
    source = RATE.population(connection.source)
    units = np.eye(source.size, dtype=np.int64).reshape(source.size, *source.shape)
    expected = transmit(connection, units).reshape(source.size, -1)
    parts = list(program._respond(connection, source, at_once))
    assert [first for first, _ in parts] == list(range(0, source.size, at_once))
    assert np.array_equal(np.concatenate([part for _, part in parts]), expected)
    whole = list(program._respond(connection, source))
    assert [len(part) for _, part in whole] == [256] * (source.size // 256) + [source.size % 256] * (
        source.size % 256 > 0
    )


def test_the_longest_delay_of_each_sender() -> None:
    found = program._longest_delays(RATE)
    for name, delay in found.items():
        assert delay == max(edge.delay for edge in RATE.connections if edge.source == name)
    assert set(found) == {edge.source for edge in RATE.connections} - {RATE.input.name}
    assert max(found.values()) > 1, "a skip"


def test_synapses_are_counted_without_those_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    total = sum(
        count_synapses(edge.kernel, RATE.population(edge.source).shape)
        for edge in RATE.connections
        if edge.source != RATE.input.name
    )
    assert program.MOST_SYNAPSES == 2_500_000
    monkeypatch.setattr(program, "MOST_SYNAPSES", total)
    program.check_size(RATE)
    monkeypatch.setattr(program, "MOST_SYNAPSES", total - 1)
    with pytest.raises(
        BackendUnavailableError, match=rf"has {total:,} synapses at 8x8, more than {total - 1:,}, which take 4 GiB"
    ):
        program.check_size(RATE)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_membranes_of_24_bits(sign: float) -> None:
    population = RATE.populations[1]
    backend._check_membranes(population, np.array([[0.0, sign * STATE_MAX]]))
    with pytest.raises(
        BackendError, match=rf"^{population.name}: a membrane reaches {STATE_MAX + 1}; SANA-FE does not"
    ):
        backend._check_membranes(population, np.array([[0.0, sign * (STATE_MAX + 1)]]))
    assert backend._as_int32(np.array([sign, 0.0])).dtype == np.int32
    with pytest.raises(BackendError, match=r"^SANA-FE returned a membrane that is not a whole number$"):
        backend._as_int32(np.array([sign * 0.5]))


def test_cores_are_numbered_along_the_rows_of_the_mesh() -> None:
    """SANA-FE's tiles follow each other down its columns."""
    target = load_target("loihi1-sanafe")
    columns, rows, cores = (target.integer(f"mesh.tile_{what}") for what in ("columns", "rows", "cores"))
    assert columns * rows * cores == CORES
    tiles = [
        SimpleNamespace(cores=[(column, row, offset) for offset in range(cores)])
        for column in range(columns)
        for row in range(rows)
    ]
    listed = list_cores(SimpleNamespace(tiles=tiles))
    assert len(listed) == CORES
    assert [number_core(*place) for place in listed] == list(range(CORES))
    chip, x, y = locate_cores(target, np.arange(CORES))
    assert not chip.any()
    assert [(int(a), int(b)) for a, b in zip(x, y, strict=True)] == [place[:2] for place in listed]


def plain(network: Network, **changes: Any) -> Network:
    """Every neuron with single spikes above its threshold, but for ``changes`` of the firing ones."""
    populations = [network.input]
    for population in network.populations[1:]:
        neuron = population.neuron
        assert isinstance(neuron, MultiThreshold)
        if not is_read_out(network, population):
            neuron = replace(
                neuron,
                **(
                    {"payload_min": 0, "payload_max": 1, "strict": True, "count_min": None, "count_max": None} | changes
                ),
            )
        populations.append(replace(population, neuron=neuron))
    return replace(network, populations=tuple(populations))


def test_what_cannot_be_fired_is_named_up_to_three_times() -> None:
    firing = [each.name for each in RATE.populations[1:] if not is_read_out(RATE, each)]
    assert len(firing) > 4
    more = len(firing) - 3
    for changes, reason in (
        ({"payload_max": 2}, r"payloads of 0\.\.2, not single spikes"),
        ({"payload_min": -1}, r"payloads of -1\.\.1, not single spikes"),
        ({"strict": False}, "neurons that fire at their threshold, not above it"),
    ):
        named = "; ".join(f"{name}: {reason}" for name in firing[:3])
        with pytest.raises(
            BackendUnavailableError,
            match=rf"^sanafe cannot run this network: {named} and {more} more; convert with --preset",
        ):
            check_network(plain(RATE, **changes))
    check_network(plain(RATE))
    check_network(plain(RATE, strict=False, reset="zero"))
    with pytest.raises(
        BackendUnavailableError, match=r"network: [^;]*: exact mode sends payloads, not single spikes[ ;]"
    ):
        check_network(EXACT)
    late = plain(RATE)
    last = late.populations[-1]
    moved = replace(late, populations=(*late.populations[:-1], replace(last, start=last.start + 1)))
    with pytest.raises(
        BackendUnavailableError, match=r": its schedule is not aligned; convert with --preset if-strict$"
    ):
        check_network(moved)
