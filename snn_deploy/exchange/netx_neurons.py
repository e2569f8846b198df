"""Neurons of one layer of a ``.net`` file, as lava-dl 0.6.0 makes them (``netx/hdf5.py``, ``get_neuron_params``)."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.netx_entries import Entries
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.neuron import StockNeuron
from snn_deploy.network.sigma_delta import SigmaDelta

SPIKE_SHIFT = 6
"""Bits by which netx scales payloads of sigma-delta neurons over mantissas, and their states over payloads."""

THRESHOLD_MAX = 2**17 - 1
"""Largest mantissa of a threshold."""

MESSAGE_BITS = 16
"""Bits of a graded spike where the file does not say."""

_TRAINING = {"theta", "tauRho", "scaleRho"}
"""What only training reads; ``theta`` is the threshold once more, times 64."""

_KNOWN = {
    "CUBA": {
        "iDecay",
        "vDecay",
        "vThMant",
        "refDelay",
        "wgtExp",
        "weight_exp",
        "gradedSpike",
        "messageBits",
        *_TRAINING,
    },
    "SDNN": {"vThMant", "activation", "sigma_output", "messageBits"},
}


def read_kind(layer: Entries) -> str | None:
    """``CUBA`` or ``SDNN``; ``None`` where the layer has no neurons."""
    if "neuron" not in layer:
        return None
    named = layer.group("neuron").text("type")
    kind = {"LOIHI": "CUBA"}.get(named, named)
    if kind not in _KNOWN:
        raise NetworkError(f"{layer.where}: neurons of type {named!r} are not supported; LOIHI, CUBA and SDNN are")
    layer.group("neuron").refuse_unknown(f"a {named} neuron", {"type", *_KNOWN[kind]})
    return kind


def is_read_out(layer: Entries, *, last: bool) -> bool:
    """Whether the layer's sums are the result: it has no neurons, adds up changes, or is the last and never fires.

    A neuron without decays below the largest threshold keeps the sum of all its inputs in its membrane.
    """
    if "neuron" not in layer or layer.group("neuron").flag("sigma_output"):
        return True
    if not last or read_kind(layer) != "CUBA":
        return False
    neuron = layer.group("neuron")
    decays = neuron.whole("iDecay"), neuron.whole("vDecay")
    return decays == (DECAY_ONE, 0) and neuron.whole("vThMant") >= THRESHOLD_MAX


def make_neuron(layer: Entries, channels: int, *, image: bool = False) -> StockNeuron:
    """The neurons of a layer of ``channels``; those of the ``image`` get its transform's bias, and no synapses."""
    neuron = layer.group("neuron")
    if read_kind(layer) == "SDNN":
        return _sigma_delta(layer, neuron, channels, image=image)
    for entry, allowed in (("refDelay", 1), ("wgtExp", 0), ("weight_exp", 0), ("messageBits", 0)):
        if entry in neuron and neuron.whole(entry) != allowed:
            raise NetworkError(
                f"{layer.where}: {entry} is {neuron.whole(entry)}, which lava-dl ignores; only {allowed} is read"
            )
    if neuron.flag("gradedSpike"):
        raise NetworkError(
            f"{layer.where}: gradedSpike is set: CUBA neurons would send membranes, lava-dl's sends single spikes; train with "
            "graded_spike=False"
        )
    current_decay, voltage_decay = neuron.whole("iDecay"), neuron.whole("vDecay")
    if current_decay == 0 and not image:
        raise NetworkError(
            f"{layer.where}: iDecay is 0: the current never decays and leaves 24 bits; use 1..{DECAY_ONE}"
        )
    # beyond what a membrane reaches it never fires, whatever the number
    theta = min(neuron.whole("vThMant") << CURRENT_SHIFT, STATE_MAX)
    return CubaLif.of(
        np.full(channels, theta),
        read_bias(layer, channels, cut=image) << CURRENT_SHIFT,
        # an image is a bias, which bypasses the current
        current_decay=DECAY_ONE if image else current_decay,
        voltage_decay=voltage_decay,
    )


def read_bias(layer: Entries, channels: int, *, cut: bool = False) -> Int64:
    """Mantissas (C,) of the biases; 0 where there are none."""
    if "bias" not in layer:
        return np.zeros(channels, np.int64)
    if cut:
        return np.full(channels, layer.cut("bias"))
    bias = layer.integers("bias").reshape(-1)
    if bias.size not in (1, channels):
        raise NetworkError(f"{layer.where}: {bias.size} biases for {channels} channels; one for each, or one, is read")
    return np.broadcast_to(bias, (channels,))


def _sigma_delta(layer: Entries, neuron: Entries, channels: int, *, image: bool) -> SigmaDelta:
    bits = neuron.whole("messageBits") if "messageBits" in neuron else MESSAGE_BITS
    if not 2 <= bits <= 24:
        raise NetworkError(f"{layer.where}: messageBits is {bits}; graded spikes have 2 to 24, with sign")
    activation = neuron.text("activation") if "activation" in neuron else "relu"
    if activation != "relu" and not image:
        raise NetworkError(
            f"{layer.where}: trained with the activation {activation!r}, of which lava-dl makes a ReLU; use relu"
        )
    most = 2 ** (bits - 1) - 1
    return SigmaDelta.of(
        read_bias(layer, channels, cut=image) << 2 * SPIKE_SHIFT,
        shift=SPIKE_SHIFT,
        payloads=(-most, most),
        counts=(-most if image else 0, most),
        threshold=neuron.whole("vThMant") << SPIKE_SHIFT,
        rectify=not image,
    )
