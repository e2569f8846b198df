"""Reads ``.net`` files of lava-dl (HDF5, written by SLAYER): sequential networks of CUBA-LIF neurons.

Lava-dl's own loader drops layers it does not know and cuts fractions off weights; here both are errors that name
the layer. What a file means follows lava-dl 0.6.0 (``lib/dl/netx/hdf5.py``) and, for the numbers, a recorded chip
run (``tests/lava/lib/dl/netx/gts/pilotnet_lif``): kernels (C_out, C_in, K_h, K_w) slide unflipped, strides, pads
and dilations stand as (y, x), a flattened map is read as (C, H, W), thresholds and biases are shifted left by 6
bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.arrays import Array, Int8, Int64, lies_within, round_to_int64
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.hdf5 import check_hdf5
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, CubaLif
from snn_deploy.network.kernels import ConvKernel, identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.shapes import Shape

Layer = Mapping[str, Any]

_NEURONS = ("LOIHI", "CUBA")

_DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What h5py and conversions to numbers raise on files that lava-dl did not write."""

_KNOWN = {
    "input": {"bias", "weight", "neuron", "shape", "type"},
    "conv": {
        "bias",
        "dilation",
        "groups",
        "inChannels",
        "kernelSize",
        "neuron",
        "outChannels",
        "padding",
        "shape",
        "stride",
        "type",
        "weight",
    },
    "dense": {"bias", "inFeatures", "neuron", "outFeatures", "shape", "type", "weight"},
    "flatten": {"shape", "type"},
}
"""Entries that each type of layer may have; any other, such as ``delay``, would change the result."""


def read_net(path: Path, *, steps: int | None = None, input_limits: tuple[int, int] = (-255, 255)) -> Network:
    """The network in ``path``, in ``rate`` mode with windows of ``steps`` (by default, the file's ``simulation/tSample``).

    Input payloads are ``rint(x * weight)`` of the file's input transform ``x * weight + bias``, within
    ``input_limits``; the transform's bias is the first population's. :class:`NetworkError` names the layer that
    cannot be read.
    """
    import h5py

    check_hdf5(path, NetworkError)
    where = "its layers"
    try:
        with h5py.File(path, "r") as file:
            layers = [_read(file["layer"][key]) for key in sorted(file["layer"], key=int)]
            window = steps or _whole("simulation", "tSample", file["simulation/tSample"][()])
        builder = _Builder(path.stem, window)
        for index, layer in enumerate(layers):
            where = f"layer/{index}"
            builder.add(where, layer, input_limits)
        return builder.network()
    except _DAMAGE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise NetworkError(f"{path.name}: not a .net file of lava-dl, or damaged: {where}: {said}") from error


def _read(group: Any) -> Layer:
    """A group of the file as nested mappings of arrays."""
    return {key: _read(entry) if hasattr(entry, "keys") else np.asarray(entry[()]) for key, entry in group.items()}


class _Builder:
    """Collects populations and connections, layer after layer."""

    def __init__(self, name: str, steps: int) -> None:
        self.name, self.steps = name, steps
        self.populations: list[Population] = []
        self.connections: list[Connection] = []

    def add(self, where: str, layer: Layer, input_limits: tuple[int, int]) -> None:
        """Append ``layer``, which stands at ``where`` in the file."""
        kind = np.asarray(layer["type"]).reshape(-1)[0].decode()
        if kind not in _KNOWN:
            raise NetworkError(f"{where}: layers of type {kind!r} are not supported; {', '.join(_KNOWN)} are")
        surplus = sorted(set(layer) - _KNOWN[kind])
        if surplus:
            raise NetworkError(f"{where}: {kind} with {', '.join(surplus)} is not supported")
        if (kind == "input") != (not self.populations):
            raise NetworkError(f"{where}: the first layer, and only the first, must be the input")
        if kind == "input":
            self._input(where, layer, input_limits)
        elif kind == "conv":
            self._layer(where, layer, _convolution(where, layer))
        elif kind == "dense":
            self._layer(where, layer, _dense(where, layer, self.populations[-1].shape))

    def network(self) -> Network:
        """The complete network, aligned."""
        if not self.connections:
            raise NetworkError(f"{self.name}: contains no layers besides the input")
        last = self.populations[-1].name
        return align(
            Network(
                self.name,
                "rate",
                self.steps,
                tuple(self.populations),
                tuple(self.connections),
                (Output("output", last),),
            )
        )

    def _input(self, where: str, layer: Layer, limits: tuple[int, int]) -> None:
        shape = _integers(where, "shape", np.asarray(layer["shape"]))
        if shape.shape != (3,):
            raise NetworkError(f"{where}: shape holds {shape.size} numbers; a map has three, (C, H, W)")
        channels, height, width = (int(size) for size in shape)
        factor = np.asarray(layer.get("weight", 1.0))
        if factor.size != 1 or factor.dtype.kind not in "iuf":
            raise NetworkError(
                f"{where}: the weight of the input holds {factor.size} {factor.dtype} values, not one number"
            )
        weight = float(factor.reshape(-1)[0])
        if not (np.isfinite(weight) and weight > 0):
            raise NetworkError(f"{where}: the input is multiplied by {weight}; a positive number is needed")
        self.populations.append(
            Population(
                "image",
                (channels, height, width),
                None,
                np.zeros((channels, 1, 1), np.int64),
                np.full(channels, 1 / weight),
                input_min=limits[0],
                input_max=limits[1],
                origin=(where,),
            )
        )
        self._layer(where, {**layer, "bias": layer.get("bias", np.zeros(1))}, identity(channels))

    def _layer(self, where: str, layer: Layer, kernel: ConvKernel) -> None:
        source = self.populations[-1]
        shape = kernel.output_shape(source.shape)
        target = Population(
            where,
            shape,
            _neuron(where, layer, shape[0]),
            np.zeros((shape[0], 1, 1), np.int64),
            np.ones(shape[0]),
            origin=(where,),
        )
        self.populations.append(target)
        self.connections.append(Connection(f"{source.name}->{where}", source.name, where, kernel, origin=(where,)))


