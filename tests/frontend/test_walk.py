"""The walk over a graph: sizes of the input, what outputs may be, which errors of rules are refusals, what later nodes see."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from snn_deploy.errors import BackendUnavailableError, GraphError, ModelError
from snn_deploy.frontend.onnx import freeze_norm, importer, inspect, model_runs, own_channels, own_size, read, registry
from snn_deploy.frontend.onnx.call import Call, Outcome
from tests.frontend.oracle import build, node, numbers

SHAPE = (1, 4, 6, 8)
CONV = node("Conv", "x w")


def content(nodes: list[NodeProto], constants: dict[str, Any], shape: tuple[int | str, ...] = SHAPE) -> bytes:
    return bytes(build(17, nodes, constants, shape).SerializeToString())


# ---------------------------------------------------------------------- the input


@pytest.mark.parametrize(
    ("nodes", "shape", "size", "channels"),
    [
        ([CONV], (1, 4, 6, 8), (6, 8), 4),
        ([CONV], (1, 4, 1, 1), (1, 1), 4),
        ([CONV], ("n", 4, "h", 8), None, 4),
        ([CONV], ("n", 4, 6, "w"), None, 4),
        ([CONV], (3, 4, "h", "w"), None, 4),
        ([node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w")], (1, 6, 8, 4), (6, 8), 4),
    ],
)
def test_a_file_has_a_size_and_channels_of_its_own(
    nodes: list[NodeProto], shape: tuple[int | str, ...], size: tuple[int, int] | None, channels: int
) -> None:
    given = content(nodes, {"w": numbers(3, 4, 1, 1)}, shape)
    assert own_size(given) == size
    assert own_channels(given) == channels
    assert read(given, None if size else (2, 3)).graph.input_shape == (channels, *(size or (2, 3)))


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((1, 4, 6, 8), (0, 8), "a map of 4x0x8; at most"),
        ((1, 4, 6, 8), (6, 0), "a map of 4x6x0; at most"),
        ((1, 4, 6, 8), (1, 1), None),
        ((1, 1, 6, 8), None, None),
        ((1, 4, "h", 8), None, "height and width are open"),
        ((1, 4, 6, "w"), None, "height and width are open"),
        ((5, 4, 6, 8), None, None),
        ((6, 4, 6, 8), None, "a batch of 6 images; at most 5 are read, leave the batch open"),
        (
            (1, 4, 6, 8, 1),
            None,
            "input 'x' has 5 axes; (batch, channels, height, width) or (batch, channels, length) expected",
        ),
    ],
)
def test_inputs_at_their_limits(
    shape: tuple[int | str, ...], size: tuple[int, int] | None, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "MAX_BATCH", 5)
    given = content([node("Relu", "x")], {}, shape)
    if message is None:
        read(given, size)
    else:
        with pytest.raises(ModelError) as caught:
            read(given, size)
        assert message in str(caught.value)


@pytest.mark.parametrize(("batch", "length"), [("n", 1), (1, 1), (3, 3)])
def test_a_batch_is_as_long_as_the_file_says(batch: int | str, length: int) -> None:
    """Seen by what nodes compute from the shape of their input."""
    nodes = [node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Mul", "x n")]
    graph = read(content(nodes, {"zero": np.array([0])}, (batch, 4, 6, 8))).graph
    assert vars(graph.nodes[0].op)["scale"].tolist() == [length] * 4


BEFORE = [
    ([], True),
    ([("Identity", "x")], True),
    ([("Cast", "x")], True),
    ([("Add", "x k")], True),
    ([("Sub", "k x")], True),
    ([("Mul", "x k")], True),
    ([("Div", "x k")], True),
    ([("Relu", "x")], False),
]


@pytest.mark.parametrize(("before", "last"), BEFORE)
def test_channels_are_last_where_only_arithmetic_stands_before_a_transpose(
    before: list[tuple[str, str]], last: bool
) -> None:
    nodes, source = [node("Neg", "k", "unused")], "x"
    for operator, inputs in before:
        nodes.append(node(operator, inputs, "t", **({"to": TensorProto.FLOAT} if operator == "Cast" else {})))
        source = "t"
    nodes += [node("Transpose", source, "u", perm=[0, 3, 1, 2]), node("Conv", "u w")]
    given = content(nodes, {"k": np.array(2, np.float32), "w": numbers(3, 4, 1, 1)}, (1, 6, 8, 4))
    if last:
        assert read(given).channels_last
        assert own_channels(given) == 4
    else:
        assert own_channels(given) == 6


@pytest.mark.parametrize("first", ["Conv", "ConvTranspose", "MaxPool", "AveragePool", "BatchNormalization"])
def test_what_reads_channels_first_settles_it(first: str) -> None:
    """Also where the same input is transposed elsewhere; another order of axes says nothing."""
    inputs = {"Conv": "x w", "ConvTranspose": "x w", "BatchNormalization": "x b b b b"}.get(first, "x")
    window = {"kernel_shape": [1, 1]} if "Pool" in first else {}
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node(first, inputs, "c", **window), node("Relu", "c")]
    constants = {"w": numbers(4, 4, 1, 1), "b": np.ones(4, np.float32)}
    assert own_channels(content(nodes, constants)) == 4
    other = [node("Transpose", "x", "t", perm=[0, 2, 1, 3]), node("Transpose", "t", perm=[0, 3, 1, 2])]
    assert own_channels(content(other, {})) == 4


# ---------------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    ("nodes", "shape", "message"),
    [
        ([node("Shape", "x")], SHAPE, "output 'y' does not depend on the image"),
        ([node("Transpose", "x", perm=[0, 2, 3, 1])], SHAPE, None),
        ([node("Squeeze", "x a")], (1, 1, 6, 8), None),  # NHW
        ([node("Squeeze", "x n")], SHAPE, None),  # CHW
        ([node("Squeeze", "x")], (1, 1, 6, 8), None),  # HW
        ([node("Squeeze", "x")], (1, 4, 1, 8), None),  # CW
        ([node("Flatten", "x")], SHAPE, None),
    ],
)
def test_axes_of_outputs(nodes: list[NodeProto], shape: tuple[int, ...], message: str | None) -> None:
    given = content(nodes, {"a": np.array([1]), "n": np.array([0])}, shape)
    if message is None:
        assert len(read(given).graph.outputs) == 1
    else:
        with pytest.raises(ModelError) as caught:
            read(given)
        assert str(caught.value) == f"model: {message}"


def test_channels_last_outputs_are_turned_on_the_host() -> None:
    graph = read(content([node("Relu", "x", "r"), node("Transpose", "r", perm=[0, 2, 3, 1])], {})).graph
    assert [(each.name, each.inputs, each.origin) for each in graph.nodes] == [
        ("r", ("x",), ("r",)),
        ("y.channels-last", ("r",), ("r",)),
    ]
    assert graph.outputs == (("y", "y.channels-last"),)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "error",
    [
        GraphError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        ZeroDivisionError,
        OverflowError,
        MemoryError,
        RecursionError,
    ],
)
def test_errors_of_rules_are_refusals(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Long messages are cut to 200 characters."""

    def rule(_: Call) -> Outcome:
        raise error("m" * 300)

    monkeypatch.setattr(registry, "find", lambda name, since: rule)
    (row,) = inspect(content([node("Relu", "x")], {})).refused
    said = "'" + "m" * 199 if error is KeyError else "m" * 200
    assert row.note == f"its attributes or shapes do not fit ({said})"


