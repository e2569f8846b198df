"""Choices among plans with costs by hand, and what an option loses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.arrays import Float64
from snn_deploy.backend.registry import load_backend
from snn_deploy.data.metrics import psnr_db
from snn_deploy.errors import PlanError, TargetError
from snn_deploy.planning.halo import Halo
from snn_deploy.planning.measure import RELOADING, GroupCost, PlanCost, fit_tile, measure_plan
from snn_deploy.planning.plan import Group, Hardware, Plan
from snn_deploy.planning.weigh import GOALS, Option, Preference, _error, _psnr, choose_option, select_front, weigh
from snn_deploy.targets.load import load_target
from snn_deploy.targets.quantity import Quantity
from snn_deploy.testing.networks import random_stimulus
from tests.planning.test_halo import conv, network
from tests.planning.test_plan import NAMES, NET, THREE, plan_of

LOIHI2 = load_target("loihi2")


def option(
    *, seconds: float = 1.0, joules: float = 1.0, sent: float = 10.0, read: float = 5.0, error: float = 0.0
) -> Option:
    exact = Quantity.exact
    group = GroupCost(4, 1.5, 3, 2, exact(seconds), exact(joules), sent, read, 100)
    plan = Plan("net", "0" * 64, (64, 48), (Group(NAMES, (16, 20), Halo(1, 2)),), error == 0, Hardware("loihi2", 1, 5))
    return Option(plan, PlanCost((group,), exact(0.5), ("dram",)), error)


QUICK = option(seconds=1, joules=4, sent=30)
FRUGAL = option(seconds=3, joules=1, sent=20)
QUIET = option(seconds=4, joules=9, sent=10)
LOSSY = option(seconds=0.5, joules=0.5, sent=1, error=0.02)
OPTIONS = (QUICK, FRUGAL, QUIET, LOSSY)


@pytest.mark.parametrize(
    ("most_error", "prefer", "expected"),
    [
        (0.0, "speed", QUICK),
        (0.0, "energy", FRUGAL),  # 1 J and 0.5 W for 3 s, against 4 J and 0.5 W for 1 s
        (0.0, "traffic", QUIET),
        (0.0199, "speed", QUICK),
        (0.02, "speed", LOSSY),
        (0.02, "energy", LOSSY),
        (1.0, "traffic", LOSSY),
    ],
)
def test_the_best_option_that_loses_no_more_than_allowed(
    most_error: float, prefer: Preference, expected: Option
) -> None:
    assert choose_option(OPTIONS, most_error, prefer) is expected


def test_losses_are_refused_with_the_least() -> None:
    with pytest.raises(
        PlanError, match=r"loses at most 1.00% of the output's variation, the least 2.00%: allow that \(--max"
    ):
        choose_option([LOSSY, replace(LOSSY, error=0.5)], 0.01, "speed")


def test_what_another_plan_beats_in_all_is_not_on_the_front() -> None:
    assert set(GOALS) == {"images_per_s", "energy_j", "host_events", "error"}
    assert select_front(OPTIONS) == (True, True, True, True)
    worse = option(seconds=3, joules=1, sent=21)
    assert select_front((FRUGAL, worse, LOSSY)) == (True, False, True)


def test_a_point_of_a_sweep() -> None:
    groups = (Group(("a",), (20, 14), Halo(1, 1)), Group(NAMES[1:], (18, 16), Halo(2, 3)))
    point = replace(QUICK, plan=replace(QUICK.plan, groups=groups)).point
    assert point.settings == {"groups": 2, "tile": "20x14 18x16", "halo": "1 2+3"}
    assert point.scores == {"images_per_s": 1.0, "energy_j": 4.5, "host_events": 35.0, "error": 0.0}
    assert replace(QUICK, loss_db=0.25).point.scores == point.scores | {"loss_db": 0.25}
    assert replace(QUICK, loss_db=0.25).finished.figures["loss_db"] == 0.25


def test_costs_of_a_plan_are_sums_over_its_groups() -> None:
    one, two = QUICK.cost.groups[0], FRUGAL.cost.groups[0]
    cost = PlanCost((one, two), Quantity(0.5, 0.25, 1.0), ())
    assert (cost.tiles, cost.host_events) == (8, 30 + 5 + 20 + 5)
    assert cost.interval_s == Quantity.exact(4.0)
    assert cost.images_per_s == Quantity.exact(0.25)
    assert cost.dynamic_j == Quantity.exact(5.0)
    assert cost.static_j == Quantity(2.0, 1.0, 4.0)
    assert cost.total_j == Quantity(7.0, 6.0, 9.0)
    record = cost.record()
    assert set(record) == {
        "images_per_s", "interval_s", "dynamic_j", "static_j", "total_j", "idle_w", "host_events", "excluded", "groups"
    }  # fmt: skip
    assert record["idle_w"] == {"value": 0.5, "low": 0.25, "high": 1.0}


def test_the_error_is_in_standard_deviations() -> None:
    expected: Float64 = np.array([[3.0, -3.0], [3.0, -3.0]])
    assert _error(expected, expected) == 0
    assert _error(expected + 1.5, expected) == 0.5
    assert _error(expected + np.array([[3.0, 0.0], [0.0, 0.0]]), expected) == 0.5
    flat = 0 * expected
    assert _error(flat, flat) == 0
    assert _error(flat + 1, flat) > 1e300


def test_psnr_of_pictures_only() -> None:
    net = network(("input", "y", conv(1, 1)), size=(8, 8))
    random = np.random.default_rng(3)
    clean, values = random.random((1, 1, 8, 8), np.float32), random.random((1, 1, 8, 8))
    expected = psnr_db(net.picture.as_picture(values), net.picture.of_input(clean))
    assert _psnr(net, values, clean) == expected
    assert _psnr(net, values, None) is None
    assert _psnr(net, values[..., 1:], clean) is None
    assert _psnr(net, clean.astype(np.float64), clean) is None  # infinite


def test_options_without_a_clean_picture_have_no_loss() -> None:
    """With one, an exact plan loses nothing; a lossy one what its PSNR is below the whole image's."""
    whole = NET.at_size(40, 32)
    stimulus = random_stimulus(whole, batch=2)
    hardware = Hardware("loihi2", 1, 5)
    seen: list[tuple[int, int]] = []
    options = weigh(
        NET, whole, stimulus, LOIHI2, hardware, load_backend("cpu"), progress=lambda *part: seen.append(part)
    )
    assert seen == [(number, len(options)) for number in range(1, len(options) + 1)]
    assert all(each.loss_db is None for each in options)
    assert [each.error == 0 for each in options] == [each.plan.exact for each in options]
    with pytest.raises(TargetError, match=r"has no cores to plan for; choose a chip, such as loihi2$"):
        weigh(NET, whole, stimulus, load_target("cmos45-int8"), hardware, load_backend("cpu"))


