"""``relu(max(x)) = max(relu(x))``: a maximum of counts that are never negative does not need a signed population before it."""

from __future__ import annotations

from dataclasses import replace

from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import MaxPool, Relu


def relu_before_max_pool(graph: Graph) -> Graph:
    """Swap every ``Relu`` with the ``MaxPool`` it reads, where no other node reads that pool."""
    outputs = {value for _, value in graph.outputs}
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        pool = graph.node_of.get(node.source) if isinstance(node.op, Relu) else None
        if pool is None or not isinstance(pool.op, MaxPool) or pool.name in outputs or len(graph.users[pool.name]) > 1:
            nodes[node.name] = node
            continue
        del nodes[pool.name]  # its place is the end now, behind whatever it reads
        nodes[pool.name] = Node(pool.name, node.op, pool.inputs, node.origin)
        nodes[node.name] = Node(node.name, pool.op, (pool.name,), pool.origin)
    return replace(graph, nodes=tuple(nodes.values()))