def test_other_errors_are_no_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(_: Call) -> Outcome:
        raise RuntimeError("an error of ours")

    monkeypatch.setattr(registry, "find", lambda name, since: rule)
    with pytest.raises(RuntimeError, match=r"^an error of ours$"):
        inspect(content([node("Relu", "x")], {}))


def test_what_reads_a_refused_node_is_judged_where_its_shape_is_known() -> None:
    """Elu keeps the shape, Gemm does not, and no second output does; names are those of nodes, of outputs, of operators."""
    nodes = [
        node("Elu", "x", "t"),
        node("Concat", "t t", "ok", axis=1),
        node("Concat", "t t", "bad", axis=0),
        node("Einsum", "x", "e", equation="abcd->abdc"),
        node("Relu", "e", "r"),
        helper.make_node("Softsign", ["x"], ["s"], name="named"),
        node("Split", "s", "one two", axis=1),
        node("Sum", "ok one bad r"),
    ]
    notes = {row.node: row.note for row in inspect(content(nodes, {})).refused}
    assert set(notes) == {"t", "bad", "e", "r", "named", "y"}
    assert notes["bad"] == "joins along axis N; only channels, height and width are supported"
    assert notes["r"] == "reads e, which is refused"
    assert notes["y"].startswith("reads bad, which is refused")


