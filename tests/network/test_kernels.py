"""Kernels: what they compute against onnxruntime and dense matrices, what shapes they give, what they refuse."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnx.parser
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from onnx import helper

from snn_deploy.arrays import Array
from snn_deploy.errors import NetworkError
from snn_deploy.network.dynamics import apply, pad
from snn_deploy.network.kernels import MAX_GEOMETRY, ConvKernel, Kernel, SpatialKernel, TransposedKernel, identity

PAYLOAD = 255
"""Largest payload here: 128 * 255 * all taps drawn below stays under 2**24, so float32 sums are exact."""


@lru_cache(maxsize=512)
def _session(operator: str, attributes: tuple[tuple[str, int | tuple[int, ...]], ...]) -> onnxruntime.InferenceSession:
    node = helper.make_node(operator, ["x", "w"], ["y"])
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes)
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["a", "b", "c", "d"]) for name in "xw"]
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "one", infos, [result]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_result(
    operator: str, maps: npt.NDArray[np.int64], weight: npt.NDArray[np.int8], **attributes: int | tuple[int, ...]
) -> npt.NDArray[np.int64]:
    session = _session(operator, tuple(sorted(attributes.items())))
    result: Array
    (result,) = session.run(None, {"x": maps.astype(np.float32), "w": weight.astype(np.float32)})
    return np.rint(result).astype(np.int64)


@st.composite
def geometry(
    draw: st.DrawFn,
) -> tuple[Callable[..., Kernel], npt.NDArray[np.int64], npt.NDArray[np.int8], dict[str, object]]:
    """A kernel's class, maps, weights and geometry; the kernel may or may not fit the maps."""
    transposed = draw(st.booleans())
    groups = draw(st.integers(1, 3))
    per_group, others = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    channels = groups * per_group
    shape = (channels, others, rows, columns) if transposed else (groups * others, per_group, rows, columns)
    weight = rng.integers(-128, 128, shape).astype(np.int8)
    maps = rng.integers(-PAYLOAD, PAYLOAD + 1, (2, channels, *size))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    pads = draw(st.tuples(*[st.integers(-2, 3)] * 4))
    options = {"strides": draw(pair), "pads": pads, "dilations": draw(pair), "groups": groups}
    return (TransposedKernel if transposed else ConvKernel), maps, weight, options


@settings(max_examples=250, suppress_health_check=[HealthCheck.filter_too_much])
@given(geometry())
def test_convolutions_equal_onnxruntime(
    case: tuple[Callable[..., Kernel], npt.NDArray[np.int64], npt.NDArray[np.int8], dict[str, object]],
) -> None:
    """Any groups, strides, dilations and asymmetric pads; negative pads cut what ONNX's operator then never sees."""
    make, maps, weight, options = case
    kernel = make(weight, **options)
    assert not isinstance(kernel, SpatialKernel)
    try:
        shape = kernel.output_shape((maps.shape[1], maps.shape[2], maps.shape[3]))
    except NetworkError:
        reject()
    attributes: dict[str, int | tuple[int, ...]] = {
        "strides": kernel.strides,
        "dilations": kernel.dilations,
        "group": kernel.groups,
    }
    if isinstance(kernel, ConvKernel):
        cut = pad(maps, tuple(min(pad, 0) for pad in kernel.pads))  # type: ignore[arg-type]
        pads = tuple(max(pad, 0) for pad in kernel.pads)
        expected = onnx_result("Conv", cut, weight, pads=pads, **attributes)
    else:
        full = onnx_result("ConvTranspose", maps, weight, **attributes)
        top, left, bottom, right = kernel.pads
        expected = pad(full, (-top, -left, -bottom, -right))
    got = apply(kernel, maps)
    assert got.dtype == np.int64
    assert got.shape == (2, *shape)
    assert np.array_equal(got, expected)


