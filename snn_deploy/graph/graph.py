"""The float graph: named values, each the output of one node, in topological order. Frozen and checked when built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from snn_deploy.errors import GraphError
from snn_deploy.graph.ops import Host, Op
from snn_deploy.shapes import Shape


@dataclass(frozen=True, eq=False)
class Node:
    """``name`` is the value computed from the values ``inputs``; ``origin`` names the ONNX nodes behind it."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    origin: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The value that a node of one input reads."""
        (source,) = self.inputs
        return source


@dataclass(frozen=True, eq=False)
class Graph:
    """A network of floats: one input value of ``input_shape`` (C, H, W), nodes in topological order, output values.

    ``outputs`` pairs the name the user knows with a value's name.
    """

    name: str
    input: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        known = {self.input}
        for node in self.nodes:
            if node.name in known:
                raise GraphError(f"two values are called {node.name!r}")
            missing = [name for name in node.inputs if name not in known]
            if missing:
                raise GraphError(f"{node.name}: input {missing[0]!r} is not computed before it")
            if not node.inputs or (node.op.inputs is not None and len(node.inputs) != node.op.inputs):
                raise GraphError(f"{node.name}: {type(node.op).__name__} does not take {len(node.inputs)} inputs")
            known.add(node.name)
        if not self.outputs:
            raise GraphError("no output")
        for name, value in self.outputs:
            if value not in known:
                raise GraphError(f"output {name}: value {value!r} is not computed")
        if self.shapes is None:
            raise GraphError("no shapes")

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shape (C, H, W) of every value; :class:`GraphError` names the node whose inputs do not fit."""
        shapes = {self.input: self.input_shape}
        for node in self.nodes:
            try:
                shapes[node.name] = node.op.infer(tuple(shapes[name] for name in node.inputs))
            except GraphError as error:
                raise GraphError(f"{node.name}: {error}") from error
        return shapes

    @cached_property
    def node_of(self) -> dict[str, Node]:
        """The node that computes each value; the input has none."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def users(self) -> dict[str, tuple[Node, ...]]:
        """Nodes that read each value."""
        users: dict[str, list[Node]] = {name: [] for name in (self.input, *(node.name for node in self.nodes))}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users[name].append(node)
        return {name: tuple(nodes) for name, nodes in users.items()}

    def split_host(self, value: str) -> tuple[str, tuple[str, ...]]:
        """The value before the functions of the host that give ``value``, and these functions in order."""
        functions: list[str] = []
        node = self.node_of.get(value)
        while node is not None and isinstance(node.op, Host):
            functions.insert(0, node.op.function)
            value = node.inputs[0]
            node = self.node_of.get(value)
        return value, tuple(functions)

    def without_dead_nodes(self) -> Graph:
        """The same graph without nodes that no output needs."""
        needed = {value for _, value in self.outputs}
        alive: list[Node] = []
        for node in reversed(self.nodes):
            if node.name in needed:
                alive.append(node)
                needed.update(node.inputs)
        return replace(self, nodes=tuple(reversed(alive)))

    def dump(self) -> str:
        """The graph as text, one node a line, for golden files and eyes."""
        shapes = self.shapes
        lines = [f"{self.input}: {_size(shapes[self.input])} = input"]
        lines += [
            f"{node.name}: {_size(shapes[node.name])} = {type(node.op).__name__}({', '.join(node.inputs)})"
            for node in self.nodes
        ]
        lines += [f"output {name} = {value}" for name, value in self.outputs]
        return "\n".join(lines) + "\n"


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))
