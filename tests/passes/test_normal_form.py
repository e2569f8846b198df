"""The passes: the same function, in normal form, as small as it can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.errors import GraphError
from snn_deploy.frontend.onnx import to_onnx
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import (
    Add,
    Affine,
    AveragePool,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Host,
    LeakyRelu,
    Linear,
    MaxPool,
    Nearest,
    Op,
    Relay,
    Relu,
    Resample,
)
from snn_deploy.passes import PASSES, Form, normal_form
from snn_deploy.passes.check import check_normal_form
from snn_deploy.passes.gather_sums import _Walk

Array = npt.NDArray[np.float64]
SHAPE = (4, 8, 6)


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed + sum(shape)).normal(0.1, 0.6, shape)


def conv(outputs: int, inputs: int, window: int = 3, *, seed: int = 0, pads: int = 1) -> Conv:
    weight = numbers(outputs, inputs, window, window, seed=seed)
    return Conv(weight, numbers(outputs, seed=seed), pads=(pads,) * 4)


def affine(channels: int, seed: int = 3) -> Affine:
    return Affine(numbers(channels, seed=seed), numbers(channels, seed=seed + 1))


def graph(*nodes: tuple[str, Op, str], outputs: str = "y", shape: tuple[int, int, int] = SHAPE) -> Graph:
    """A graph from (name, operator, inputs separated by blanks); the input is ``x``."""
    made = tuple(Node(name, op, tuple(inputs.split())) for name, op, inputs in nodes)
    return Graph("case", "x", shape, made, tuple((name, name) for name in outputs.split()))


def run(given_graph: Graph, x: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """The outputs, in order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(to_onnx(given_graph).SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(None, {"x": x}), strict=True))
    return [values.get(value, x) for _, value in given_graph.outputs]


def same(left: Graph, right: Graph) -> Graph:
    """``two``, after checking that it computes what ``one`` does.

    1e-5 of the largest value (of 1 at least, the size of what is subtracted inside): float32 sums in another order.
    """
    x = numbers(2, *left.input_shape, seed=11).astype(np.float32)
    for a, b in zip(run(left, x), run(right, x), strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-5 * max(np.abs(a).max(), 1.0)
    return right


def kinds(form: Graph) -> list[str]:
    return [type(node.op).__name__ for node in form.nodes]


def test_a_residual_net_with_a_skip() -> None:
    net = graph(
        ("c", conv(4, 4), "x"),
        ("bn", affine(4), "c"),
        ("r", Relu(), "bn"),
        ("p", AveragePool((2, 2), (2, 2)), "r"),
        ("d", conv(6, 4, seed=1), "p"),
        ("e", Relu(), "d"),
        ("u", ConvTranspose(numbers(6, 3, 2, 2), numbers(3), (2, 2)), "e"),
        ("j", Concat(), "r u"),
        ("h", conv(4, 7, seed=2), "j"),
        ("minus", Affine(-np.ones(4), np.zeros(4)), "h"),
        ("y", Add(), "x minus"),
    )
    form = same(net, normal_form(net))
    assert form.dump() == (
        "x: 4x8x6 = input\n"
        "r<-x: 4x8x6 = Conv(x)\n"
        "r: 4x8x6 = Relu(r<-x)\n"
        "p<-r: 4x4x3 = AveragePool(r)\n"
        "p: 4x4x3 = Relay(p<-r)\n"
        "e<-p: 6x4x3 = Conv(p)\n"
        "e: 6x4x3 = Relu(e<-p)\n"
        "u<-e: 3x8x6 = ConvTranspose(e)\n"
        "u: 3x8x6 = Linear(u<-e)\n"
        "y<-x: 4x8x6 = Conv(x)\n"
        "y<-r: 4x8x6 = Conv(r)\n"
        "y<-u: 4x8x6 = Conv(u)\n"
        "y: 4x8x6 = Add(y<-x, y<-r, y<-u)\n"
        "output y = y\n"
    )


@pytest.mark.parametrize(
    ("low", "high", "nodes", "apart"),
    [
        (0.0, 0.3, ["Conv", "Relu", "Conv"], ["Conv", "Relu", "Conv", "Relu", "Conv", "Conv", "Add"]),
        (-0.2, 0.3, ["Conv", "Relu", "Conv"], ["Conv", "Relu", "Conv", "Relu", "Conv", "Conv", "Add"]),
        (-0.2, np.inf, ["Conv", "Relu", "Conv"], ["Conv", "Relu", "Conv"]),
        (-np.inf, 0.3, ["Conv", "Relu", "Conv"], ["Conv", "Relu", "Conv"]),
    ],
)
def test_a_clip_is_one_population_where_neurons_have_a_largest_count(
    low: float, high: float, nodes: list[str], apart: list[str]
) -> None:
    net = graph(("c", conv(4, 4), "x"), ("r", Clip(low, high), "c"), ("y", conv(2, 4, seed=1), "r"))
    form = same(net, normal_form(net))
    assert kinds(form) == nodes
    (relu,) = (node for node in form.nodes if isinstance(node.op, Relu))
    limit = relu.op.limit  # type: ignore[attr-defined]
    assert (limit is None) == (not np.isfinite(low) or not np.isfinite(high))
    if limit is not None:
        assert np.array_equal(limit, np.full(4, high - low))
    assert kinds(same(net, normal_form(net, Form(limited=False)))) == apart


def test_a_limit_after_a_relu_stays_and_a_relu_after_a_limit_goes() -> None:
    net = graph(
        ("c", conv(4, 4), "x"),
        ("r", Relu(), "c"),
        ("six", Clip(0.0, 0.3), "r"),
        ("again", Relu(), "six"),
        ("y", conv(2, 4, seed=1), "again"),
    )
    form = same(net, normal_form(net))
    assert kinds(form) == ["Conv", "Relu", "Conv", "Relu", "Conv"]


def test_limits_of_a_concat_go_with_their_channels() -> None:
    limit = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    net = graph(
        ("a", conv(4, 4), "x"),
        ("b", conv(3, 4, seed=1), "x"),
        ("j", Concat(), "a b"),
        ("r", Relu(limit), "j"),
        ("y", conv(2, 7, seed=2), "r"),
    )
    form = same(net, normal_form(net))
    limits = [node.op.limit for node in form.nodes if isinstance(node.op, Relu)]
    assert [list(each) for each in limits if each is not None] == [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7]]


