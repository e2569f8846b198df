"""What training minimizes: the distance to the float network's outputs, or to what the user's data say.

Of restorations it is the mean square error, which PSNR measures (the published code takes the mean absolute error, which lowers
the PSNR of networks trained for square errors). Of segmentations it is the cross-entropy of the classes, or of the two where one
channel is their log-odds, with the float network's probabilities (distillation, arXiv 1503.02531, temperature 1) or the labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from snn_deploy.arrays import Float32
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.evaluation.evaluate import Task
from snn_deploy.graph.graph import Graph

Loss = Literal["float", "data"]
"""``float``: distance to the float network; ``data``: distance to labels or clean images."""


class Teacher:
    """The float ``graph``, computed by onnxruntime."""

    def __init__(self, graph: Graph) -> None:
        self._readouts = {name: graph.split_host(value)[0] for name, value in graph.outputs}
        self._probe = ActivationProbe(graph, tuple(dict.fromkeys(self._readouts.values())))

    def __call__(self, image: Float32) -> dict[str, Tensor]:
        """Values (B, C, H, W) of every output by name, before the host's functions."""
        values = self._probe(image)
        return {name: torch.from_numpy(values[readout]) for name, readout in self._readouts.items()}


def imitation_loss(task: Task, outputs: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Tensor:
    """The mean distance (1,) of all ``outputs`` (B, C, H, W) from those of the float network."""
    terms = []
    for name, output in outputs.items():
        target = expected[name].to(output.device)
        if task == "denoise":
            terms.append(functional.mse_loss(output, target))
        elif output.shape[1] == 1:
            terms.append(functional.binary_cross_entropy_with_logits(output, target.sigmoid()))
        else:
            terms.append(functional.cross_entropy(output, target.softmax(1)))
    return torch.stack(terms).mean()


def data_loss(task: Task, output: Tensor, target: Tensor) -> Tensor:
    """The distance (1,) of an ``output`` from a clean image (B, C, H, W), or labels (B, H, W); those below 0 are ignored."""
    if task == "denoise":
        return functional.mse_loss(output, target)
    if output.shape[1] == 1:
        counted = target >= 0
        return functional.binary_cross_entropy_with_logits(output[:, 0][counted], target[counted].float())
    return functional.cross_entropy(output, target, ignore_index=-1)
