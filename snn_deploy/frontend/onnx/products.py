"""What a product of two maps is part of: SiLU, Mish, an attention gate, squeeze-and-excitation, attention; and what to do."""

from __future__ import annotations

from snn_deploy.frontend.onnx.call import Wire

INSTEAD_OF_ACTIVATION = "train with Relu, LeakyRelu, PRelu or Relu6 in its place, or convert --approximate"


def name_product(one: Wire, two: Wire) -> tuple[str, str] | None:
    """The construct and the advice, where one factor is a function of the host; ``None`` for any other product."""
    for gate, other in ((one, two), (two, one)):
        if gate.hosted == "sigmoid" and gate.reads == other.value:
            return "SiLU (Swish), a map times its own sigmoid", INSTEAD_OF_ACTIVATION
        if gate.hosted == "tanh":
            return "Mish, or a gated activation", INSTEAD_OF_ACTIVATION
        if gate.hosted in ("softmax", "log_softmax"):
            return "attention, shares that weigh a map", "train the model without attention"
        if gate.hosted != "sigmoid":
            continue
        if gate.shape[1:] == (1, 1) and other.shape[1:] != (1, 1):
            return (
                "squeeze-and-excitation, a factor from 0 to 1 for every channel",
                "train the model without it; a 1x1 convolution may take its place",
            )
        if gate.shape[0] == 1 and other.shape[0] > 1:
            return (
                "an attention gate, a factor from 0 to 1 for every pixel",
                "train the model without attention gates, as a plain U-Net that joins its skips as they are",
            )
        return "a gate, a map times the sigmoid of another", "train the model without gates"
    return None