def test_normal_form_is_a_fixed_point() -> None:
    """Of a tournament, and of a bias that differs from pixel to pixel."""
    net = graph(
        ("l", LeakyRelu(np.full(4, 0.2)), "x"),
        ("m", MaxPool((3, 3), (2, 2), (1, 1, 1, 1)), "l"),
        ("b", affine(4), "m"),
        ("c", conv(4, 4), "b"),
        ("y", Clip(-0.2, 0.4), "c"),
    )
    once = normal_form(net)
    assert same(net, normal_form(once)).dump() == same(net, once).dump()


@pytest.mark.parametrize("position", range(1, len(PASSES) + 1))
def test_every_pass_keeps_the_function(position: int) -> None:
    net = graph(
        ("c", conv(4, 4), "x"),
        ("m", MaxPool((2, 2), (2, 2)), "c"),
        ("r", Relu(), "m"),
        ("l", LeakyRelu(numbers(4)), "r"),
        ("k", Clip(0.0, 0.5), "c"),
        ("p", AveragePool((2, 2), (2, 2)), "k"),
        ("j", Concat(), "l p r"),
        ("b", affine(12), "j"),
        ("y", conv(3, 12, seed=5), "b"),
    )
    after = net
    for apply in PASSES[:position]:
        after = apply(after)
    same(net, after)


def test_constants_before_zero_padding_fade_at_the_border() -> None:
    net = graph(("r", Relu(), "x"), ("b", affine(4), "r"), ("c", conv(3, 4), "b"), ("y", Relu(), "c"))
    form = same(net, normal_form(net))
    (weighted,) = (node.op for node in form.nodes if isinstance(node.op, Conv) and node.op.weight.shape[2] == 3)
    assert weighted.bias.shape == (3, 8, 6)
    assert np.ptp(weighted.bias[:, 1:-1, 1:-1].reshape(3, -1), axis=1).max() < 1e-12


