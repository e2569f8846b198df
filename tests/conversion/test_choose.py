"""Where much is lost, other options are tried, and what loses least is kept."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion import choose as module
from snn_deploy.conversion.choose import Bench, Choice, Trial, choose, choose_best, describe, has_free_options
from snn_deploy.conversion.convert import Converted, convert
from snn_deploy.conversion.loss import Loss
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.task_loss import TaskLoss
from snn_deploy.data.images import PLAIN, Images
from snn_deploy.errors import ConversionError
from snn_deploy.network.difference import diff
from tests.cli.models import write_leaky, write_unet

BACKEND = load_backend("reference")


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(3)
    waves = np.sin(np.arange(16)[:, None] / 3) * np.cos(np.arange(16) / 4)
    return [(0.5 + 0.4 * waves + rng.normal(0, 0.2, (1, 1, 16, 16))).astype(np.float32) for _ in range(8)]


@pytest.fixture(scope="module")
def bench(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    model = write_unet(tmp_path_factory.mktemp("models") / "unet.onnx")
    statistics = convert(model, images[:4]).conversion.statistics
    return Bench(model, images[:4], PLAIN, statistics, images[4:])


def chosen(bench: Bench, options: Options, **settings: object) -> Choice:
    converted = convert(bench.model, bench.images, options, statistics=bench.statistics)
    return choose(bench, BACKEND, converted, options, **settings)  # type: ignore[arg-type]


def test_a_network_that_loses_little_is_kept(bench: Bench) -> None:
    choice = chosen(bench, Options(levels=255))
    assert len(choice.trials) == 1
    assert choice.trial.error <= module.ENOUGH
    assert choice.reason == f"{choice.trial.error:.2%} error with the options as given"
    assert choice.converted.conversion.network.config["choice"] == choice.reason


def test_levels_are_the_first_to_be_tried_and_may_be_enough(bench: Bench) -> None:
    done: list[tuple[int, int]] = []
    choice = chosen(bench, Options(levels=31), progress=lambda *part: done.append(part))
    first, best = choice.trials
    assert best.options == replace(first.options, levels=255)
    assert choice.trial is best
    assert best.error <= module.ENOUGH < first.error
    assert choice.reason == f"levels 255: {best.error:.2%} error instead of {first.error:.2%}"
    config = choice.converted.conversion.network.config
    assert (config["levels"], config["choice"]) == (255, choice.reason)
    assert done == [(1, 9)]


def test_what_is_given_is_not_changed(bench: Bench) -> None:
    options = Options(levels=15)
    choice = chosen(bench, options, given=("levels", "normalization"))
    tried = [describe(trial.options, options) for trial in choice.trials]
    assert tried == ["as given", "scale max", "scale percentile", "equalization True"]
    fixed = chosen(bench, options, given=("levels", "normalization", "scale", "equalization"))
    assert (len(fixed.trials), fixed.reason) == (1, "options as given")
    assert "choice" not in fixed.converted.conversion.network.config


def test_stages_build_on_what_was_best_before(bench: Bench) -> None:
    options = Options(weight_bits=2)
    choice = chosen(bench, options)
    tried = [describe(trial.options, options) for trial in choice.trials]
    assert tried[:4] == ["as given", "levels 255", "levels 1023", "theta integer"]
    assert all("theta integer" in each for each in tried[4:])
    assert choice.trial.error < 0.7 * choice.trials[0].error
    assert min(trial.error for trial in choice.trials) >= module.GAIN * choice.trial.error


def test_what_does_not_help_is_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a search too; what cannot be converted is a trial with its reason, what cannot be combined is none."""

    def convert_few(model: Path, images: Images, options: Options, *more: Any, **settings: Any) -> Converted:
        if options.levels == 300:
            raise ConversionError("too many")
        return convert(model, images, options, *more, **settings)

    monkeypatch.setattr(module, "convert", convert_few)
    stages = ({"levels": 200}, {"levels": 300}), ({"normalization": "layer-wise"},)
    monkeypatch.setattr(module, "STAGES", stages)
    choice = chosen(bench, Options(levels=255, scale="max"), search=True)
    assert [trial.options.levels for trial in choice.trials] == [255, 200, 300]
    assert (choice.trials[2].loss, choice.trials[2].refusal) == (None, "too many")
    assert choice.trial is choice.trials[0]
    assert choice.reason.endswith("error with the options as given; none of 2 others loses much less")


