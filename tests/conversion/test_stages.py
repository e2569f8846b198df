"""Which options are tried next, and what of them is kept: tables of the boundaries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion import choose, remedies
from snn_deploy.conversion.choose import (
    BY_COST,
    CLIPPING_GAIN,
    COST_IMAGES,
    ENOUGH,
    ENOUGH_DB,
    GAIN,
    SCALES,
    Attempt,
    Bench,
    Trial,
    _compare,
    _free_stages,
    choose_best,
    describe,
    has_free_options,
)
from snn_deploy.conversion.layer_cost import LayerCost
from snn_deploy.conversion.layer_levels import MOST_LEVELS, allot_levels
from snn_deploy.conversion.loss import Loss
from snn_deploy.conversion.options import PRESETS, Options, preset
from snn_deploy.conversion.remedies import BUDGET_S, MOST, find_remedies, list_changes, name_change
from snn_deploy.conversion.task_loss import TaskLoss

BACKEND = load_backend("reference")
LEVELS, THETA, SCALE, EQUAL = "levels", "theta", "scales", "equalization"
STAGES = {
    LEVELS: ({"levels": 255}, *BY_COST, {"levels": 1023}),
    THETA: ({"theta": "integer"},),
    SCALE: SCALES,
    EQUAL: ({"equalization": True},),
}


@pytest.mark.parametrize(
    ("options", "given", "search", "names"),
    [
        (Options(), (), False, [LEVELS, SCALE, EQUAL]),
        (Options(), (), True, [LEVELS, SCALE, EQUAL]),
        (Options(weight_bits=7), (), False, [LEVELS, THETA, SCALE, EQUAL]),
        (Options(weight_bits=7), ("theta",), False, [LEVELS, SCALE, EQUAL]),
        (Options(), ("levels",), False, [SCALE, EQUAL]),
        (Options(), ("equalization",), False, [LEVELS, SCALE]),
        (Options(), ("equalization", "levels", "scale", "normalization"), False, []),
        (preset("akida"), (), False, [SCALE, EQUAL]),
        (preset("multi-threshold"), (), False, []),
        (preset("multi-threshold"), (), True, [SCALE]),
        (preset("sigma-delta"), (), False, []),
        (preset("sigma-delta"), ("scale", "normalization"), True, []),
    ],
)
def test_stages_that_are_left(options: Options, given: tuple[str, ...], search: bool, names: list[str]) -> None:
    assert list(_free_stages(options, given, search=search)) == [STAGES[name] for name in names]


def test_parts_of_stages_that_are_left() -> None:
    """Levels by layer need levels that are free; a scale that is given leaves those of channels alone."""
    assert next(_free_stages(Options(), ("layer_levels",), search=False)) == ({"levels": 255}, {"levels": 1023})
    (_, scales, _) = _free_stages(Options(), ("scale",), search=False)
    assert scales == ({"normalization": "channel-wise"},)
    (_, scales, _) = _free_stages(Options(), ("normalization",), search=False)
    assert scales == ({"scale": "max"}, {"scale": "percentile"})


def test_other_networks_are_asked_for_as_they_are() -> None:
    assert {name for name, options in PRESETS.items() if has_free_options(options)} == {"exact", "akida"}


def trial(error: float, task: TaskLoss | None = None, **changes: Any) -> Trial:
    return Trial(Options(**changes), Loss((), error, task))


@pytest.mark.parametrize(
    ("found", "enough"),
    [
        (trial(ENOUGH), True),
        (trial(math.nextafter(ENOUGH, 1)), False),
        (trial(1.0, TaskLoss("psnr", ENOUGH_DB, 30.0, ENOUGH_DB)), True),
        (trial(0.0, TaskLoss("psnr", math.nextafter(ENOUGH_DB, 1), 30.0, 0.0)), False),
        (trial(0.0, TaskLoss("psnr", 0.0, 30.0, math.nextafter(ENOUGH_DB, 1))), False),
        (trial(ENOUGH, TaskLoss("psnr", 9.0)), True),
        (Trial(Options(), None, "no"), False),
    ],
)
def test_what_is_enough(found: Trial, enough: bool) -> None:
    assert (ENOUGH, ENOUGH_DB) == (0.015, 0.04), "1.5 % cost the shipped denoisers 0.03 to 0.05 dB"
    assert found.is_enough is enough


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ({}, {}, GAIN),
        ({}, {"scale": "max"}, GAIN),
        ({}, {"scale": "percentile"}, CLIPPING_GAIN),
        ({"scale": "percentile"}, {"scale": "percentile"}, GAIN),
        ({"scale": "percentile"}, {"scale": "max"}, GAIN),
    ],
)
def test_a_gain_is_kept_from_its_share_on(before: dict[str, Any], after: dict[str, Any], kept: float) -> None:
    assert (GAIN, CLIPPING_GAIN) == (0.9, 0.5)
    first = trial(1.0, **before)
    for share, is_kept in ((math.nextafter(kept, 0), True), (kept, False)):
        other = trial(share, **after)
        assert (choose_best([first, other]) is other) is is_kept


def attempts(errors: Sequence[float], first: float, *, search: bool) -> tuple[list[str], list[tuple[int, int]]]:
    """What is tried where candidates lose ``errors``, one after the other."""
    base, left = Options(), iter(errors)
    told: list[tuple[int, int]] = []

    def attempt(options: Options, _: object) -> Attempt:
        return Attempt(Trial(options, Loss((), next(left))), None)

    stages = (({"levels": 255}, {"layer_levels": 0.004}, {"levels": 1023}), ({"levels": 127},), ({"scale": "max"},))
    bench = cast(Bench, SimpleNamespace(attempt=attempt))
    found = _compare(
        bench, BACKEND, Trial(base, Loss((), first)), stages, lambda _: (("a", 511),), search=search,
        progress=lambda *part: told.append(part),
    )  # fmt: skip
    return [describe(each.trial.options, base) for each in found], told


def test_stages_change_what_was_best_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels by layer start from the first options; a change without effect counts as progress and is not tried."""
    monkeypatch.setattr(choose, "BY_COST", ({"layer_levels": 0.004},))
    more, whole = "levels of 1 layers up to 511", [(number, 5) for number in range(1, 6)]
    tried, told = attempts([0.5, 0.6, 0.3, 0.29, 0.2], 1.0, search=False)
    assert tried == ["levels 255", more, "levels 1023", "as given", "levels 1023, scale max"]
    assert told == whole
    tried, told = attempts([2.0, 2.0, 2.0, 2.0], 1.0, search=False)
    assert tried == ["levels 255", more, "levels 1023", "scale max"], "as given is what it was"
    assert told == whole
    tried, told = attempts([0.5, ENOUGH], 1.0, search=False)
    assert (tried, told) == (["levels 255", more], whole[:2])
    tried, _ = attempts([0.001] * 5, 1.0, search=True)
    assert len(tried) == 5
    assert attempts([], ENOUGH, search=False) == ([], [])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Options(), "as given"),
        (Options(levels=255), "levels 255"),
        (Options(levels=255, scale="max", equalization=True), "levels 255, scale max, equalization True"),
        (Options(layer_levels=(("a", 255), ("b", 1023), ("c", 511))), "levels of 3 layers up to 1023"),
        (Options(weight_bits=4, layer_levels=(("a", 255),)), "weight bits 4, levels of 1 layers up to 255"),
    ],
)
def test_changes_in_words(options: Options, text: str) -> None:
    assert describe(options, Options()) == text
    assert describe(Options(), Options(layer_levels=(("a", 255),))) == "levels of 0 layers up to 0"


