"""The torch form of a graph computes what onnxruntime computes, and goes back to ONNX unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fine-tuning needs the extra train")

from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.errors import ConversionError
from snn_deploy.finetuning.network import GraphNetwork
from snn_deploy.finetuning.training import write_model
from snn_deploy.frontend.onnx import read
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Affine, Clip, Conv, ConvTranspose, Host, LeakyRelu, MaxPool, Nearest, Relay, Resample
from snn_deploy.passes import normal_form

MODELS = ("denoiser_s25", "segmenter_isbi")


@pytest.mark.parametrize("name", MODELS)
def test_the_trained_networks(root: Path, name: str) -> None:
    graph = read(root / f"models/{name}.onnx", (32, 32)).graph
    image = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    expected = next(iter(ActivationProbe(graph, ())(image).values()))
    with torch.no_grad():
        output = GraphNetwork(graph)(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_operators_without_parameters() -> None:
    rng = np.random.default_rng(0)
    nodes = (
        Node(
            "conv", Conv(rng.normal(size=(4, 1, 3, 3)), rng.normal(size=4), (2, 1), (1, 0, 2, -1), (1, 2), 2), ("two",)
        ),
        Node("leaky", LeakyRelu(np.array([0.1, 0.2, 0.3, 0.4])), ("conv",)),
        Node("pool", MaxPool((2, 2), (2, 1), (1, 0, 0, 1)), ("leaky",)),
        Node("near", Nearest((2, 3)), ("pool",)),
        Node("clip", Clip(-0.5, 1.5), ("near",)),
        Node(
            "up",
            ConvTranspose(rng.normal(size=(4, 2, 3, 2)), rng.normal(size=4), (2, 2), (1, 0, -1, 1), (1, 1), 2),
            ("clip",),
        ),
    )
    first = Node("two", Affine(np.array([2.0, -1.0]), np.array([0.5, 0.0])), ("x",))
    graph = Graph("ops", "x", (2, 10, 12), (first, *nodes), (("y", "up"),))
    _, height, width = graph.shapes["up"]
    resample = Resample(rng.normal(size=(5, height)), rng.normal(size=(6, width)))
    graph = Graph("ops", "x", (2, 10, 12), (first, *nodes, Node("fit", resample, ("up",))), (("y", "fit"),))
    image = rng.normal(size=(3, 2, 10, 12)).astype(np.float32)
    expected = ActivationProbe(graph, ())(image)["fit"]
    with torch.no_grad():
        output = GraphNetwork(graph)(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_what_cannot_be_trained() -> None:
    graph = Graph("g", "x", (1, 4, 4), (Node("relay", Relay(), ("x",)),), (("y", "relay"),))
    with pytest.raises(ConversionError, match="relay: Relay cannot be fine-tuned"):
        GraphNetwork(graph)(torch.zeros(1, 1, 4, 4))
    mapped = Conv(np.ones((1, 1, 1, 1)), np.ones((1, 4, 4)))
    with pytest.raises(ConversionError, match="c: a bias per pixel cannot be fine-tuned"):
        GraphNetwork(Graph("g", "x", (1, 4, 4), (Node("c", mapped, ("x",)),), (("y", "c"),)))


@pytest.mark.parametrize("name", MODELS)
def test_a_written_model_is_the_same_function_at_any_size(root: Path, tmp_path: Path, name: str) -> None:
    graph = read(root / f"models/{name}.onnx", (32, 32)).graph
    write_model(GraphNetwork(graph).trained(), tmp_path / "m.onnx")
    image = np.random.default_rng(0).random((1, 1, 48, 64), np.float32)
    again = read(tmp_path / "m.onnx", (48, 64)).graph
    before = read(root / f"models/{name}.onnx", (48, 64)).graph
    assert [output for output, _ in again.outputs] == [output for output, _ in before.outputs]
    output, expected = (next(iter(ActivationProbe(graph, ())(image).values())) for graph in (again, before))
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert len(normal_form(again).nodes) == len(normal_form(before).nodes)


def test_host_functions_are_left_to_the_host() -> None:
    conv = Node("c", Conv(np.ones((1, 1, 1, 1)), np.zeros(1)), ("x",))
    graph = Graph("g", "x", (1, 4, 4), (conv, Node("s", Host("sigmoid"), ("c",))), (("y", "s"),))
    image = torch.rand(1, 1, 4, 4)
    assert torch.equal(GraphNetwork(graph)(image), image)
