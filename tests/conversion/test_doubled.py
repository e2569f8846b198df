"""Where an activation takes two populations, conversions say which, why, and what the second ones cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.protocol import Backend
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion import doubled as module
from snn_deploy.conversion.choose import Attempt, Bench, choose
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.doubled import Doubled
from snn_deploy.conversion.findings import Findings, examine
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.remedies import find_remedies
from snn_deploy.conversion.task_loss import TaskLoss
from snn_deploy.data.images import PLAIN
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Clip, LeakyRelu
from tests.cli.models import write_leaky, write_unet

BACKEND = load_backend("reference")
ACTIVATIONS = ("/enc/enc.0/Relu", "/mid/Relu", "/up/Relu")


def bench_of(model: Path, options: Options) -> Bench:
    rng = np.random.default_rng(3)
    images = [rng.random((1, 1, 16, 16), np.float32) for _ in range(4)]
    statistics = convert(model, images[:2], options).conversion.statistics
    return Bench(model, images[:2], PLAIN, statistics, images[2:], form=options.form)


def examined(model: Path, options: Options) -> tuple[Bench, Findings]:
    bench = bench_of(model, options)
    given = ("levels", "layer_levels", "scale", "normalization", "equalization")
    choice = choose(bench, BACKEND, bench.convert(options), options, given=given)
    findings = examine(bench, BACKEND, choice, most=100.0)
    assert findings is not None
    return bench, findings


@pytest.mark.parametrize(
    ("slope", "options", "reason"),
    [
        (0.2, Options(leaky="two"), module.ASKED),
        (-0.2, Options(), module.SLOPE),
        (0.2, preset("multi-threshold", steps=2), module.RATE),
        (-0.2, preset("multi-threshold", steps=2), module.SLOPE),
        (0.2, preset("sigma-delta"), module.SIGMA_DELTA),
        (0.2, preset("akida"), module.AKIDA),
    ],
    ids=["asked", "negative", "rate", "negative-rate", "sigma-delta", "akida"],
)
def test_which_why_and_what_it_costs(slope: float, options: Options, reason: str, tmp_path: Path) -> None:
    bench, findings = examined(write_leaky(tmp_path / "leaky.onnx", slope), options)
    (found,) = findings.doubled
    assert (found.activations, found.reason) == (ACTIVATIONS, reason)
    network = bench.convert(options).conversion.network
    activity = count_activity(network, BACKEND.run(network, quantize_images(network, bench.held_back[0])))
    spent = dict.fromkeys((False, True), 0)
    for connection in activity.connections:
        spent[connection.target.endswith(".negative")] += int(connection.synaptic_operations.sum())
    assert found.operations == pytest.approx(spent[True] / sum(spent.values()))
    assert 0.2 < found.operations < 0.5
    assert findings.remarks == (str(found),)
    assert str(found) in str(findings)
    assert findings.record()["doubled"] == [
        {"activations": ACTIVATIONS, "reason": reason, "operations": found.operations}
    ]


@pytest.mark.parametrize("slope", [0.2, 1.7, 0.0])
def test_one_population_is_not_spoken_of(slope: float, tmp_path: Path) -> None:
    _, findings = examined(write_leaky(tmp_path / "leaky.onnx", slope), Options())
    assert (findings.doubled, findings.remarks, findings.record()["doubled"]) == ((), (), [])


def test_a_limit_of_sigma_delta_neurons_takes_two() -> None:
    assert _seconds(Clip(0.0, 6.0), preset("sigma-delta")) == [("a", "a.excess", module.SIGMA_DELTA)]
    assert _seconds(LeakyRelu(np.zeros(2)), Options()) == []


def _seconds(op: Clip | LeakyRelu, options: Options) -> list[tuple[str, str, str]]:
    graph = Graph("case", "x", (2, 4, 4), (Node("a", op, ("x",)),), (("a", "a"),))
    return list(module._list_seconds(graph, options))


def test_words() -> None:
    names = tuple(f"layer{number}" for number in range(6))
    assert str(Doubled(names, "as --leaky two asks", 0.4321)) == (
        "6 activations take two populations each, as --leaky two asks (layer0, layer1, layer2, layer3 and 2 more):"
        " 43.2% of the synaptic operations are for the second"
    )
    assert str(Doubled(names[:1], "in rate mode", 0.1)).startswith(
        "1 activation takes two populations, in rate mode (layer0): 10.0%"
    )
    findings = Findings(TaskLoss("psnr", 0.01, 29.0), 0.1, doubled=(Doubled(names, "why", 0.5),))
    assert str(findings).splitlines()[1].startswith("6 activations take two")


def test_two_populations_are_a_remedy_only_where_there_are_slopes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Options] = []
    attempt = Bench.attempt

    def note(self: Bench, options: Options, backend: Backend) -> Attempt:
        tried.append(options)
        return attempt(self, options, backend)

    monkeypatch.setattr(Bench, "attempt", note)
    for name, expected in (("leaky", True), ("plain", False), ("negative", False)):
        path = tmp_path / f"{name}.onnx"
        model = write_unet(path) if name == "plain" else write_leaky(path, 0.1 if expected else -0.3)
        bench = bench_of(model, Options())
        current = attempt(bench, Options(), BACKEND).trial
        tried.clear()
        find_remedies(bench, BACKEND, current)
        assert (Options(leaky="two") in tried) is expected