@pytest.mark.parametrize(
    ("number", "places"),
    [(1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 2, 4]), (8, [0, 2, 4, 6]), (9, [0, 3, 6])],
)
def test_costs_are_measured_on_up_to_four_images(
    number: int, places: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [np.full((1, 1, 2, 2), index, np.float32) for index in range(number)]
    assert COST_IMAGES == 4
    for name in ("read", "normal_form", "group_layers"):
        monkeypatch.setattr(choose, name, lambda *_, **__: SimpleNamespace(graph=None))
    monkeypatch.setattr(choose, "replace", lambda *_, **__: None)
    monkeypatch.setattr(choose, "measure_costs", lambda _, __, given: [int(image[0, 0, 0, 0]) for image in given])
    monkeypatch.setattr(Bench, "fit", lambda *_: None)
    bench = Bench(b"", images, cast(Any, None), {}, [])
    assert bench.measure_costs(cast(Any, None), Options()) == places  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("cost", "allowed", "levels", "most"),
    [
        (0.01, 0.01, 127, None),
        (0.0101, 0.01, 127, 255),
        (0.02, 0.01, 127, 255),  # 0.02 * 127 / 255 is below 0.01
        (0.0201, 0.01, 127, 511),
        (9.0, 0.01, 127, MOST_LEVELS),
        (9.0, 0.01, 4095, 8191),
        (9.0, 0.01, 4096, None),  # 8193 would be more than 13 bits
        (9.0, 0.01, 1, 1023),
    ],
)
def test_levels_that_a_layer_gets(cost: float, allowed: float, levels: int, most: int | None) -> None:
    expected = () if most is None else (("a", most),)
    assert allot_levels([LayerCost("a", cost, "rounding")], levels, allowed) == expected
    assert allot_levels([LayerCost("a", cost, "clipping")], levels, allowed) == ()