def test_networks_of_other_neurons_are_asked_for_as_they_are(bench: Bench) -> None:
    assert [name for name in ("exact", "multi-threshold", "sigma-delta") if has_free_options(preset(name))] == ["exact"]
    options = preset("multi-threshold", steps=1)
    assert len(chosen(bench, options).trials) == 1
    searched = chosen(bench, options, search=True, given=("normalization",))
    assert [describe(trial.options, options) for trial in searched.trials] == [
        "as given",
        "scale max",
        "scale percentile",
    ]


def test_a_gain_must_be_more_than_chance() -> None:
    trials = [Trial(Options(), Loss((), error)) for error in (0.5, 0.46, 0.4, 0.37, 0.35)]
    assert choose_best(trials) is trials[4]
    assert choose_best(trials[:4]) is trials[2]
    assert choose_best([Trial(Options(), None, "no"), trials[0]]) is trials[0]


def test_a_percentile_must_gain_more_because_it_clips() -> None:
    first, better, half = (
        Trial(options, Loss((), error))
        for options, error in (
            (Options(), 0.4),
            (Options(scale="percentile"), 0.25),
            (Options(scale="percentile"), 0.19),
        )
    )
    assert choose_best([first, better]) is first
    assert choose_best([first, half]) is half
    assert choose_best([better, replace(half, loss=Loss((), 0.2))]).error == 0.2


def test_measured_psnr_is_what_is_enough() -> None:
    """Not the error alone, nor a loss that is small by chance."""
    losses = [
        (0.03, TaskLoss("psnr", 0.03, 25.0, 0.03), True),
        (0.01, TaskLoss("psnr", 0.05, 35.0, 0.03), False),
        (0.01, TaskLoss("psnr", -0.1, 35.0, 0.05), False),
        (0.01, TaskLoss("psnr", 0.2), True),
        (0.02, TaskLoss("psnr", 0.01), False),
        (0.02, TaskLoss("labels", 0.0), False),
        (0.01, None, True),
    ]
    for error, task, enough in losses:
        assert Trial(Options(), Loss((), error, task)).is_enough is enough


def test_layers_get_levels_by_what_they_cost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGES", (module.BY_COST,))
    options = Options(levels=15)
    choice = chosen(bench, options)
    first, *others = choice.trials
    assert choice.trial is others[0]
    assert choice.trial.error <= module.ENOUGH < first.error
    assert dict(choice.trial.options.layer_levels).keys() < {
        each.name for each in choice.converted.conversion.network.populations
    }
    assert re.fullmatch(r"levels of \d layers up to \d+: \S+ error instead of \S+", choice.reason)
    assert len(chosen(bench, options, given=("levels",)).trials) == 1


def test_a_network_of_another_size_is_measured_at_that_of_the_images(bench: Bench) -> None:
    options = Options(levels=31)
    here, there = (convert(bench.model, bench.images, options, size, bench.statistics) for size in ((16, 16), (64, 48)))
    assert bench.measure(here, options, BACKEND).error == bench.measure(there, options, BACKEND).error
    assert bench.enlarge(here, options, (16, 16)) is here
    assert bench.enlarge(here, options, (16, 24)).conversion.network.input.shape == (1, 16, 24)
    assert bench.enlarge(here, options, (24, 16)).conversion.network.input.shape == (1, 24, 16)
    larger = choose(bench, BACKEND, there, options)
    assert larger.trial.options.levels == 255
    whole = bench.convert(larger.trial.options, (64, 48)).conversion
    found = larger.converted.conversion
    assert diff(found.network, replace(whole.network, config=found.network.config)) == ()
    assert (found.bounds, found.layers.name) == (whole.bounds, whole.layers.name)
    assert [each.shape for each in found.layers.layers] == [each.shape for each in whole.layers.layers]


def test_the_zoo_examines_networks_of_slopes(tmp_path: Path) -> None:
    """``make zoo`` measures what ``convert`` chooses, whose layers are not those of the usual normal form."""
    zoo = import_module("tests.benchmarks.zoo")  # mypy knows it by another name
    row = zoo.examine(write_leaky(tmp_path / "leaky.onnx"))
    assert (row.sound, row.fate) == (True, "imported, 6 populations")
    assert row.cells[1] == "equal"