def test_costs_are_per_image_and_name_what_groups_leave_out() -> None:
    whole, cpu = NET.at_size(36, 28), load_backend("cpu")
    plan = plan_of(NET, THREE)
    one = random_stimulus(whole, batch=1)
    _, single = measure_plan(plan, whole, one, cpu, LOIHI2)
    _, double = measure_plan(plan, whole, np.concatenate([one, one]), cpu, LOIHI2)
    assert RELOADING in single.excluded
    for first, second in zip(single.groups, double.groups, strict=True):
        assert first.host_in == second.host_in
        assert first.host_out == second.host_out
        assert second.interval_s.value == pytest.approx(first.interval_s.value, rel=1e-9)
        assert second.dynamic_j.value == pytest.approx(first.dynamic_j.value, rel=1e-9)
        tile = first.cores * first.copies
        assert tile <= 120 < tile + first.cores


def test_a_tile_fits_exactly_its_cores() -> None:
    tile = NET.at_size(16, 20)
    cores = fit_tile(tile, LOIHI2, 120).cores
    assert fit_tile(tile, LOIHI2, cores).cores == cores
    with pytest.raises(PlanError, match=rf"^tiles of 16x20 take {cores} cores of loihi2, and {cores - 1} are there$"):
        fit_tile(tile, LOIHI2, cores - 1)
