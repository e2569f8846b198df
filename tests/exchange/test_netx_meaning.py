"""What entries of ``.net`` files mean, on small files written here entry by entry, and what is refused by the layer's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.netx import read_net
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Network

Layer = dict[str, Any]

CUBA: Layer = {"type": b"CUBA", "iDecay": 4096, "vDecay": 128, "vThMant": 10, "gradedSpike": False}
SDNN: Layer = {"type": b"SDNN", "vThMant": 0, "activation": b"relu"}
IMAGE: Layer = {"type": [b"input"], "shape": [1, 2, 2], "weight": [64.0], "bias": [2.0], "neuron": CUBA}
DENSE: Layer = {"type": [b"dense"], "shape": [2], "weight": np.arange(8.0).reshape(2, 4) - 2, "neuron": CUBA}
WINDOW: Layer = {"stride": 1, "padding": [0, 0], "dilation": 1, "kernelSize": [2, 2]}
CONV: Layer = {
    "type": [b"conv"],
    "shape": [3, 1, 1],
    "groups": 1,
    "weight": np.ones((3, 1, 2, 2)),
    "neuron": CUBA,
    **WINDOW,
}


def write(path: Path, *layers: Layer, steps: int | None = None) -> Path:
    with h5py.File(path / "small.net", "w") as file:
        for index, layer in enumerate(layers):
            for name, value in layer.items():
                parts = value.items() if isinstance(value, dict) else [("", value)]
                for part, number in parts:
                    file[f"layer/{index}/{name}/{part}".rstrip("/")] = number
        if steps is not None:
            file["simulation/tSample"] = steps
    return path / "small.net"


def kernels(network: Network) -> list[tuple[Int64, int]]:
    """Weights and delay of each connection behind the input's."""
    found = []
    for connection in network.connections[1:]:
        assert isinstance(connection.kernel, ConvKernel)
        found.append((connection.kernel.weight.astype(np.int64) << connection.exponent, connection.delay))
    return found


def run(network: Network, *values: int) -> Run:
    stimulus = np.array(values).reshape(1, *network.input.shape)
    return load_backend("reference").run(network, stimulus, Record.STATES)


def trains(network: Network, *values: int) -> list[list[int]]:
    """Payloads of the last population, a row for every step."""
    found = run(network, *values).trains
    assert found is not None
    flat: list[list[int]] = found[network.outputs[0].population][0].reshape(network.steps, -1).tolist()
    return flat


def test_a_file_without_a_length_has_one_of_its_own(tmp_path: Path) -> None:
    assert read_net(write(tmp_path, IMAGE, DENSE)).steps == 16
    assert read_net(write(tmp_path, IMAGE, DENSE, steps=5)).steps == 5
    assert read_net(write(tmp_path, IMAGE, DENSE, steps=5), steps=7).steps == 7


@pytest.mark.parametrize(("weight", "unit"), [(None, 1 / 64), ([36.7], 1 / 36), (40, 1 / 40)])
def test_the_input_is_scaled_as_lava_dl_does(weight: object, unit: float, tmp_path: Path) -> None:
    image = {key: value for key, value in IMAGE.items() if key != "weight"} | (
        {} if weight is None else {"weight": weight}
    )
    network = read_net(write(tmp_path, image, DENSE))
    assert network.input.unit.tolist() == [unit]
    assert network.input.payload_range == (-255, 255)


@pytest.mark.parametrize(("shape", "expected"), [([4], (4, 1, 1)), ([2, 2], (1, 2, 2)), ([1, 2, 2], (1, 2, 2))])
def test_shapes_of_one_and_two_axes(shape: list[int], expected: tuple[int, ...], tmp_path: Path) -> None:
    assert read_net(write(tmp_path, IMAGE | {"shape": shape}, DENSE)).input.shape == expected


def test_an_image_is_a_bias_that_bypasses_the_current(tmp_path: Path) -> None:
    """Whatever iDecay says: a current of the same numbers would build up over steps."""
    network = read_net(write(tmp_path, IMAGE | {"neuron": CUBA | {"iDecay": 1024, "vDecay": 0}}, DENSE), steps=4)
    states = run(network, 1, 2, 3, 4).states
    assert states is not None
    assert states["layer/0"][0, :, 0].reshape(4, -1)[:, 0].tolist() == [192, 384, 576, 0]