# ---------------------------------------------------------------------- remedies


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (Options(levels=254), ["--levels 255", "--levels 1023"]),
        (Options(levels=255), ["--levels 1023"]),
        (Options(levels=1022), ["--levels 1023"]),
        (Options(levels=1023), []),
        (preset("multi-threshold", steps=16384, thresholds=16), ["--steps 65536", "--steps 32768"]),
        (preset("multi-threshold", steps=16385, thresholds=16), ["--steps 32770"]),
        (preset("multi-threshold", steps=32768, thresholds=16), ["--steps 65536"]),
        (preset("multi-threshold", steps=32769, thresholds=16), []),
        (preset("multi-threshold", steps=40000, thresholds=15), ["--thresholds 16"]),
        (preset("multi-threshold", steps=40000, thresholds=2), ["--thresholds 3"]),
        (preset("multi-threshold", steps=40000, thresholds=1), []),
        (preset("if-hard", steps=40000), []),
        (Options(levels=1023, weight_bits=7), ["--weight-bits 8", "--theta integer"]),
    ],
)  # fmt: skip
def test_changes_at_the_ends_of_ranges(options: Options, flags: list[str]) -> None:
    changes = [name_change(options, changed) for changed in list_changes(options)]
    assert [
        each
        for each in changes
        if each.split()[0] in ("--levels", "--steps", "--thresholds", "--weight-bits", "--theta")
    ] == flags
    assert ("--preset exact" in changes) == (options.mode == "rate")


class Clock:
    """Reads 100 at the start, then what it is told."""

    def __init__(self, *later: float) -> None:
        self._times: Iterator[float] = iter([100.0, *later])

    def __call__(self) -> float:
        return next(self._times)


@pytest.mark.parametrize(
    ("seconds", "tried"), [((14.9,) * 5, 6), ((14.9, 15.0, 15.0, 15.0, 15.0), 2), ((15.0,) * 5, 1)]
)
def test_no_trial_begins_after_the_time_is_over(seconds: tuple[float, ...], tried: int) -> None:
    assert (BUDGET_S, MOST) == (15.0, 2)
    begun = []

    def attempt(options: Options, _: object) -> Attempt:
        begun.append(options)
        return Attempt(Trial(options, Loss((), 1.0)), None)

    bench = cast(Bench, SimpleNamespace(attempt=attempt, has_slopes=True))
    assert len(list(list_changes(Options()))) == 6
    assert find_remedies(bench, BACKEND, trial(1.0), clock=Clock(*(100 + each for each in seconds))) == ()
    assert len(begun) == tried


def test_remedies_gain_a_tenth_and_the_best_two_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = cast(Bench, SimpleNamespace(has_slopes=False))
    changes = [each for each in list_changes(Options()) if each.leaky == "one"]
    for errors, told in (
        ([0.9, 0.91, 0.91, 0.91, 0.91], [0]),
        ([0.91, 0.5, 0.9, 0.2, 0.91], [3, 1]),
        ([0.91] * 5, []),
        ([0.5, 0.4, 0.3, 0.2, 0.1], [4, 3]),
    ):
        known = [Trial(options, Loss((), error)) for options, error in zip(changes, errors, strict=True)]
        found = find_remedies(bench, BACKEND, trial(1.0), known)
        assert [remedy.trial for remedy in found] == [known[place] for place in told]
    monkeypatch.setattr(remedies, "MOST", 1)
    assert len(find_remedies(bench, BACKEND, trial(1.0), known)) == 1


def test_a_change_is_told_by_all_its_flags() -> None:
    assert name_change(Options(), replace(Options(), levels=255, weight_bits=4)) == "--levels 255 --weight-bits 4"
    assert name_change(Options(), Options(equalization=True)) == "", "no option of the command line"
    assert name_change(preset("lif"), Options()) == "--preset exact"
    assert name_change(preset("sigma-delta"), Options()) == "--preset exact"
