"""One node as its rule sees it, without a file around it: what becomes of it, and the nodes of the float graph that it makes."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto

from snn_deploy.arrays import Array
from snn_deploy.frontend.onnx import registry
from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.graph.graph import Node
from snn_deploy.graph.limits import Budget
from snn_deploy.graph.ops import Host, Op

X = Wire("x", (4, 6, 8), maker="x")
"""Four channels of six rows and eight columns."""


def apply(
    given: NodeProto, *inputs: Wire | Array | None, since: int, batch: int = 1, weights: int = 2**20
) -> tuple[Outcome, list[Node]]:
    """The outcome of the rule for ``given`` as changed in operator set ``since``, and the nodes that it emits."""
    made: list[Node] = []

    def emit(op: Op, wires: tuple[Wire, ...], part: str) -> Wire:
        name = f"y.{part}" if part else "y"
        made.append(Node(name, op, tuple(wire.value for wire in wires)))
        shape = op.infer(tuple(wire.shape for wire in wires))
        return Wire(name, shape, wires[0].axes, "y", op.function if isinstance(op, Host) else "")

    budgets = Budget(weights, "weights", RefusedError), Budget(2**20, "multiplications", RefusedError)
    call = Call(given, "y", since, since, batch, inputs, emit, *budgets)
    return registry.find(given.op_type, since)(call), made


def wire(outcome: Outcome) -> Wire:
    """The only wire that a node became."""
    (value,) = outcome.values
    assert isinstance(value, Wire)
    return value


def fields(op: Op) -> dict[str, Any]:
    """The fields of ``op``, arrays as lists."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(op).items()}