def test_files_that_begin_with_spikes(tmp_path: Path) -> None:
    spikes = {"type": [b"input"], "shape": [4, 1, 1]}
    flatten = {"type": [b"flatten"], "shape": [4, 1, 1]}
    for layers in ((spikes, flatten, DENSE), (DENSE | {"inFeatures": 4},)):
        network = read_net(write(tmp_path, *layers))
        assert (network.input.shape, network.input.payload_range) == ((4, 1, 1), (0, 1))
        assert network.populations[1].shape == (2, 1, 1)
    assert read_net(write(tmp_path, CONV | {"inChannels": 1}), size=(2, 2)).input.shape == (1, 2, 2)
    with pytest.raises(NetworkError, match=r"^layer/0: the file has no input .* give it \(--size HxW\)$"):
        read_net(write(tmp_path, CONV | {"inChannels": 1}))


def test_even_weights_of_nine_bits_have_an_exponent(tmp_path: Path) -> None:
    weight = np.array([[-256.0, 254, 2, 0], [-178, 192, -2, 4]])
    network = read_net(write(tmp_path, IMAGE, DENSE | {"weight": weight}))
    assert network.connections[1].exponent == 1
    assert np.array_equal(kernels(network)[0][0].reshape(2, 4), weight)


@pytest.mark.parametrize("pool", [False, True])
def test_kernels_may_have_an_axis_of_time(pool: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layer = CONV | ({"type": [b"pool"], "shape": [1, 1, 1]} if pool else {})
    layer = {key: value for key, value in layer.items() if not pool or key != "groups"}
    weight = rng.integers(-9, 9, (1 if pool else 3, 1, 2, 2, 1))
    network = read_net(write(tmp_path, IMAGE, layer | {"weight": weight.astype(float)}))
    assert np.array_equal(kernels(network)[0][0], weight[..., 0])


def test_a_pool_adds_up_in_every_channel(tmp_path: Path) -> None:
    window = {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 1], "kernelSize": [2, 2]}
    pool = {"type": [b"pool"], "shape": [2, 2, 2], "weight": np.full((1, 1, 2, 2, 1), 7.0), "neuron": CUBA, **window}
    network = read_net(write(tmp_path, IMAGE | {"shape": [2, 3, 3]}, pool))
    kernel = network.connections[1].kernel
    assert isinstance(kernel, ConvKernel)
    assert (kernel.groups, kernel.strides, kernel.pads) == (2, (2, 1), (1, 0, 1, 0))
    assert kernel.weight.tolist() == np.full((2, 1, 2, 2), 7).tolist()


DELAYS: dict[str, tuple[object, list[list[int]]]] = {
    "one for all": (3, [[4, 4, 4, 4], [4, 4, 4, 4]]),
    "of the outputs": ([0, 2], [[1, 1, 1, 1], [3, 3, 3, 3]]),
    "of the inputs": ([0, 1, 2, 3], [[1, 2, 3, 4], [1, 2, 3, 4]]),
    "of the synapses": ([[0, 1, 2, 3], [3, 3, 0, 0]], [[1, 2, 3, 4], [4, 4, 1, 1]]),
}


@pytest.mark.parametrize("case", DELAYS)
def test_delays_belong_to_synapses(case: str, tmp_path: Path) -> None:
    delay, expected = DELAYS[case]
    weight = np.arange(1.0, 9).reshape(2, 4)
    network = read_net(write(tmp_path, IMAGE, DENSE | {"weight": weight, "delay": np.array(delay, float)}))
    total, arrival = np.zeros((2, 4), np.int64), np.zeros((2, 4), np.int64)
    for part, steps in kernels(network):
        flat = part.reshape(2, 4)
        total, arrival = total + flat, arrival + np.where(flat != 0, steps, 0)
    assert np.array_equal(total, weight)
    assert arrival.tolist() == expected


def test_a_delayed_layer_fires_later(tmp_path: Path) -> None:
    plain, late = (read_net(write(tmp_path, IMAGE, DENSE | {"delay": delay}), steps=20) for delay in (0.0, 3.0))
    expected = trains(plain, 40, 90, 200, 255)
    assert sum(map(sum, expected)) > 5
    assert trains(late, 40, 90, 200, 255) == [[0, 0]] * 3 + expected[:-3]
    assert plain.aligned
    assert not late.aligned


@pytest.mark.parametrize("aligned", [True, False])
def test_a_last_layer_without_neurons_sends_its_sums(aligned: bool, tmp_path: Path) -> None:
    head = {key: value for key, value in DENSE.items() if key != "neuron"} | {"bias": [5.0, -7.0]}
    network = read_net(write(tmp_path, IMAGE, head), steps=6, aligned=aligned)
    spikes = run(network, 0, 90, 200, 255)
    assert spikes.trains is not None
    sent = spikes.trains["layer/0"][0].reshape(6, 4)
    lag = 0 if aligned else 1
    expected = np.vstack([np.zeros((lag, 4), np.int64), sent])[:6] @ head["weight"].T.astype(np.int64) + [5, -7]
    assert trains(network, 0, 90, 200, 255) == expected.tolist()
    assert network.population("layer/1").unit.tolist() == [1 / 64] * 2


