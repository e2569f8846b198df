"""Surrogates compute what the converted network computes, and their gradients are those they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fine-tuning needs the extra train")

from snn_deploy.arrays import Array
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data import images
from snn_deploy.errors import ConversionError
from snn_deploy.finetuning.network import GraphNetwork
from snn_deploy.finetuning.surrogate import Firing, Flow, Levels, find_firing, spiking_loss
from snn_deploy.frontend.onnx import read
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import AveragePool, Conv, LeakyRelu, MaxPool, Relu
from snn_deploy.passes import normal_form


def net(pool: str = "average") -> Graph:
    """Two layers around a pool, and a read-out."""
    rng = np.random.default_rng(3)

    def conv(outputs: int, inputs: int) -> Conv:
        return Conv(rng.normal(0, 0.4, (outputs, inputs, 3, 3)), rng.normal(0.1, 0.1, outputs), pads=(1, 1, 1, 1))

    pooling = AveragePool((2, 2), (2, 2)) if pool == "average" else MaxPool((2, 2), (2, 2))
    parts = (("a", conv(4, 1)), ("ar", Relu()), ("p", pooling), ("b", conv(4, 4)), ("br", Relu()), ("y", conv(1, 4)))
    names = ["x", *(name for name, _ in parts)]
    nodes = tuple(Node(name, op, (names[index],)) for index, (name, op) in enumerate(parts))
    return Graph("net", "x", (1, 16, 16), nodes, (("y", "y"),))


def image() -> Array:
    return images.center_crop(images.load_photograph("camera", 1), 16, 16)


def converted(graph: Graph, options: Options) -> Conversion:
    form = normal_form(graph)
    return lower(form, form, [image()], options)


CASES = [
    preset("exact", levels=31),
    preset("multi-threshold", steps=8),
    preset("spiking-unet", steps=8),
    preset("if", steps=32),
    preset("if-hard", steps=32),
]


@pytest.mark.parametrize("options", CASES, ids=lambda item: f"{item.mode}-{item.thresholds}-{item.reset}-{item.strict}")
@pytest.mark.parametrize("pool", ["average", "max"])
def test_the_surrogate_computes_what_the_network_computes(options: Options, pool: str) -> None:
    """8-bit weights and integer thresholds lie between the two: 2 % of the largest output, 5 % where a reset to zero
    makes much of one spike more or less."""
    graph = net(pool)
    conversion = converted(graph, options)
    network = conversion.network
    run = load_backend("reference").run(network, quantize_images(network, image()))
    firing = find_firing(graph, conversion, options, "cpu")
    surrogate = Levels(firing, options.levels) if options.mode == "exact" else Flow(firing, options)
    with torch.no_grad():
        output = surrogate(GraphNetwork(graph), torch.from_numpy(image())).numpy()
    expected = run.values(network)
    allowed = 0.02 if options.reset == "subtract" else 0.05
    assert np.sqrt(np.square(output - expected).mean()) < allowed * np.abs(expected).max()
    floats = GraphNetwork(graph)(torch.from_numpy(image())).detach().numpy()
    assert np.any(floats != output)


def test_the_bias_counts_in_every_step() -> None:
    """Of a mean output, a bias's gradient does not depend on T; the published code's falls as 1 / T."""
    graph, gradients = net(), []
    for steps in (4, 16):
        options = preset("multi-threshold", steps=steps)
        network = GraphNetwork(graph)
        flow = Flow(find_firing(graph, converted(graph, options), options, "cpu"), options)
        flow(network, torch.from_numpy(image())).mean().backward()
        gradients.append([bias.grad.clone() for bias in network.biases])
    plain = GraphNetwork(graph)
    plain(torch.from_numpy(image())).mean().backward()
    for few, many, bias in zip(*gradients, plain.biases, strict=True):
        torch.testing.assert_close(few, many, rtol=0.1, atol=0.02)
        torch.testing.assert_close(many, bias.grad, rtol=0.1, atol=0.02)
    torch.testing.assert_close(gradients[0][-1], torch.ones(1))


def test_no_gradient_beyond_the_levels() -> None:
    levels = Levels({"r": Firing(torch.full((1, 1, 1), 0.5), signed=False)}, 4)
    weight = np.ones((1, 1, 1, 1))
    graph = Graph(
        "g", "x", (1, 1, 4), (Node("c", Conv(weight, np.zeros(1)), ("x",)), Node("r", Relu(), ("c",))), (("y", "r"),)
    )
    given = torch.tensor([[[[-1.0, 0.6, 1.3, 9.0]]]], requires_grad=True)
    output = levels(GraphNetwork(graph), given)
    assert output.flatten().tolist() == [0.0, 0.5, 1.5, 2.0]
    output.sum().backward()
    assert given.grad is not None
    assert given.grad.flatten().tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_silent_neuron_takes_back_no_more_than_it_sent() -> None:
    options = preset("multi-threshold", steps=3)
    flow = Flow({}, options)
    train = flow._fire(Firing(torch.ones(1, 1, 1), signed=False), torch.tensor([2.0, -5.0, 0.0]).view(3, 1, 1, 1, 1))
    assert train.flatten().tolist() == [2.0, -2.0, 0.0]
    signed = flow._fire(Firing(torch.ones(1, 1, 1), signed=True), torch.tensor([2.0, -5.0, 0.0]).view(3, 1, 1, 1, 1))
    assert signed.flatten().tolist() == [2.0, -5.0, 0.0]


def test_rewritten_activations_are_refused() -> None:
    graph = net()
    leaky = replace(
        graph, nodes=tuple(replace(n, op=LeakyRelu(np.full(4, 0.1))) if n.name == "ar" else n for n in graph.nodes)
    )
    options = preset("exact")
    with pytest.raises(ConversionError, match="only Relu activations can be fine-tuned; conversion rewrote this one$"):
        find_firing(leaky, converted(leaky, options), options, "cpu")


def test_the_segmenter_has_signed_populations(root: Path) -> None:
    graph = read(root / "models/segmenter_isbi.onnx", (32, 32)).graph
    crop = images.center_crop(images.load_photograph("camera", 1), 32, 32)
    form = normal_form(graph)
    firing = find_firing(graph, lower(form, form, [crop], preset("exact")), preset("exact"), "cpu")
    assert sum(population.signed for population in firing.values()) == 3


def test_losses() -> None:
    logits, labels = torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, -1]]])
    assert spiking_loss("segment", logits, labels).item() == pytest.approx(np.log(2))
    assert spiking_loss("segment", logits[:, :1], labels).item() == pytest.approx(np.log(2))
    assert spiking_loss("denoise", torch.tensor([1.0, 3.0]), torch.zeros(2)).item() == pytest.approx(5.0)
