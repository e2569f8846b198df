"""Reshape, Transpose, Squeeze and Flatten against onnxruntime: renamed axes, pixels and channels shuffled by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from onnx import NodeProto

from snn_deploy.errors import UnsupportedModelError
from snn_deploy.frontend.onnx import own_channels, own_size, read, to_onnx
from snn_deploy.passes import normal_form
from tests.frontend.oracle import build, check, node, numbers, relative, run

SHUFFLES: dict[str, tuple[list[int], list[int], list[int]]] = {
    "pixel unshuffle": ([1, 4, 3, 2, 2, 3], [0, 1, 3, 5, 2, 4], [1, 24, 3, 2]),
    "unshuffle, rows of blocks first": ([0, 4, 3, 2, 3, 2], [0, 3, 5, 1, 2, 4], [1, -1, 3, 3]),
    "pixel shuffle": ([1, 1, 2, 2, 6, 6], [0, 1, 4, 2, 5, 3], [1, 1, 12, 12]),
    "depth to space": ([1, 2, 2, 1, 6, 6], [0, 3, 4, 1, 5, 2], [1, 1, 12, 12]),
    "rows shuffled, columns unshuffled": ([1, 2, 2, 6, 3, 2], [0, 2, 5, 3, 1, 4], [1, 4, 12, 3]),
    "channel shuffle": ([1, 2, 2, 6, 6], [0, 2, 1, 3, 4], [1, 4, 6, 6]),
    "there and back": ([1, 4, 36], [0, 2, 1], [1, 6, 6, 4]),
}


@pytest.mark.parametrize("opset", [9, 13, 17, 22])
@pytest.mark.parametrize("case", SHUFFLES)
def test_reshape_transpose_reshape(case: str, opset: int) -> None:
    first, perm, last = SHUFFLES[case]
    nodes = [node("Reshape", "x first", "a"), node("Transpose", "a", "b", perm=perm), node("Reshape", "b last", "c")]
    nodes.append(node("Transpose", "c", perm=[0, 3, 1, 2]) if case == "there and back" else node("Identity", "c"))
    shape = (4, 6, 6)
    check(opset, nodes, {"first": np.array(first), "last": np.array(last)}, shape)


def test_channels_last_between_the_reshapes() -> None:
    """space_to_depth of TensorFlow, and back to channels first."""
    nodes = [
        node("Transpose", "x", "l", perm=[0, 2, 3, 1]),
        node("Reshape", "l first", "a"),
        node("Transpose", "a", "b", perm=[0, 1, 3, 2, 4, 5]),
        node("Reshape", "b last", "c"),
        node("Transpose", "c", perm=[0, 3, 1, 2]),
    ]
    check(13, nodes, {"first": np.array([1, 3, 2, 2, 3, 4]), "last": np.array([1, 3, 2, 24])}, (4, 6, 6))


@pytest.mark.parametrize("opset", [9, 13, 22])
def test_upsampling_by_expansion(opset: int) -> None:
    """Each row twice and each column three times, behind their axes."""
    nodes = [
        node("Reshape", "x cut", "u"),
        node("Expand", "u shape", "e"),
        node("Reshape", "e last"),
    ]
    constants = {"cut": [1, 4, 3, 1, 5, 1], "shape": [1, 1, 3, 2, 1, 3], "last": [1, 4, 6, 15]}
    check(opset, nodes, {name: np.array(values) for name, values in constants.items()}, (4, 3, 5))


@pytest.mark.parametrize("opset", [13, 17, 22])
@pytest.mark.parametrize("last", [False, True])
def test_upsampling_by_tiles(last: bool, opset: int) -> None:
    """UpSampling2D of Keras, as its export and tf2onnx write it: an axis behind rows is tiled, then one behind columns."""
    nodes = [
        *([node("Transpose", "x", "l", perm=[0, 2, 3, 1])] if last else []),
        node("Unsqueeze", "l two" if last else "x three", "u"),
        node("Tile", "u twice" if last else "u rows", "t"),
        *([] if last else [node("Transpose", "t", "p", perm=[0, 2, 3, 4, 1])]),
        node("Reshape", "t higher" if last else "p higher", "high"),
        node("Unsqueeze", "high three", "v"),
        node("Tile", "v thrice", "w"),
        node("Reshape", "w wider", "z"),
        node("Transpose", "z", perm=[0, 3, 1, 2]),
    ]
    constants = {
        "two": [2],
        "three": [3],
        "twice": [1, 1, 2, 1, 1],
        "rows": [1, 1, 1, 2, 1],
        "higher": [-1, 6, 5, 4],
        "thrice": [1, 1, 1, 3, 1],
        "wider": [1, 6, 15, 4],
    }
    check(opset, nodes, {name: np.array(values) for name, values in constants.items()}, (4, 3, 5))


@pytest.mark.parametrize("counts", [[1, 1, 2, 1, 1], [1, 2, 1, 1, 1], [1, 1, 1, 0, 1], [1, 1, 1, 2]])
def test_tiles_that_are_no_upsampling(counts: list[int]) -> None:
    """Whole maps side by side, or nothing at all, while an axis of one entry stands among them."""
    nodes = [node("Unsqueeze", "x three", "u"), node("Tile", "u counts", "t"), node("Reshape", "t flat", "y")]
    constants = {"three": np.array([3]), "counts": np.array(counts), "flat": np.array([1, 4, -1, 5])}
    model = build(13, nodes, constants, (1, 4, 3, 5))
    with pytest.raises(
        UnsupportedModelError, match=r"repeats axes \[1, 4, 3, 1, 5\] .* times; only those of one entry can be here"
    ):
        read(model.SerializeToString())


@pytest.mark.parametrize("opset", [9, 13])
def test_gray_expanded_to_colors(opset: int) -> None:
    check(opset, [node("Expand", "x s")], {"s": np.array([1, 3, 1, 1])}, (1, 3, 5))
    check(opset, [node("Tile", "x s")], {"s": np.array([1, 3, 1, 1])}, (2, 3, 5))
    check(opset, [node("Tile", "x s")], {"s": np.array([1, 1, 2, 3])}, (2, 3, 5))
    check(opset, [node("Expand", "x s")], {"s": np.array([1, 4, 1, 1])}, (4, 3, 5))


@pytest.mark.parametrize("axes", [(2, 3), (3,), (2,)])
@pytest.mark.parametrize("opset", [9, 13, 18])
def test_single_rows_and_columns_are_repeated(opset: int, axes: tuple[int, ...]) -> None:
    """Means over space beside the map, as global branches of classifiers and ASPP are written."""
    wide = (
        np.array([1, 4, 6, 5]),
        np.array([4, 6, 5]),
        np.array([1, 1, *(6 if 2 in axes else 1, 5 if 3 in axes else 1)]),
    )
    kernel = [6 if 2 in axes else 1, 5 if 3 in axes else 1]
    mean = node("AveragePool", "x", "m", kernel_shape=kernel)
    for target in wide:
        check(opset, [mean, node("Expand", "m s", "e"), node("Add", "x e")], {"s": target}, (4, 6, 5))
    check(opset, [mean, node("Tile", "m s", "e"), node("Sub", "e x")], {"s": np.array([1, 1, *kernel])}, (4, 6, 5))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Sum"])
@pytest.mark.parametrize("reversed_", [False, True])
def test_maps_are_broadcast(operator: str, reversed_: bool) -> None:
    inputs = "m x" if reversed_ else "x m"
    for kernel in ([6, 5], [6, 1], [1, 5]):
        check(13, [node("AveragePool", "x", "m", kernel_shape=kernel), node(operator, inputs)], {}, (4, 6, 5))
    check(13, [node("Conv", "x w", "m"), node(operator, inputs)], {"w": numbers(1, 4, 1, 1)}, (4, 6, 5))
    check(13, [node("Conv", "x w", "m"), node(operator, inputs)], {"w": numbers(1, 4, 6, 5)}, (4, 6, 5))


def _circular(
    axes: tuple[int, ...], before: int, after: int
) -> tuple[list[NodeProto], dict[str, npt.NDArray[np.generic]]]:
    """Circular padding as PyTorch exports it: the last and the first rows beside the map, axis after axis."""
    nodes, last = [], "x"
    constants: dict[str, npt.NDArray[np.generic]] = {
        "last": np.array([-before]),
        "first": np.array([after]),
        "zero": np.array([0]),
        "end": np.array([2**31]),
    }
    for axis in axes:
        constants[f"axis{axis}"] = np.array([axis])
        nodes += [
            node("Slice", f"{last} last end axis{axis}", f"b{axis}"),
            node("Slice", f"{last} zero first axis{axis}", f"a{axis}"),
            node("Concat", f"b{axis} {last} a{axis}", f"c{axis}", axis=axis),
        ]
        last = f"c{axis}"
    return [*nodes, node("Conv", f"{last} w")], constants | {"w": numbers(4, 4, 3, 3)}


@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3), (3, 2)])
@pytest.mark.parametrize("amounts", [(1, 1), (2, 1), (3, 4)])
def test_pixels_of_one_map_side_by_side_are_picked_at_once(axes: tuple[int, ...], amounts: tuple[int, int]) -> None:
    graph = check(13, *_circular(axes, *amounts), (4, 6, 5))
    kinds = [type(each.op).__name__ for each in graph.nodes]
    assert kinds.count("Resample") == 1
    assert kinds.count("Conv") == 4


def test_pixels_of_two_maps_side_by_side_are_added() -> None:
    nodes = [node("Relu", "x", "q"), node("Slice", "q zero one two", "s"), node("Concat", "s x", axis=2)]
    graph = check(13, nodes, {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])}, (4, 6, 5))
    assert "Resample" not in [type(each.op).__name__ for each in graph.nodes]
    rolled = [
        node("Slice", "x three end two", "b"),
        node("Slice", "x zero three two", "a"),
        node("Relu", "a", "q"),
        node("Concat", "b q", axis=2),
    ]
    constants = {"zero": np.array([0]), "three": np.array([3]), "two": np.array([2]), "end": np.array([99])}
    check(13, rolled, constants, (4, 6, 5))


def test_axes_of_one_entry_come_and_go() -> None:
    nodes = [
        node("Flatten", "x", "f", axis=2),
        node("Reshape", "f back", "b"),
        node("Unsqueeze", "b two", "u"),
        node("Squeeze", "u two", "s"),
        node("Squeeze", "s zero", "t"),
        node("Unsqueeze", "t zero"),
    ]
    check(13, nodes, {"back": np.array([1, 4, 6, 5]), "zero": np.array([0]), "two": np.array([0, 3])}, (4, 6, 5))


@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("out", ["last", "first"])
def test_a_reshape_of_one_channel_is_a_transposition(batch: int | str, out: str) -> None:
    """At the input, and at the output: tf2onnx writes it so, with its batch as -1 where that is open."""
    nodes: list[NodeProto] = [
        node("Reshape", "x first", "c"),
        node("Conv", "c w b", "d", pads=[1, 1, 1, 1]),
        node("Relu", "d", "e"),
        node("Conv", "e v", "y" if out == "first" else "f"),
    ]
    if out == "last":
        nodes.append(node("Reshape", "f last"))
    length = -1 if batch == "n" else 1
    constants = {
        "first": np.array([length, 1, 6, 8]),
        "last": np.array([length, 6, 8, 1]),
        "w": numbers(3, 1, 3, 3),
        "b": numbers(3),
        "v": numbers(1, 3, 1, 1),
    }
    model = build(13, nodes, constants, (batch, 6, 8, 1))
    given = model.SerializeToString()
    assert own_channels(given) == 1
    assert own_size(given) == (6, 8)
    imported = read(given)
    x = numbers(1, 6, 8, 1)
    assert imported.channels_last
    for graph in (imported.graph, normal_form(imported.graph)):
        (made,) = run(to_onnx(graph), x.transpose(0, 3, 1, 2))
        assert relative(run(model, x)[0], made) < 1e-5


def test_a_flattened_output_keeps_its_map() -> None:
    """(N, H W, C), as Keras writes segmentation: the values are those of a map with channels last."""
    nodes = [node("Transpose", "x", "l", perm=[0, 2, 3, 1]), node("Reshape", "l flat")]
    model = build(13, nodes, {"flat": np.array([1, 48, 4])}, (1, 4, 6, 8))
    x = numbers(1, 4, 6, 8)
    (made,) = run(to_onnx(read(model.SerializeToString()).graph), x)
    assert np.array_equal(made.reshape(1, 48, 4), run(model, x)[0])
