"""What is suggested was tried on the network, gains by measurement, and is written as the command line takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion import remedies
from snn_deploy.conversion.choose import GAIN, Bench, Choice, Trial, choose
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.findings import Findings, _measured, examine
from snn_deploy.conversion.loss import Loss
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.remedies import Remedy, find_remedies, list_changes, name_change
from snn_deploy.conversion.task_loss import TaskLoss
from snn_deploy.data.images import PLAIN
from tests.cli.models import write_leaky, write_unet

BACKEND = load_backend("reference")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    rng = np.random.default_rng(3)
    waves = np.sin(np.arange(16)[:, None] / 3) * np.cos(np.arange(16) / 4)
    images = [(0.5 + 0.4 * waves + rng.normal(0, 0.2, (1, 1, 16, 16))).astype(np.float32) for _ in range(8)]
    model: Path = write_unet(tmp_path_factory.mktemp("models") / "unet.onnx")
    return Bench(model, images[:4], PLAIN, convert(model, images[:4]).conversion.statistics, images[4:])


@pytest.fixture(scope="module")
def leaky(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Of a network of LeakyReLUs, whose layers are others in rate mode; what is measured is of two populations each."""
    model, options = write_leaky(tmp_path_factory.mktemp("models") / "leaky.onnx"), Options(leaky="two")
    statistics = convert(model, bench.images, options).conversion.statistics
    return Bench(model, bench.images, PLAIN, statistics, bench.held_back, form=options.form)


@pytest.fixture(scope="module")
def poor(bench: Bench) -> Choice:
    """A network of seven levels, which were given."""
    options = Options(levels=7)
    converted = convert(bench.model, bench.images, options, statistics=bench.statistics)
    return choose(bench, BACKEND, converted, options, given=("levels", "scale", "normalization", "equalization"))


def test_the_best_two_are_told(bench: Bench, poor: Choice) -> None:
    remedies = find_remedies(bench, BACKEND, poor.trial)
    assert {remedy.change for remedy in remedies} == {"--levels 255", "--levels 1023"}
    assert remedies[0].trial.error <= remedies[1].trial.error < 0.2 * poor.trial.error
    again = bench.attempt(Options(levels=255), BACKEND).trial
    assert again.error in [remedy.trial.error for remedy in remedies]


def test_what_was_tried_is_not_tried_again(bench: Bench, poor: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [Trial(options, Loss((), 0.5 * poor.trial.error)) for options in list_changes(poor.trial.options)]
    monkeypatch.setattr(Bench, "attempt", None)
    remedies = find_remedies(bench, BACKEND, poor.trial, known)
    assert [remedy.trial for remedy in remedies] == known[:2]
    worse = [Trial(trial.options, Loss((), 1.01 * GAIN * poor.trial.error)) for trial in known]
    assert find_remedies(bench, BACKEND, poor.trial, worse) == ()


def test_trials_end_with_the_time(bench: Bench, poor: Choice) -> None:
    times: Iterator[float] = iter([1e6, *[1e6 + 16.0] * 20])
    done: list[tuple[int, int]] = []
    remedies = find_remedies(bench, BACKEND, poor.trial, (), lambda *part: done.append(part), clock=lambda: next(times))
    assert [remedy.change for remedy in remedies] == ["--levels 255"]
    assert [number for number, _ in done] == [1]


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (
            Options(),
            ["--levels 255", "--levels 1023", "--scale max", "--scale percentile", "--normalization channel-wise",
             "--leaky two"],
        ),
        (
            Options(levels=255, weight_bits=4, rounding="nearest", scale="max", normalization="channel-wise"),
            ["--weight-bits 8", "--levels 1023", "--theta integer", "--rounding second-order", "--scale mmse",
             "--scale percentile", "--normalization connection-wise", "--leaky two"],
        ),
        (
            preset("multi-threshold", steps=4),
            ["--steps 16", "--steps 8", "--thresholds 5", "--scale max", "--scale percentile",
             "--normalization channel-wise", "--preset exact"],
        ),
        (
            preset("lif"),
            ["--steps 256", "--steps 128", "--rounding second-order", "--scale mmse", "--scale max",
             "--normalization channel-wise", "--preset exact"],
        ),
        (
            preset("sigma-delta"),
            ["--levels 1023", "--scale mmse", "--scale percentile", "--normalization channel-wise", "--preset exact"],
        ),
    ],
)  # fmt: skip
def test_changes_are_options_of_the_command_line(options: Options, changes: list[str]) -> None:
    assert [name_change(options, changed) for changed in list_changes(options)] == changes


