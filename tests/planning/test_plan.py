"""Plans: what is proposed fits and is proved, what is executed equals the whole image, and files are read as written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.cost.energy import estimate
from snn_deploy.errors import PlanError, TargetError
from snn_deploy.mapping.fit import map_network
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.planning.groups import cut_stage
from snn_deploy.planning.halo import Halo, find_cut
from snn_deploy.planning.hardware import choose_hardware
from snn_deploy.planning.measure import measure_plan
from snn_deploy.planning.plan import Group, Hardware, Plan, load_plan, save_plan
from snn_deploy.planning.planned import PlannedBackend
from snn_deploy.planning.propose import prove
from snn_deploy.planning.weigh import choose_option, select_front, weigh
from snn_deploy.planning.windows import Tiling
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_unet
from snn_deploy.testing.networks import random_stimulus
from tests.planning.test_halo import bilinear, unet

LOIHI2 = load_target("loihi2")
NET = unet(bilinear(8))
NAMES = tuple(population.name for population in NET.populations[1:])
THREE = (
    Group(NAMES[:1], (20, 14), Halo(1, 1)),
    Group(NAMES[1:3], (18, 16), Halo(2, 3)),
    Group(NAMES[3:], (9, 8), Halo(2, 2)),
)
"""Groups with one source, and with two of different resolutions; halos in pixels of the coarser."""


def plan_of(net: Network, groups: tuple[Group, ...], image: tuple[int, int] = (36, 28)) -> Plan:
    return Plan(net.name, artifact.digest(net), image, groups, True, Hardware("loihi2", 1, 120))


def test_groups_compute_what_the_whole_network_computes() -> None:
    whole = NET.at_size(36, 28)
    stimulus = random_stimulus(whole, batch=2)
    expected = load_backend("reference").run(whole, stimulus, Record.STATES)
    for first in range(len(NAMES)):
        for last in range(first + 1, len(NAMES) + 1):
            stage = cut_stage(whole, NAMES[first:last])
            to = f" to {NAMES[last - 1]}" if last > first + 1 else ""
            part = f"{whole.name}, {NAMES[first]}{to}"
            assert stage.network.name == (whole.name if last - first == len(NAMES) else part)
            run = load_backend("cpu").run(stage.network, stage.read(expected.counts))
            for name in stage.members:
                assert np.array_equal(run.counts[name], expected.counts[name]), (first, last, name)


def test_a_plan_gives_counts_events_trains_and_states_of_the_whole_image() -> None:
    whole, reference = NET.at_size(36, 28), load_backend("reference")
    stimulus = random_stimulus(whole, batch=2)
    expected = reference.run(whole, stimulus, Record.STATES)
    plan = plan_of(NET, THREE)
    prove(plan, whole)
    done: list[tuple[int, int]] = []
    run = PlannedBackend(reference, plan).run(whole, stimulus, Record.STATES, lambda *part: done.append(part))
    assert (run.backend, run.network, run.stimulus) == ("reference in tiles", expected.network, expected.stimulus)
    assert run.trains is not None
    assert run.states is not None
    assert expected.trains is not None
    assert expected.states is not None
    for name in expected.counts:
        assert np.array_equal(run.counts[name], expected.counts[name]), name
        assert np.array_equal(run.events[name], expected.events[name]), name
        assert np.array_equal(run.trains[name], expected.trains[name]), name
    for name in expected.states:
        assert np.array_equal(run.states[name], expected.states[name]), name
    assert done[-1][0] == done[-1][1] == max(part for part, _ in done)
    with pytest.raises(
        PlanError, match=r"^[pb]: the tile at .* does not give what the whole image gives; the exact halo is"
    ):
        prove(plan_of(NET, (THREE[0], replace(THREE[1], tile=(18, 14), halo=Halo(0, 0)), THREE[2])), whole)


def test_a_plan_gives_second_states_of_the_whole_image() -> None:
    """What sigma-delta neurons have sent."""
    wide = 2**22
    neurons = {
        population.name: SigmaDelta.of(
            np.zeros(population.shape[0], np.int64),
            shift=3,
            payloads=(-wide, wide),
            counts=(-wide, wide),
            rectify=False,
        )
        for population in NET.populations[1:]
    }
    populations = [replace(each, neuron=neurons.get(each.name)) for each in NET.populations]
    net = replace(NET, populations=tuple(populations))
    whole, reference = net.at_size(36, 28), load_backend("reference")
    stimulus = random_stimulus(whole, batch=1)
    expected = reference.run(whole, stimulus, Record.STATES)
    run = PlannedBackend(reference, plan_of(net, (Group(NAMES, (16, 20), find_cut(net).exact),))).run(
        whole, stimulus, Record.STATES
    )
    assert run.second_states is not None
    assert expected.second_states is not None
    assert set(run.second_states) == set(expected.second_states) == set(NAMES)
    for name, states in expected.second_states.items():
        assert np.array_equal(run.second_states[name], states), name
        assert states.any()


def test_rate_networks_run_in_tiles_and_refuse_groups() -> None:
    rate = random_unet("rate", 1, size=8, steps=5)
    with pytest.raises(PlanError, match=r"groups of layers need an exact network .* sends for 5 steps \(rate mode\)$"):
        cut_stage(rate, [rate.populations[1].name])
    net = replace(NET, mode="rate", steps=3)
    whole, cpu = net.at_size(28, 36), load_backend("cpu")
    stimulus = random_stimulus(whole, batch=1)
    expected = cpu.run(whole, stimulus, Record.TRAINS)
    groups = (Group(NAMES, (16, 20), find_cut(net).exact),)
    run = PlannedBackend(cpu, plan_of(net, groups, (28, 36))).run(whole, stimulus, Record.TRAINS)
    assert run.trains is not None
    assert expected.trains is not None
    assert all(np.array_equal(run.trains[name], expected.trains[name]) for name in expected.trains)


def test_costs_are_those_of_the_tiles_in_turn() -> None:
    """By hand, from the estimate of every single tile: three tiles share two copies, so two rounds."""
    whole, cpu = NET.at_size(16, 36), load_backend("cpu")
    stimulus = random_stimulus(whole, batch=1)
    tile = NET.at_size(16, 20)
    cores = map_network(tile, LOIHI2).cores
    group = Group(NAMES, (16, 20), Halo(6, 6))
    plan = replace(plan_of(NET, (group,), (16, 36)), hardware=Hardware("loihi2", 2, 2 * cores + 1))
    _, cost = measure_plan(plan, whole, stimulus, cpu, LOIHI2)
    runs = [cpu.run(tile, stimulus[..., start : start + 20]) for start in (0, 8, 16)]
    found = [estimate(tile, count_activity(tile, run), LOIHI2) for run in runs]
    seconds = [each.timing.interval_s.value for each in found if each.timing]
    assert (cost.groups[0].tiles, cost.groups[0].copies) == (3, 2)
    assert cost.interval_s.value == pytest.approx(2 * sum(seconds) / 3, rel=1e-9)
    assert cost.dynamic_j.value == pytest.approx(sum(each.dynamic_j.value for each in found), rel=1e-9)
    assert cost.static_j.value == pytest.approx(2 * 0.25 * cost.interval_s.value, rel=1e-9)
    events = sum(int(run.events[name].sum()) for run in runs for name in ("input", "y"))
    assert cost.host_events == events
    assert "reloading weights between groups" not in cost.excluded
    with pytest.raises(PlanError, match=rf"^tiles of 16x20 take {cores} cores of loihi2, and 1 are there$"):
        measure_plan(replace(plan, hardware=Hardware("loihi2", 1, 1)), whole, stimulus, cpu, LOIHI2)


def test_plans_are_proposed_weighed_and_chosen() -> None:
    whole = NET.at_size(64, 48)
    stimulus = random_stimulus(whole, batch=1)
    options = weigh(NET, whole, stimulus, LOIHI2, Hardware("loihi2", 1, 5), load_backend("cpu"))
    exact = [option for option in options if option.plan.exact]
    assert exact
    assert all(option.error == 0 for option in exact)
    assert any(option.error > 0 for option in options)
    assert all(max(group.cores for group in option.cost.groups) <= 5 for option in options)
    assert any(select_front(options))
    fastest = choose_option(options, 1.0, "speed")
    assert fastest.cost.interval_s.value == min(each.cost.interval_s.value for each in options if each.error <= 1.0)
    assert choose_option(options, 0.0, "traffic").plan.exact
    saved = choose_option(options, 0.0, "energy").finished
    assert saved.figures["output_error"] == 0
    lossy = [option for option in options if option.error > 0]
    with pytest.raises(
        PlanError, match=r"^no plan that fits loses at most 0.00% of the output's variation, the least "
    ):
        choose_option(lossy, 0.0, "speed")
    with pytest.raises(
        PlanError, match=r"^net: no tile fits: tiles of .* take 5 cores of loihi2, and 1 are there; exact"
    ):
        weigh(NET, whole, stimulus, LOIHI2, Hardware("loihi2", 1, 1), load_backend("cpu"))


def test_a_tile_of_the_whole_image_is_exact_with_any_halo() -> None:
    whole = NET.at_size(16, 16)
    stimulus = random_stimulus(whole, batch=1)
    options = weigh(NET, whole, stimulus, LOIHI2, Hardware("loihi2", 1, 5), load_backend("cpu"))
    tiled = [option for option in options if len(option.plan.groups) == 1 and option.cost.tiles == 1]
    assert len(tiled) == 1
    assert tiled[0].plan.exact
    assert tiled[0].error == 0


def test_tiles_beyond_all_patience_are_refused() -> None:
    with pytest.raises(PlanError, match=r"^262,144 tiles of 1x1; at most 65,536 are allowed, use larger ones$"):
        Tiling((512, 512), (1, 1), Halo(0, 0), (1, 1))
    with pytest.raises(PlanError, match=r"^65537 pixels in tiles of 1: more than 65,536 tiles; use larger ones$"):
        Tiling((65537, 1), (1, 1), Halo(0, 0), (1, 1))
    with pytest.raises(PlanError, match=r"^tiles of 8x9 are larger than the image, 8x8$"):
        Tiling((8, 8), (8, 9), Halo(0, 0), (1, 1))
    with pytest.raises(
        PlanError, match=r"^tiles of 6 pixels keep nothing inside a halo of 3; use tiles of at least 8$"
    ):
        Tiling((16, 16), (6, 6), Halo(3, 3), (2, 2))
    with pytest.raises(
        PlanError, match=r"^tiles of 7 pixels do not end with the image's 16 on a grid of 2; use 6 or 8$"
    ):
        Tiling((16, 16), (7, 7), Halo(1, 1), (2, 2))


def test_hardware_by_chips_cores_and_board() -> None:
    assert choose_hardware(LOIHI2) == Hardware("loihi2", 1, 120)
    assert choose_hardware(LOIHI2, cores=121) == Hardware("loihi2", 2, 121)
    assert choose_hardware(LOIHI2, board="kapoho-point") == Hardware("loihi2", 8, 960)
    with pytest.raises(
        PlanError, match=r"^loihi2 has no board 'x'; the boards \(chips\) are Oheo Gulch \(1\), Kapoho "
    ):
        choose_hardware(LOIHI2, board="x")
    with pytest.raises(PlanError, match="say the same; give one of them$"):
        choose_hardware(LOIHI2, board="x", chips=1)
    with pytest.raises(TargetError, match=r"has no cores to plan for; choose a chip, such as loihi2$"):
        choose_hardware(load_target("cmos45-int8"))


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = replace(plan_of(NET, THREE), figures={"a": 1.5})
    save_plan(plan, tmp_path / "p.json")
    assert load_plan(tmp_path / "p.json") == plan
    plan.check(NET)
    with pytest.raises(PlanError, match=r"^the plan is of network 'net', SHA-256 .*; make a plan of this network$"):
        plan.check(NET.at_size(18, 18))
    with pytest.raises(
        PlanError, match=r"^the plan is of images of 36x28, this one has 16x16; crop it, or make a plan"
    ):
        PlannedBackend(load_backend("cpu"), plan).run(NET, random_stimulus(NET))
    with pytest.raises(PlanError, match=r"^the groups of the plan are not the populations of net in their order$"):
        replace(plan, groups=THREE[:2]).check(NET)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "is of format 'x', version 1; 'snn-deploy plan', version 1 is read$"),
        ({"version": 2}, "version 2; 'snn-deploy plan', version 1 is read$"),
        ({"image": [0, 4]}, "images of 0x4 pixels; sides of 1 to 65536 are allowed$"),
        ({"image": [1.5, 4]}, r"a damaged plan \(TypeError: 1.5 where int was expected\); make it again$"),
        ({"image": [4]}, "a damaged plan .*; make it again$"),
        ({"groups": []}, "a plan has no groups$"),
        ({"groups": [{"populations": [], "tile": [4, 4], "halo": [0, 0]}]}, "a group of a plan has no populations$"),
        ({"groups": [{"populations": ["a"], "tile": [4, 4], "halo": [0, -1]}]}, "a damaged plan .* is negative"),
        ({"groups": [{"populations": ["a"], "tile": [4, 0], "halo": [0, 1]}]}, "tiles of 4x0 pixels; sides of 1 to"),
        ({"exact": 1}, "1 where bool was expected"),
        ({"hardware": {"target": "loihi2", "chips": 0, "cores": 1}}, "0 chips with 1 cores; at least one of each"),
        ({"hardware": 3}, "a damaged plan "),
    ],
)
def test_damaged_plans_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(plan_of(NET, THREE).record() | change))
    with pytest.raises(PlanError, match=message):
        load_plan(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", "[" * 10_000])
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PlanError, match=r"p.json: is not a plan; snn-deploy plan --out writes one$"):
        load_plan(tmp_path / "p.json")
