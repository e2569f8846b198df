"""Max-pooling as a tournament of rectified relays: ``max(a, b) = a + relu(b - a)``.

The n taps of a window are compared pairwise until one is left. The maximum of a pair is a tap plus relays, so every map is
linear in the source and in earlier relays, with weights -1, 0 and 1: thresholds are 1 and sums of counts stay exact.
For a 2x2 window ``r1 = relu(b - a)``, ``r2 = relu(d - c)``, ``r3 = relu(c + r2 - a - r1)``, ``max = a + r1 + r3``.

ONNX pads with minus infinity. A source that is never negative may be padded with zeros instead; any other is first
padded with its own edge pixels, which every window that reaches the padding contains anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.limits import MAX_RELAYS, MAX_TAPS, Budget
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import Add, Conv, MaxPool, Relay, Relu, Resample
from snn_deploy.passes.compose import identity
from snn_deploy.passes.rewrite import rewrite
from snn_deploy.shapes import Pads

Winner = tuple[tuple[int, int], tuple[str, ...]]
"""A tap of the window and the relays that add to it."""


def expand_max_pool(graph: Graph) -> Graph:
    """Replace every ``MaxPool``, which must read an activation, by relays; the last keeps its name."""
    return rewrite(graph, _Expansion(graph))


def find_nonnegative(graph: Graph) -> frozenset[str]:
    """Values that are known never to be negative: rectified ones, and maxima and relays of such."""
    known: set[str] = set()
    for node in graph.nodes:
        if isinstance(node.op, Relu) or (isinstance(node.op, Relay) and node.op.rectify):
            known.add(node.name)
        elif isinstance(node.op, MaxPool | Relay):
            linear = graph.node_of.get(node.source) if isinstance(node.op, Relay) else None
            if known.issuperset(node.inputs if linear is None else linear.inputs):
                known.add(node.name)
    return frozenset(known)


class _Expansion:
    """The rule of this pass, with what it may make in all."""

    def __init__(self, graph: Graph) -> None:
        self.nonnegative = find_nonnegative(graph)
        self.relays = Budget(MAX_RELAYS, "populations for maxima", GraphError)
        self.taps = Budget(MAX_TAPS, "weights for maxima", GraphError)

    def __call__(self, graph: Graph, node: Node, names: Names) -> Iterator[Node]:
        if not isinstance(node.op, MaxPool):
            yield node
            return
        pool, source = node.op, node.source
        channels, height, width = graph.shapes[source]
        window = pool.kernel[0] * pool.kernel[1]
        self.relays.spend(window, node.name)
        self.taps.spend(window * window * channels, node.name)
        if any(pool.pads) and source not in self.nonnegative:
            top, left, bottom, right = pool.pads
            self.taps.spend((height + top + bottom) * height + (width + left + right) * width, node.name)
            edged = names.fresh(f"{node.name}.edge")
            copied = names.fresh(f"{edged}<-{source}")
            yield Node(copied, pad_edges((height, width), pool.pads), (source,), node.origin)
            yield Node(edged, Relay(), (copied,), node.origin)
            pool, source = replace(pool, pads=(0, 0, 0, 0)), edged
        yield from _Tournament(node, pool, source, channels, names).nodes()


def pad_edges(size: tuple[int, int], pads: Pads) -> Resample:
    """Copies of the border pixels around a map of ``size``."""
    height, width = size
    top, left, bottom, right = pads
    return Resample(_nearest_pixels(height, top, bottom), _nearest_pixels(width, left, right))


def _nearest_pixels(extent: int, before: int, after: int) -> Float64:
    matrix: Float64 = np.zeros((before + extent + after, extent))
    matrix[np.arange(len(matrix)), np.clip(np.arange(-before, extent + after), 0, extent - 1)] = 1
    return matrix


class _Tournament:
    def __init__(self, node: Node, pool: MaxPool, source: str, channels: int, names: Names) -> None:
        self.names = names
        self.node, self.pool, self.source, self.channels = node, pool, source, channels
        self.made: list[Node] = []
        self.round = 0

    def nodes(self) -> list[Node]:
        """All nodes of the tournament; the last one is the maximum."""
        rows, columns = self.pool.kernel
        players: list[Winner] = [((row, column), ()) for row in range(rows) for column in range(columns)]
        while len(players) > 1:
            pairs = [players[i : i + 2] for i in range(0, len(players), 2)]
            players = [self._winner(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        ((tap, relays),) = players
        self._relay(self.node.name, self._taps({tap: 1.0}), dict.fromkeys(relays, 1.0), rectify=False)
        return self.made

    def _winner(self, left: Winner, right: Winner) -> Winner:
        self.round += 1
        name = self.names.fresh(f"{self.node.name}.max{self.round}")
        signs = dict.fromkeys(right[1], 1.0) | dict.fromkeys(left[1], -1.0)
        self._relay(name, self._taps({right[0]: 1.0, left[0]: -1.0}), signs, rectify=True)
        return left[0], (*left[1], name)

    def _taps(self, values: dict[tuple[int, int], float]) -> Conv:
        """A depthwise convolution that reads single pixels of the window."""
        weight: Float64 = np.zeros((self.channels, 1, *self.pool.kernel))
        for (row, column), value in values.items():
            weight[:, :, row, column] = value
        return Conv(weight, np.zeros(self.channels), self.pool.strides, self.pool.pads, groups=self.channels)

    def _relay(self, name: str, taps: Conv, relays: dict[str, float], *, rectify: bool) -> None:
        terms = [(self.source, taps)] + [
            (relay, identity(np.full(self.channels, sign))) for relay, sign in relays.items()
        ]
        parts = []
        for source, op in terms:
            parts.append(self.names.fresh(f"{name}<-{source}"))
            self.made.append(Node(parts[-1], op, (source,), self.node.origin))
        if len(parts) > 1:
            total = self.names.fresh(f"{name}.sum")
            self.made.append(Node(total, Add(), tuple(parts), self.node.origin))
            parts = [total]
        self.made.append(Node(name, Relay(rectify=rectify), (parts[0],), self.node.origin))
