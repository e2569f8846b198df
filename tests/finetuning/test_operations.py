"""Training for fewer operations: what is counted, what is pruned, and that the limit is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fine-tuning needs the extra train")

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.cli.app import main
from snn_deploy.conversion.convert import Converted, convert
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data import images
from snn_deploy.data.sample import Sample
from snn_deploy.errors import ConversionError
from snn_deploy.evaluation.evaluate import SpikingPredictor, evaluate
from snn_deploy.finetuning.data import Data
from snn_deploy.finetuning.deployed import DeployedNetwork
from snn_deploy.finetuning.operations import Operations, count_macs
from snn_deploy.finetuning.pruning import gather_targets, spread_sources, spread_targets
from snn_deploy.finetuning.trainable import Trainable
from snn_deploy.finetuning.training import Check, Schedule, Tuned, finetune
from snn_deploy.frontend.onnx import to_onnx
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import AveragePool, Concat, Conv, ConvTranspose, Relu
from snn_deploy.network import artifact
from snn_deploy.network.kernels import ConvKernel, Kernel, TransposedKernel
from snn_deploy.network.network import Network
from tests.finetuning.photographs import entries_of, make_data

OPTIONS = preset("exact")


@pytest.fixture(scope="module")
def patches() -> Data:
    """Parts of eight photographs, two of them for validation."""
    return make_data(0.25, 64)


@pytest.fixture(scope="module")
def converted(small: Path, patches: Data) -> Converted:
    return convert(small, patches.calibration(32, 0), OPTIONS, (32, 32))


def count(network: Network, samples: tuple[Sample, ...]) -> float:
    """Synaptic operations of an image, by the reference backend."""
    predictor = SpikingPredictor(network, load_backend("reference"))
    cost = evaluate(predictor, entries_of(samples), "denoise", 1, sigma=25.0, crop=(32, 32)).cost
    assert cost is not None
    return cost.synaptic_operations


@pytest.mark.parametrize(
    "kernel",
    [
        ConvKernel(np.ones((6, 2, 3, 3), np.int8), groups=2),
        ConvKernel(np.ones((4, 1, 2, 2), np.int8), groups=4),
        TransposedKernel(np.ones((4, 3, 2, 2), np.int8), groups=2),
        TransposedKernel(np.ones((4, 3, 2, 2), np.int8)),
    ],
    ids=["grouped", "depthwise", "grouped-transposed", "transposed"],
)
def test_channels_of_weights(kernel: Kernel) -> None:
    """Every weight against the channels that it joins, one by one."""
    assert isinstance(kernel, ConvKernel | TransposedKernel)
    first, second = kernel.weight.shape[:2]
    outer, inner = first // kernel.groups, second
    sources = torch.arange(1.0, 1 + (inner * kernel.groups if isinstance(kernel, ConvKernel) else first))
    targets = torch.arange(101.0, 101 + (first if isinstance(kernel, ConvKernel) else inner * kernel.groups))
    read = spread_sources(kernel, sources).expand(kernel.weight.shape)
    written = spread_targets(kernel, targets).expand(kernel.weight.shape)
    for a in range(first):
        for b in range(second):
            other = (a // outer) * inner + b
            source, target = (other, a) if isinstance(kernel, ConvKernel) else (a, other)
            assert read[a, b].unique().item() == sources[source]
            assert written[a, b].unique().item() == targets[target]
    sums = gather_targets(kernel, written)
    assert torch.equal(sums / targets, torch.full_like(targets, kernel.weight.size / targets.numel()))


def test_expected_operations_are_those_counted(converted: Converted, patches: Data) -> None:
    """On the same batch, but for the borders, whose neurons are taken for average ones: within 2 %."""
    network = converted.conversion.network
    module = DeployedNetwork(network, Trainable.of(converted, OPTIONS))
    operations = Operations(module, 0.1, 100, count_macs(network))
    image, _ = patches.batch(4, np.random.default_rng(0))
    payloads = quantize_images(network, image)
    operations.observe(module(torch.from_numpy(payloads).float(), counting=True))
    activity = count_activity(network, load_backend("cpu").run(network, payloads))
    assert count_macs(network) == activity.macs
    assert operations.expected == pytest.approx(activity.synaptic_operations / 4 / activity.macs, rel=0.02)


def test_the_cheapest_weights_go_first(converted: Converted, patches: Data) -> None:
    """Weights of equal curvature by operation: the small ones become 0, and operations fall by what was asked."""
    network = converted.conversion.network
    module = DeployedNetwork(network, Trainable.of(converted, OPTIONS))
    operations = Operations(module, 0.1, 100, count_macs(network))
    image, target = patches.batch(2, np.random.default_rng(0))
    activities = module(torch.from_numpy(quantize_images(network, image)).float(), counting=True)
    output = next(iter(module.read_outputs(activities).values()))
    torch.square(output - torch.from_numpy(target)).mean().backward()
    operations.observe(activities)
    pruning = operations._pruning
    pruning.remember_gradients()
    before = operations.expected
    pruning.prune(before / 4, operations._rates)
    assert 0.7 < operations.expected / before < 0.77
    name = max(module.trainable.weights, key=lambda each: module.present(each).numel())
    latent = module.weights[list(module.trainable.weights).index(name)].abs()
    gone = module.present(name) == 0
    ratio = latent.masked_fill(~gone, 0).amax((2, 3)) / latent.masked_fill(gone, 9).amin((2, 3))
    assert gone.any()
    assert not gone.all()
    assert (ratio <= 1).all()  # between two channels only the size of a weight decides


def test_the_limit_is_kept_and_channels_go(small: Path, patches: Data, converted: Converted, tmp_path: Path) -> None:
    """The result is the best network within the limit; what is said of it is what another backend counts."""
    schedule = Schedule(iterations=30, batch=2, check_every=10, rate=0.01, operations=0.3)
    told: list[str] = []
    tuned = finetune(small, patches, OPTIONS, schedule, report=lambda _, __, text: told.append(text))
    plain = converted.conversion.network
    assert tuned.checks[0].operations == count(plain, patches.validation) / count_macs(plain)
    assert tuned.checks[0].operations > 0.3
    assert tuned.is_met
    within = [check for check in tuned.checks if check.operations <= 0.3]
    assert tuned.best == max(within, key=lambda check: check.score)
    artifact.save(tuned.network, tmp_path / "t.snn")
    network = artifact.load(tmp_path / "t.snn")
    assert count(network, patches.validation) / count_macs(plain) == tuned.best.operations
    assert (network.config["operations"], network.config["operations_reached"]) == (0.3, tuned.best.operations)
    assert sum(each.size for each in network.populations) < sum(each.size for each in plain.populations)
    assert "operations per MAC 0." in told[-1]
    assert repr(tuned).endswith(f", {tuned.best.operations:.3f})")


def write_upsampling(path: Path) -> Path:
    """A transposed convolution without activation, biased, and the convolution that reads it beside a skip."""
    rng = np.random.default_rng(3)

    def conv(outputs: int, inputs: int) -> Conv:
        return Conv(rng.normal(0, 0.4, (outputs, inputs, 3, 3)), rng.normal(0.1, 0.1, outputs), pads=(1, 1, 1, 1))

    nodes = (
        Node("a", conv(4, 1), ("x",)),
        Node("skip", Relu(), ("a",)),
        Node("pool", AveragePool((2, 2), (2, 2)), ("skip",)),
        Node("b", conv(4, 4), ("pool",)),
        Node("deep", Relu(), ("b",)),
        Node("up", ConvTranspose(rng.normal(0, 0.4, (4, 4, 2, 2)), rng.normal(0, 0.1, 4), (2, 2)), ("deep",)),
        Node("both", Concat(), ("up", "skip")),
        Node("c", conv(4, 8), ("both",)),
        Node("joined", Relu(), ("c",)),
        Node("y", conv(1, 4), ("joined",)),
    )
    path.write_bytes(to_onnx(Graph("net", "x", (1, 32, 32), nodes, (("y", "y"),))).SerializeToString())
    return path


@pytest.mark.parametrize("kind", [preset("exact"), preset("spiking-unet", steps=2)], ids=["exact", "rate"])
def test_fused_upsampling_is_counted_by_the_plain_conversion(kind: Options, patches: Data, tmp_path: Path) -> None:
    """The fused network takes fewer operations of the same MACs, is pruned further, and runs alike everywhere."""
    model, options = write_upsampling(tmp_path / "up.onnx"), replace(kind, fuse_upsampling=True)
    plain, fused = (
        convert(model, patches.calibration(32, 0), each, (32, 32)).conversion.network for each in (kind, options)
    )
    assert len(fused.populations) == len(plain.populations) - 1
    assert count_macs(fused) != count_macs(plain)
    start = count(fused, patches.validation) / count_macs(plain)
    schedule = Schedule(iterations=20, batch=1, check_every=10, rate=0.01, operations=0.6 * start)
    tuned = finetune(model, patches, options, schedule)
    assert tuned.checks[0].operations == start
    assert tuned.is_met
    assert count(tuned.network, patches.validation) / count_macs(plain) == tuned.best.operations
    payloads = quantize_images(tuned.network, patches.validation[0].image[:, :, :32, :32])
    runs = [load_backend(name).run(tuned.network, payloads, Record.TRAINS) for name in ("reference", "cpu")]
    trains = [run.trains for run in runs]
    assert trains[0] is not None
    assert trains[1] is not None
    assert all(np.array_equal(train, trains[1][name]) for name, train in trains[0].items())


def test_a_limit_out_of_reach(small: Path, patches: Data) -> None:
    schedule = Schedule(iterations=2, batch=1, check_every=1, operations=1e-4)
    tuned = finetune(small, patches, OPTIONS, schedule)
    assert not tuned.is_met
    assert tuned.best.operations == min(check.operations for check in tuned.checks)


def test_a_limit_that_the_conversion_keeps_changes_nothing(small: Path, patches: Data) -> None:
    schedule = Schedule(iterations=12, batch=1, check_every=12)
    without = finetune(small, patches, OPTIONS, schedule)
    within = finetune(small, patches, OPTIONS, replace(schedule, operations=5.0))
    assert within.checks == without.checks


def test_an_interrupted_run_resumes_with_the_same_bits(small: Path, patches: Data, tmp_path: Path) -> None:
    schedule = Schedule(iterations=22, batch=1, check_every=10, operations=0.15)
    straight = finetune(small, patches, OPTIONS, schedule)

    def stop(done: int, _: int, __: str) -> None:
        if done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(small, patches, OPTIONS, schedule, checkpoint=tmp_path / "c", report=stop)
    again = finetune(small, patches, OPTIONS, schedule, checkpoint=tmp_path / "c")
    assert again.checks == straight.checks
    assert artifact.digest(again.network) == artifact.digest(straight.network)


@pytest.mark.parametrize(
    "options",
    [preset("multi-threshold", steps=2), preset("sigma-delta"), preset("akida")],
    ids=["rate", "stock", "akida"],
)
def test_other_neurons(small: Path, patches: Data, options: object) -> None:
    schedule = Schedule(iterations=30, batch=1, check_every=30, operations=0.1)
    tuned = finetune(small, patches, options, schedule)  # type: ignore[arg-type]
    assert tuned.checks[-1].operations < 0.6 * tuned.checks[0].operations


def test_what_is_better(small: Path) -> None:
    """Within the limit the score decides, above it the operations; without a limit the score alone."""
    checks = Check(0, 30.0, 0.4), Check(1, 10.0, 0.3), Check(2, 20.0, 0.2), Check(3, 15.0, 0.1)
    network = convert(small, [np.ones((1, 1, 32, 32), np.float32)], OPTIONS).conversion.network

    def best(limit: float | None) -> int:
        return Tuned(network, "psnr_db", checks, 0.0, Schedule(operations=limit)).best.iteration

    assert [best(limit) for limit in (None, 0.4, 0.3, 0.1, 0.05)] == [0, 0, 2, 3, 3]
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConversionError, match=rf"operations are {wrong} per MAC; they must be above 0$"):
            Schedule(operations=wrong)


def test_the_verb(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("coins", "moon"):
        images.write_image(tmp_path / f"{name}.png", images.center_crop(images.load_photograph(name, 1), 64, 64))
    command = ["finetune", str(small), "--data", str(tmp_path), "--task", "denoise", "--noise", "25", "--patch", "32"]
    rest = ["--iterations", "2", "--batch", "1", "--out", str(tmp_path / "t.snn")]
    assert main([*command, *rest, "--operations", "0.0001", "--json"]) == 1
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["operations_limit"] == 0.0001
    fewest = min(check["operations"] for check in record["checks"])
    words = " ".join(captured.err.split())
    assert (
        f"{fewest:.4f} operations per MAC are the fewest that were reached, more than 0.0001; train for more" in words
    )
    assert main([*command, *rest, "--operations", "3"]) == 0
    assert "per MAC" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="3"):
        main([*command, *rest, "--operations", "0"])
    assert "0 operations per MAC leave no network; give a number above 0" in capsys.readouterr().err
