"""Writes ``.net`` files of lava-dl that :mod:`snn_deploy.exchange.netx` reads and lava-dl 0.6.0 loads without loss.

Chains of convolutions and dense layers of CUBA-LIF neurons, as the preset ``netx`` makes them; other populations are refused, since
lava-dl's loader would fail on them or drop unknown entries. A file holds

* an input whose neurons copy the image, or no neurons of the input: the first layer then reads the payloads themselves
  (lava-dl: ``input_message_bits=24``);
* weights of 8 bits, or with exponent 1 even ones of 9;
* a read-out that passes sums on as neurons that never fire: lava-dl's own way; the result is their membrane, 64 times the count.

``unit`` (real values of counts) and ``payloads`` (limits of the input) are entries that lava-dl ignores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.exchange.chain import covers_map, follow_chain, get_cuba_lif, is_identity, require_convolution
from snn_deploy.exchange.netx_neurons import THRESHOLD_MAX
from snn_deploy.files import replacing
from snn_deploy.network.bounds import bound_current
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.network import Connection, Network, Population

Layer: TypeAlias = dict[str, Any]

BIAS_MAX = 2**12 - 1
"""Largest mantissa of a bias."""


def write_net(network: Network, path: Path) -> None:
    """Write ``network`` to ``path``; :class:`NetworkError` names what the format or lava-dl's loader does not support."""
    import h5py

    encoded = encode_layers(network)
    with replacing(path, ArtifactError) as partial, h5py.File(partial, "w") as file:
        file["simulation/Ts"] = 1
        file["simulation/tSample"] = network.steps
        for index, layer in enumerate(encoded):
            for key, value in layer.items():
                file[f"layer/{index}/{key}"] = value


def encode_layers(network: Network) -> list[Layer]:
    """The layers of ``network`` as groups of datasets."""
    if network.mode != "rate":
        raise NetworkError(
            f"{network.name}: a .net file holds networks in rate mode, not in {network.mode} mode; convert with --preset netx"
        )
    chain = follow_chain(network)
    copies = is_identity(chain[0][0]) and get_cuba_lif(chain[0][1]) is not None
    encoded = [_input(network.input, chain[0][1]) if copies else _payloads(network.input)]
    source = network.input
    for connection, population in chain:
        if not (copies and source is network.input):
            encoded.extend(_layer(network, connection, source, population))
        source = population
    return encoded


def _input(image: Population, population: Population) -> Layer:
    """The image's transform ``weight x + bias`` and the neurons that read it."""
    weights = np.unique(1 / image.unit)
    biases = np.unique(_bias(population, _cuba(population).offset))
    if weights.size != 1 or weights[0] != np.rint(weights[0]):
        raise NetworkError(
            f"{image.name}: 1 / unit is {weights[0]:g}; lava-dl truncates it to one integer for all channels"
        )
    if _cuba(population).current_decay != DECAY_ONE:
        raise NetworkError(
            f"{population.name}: its current decays by {_cuba(population).current_decay}; lava-dl's image is a bias, which "
            f"bypasses the current: only {DECAY_ONE} can be written"
        )
    if biases.size != 1:
        raise NetworkError(f"{population.name}: {biases.size} biases; a .net file has one for its input layer")
    return {
        "type": np.array([b"input"]),
        "shape": np.array(population.shape),
        "weight": np.float32(weights[0]),
        "bias": np.float32(biases[0]),
        **_neuron(population),
    }


def _payloads(image: Population) -> Layer:
    """An input without neurons."""
    return {
        "type": np.array([b"input"]),
        "shape": np.array(image.shape),
        "payloads": np.array([image.input_min, image.input_max]),
        "unit": np.array(image.unit),
    }


