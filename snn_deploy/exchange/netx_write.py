"""Writes ``.net`` files of lava-dl that :mod:`snn_deploy.exchange.netx` reads and lava-dl 0.6.0 loads without loss.

Chains of convolutions and dense layers of CUBA-LIF neurons; other populations are refused, since lava-dl's loader would fail
on them or drop unknown entries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.exchange.chain import covers_map, follow_chain, get_cuba_lif, is_identity, require_convolution
from snn_deploy.files import replacing
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.network import Connection, Network, Population

Layer: TypeAlias = dict[str, Any]

THRESHOLD_MAX = 2**17 - 1
"""Largest mantissa of a threshold."""

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
            f"{network.name}: a .net file holds networks in rate mode; this one is in {network.mode} mode"
        )
    chain = follow_chain(network)
    if not is_identity(chain[0][0]):
        raise NetworkError(
            f"{chain[0][1].name}: lava-dl feeds images to neurons as biases; the first population must copy the input"
        )
    encoded = [_input(network.input, chain[0][1])]
    for (_, source), (connection, population) in zip(chain, chain[1:], strict=False):
        encoded.extend(_layer(connection, source, population))
    return encoded


def _input(image: Population, population: Population) -> Layer:
    """The image's transform ``weight x + bias`` and the neurons that read it."""
    weights = np.unique(1 / image.unit)
    biases = np.unique(_bias(population))
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


def _layer(connection: Connection, source: Population, population: Population) -> list[Layer]:
    kernel = require_convolution(connection)
    if connection.exponent:
        raise NetworkError(
            f"{connection.name}: exponent {connection.exponent}; lava-dl does not support exponents of weights"
        )
    common: Layer = {
        "shape": np.array(population.shape),
        "bias": _bias(population).astype(np.float32),
        **_neuron(population),
    }
    if covers_map(kernel, source):
        inputs = source.size
        dense: Layer = {
            "type": np.array([b"dense"]),
            "inFeatures": inputs,
            "outFeatures": population.shape[0],
            "weight": kernel.weight.reshape(-1, inputs).astype(np.float32),
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
        "weight": kernel.weight.astype(np.float32),
    }
    return [layer | common]


def _cuba(population: Population) -> CubaLif:
    neuron = get_cuba_lif(population)
    if neuron is None:
        raise NetworkError(f"{population.name}: its neurons are not CUBA-LIF; only these can be written")
    if np.any(population.bias):
        raise NetworkError(
            f"{population.name}: a bias of the current cannot be written; only a bias of the membrane can"
        )
    return neuron


def _bias(population: Population) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Mantissas (C,) of the biases, whose exponent is 6 in lava-dl."""
    offset = _cuba(population).offset
    mantissa: np.ndarray[Any, np.dtype[np.int64]] = offset >> CURRENT_SHIFT
    if np.any(mantissa << CURRENT_SHIFT != offset) or np.abs(mantissa).max() > BIAS_MAX:
        raise NetworkError(f"{population.name}: biases must be 64 times integers within +-{BIAS_MAX}")
    return mantissa


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
