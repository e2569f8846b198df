"""What a file lists and calls is counted to the last entry; external data by offset and length."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx import file, read
from tests.frontend.oracle import build, node, numbers


def listed() -> ModelProto:
    """One operator set; two nodes, an input, an output, two values, three weights; 5 + 3 + 2 entries of nodes, 2 axes of one."""
    nodes = [node("Conv", "x w b", "c", pads=[1, 1, 1, 1]), node("Add", "c k", "y")]
    constants = {"w": numbers(3, 2, 3, 3), "b": numbers(3), "k": np.float32(2)}
    model = build(17, nodes, constants, (1, 2, 6, 6))
    for name in ("c", "d"):
        model.graph.value_info.append(helper.make_tensor_value_info(name, 1, [1, 3, 6, 6]))
    return model


ENTRIES = 1 + (2 + 1 + 1 + 2) + 3 + (3 + 1 + 1) + (2 + 1 + 0)
"""Operator sets, the graph's lists, its weights, and inputs, outputs and attributes of both nodes."""


def test_every_entry_of_a_file_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    content = listed().SerializeToString()
    monkeypatch.setattr(file, "MAX_ENTRIES", ENTRIES)
    read(content)
    monkeypatch.setattr(file, "MAX_ENTRIES", ENTRIES - 1)
    with pytest.raises(ModelError, match=rf"^model: more than {ENTRIES - 1} nodes, inputs, outputs, .* before export$"):
        read(content)


@pytest.mark.parametrize(("limit", "most"), [("MAX_NODES", 2), ("MAX_OUTPUTS", 1)])
def test_nodes_and_outputs_are_counted(limit: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = listed().SerializeToString()
    monkeypatch.setattr(file, limit, most)
    read(content)
    monkeypatch.setattr(file, limit, most - 1)
    with pytest.raises(ModelError, match=rf"^model: {most} (nodes|outputs); at most {most - 1} are read, "):
        read(content)


def calling(times: int) -> bytes:
    """A function of many nodes, called often."""
    body = [helper.make_node("Relu", [f"v{index}"], [f"v{index + 1}"]) for index in range(20)]
    opset = [helper.make_opsetid("", 17)]
    function = helper.make_function("mine", "chain", ["v0"], ["v20"], body, opset)
    nodes = [
        helper.make_node(
            "chain",
            ["x" if index == 0 else f"y{index}"],
            ["y" if index == times - 1 else f"y{index + 1}"],
            domain="mine",
        )
        for index in range(times)
    ]
    model = build(17, nodes, {}, (1, 2, 4, 4))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return bytes(model.SerializeToString())


def test_calls_of_functions_are_counted_as_often_as_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    content = calling(9)
    for name in ("MAX_NODES", "MAX_FUNCTION_BYTES", "MAX_READ"):
        monkeypatch.undo()
        monkeypatch.setattr(file, "MAX_FUNCTION_BYTES", 0)
        with pytest.raises(ModelError, match=r"calls of its functions stand for 189 nodes of \d+ bytes") as caught:
            read(content)
        size = int(re.findall(r"(\d+) bytes;", str(caught.value))[0])
        most = 9 * 21 if name == "MAX_NODES" else size
        monkeypatch.setattr(file, "MAX_FUNCTION_BYTES", size)
        monkeypatch.setattr(file, name, most)
        read(content)
        monkeypatch.setattr(file, name, most - 1)
        with pytest.raises(ModelError, match=r"^model: calls of its functions stand for 189 nodes of "):
            read(content)


@pytest.mark.parametrize(
    ("offset", "length", "reason"),
    [
        ("0", "16", None),
        ("", "16", None),
        ("0", "", None),
        (None, None, None),
        ("1", "16", "needs bytes 1 to 17 of 'data', which has 16"),
        ("17", "", "needs bytes 17 to 16 of 'data', which has 16"),
        ("x", "16", "offset 'x' and length '16' are not numbers"),
        ("0", "-1", "offset '0' and length '-1' are not numbers"),
        ("0", "9" * 15, "needs bytes 0 to 999999999999999 of 'data', which has 16"),
        ("0", "9" * 16, "offset '0' and length '9999999999999999' are not numbers"),
    ],
)
def test_external_weights_lie_within_their_file(
    offset: str | None, length: str | None, reason: str | None, tmp_path: Path
) -> None:
    weight = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    model = build(17, [node("Conv", "x w")], {"w": weight.reshape(2, 2, 1, 1)}, (1, 2, 4, 4))
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "data"), ("offset", offset), ("length", length)):
        if value is not None:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    (tmp_path / "data").write_bytes(weight.tobytes())
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    if reason is None:
        (conv,) = read(tmp_path / "model.onnx").graph.nodes
        assert np.array_equal(vars(conv.op)["weight"].reshape(-1), weight)
    else:
        with pytest.raises(ModelError, match=f"^model.onnx: weight 'w':? {re.escape(reason)}$"):
            read(tmp_path / "model.onnx")