def test_constants_without_padding_stay_one_number_per_channel() -> None:
    net = graph(("r", Relu(), "x"), ("b", affine(4), "r"), ("c", conv(3, 4, pads=0), "b"), ("y", Relu(), "c"))
    form = same(net, normal_form(net))
    assert all(node.op.bias.ndim == 1 for node in form.nodes if isinstance(node.op, Conv))


WINDOWS = [
    ((2, 2), (2, 2), (0, 0, 0, 0)),
    ((3, 3), (2, 2), (1, 1, 1, 1)),
    ((3, 2), (1, 2), (2, 0, 1, 1)),
    ((1, 5), (1, 1), (0, 2, 0, 2)),
]


@pytest.mark.parametrize(("kernel", "strides", "pads"), WINDOWS)
@pytest.mark.parametrize("source", ["relu", "signed", "negative scale"])
def test_max_pool_is_a_tournament(
    kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, ...], source: str
) -> None:
    before: dict[str, Op] = {
        "relu": Relu(),
        "signed": conv(4, 4),
        "negative scale": Affine(-np.ones(4), numbers(4) - 3),
    }
    net = graph(("s", before[source], "x"), ("y", MaxPool(kernel, strides, pads), "s"))  # type: ignore[arg-type]
    form = same(net, normal_form(net))
    relays = [node for node in form.nodes if isinstance(node.op, Relay) and node.op.rectify]
    assert len(relays) == kernel[0] * kernel[1] - 1
    assert ("Resample" in kinds(form)) == (any(pads) and source != "relu")


def test_max_pool_of_three_by_three_has_four_rounds() -> None:
    form = normal_form(graph(("s", Relu(), "x"), ("y", MaxPool((3, 3), (1, 1)), "s")))
    depth: dict[str, int] = {"x": 0}
    for node in form.nodes:
        depth[node.name] = max(depth[name] for name in node.inputs) + isinstance(node.op, Relu | Relay)
    assert depth["y"] == 1 + 4 + 1


def test_relu_moves_before_max_pool() -> None:
    net = graph(("c", conv(4, 4), "x"), ("m", MaxPool((2, 2), (2, 2)), "c"), ("y", Relu(), "m"))
    assert "Linear" not in kinds(same(net, normal_form(net)))


def test_max_pool_goes_through_concat_and_positive_scales() -> None:
    net = graph(
        ("r", Relu(), "x"),
        ("c", conv(3, 4), "x"),
        ("s", Relu(), "c"),
        ("j", Concat(), "r s"),
        ("b", Affine(np.abs(numbers(7)) + 0.1, numbers(7)), "j"),
        ("m", MaxPool((2, 2), (2, 2)), "b"),
        ("y", conv(2, 7), "m"),
    )
    form = same(net, normal_form(net))
    assert "Linear" not in kinds(form)


@pytest.mark.parametrize("negative", [1.0, -1.0])
def test_concat_is_shared_by_pool_and_skip(negative: float) -> None:
    net = graph(
        ("r", Relu(), "x"),
        ("u", conv(3, 4), "r"),
        ("b", Affine(np.full(3, negative), np.zeros(3)), "u"),
        ("j", Concat(), "b r b"),
        ("c", conv(4, 10), "j"),
        ("d", conv(4, 10, seed=4), "j"),
        ("y", Add(), "c d"),
    )
    form = same(net, normal_form(net))
    assert kinds(form).count("Linear") == 1


def test_leaky_relu_needs_no_third_population() -> None:
    net = graph(
        ("c", conv(4, 4), "x"), ("l", LeakyRelu(numbers(4)), "c"), ("d", conv(3, 4, seed=1), "l"), ("y", Relu(), "d")
    )
    form = same(net, normal_form(net))
    assert sorted(kinds(form)) == ["Add", "Conv", "Conv", "Conv", "Conv", "Relu", "Relu", "Relu"]


