"""Nodes of a graph behind those that they read, as ONNX demands and not every exporter and graph editor leaves them."""

from __future__ import annotations

import heapq

from onnx import GraphProto, NodeProto


def sort_nodes(graph: GraphProto) -> bool:
    """Sort the nodes of ``graph``, those that may stay in the order of the file; whether any had to move.

    Nodes that read each other in a circle keep their order, which the checker of ONNX refuses.
    """
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needs = [{makers[name] for name in node.input if name in makers} for node in graph.node]
    if all(need < index for index, wanted in enumerate(needs) for need in wanted):
        return False
    users: list[list[int]] = [[] for _ in needs]
    for index, wanted in enumerate(needs):
        for need in wanted:
            users[need].append(index)
    missing = [len(wanted) for wanted in needs]
    ready = [index for index, count in enumerate(missing) if count == 0]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for user in users[order[-1]]:
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(needs):
        return False
    copies = [NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend(copies[index] for index in order)
    return True