@settings(max_examples=60)
@given(
    st.integers(2, 4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.integers(0, 99)
)
def test_output_padding_of_onnx_is_a_smaller_pad_at_the_end(
    stride: int, taps: int, before: int, after: int, extra: int, seed: int
) -> None:
    extra = min(extra, stride - 1)
    if 3 * stride + taps + extra <= before + after:
        return
    rng = np.random.default_rng(seed)
    weight = rng.integers(-128, 128, (2, 3, taps, taps)).astype(np.int8)
    maps = rng.integers(-PAYLOAD, PAYLOAD + 1, (1, 2, 4, 4))
    expected = onnx_result(
        "ConvTranspose",
        maps,
        weight,
        strides=(stride, stride),
        pads=(before, before, after, after),
        output_padding=(extra, extra),
    )
    kernel = TransposedKernel(weight, (stride, stride), (before, before, after - extra, after - extra))
    assert np.array_equal(apply(kernel, maps), expected)


def test_the_kernel_is_not_flipped() -> None:
    weight = np.arange(1, 10).reshape(1, 1, 3, 3)
    spot = np.zeros((1, 1, 3, 3), np.int64)
    spot[0, 0, 1, 1] = 1
    assert apply(ConvKernel(weight, pads=(1, 1, 1, 1)), spot)[0, 0].tolist() == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    assert apply(TransposedKernel(weight, pads=(1, 1, 1, 1)), spot)[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.booleans(), st.integers(0, 2**16))
def test_a_convolution_over_a_concat_is_the_sum_of_one_per_source(
    parts: list[int], transposed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ends = np.cumsum(parts)
    maps = rng.integers(-PAYLOAD, PAYLOAD + 1, (2, int(ends[-1]), 5, 6))
    if transposed:
        weight = rng.integers(-128, 128, (int(ends[-1]), 3, 2, 2)).astype(np.int8)
        pieces: list[Kernel] = [TransposedKernel(part, (2, 2)) for part in np.split(weight, ends[:-1])]
        whole: Kernel = TransposedKernel(weight, (2, 2))
    else:
        weight = rng.integers(-128, 128, (3, int(ends[-1]), 3, 3)).astype(np.int8)
        pieces = [ConvKernel(part, (2, 1), (1, 1, 1, 1)) for part in np.split(weight, ends[:-1], 1)]
        whole = ConvKernel(weight, (2, 1), (1, 1, 1, 1))
    sources = np.split(maps, ends[:-1], 1)
    total = sum(apply(kernel, source) for kernel, source in zip(pieces, sources, strict=True))
    assert np.array_equal(apply(whole, maps), total)


@given(st.tuples(*[st.integers(1, 4)] * 4), st.integers(0, 2**16))
def test_a_pixel_map_is_its_dense_matrix_and_may_repeat_entries(sizes: tuple[int, int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = sizes[0] * sizes[1], sizes[2] * sizes[3]
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 6, rows))])
    indices = rng.integers(0, columns, indptr[-1])
    data = rng.integers(-128, 128, indptr[-1]).astype(np.int8)
    dense = np.zeros((rows, columns), np.int64)
    for row in range(rows):
        for entry in range(indptr[row], indptr[row + 1]):
            dense[row, indices[entry]] += data[entry]
    kernel = SpatialKernel((sizes[2], sizes[3]), (sizes[0], sizes[1]), indptr, indices, data)
    maps = rng.integers(-PAYLOAD, PAYLOAD + 1, (2, 3, sizes[2], sizes[3]))
    expected = np.einsum("op,bcp->bco", dense, maps.reshape(2, 3, -1)).reshape(2, 3, sizes[0], sizes[1])
    assert kernel.output_shape((3, sizes[2], sizes[3])) == (3, sizes[0], sizes[1])
    assert np.array_equal(apply(kernel, maps), expected)


def test_identity_passes_each_channel_on() -> None:
    maps = np.arange(12).reshape(1, 3, 2, 2)
    assert np.array_equal(apply(identity(3), maps), maps)
    assert np.array_equal(apply(identity(3, -2), maps), -2 * maps)


def test_weights_are_read_only_and_refused_outside_int8() -> None:
    kernel = ConvKernel(np.full((1, 1, 1, 1), -128))
    with pytest.raises(ValueError, match="read-only"):
        kernel.weight[0] = 1
    with pytest.raises(ValueError, match=r"values from 128 to 128 .* do not fit int8"):
        ConvKernel(np.full((1, 1, 1, 1), 128))


