"""Further inputs of a model become constants, and the model computes what it did with them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx import describe_constants, fix_inputs, read, session, to_onnx

RNG = np.random.default_rng(0)
IMAGE = RNG.random((1, 1, 6, 8), np.float32)


def two_inputs(second: list[int | str | None], kind: int = TensorProto.FLOAT) -> bytes:
    """Image and another map, joined and convolved; a level is tiled to the image's size first."""
    level = second[2:] == [1, 1]
    tile = [helper.make_node("Tile", ["level", "times"], ["map"])] if level else []
    nodes = [
        *tile,
        helper.make_node("Concat", ["x", "map" if level else "level"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"]),
            helper.make_tensor_value_info("level", kind, second),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2, None, None])],
        [
            numpy_helper.from_array(RNG.random((2, 2, 3, 3), np.float32), "w"),
            numpy_helper.from_array(np.array([1, 1, 6, 8]), "times"),
        ],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("second", [[1, 1, 1, 1], ["n", 1, 1, 1], [1, 1, 6, 8], ["n", 1, "h", "w"], [1, 1, None, None]])
def test_the_model_computes_the_same(second: list[int | str | None]) -> None:
    model = two_inputs(second)
    shape = (1, 1, 1, 1) if second[2:] == [1, 1] else IMAGE.shape
    (expected,) = session(model).run(["y"], {"x": IMAGE, "level": np.full(shape, 0.25, np.float32)})
    fixed = fix_inputs(model, {"level": 0.25})
    (found,) = session(fixed).run(["y"], {"x": IMAGE})
    assert np.array_equal(found, expected)
    assert read(fixed, (6, 8)).graph.input_shape == (1, 6, 8)


def normalized() -> bytes:
    """Channels last, less a mean and over a deviation that are inputs: what Keras' own export makes of its layer Normalization."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, 3]) for name in ("Sub/y:0", "Sqrt/x:0")]
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["x", "Sub/y:0"], ["centered"]),
            helper.make_node("Sqrt", ["Sqrt/x:0"], ["deviation"]),
            helper.make_node("Div", ["centered", "deviation"], ["scaled"]),
            helper.make_node("Transpose", ["scaled"], ["first"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["first", "w"], ["y"], pads=[1, 1, 1, 1]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6, 8, 3]), *values],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2, 6, 8])],
        [numpy_helper.from_array(np.random.default_rng(1).random((2, 3, 3, 3), np.float32), "w")],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def test_an_input_takes_as_many_numbers_as_it_has_entries() -> None:
    model, mean, variance = normalized(), (0.485, 0.456, 0.406), [0.0524, 0.0502, 0.0506]
    x = np.random.default_rng(2).random((1, 6, 8, 3), np.float32)
    rows = (np.array(numbers, np.float32).reshape(1, 1, 1, 3) for numbers in (mean, variance))
    given = dict(zip(("x", "Sub/y:0", "Sqrt/x:0"), (x, *rows), strict=True))
    (expected,) = session(model).run(["y"], given)
    constants = {"Sub/y:0": mean, "Sqrt/x:0": variance}
    fixed = fix_inputs(model, constants)
    assert np.array_equal(session(fixed).run(["y"], {"x": x})[0], expected)
    imported = read(fixed)
    (made,) = session(to_onnx(imported.graph).SerializeToString()).run(None, {"x": x.transpose(0, 3, 1, 2)})
    assert np.abs(made - expected).max() < 1e-4 * np.abs(expected).max()
    assert describe_constants(constants) == "Sub/y:0 = 0.485, 0.456, 0.406; Sqrt/x:0 = 0.0524, 0.0502, 0.0506"
    for numbers in ((0.1, 0.2), (0.1, 0.2, 0.3, 0.4), ()):
        with pytest.raises(
            ModelError, match=rf"{len(numbers)} numbers for input 'Sub/y:0' of shape \[1, 1, 1, 3\]; give one or 3$"
        ):
            fix_inputs(model, {**constants, "Sub/y:0": numbers})


def test_maps_take_one_number_for_each_channel() -> None:
    model = two_inputs(["n", 1, "h", "w"])
    with pytest.raises(ModelError, match=r"2 numbers for input 'level' of shape \[1, 1, 1, 1\]; give one$"):
        fix_inputs(model, {"level": [0.1, 0.2]})


def test_what_cannot_be_fixed_is_refused() -> None:
    model = two_inputs([1, 1, 6, 8])
    with pytest.raises(ModelError, match=r"has no input 'sigma'; its inputs are x, level$"):
        fix_inputs(model, {"sigma": 0.1})
    with pytest.raises(ModelError, match=r"0 inputs are left; all but the image must be constants: name all but one$"):
        fix_inputs(model, {"x": 0.1, "level": 0.1})
    with pytest.raises(ModelError, match=r"input 'level' does not hold floats; only these can be made constants$"):
        fix_inputs(two_inputs([1, 1, 6, 8], TensorProto.INT64), {"level": 1})
    with pytest.raises(ModelError, match=r"input 'level' has the shape .*, more than 16777216 numbers$"):
        fix_inputs(two_inputs([1, 1, 2**13, 2**13]), {"level": 1})
