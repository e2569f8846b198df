"""Layers as the mapper sees them: every kind of synapse by hand, receptive fields and patterns by a walk over every tap."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.errors import NetworkError
from snn_deploy.mapping.layout import (
    GroupKind,
    Layer,
    SynapseGroup,
    count_patterns,
    count_weight_bits,
    describe_layers,
    measure_receptive_field,
)
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.shapes import Shape


def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Odd, so that no power of two is common to all; five bits with the sign."""
    return np.resize(np.array([-15, 3, 7], np.int8), shape)


PIXELS = SpatialKernel((6, 4), (3, 2), np.arange(7), np.arange(6), np.array([1, 1, 3, 1, 1, 1], np.int8))


LINES = ((0, 0), (1, 0), (2, 1)), ((0, 0), (0, 2), (1, 1), (1, 3))
"""Rows and columns of the 3 x 2 map with those that they read: pixel p reads pixel p of the 6 x 4 map."""


@pytest.mark.parametrize(
    ("kernel", "shape", "group"),
    [
        (
            ConvKernel(weights(2, 3, 3, 2), (2, 1), (1, 0, 1, 0), (1, 2)),
            (3, 6, 4),
            SynapseGroup("p0", (3, 6, 4), "conv", (3, 2), (2, 1), (1, 2), 1, 5),
        ),
        (
            ConvKernel(weights(4, 2, 6, 4), groups=2),
            (4, 6, 4),
            SynapseGroup("p0", (4, 6, 4), "conv", (6, 4), (1, 1), (1, 1), 2, 5),
        ),
        (ConvKernel(weights(2, 3, 6, 4)), (3, 6, 4), SynapseGroup("p0", (3, 6, 4), "dense", (6, 4), weight_bits=5)),
        (ConvKernel(weights(2, 3, 6, 3)), (3, 6, 4), SynapseGroup("p0", (3, 6, 4), "conv", (6, 3), weight_bits=5)),
        (
            TransposedKernel(weights(4, 1, 3, 2), (3, 2), groups=2),
            (4, 6, 4),
            SynapseGroup("p0", (4, 6, 4), "transposed", (3, 2), (3, 2), (1, 1), 2, 5),
        ),
        (
            TransposedKernel(weights(3, 1, 1, 1), (1, 1)),
            (3, 1, 1),
            SynapseGroup("p0", (3, 1, 1), "transposed", weight_bits=5),
        ),
        (PIXELS, (2, 6, 4), SynapseGroup("p0", (2, 6, 4), "pixels", weight_bits=2, entries=6, lines_read=LINES)),
    ],
)
def test_every_kind_of_synapse(kernel: Kernel, shape: Shape, group: SynapseGroup) -> None:
    end = kernel.output_shape(shape)
    neuron = MultiThreshold(np.full(end[0], 7), np.zeros(end[0], np.int64), 0, 1)
    populations = (
        Population("p0", shape, None, np.zeros((shape[0], 1, 1), np.int64), np.ones(shape[0]), input_max=1),
        Population("p1", end, neuron, np.zeros((end[0], 1, 1), np.int64), np.ones(end[0]), start=1),
    )
    network = Network("one", "rate", 2, populations, (Connection("c", "p0", "p1", kernel),), (Output("out", "p1"),))
    (layer,) = describe_layers(network)
    assert layer == Layer("p1", end, (group,), by_neuron=True)  # the host reads it
    assert layer.size == end[0] * end[1] * end[2]
    assert layer.dense == (group.kind == "dense")


def test_dense_layers_have_dense_groups_only() -> None:
    dense, conv = SynapseGroup("a", (1, 1, 1), "dense"), SynapseGroup("b", (1, 1, 1))
    assert Layer("l", (2, 1, 1), (dense, dense)).dense
    assert not Layer("l", (2, 1, 1), (dense, conv)).dense
    assert not Layer("l", (2, 1, 1)).dense


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": (0, 1, 1)},
        {"shape": (1, 1, 0)},
        {"taps": (0, 1)},
        {"strides": (1, 0)},
        {"dilations": (0, 1)},
        {"groups": 0},
        {"weight_bits": 0},
    ],
)
def test_sizes_begin_at_one(fields: dict[str, object]) -> None:
    SynapseGroup("a", (1, 1, 1), weight_bits=1)
    with pytest.raises(NetworkError, match=r"^synapses from a: sizes must be at least 1$"):
        SynapseGroup(**({"source": "a", "shape": (1, 1, 1)} | fields))  # type: ignore[arg-type]


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"^synapses from a: 3 channels in 2 groups$"):
        SynapseGroup("a", (3, 1, 1), groups=2)
    with pytest.raises(NetworkError, match=r"^l: shape \(1, 0, 1\) has an empty axis$"):
        Layer("l", (1, 0, 1))