ONES = np.ones((2, 2, 3, 3), np.int8)


@pytest.mark.parametrize("make", [ConvKernel, TransposedKernel])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": ONES[0]}, r"weight \(2, 3, 3\) is not \(channels, channels, K_h, K_w\)$"),
        ({"weight": ONES[:, :, :0]}, r"weight \(2, 2, 0, 3\) is not \(channels, channels, K_h, K_w\)$"),
        ({"strides": (0, 1)}, r"strides \(0, 1\), dilations \(1, 1\) and groups 1 must be at least 1$"),
        ({"dilations": (1, -1)}, r"dilations \(1, -1\) and groups 1 must be at least 1$"),
        ({"groups": 0}, "groups 0 must be at least 1$"),
        ({"groups": 3}, "2 (output|input) channels do not split into 3 groups$"),
        ({"strides": (MAX_GEOMETRY + 1, 1)}, f"exceed {MAX_GEOMETRY}$"),
        ({"dilations": (1, MAX_GEOMETRY + 1)}, f"exceed {MAX_GEOMETRY}$"),
        ({"pads": (0, 0, -MAX_GEOMETRY - 1, 0)}, f"exceed {MAX_GEOMETRY}$"),
    ],
)
def test_impossible_kernels_are_refused(make: Callable[..., Kernel], options: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make(**({"weight": ONES} | options))


@pytest.mark.parametrize(
    ("kernel", "shape", "message"),
    [
        (ConvKernel(ONES), (3, 9, 9), "kernel reads 2 channels, not 3$"),
        (ConvKernel(ONES, groups=2), (2, 9, 9), "kernel reads 4 channels, not 2$"),
        (ConvKernel(ONES), (2, 2, 9), r"kernel \(3, 3\) does not fit into a map of 2x9$"),
        (ConvKernel(ONES, dilations=(1, 4)), (2, 9, 8), r"kernel \(3, 3\) does not fit into a map of 9x8$"),
        (ConvKernel(ONES, pads=(0, -5, 0, 9)), (2, 5, 5), r"pads \(0, -5, 0, 9\) leave nothing of 5x5$"),
        (TransposedKernel(ONES), (3, 9, 9), "kernel reads 2 channels, not 3$"),
        (TransposedKernel(ONES, pads=(2, 0, 2, 0)), (2, 2, 2), r"pads \(-2, 0, -2, 0\) leave nothing of 4x4$"),
        (TransposedKernel(ONES, pads=(9, 0, -9, 0)), (2, 2, 2), "leave nothing of 4x4$"),
        (
            SpatialKernel((1, 2), (1, 1), [0, 1], [1], [3]),  # type: ignore[arg-type]
            (4, 2, 1),
            r"the pixel map reads \(1, 2\), not \(2, 1\); convert again for this size$",
        ),
    ],
)
def test_maps_that_do_not_fit_are_refused(kernel: Kernel, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        kernel.output_shape(shape)


@pytest.mark.parametrize(
    ("indptr", "indices", "data", "message"),
    [
        ([0, 1], [0], [1], "row pointers do not describe 2 rows$"),
        ([1, 1, 1], [0], [1], "row pointers do not describe 2 rows$"),
        ([0, 2, 1], [0], [1], "row pointers do not describe 2 rows$"),
        ([0, 1, 2], [0], [1], "1 column indices, 1 weights, 2 promised$"),
        ([0, 1, 2], [0, 0], [1], "2 column indices, 1 weights, 2 promised$"),
        ([0, 1, 2], [0, 4], [1, 1], r"column indices leave 0\.\.3$"),
        ([0, 1, 2], [-1, 0], [1, 1], r"column indices leave 0\.\.3$"),
    ],
)
def test_impossible_pixel_maps_are_refused(
    indptr: list[int], indices: list[int], data: list[int], message: str
) -> None:
    with pytest.raises(NetworkError, match=message):
        SpatialKernel((2, 2), (1, 2), np.array(indptr), np.array(indices), np.array(data))
