"""Conversions for Akida 2: numbers of 8 bits, what that costs, and which nodes of a model do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.akida import describe_misfits, round_bias
from snn_deploy.conversion.akida_fit import TRIAL, DeviceCost, judge_for_akida, measure_device_cost
from snn_deploy.conversion.choose import Bench, choose
from snn_deploy.conversion.convert import Converted, convert
from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.task_loss import TaskLoss
from snn_deploy.data.images import PLAIN
from snn_deploy.errors import ConversionError
from snn_deploy.frontend.onnx import inspect
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import AveragePool, Conv, Linear, Relu
from snn_deploy.mapping.akida import Misfit, plan_layers
from snn_deploy.passes import normal_form
from tests.cli.models import write_unet

IMAGES = [np.random.default_rng(seed).random((1, 1, 8, 8), np.float32) for seed in range(4)]
AKIDA = preset("akida", rounding="nearest")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unet(tmp_path_factory.mktemp("akida") / "unet.onnx")


@pytest.fixture(scope="module")
def converted(model: Path) -> Converted:
    return convert(model, IMAGES, AKIDA)


@pytest.mark.parametrize(
    ("bias", "rounded"),
    [
        *((value, value) for value in (0, 127, 128, 254, 127 << 16)),
        *((129, 130), (-129, -130), (255, 256), (257, 256), (258, 260), (1017, 1016), (-1021, -1024)),
        *((2**23 - 1, 127 << 16), (1 - 2**23, -(127 << 16))),
    ],
)
def test_biases_keep_8_bits(bias: int, rounded: int) -> None:
    assert round_bias(np.array([[[bias]], [[5]]])).ravel().tolist() == [rounded, 5]


def test_everything_fits(converted: Converted) -> None:
    network = converted.conversion.network
    assert plan_layers(network).misfits == ()
    assert network.config["device"] == "akida"
    assert (network.input.input_min, network.input.input_max) == (0, 127)


def test_pools_fire_on_a_scale_of_their_own(model: Path, converted: Converted) -> None:
    """Sums of four counts need more than 8 bits; an average has their range, and no more levels than it needs."""
    pool = converted.conversion.network.population("/pool/Pool")
    assert pool.count_range == (0, 127)
    assert pool.neuron is not None
    assert pool.neuron.theta.min() > 1
    source = converted.conversion.network.population("/enc/enc.0/Relu")
    assert not np.array_equal(pool.unit, source.unit)
    relay = convert(model, IMAGES, Options(rounding="nearest")).conversion.network.population("/pool/Pool")
    assert relay.count_range == (0, 508)


@pytest.mark.parametrize("activation", [Linear(), Relu()])
def test_signed_counts_reach_both_ends_of_8_bits(activation: Linear | Relu) -> None:
    rng = np.random.default_rng(0)
    nodes = (
        Node("c", Conv(rng.normal(size=(2, 1, 3, 3)), np.zeros(2), pads=(1, 1, 1, 1)), ("x",)),
        Node("a", activation, ("c",)),
        Node("p", AveragePool((2, 2), (2, 2)), ("a",)),
        Node("d", Conv(rng.normal(size=(2, 2, 1, 1)), np.zeros(2)), ("p",)),
        Node("r", Relu(), ("d",)),
        Node("y", Conv(rng.normal(size=(1, 2, 1, 1)), np.zeros(1)), ("r",)),
    )
    graph = normal_form(Graph("signed", "x", (1, 8, 8), nodes, (("y", "y"),)))
    network = lower(graph, graph, IMAGES, AKIDA).network
    assert network.one_shot
    assert plan_layers(network).misfits == ()
    least = -128 if isinstance(activation, Linear) else 0
    for population in network.populations[1:-1]:
        if population.name in ("a", "p"):
            assert population.count_range == (least, 127)
    assert network.population("r").count_range == (0, 127)


def test_a_model_that_does_not_fit_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    misfits = tuple(Misfit(f"layer{number}", "odd") for number in range(7))
    named = "; ".join(f"layer{number}: odd" for number in range(5))
    assert describe_misfits("unet", misfits) == (
        f"unet does not fit Akida 2: {named}; and 2 more; snn-deploy inspect --target akida2 lists all"
    )
    assert describe_misfits("unet", misfits[:1]) == (
        "unet does not fit Akida 2: layer0: odd; snn-deploy inspect --target akida2 lists all"
    )
    plan = replace(plan_layers(convert(model, IMAGES, AKIDA).conversion.network), misfits=misfits[:1])
    monkeypatch.setattr("snn_deploy.conversion.akida.plan_layers", lambda _: plan)
    with pytest.raises(ConversionError, match=r"^unet does not fit Akida 2: layer0: odd; "):
        convert(model, IMAGES, AKIDA)
    assert convert(model, IMAGES, Options(rounding="nearest")).conversion.network


def test_what_the_limits_cost(model: Path, converted: Converted) -> None:
    """Both are measured on the same images; nothing of more than 8 bits is tried."""
    bench = Bench(model, IMAGES, PLAIN, converted.conversion.statistics, IMAGES)
    choice = choose(bench, load_backend("reference"), converted, AKIDA, search=True)
    assert all(trial.options.device == "akida" and trial.options.levels == 127 for trial in choice.trials)
    assert not any(trial.options.layer_levels for trial in choice.trials)
    cost = measure_device_cost(bench, load_backend("reference"), choice)
    assert cost is not None
    assert choice.trial.loss is not None
    assert cost.within == choice.trial.loss.task
    free = replace(choice.trial.options, device="any", pool="relay", input_levels=1023)
    trial = bench.attempt(free, load_backend("reference")).trial
    assert trial.loss is not None
    assert cost.without == trial.loss.task


def test_a_cost_in_words() -> None:
    cost = DeviceCost(TaskLoss("psnr", 0.0312, 29.3), TaskLoss("psnr", 0.0172, 29.3))
    assert str(cost) == "the limits of Akida 2 cost 0.014 dB of PSNR: 0.031 dB are lost within them, 0.017 dB without"
    assert cost.record() == {"measure": "psnr", "within": 0.0312, "without": 0.0172}


def test_nodes_that_do_not_fit(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    path = tmp_path / "wide.onnx"
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], name="/wide/Conv", pads=[4] * 4),
        helper.make_node("Relu", ["c"], ["r"], name="/wide/Relu"),
        helper.make_node("Conv", ["r", "v"], ["y"], name="/head/Conv"),
    ]
    tensors = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w", (2, 1, 9, 9)), ("v", (1, 2, 1, 1)))
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 16, 16]) for name in ("image", "y")]
    graph = helper.make_graph(nodes, "wide", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    plain = inspect(path, (16, 16))
    ledger = judge_for_akida(path, (16, 16), plain)
    assert [row.node for row in ledger.refused] == ["/wide/Conv", "/wide/Relu"]
    assert ledger.refused[0].note.startswith("Akida 2: a convolution of 9x9, strides (1, 1), pads (4, 4, 4, 4) is not")
    assert ledger.remarks == (*plain.remarks, TRIAL)
    assert ledger.rows[-1] == plain.rows[-1]
    assert judge_for_akida(path, (16, 16), ledger) == ledger


def test_a_model_that_fits_keeps_its_ledger(model: Path) -> None:
    plain = inspect(model, (8, 8))
    assert judge_for_akida(model, (8, 8), plain) == replace(plain, remarks=(*plain.remarks, TRIAL))
