"""Operators that are known and cannot be mapped: why, and what to do instead."""

from __future__ import annotations

from snn_deploy.frontend.onnx.registry import refuse

refuse(
    "takes its statistics from each image at run time, which synapses cannot;"
    " fix them from calibration images with --freeze-norm, or train with batch normalization",
    "InstanceNormalization",
    elementwise=True,
)
refuse(
    "takes its statistics from each image at run time, which synapses cannot; train with batch normalization",
    "GroupNormalization",
    "LayerNormalization",
    "LpNormalization",
    "LRN",
    "MeanVarianceNormalization",
    "RMSNormalization",
    elementwise=True,
)
refuse(
    "bends its input in a way that no sum of thresholds follows exactly; train with Relu, LeakyRelu, PRelu or Relu6, or convert"
    " --approximate",
    "Celu",
    "Elu",
    "Selu",
    "Softsign",
    "ThresholdedRelu",
    elementwise=True,
)
for _name, _what in (
    ("Erf", "the error function, of which GELU is made, bends its input smoothly"),
    ("Gelu", "GELU bends its input smoothly"),
    ("HardSwish", "HardSwish multiplies a map by a function of itself"),
    ("Mish", "Mish multiplies a map by a function of itself"),
    ("Swish", "SiLU (Swish) multiplies a map by its own sigmoid"),
):
    refuse(
        f"{_what}, which no sum of thresholds follows exactly; train with Relu, LeakyRelu, PRelu or Relu6 in its place, or"
        " convert --approximate",
        _name,
        elementwise=True,
    )
refuse(
    "has no form as synapses between maps; convolutions, and MatMul and Gemm with a constant, have",
    "Attention",
    "Einsum",
)
refuse(
    "works on integers of another quantizer; export the float model, conversion quantizes it",
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QuantizeLinear",
)
refuse("is control flow; export with fixed sizes (and constant folding), so that it disappears", "If", "Loop", "Scan")