@pytest.mark.parametrize(
    "options", [preset("multi-threshold", steps=2), preset("sigma-delta", levels=7)], ids=["rate", "delta"]
)
def test_options_of_other_layers_are_tried(leaky: Bench, options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remedy in exact mode has one population for each LeakyReLU, whatever was measured before."""
    monkeypatch.setattr(remedies, "MOST", 20)
    bench = replace(
        leaky, statistics=convert(leaky.model, leaky.images, options).conversion.statistics, form=options.form
    )
    current = bench.attempt(options, BACKEND).trial
    changes = {remedy.change: remedy.trial for remedy in find_remedies(bench, BACKEND, current)}
    loss = changes["--preset exact"].loss
    assert loss is not None
    assert not any(layer.name.endswith(".negative") for layer in loss.layers)
    own = Bench(
        leaky.model, leaky.images, PLAIN, convert(leaky.model, leaky.images).conversion.statistics, leaky.held_back
    )
    assert own.attempt(Options(), BACKEND).trial.loss == loss


def test_findings_say_what_is_lost_and_what_would_help(bench: Bench, poor: Choice) -> None:
    findings = examine(bench, BACKEND, poor)
    assert findings is not None
    assert not findings.is_enough
    first, layers, help_ = findings.warnings
    assert first == f"the conversion loses {findings.loss}; {findings.loss.bound(findings.allowed)} are allowed"
    assert layers.endswith(", ".join(map(str, findings.costs[:3])))
    best = findings.remedies[0].trial.loss
    assert best is not None
    assert best.task is not None
    assert help_.startswith(f"would help, as measured: {findings.remedies[0].change} ({best.task.number}); --levels ")
    record = findings.record()
    assert record["loss"]["value"] == findings.loss.value
    assert record["remedies"][0]["loss"] == best.task.value
    assert (len(record["costs"]), record["warnings"]) == (len(findings.costs), list(findings.warnings))


def test_layers_of_leaky_neurons_have_no_costs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "BUDGET_S", 0.0)
    options = preset("lif", steps=8)
    converted = convert(bench.model, bench.images, options, statistics=bench.statistics)
    findings = examine(bench, BACKEND, choose(bench, BACKEND, converted, options))
    assert findings is not None
    assert (findings.is_enough, findings.costs) == (False, ())
    assert findings.alerts + findings.advice == findings.warnings


def test_nothing_is_tried_where_little_is_lost(bench: Bench, poor: Choice) -> None:
    findings = examine(bench, BACKEND, poor, most=100.0)
    assert findings == Findings(findings.loss, 100.0) if findings is not None else False
    assert findings is not None
    assert (findings.is_enough, findings.warnings) == (True, ())
    assert findings.summary == f"loss: {findings.loss}, 4 images that calibration did not see"


def test_only_measured_trials_are_remedies() -> None:
    measured = Remedy("--levels 255", Trial(Options(), Loss((), 0.1, TaskLoss("psnr", 0.1))))
    without = [Remedy("--levels 255", Trial(Options(), loss)) for loss in (None, Loss((), 0.1))]
    assert _measured([without[0], measured, without[1]]) == [measured]
    for each in without:
        with pytest.raises(TypeError, match=r"^--levels 255: a remedy is a trial that was measured$"):
            Findings(TaskLoss("psnr", 0.2), 0.1, remedies=(each,)).record()


def test_where_nothing_helps_it_is_said() -> None:
    findings = Findings(TaskLoss("psnr", 0.2, 29.0), 0.1)
    assert findings.warnings[-1].startswith("no other option that was tried loses a tenth less; calibrate with")
    assert findings.summary.endswith("did not see; the float network has 29.00 dB")
