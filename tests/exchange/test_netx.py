"""``.net`` files of lava-dl: read, written, loaded back by us and by lava-dl itself; what it would drop is refused."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.errors import NetworkError, SnnDeployError
from snn_deploy.exchange.netx import read_net
from snn_deploy.exchange.netx_write import write_net
from snn_deploy.network import artifact
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, TransposedKernel, identity
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.testing import random_unet
from snn_deploy_lava.runtime.lava_import import prepare

GOLDEN = Path(__file__).parents[2] / ".." / "shared" / "golden" / "pilotnet_lif" / "network.net"


def chain(seed: int = 0) -> Network:
    """Input neurons, a strided grouped convolution, a dilated one, and two dense layers."""
    rng = np.random.default_rng(seed)
    kernels = (
        identity(2),
        ConvKernel(rng.integers(-128, 128, (6, 1, 3, 2)).astype(np.int8), (2, 1), (1, 0, 1, 0), groups=2),
        ConvKernel(rng.integers(-128, 128, (4, 6, 2, 2)).astype(np.int8), dilations=(1, 2)),
        ConvKernel(rng.integers(-128, 128, (5, 4, 3, 4)).astype(np.int8)),
        ConvKernel(rng.integers(-128, 128, (3, 5, 1, 1)).astype(np.int8)),
    )
    image = Population(
        "image", (2, 7, 7), None, np.zeros((2, 1, 1), np.int64), np.full(2, 1 / 40), 0, -255, 255, ("layer/0",)
    )
    populations, connections = [image], []
    for index, kernel in enumerate(kernels):
        source = populations[-1]
        name, shape = f"layer/{index + (index > 2)}", kernel.output_shape(source.shape)
        offset = np.full(shape[0], 36) if index == 0 else rng.integers(-4095, 4096, shape[0])
        neuron = CubaLif.of(
            np.full(shape[0], 64 * int(rng.integers(1, 2**17))),
            64 * offset,
            current_decay=4096 if index == 0 else int(rng.integers(1, 4097)),
            voltage_decay=int(rng.integers(0, 4097)),
        )
        populations.append(
            Population(name, shape, neuron, np.zeros((shape[0], 1, 1), np.int64), np.ones(shape[0]), origin=(name,))
        )
        connections.append(Connection(f"{source.name}->{name}", source.name, name, kernel, origin=(name,)))
    out = (Output("output", populations[-1].name),)
    return align(Network("chain", "rate", 16, tuple(populations), tuple(connections), out))


@pytest.mark.parametrize("seed", range(5))
def test_a_written_network_is_read_back_whole(seed: int, tmp_path: Path) -> None:
    network = chain(seed)
    write_net(network, tmp_path / "chain.net")
    again = read_net(tmp_path / "chain.net")
    assert artifact.digest(replace(again, config=network.config)) == artifact.digest(network)


@pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden/pilotnet_lif is absent")
def test_a_file_of_lava_dl_comes_out_as_it_went_in(tmp_path: Path) -> None:
    network = read_net(GOLDEN)
    write_net(network, tmp_path / "network.net")
    assert artifact.digest(read_net(tmp_path / "network.net")) == artifact.digest(network)


def stand_in_for_vision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty modules for what lava-dl's loader imports on its way and does not use: cv2, torchvision."""
    absent = [name for name in ("cv2", "torchvision") if importlib.util.find_spec(name) is None]
    for name in absent:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    if "torchvision" in absent:
        for part in ("ops", "transforms"):
            module = types.ModuleType(f"torchvision.{part}")
            monkeypatch.setitem(sys.modules, module.__name__, module)
            monkeypatch.setattr(sys.modules["torchvision"], part, module, raising=False)


@pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")
@pytest.mark.lava
def test_lava_dl_loads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare()
    stand_in_for_vision(monkeypatch)
    loader = pytest.importorskip("lava.lib.dl.netx.hdf5", reason="lava-dl is not installed")
    network = chain()
    write_net(network, tmp_path / "chain.net")
    loaded = loader.Network(net_config=str(tmp_path / "chain.net")).layers
    assert len(loaded) == len(network.connections)
    for layer, connection in zip(loaded, network.connections, strict=True):
        neuron = network.population(connection.target).neuron
        assert isinstance(neuron, CubaLif)
        loaded = layer.neuron
        assert (int(loaded.vth.init) << 6, int(loaded.du.init) + 1, int(loaded.dv.init)) == (
            neuron.theta[0],
            neuron.current_decay,
            neuron.voltage_decay,
        )
        if connection is network.connections[0]:
            assert layer.transform == {"weight": 40, "bias": 36}
            continue
        assert isinstance(connection.kernel, ConvKernel)
        bias = np.asarray(layer.neuron.bias_mant.init)
        assert np.array_equal(
            np.broadcast_to(bias << 6, (*layer.shape[:-1], neuron.offset.size)).max(
                axis=tuple(range(len(layer.shape) - 1))
            ),
            neuron.offset,
        )
        assert np.array_equal(_weights(layer), connection.kernel.weight.reshape(_weights(layer).shape))


def _weights(layer: Any) -> Array:
    """Weights as numbers, (C_out, C_in, H, W) or (C_out, n)."""
    if layer.block == "Conv":
        weight: Array = np.asarray(layer.synapse.weight.init)
        return weight.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]
    exponent = int(layer.synapse.proc_params["weight_exp"])
    return np.asarray(layer.synapse.weights.init) * 2.0**exponent


