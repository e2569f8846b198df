"""Bounds on what a file may ask for: each kind of bomb is one line, in seconds and in memory that is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper

from snn_deploy.errors import ModelError, UnsupportedModelError
from snn_deploy.frontend.onnx import inspect, portable, read, to_onnx
from snn_deploy.frontend.onnx.external import load_external
from snn_deploy.graph.graph import Graph
from snn_deploy.graph.limits import MAX_NODES, Budget
from tests.frontend.bombs import BOMBS, functions
from tests.frontend.oracle import build, difference, node, numbers

REPOSITORY = Path(__file__).parents[2]
HARMLESS = {"maxpool_wide_big", "depthwise_made_dense"}
"""Built as bombs, and small after all: a window of 16 x 16 has 256 populations, 4096 groups become 32 million weights."""

LARGE = {"same_names_below_the_limit", "many_constants", "depthwise_made_dense"}
"""Take half a second to one each."""

LARGEST = {"resize_many", "resize_many_small", "deep_relu_and_pool", "deep_neg_below_the_limit", "deep_maxpool_relu"}
"""Take one to four seconds each, just below what is refused before it is done."""

SECONDS = 5
MEMORY = 2**30
"""What a small file may take at most, in seconds and bytes."""


PROBE = """
# Not ru_maxrss: a process that was forked off begins with the peak of its parent.
import json, re, sys, time
from pathlib import Path
from snn_deploy.errors import SnnDeployError
from snn_deploy.frontend.onnx import read
from snn_deploy.passes import normal_form
for path in sorted(Path(sys.argv[1]).iterdir()):
    started, said = time.process_time(), ""
    try:
        normal_form(read(path).graph)
    except SnnDeployError as error:
        said = str(error)
    peak = 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
    print(json.dumps([path.stem, said, time.process_time() - started, peak]), flush=True)
