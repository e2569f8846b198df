"""Passes from the imported graph to the normal form that conversion quantizes. One module per pass.

In normal form every node is one of

* an activation: ``Relu`` (with limits or without), ``LeakyRelu`` (no slope below 0), ``Linear`` (signed) or ``Relay``
  (integer sums, threshold 1; with ``rectify`` at least 0);
* an ``Add`` of linear nodes;
* a linear node: ``Conv``, ``ConvTranspose``, ``Resample``, ``AveragePool`` or ``Nearest`` that reads the graph's input
  or an activation directly;
* ``Host``, after an output.

Every activation reads one linear node or one ``Add``. An output value is an activation, a linear node or an ``Add``.
Identities (skips, residuals, the input into the read-out) are ``Conv`` 1x1 with ``groups = C``. A ``Relay`` reads one
``AveragePool``, one ``Nearest`` (nothing else reads these two), or operators with weights -1, 0 and 1 (``Conv``,
``Resample``) whose sources have the same unit.

Constants: ``Conv.bias`` and ``ConvTranspose.bias`` are (O,) or, where a constant was zero-padded, a map (O, H_out,
W_out). The bias of an activation is the sum of the biases of its linear nodes; at most one of these is not zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snn_deploy.graph.graph import Graph
from snn_deploy.passes.check import check_normal_form
from snn_deploy.passes.expand_clip import expand_clip
from snn_deploy.passes.expand_leaky_relu import expand_leaky_relu
from snn_deploy.passes.expand_max_pool import expand_max_pool
from snn_deploy.passes.gather_sums import gather_sums
from snn_deploy.passes.relu_before_max_pool import relu_before_max_pool

PASSES: tuple[Callable[..., Graph], ...] = (
    Graph.without_dead_nodes,  # first, so that no pass creates a population for an unused value
    relu_before_max_pool,  # before activations are expanded: it looks for Relu directly after MaxPool
    expand_leaky_relu,  # produces Relu, Affine and Add, which gather_sums folds, or leaves it as an activation
    expand_clip,  # produces one Relu with a limit, and Affine
    gather_sums,  # folds Affine, Concat, Add and padding; inserts populations where linear operators do not compose
    expand_max_pool,  # last: after gather_sums every MaxPool reads one activation, whose unit its relays share
)


@dataclass(frozen=True)
class Form:
    """What conversion wants of the normal form.

    ``fused``: transposed convolutions become one with the convolutions that read them (:func:`gather_sums`). ``limited``:
    neurons have a largest count, by which one population clips (:func:`expand_clip`). ``two_sided``: they have a threshold
    of their own below zero (:func:`expand_leaky_relu`).
    """

    fused: bool = False
    limited: bool = True
    two_sided: bool = False


USUAL = Form()
"""Of neurons that have a largest count."""


def normal_form(graph: Graph, form: Form = USUAL) -> Graph:
    """``graph`` after all :data:`PASSES`: the same function, in the vocabulary described above."""
    keywords: dict[Callable[..., Graph], dict[str, bool]] = {
        expand_leaky_relu: {"two_sided": form.two_sided},
        expand_clip: {"limited": form.limited},
        gather_sums: {"fused": form.fused},
    }
    with np.errstate(over="ignore", invalid="ignore"):  # check_normal_form refuses values that are not finite
        for apply in PASSES:
            graph = apply(graph, **keywords.get(apply, {}))
    return check_normal_form(graph)