def test_an_average_is_a_sum_and_a_unit(tmp_path: Path) -> None:
    average = {"type": [b"average"], "shape": [2, 1, 1]}
    dense = DENSE | {"shape": [6], "weight": np.full((6, 4), 9.0)}
    network = read_net(write(tmp_path, IMAGE, dense, average))
    assert network.populations[-1].unit.tolist() == [1 / 3, 1 / 3]
    kernel = network.connections[-1].kernel
    assert isinstance(kernel, ConvKernel)
    assert (kernel.groups, kernel.weight.tolist()) == (2, np.ones((2, 3, 1, 1)).tolist())


def lava(images: list[int], weight: Int64, bias: Int64, thresholds: tuple[int, int], steps: int) -> list[int]:
    """Delta, sigma-delta and sigma of lava-nc 0.10.0 one after the other, by hand: what the last one holds in each step."""
    act0, sent, sigma = (np.zeros(4, np.int64) for _ in range(3))
    sent, sigma, total, found = np.zeros(2, np.int64), np.zeros(2, np.int64), 0, []
    first, second = np.zeros(4, np.int64), np.zeros(2, np.int64)
    for _ in range(steps):
        total += int(second.sum())
        sigma = sigma + weight @ first
        delta = np.maximum(sigma + (bias << 12), 0) - sent
        spike = np.where(np.abs(delta) >= thresholds[1] << 12, delta, 0)
        sent, second = sent + spike, spike >> 6
        new = (np.array(images) << 12) - act0
        spike = np.where(np.abs(new) >= thresholds[0] << 12, new, 0)
        act0, first = act0 + spike, spike >> 6
        found.append(total)
    return found


@pytest.mark.parametrize("thresholds", [(0, 0), (0, 13), (5, 1)])
def test_sigma_delta_neurons_follow_lava_step_by_step(thresholds: tuple[int, int], tmp_path: Path) -> None:
    image = {"type": [b"input"], "shape": [1, 2, 2], "neuron": SDNN | {"vThMant": thresholds[0]}}
    weight, bias = np.array([[3, -5, 7, 2], [-4, 8, 1, -9]]), np.array([12, -3])
    hidden = DENSE | {"weight": weight * 1.0, "bias": bias * 1.0, "neuron": SDNN | {"vThMant": thresholds[1]}}
    head = {"type": [b"dense"], "shape": [1], "weight": np.ones((1, 2)), "neuron": SDNN | {"sigma_output": True}}
    network = read_net(write(tmp_path, image, hidden, head), aligned=False)
    assert (network.mode, network.input.unit.tolist()) == ("exact", [1 / 64])
    values = [40, -3, 60, 4]
    found = np.cumsum(trains(network, *values)).tolist()
    assert found == lava(values, weight, bias, thresholds, network.steps)
    counts = run(aligned := read_net(tmp_path / "small.net"), *values).counts
    assert aligned.one_shot
    assert abs(int(counts["layer/2"].item()) - found[-1]) <= 2 * thresholds[1] << 6


def test_message_bits_limit_payloads(tmp_path: Path) -> None:
    image = {"type": [b"input"], "shape": [4], "neuron": SDNN}
    for bits, most in ((None, 2**15 - 1), (8, 127)):
        neuron = SDNN | ({} if bits is None else {"messageBits": bits})
        network = read_net(write(tmp_path, image, DENSE | {"neuron": neuron}))
        assert network.populations[2].payload_range == (-most, most)


def test_a_threshold_beyond_every_membrane_never_fires(tmp_path: Path) -> None:
    network = read_net(write(tmp_path, IMAGE, DENSE | {"neuron": CUBA | {"vThMant": 2**18 - 1}}))
    neuron = network.populations[-1].neuron
    assert isinstance(neuron, CubaLif)
    assert neuron.theta.tolist() == [2**23 - 1] * 2


RECURRENT = DENSE | {"type": [b"dense_rec"], "weight_rec": np.zeros((2, 2))}

