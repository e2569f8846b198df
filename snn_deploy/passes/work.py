"""How much work and memory the sums of a graph would take, counted before each node is composed.

Sums of sums double with every node, and a concatenation read by a grouped convolution makes zeros for all its channels:
a few hundred bytes of model can ask for gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph
from snn_deploy.graph.limits import (
    MAX_BIAS_WORK,
    MAX_BIASES,
    MAX_FORM_GROWTH,
    MAX_NAMES,
    MAX_TERMS,
    MIN_FORM_WEIGHTS,
    Budget,
)
from snn_deploy.graph.ops import Affine, Conv, ConvTranspose, Op
from snn_deploy.passes.segment import Form, Segment, Term


class Work:
    """Budgets of one walk over ``graph``; its methods raise :class:`GraphError` that names the node."""

    def __init__(self, graph: Graph) -> None:
        own = sum(
            value.size for node in graph.nodes for value in vars(node.op).values() if isinstance(value, np.ndarray)
        )
        self._terms = Budget(MAX_TERMS, "summands between two layers", GraphError)
        self._names = Budget(MAX_NAMES, "names of linear operators in a row", GraphError)
        self._weights = Budget(max(MIN_FORM_WEIGHTS, MAX_FORM_GROWTH * own), "combined weights", GraphError)
        self._biases = Budget(MAX_BIASES, "biases that differ from pixel to pixel", GraphError)
        self._bias_work = Budget(
            MAX_BIAS_WORK, "multiplications for biases that differ from pixel to pixel", GraphError
        )

    def compose(self, where: str, op: Op, forms: Sequence[Form]) -> None:
        """Count what ``op`` of ``forms`` makes."""
        segments = [segment for form in forms for segment in form]
        self._terms.spend(sum(max(len(segment.terms), 1) for segment in segments), where)
        self._names.spend(sum(len(term.origin) for segment in segments for term in segment.terms), where)
        if isinstance(op, Affine):
            self._weights.spend(sum(_weights(term) for segment in segments for term in segment.terms), where)
        elif isinstance(op, Conv | ConvTranspose):
            self._weights.spend(_convolved(op, segments), where)

    def join(self, where: str, form: Form) -> None:
        """Count what one segment for all of ``form`` makes: weights of every term, padded to all channels."""
        if len(form) > 1:
            channels = sum(segment.shape[0] for segment in form)
            made = (
                _weights(term) * getattr(term.op, "groups", 1) * channels // segment.shape[0]
                + 2 * channels  # bias, scale
                for segment in form
                for term in segment.terms
            )
            self._weights.spend(sum(made), where)

    def propagate_bias(self, where: str, op: Op, bias: Float64, output: tuple[int, ...]) -> None:
        """Count the bias map (C, H, W) of ``output`` that a constant before ``op`` becomes."""
        if bias.any():
            window = op.weight[0, 0].size if isinstance(op, Conv | ConvTranspose) else 1
            self._biases.check(math.prod(output), where)
            self._bias_work.spend(math.prod(output) * window, where)

    def hold_bias(self, where: str, segment: Segment) -> None:
        """Count the bias of ``segment`` where it is a map."""
        if segment.bias.shape[1:] != (1, 1):
            self._biases.spend(segment.bias.size, where)


def _weights(term: Term) -> int:
    return int(term.op.weight.size) if isinstance(term.op, Conv | ConvTranspose) else int(term.scale.size)


def _convolved(op: Conv | ConvTranspose, segments: Sequence[Segment]) -> int:
    """Weights of a convolution of ``segments``, for every term that reads their part of its channels."""
    channels = sum(segment.shape[0] for segment in segments)
    whole = all(segment.shape[0] % (channels // op.groups) == 0 for segment in segments)
    size = int(op.weight.size) * (1 if whole else op.groups)
    return size + sum(len(segment.terms) * size * segment.shape[0] // channels for segment in segments)
