"""ONNX in: :func:`read` a model whole or say why not, :func:`inspect` it node by node. ONNX out: :func:`to_onnx`."""

from __future__ import annotations

from snn_deploy.frontend.onnx import (  # noqa: F401 - importing a family registers its rules
    activation,
    arithmetic,
    convolution,
    dense,
    head,
    layout,
    normalization,
    pooling,
    rearrange,
    refused,
    repeat,
    resize,
)
from snn_deploy.frontend.onnx.approximation import Approximated, approximate_activations
from snn_deploy.frontend.onnx.constant_inputs import describe_constants, fix_inputs
from snn_deploy.frontend.onnx.export import to_onnx
from snn_deploy.frontend.onnx.file import portable
from snn_deploy.frontend.onnx.freeze import Frozen, freeze_norm
from snn_deploy.frontend.onnx.importer import Imported, inspect, own_channels, own_sides, own_size, read
from snn_deploy.frontend.onnx.input_range import own_range
from snn_deploy.frontend.onnx.model_runs import describe_change
from snn_deploy.frontend.onnx.runtime import session

__all__ = [
    "Approximated",
    "Frozen",
    "Imported",
    "approximate_activations",
    "describe_change",
    "describe_constants",
    "fix_inputs",
    "freeze_norm",
    "inspect",
    "own_channels",
    "own_range",
    "own_sides",
    "own_size",
    "portable",
    "read",
    "session",
    "to_onnx",
]
