"""The trained module is the deployed network: every payload of every population is that of the reference backend."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is absent: fine-tuning needs the extra train")

from snn_deploy.arrays import Array, Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.convert import Converted, convert
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data import images
from snn_deploy.errors import BackendError, NetworkError
from snn_deploy.finetuning.deployed import DeployedNetwork
from snn_deploy.finetuning.trainable import Trainable
from snn_deploy.frontend.onnx import to_onnx
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import AveragePool, Clip, Concat, Conv, ConvTranspose, LeakyRelu, MaxPool, Op, Relu
from snn_deploy.network import artifact
from snn_deploy.network.bounds import prove
from snn_deploy.network.kernels import ConvKernel, SpatialKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.testing import draw_network, draw_stimulus, fixed_cases

NOTHING = Trainable({}, {})


def find_differences(network: Network, stimulus: Int64, module: DeployedNetwork) -> list[str]:
    """Populations with another payload in any step, another count, or another number of events, than the reference."""
    run = load_backend("reference").run(network, stimulus, Record.TRAINS)
    with torch.no_grad():
        activities = module(torch.from_numpy(stimulus).float(), counting=True)
    trains = {name: activity.train.numpy().swapaxes(0, 1) for name, activity in activities.items()}
    events = {name: activity.events.numpy() for name, activity in activities.items() if activity.events is not None}
    assert run.trains is not None
    assert set(trains) == set(run.trains)
    return [
        name
        for name, train in trains.items()
        if not np.array_equal(train, run.trains[name])
        or not np.array_equal(train.sum(1, dtype=np.float64), run.counts[name])
        or not np.array_equal(events[name], run.events[name])
    ]


def test_fixed_networks() -> None:
    """Every kernel, every three options of a neuron, Lava's own neurons, in both modes."""
    compared = 0
    for network, stimulus in fixed_cases():
        aligned = network if network.aligned else align(network)
        assert find_differences(aligned, stimulus, DeployedNetwork(aligned, NOTHING)) == [], network.name
        compared += 1
    assert compared >= 39


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_drawn_networks(random: Random) -> None:
    try:
        network = align(draw_network(random))
        prove(network)
        stimulus = draw_stimulus(network, random)
        load_backend("reference").run(network, stimulus)
    except (BackendError, NetworkError):  # of neurons or proofs that this schedule does not suit
        return
    assert find_differences(network, stimulus, DeployedNetwork(network, NOTHING)) == []


def test_membranes_saturate() -> None:
    """A source that stops after five spikes brings more than 24 bits hold; how long the bias needs to empty them shows it."""
    one = np.zeros((1, 1, 1), np.int64)
    source = MultiThreshold(np.array([1]), np.array([0]), 0, 1, 0, 5)
    target = MultiThreshold(np.array([2**20]), np.array([0]), 0, 1)
    populations = (
        Population("x", (1, 1, 1), None, one, np.ones(1), input_max=1),
        Population("s", (1, 1, 1), source, one, np.ones(1)),
        Population("y", (1, 1, 1), target, one - 2**20, np.ones(1)),
    )
    kernel = ConvKernel(np.full((1, 1, 1, 1), 127, np.int8))
    connections = Connection("a", "x", "s", kernel), Connection("b", "s", "y", kernel, 15)
    network = align(Network("n", "rate", 16, populations, connections, (Output("o", "y"),)))
    stimulus = np.ones((1, 1, 1, 1), np.int64)
    assert load_backend("reference").run(network, stimulus).saturations["y"] > 0
    assert find_differences(network, stimulus, DeployedNetwork(network, NOTHING)) == []


