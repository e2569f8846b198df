"""Small ONNX files that would take minutes or gigabytes if their work were not bounded before it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from tests.frontend.oracle import build, node, numbers

Bomb = Callable[[], bytes]
BOMBS: dict[str, Bomb] = {}
INTEGER = helper.make_tensor("value", TensorProto.INT64, [1], [0])


def bomb(make: Callable[[], ModelProto]) -> Callable[[], ModelProto]:
    """Register a builder under its name."""
    BOMBS[make.__name__] = lambda: bytes(make().SerializeToString())
    return make


def one(
    *nodes: NodeProto, size: tuple[int, ...] = (1, 1, 8, 8), opset: int = 17, outputs: Any = ("y",), **constants: Any
) -> ModelProto:
    model: ModelProto = build(opset, list(nodes), constants, size, outputs)
    return model


def chained(operator: str, count: int, **attributes: Any) -> list[NodeProto]:
    names = ["x", *(f"v{index}" for index in range(count - 1)), "y"]
    return [node(operator, before, after, **attributes) for before, after in zip(names, names[1:], strict=False)]


# ---------------------------------------------------------------------- total work


@bomb
def same_names() -> ModelProto:
    nodes = chained("Neg", 30_000)
    for item in nodes:
        item.name = "n"
    return one(*nodes)


@bomb
def same_names_below_the_limit() -> ModelProto:
    nodes = chained("Relu", 9_000)
    for item in nodes:
        item.name = "n"
    return one(*nodes)


@bomb
def deep_neg() -> ModelProto:
    return one(*chained("Neg", 20_000))


@bomb
def deep_neg_below_the_limit() -> ModelProto:
    return one(*chained("Neg", 9_900))


@bomb
def deep_relu_and_pool() -> ModelProto:
    return one(*chained("MaxPool", 9_000, kernel_shape=[1, 1]))


def functions(count: int, calls: int, leaf: list[NodeProto]) -> ModelProto:
    """``count`` functions, each of which calls the next one ``calls`` times."""
    model = one(helper.make_node("f0", ["x"], ["y"], domain="own"))
    model.opset_import.append(helper.make_opsetid("own", 1))
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for index in range(count):
        if index == count - 1:
            body = leaf
        else:
            names = ["a", *(f"t{call}" for call in range(calls - 1)), "b"]
            body = [
                helper.make_node(f"f{index + 1}", [before], [after], domain="own")
                for before, after in zip(names, names[1:], strict=False)
            ]
        model.functions.append(helper.make_function("own", f"f{index}", ["a"], ["b"], body, sets))
    return model


@bomb
def bomb_functions() -> ModelProto:
    return functions(26, 2, [node("Relu", "a", "b")])


@bomb
def functions_in_a_circle() -> ModelProto:
    return functions(3, 2, [helper.make_node("f0", ["a"], ["b"], domain="own")])


@bomb
def functions_with_large_constants() -> ModelProto:
    large = helper.make_tensor("t", TensorProto.FLOAT, [2**16], np.zeros(2**16, np.float32).tobytes(), raw=True)
    return functions(11, 2, [helper.make_node("Constant", [], ["c"], value=large), node("Relu", "a", "b")])


@bomb
def slow_constants() -> ModelProto:
    nodes = [
        node("ConstantOfShape", "many", "data0"),
        node("ConstantOfShape", "indices_shape", "indices", value=INTEGER),
    ]
    nodes += [node("ScatterND", f"data{index} indices data0", f"data{index + 1}") for index in range(60)]
    return one(*nodes, node("Add", "x data60"), many=np.array([2**18]), indices_shape=np.array([2**18, 1]))


@bomb
def many_constants() -> ModelProto:
    names = [f"k{index}" for index in range(9_000)]
    nodes = [node("Neg", before, after) for before, after in zip(names, names[1:], strict=False)]
    return one(*nodes, node("Add", f"x {names[-1]}"), k0=np.float32(1))


@bomb
def cast_to_string() -> ModelProto:
    return one(
        node("ConstantOfShape", "many", "k"),
        node("Cast", "k", "s", to=TensorProto.STRING),
        node("Cast", "s", "f", to=TensorProto.FLOAT),
        node("Add", "x f"),
        many=np.array([2**24]),
    )


@bomb
def cast_to_eight_bit_floats() -> ModelProto:
    return one(
        node("ConstantOfShape", "many", "k"),
        node("Cast", "k", "s", to=TensorProto.FLOAT8E4M3FN),
        node("Cast", "s", "f", to=TensorProto.FLOAT),
        node("Add", "x f"),
        opset=19,
        many=np.array([2**23]),
    )


@bomb
def add_doubling() -> ModelProto:
    names = ["x", *(f"v{index}" for index in range(39)), "y"]
    return one(*(node("Add", f"{before} {before}", after) for before, after in zip(names, names[1:], strict=False)))


@bomb
def add_doubling_of_convolutions() -> ModelProto:
    names = ["c", *(f"v{index}" for index in range(12)), "y"]
    return one(
        node("Conv", "x w", "c", pads=[1] * 4),
        *(node("Add", f"{before} {before}", after) for before, after in zip(names, names[1:], strict=False)),
        w=numbers(256, 1, 3, 3),
    )


@bomb
def sum_of_many() -> ModelProto:
    return one(node("Sum", "x " * 5_000, "s"), node("Sum", "s " * 5_000))


@bomb
def concat_doubling() -> ModelProto:
    names = ["x", *(f"v{index}" for index in range(12)), "c"]
    nodes = [
        node("Concat", f"{before} {before}", after, axis=1) for before, after in zip(names, names[1:], strict=False)
    ]
    return one(*nodes, node("Relu", "c", "r"), node("MaxPool", "r", kernel_shape=[2, 2]))


@bomb
def concat_into_an_output() -> ModelProto:
    names = ["x", *(f"v{index}" for index in range(12)), "y"]
    return one(
        *(node("Concat", f"{before} {before}", after, axis=1) for before, after in zip(names, names[1:], strict=False))
    )


@bomb
def deep_maxpool_relu() -> ModelProto:
    nodes, last = [], "x"
    for index in range(3_000):
        nodes += [node("MaxPool", last, f"p{index}", kernel_shape=[1, 1]), node("Relu", f"p{index}", f"r{index}")]
        last = f"r{index}"
    return one(*nodes, node("Identity", last))


@bomb
def outputs_many() -> ModelProto:
    return one(
        *(node("Neg", "x", f"y{index}") for index in range(5_000)), outputs=[f"y{index}" for index in range(5_000)]
    )


@bomb
def resize_many() -> ModelProto:
    nodes = [node("Resize", "x - scales", f"r{index}", mode="cubic", cubic_coeff_a=-index / 100) for index in range(60)]
    sums = [node("Sum", " ".join(f"r{index}" for index in range(60)))]
    return one(*nodes, *sums, size=(1, 1, 2048, 2048), scales=np.array([1, 1, 2, 2], np.float32))


@bomb
def resize_many_small() -> ModelProto:
    nodes = [
        node("Resize", "x - scales", f"r{index}", mode="cubic", cubic_coeff_a=-index / 1e4) for index in range(5_000)
    ]
    return one(
        *nodes, node("Sum", " ".join(f"r{index}" for index in range(5_000))), scales=np.array([1, 1, 2, 2], np.float32)
    )


@bomb
def maxpool_wide_big() -> ModelProto:
    return one(node("MaxPool", "x", kernel_shape=[16, 16]), size=(1, 64, 32, 32))


@bomb
def maxpool_wide_and_many() -> ModelProto:
    nodes = chained("MaxPool", 200, kernel_shape=[16, 16], pads=[15, 15, 0, 0])
    return one(*nodes, size=(1, 8, 16, 16))


@bomb
def maxpool_of_many_channels() -> ModelProto:
    return one(node("MaxPool", "x", kernel_shape=[16, 16]), size=(1, 8192, 16, 16))


@bomb
def pixels_from_everywhere() -> ModelProto:
    """An average over the whole map for every pixel: 2**48 links."""
    return one(
        node("AveragePool", "x", kernel_shape=[4096, 4096], pads=[4095, 4095, 0, 0], count_include_pad=0),
        size=(1, 1, 4096, 4096),
    )


# ---------------------------------------------------------------------- total memory


@bomb
def gather_many() -> ModelProto:
    return one(
        node("ConstantOfShape", "many", "k", value=INTEGER),
        node("Gather", "x k", axis=1),
        size=(1, 32, 8, 8),
        many=np.array([2**24]),
    )


@bomb
def gather_wide() -> ModelProto:
    nodes = [node("ConstantOfShape", "many", "k", value=INTEGER)]
    nodes += [node("Gather", "x k", f"g{index}", axis=1) for index in range(40)]
    return one(
        *nodes, node("Sum", " ".join(f"g{index}" for index in range(40))), size=(1, 8192, 8, 8), many=np.array([8192])
    )


@bomb
def shared_weights() -> ModelProto:
    nodes = [node("Conv", "x w", f"c{index}") for index in range(400)]
    return one(
        *nodes,
        node("Sum", " ".join(f"c{index}" for index in range(400))),
        size=(1, 256, 4, 4),
        w=numbers(1024, 256, 1, 1),
    )


@bomb
def bomb_constants() -> ModelProto:
    nodes = [node("ConstantOfShape", "many", f"k{index}") for index in range(200)]
    return one(
        *nodes,
        node("Add", "x k0", "z"),
        *(node("Add", f"x k{index}", f"y{index}") for index in range(1, 200)),
        node("Sum", "z " + " ".join(f"y{index}" for index in range(1, 200))),
        many=np.array([2**22]),
    )


@bomb
def batch_huge() -> ModelProto:
    return one(node("Slice", "x start end"), size=(2**28, 1, 8, 8), start=np.array([0]), end=np.array([2**40]))


@bomb
def side_huge() -> ModelProto:
    return one(
        node("Slice", "x start end axis"),
        size=(1, 1, 1, 2**27),
        start=np.array([0]),
        end=np.array([9]),
        axis=np.array([1]),
    )


@bomb
def depthwise_made_dense() -> ModelProto:
    names = " ".join(["x"] * 2)
    return one(
        node("Concat", names, "c", axis=1),
        node("Conv", "c w", group=4096),
        size=(1, 4096, 4, 4),
        w=numbers(4096, 2, 1, 1),
    )


@bomb
def depthwise_after_concat() -> ModelProto:
    return one(
        node("Slice", "x start end axis", "part"),
        node("Concat", "part x part", "c", axis=1),
        node("Conv", "c w", group=2732),
        size=(1, 8190, 4, 4),
        start=np.array([0]),
        end=np.array([3]),
        axis=np.array([1]),
        w=numbers(2732, 3, 1, 1),
    )


@bomb
def channels_doubled() -> ModelProto:
    return one(node("Pad", "x pads"), size=(1, 4096, 8, 8), pads=np.array([0, 2048, 0, 0, 0, 2048, 0, 0]))


@bomb
def blocks_of_channels() -> ModelProto:
    nodes, last = [], "x"
    for index in range(20):
        nodes += [
            node("SpaceToDepth", last, f"s{index}", blocksize=32),
            node("DepthToSpace", f"s{index}", f"d{index}", blocksize=32),
        ]
        last = f"d{index}"
    return one(*nodes, node("Identity", last), size=(1, 8, 64, 64))


@bomb
def biases_by_pixel() -> ModelProto:
    nodes = [node("Add", "x k", "a"), node("Conv", "a w", pads=[1] * 4)]
    return one(*nodes, size=(1, 1, 4096, 4096), k=np.float32(1), w=numbers(8, 1, 3, 3))


@bomb
def upsampled_kernels() -> ModelProto:
    return one(
        node("Resize", "x - scales", "u", mode="nearest"),
        node("Conv", "u w", pads=[0] * 4),
        size=(1, 64, 4, 4),
        w=numbers(64, 64, 1, 1),
        scales=np.array([1, 1, 256, 256], np.float32),
    )


@bomb
def constants_broadcast() -> ModelProto:
    return one(
        node("ConstantOfShape", "tall", "a"),
        node("ConstantOfShape", "wide", "b"),
        node("Add", "a b", "c"),
        node("Add", "x c"),
        tall=np.array([2**20, 1]),
        wide=np.array([1, 2**20]),
    )
