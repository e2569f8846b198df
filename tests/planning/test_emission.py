"""Plans as files: the groups that an emitter gets, put together by the program that it writes, are the whole image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Array, Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.tiled_group import PlanEmitter, TiledGroup
from snn_deploy.errors import BackendUnavailableError, PlanError, ReportError
from snn_deploy.network.network import Network
from snn_deploy.planning.emission import emit_plan
from snn_deploy.testing.networks import random_stimulus
from snn_deploy_lava.runtime.tiles import run_groups
from tests.planning.test_plan import NAMES, NET, THREE, plan_of

WHOLE = NET.at_size(36, 28)
STIMULUS = random_stimulus(WHOLE, batch=2)


class Idle:
    """A backend that must not run."""

    name = "idle"

    def run(self, *_: object) -> Any:
        raise AssertionError


class Catcher(Idle):
    """Keeps what it is given."""

    groups: Sequence[TiledGroup]
    expected: Mapping[str, Int64]
    checked: bool

    def emit_plan(
        self,
        network: Network,
        groups: Sequence[TiledGroup],
        directory: Path,
        stimulus: Int64,
        expected: Mapping[str, Int64],
        *,
        checked: bool = True,
    ) -> str:
        assert network is WHOLE
        assert stimulus is STIMULUS
        self.groups, self.expected, self.checked = groups, expected, checked
        return directory.name


def emitted(tmp_path: Path, **options: Any) -> Catcher:
    catcher = Catcher()
    assert isinstance(catcher, PlanEmitter)
    plan, folder = plan_of(NET, THREE), tmp_path / "new"
    assert emit_plan(plan, WHOLE, STIMULUS, catcher, folder, load_backend("reference"), **options) == "new"
    return catcher


def test_groups_put_together_by_the_emitted_program_are_the_whole_image(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    found = emitted(tmp_path, checked=False, progress=lambda *part: done.append(part))
    assert not found.checked
    assert emitted(tmp_path).checked
    assert done[-1][0] == done[-1][1]
    reference = load_backend("reference")
    expected = reference.run(WHOLE, STIMULUS, Record.TRAINS)
    assert expected.trains is not None
    assert {name: counts.tolist() for name, counts in found.expected.items()} == {
        output.population: expected.counts[output.population].tolist() for output in WHOLE.outputs
    }
    described = json.loads(json.dumps([group.record() for group in found.groups]))
    sizes: list[tuple[int, ...]] = []

    def run(number: int, payloads: Array) -> dict[str, dict[str, Array]]:
        sizes.append(payloads.shape)
        ran = reference.run(found.groups[number].network, payloads, Record.TRAINS)
        assert ran.trains is not None
        return {
            name: {"counts": ran.counts[name], "trains": ran.trains[name], "last": np.zeros(3)} for name in ran.counts
        }

    shapes = {population.name: population.shape for population in WHOLE.populations}
    records = run_groups(described, STIMULUS, shapes, run)
    assert list(records) == [population.name for population in WHOLE.populations]
    for name, arrays in records.items():
        assert set(arrays) == {"counts", "trains"}
        assert np.array_equal(arrays["counts"], expected.counts[name]), name
        assert np.array_equal(arrays["trains"], expected.trains[name]), name
    assert [size[0] for size in sizes] == [2 * len(group.places) for group in found.groups]
    assert [size[2:] for size in sizes] == [group.tile for group in THREE]


def test_what_a_group_computes_and_reads(tmp_path: Path) -> None:
    first, second, third = emitted(tmp_path).groups
    assert first.members == (NET.input.name, *NAMES[:1]), "the image is part of the trace"
    assert (second.members, third.members) == (NAMES[1:3], NAMES[3:])
    assert first.sources == ((NET.input.name, 1),)
    assert len(third.sources) == 2
    assert {block for _, block in third.sources} == {1, 2}


def test_a_plan_of_another_size_or_a_folder_that_exists_is_refused_before_anything_runs(tmp_path: Path) -> None:
    plan = plan_of(NET, THREE)
    with pytest.raises(PlanError, match=r"36x28, this one has 40x28; crop it, or make a plan for its size$"):
        emit_plan(plan, NET.at_size(40, 28), STIMULUS, Catcher(), tmp_path / "new", Idle())
    with pytest.raises(ReportError, match=r"exists already; choose a new folder$"):
        emit_plan(plan, WHOLE, STIMULUS, Catcher(), tmp_path, Idle())
    with pytest.raises(PlanError):
        emit_plan(replace(plan, image=(2, 2)), WHOLE, STIMULUS, Catcher(), tmp_path / "new", Idle())
    with pytest.raises(PlanError, match=r"which its files compare; give one of the plan's size$"):
        emit_plan(plan, WHOLE, None, Catcher(), tmp_path / "new", Idle())
    with pytest.raises(BackendUnavailableError, match=r"^backend idle cannot write a plan; choose lava$"):
        emit_plan(plan, WHOLE, STIMULUS, Idle(), tmp_path / "new", Idle())
