"""BatchNormalization at inference."""

from __future__ import annotations

import numpy as np

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.ops import Affine


@operator("BatchNormalization", 9, 14, 15)
def batch_normalization(call: Call) -> Outcome:
    """At inference, constant statistics; after any operator, also before zero padding."""
    if call.integer("training_mode", 0):
        raise RefusedError("is in training mode; export the model in evaluation mode")
    wire = call.wire(0)
    scale, shift, mean, variance = (call.real_constant(index).ravel() for index in range(1, 5))
    epsilon = call.real("epsilon", 1e-5)
    if np.any(variance + epsilon <= 0):
        raise RefusedError("has a negative variance")
    factor = scale / np.sqrt(variance + epsilon)
    return call.folded(call.add(Affine(factor, shift - mean * factor), wire), "weights and biases")