GEOMETRIES = [
    (taps, stride, dilation, length)
    for taps in (1, 2, 3, 4)
    for stride in (1, 2, 3)
    for dilation in (1, 2)
    for length in (1, 2, 5)
]


def meeting(kind: str, taps: int, stride: int, dilation: int, length: int, source: int, offset: int) -> list[list[int]]:
    """For each of ``source`` rows the taps by which it reaches target rows ``offset .. offset + length``."""
    rows = []
    for row in range(source):
        met = []
        for tap in range(taps):
            target, rest = (
                divmod(row - tap * dilation, stride) if kind == "conv" else (row * stride + tap * dilation, 0)
            )
            if rest == 0 and offset <= target < offset + length:
                met.append(tap)
        rows.append(met)
    return rows


@pytest.mark.parametrize(("taps", "stride", "dilation", "length"), GEOMETRIES)
def test_receptive_fields_are_those_of_the_worst_tile(taps: int, stride: int, dilation: int, length: int) -> None:
    kinds: tuple[GroupKind, ...] = ("conv", "transposed")
    for kind in kinds:
        for source in (2, 40):
            group = SynapseGroup("a", (1, source, 1), kind, (taps, 1), (stride, 1), (dilation, 1))
            spans = []
            for offset in range(12):
                rows = [
                    row for row, met in enumerate(meeting(kind, taps, stride, dilation, length, 200, offset)) if met
                ]
                spans.append(rows[-1] - rows[0] + 1 if rows else 0)
            found, worst = measure_receptive_field(group, 0, length), min(source, max(spans))
            assert found == worst or (kind == "transposed" and dilation > 1 and found == worst + 1), (kind, source)


def test_dense_synapses_read_the_whole_source() -> None:
    group = SynapseGroup("a", (2, 5, 7), "dense")
    assert [measure_receptive_field(group, axis, 1) for axis in (0, 1)] == [5, 7]


def test_a_map_of_pixels_reads_the_lines_that_it_names() -> None:
    group = SynapseGroup("a", (2, 6, 4), "pixels", entries=6, lines_read=LINES)
    assert [[measure_receptive_field(group, axis, length) for length in (1, 2, 3, 8)] for axis in (0, 1)] == [
        [1, 1, 2, 2],
        [2, 4, 4, 4],
    ]


def test_a_map_of_no_pixels_reads_no_lines() -> None:
    group = SynapseGroup("a", (2, 6, 4), "pixels")
    assert [measure_receptive_field(group, axis, 3) for axis in (0, 1)] == [0, 0]


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([0, 0], 1),
        ([1, 0], 1),
        ([-1, 0], 1),
        ([1, -1], 2),
        ([2, 3], 2),
        ([-2, 1], 2),
        ([-3, 1], 3),
        ([127, 1], 7),
        ([127, -127], 8),
        ([-128, 1], 8),
        ([-128, 0], 1),
        ([4, 12], 2),
        ([4, -12], 3),
    ],
)
def test_weights_take_the_bits_of_the_largest_without_their_common_power_of_two(values: list[int], bits: int) -> None:
    assert count_weight_bits(np.array(values, np.int8).reshape(1, 2, 1, 1)) == bits


@pytest.mark.parametrize(("taps", "stride", "dilation", "length"), GEOMETRIES)
def test_patterns_are_the_distinct_sets_of_taps(taps: int, stride: int, dilation: int, length: int) -> None:
    rows = meeting("conv", taps, stride, dilation, length, 100, 0)
    assert count_patterns("conv", taps, stride, dilation, length) == tuple(
        sorted(len(met) for met in {tuple(met) for met in rows if met})
    )
    offsets = range(stride * 100, stride * 101)  # far from the border of the source, whatever its phase
    met = {
        tuple(met) for offset in offsets for met in meeting("transposed", taps, stride, dilation, length, 300, offset)
    }
    assert count_patterns("transposed", taps, stride, dilation, length) == tuple(
        sorted(len(each) for each in met if each)
    )
