"""BatchNormalization at inference; InstanceNormalization is refused, with the way out."""

from __future__ import annotations

import numpy as np

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.ops import Affine


@operator("BatchNormalization", 9, 14, 15)
def batch_normalization(call: Call) -> Outcome:
    """At inference, constant statistics; after any operator, also before zero padding."""
    if call.integer("training_mode", 0):
        raise RefusedError("is in training mode; export the model in evaluation mode")
    wire = call.wire(0)
    scale, shift, mean, variance = (call.real_constant(index).reshape(-1) for index in range(1, 5))
    epsilon = call.real("epsilon", 1e-5)
    if np.any(variance + epsilon <= 0):
        raise RefusedError("has a negative variance")
    factor = scale / np.sqrt(variance + epsilon)
    return call.folded(call.add(Affine(factor, shift - mean * factor), wire), "weights and biases")


@operator("InstanceNormalization", 6, 22)
def instance_normalization(call: Call) -> Outcome:
    """Refused: its statistics are taken from each image at run time; ``--freeze-norm`` fixes them from calibration images."""
    raise RefusedError(
        "takes its statistics from each image at run time, which synapses cannot;"
        " fix them from calibration images with --freeze-norm, or train with batch normalization"
    )
