"""Functions that the host applies to a read-out: the classifier's last step, never spikes; and the classes it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from snn_deploy.arrays import Array, Float32, Float64, Int64
from snn_deploy.graph.host import COMPARISONS, HostFunction, is_probability


def apply_host(functions: Sequence[str], values: Float64) -> Float64:
    """``functions`` (:mod:`snn_deploy.graph.host`) applied in order to values (B, C, H, W)."""
    for text in functions:
        values = _apply(HostFunction.of(text), values)
    return values


def _apply(function: HostFunction, values: Float64) -> Float64:
    name, arguments = function.name, function.arguments
    if name in _OF_VALUES:
        return np.asarray(_OF_VALUES[name](values), np.float64)
    if name in COMPARISONS:
        return np.asarray(_COMPARE[name](values, arguments[0]), np.float64)
    if name == "argmax":
        return np.asarray(values.argmax(axis=1)[:, None], np.float64)
    if name == "to_channels_last":
        return np.moveaxis(values, 1, -1)
    if name == "take":
        return values[:, [int(channel) for channel in arguments]]
    if name == "clip":
        return np.clip(values, arguments[0], arguments[1])
    per_channel = np.array(arguments, np.float64)[:, None, None]
    return values * per_channel if name == "times" else values + per_channel


def _sigmoid(values: Float64) -> Float64:
    return np.where(values >= 0, 1 / (1 + np.exp(-np.abs(values))), 1 - 1 / (1 + np.exp(-np.abs(values))))


def _log_softmax(values: Float64) -> Float64:
    shifted = values - values.max(axis=1, keepdims=True)
    logarithms: Float64 = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logarithms


def _softmax(values: Float64) -> Float64:
    grown = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Float64 = grown / grown.sum(axis=1, keepdims=True)
    return shares


_OF_VALUES: dict[str, Callable[[Float64], Any]] = {
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "exp": np.exp,
    "softplus": lambda values: np.logaddexp(0.0, values),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "round": np.rint,
    "truncate": np.trunc,
}

_COMPARE: dict[str, Callable[[Float64, float], Any]] = {
    "greater": np.greater,
    "less": np.less,
    "at_least": np.greater_equal,
    "at_most": np.less_equal,
}


def put_channels_first(functions: Sequence[str], values: Array) -> tuple[tuple[str, ...], Array]:
    """An output after ``functions`` as (B, C, H, W), and the functions without the transposition."""
    if "to_channels_last" not in functions:
        return tuple(functions), values
    return tuple(name for name in functions if name != "to_channels_last"), np.moveaxis(values, -1, 1)


def choose_classes(functions: Sequence[str], values: Float64 | Float32) -> Int64:
    """The class (B, H, W) of every pixel of an output, values (B, C, H, W) after ``functions``.

    After argmax the value is the class. Otherwise it is the channel with the largest value, the first of equals; one
    channel is class 1 above 1/2 where it is a probability (:func:`snn_deploy.graph.host.is_probability`), else above 0.
    """
    functions, planes = put_channels_first(functions, values)
    if "argmax" in functions:
        classes = planes[:, 0]
    elif planes.shape[1] == 1:
        classes = planes[:, 0] > (0.5 if is_probability(functions) else 0.0)
    else:
        classes = planes.argmax(axis=1)
    return np.asarray(classes, np.int64)


def count_channels(channels: int, functions: Sequence[str]) -> int:
    """Channels of an output after ``functions`` of a read-out of ``channels``."""
    shape = (channels, 1, 1)
    for function in put_channels_first(functions, np.zeros((1, 1, 1, 1)))[0]:
        shape = HostFunction.of(function).infer(shape)
    return shape[0]


def count_classes(channels: int, functions: Sequence[str] = ()) -> int:
    """How many classes an output after ``functions`` of a read-out of ``channels`` tells apart; one channel tells two."""
    before = functions[: functions.index("argmax")] if "argmax" in functions else functions
    return max(count_channels(channels, before), 2)