def _changed(index: int, **fields: object) -> Network:
    network = chain()
    populations = list(network.populations)
    populations[index] = replace(populations[index], **fields)  # type: ignore[arg-type]
    return replace(network, populations=tuple(populations))


def _with_neuron(index: int, **fields: object) -> Network:
    neuron = chain().populations[index].neuron
    assert neuron is not None
    return _changed(index, neuron=replace(neuron, **fields))  # type: ignore[arg-type]


def _with_connection(index: int, **fields: object) -> Network:
    network = chain()
    connections = list(network.connections)
    connections[index] = replace(connections[index], **fields)  # type: ignore[arg-type]
    return replace(network, connections=tuple(connections))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (random_unet("exact", size=8), r"holds networks in rate mode, not in exact mode; convert with --preset netx$"),
        (random_unet("rate", size=8), r"^dec: reads enc1/b, up1; the format supports chains only|^up2: reads "),
        (_with_neuron(2, theta=np.full(6, 65)), r"^layer/1: 1 thresholds, the first 65; a layer has one"),
        (_with_neuron(2, theta=64 * np.arange(1, 7)), r"^layer/1: 6 thresholds, the first 64; a layer has one"),
        (
            _with_neuron(2, offset=np.full(6, 65)),
            r"^layer/1: biases must be 64 times integers within \+-4095, one a channel; .* --preset netx$",
        ),
        (_with_neuron(1, offset=np.array([0, 64])), r"^layer/0: 2 biases; a .net file has one"),
        (_changed(1, bias=np.ones((2, 1, 1))), r"^layer/0: a bias of the current cannot be written"),
        (_with_neuron(1, current_decay=99), r"^layer/0: its current decays by 99; .* only 4096 can be written$"),
        (_changed(0, unit=np.full(2, 0.3)), r"^image: 1 / unit is 3.33333; lava-dl truncates it"),
        (
            _with_connection(1, exponent=2),
            r"^layer/0->layer/1: weights up to 512, with their exponent 2; .* convert with --preset netx$",
        ),
        (
            _with_connection(4, kernel=TransposedKernel(np.ones((5, 3, 1, 1), np.int8))),
            r"^layer/4->layer/5: the format has no layer for a TransposedKernel",
        ),
    ],
)
def test_what_a_file_cannot_hold_is_refused_by_name(network: Network, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=message):
        write_net(network, tmp_path / "refused.net")
    assert not list(tmp_path.iterdir())


def remove(entry: str) -> Callable[[Any], None]:
    return lambda file: file.__delitem__(entry)


def put(entry: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        if entry in file:
            del file[entry]
        file[entry] = value

    return change


DAMAGE: dict[str, Callable[[Any], object]] = {
    "no layers": remove("layer"),
    "no type": remove("layer/1/type"),
    "no weight": remove("layer/1/weight"),
    "no neuron": remove("layer/1/neuron"),
    "a number for a neuron": put("layer/1/neuron", 3),
    "weights in parts": lambda file: (file.__delitem__("layer/1/weight"), file["layer/1"].create_group("weight")),
    "delays of halves": put("layer/4/delay", 0.5),
    "negative delays": put("layer/4/delay", -1),
    "kernels of three axes": put("layer/1/weight", np.ones((6, 1, 3))),
    "no decay": remove("layer/1/neuron/iDecay"),
    "no shape": remove("layer/0/shape"),
    "no input": remove("layer/0"),
    "a name for a number": lambda file: file["layer"].create_group("last"),
    "a type that is a number": put("layer/1/type", 3),
    "an empty type": put("layer/1/type", np.zeros(0, "S4")),
    "a decay of half": put("layer/1/neuron/iDecay", 0.5),
    "decays": put("layer/1/neuron/iDecay", [1, 2]),
    "a threshold that wraps": put("layer/1/neuron/vThMant", 2**58),
    "a bias that wraps": put("layer/1/bias", np.full(6, 2**58)),
    "NaN for a weight": put("layer/1/weight", np.full((6, 1, 3, 2), np.nan)),
    "text for a weight": put("layer/1/weight", "weights"),
    "an input times 0": put("layer/0/weight", 0.0),
    "no steps": put("simulation/tSample", 0),
    "a stride of 0": put("layer/1/stride", [0, 0]),
    "three strides": put("layer/1/stride", [1, 1, 1]),
    "a shape of two": put("layer/0/shape", [2, 7]),
    "a shape of four": put("layer/0/shape", [2, 7, 7, 1]),
    "another shape": put("layer/1/shape", [6, 4, 5]),
    "another number of neurons": put("layer/4/shape", [6]),
    "an empty shape": put("layer/0/shape", [0, 0, 0]),
    "a group for a number": lambda file: (file.__delitem__("layer/1/groups"), file.create_group("layer/1/groups")),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_net_is_one_error(case: str, tmp_path: Path) -> None:
    path = tmp_path / "chain.net"
    write_net(chain(), path)
    with h5py.File(path, "r+") as file:
        DAMAGE[case](file)
    with pytest.raises(NetworkError, match=r"^[^\n]+$"):
        read_net(path)


def test_changed_bytes_are_one_error_or_none(tmp_path: Path) -> None:
    path = tmp_path / "chain.net"
    write_net(chain(), path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    messages = []
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_net(path)
        except SnnDeployError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert not any("\n" in message for message in messages)
