"""Functions that the host applies to a read-out: the classifier's last step, never spikes; and the classes it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_deploy.arrays import Array, Float32, Float64, Int64
from snn_deploy.errors import NetworkError


def apply_host(functions: Sequence[str], values: Float64) -> Float64:
    """``functions`` applied in order to values (B, C, H, W); softmax and argmax run over channels."""
    for function in functions:
        if function == "sigmoid":
            values = np.where(values >= 0, 1 / (1 + np.exp(-np.abs(values))), 1 - 1 / (1 + np.exp(-np.abs(values))))
        elif function == "softmax":
            grown = np.exp(values - values.max(axis=1, keepdims=True))
            values = grown / grown.sum(axis=1, keepdims=True)
        elif function == "argmax":
            values = values.argmax(axis=1)[:, None].astype(np.float64)
        elif function == "to_channels_last":
            values = np.moveaxis(values, 1, -1)
        else:
            raise NetworkError(f"unknown host function {function!r}")
    return values


def put_channels_first(functions: Sequence[str], values: Array) -> tuple[tuple[str, ...], Array]:
    """An output after ``functions`` as (B, C, H, W), and the functions without the transposition."""
    if "to_channels_last" not in functions:
        return tuple(functions), values
    return tuple(name for name in functions if name != "to_channels_last"), np.moveaxis(values, -1, 1)


def choose_classes(functions: Sequence[str], values: Float64 | Float32) -> Int64:
    """The class (B, H, W) of every pixel of an output, values (B, C, H, W) after ``functions``.

    After argmax the value is the class. Otherwise it is the channel with the largest value, the first of equals; one
    channel is a probability after a sigmoid (class 1 above 1/2) and a logit without one (above 0).
    """
    functions, planes = put_channels_first(functions, values)
    if "argmax" in functions:
        classes = planes[:, 0]
    elif planes.shape[1] == 1:
        classes = planes[:, 0] > (0.5 if "sigmoid" in functions else 0.0)
    else:
        classes = planes.argmax(axis=1)
    return np.asarray(classes, np.int64)


def count_classes(channels: int) -> int:
    """How many classes a read-out of ``channels`` tells apart; one channel tells two."""
    return max(channels, 2)
