"""The importer as a whole: ledger, refusals, layouts, sizes, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from generate.operators import table
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.errors import ModelError, UnsupportedModelError
from snn_deploy.frontend.ledger import FATES
from snn_deploy.frontend.onnx import freeze_norm, importer, inspect, read, registry, to_onnx
from snn_deploy.passes import normal_form
from tests.frontend.oracle import Array, build, difference, node, numbers, relative, run

REPOSITORY = Path(__file__).parents[2]


def weights(outputs: int, inputs: int, window: int = 3) -> dict[str, Array]:
    return {"w": numbers(outputs, inputs, window, window), "b": numbers(outputs)}


def test_every_node_has_one_row_and_a_fate() -> None:
    nodes = [
        node("Constant", "", "k", value=numpy_helper.from_array(np.array(2, np.float32))),
        node("Mul", "k k", "kk"),
        node("Mul", "x kk", "scaled"),
        node("Conv", "scaled w b", "c"),
        node("Exp", "c", "unused"),
        node("Relu", "c", "r"),
        node("Sigmoid", "r"),
    ]
    ledger = inspect(build(17, nodes, weights(3, 2), (1, 2, 6, 6)).SerializeToString())
    assert [row.fate for row in ledger.rows] == ["folded", "folded", "folded", "mapped", "folded", "mapped", "host"]
    assert [row.node for row in ledger.rows] == ["k", "kk", "scaled", "c", "unused", "r", "y"]
    assert ledger.counts == dict(zip(FATES, (2, 4, 1, 0), strict=True))
    assert ledger.rows[4].note == "nothing: no output needs it"


def test_all_refusals_are_named_at_once_and_inspect_lists_them() -> None:
    nodes = [
        node("Conv", "x w b", "c"),
        node("Softsign", "c", "t"),
        node("Sigmoid", "c", "gate"),
        node("Mul", "gate t", "m"),
        node("Relu", "m", "r"),
        node("HardSwish", "r"),
    ]
    model = build(17, nodes, weights(3, 2), (1, 2, 6, 6)).SerializeToString()
    refused = {row.node: row.note for row in inspect(model).refused}
    assert set(refused) == {"t", "gate", "m", "y"}
    assert refused["gate"] == "is part of a gate, a map times the sigmoid of another, see m"
    with pytest.raises(
        UnsupportedModelError,
        match=r"^model \(operator set 17\): 3 node\(s\) cannot be mapped: .*y \(HardSwish\): .* Relu6 in "
        r"its place, or convert --approximate$",
    ) as caught:
        read(model)
    assert len(caught.value.reasons) == 3


def test_a_gate_is_blamed_and_not_what_hands_it_on() -> None:
    nodes = [
        node("Sigmoid", "x", "gate"),
        node("Identity", "gate", "same"),
        node("Mul", "same x"),
    ]
    refused = inspect(build(17, nodes, {}, (1, 2, 6, 6)).SerializeToString()).refused
    assert [row.node for row in refused] == ["gate", "y"]


def test_product_of_maps_names_both_factors() -> None:
    nodes = [node("Conv", "x w b", "c"), node("Relu", "c", "r"), node("Mul", "c r")]
    with pytest.raises(UnsupportedModelError, match=r"multiplies two maps \(c and r\).*HardSwish$"):
        read(build(17, nodes, weights(3, 2), (1, 2, 6, 6)).SerializeToString())


def test_unknown_operator_and_domain_are_named() -> None:
    nodes = [
        node("Relu", "x", "r"),
        node("Atan", "r", "a"),
        helper.make_node("Fancy", ["a"], ["y"], domain="org.example"),
    ]
    model = build(17, nodes, {}, (1, 2, 6, 6))
    model.opset_import.append(helper.make_opsetid("org.example", 1))
    reasons = inspect(model.SerializeToString()).reasons
    assert reasons[0].startswith("a (Atan): no rule for Atan; replace it")
    assert reasons[1] == "y (Fancy): belongs to org.example, not to ONNX; export with standard operators"


def test_every_operator_has_rules_for_all_operator_sets_that_are_read() -> None:
    newest = onnx.defs.onnx_opset_version()
    rules: dict[str, set[int]] = {}
    for entry in registry.entries():
        rules.setdefault(entry.operator, set()).update(entry.since)
    for name, since in rules.items():
        schemas = [onnx.defs.get_schema(name, opset) for opset in range(9, newest + 1) if onnx.defs.has(name, opset)]
        known = {schema.since_version for schema in schemas if not schema.deprecated}
        assert {version for version in since if version <= newest} == known, name


def test_operator_table_is_up_to_date() -> None:
    assert (REPOSITORY / "docs" / "reference" / "operators.md").read_text() == table(), (
        "python -m generate.operators > docs/reference/operators.md"
    )


# ---------------------------------------------------------------------- layouts and sizes


def test_channels_last_at_both_edges() -> None:
    nodes = [
        node("Sub", "x mean", "centred"),
        node("Transpose", "centred", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w b", "c", pads=[1, 1, 1, 1]),
        node("Transpose", "c", "back", perm=[0, 2, 3, 1]),
        node("Add", "back shift", "s"),
        node("Relu", "s", "r"),
        node("Concat", "centred r", "joined", axis=3),
        node("MatMul", "joined dense", "d"),
        node("Softmax", "d", axis=-1),
    ]
    constants = weights(4, 3) | {"mean": numbers(3), "shift": numbers(1, 1, 1, 4), "dense": numbers(7, 5)}
    model = build(13, nodes, constants, (1, 6, 8, 3))
    imported = read(model.SerializeToString())
    assert imported.channels_last
    assert imported.graph.input_shape == (3, 6, 8)
    x = numbers(1, 6, 8, 3)
    (want,) = run(model, x)
    (got,) = run(to_onnx(normal_form(imported.graph)), x.transpose(0, 3, 1, 2))
    assert relative(want, got) < 1e-5


def test_input_transposed_to_channels_first_is_not_mistaken() -> None:
    nodes = [node("Conv", "x w b", "c"), node("Transpose", "c", perm=[0, 2, 3, 1])]
    imported = read(build(13, nodes, weights(4, 3), (1, 3, 6, 8)).SerializeToString())
    assert not imported.channels_last
    assert [node.op.function for node in imported.graph.nodes if hasattr(node.op, "function")] == ["to_channels_last"]


def computed_pad(shape: tuple[int | str, ...]) -> onnx.ModelProto:
    """Crops an up-sampled map back to the size of its skip, by arithmetic on shapes, as MONAI exports it."""
    nodes = [
        node("MaxPool", "x", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", "p w b", "u", strides=[2, 2]),
        node("Shape", "x", "sx"),
        node("Gather", "sx three", "wx", axis=0),
        node("Shape", "u", "su"),
        node("Gather", "su three", "wu", axis=0),
        node("Sub", "wx wu", "missing"),
        node("Unsqueeze", "missing zero", "missing1"),
        node("Concat", "zeros missing1", "pads", axis=0),
        node("Pad", "u pads", "padded", mode="constant"),
        node("Concat", "x padded", "joined", axis=1),
        node("Relu", "joined"),
    ]
    constants = {
        "w": numbers(2, 3, 2, 2),
        "b": numbers(3),
        "three": np.int64(3),
        "zero": np.array([0]),
        "zeros": np.zeros(7, np.int64),
    }
    return build(13, nodes, constants, shape)


@pytest.mark.parametrize(("height", "width"), [(8, 6), (8, 7)])
def test_open_sizes_are_pinned(height: int, width: int) -> None:
    model = computed_pad(("n", 2, "h", "w"))
    imported = read(model.SerializeToString(), (height, width))
    assert imported.graph.input_shape == (2, height, width)
    assert not imported.ledger.refused
    assert difference(model, normal_form(imported.graph), numbers(1, 2, height, width)) < 1e-5


def test_fixed_sizes_may_be_replaced_where_the_model_allows() -> None:
    graph = read(computed_pad((1, 2, 8, 6)).SerializeToString(), (16, 11)).graph
    assert graph.shapes[graph.outputs[0][1]] == (5, 16, 11)


def test_fixed_sizes_inside_the_model_are_named_when_they_do_not_fit() -> None:
    nodes = [node("Resize", "x - - sizes", "r", mode="nearest"), node("Concat", "x r", axis=1)]
    model = build(13, nodes, {"sizes": np.array([1, 2, 8, 8])}, (1, 2, 8, 8)).SerializeToString()
    assert not inspect(model).refused
    with pytest.raises(
        UnsupportedModelError, match=r"y \(Concat\): .*maps of one size, not \(2, 4, 8\), \(2, 8, 8\)\)$"
    ):
        read(model, (4, 8))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2, "h", "w"), r"height and width are open; say which with --size HEIGHTxWIDTH$"),
        ((1, "c", 8, 8), r"the number of channels is open; export the model with a fixed one$"),
        ((2, 8), r"has 2 axes; \(batch, channels, height, width\) or \(batch, channels, length\) expected$"),
        ((1, 2, 2**20, 2**20), r"a map of 2x1048576x1048576; at most 8192 channels, .* values are allowed$"),
    ],
)
def test_unusable_inputs(shape: tuple[int | str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(build(13, [node("Relu", "x")], {}, shape).SerializeToString())


def test_two_inputs_are_refused() -> None:
    model = build(13, [node("Add", "x z")], {}, (1, 2, 4, 4))
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 2, 4, 4]))
    with pytest.raises(
        ModelError,
        match=r"one image input is expected, not 2 \(x, z\); .* join them in the model as channels of one input$",
    ):
        read(model.SerializeToString())


# ---------------------------------------------------------------------- heads and outputs


@pytest.mark.parametrize(
    "head",
    [
        [node("Sigmoid", "c")],
        [node("Softmax", "c", axis=1)],
        [node("Softmax", "c", "s", axis=1), node("ArgMax", "s", axis=1)],
        [node("Transpose", "c", "t", perm=[0, 2, 3, 1]), node("Softmax", "t", axis=-1)],
    ],
)
def test_heads_run_on_the_host(head: list[onnx.NodeProto]) -> None:
    model = build(13, [node("Conv", "x w b", "c"), *head], weights(3, 2), (1, 2, 6, 6))
    if head[-1].op_type == "ArgMax":
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    imported = read(model.SerializeToString())
    assert imported.ledger.counts["host"] == sum(item.op_type != "Transpose" for item in head)
    assert difference(model, normal_form(imported.graph), numbers(1, 2, 6, 6)) < 1e-5


def test_argmax_without_its_axis() -> None:
    nodes = [
        node("Conv", "x w b", "c"),
        node("ArgMax", "c", "a", axis=1, keepdims=0),
        node("Cast", "a", to=TensorProto.INT32),
    ]
    model = build(13, nodes, weights(3, 2), (1, 2, 6, 6))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT32, [1, 4, 4]))
    x = numbers(1, 2, 6, 6)
    (got,) = run(to_onnx(normal_form(read(model.SerializeToString()).graph)), x)
    np.testing.assert_array_equal(got[:, 0], run(model, x)[0])


def test_several_outputs_keep_names_and_order() -> None:
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Conv", "r w2 b", "d"),
        node("Sigmoid", "d", "s"),
        node("Concat", "r x", "j", axis=1),
    ]
    constants = weights(3, 2) | {"w2": numbers(3, 3, 3, 3)}
    model = build(13, nodes, constants, (1, 2, 6, 6), ("s", "r", "j", "c", "d"))
    form = normal_form(read(model.SerializeToString()).graph)
    assert [name for name, _ in form.outputs] == ["s", "r", "j", "c", "d"]
    assert difference(model, form, numbers(1, 2, 6, 6)) < 1e-5


# ---------------------------------------------------------------------- files


def test_half_precision_weights_and_input() -> None:
    constants = {name: values.astype(np.float16) for name, values in weights(3, 2).items()}
    model = build(
        13, [node("Conv", "x w b", "c"), node("Relu", "c")], constants, (1, 2, 6, 6), kind=TensorProto.FLOAT16
    )
    graph = read(model.SerializeToString()).graph
    x = numbers(1, 2, 6, 6)
    (want,) = run(model, x.astype(np.float16))
    (got,) = run(to_onnx(graph), x)
    assert relative(want, got) < 2e-3  # half precision has 11 bits


def test_shared_weights_and_initializers_listed_as_inputs() -> None:
    model = build(13, [node("Conv", "x w b", "c"), node("Conv", "c w b")], weights(2, 2), (1, 2, 8, 8))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 2, 3, 3]))
    form = normal_form(read(model.SerializeToString()).graph)
    assert [type(node.op).__name__ for node in form.nodes] == ["Conv", "Linear", "Conv"]
    assert difference(model, form, numbers(1, 2, 8, 8)) < 1e-5


def external(folder: Path) -> Path:
    model = build(13, [node("Conv", "x w b", "c"), node("Relu", "c")], weights(3, 2), (1, 2, 8, 8))
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="model.data", size_threshold=0)
    return path


def test_external_data_is_read(tmp_path: Path) -> None:
    graph = read(external(tmp_path)).graph
    np.testing.assert_array_equal(graph.nodes[0].op.weight, weights(3, 2)["w"])  # type: ignore[attr-defined]


def test_external_data_must_be_there_whole_and_beside_the_file(tmp_path: Path) -> None:
    path = external(tmp_path)
    with pytest.raises(ModelError, match=r"lies in another file; give a path, not bytes$"):
        read(path.read_bytes())
    (tmp_path / "model.data").write_bytes(b"\0" * 10)
    with pytest.raises(ModelError, match=r"^model.onnx: .*$"):
        read(path)
    (tmp_path / "model.data").unlink()
    with pytest.raises(ModelError, match=r"should be in 'model.data', a regular file beside the model; it is not$"):
        read(path)
    path.write_bytes(path.read_bytes().replace(b"model.data", b"../../etc0"))
    with pytest.raises(ModelError, match=r"should be in '../../etc0', a regular file beside the model; it is not$"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^model: not an ONNX file, or one without nodes$"),
        (b"\x89PNG\r\n\x1a\n", r"^model: not an ONNX file, or a truncated one \(.*\)$"),
        (b"hello", r"^model: not an ONNX file.*$"),
    ],
)
def test_other_files(content: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(content)


def test_missing_file() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx: cannot be read: No such file or directory$"):
        read("nowhere.onnx")


def test_operator_set_before_9() -> None:
    model = build(8, [node("Relu", "x")], {}, (1, 2, 4, 4))
    with pytest.raises(ModelError, match=r"operator set 8 is older than 9; .*version_converter$"):
        read(model.SerializeToString())


# ---------------------------------------------------------------------- instance normalization


def test_frozen_norm_is_exact_for_one_image_and_says_what_it_costs_for_more() -> None:
    nodes = [node("Conv", "x w b", "c"), node("InstanceNormalization", "c scale shift", "i"), node("Relu", "i")]
    model = build(17, nodes, weights(3, 2) | {"scale": numbers(3), "shift": numbers(3, seed=2)}, ("n", 2, 8, 8))
    content = model.SerializeToString()
    with pytest.raises(
        UnsupportedModelError, match=r"i \(InstanceNormalization\): .*--freeze-norm, or train with batch normalization$"
    ):
        read(content)
    one = freeze_norm(content, numbers(1, 2, 8, 8))
    assert one.nodes == ("i",)
    assert one.loss[0][0] == "y"
    assert one.loss[0][1] < 1e-6
    many = freeze_norm(content, np.concatenate([numbers(1, 2, 8, 8, seed=seed) * (seed + 1) for seed in range(3)]))
    assert 0.1 < many.loss[0][1] < 2
    assert difference(onnx.load_from_string(one.model), normal_form(read(one.model).graph), numbers(1, 2, 8, 8)) < 1e-5


def test_nothing_to_freeze() -> None:
    with pytest.raises(ModelError, match=r"contains no InstanceNormalization to freeze$"):
        freeze_norm(build(13, [node("Relu", "x")], {}, (1, 2, 4, 4)).SerializeToString(), numbers(1, 2, 4, 4))


@pytest.mark.parametrize(("name", "written"), [("net", "net"), ("", "graph")])
def test_graphs_are_written_under_their_names(name: str, written: str) -> None:
    graph = read(build(17, [node("Relu", "x")], {}, (1, 2, 4, 4)).SerializeToString()).graph
    assert to_onnx(replace(graph, name=name)).graph.name == written


@pytest.mark.parametrize("shape", [(0, 2, 6, 6), (2, 6, 6), (1, 2, 6)])
def test_statistics_need_images(shape: tuple[int, ...]) -> None:
    model = build(17, [node("InstanceNormalization", "x s b")], {"s": numbers(2), "b": numbers(2)}, (1, 2, 6, 6))
    message = r"^model: calibration images of shape \(.*\); \(images, channels, height, width\) expected$"
    with pytest.raises(ModelError, match=message):
        freeze_norm(model.SerializeToString(), np.zeros(shape, np.float32))


@pytest.mark.parametrize(("growth", "least", "fits"), [(4, 0, True), (3, 0, False), (0, 192, True), (0, 191, False)])
def test_values_of_maps_are_bounded_by_the_size_of_the_image(
    growth: int, least: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two maps of 2x6x8 values, four for each pixel of the input."""
    monkeypatch.setattr(importer, "MAX_GROWTH", growth)
    monkeypatch.setattr(importer, "MIN_GROWTH", least)
    content = build(17, [node("Relu", "x", "r"), node("Neg", "r")], {}, (1, 2, 6, 8)).SerializeToString()
    assert [row.node for row in inspect(content).refused] == ([] if fits else ["y"])
