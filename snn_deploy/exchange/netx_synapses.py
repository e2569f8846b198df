"""Synapses of one layer of a ``.net`` file: kernels of 8 bits, and what lava-dl's weights and delays mean."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from snn_deploy.arrays import Int8, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.netx_entries import Entries
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.shapes import Shape

MAX_DELAY = 62
"""Longest delay of a synapse on Loihi; lava-dl clips longer ones (``netx/hdf5.py``)."""


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses that share a delay of ``delay`` steps beyond the one that every spike takes."""

    kernel: ConvKernel
    exponent: int = 0
    delay: int = 0


def read_convolution(layer: Entries, source: Shape) -> tuple[Synapses, ...]:
    """A convolution over maps (C, H, W) ``source``; kernels may have a fifth axis of length 1, SLAYER's time."""
    _refuse_delay(layer)
    weight, exponent = _fit(layer, _window(layer))
    groups = layer.whole("groups") if "groups" in layer else 1
    kernel = _slide(layer, weight, groups)
    _check_shape(layer, kernel.output_shape(source))
    return (Synapses(kernel, exponent),)


def read_pool(layer: Entries, source: Shape) -> tuple[Synapses, ...]:
    """A pool: one window (1, 1, K_h, K_w) for all channels; SLAYER's pools add up, their weights say with which factor."""
    _refuse_delay(layer)
    window, exponent = _fit(layer, _window(layer))
    if window.shape[:2] != (1, 1):
        raise NetworkError(f"{layer.where}: a pool with weights {window.shape}; it has one window for all channels")
    kernel = _slide(layer, np.repeat(window, source[0], axis=0), source[0])
    _check_shape(layer, kernel.output_shape(source))
    return (Synapses(kernel, exponent),)


def read_dense(layer: Entries, source: Shape) -> tuple[Synapses, ...]:
    """A dense layer as convolutions whose kernels cover the whole map, one for every delay."""
    values = layer.integers("weight")
    outputs = int(prod(layer.integers("shape").reshape(-1).tolist()))
    if outputs < 1 or values.size != outputs * prod(source):
        raise NetworkError(f"{layer.where}: {values.size} weights do not join {outputs} neurons to a map {source}")
    weight, exponent = _fit(layer, values.reshape(outputs, -1))
    delay = _delays(layer, weight.shape)
    return tuple(
        Synapses(ConvKernel(np.where(delay == steps, weight, 0).reshape(-1, *source)), exponent, int(steps))
        for steps in np.unique(delay)
    )


def read_average(layer: Entries, source: Shape) -> tuple[Synapses, ...]:
    """The sum over groups of neurons that follow each other; its unit makes the mean of it."""
    outputs = int(prod(layer.integers("shape").reshape(-1).tolist()))
    if source[1:] != (1, 1) or outputs < 1 or source[0] % outputs:
        raise NetworkError(
            f"{layer.where}: {outputs} averages of a map {source}; its neurons must split into such groups"
        )
    return (Synapses(ConvKernel(np.ones((outputs, source[0] // outputs, 1, 1), np.int8), groups=outputs)),)


def _window(layer: Entries) -> Int64:
    weight = layer.integers("weight")
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        raise NetworkError(
            f"{layer.where}: kernels {weight.shape}; (C_out, C_in, K_h, K_w) is read, also with a last axis of 1"
        )
    return weight


def _slide(layer: Entries, weight: Int8, groups: int) -> ConvKernel:
    stride, padding, dilation = (layer.pair(name) for name in ("stride", "padding", "dilation"))
    return ConvKernel(weight, stride, (*padding, *padding), dilation, groups)


def _fit(layer: Entries, weight: Int64) -> tuple[Int8, int]:
    """Weights as 8-bit numbers and the exponent, 1 where all are even and some need 9 bits, as Loihi's mixed signs do."""
    exponent = int(weight.size and not -128 <= weight.min() <= weight.max() <= 127)
    halved = weight >> exponent
    if np.any(halved << exponent != weight) or (weight.size and not -128 <= halved.min() <= halved.max() <= 127):
        raise NetworkError(
            f"{layer.where}: weights span {weight.min()}..{weight.max()}; a synapse holds -128..127, or even numbers in "
            "-256..254: quantize them so"
        )
    return halved.astype(np.int8), exponent


def _delays(layer: Entries, shape: tuple[int, ...]) -> Int64:
    """Delays (C_out, n); those of one axis belong to the outputs if there are as many, else to the inputs, as in netx."""
    delay = layer.integers("delay") if "delay" in layer else np.zeros((), np.int64)
    if delay.size == 1:
        delay = delay.reshape(())
    elif delay.shape == shape[:1]:
        delay = delay[:, None]
    elif delay.shape not in (shape, shape[1:]):
        raise NetworkError(
            f"{layer.where}: delays {delay.shape} fit neither the outputs nor the inputs of weights {shape}"
        )
    if delay.min() < 0 or delay.max() > MAX_DELAY:
        raise NetworkError(
            f"{layer.where}: delays span {delay.min()}..{delay.max()}; a synapse holds 0..{MAX_DELAY}, train with such"
        )
    return np.broadcast_to(delay, shape)


def _refuse_delay(layer: Entries) -> None:
    if layer.flag("delay"):
        raise NetworkError(
            f"{layer.where}: delays of a convolution, which lava-dl ignores; train without them, or with dense layers"
        )


def _check_shape(layer: Entries, shape: Shape) -> None:
    """The file's own shape must be the one that its geometry gives."""
    told = tuple(int(number) for number in layer.integers("shape").reshape(-1))
    if told != shape:
        raise NetworkError(f"{layer.where}: shape says {told}; kernels, strides and pads give {shape}")
