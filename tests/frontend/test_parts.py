"""Everything that a file holds, wherever it holds it: names, external weights, entries; and what is said of files that break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError, EncodeError
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx import file, read
from snn_deploy.frontend.onnx.external import external_tensors, load_external
from tests.frontend.oracle import build, node


def bare() -> ModelProto:
    """One node, and nothing that it needs."""
    model = ModelProto(ir_version=8)
    model.graph.node.add(op_type="Relu")
    return model


def attribute(node: NodeProto, **fields: Any) -> AttributeProto:
    added: AttributeProto = node.attribute.add(name="a", **fields)
    return added


def external(tensor: TensorProto) -> Any:
    tensor.data_location = TensorProto.EXTERNAL
    return tensor.external_data.add()


def subgraph(node: NodeProto) -> GraphProto:
    return attribute(node, type=AttributeProto.GRAPH).g


def function(model: ModelProto) -> FunctionProto:
    added: FunctionProto = model.functions.add(domain="own", name="f")
    return added


NAME = "the_name_"
NAMED: list[tuple[str, Callable[[ModelProto], object]]] = [
    ("a graph", lambda m: setattr(m.graph, "name", NAME)),
    ("a graph", lambda m: setattr(subgraph(m.graph.node[0]), "name", NAME)),
    ("a graph", lambda m: attribute(m.graph.node[0], type=AttributeProto.GRAPHS).graphs.add(name=NAME)),
    ("a graph", lambda m: setattr(subgraph(function(m).node.add()), "name", NAME)),
    ("a value", lambda m: m.graph.input.add(name=NAME)),
    ("a value", lambda m: m.graph.output.add(name=NAME)),
    ("a value", lambda m: m.graph.value_info.add(name=NAME)),
    ("an axis", lambda m: m.graph.output.add().type.tensor_type.shape.dim.add(dim_param=NAME)),
    ("a weight", lambda m: m.graph.initializer.add(name=NAME)),
    ("a weight", lambda m: setattr(m.graph.sparse_initializer.add().values, "name", NAME)),
    ("a node", lambda m: setattr(m.graph.node[0], "name", NAME)),
    ("a node", lambda m: subgraph(m.graph.node[0]).node.add(name=NAME)),
    ("a node", lambda m: function(m).node.add(name=NAME)),
    ("an operator", lambda m: setattr(m.graph.node[0], "op_type", NAME)),
    ("an operator set", lambda m: setattr(m.graph.node[0], "domain", NAME)),
    ("a value", lambda m: m.graph.node[0].input.append(NAME)),
    ("a value", lambda m: m.graph.node[0].output.append(NAME)),
    ("an attribute", lambda m: m.graph.node[0].attribute.add(name=NAME)),
    ("an attribute", lambda m: attribute(m.graph.node[0], ref_attr_name=NAME)),
    ("a tensor", lambda m: setattr(attribute(m.graph.node[0], type=AttributeProto.TENSOR).t, "name", NAME)),
    ("a function", lambda m: setattr(function(m), "name", NAME)),
    ("an operator set", lambda m: setattr(function(m), "domain", NAME)),
    ("a value", lambda m: function(m).input.append(NAME)),
    ("a value", lambda m: function(m).output.append(NAME)),
    ("an operator set", lambda m: m.opset_import.add(domain=NAME)),
    ("an external file", lambda m: setattr(external(m.graph.initializer.add()), "key", NAME)),
    ("an external file", lambda m: setattr(external(m.graph.initializer.add()), "value", NAME)),
]


@pytest.mark.parametrize(("what", "give"), NAMED)
def test_every_text_of_a_file_is_utf8(what: str, give: Callable[[ModelProto], object]) -> None:
    model = bare()
    give(model)
    content = model.SerializeToString()
    bad = b"\xff\xfe\x80\xc3\x28abcd"
    assert content.count(NAME.encode()) == 1
    with pytest.raises(ModelError) as caught:
        read(content.replace(NAME.encode(), bad))
    assert str(caught.value) == f"model: {what} is called {bad!r}, which is not UTF-8; rename it"


def test_external_weights_are_found_wherever_they_are() -> None:
    """In graphs, attributes, functions, and graphs in attributes of nodes in functions."""
    model = bare()
    names: list[str] = []

    def far(tensor: TensorProto) -> None:
        names.append(f"t{len(names)}")
        tensor.name = names[-1]
        external(tensor)

    for held in (model.graph.node[0], function(model).node.add(), subgraph(model.graph.node[0]).node.add()):
        far(attribute(held, type=AttributeProto.TENSOR).t)
        far(attribute(held, type=AttributeProto.TENSORS).tensors.add())
        inner = subgraph(held)
        far(inner.initializer.add())
        far(attribute(inner.node.add(), type=AttributeProto.TENSOR).t)
        far(attribute(held, type=AttributeProto.GRAPHS).graphs.add().initializer.add())
    far(model.graph.initializer.add())
    model.graph.initializer.add(name="near")
    assert sorted(tensor.name for tensor in external_tensors(model)) == sorted(names)
    assert len(names) == 16


def test_weights_in_other_files_need_a_folder(tmp_path: Path) -> None:
    """The first is named; one that begins at the end of its file is empty."""
    model = bare()
    for name in ("one", "two"):
        tensor = model.graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=[0])
        entry = external(tensor)
        entry.key, entry.value = "location", "data"
        tensor.external_data.add(key="offset", value="16")
    with pytest.raises(ModelError, match=r"^here: weight 'one' lies in another file; give a path, not bytes$"):
        load_external(model, "here", None)
    (tmp_path / "data").write_bytes(bytes(16))
    assert load_external(model, "here", tmp_path) == 0
    assert external_tensors(model) == []
    assert load_external(bare(), "here", None) == 0


def test_bytes_of_external_files_are_those_asked_for(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(range(32)))
    model = bare()
    tensor = model.graph.initializer.add(name="w", data_type=TensorProto.UINT8, dims=[8])
    for key, value in {"location": "data", "offset": "4", "length": "8"}.items():
        tensor.external_data.add(key=key, value=value)
    tensor.data_location = TensorProto.EXTERNAL
    assert load_external(model, "here", tmp_path) == 8
    assert tensor.raw_data == bytes(range(4, 12))
    assert (len(tensor.external_data), tensor.data_location) == (0, TensorProto.DEFAULT)


# ---------------------------------------------------------------------- how much a file lists


def listed() -> ModelProto:
    """Entries of every kind, as many as :data:`ENTRIES` says."""
    model = ModelProto(ir_version=8)
    for field, count in {"input": 2, "output": 3, "value_info": 1, "initializer": 2, "sparse_initializer": 3}.items():
        for _ in range(count):
            getattr(model.graph, field).add()
    first = model.graph.node.add(op_type="If", input=["a", "b"], output=["c"])
    attribute(first, strings=[b""] * 4)
    attribute(first).tensors.extend([TensorProto()] * 2)
    attribute(first).graphs.extend([GraphProto(node=[NodeProto(input=["d"])]), GraphProto()])
    attribute(first, g=GraphProto(input=[onnx.ValueInfoProto()] * 5))
    body = model.functions.add(name="f", input=["e", "f"], output=["g"])
    body.node.add(input=["h", "i", "j"])
    body.value_info.add()
    model.opset_import.add(version=17)
    return model


ENTRIES = (1 + 1) + (2 + 3 + 1 + 2 + 3 + 1) + (2 + 1 + 4) + (4 + 2 + 2) + (1 + 1) + 5 + (2 + 1 + 1 + 1) + 3
"""Function and operator set; lists of the graph; of its node; of its attributes; two graphs of these; the function's."""