def _layer(network: Network, connection: Connection, source: Population, population: Population) -> list[Layer]:
    kernel = require_convolution(connection)
    passes = population.neuron is not None and population.neuron.relays and population.neuron.count_min is None
    if passes and network.outgoing(population.name):
        raise NetworkError(
            f"{population.name}: passes sums on, which only the last layer can; convert with --preset netx"
        )
    own = _read_out(network, connection, population) if passes else _firing(population)
    common: Layer = {"shape": np.array(population.shape), **own}
    weight = _weights(connection, kernel.weight.astype(np.int64))
    if covers_map(kernel, source):
        inputs = source.size
        dense: Layer = {
            "type": np.array([b"dense"]),
            "inFeatures": inputs,
            "outFeatures": population.shape[0],
            "weight": weight.reshape(-1, inputs),
        }
        if source.shape[1:] == (1, 1):
            return [dense | common]
        return [{"type": np.array([b"flatten"]), "shape": np.array((1, 1, inputs))}, dense | common]
    layer: Layer = {
        "type": np.array([b"conv"]),
        "inChannels": source.shape[0],
        "outChannels": population.shape[0],
        "kernelSize": np.array(kernel.weight.shape[2:]),
        "stride": np.array(kernel.strides),
        "padding": np.array(kernel.pads[:2]),
        "dilation": np.array(kernel.dilations),
        "groups": kernel.groups,
        "weight": weight,
    }
    return [layer | common]


def _weights(connection: Connection, weight: Int64) -> Any:
    """Weights with their exponent, which lava-dl does not know: 8 bits, or even numbers of 9."""
    shifted = weight << connection.exponent
    if connection.exponent and not -256 <= shifted.min() <= shifted.max() <= 254:
        raise NetworkError(
            f"{connection.name}: weights up to {np.abs(shifted).max()}, with their exponent {connection.exponent}; lava-dl has no "
            "exponents, 9 bits hold -256..254, convert with --preset netx"
        )
    return shifted.astype(np.float32)


def _firing(population: Population) -> Layer:
    return {"bias": _bias(population, _cuba(population).offset).astype(np.float32), **_neuron(population)}


def _read_out(network: Network, connection: Connection, population: Population) -> Layer:
    """Neurons that keep the sum; no sum of a window may reach their threshold."""
    least, greatest = bound_current(connection, *network.population(connection.source).payload_range)
    worst = network.steps * int(np.maximum(-least, greatest).max() + np.abs(population.bias).max())
    if worst > THRESHOLD_MAX:
        raise NetworkError(
            f"{population.name}: the worst sum of {network.steps} steps is {worst}; a membrane of lava-dl holds {THRESHOLD_MAX}, "
            "convert with --preset netx"
        )
    numbers = {"type": b"CUBA", "iDecay": DECAY_ONE, "vDecay": 0, "vThMant": THRESHOLD_MAX, "refDelay": 1, "wgtExp": 0}
    return {
        "bias": _bias(population, population.bias << CURRENT_SHIFT).astype(np.float32),
        "unit": np.array(population.unit),
        **{f"neuron/{key}": value for key, value in numbers.items()},
    }


def _cuba(population: Population) -> CubaLif:
    neuron = get_cuba_lif(population)
    if neuron is None:
        raise NetworkError(
            f"{population.name}: its neurons are not CUBA-LIF; only these can be written, convert with --preset netx"
        )
    if np.any(population.bias):
        raise NetworkError(
            f"{population.name}: a bias of the current cannot be written; only a bias of the membrane can"
        )
    return neuron


def _bias(population: Population, offset: Int64) -> Int64:
    """Mantissas (C,) of biases of the membrane (C, ...), whose exponent is 6 in lava-dl."""
    mantissa: Int64 = offset >> CURRENT_SHIFT
    if (
        np.any(mantissa << CURRENT_SHIFT != offset)
        or np.abs(mantissa).max() > BIAS_MAX
        or mantissa.size != population.shape[0]
    ):
        raise NetworkError(
            f"{population.name}: biases must be 64 times integers within +-{BIAS_MAX}, one a channel; convert with --preset netx"
        )
    return mantissa.reshape(-1)


def _neuron(population: Population) -> Layer:
    neuron = _cuba(population)
    theta = np.unique(neuron.theta)
    if theta.size != 1 or theta[0] % (1 << CURRENT_SHIFT) or theta[0] >> CURRENT_SHIFT > THRESHOLD_MAX:
        raise NetworkError(
            f"{population.name}: {theta.size} thresholds, the first {theta[0]}; a layer has one, 64 times an integer up "
            f"to {THRESHOLD_MAX}"
        )
    numbers = {
        "type": b"CUBA",
        "iDecay": neuron.current_decay,
        "vDecay": neuron.voltage_decay,
        "vThMant": int(theta[0]) >> CURRENT_SHIFT,
        "refDelay": 1,
        "wgtExp": 0,
    }
    return {f"neuron/{key}": value for key, value in numbers.items()}
