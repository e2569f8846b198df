"""The hardware at hand, by boundary values."""

from __future__ import annotations

import pytest

from snn_deploy.errors import PlanError
from snn_deploy.planning.halo import Halo
from snn_deploy.planning.hardware import choose_hardware
from snn_deploy.planning.plan import Group, Hardware
from snn_deploy.targets.load import load_target

LOIHI2 = load_target("loihi2")


@pytest.mark.parametrize(
    ("given", "chips", "cores"),
    [
        ({}, 1, 120),
        ({"chips": 1}, 1, 120),
        ({"chips": 3}, 3, 360),
        ({"cores": 1}, 1, 1),
        ({"cores": 119}, 1, 119),
        ({"cores": 120}, 1, 120),
        ({"cores": 121}, 2, 121),
        ({"cores": 240}, 2, 240),
        ({"cores": 241}, 3, 241),
        ({"board": "oheo gulch"}, 1, 120),
        ({"board": "KAPOHO_POINT"}, 8, 960),
    ],
)
def test_chips_and_cores(given: dict[str, int], chips: int, cores: int) -> None:
    assert choose_hardware(LOIHI2, **given) == Hardware("loihi2", chips, cores)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", [{"chips": 1, "cores": 1}, {"cores": 1, "board": "x"}, {"chips": 1, "cores": 1, "board": "x"}]
)
def test_two_that_say_the_same_are_refused(given: dict[str, int]) -> None:
    with pytest.raises(PlanError, match=r"^chips, cores and board say the same; give one of them$"):
        choose_hardware(LOIHI2, **given)  # type: ignore[arg-type]


def test_limits_of_groups_and_hardware() -> None:
    for chips, cores in ((0, 1), (1, 0), (-1, 5)):
        with pytest.raises(PlanError, match=rf"^{chips} chips with {cores} cores; at least one of each is needed$"):
            Hardware("loihi2", chips, cores)
    assert Hardware("loihi2", 1, 1).cores == 1
    assert Group(("a",), (1, 65_536), Halo(0, 0)).tile == (1, 65_536)
    for tile in ((0, 1), (1, 0), (65_537, 1), (1, 65_537)):
        with pytest.raises(PlanError, match=rf"^tiles of {tile[0]}x{tile[1]} pixels; sides of 1 to 65536 are allowed$"):
            Group(("a",), tile, Halo(0, 0))
    assert (Halo(0, 3).both, Halo(0, 3).text, Halo(2, 2).text) == (3, "0+3", "2")
    for before, after in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match=rf"^a halo of {before} and {after} pixels is negative$"):
            Halo(before, after)