@settings(max_examples=40, deadline=None)
@given(
    window=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    scale=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_repetition_and_convolution_compose(
    window: tuple[int, int], scale: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    pads = tuple(data.draw(st.integers(0, window[axis % 2] - 1)) for axis in range(4))
    op = Conv(numbers(3, 4, *window, seed=seed), numbers(3), pads=pads)  # type: ignore[arg-type]
    if 8 * scale[0] + pads[0] + pads[2] < window[0] or 6 * scale[1] + pads[1] + pads[3] < window[1]:
        return
    net = graph(("r", Relu(), "x"), ("n", Nearest(scale), "r"), ("y", op, "n"))
    form = same(net, normal_form(net))
    assert "Nearest" not in kinds(form)


@settings(max_examples=40, deadline=None)
@given(
    first=st.tuples(*[st.integers(-2, 2)] * 4), second=st.tuples(*[st.integers(-1, 2)] * 4), transposed=st.booleans()
)
def test_padding_and_cropping_around_convolutions(
    first: tuple[int, int, int, int], second: tuple[int, int, int, int], transposed: bool
) -> None:
    def shift(channels: int, pads: tuple[int, int, int, int]) -> Conv:
        return Conv(np.ones((channels, 1, 1, 1)), np.zeros(channels), pads=pads, groups=channels)

    weighted: Op = Conv(numbers(3, 4, 2, 2), numbers(3), (2, 1), second)
    if transposed:
        weighted = ConvTranspose(numbers(4, 3, 2, 2), numbers(3), (2, 2), (0, 1, 0, 0))
    net = graph(
        ("r", Relu(), "x"),
        ("b", affine(4), "r"),
        ("s", shift(4, first), "b"),
        ("c", weighted, "s"),
        ("y", shift(3, second), "c"),
        shape=(4, 12, 12),
    )
    same(net, normal_form(net))


@settings(max_examples=40, deadline=None)
@given(
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    crop=st.tuples(*[st.integers(-1, 1)] * 4),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_upsampling_fuses_with_what_reads_it(
    window: tuple[int, int], strides: tuple[int, int], crop: tuple[int, int, int, int], pads: tuple[int, int, int, int]
) -> None:
    """A decoder's step: upsampled and normalized, beside a skip, into a convolution that pads it with zeros."""
    up = ConvTranspose(numbers(4, 6, *window), numbers(6), strides, crop)
    height, width = (up.infer(((4, 8, 6),)))[1:]
    if min(height + pads[0] + pads[2], width + pads[1] + pads[3]) < 3:
        return
    net = graph(
        ("r", Relu(), "x"),
        ("u", up, "r"),
        ("b", affine(6), "u"),
        ("z", Relu(), "b"),
        ("j", Concat(), "b z"),
        ("c", Conv(numbers(2, 12, 3, 3), numbers(2), pads=pads), "j"),
        ("y", Relu(), "c"),
    )
    form = same(net, normal_form(net, Form(fused=True)))
    exact = all(now <= 0 or pad == 0 for now, pad in zip(crop, pads, strict=True))
    reached = all(2 - pad + now >= 0 for now, pad in zip(crop, pads, strict=True))
    cheap = (
        4 * 2 * (window[0] + 2) * (window[1] + 2) <= 4 * 6 * window[0] * window[1] + strides[0] * strides[1] * 2 * 6 * 9
    )
    assert ("Linear" not in kinds(form)) == (exact and reached and cheap)
    assert "Linear" in kinds(normal_form(net))


def test_outputs_that_are_activations_inputs_or_heads() -> None:
    net = graph(
        ("c", conv(4, 4), "x"),
        ("r", Relu(), "c"),
        ("b", affine(4), "r"),
        ("j", Concat(), "r x"),
        ("s", Host("sigmoid"), "c"),
        ("a", Host("argmax"), "s"),
        outputs="r x b j a c",
    )
    form = same(net, normal_form(net))
    assert [name for name, _ in form.outputs] == ["r", "x", "b", "j", "a", "c"]
    assert dict(form.outputs)["r"] == "r"


def test_origins_follow_what_was_folded() -> None:
    nodes = tuple(
        Node(name, op, (source,), (name.upper(),))
        for name, op, source in [("c", conv(4, 4), "x"), ("b", affine(4), "c"), ("r", Relu(), "b")]
    )
    form = normal_form(Graph("case", "x", SHAPE, nodes, (("r", "r"),)))
    assert [(node.name, node.origin) for node in form.nodes] == [("r<-x", ("C", "B")), ("r", ("R",))]


def test_check_finds_what_is_not_in_normal_form() -> None:
    good = normal_form(graph(("c", conv(4, 4), "x"), ("y", Relu(), "c")))
    relay = Node("z", Relay(), ("y<-x",))
    with pytest.raises(GraphError, match=r"^z: Relay reads sums that are not integers$"):
        check_normal_form(replace(good, nodes=(*good.nodes, relay)))
    with pytest.raises(GraphError, match=r"^z: Conv reads y<-x, which is not an activation$"):
        check_normal_form(replace(good, nodes=(*good.nodes, Node("z", conv(4, 4), ("y<-x",)))))
    with pytest.raises(GraphError, match=r"^z: Concat is not in normal form$"):
        check_normal_form(replace(good, nodes=(*good.nodes, Node("z", Concat(), ("y", "y")))))


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed: int) -> None:
    """Any order of any operators."""
    rng = np.random.default_rng(seed)
    nodes: list[tuple[str, Op, str]] = []
    values, shapes = ["x"], {"x": SHAPE}
    for index in range(12):
        source = values[-1] if rng.random() < 0.5 else str(rng.choice(values))
        channels, height, width = shapes[source]
        peers = [value for value in values if shapes[value][1:] == shapes[source][1:]]
        other = str(rng.choice(peers))
        alike = [value for value in values if shapes[value] == shapes[source]]
        choices: list[tuple[Op, str]] = [
            (conv(int(rng.integers(1, 6)), channels, seed=seed + index), source),
            (Conv(numbers(channels, 1, 3, 3), numbers(channels), (1, 2), (0, 1, 2, 1), groups=channels), source),
            (ConvTranspose(numbers(channels, 3, 2, 2, seed=index), numbers(3), (2, 1), (0, 0, 1, 0)), source),
            (affine(channels, seed=index), source),
            (Relu(), source),
            (LeakyRelu(numbers(channels)), source),
            (Clip(-0.3, 0.4), source),
            (Concat(), f"{source} {other}"),
            (Add(), f"{source} {rng.choice(alike)}"),
            (AveragePool((2, 2), (1, 1), (0, 1, 0, 0)), source),
            (MaxPool((2, 2), (1, 1), (1, 0, 0, 0)), source),
            (Nearest((2, 1)), source),
            (Resample(numbers(5, height), numbers(4, width)), source),
        ]
        op, inputs = choices[int(rng.integers(len(choices)))]
        shape = op.infer(tuple(shapes[name] for name in inputs.split()))
        if shape[0] > 24 or max(shape[1:]) > 24 or min(shape[1:]) < 3:
            continue
        name = f"n{index}"
        nodes.append((name, op, inputs))
        values.append(name)
        shapes[name] = shape
    net = graph(*nodes, outputs=" ".join(values[-2:]))
    assert Linear not in [type(node.op) for node in net.nodes]
    same(net, normal_form(net))


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_that_hold_whole_segments_make_no_zeros(groups: int) -> None:
    """Each segment is read by its own groups only; the outputs stay apart."""
    net = graph(
        ("r", Relu(), "x"),
        ("c", conv(4, 4), "x"),
        ("s", Relu(), "c"),
        ("j", Concat(), "r s"),
        ("g", Conv(numbers(8, 8 // groups, 3, 3), numbers(8), pads=(1, 1, 1, 1), groups=groups), "j"),
        ("y", Relu(), "g"),
    )
    form = same(net, normal_form(net))
    read = [node.op.weight for node in form.nodes if isinstance(node.op, Conv) and node.name.startswith("y")]
    assert sum(weight.size for weight in read if weight.shape[2] == 3) == 8 * (8 // groups) * 9


@pytest.mark.parametrize("window", [(2, 3), (3, 1)])
def test_oblong_averages_with_a_bias_are_synapses(window: tuple[int, int]) -> None:
    net = graph(
        ("r", Relu(), "x"),
        ("p", AveragePool(window, (1, 2)), "r"),
        ("b", Affine(np.arange(1.0, 5.0), numbers(4)), "p"),
        ("y", Relu(), "b"),
    )
    assert kinds(same(net, normal_form(net))) == ["Conv", "Relu", "Conv", "Relu"]


def test_forms_are_forgotten_once_nothing_reads_them() -> None:
    """Each may hold a copy of a layer's weights."""
    net = graph(("c", conv(4, 4), "x"), ("b", affine(4), "c"), ("d", conv(4, 4), "b"), ("e", Add(), "b d"), outputs="d")
    walk = _Walk(net, fused=False)
    held = []
    for node in net.nodes:
        walk.visit(node)
        held.append(set(walk.forms))
    assert held == [{"x", "c"}, {"x", "b"}, {"x", "b", "d"}, {"x", "d", "e"}]


def test_sums_of_concatenations_that_are_cut_at_other_places() -> None:
    net = graph(
        ("a", conv(3, 4), "x"),
        ("b", conv(1, 4, seed=1), "x"),
        ("r", Relu(), "x"),
        ("i", Concat(), "a b"),
        ("j", Concat(), "b a"),
        ("k", Affine(numbers(4), np.zeros(4)), "i"),
        ("y", Add(), "k j"),
        ("z", Add(), "i r"),
        outputs="y z",
    )
    same(net, normal_form(net))


COPIES, BLEND = np.eye(8)[[0, 0, 3, 7]], np.eye(8)[[0, 1, 3, 7]] + np.eye(8)[[1, 1, 2, 7]] / 2


def unchanged(channels: int) -> Conv:
    """What must read a population of its own where the operator before it sums or copies."""
    return Conv(np.ones((channels, 1, 1, 1)), np.zeros(channels), groups=channels)


@pytest.mark.parametrize(
    ("op", "population"),
    [
        (AveragePool((2, 2), (2, 2)), "Relay"),
        (Nearest((2, 1)), "Relay"),
        (Resample(COPIES, np.eye(6)), "Relay"),
        (Resample(BLEND, np.eye(6)), "Linear"),
        (Resample(2 * COPIES, np.eye(6)), "Linear"),
        (Resample(COPIES, -np.eye(6)), "Linear"),
        (Conv(np.full((4, 4, 2, 2), 0.5), np.zeros(4)), "Linear"),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_only_sums_and_copies_of_counts_are_relays_and_keep_their_sign(op: Op, population: str, signed: bool) -> None:
    """A Relu after a relay of values that are never negative adds no population; after any other relay it adds one."""
    net = graph(
        ("c", conv(4, 4), "x"),
        ("s", Linear() if signed else Relu(), "c"),
        ("p", op, "s"),
        ("q", AveragePool((1, 2), (1, 1)), "p"),
        ("i", Nearest((1, 2)), "q"),
        ("r", Relu(), "i"),
        ("y", conv(3, 4), "r"),
    )
    form = same(net, normal_form(net))
    nodes = {node.name: node for node in form.nodes}
    assert type(nodes["p"].op).__name__ == population
    rectified = [node.name for node in form.nodes if isinstance(node.op, Relu)]
    assert rectified == (["s"] if not signed else []) + ["r"]


@pytest.mark.parametrize("source", [Relu(), Linear()])
def test_a_rectified_relay_is_rectified_no_second_time(source: Op) -> None:
    net = graph(
        ("c", conv(4, 4), "x"),
        ("s", source, "c"),
        ("p", AveragePool((2, 2), (2, 2)), "s"),
        ("i", unchanged(4), "p"),
        ("j", Linear(), "i"),
        ("r", Relu(), "j"),
        ("m", MaxPool((2, 2), (1, 1), (1, 0, 0, 0)), "r"),
        ("y", conv(3, 4), "m"),
    )
    form = same(net, normal_form(net))
    relus = [node.name for node in form.nodes if isinstance(node.op, Relu)]
    assert relus == (["s"] if isinstance(source, Relu) else ["r"])
    assert "Resample" not in kinds(form)  # zeros may stand around what is never negative
    assert kinds(form).count("Linear") == isinstance(source, Linear)


def test_populations_of_populations_are_one() -> None:
    net = graph(
        ("c", conv(4, 4), "x"), ("r", Relu(), "c"), ("s", Relu(), "r"), ("l", Linear(), "s"), ("y", conv(2, 4), "l")
    )
    assert kinds(same(net, normal_form(net))) == ["Conv", "Relu", "Conv"]