def net(activation: Op, pool: Op) -> bytes:
    """Convolutions around an activation and a pool, a skip that joins them, and a read-out, as an ONNX file."""
    rng = np.random.default_rng(3)

    def conv(outputs: int, inputs: int) -> Conv:
        return Conv(rng.normal(0, 0.4, (outputs, inputs, 3, 3)), rng.normal(0.1, 0.1, outputs), pads=(1, 1, 1, 1))

    up = ConvTranspose(rng.normal(0, 0.4, (4, 4, 2, 2)), rng.normal(0, 0.1, 4), (2, 2))
    nodes = (
        Node("a", conv(4, 1), ("x",)),
        Node("act", activation, ("a",)),
        Node("pool", pool, ("act",)),
        Node("b", conv(4, 4), ("pool",)),
        Node("bact", activation, ("b",)),
        Node("up", up, ("bact",)),
        Node("cat", Concat(), ("up", "act")),
        Node("c", conv(4, 8), ("cat",)),
        Node("cact", Relu(), ("c",)),
        Node("y", conv(2, 4), ("cact",)),
        Node("half", AveragePool((2, 2), (2, 2)), ("cact",)),
        Node("z", conv(1, 4), ("half",)),
    )
    graph = Graph("net", "x", (1, 16, 16), nodes, (("y", "y"), ("z", "z")))
    data: bytes = to_onnx(graph).SerializeToString()
    return data


def photograph(side: int, channels: int = 1) -> Array:
    return images.center_crop(images.load_photograph("camera", channels), side, side)


def moved(converted: Converted, options: Options) -> DeployedNetwork:
    """The module of ``converted`` after some training, as it were: its latent numbers are other ones."""
    module = DeployedNetwork(converted.conversion.network, Trainable.of(converted, options))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    module.confine()
    return module


OPTIONS = {
    "exact": preset("exact"),
    "4-bits": preset("exact", weight_bits=4, theta="integer", levels=31),
    "multi-threshold": preset("multi-threshold", steps=3),
    "spiking-unet": preset("spiking-unet", steps=3),
    "if-hard": preset("if-hard", steps=4, weight_bits=5),
    "sigma-delta": preset("sigma-delta"),
    "fused": preset("exact", fuse_upsampling=True),
    "fused-rate": preset("spiking-unet", steps=2, fuse_upsampling=True),
}


@pytest.mark.parametrize("pool", [AveragePool((2, 2), (2, 2)), MaxPool((2, 2), (2, 2))], ids=["average", "max"])
@pytest.mark.parametrize(
    "activation", [Relu(), LeakyRelu(np.full(4, 0.1)), Clip(0.0, 0.6)], ids=["relu", "leaky", "clip"]
)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_whatever_converts_is_trained_as_it_is_deployed(options: Options, activation: Op, pool: Op) -> None:
    """Both outputs; the conversion at first, and another network after its numbers have moved, proved within 24 bits."""
    image = photograph(16)
    converted = convert(net(activation, pool), [image], options)
    network = converted.conversion.network
    start = DeployedNetwork(network, Trainable.of(converted, options))
    assert artifact.digest(start.deployed()) == artifact.digest(network)
    module = moved(converted, options)
    trained = module.deployed()
    assert artifact.digest(trained) != artifact.digest(network)
    prove(trained)
    stimulus = quantize_images(trained, image)
    assert find_differences(trained, stimulus, module) == []
    outputs = module.read_outputs(module(torch.from_numpy(stimulus).float()))
    run = load_backend("reference").run(trained, stimulus)
    for name, output in outputs.items():
        np.testing.assert_allclose(output.detach().numpy(), run.values(trained, name), rtol=1e-6)
    sum(output.sum() for output in outputs.values()).backward()
    assert all(latent.grad is not None and torch.isfinite(latent.grad).all() for latent in module.parameters())
    limit = 2 ** (options.weight_bits - 1) - 1
    for connection in trained.connections:
        if connection.name in module.trainable.weights and not isinstance(connection.kernel, SpatialKernel):
            assert np.abs(connection.kernel.weight).max() <= limit


@pytest.mark.parametrize("options", [preset("exact"), preset("spiking-unet", steps=2)], ids=["exact", "rate"])
@pytest.mark.parametrize(("model", "channels"), [("denoiser_s25", 1), ("segmenter_camseq", 3)])
def test_the_shipped_networks(root: Path, model: str, channels: int, options: Options) -> None:
    image = photograph(32, channels)
    converted = convert(root / f"models/{model}.onnx", [image], options)
    module = moved(converted, options)
    trained = module.deployed()
    assert find_differences(trained, quantize_images(trained, image), module) == []