REFUSED: dict[str, tuple[Layer, str]] = {
    "recurrent": (RECURRENT, r"^layer/1: a layer of type 'dense_rec': its neurons read .* use dense blocks$"),
    "transposed": (CONV | {"type": [b"convT"]}, r"^layer/1: a layer of type 'convT': lava-dl does not run .*$"),
    "unpool": (CONV | {"type": [b"unpool"]}, r"^layer/1: a layer of type 'unpool': lava-dl does not run .*$"),
    "concat": ({"type": [b"concat"]}, r"^layer/1: a layer of type 'concat': .* use sequential networks$"),
    "unknown": ({"type": [b"lstm"]}, r"^layer/1: layers of type 'lstm' are not supported; input, conv, .* are$"),
    "second input": (IMAGE, r"^layer/1: a second input; only the first layer can be one$"),
    "complex": (DENSE | {"weight": {"real": 1.0, "imag": 2.0}}, r"^layer/1: weight is in 2 parts \(imag, real\)"),
    "resonators": (DENSE | {"neuron": CUBA | {"type": b"RF_IZ"}}, r"^layer/1: neurons of type 'RF_IZ' are not"),
    "vMin": (
        DENSE | {"neuron": CUBA | {"vMin": -99}},
        r"^layer/1: a CUBA neuron with vMin is not supported; remove it",
    ),
    "graded": (
        DENSE | {"neuron": CUBA | {"gradedSpike": True}},
        r"^layer/1: gradedSpike is set: .*graded_spike=False$",
    ),
    "message bits": (
        DENSE | {"neuron": CUBA | {"messageBits": 8}},
        r"^layer/1: messageBits is 8, which lava-dl ignores",
    ),
    "exponent": (
        DENSE | {"neuron": CUBA | {"wgtExp": 2}},
        r"^layer/1: wgtExp is 2, which lava-dl ignores; only 0 is read$",
    ),
    "refractory": (DENSE | {"neuron": CUBA | {"refDelay": 2}}, r"^layer/1: refDelay is 2, .* only 1 is read$"),
    "no decay": (DENSE | {"neuron": CUBA | {"iDecay": 0}}, r"^layer/1: iDecay is 0: the current never decays"),
    "fractions": (
        DENSE | {"weight": np.full((2, 4), 0.5)},
        r"^layer/1: weight holds fractions, .*; export it quantized$",
    ),
    "odd": (
        DENSE | {"weight": np.full((2, 4), 129.0)},
        r"^layer/1: weights span 129..129; a synapse holds -128..127, or",
    ),
    "wide": (DENSE | {"weight": np.full((2, 4), 256.0)}, r"^layer/1: weights span 256..256; .*: quantize them so$"),
    "delays": (DENSE | {"delay": 70}, r"^layer/1: delays span 70..70; a synapse holds 0..62, train with such$"),
    "delay axes": (DENSE | {"delay": [1, 2, 3]}, r"^layer/1: delays \(3,\) fit neither .* of weights \(2, 4\)$"),
    "conv delay": (CONV | {"delay": [1, 0, 0]}, r"^layer/1: delays of a convolution, which lava-dl ignores; train"),
    "other shape": (CONV | {"shape": [3, 2, 2]}, r"^layer/1: shape says \(3, 2, 2\); .* give \(3, 1, 1\)$"),
    "biases": (CONV | {"bias": [1, 2]}, r"^layer/1: 2 biases for 3 channels; one for each, or one, is read$"),
    "two kinds": (DENSE | {"neuron": SDNN}, r"^layer/1: neurons of type SDNN after others; a file holds one kind"),
    "surplus": (
        DENSE | {"norm": 1},
        r"^layer/1: a layer of type 'dense' with norm is not supported; remove it in the model$",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_change_the_result_is_refused_by_layer(case: str, tmp_path: Path) -> None:
    layer, message = REFUSED[case]
    with pytest.raises(NetworkError, match=message):
        read_net(write(tmp_path, IMAGE, layer))


def test_what_sigma_delta_layers_cannot_be_is_refused(tmp_path: Path) -> None:
    image = {"type": [b"input"], "shape": [4], "neuron": SDNN}
    for change, message in (
        ({"neuron": SDNN | {"activation": b"tanh"}}, r"^layer/1: trained with the activation 'tanh', .* use relu$"),
        ({"neuron": SDNN | {"messageBits": 25}}, r"^layer/1: messageBits is 25; graded spikes have 2 to 24"),
        ({"neuron": SDNN | {"sigma_output": True}, "bias": 1.0}, r"^layer/1: a bias of sigma_output, .*; remove it$"),
    ):
        with pytest.raises(NetworkError, match=message):
            read_net(write(tmp_path, image, DENSE | change))
    silent = {key: value for key, value in DENSE.items() if key != "neuron"}
    with pytest.raises(
        NetworkError, match=r"^layer/1: has no neurons that send spikes; only the last layer may have none$"
    ):
        read_net(write(tmp_path, IMAGE, silent, DENSE | {"weight": np.ones((2, 2))}))