"""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(sorted(set(BOMBS) - LARGE - LARGEST), id="small"),
        pytest.param(sorted(LARGE), id="large", marks=pytest.mark.extended),
        pytest.param(sorted(LARGEST), id="largest", marks=pytest.mark.slow),
    ],
)
def test_bombs_are_one_line(names: list[str], tmp_path: Path) -> None:
    """One process for all of them: what it says of each, after how many seconds, and the peak of its memory until then."""
    for name in names:
        (tmp_path / f"{name}.onnx").write_bytes(BOMBS[name]())
    done = subprocess.run(
        [sys.executable, "-c", PROBE, tmp_path], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(name for name, *_ in outcomes) == names
    wrong = [
        (name, said[:200], seconds, peak)
        for name, said, seconds, peak in outcomes
        if bool(said) == (name in HARMLESS)
        or "\n" in said
        or len(said) >= 9_000
        or seconds >= SECONDS
        or peak >= MEMORY
    ]
    assert wrong == []


def test_a_budget_is_checked_before_it_is_spent() -> None:
    budget = Budget(10, "apples", ModelError)
    budget.spend(4)
    budget.check(6)
    with pytest.raises(
        ModelError, match=r"^a: needs 11 apples, those of nodes before it included; at most 10 are allowed$"
    ):
        budget.spend(7, "a")
    budget.spend(6)
    with pytest.raises(
        ModelError, match=r"^needs 11 apples, those of nodes before it included; at most 10 are allowed$"
    ):
        budget.check(1)


def test_functions_are_read_below_the_limit() -> None:
    model = functions(5, 3, [node("Neg", "a", "b")])
    assert len(inspect(model.SerializeToString()).rows) == 3**4


def test_functions_that_call_themselves() -> None:
    for model in (functions(1, 1, [helper.make_node("f0", ["a"], ["b"], domain="own")]), functions(4, 1, [])):
        if not model.functions[-1].node:
            model.functions[-1].node.append(helper.make_node("f2", ["a"], ["b"], domain="own"))
        with pytest.raises(ModelError, match=r"^model: function 'f\d' calls itself; functions cannot$"):
            read(model.SerializeToString())


def test_nodes_inside_branches_count() -> None:
    branch = helper.make_graph([node("Identity", "x", "b")] * (MAX_NODES // 2), "branch", [], [])
    nodes = [helper.make_node("If", ["k"], ["y"], then_branch=branch, else_branch=branch)]
    with pytest.raises(ModelError, match=rf"^model: {MAX_NODES + 1} nodes; at most {MAX_NODES} are read, simplify .*$"):
        read(build(17, nodes, {"k": np.array(True)}, (1, 1, 4, 4)).SerializeToString())


@pytest.mark.parametrize("field", ["attribute", "input", "initializer", "value_info", "node", "graphs"])
def test_long_lists_are_refused_by_their_length(field: str) -> None:
    """Two bytes of the file each: looking at them would take a second and a hundred megabytes per million."""
    model = build(17, [node("Relu", "x")], {}, (1, 1, 4, 4))
    target = model.graph.node[0] if field in ("attribute", "input") else model.graph
    if field == "graphs":
        target = model.graph.node[0].attribute.add(name="g", type=AttributeProto.GRAPHS)
    tag = target.DESCRIPTOR.fields_by_name[field].number << 3 | 2
    target.MergeFromString(bytes([tag, 0]) * 300_000)
    with pytest.raises(
        ModelError, match=r"^model: more than 262144 nodes, inputs, .*; simplify the model before export$"
    ):
        read(model.SerializeToString())


def test_many_refusals_are_cut() -> None:
    nodes = [node("Elu", "x", f"t{index}") for index in range(50)]
    model = build(17, [*nodes, node("Sum", " ".join(f"t{index}" for index in range(50)))], {}, (1, 1, 4, 4))
    with pytest.raises(
        UnsupportedModelError,
        match=r": 50 node\(s\) cannot be mapped: .*; and 30 more, which snn-deploy inspect lists$",
    ) as caught:
        read(model.SerializeToString())
    assert len(caught.value.reasons) == 50


def test_a_wide_selection_is_bounded_and_a_narrow_one_is_read() -> None:
    picked = np.arange(8)[::-1].copy()
    model = build(17, [node("Gather", "x picked", axis=1)], {"picked": picked}, (1, 8, 4, 4))
    assert difference(model, read(model.SerializeToString()).graph, numbers(1, 8, 4, 4)) == 0


# ---------------------------------------------------------------------- names


def renamed(model: ModelProto, old: bytes, new: bytes) -> bytes:
    content: bytes = model.SerializeToString()
    assert old in content
    return content.replace(old, new)


@pytest.mark.parametrize(
    "name", [b"relu_name", b"the_value", b"the_weigh", b"the_outpu", b"the_input", b"Relu_type", b"graphname"]
)
def test_names_that_are_not_utf8_are_refused(name: bytes) -> None:
    texts = {item: item.decode() for item in (b"the_value", b"the_weigh", b"the_outpu", b"the_input")}
    nodes = [
        helper.make_node("Conv", [texts[b"the_input"], texts[b"the_weigh"]], [texts[b"the_value"]], name="conv"),
        helper.make_node("Relu", [texts[b"the_value"]], [texts[b"the_outpu"]], name="relu_name"),
        helper.make_node("Relu_type", ["the_input"], ["unused"], domain="own"),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graphname",
            [helper.make_tensor_value_info("the_input", TensorProto.FLOAT, [1, 1, 8, 8])],
            [helper.make_tensor_value_info("the_outpu", TensorProto.FLOAT, [None] * 4)],
            [onnx.numpy_helper.from_array(numbers(1, 1, 3, 3), "the_weigh")],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        ir_version=8,
    )
    read(model.SerializeToString())
    content = renamed(model, name, b"\xff\xfe\x80\xc3\x28abcd")
    for reader in (read, inspect):
        with pytest.raises(ModelError, match=r"^model: an? [a-z]+ is called b'.*', which is not UTF-8; rename it$"):
            reader(content)


# ---------------------------------------------------------------------- weights in other files


def with_external_constant(folder: Path) -> Path:
    """A model whose only weight is the value of a Constant node, in a file of its own."""
    weight = onnx.numpy_helper.from_array(numbers(2, 1, 3, 3), "w")
    nodes = [helper.make_node("Constant", [], ["w"], value=weight), node("Conv", "x w")]
    model = build(17, nodes, {}, (1, 1, 8, 8))
    onnx.save(
        model,
        folder / "model.onnx",
        save_as_external_data=True,
        location="w.data",
        size_threshold=0,
        convert_attribute=True,
    )
    return folder / "model.onnx"


def test_constants_in_other_files_are_looked_for_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = with_external_constant(folder)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read(path).graph.nodes[0].op.weight, numbers(2, 1, 3, 3))  # type: ignore[attr-defined]
    assert read(portable(path)).graph.nodes
    (folder / "w.data").unlink()
    with pytest.raises(
        ModelError, match=r"weight 'w' should be in 'w.data', a regular file beside the model; it is not$"
    ):
        read(path)


def external_model(folder: Path, count: int, size: int, **entries: str) -> tuple[ModelProto, Path]:
    """``count`` weights that all claim the bytes of one file of ``size`` bytes."""
    (folder / "data").write_bytes(bytes(size))
    model = ModelProto(ir_version=8)
    for index in range(count):
        tensor = model.graph.initializer.add(name=f"w{index}", data_type=TensorProto.FLOAT, dims=[size // 4])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "data", **entries}.items():
            tensor.external_data.add(key=key, value=value)
    return model, folder


@pytest.mark.parametrize(
    ("count", "entries", "message"),
    [
        (3, {}, r"its tensors need 48 bytes of external files, which hold 16$"),
        (1, {"offset": "8", "length": "9"}, r"weight 'w0' needs bytes 8 to 17 of 'data', which has 16$"),
        (1, {"offset": "17"}, r"weight 'w0' needs bytes 17 to 16 of 'data', which has 16$"),
        (1, {"offset": "-4"}, r"weight 'w0': offset '-4' and length '' are not numbers$"),
        (1, {"length": "1e9"}, r"weight 'w0': offset '0' and length '1e9' are not numbers$"),
        (1, {"location": ""}, r"is a folder; name a regular file$"),
        (
            1,
            {"location": "/etc/hostname"},
            r"should be in '/etc/hostname', a regular file beside the model; it is not$",
        ),
    ],
)
def test_external_bytes_are_read_once_and_from_beside_the_model(
    count: int, entries: dict[str, str], message: str, tmp_path: Path
) -> None:
    model, folder = external_model(tmp_path, count, 16, **entries)
    with pytest.raises(ModelError, match=message):
        load_external(model, "model", folder)


def test_external_files_are_not_links(tmp_path: Path) -> None:
    model, folder = external_model(tmp_path, 1, 16)
    (folder / "data").rename(folder / "other")
    (folder / "data").symlink_to(folder / "other")
    with pytest.raises(ModelError, match=r"should be in 'data', a regular file beside the model; it is not$"):
        load_external(model, "model", folder)


# ---------------------------------------------------------------------- what mutants survived


@pytest.mark.parametrize("mode", [True, np.array([True])])
def test_dropout_in_training_mode_is_refused(mode: bool) -> None:
    constants = {"ratio": np.float32(0.5), "training": np.asarray(mode)}
    nodes = [node("Dropout", "x ratio training")]
    with pytest.raises(UnsupportedModelError, match=r"is in training mode; export the model in evaluation mode$"):
        read(build(17, nodes, constants, (1, 1, 4, 4)).SerializeToString())
    constants["training"] = np.asarray(False)
    read(build(17, nodes, constants, (1, 1, 4, 4)).SerializeToString())


def test_leaky_relu_has_the_slope_of_the_specification() -> None:
    """https://onnx.ai/onnx/operators/onnx__LeakyRelu.html: alpha defaults to 0.01."""
    model = build(17, [node("LeakyRelu", "x")], {}, (1, 2, 4, 4))
    assert difference(model, read(model.SerializeToString()).graph, -np.abs(numbers(1, 2, 4, 4))) < 1e-6


@pytest.mark.parametrize("opset", [13, 18])
def test_a_mean_over_channels_is_refused(opset: int) -> None:
    attributes: dict[str, Any] = {"keepdims": 0} | ({"axes": [1, 3]} if opset < 18 else {})
    nodes = [node("ReduceMean", "x" if opset < 18 else "x axes", **attributes)]
    model = build(opset, nodes, {} if opset < 18 else {"axes": np.array([1, 3])}, (1, 2, 4, 4))
    with pytest.raises(UnsupportedModelError, match=r"is a mean over other axes than height and width, as layer and"):
        read(model.SerializeToString())


def test_values_called_like_parts_of_others_are_exported() -> None:
    nodes = [node("BatchNormalization", "x s s s v", "n"), node("Relu", "n", "n/scale"), node("Add", "n n/scale")]
    model = build(17, nodes, {"s": numbers(2), "v": np.ones(2, np.float32)}, (1, 2, 4, 4))
    graph: Graph = read(model.SerializeToString()).graph
    assert len({output for node in to_onnx(graph).graph.node for output in node.output}) == len(
        to_onnx(graph).graph.node
    )
    assert difference(model, graph, numbers(1, 2, 4, 4)) < 1e-6