def _neuron(where: str, layer: Layer, channels: int) -> CubaLif:
    if "neuron" not in layer:
        raise NetworkError(f"{where}: has no neurons; only layers with neurons are supported")
    neuron = layer["neuron"]
    kind = np.asarray(neuron["type"]).reshape(-1)[0]
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if kind not in _NEURONS:
        raise NetworkError(f"{where}: neurons of type {kind!r} are not supported; {', '.join(_NEURONS)} are")
    for entry, allowed in (("refDelay", 1), ("wgtExp", 0)):
        if entry in neuron and _whole(where, entry, neuron[entry]) != allowed:
            raise NetworkError(f"{where}: {entry} is {_whole(where, entry, neuron[entry])}; only {allowed} is read")
    bias = _integers(where, "bias", layer["bias"]) if "bias" in layer else np.zeros(1, np.int64)
    return CubaLif.of(
        np.full(channels, _whole(where, "vThMant", neuron["vThMant"]) << CURRENT_SHIFT),
        np.broadcast_to(bias.reshape(-1) << CURRENT_SHIFT, (channels,)),
        current_decay=_whole(where, "iDecay", neuron["iDecay"]),
        voltage_decay=_whole(where, "vDecay", neuron["vDecay"]),
    )


def _convolution(where: str, layer: Layer) -> ConvKernel:
    stride, padding, dilation = (_pair(where, key, layer[key]) for key in ("stride", "padding", "dilation"))
    return ConvKernel(
        _weights(where, layer),
        (stride[0], stride[1]),
        (padding[0], padding[1], padding[0], padding[1]),
        (dilation[0], dilation[1]),
        _whole(where, "groups", layer["groups"]),
    )


def _dense(where: str, layer: Layer, shape: Shape) -> ConvKernel:
    """A convolution whose kernel covers the whole map."""
    weight = _weights(where, layer)
    if weight.size % (shape[0] * shape[1] * shape[2]):
        raise NetworkError(f"{where}: {weight.size} weights do not fit a map {shape}")
    return ConvKernel(weight.reshape(-1, *shape))


def _weights(where: str, layer: Layer) -> Int8:
    values = _integers(where, "weight", layer["weight"])
    if values.size and not -128 <= values.min() <= values.max() <= 127:
        raise NetworkError(f"{where}: weights span {values.min()}..{values.max()}; 8 bits hold -128..127")
    return values.astype(np.int8)


def _pair(where: str, entry: str, values: Any) -> tuple[int, int]:
    """The two integers that an entry holds."""
    pair = _integers(where, entry, np.asarray(values))
    if pair.shape != (2,):
        raise NetworkError(f"{where}: {entry} has shape {pair.shape}; it holds two numbers")
    return int(pair[0]), int(pair[1])


def _whole(where: str, entry: str, value: Any) -> int:
    """The one integer that an entry holds."""
    values = _integers(where, entry, np.asarray(value))
    if values.size != 1:
        raise NetworkError(f"{where}: {entry} holds {values.size} numbers, not one")
    return int(values.reshape(-1)[0])


def _integers(where: str, entry: str, values: Array) -> Int64:
    if values.dtype.kind not in "iuf":
        raise NetworkError(f"{where}: {entry} holds {values.dtype} values, which are not real numbers")
    if not lies_within(values, -STATE_MAX, STATE_MAX):
        raise NetworkError(f"{where}: {entry} spans {values.min()}..{values.max()}; at most {STATE_MAX} is read")
    if np.any(values != np.rint(values)):
        raise NetworkError(f"{where}: {entry} holds fractions, which lava-dl would cut off; export it quantized")
    return round_to_int64(values)