def test_every_kind_of_entry_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    content = listed().SerializeToString()
    monkeypatch.setattr(file, "MAX_ENTRIES", ENTRIES)
    with pytest.raises(ModelError, match=r"^model: breaks the ONNX specification"):
        read(content)
    monkeypatch.setattr(file, "MAX_ENTRIES", ENTRIES - 1)
    with pytest.raises(ModelError, match=rf"^model: more than {ENTRIES - 1} nodes, inputs, outputs, "):
        read(content)


# ---------------------------------------------------------------------- files that break


def sound() -> bytes:
    return bytes(build(17, [node("Relu", "x")], {}, (1, 2, 4, 4)).SerializeToString())


@pytest.mark.parametrize(
    "error", [onnx.checker.ValidationError, DecodeError, EncodeError, ValueError, RuntimeError, TypeError]
)
@pytest.mark.parametrize(
    ("text", "said"), [("\n  the first line \nthe second", "the first line"), ("m" * 300, "m" * 200), ("", None)]
)
def test_what_the_checker_says_is_one_line(
    error: type[Exception], text: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_: ModelProto) -> None:
        raise error(text)

    monkeypatch.setattr(onnx.checker, "check_model", check)
    with pytest.raises(ModelError) as caught:
        read(sound())
    assert str(caught.value) == f"model: breaks the ONNX specification ({said or error.__name__})"


@pytest.mark.parametrize("error", [DecodeError, RuntimeError])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"text", "not an ONNX file, or a truncated one (broken)"),
        (b"PK\3\4", "a ZIP archive, as .snn files are; name the ONNX model"),
    ],
)
def test_what_is_no_protobuf_is_said(
    error: type[Exception], content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def ParseFromString(self, _: bytes) -> None:  # noqa: N802  # protobuf's name
            raise error("broken")

    monkeypatch.setattr(file, "ModelProto", Broken)
    with pytest.raises(ModelError) as caught:
        read(content)
    assert str(caught.value) == f"model: {said}"


def test_models_need_a_version_nodes_and_an_operator_set() -> None:
    for lacking in ("ir_version", "graph", "opset_import"):
        model = ModelProto.FromString(sound())
        model.ClearField(lacking)
        said = "not an ONNX file, or one without nodes"
        if lacking == "opset_import":
            said = "does not import an ONNX operator set"
        with pytest.raises(ModelError, match=f"^model: {said}$"):
            read(model.SerializeToString())
    model = ModelProto.FromString(sound())
    model.opset_import[0].domain = "ai.onnx"
    model.opset_import.insert(0, onnx.helper.make_opsetid("ai.onnx.ml", 3))
    assert read(model.SerializeToString()).opset == 17