def test_second_outputs_of_refused_nodes_are_refused() -> None:
    nodes = [node("Dropout", "x", "d mask"), node("Relu", "mask")]
    notes = {row.node: row.note for row in inspect(content(nodes, {})).refused}
    assert notes == {"d": "gives its mask as an output", "y": "reads d, which is refused"}


def test_nodes_keep_their_place_in_the_ledger_and_their_names() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        node("Relu", "x", "unused"),
        helper.make_node("MaxPool", ["a"], ["b", ""], kernel_shape=[1, 1]),
        node("Relu", "b"),
    ]
    rows = inspect(content(nodes, {})).rows
    assert [(row.node, row.operator, row.fate) for row in rows] == [
        ("first", "Relu", "mapped"),
        ("unused", "Relu", "folded"),
        ("b", "MaxPool", "mapped"),
        ("y", "Relu", "mapped"),
    ]


# ---------------------------------------------------------------------- instance normalization


def test_frozen_norms_are_named_and_compared_by_norms() -> None:
    """Two norms of one map; |frozen - original| / |original| over all images."""
    nodes = [
        node("Neg", "x", "m"),
        helper.make_node("InstanceNormalization", ["m", "s", "b"], ["one"], name="norm"),
        node("InstanceNormalization", "m b s", "two"),
        node("Add", "one two"),
    ]
    constants = {"s": numbers(2), "b": numbers(2, seed=3)}
    given = bytes(build(17, nodes, constants, ("n", 2, 4, 4)).SerializeToString())
    images = np.concatenate([numbers(1, 2, 4, 4, seed=seed) * (seed + 1) for seed in range(3)])
    frozen = freeze_norm(given, images)
    assert frozen.nodes == ("norm", "two")
    made = onnx.load_from_string(frozen.model)
    assert [tensor.name for tensor in made.graph.initializer][2:] == [
        *("frozen_0_mean", "frozen_0_variance"),
        *("frozen_1_mean", "frozen_1_variance"),
    ]
    pixels = -images.astype(np.float64).reshape(3, 2, -1)
    mean, variance = pixels.mean(2), pixels.var(2)
    gain, shift = constants["s"] + constants["b"], constants["s"] + constants["b"]

    def normal(means: Any, variances: Any) -> Any:
        return (pixels - means[..., None]) / np.sqrt(variances[..., None] + 1e-5) * gain[:, None] + shift[:, None]

    original, fixed = normal(mean, variance), normal(mean.mean(0)[None], variance.mean(0)[None])
    ((name, loss),) = frozen.loss
    assert name == "y"
    assert loss == pytest.approx(np.linalg.norm(fixed - original) / np.linalg.norm(original), rel=1e-4)


def test_what_onnxruntime_cannot_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> None:
        raise RuntimeError("no such kernel")

    def absent(_: bytes) -> None:
        raise BackendUnavailableError("install onnxruntime")

    given = content([node("InstanceNormalization", "x s s")], {"s": np.ones(4, np.float32)})
    monkeypatch.setattr(model_runs, "session", broken)
    with pytest.raises(ModelError, match=r"^model: onnxruntime cannot run it \(no such kernel\)$"):
        freeze_norm(given, numbers(1, 4, 6, 8))
    monkeypatch.setattr(model_runs, "session", absent)
    with pytest.raises(BackendUnavailableError, match=r"^install onnxruntime$"):
        freeze_norm(given, numbers(1, 4, 6, 8))


@pytest.mark.parametrize(
    ("there", "back", "last"),
    [
        ([0, 3, 1, 2], [0, 2, 3, 1], True),
        ([0, 3, 2, 1], [0, 3, 2, 1], False),
        ([0, 2, 3, 1], [0, 3, 1, 2], False),
        ([0, 1, 2, 3], [0, 1, 2, 3], False),
    ],
)
def test_only_one_order_at_the_input_puts_channels_last(there: list[int], back: list[int], last: bool) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=there),
        node("Relu", "t", "r"),
        node("Transpose", "r", perm=back),
    ]
    imported = read(build(13, nodes, {}, (1, 4, 6, 8)).SerializeToString())
    assert imported.channels_last == last
    assert imported.graph.input_shape == ((8, 4, 6) if last else (4, 6, 8))
