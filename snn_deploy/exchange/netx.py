"""Reads ``.net`` files of lava-dl (HDF5, written by SLAYER): sequential networks of CUBA-LIF or sigma-delta neurons.

What a file means follows lava-dl 0.6.0 (``lib/dl/netx/hdf5.py``; for pools and averages, which netx lacks,
``lib/dl/slayer/block/base.py``) and, for the numbers, recorded runs (``tests/lava/lib/dl/netx/gts``): kernels (C_out, C_in, K_h,
K_w) slide unflipped, strides, pads and dilations stand as (y, x), a flattened map is read as (C, H, W). Lava-dl ignores entries
that it does not know and cuts fractions off weights; here both are errors that name the layer. Only the input's transform
``weight x + bias`` is cut as lava-dl does it; a weight that is absent is 64.

The neurons decide the mode:

* CUBA-LIF: ``rate``, the image in every step, as a bias of the first neurons.
* sigma-delta (SDNN): ``exact``, the image once, since they send changes, of ``messageBits`` (16), which every run checks. Sums of
  so wide payloads are not proved to stay within 24 bits (in lava-dl neither); a run counts those that leave them.

A last layer without neurons or with the largest threshold, an SDNN's ``sigma_output`` and an ``average`` are read-outs: their
counts are the sums that netx keeps in membranes. ``unit`` and ``payloads``, which lava-dl ignores, are in files of our own
(:mod:`snn_deploy.exchange.netx_write`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Float64, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.hdf5 import check_hdf5
from snn_deploy.exchange.netx_entries import Entries
from snn_deploy.exchange.netx_neurons import SPIKE_SHIFT, is_read_out, make_neuron, read_bias, read_kind
from snn_deploy.exchange.netx_synapses import Synapses, read_average, read_convolution, read_dense, read_pool
from snn_deploy.network.bounds import bound_current
from snn_deploy.network.cuba_lif import CURRENT_SHIFT
from snn_deploy.network.kernels import identity
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.shapes import Shape, Size

STEPS = 16
"""Length of a window where the file has no ``simulation/tSample``, which lava-dl's loader does not read."""

WEIGHT = 64
"""Factor of the input where the file has none."""

IMAGE = (-255, 255)
"""Least and greatest payload of an input that neurons turn into spikes."""

SPIKES = (0, 1)
"""The same where the file begins with spikes."""

_DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What h5py and conversions to numbers raise on files that lava-dl did not write."""

_WINDOW = {"kernelSize", "stride", "padding", "dilation"}

_KNOWN = {
    "input": {"bias", "weight", "neuron", "payloads", "unit"},
    "conv": {"bias", "groups", "inChannels", "outChannels", "weight", "neuron", "delay", "unit", *_WINDOW},
    "pool": {"weight", "neuron", "delay", *_WINDOW},
    "dense": {"bias", "inFeatures", "outFeatures", "weight", "neuron", "delay", "unit"},
    "flatten": set[str](),
    "average": set[str](),
}
"""Entries that each type of layer may have besides ``type`` and ``shape``; any other would change the result."""

_REFUSED = {
    "dense_rec": "its neurons read their own spikes; networks here have no recurrence, use dense blocks",
    "dense_comp": "complex weights, of resonate-and-fire neurons; use CUBA or sigma-delta blocks",
    "convT": "lava-dl does not run transposed convolutions; use convolutions",
    "unpool": "lava-dl does not run unpooling; use convolutions",
    "concat": "the file does not say what is concatenated; use sequential networks",
}
"""Types of layers that SLAYER writes and netx, too, does not run or networks here cannot hold."""


def read_net(
    path: Path,
    *,
    steps: int | None = None,
    input_limits: tuple[int, int] | None = None,
    size: Size | None = None,
    aligned: bool = True,
) -> Network:
    """The network in ``path``; :class:`NetworkError` names the layer that cannot be read.

    ``steps``: length of a window of CUBA-LIF neurons (default: the file's ``simulation/tSample``, else :data:`STEPS`).
    ``input_limits`` of payloads ``rint(weight x)`` (default: +-255; 0..1 where the file begins with spikes). ``size`` (H, W) of
    the input, for a file that begins with a convolution and does not say it. Each layer starts one step after that before it,
    as netx with ``reset_interval`` has it; with ``aligned=False`` all start together, as netx has it otherwise: with neurons that
    read the image, or, where synapses do, a step before its first currents arrive. Biases then act before the image does.
    """
    import h5py

    check_hdf5(path, NetworkError)
    where = "its layers"
    try:
        with h5py.File(path, "r") as file:
            layers = [Entries.of(f"layer/{key}", file["layer"][key]) for key in sorted(file["layer"], key=int)]
            timing = Entries.of("simulation", file.get("simulation", {}))
        window = timing.whole("tSample") if "tSample" in timing else STEPS
        chain = _Chain(path.stem, window if steps is None else steps, input_limits, size)
        for index, layer in enumerate(layers):
            where = layer.where
            chain.add(layer, last=index == len(layers) - 1)
        return chain.build(aligned=aligned)
    except _DAMAGE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise NetworkError(f"{path.name}: not a .net file of lava-dl, or damaged: {where}: {said}") from error


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer with its synapses; ``neuron`` is ``None`` for a read-out, whose limits the layers before decide."""

    name: str
    shape: Shape
    neuron: Neuron | None
    synapses: tuple[Synapses, ...]
    bias: Int64
    unit: Float64


class _Chain:
    """The layers read so far."""

    def __init__(self, name: str, steps: int, input_limits: tuple[int, int] | None, size: Size | None) -> None:
        self.name, self.steps, self.input_limits, self.size = name, steps, input_limits, size
        self.image: Population | None = None
        self.layers: list[_Layer] = []
        self.reads_image = False
        self.kinds: set[str] = set()

    def add(self, entries: Entries, *, last: bool) -> None:
        """Append the layer that ``entries`` describe."""
        kind = entries.text("type")
        if kind in _REFUSED:
            raise NetworkError(f"{entries.where}: a layer of type {kind!r}: {_REFUSED[kind]}")
        if kind not in _KNOWN:
            raise NetworkError(f"{entries.where}: layers of type {kind!r} are not supported; {', '.join(_KNOWN)} are")
        entries.refuse_unknown(f"a layer of type {kind!r}", {"type", "shape", *_KNOWN[kind]})
        if kind == "input":
            self._add_input(entries)
        elif kind == "conv":
            self._append(entries, read_convolution(entries, self._source(entries)), last=last)
        elif kind == "pool":
            self._append(entries, read_pool(entries, self._source(entries)), last=last)
        elif kind == "dense":
            self._append(entries, read_dense(entries, self._source(entries)), last=last)
        elif kind == "average":
            self._append(entries, read_average(entries, self._source(entries)), last=last)

    def _source(self, entries: Entries) -> Shape:
        """Shape of what a layer reads. A file without an input begins with spikes, and says their number at most."""
        if self.layers:
            return self.layers[-1].shape
        if self.image is None and "inFeatures" in entries:
            self._add_image(entries, (entries.whole("inFeatures"), 1, 1), SPIKES)
        elif self.image is None and "inChannels" in entries and self.size is not None:
            self._add_image(entries, (entries.whole("inChannels"), *self.size), SPIKES)
        if self.image is None:
            raise NetworkError(
                f"{entries.where}: the file has no input and does not say the size of its images; give it (--size HxW)"
            )
        return self.image.shape

    def _add_image(self, entries: Entries, shape: Shape, limits: tuple[int, int], weight: int = 1) -> None:
        """The input, of payloads ``rint(weight x)`` within ``limits``."""
        low, high = self.input_limits or limits
        zeros = np.zeros((shape[0], 1, 1), np.int64)
        self.image = Population(
            "image", shape, None, zeros, _unit(entries, shape[0], 1 / weight), 0, low, high, (entries.where,)
        )

    def _add_input(self, entries: Entries) -> None:
        if self.image is not None:
            raise NetworkError(f"{entries.where}: a second input; only the first layer can be one")
        shape, kind = _map_shape(entries), read_kind(entries)
        if kind is None:
            self._add_image(entries, shape, entries.pair("payloads") if "payloads" in entries else SPIKES)
            return
        weight = entries.cut("weight") if "weight" in entries else WEIGHT
        if weight < 1:
            raise NetworkError(f"{entries.where}: the input is multiplied by {weight}; a positive integer is needed")
        self._add_image(entries, shape, IMAGE, weight)
        # payloads of sigma-delta neurons are 64 times mantissas, their states 64 times payloads
        exponent = 2 * SPIKE_SHIFT if kind == "SDNN" else 0
        synapses, self.reads_image = (Synapses(identity(shape[0]), exponent),), True
        self._add_neurons(entries, kind, shape, make_neuron(entries, shape[0], image=True), synapses)

    def _append(self, entries: Entries, synapses: tuple[Synapses, ...], *, last: bool) -> None:
        shape, kind = synapses[0].kernel.output_shape(self._source(entries)), read_kind(entries)
        if not is_read_out(entries, last=last):
            self._add_neurons(entries, str(kind), shape, make_neuron(entries, shape[0]), synapses)
            return
        if not last:
            raise NetworkError(f"{entries.where}: has no neurons that send spikes; only the last layer may have none")
        if kind is not None:
            self.kinds.add(kind)
        if "bias" in entries and "SDNN" in self.kinds:
            raise NetworkError(f"{entries.where}: a bias of sigma_output, which lava-dl has not; remove it")
        unit = (
            self._unit_of_sums()
            if "weight" in entries
            else float(self.layers[-1].unit[0]) / synapses[0].kernel.weight.shape[1]
        )
        units = _unit(entries, shape[0], unit)
        self.layers.append(_Layer(entries.where, shape, None, synapses, read_bias(entries, shape[0]), units))

    def _unit_of_sums(self) -> float:
        """Value of 1 in a sum of weights: mantissas are 64 times real weights, payloads of changes 4096 times activations."""
        return 2.0 ** -(CURRENT_SHIFT + (2 * SPIKE_SHIFT if "SDNN" in self.kinds else 0))

    def _add_neurons(
        self, entries: Entries, kind: str, shape: Shape, neuron: Neuron, synapses: tuple[Synapses, ...]
    ) -> None:
        self.kinds.add(kind)
        if len(self.kinds) > 1:
            raise NetworkError(
                f"{entries.where}: neurons of type {kind} after others; a file holds one kind, CUBA or SDNN"
            )
        unit = np.full(shape[0], 2.0 ** (-2 * SPIKE_SHIFT) if kind == "SDNN" else 1.0)
        self.layers.append(_Layer(entries.where, shape, neuron, synapses, np.zeros(shape[0], np.int64), unit))

    def build(self, *, aligned: bool) -> Network:
        """The network with its schedule and the limits of its payloads."""
        if self.image is None or not self.layers:
            raise NetworkError(f"{self.name}: contains no layers besides the input")
        mode: Mode = "exact" if "SDNN" in self.kinds else "rate"
        populations, connections, latency = [self.image], list[Connection](), 0
        for index, layer in enumerate(self.layers):
            source = populations[-1]
            connections += _connect(source.name, layer)
            neuron = layer.neuron or _read_out(layer, source, mode)
            start = index + 1 if aligned else int(self.reads_image)
            latency += 1 + max(part.delay for part in layer.synapses)
            bias = layer.bias[:, None, None]
            populations.append(
                Population(layer.name, layer.shape, neuron, bias, layer.unit, start, origin=(layer.name,))
            )
        network = Network(
            self.name,
            mode,
            # an SDNN is silent once the image has passed
            self.steps if mode == "rate" else latency,
            tuple(populations),
            tuple(connections),
            (Output("output", populations[-1].name),),
        )
        return replace(network, steps=1) if mode == "exact" and network.aligned else network


def _connect(source: str, layer: _Layer) -> list[Connection]:
    """The connections into ``layer``, named by their delays where there are several."""
    several = len(layer.synapses) > 1
    return [
        Connection(
            f"{source}->{layer.name}" + (f"+{part.delay}" if several else ""),
            source,
            layer.name,
            part.kernel,
            part.exponent,
            1 + part.delay,
            (layer.name,),
        )
        for part in layer.synapses
    ]


def _read_out(layer: _Layer, source: Population, mode: Mode) -> MultiThreshold:
    """Neurons that pass every sum on; their limits are the worst case, so they never bind."""
    low, high = (sign * int(np.abs(layer.bias).max()) for sign in (-1, 1))
    for part in _connect(source.name, layer):
        least, greatest = bound_current(part, *source.payload_range)
        low, high = low + int(least.min()), high + int(greatest.max())
    most = min(max(-low, high, 1), STATE_MAX)
    one = np.ones(layer.shape[0], np.int64)
    counts = (-most, most) if mode == "exact" else (None, None)
    return MultiThreshold(one, 0 * one, -most, most, *counts)


def _unit(entries: Entries, channels: int, default: float) -> Float64:
    """Values (C,) of one count, which a file of ours notes."""
    noted = np.asarray(entries.values.get("unit", default), np.float64).reshape(-1)
    return np.broadcast_to(noted, (channels,))


def _map_shape(entries: Entries) -> Shape:
    """(C, H, W) of an input: one number counts neurons, two are the pixels of one channel."""
    numbers = [int(number) for number in entries.integers("shape").reshape(-1)]
    if len(numbers) == 1:
        return numbers[0], 1, 1
    if len(numbers) == 2:
        return 1, numbers[0], numbers[1]
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    raise NetworkError(f"{entries.where}: shape holds {len(numbers)} numbers; a map has at most three, (C, H, W)")
