"""Functions that the host applies to a read-out: the classifier's last step, never spikes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_deploy.arrays import Float64
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
