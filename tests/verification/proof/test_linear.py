"""Linear maps compared for all payloads, against the specification run on every single input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from snn_deploy.arrays import Int8, Int64
from snn_deploy.backend.compiled_form import NOWHERE, LinearMap, Part, Pixels, Synapses, Windows
from snn_deploy.errors import CompiledFormError
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.shapes import Shape
from snn_deploy.verification.proof.linear import Agreement, Difference, Edge, compare_edge
from snn_deploy.verification.proof.windows import describe_kernel, list_afferents, list_synapses

SOURCE = (4, 5, 6)


def ones(*shape: int) -> Int64:
    return np.ones(shape, np.int64)


def kernels() -> list[Kernel]:
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> Int8:
        return rng.integers(-9, 10, shape).astype(np.int8)

    return [
        ConvKernel(weight(3, 4, 3, 2), (2, 1), (1, 0, 2, 1), (1, 2)),
        ConvKernel(weight(8, 1, 3, 3), (1, 2), (-1, 1, 0, -2), (1, 1), 4),
        TransposedKernel(weight(4, 2, 3, 2), (2, 3), (1, 0, -1, 1), (1, 2)),
        TransposedKernel(weight(4, 2, 2, 2), (2, 2), (0, 0, 0, 0), (1, 1), 2),
        SpatialKernel((5, 6), (2, 3), np.array([0, 2, 2, 3, 5, 5, 7]), rng.integers(0, 30, 7), weight(7)),
    ]


@pytest.mark.parametrize("kernel", kernels(), ids=["conv", "grouped", "transposed", "grouped transposed", "pixels"])
def test_every_synapse_is_that_of_the_specification(kernel: Kernel) -> None:
    """One input after the other: a complete basis."""
    target = kernel.output_shape(SOURCE)
    size = int(np.prod(SOURCE))
    basis = np.eye(size, dtype=np.int64).reshape(size, *SOURCE)
    expected = (dynamics.apply(kernel, basis) << 2).reshape(size, -1)
    linear = describe_kernel(kernel, 2, SOURCE)
    listed = list_synapses(linear, SOURCE, target)
    found = np.zeros_like(expected)
    np.add.at(found, (listed.sources, listed.targets), listed.weights)
    assert np.array_equal(found, expected)
    for place, (channel, y, x) in enumerate(product(*map(range, target))):
        own = np.zeros(size, np.int64)
        sources, weights = list_afferents(linear, SOURCE, (channel, y, x), target)
        np.add.at(own, sources, weights)
        assert np.array_equal(own, expected[:, place])


@pytest.mark.parametrize("kernel", kernels(), ids=["conv", "grouped", "transposed", "grouped transposed", "pixels"])
def test_another_form_of_the_same_map_agrees_and_one_weight_more_differs(kernel: Kernel) -> None:
    target = kernel.output_shape(SOURCE)
    linear = describe_kernel(kernel, 0, SOURCE)
    listed = list_synapses(linear, SOURCE, target)
    assert isinstance(compare_edge(edge(linear, target, listed)), Agreement)
    place = listed.weights.size // 2
    more = Synapses(listed.targets, listed.sources, listed.weights + (np.arange(listed.weights.size) == place))
    difference = compare_edge(edge(linear, target, more))
    assert isinstance(difference, Difference)
    assert difference.source == np.unravel_index(listed.sources[place], SOURCE)
    assert difference.target == np.unravel_index(listed.targets[place], target)
    assert (difference.payload, difference.found - difference.expected) == (7, 7)


def edge(linear: LinearMap, target: Shape, *found: LinearMap) -> Edge:
    return Edge(SOURCE, target, (-3, 7), (linear,), tuple(Part(each) for each in found))


def test_a_transposed_convolution_is_one_over_a_spread_map() -> None:
    kernel = kernels()[2]
    linear = describe_kernel(kernel, 0, SOURCE)
    assert isinstance(linear, Windows)
    turned = Windows(linear.weight[:, :, ::-1, ::-1], linear.rows[:, ::-1], linear.columns[:, ::-1])
    assert isinstance(compare_edge(edge(linear, kernel.output_shape(SOURCE), turned)), Agreement)
    wrong = Windows(linear.weight, linear.rows[:, ::-1], linear.columns[:, ::-1])
    assert isinstance(compare_edge(edge(linear, kernel.output_shape(SOURCE), wrong)), Difference)


def test_a_border_that_reads_one_pixel_too_far_is_found() -> None:
    kernel = ConvKernel(ones(1, 4, 3, 3).astype(np.int8), pads=(1, 1, 1, 1))
    linear = describe_kernel(kernel, 0, SOURCE)
    assert isinstance(linear, Windows)
    rows = linear.rows.copy()
    assert rows[0, 0] == NOWHERE
    rows[0, 0] = 4  # as if the map were wrapped around
    difference = compare_edge(edge(linear, kernel.output_shape(SOURCE), Windows(linear.weight, rows, linear.columns)))
    assert isinstance(difference, Difference)
    assert difference.source is not None
    assert (difference.source[1], difference.target[1]) == (4, 0)
    assert difference.text.startswith(f"payload 7 of neuron {difference.source} adds 7 to the current of neuron ")


def test_digits_of_payloads_add_up_or_not() -> None:
    kernel = kernels()[0]
    linear, target = describe_kernel(kernel, 0, SOURCE), kernel.output_shape(SOURCE)
    assert isinstance(linear, Windows)
    payloads = np.arange(-300, 301)
    high = Windows(linear.weight * 256, linear.rows, linear.columns)

    def compare(low: Int64, upper: Int64, padding: int = 0) -> Agreement | Difference:
        parts = (Part(linear, low, -300), Part(high, upper, -300, padding))
        return compare_edge(Edge(SOURCE, target, (-300, 300), (linear,), parts))

    assert isinstance(compare(payloads % 256, payloads // 256), Agreement)
    off = np.where(payloads == 17, 5, payloads % 256)
    difference = compare(off, payloads // 256)
    assert isinstance(difference, Difference)
    assert difference.payload == 17
    shifted = compare(payloads % 256, payloads // 256, padding=1)
    assert isinstance(shifted, Difference)
    assert (shifted.source, shifted.expected) == (None, 0)
    assert shifted.text.startswith("padding adds ")
    with pytest.raises(CompiledFormError, match=r"payloads -300\.\.300 are read as if they began at -299$"):
        compare_edge(Edge(SOURCE, target, (-300, 300), (linear,), (Part(linear, payloads[1:], -299),)))


def test_a_map_that_is_not_there_differs_and_several_add_up() -> None:
    kernel = kernels()[0]
    linear, target = describe_kernel(kernel, 0, SOURCE), kernel.output_shape(SOURCE)
    assert isinstance(linear, Windows)
    assert isinstance(compare_edge(edge(linear, target)), Difference)
    halves = [
        Windows(part, linear.rows, linear.columns) for part in (linear.weight // 2, linear.weight - linear.weight // 2)
    ]
    assert isinstance(compare_edge(edge(linear, target, *halves)), Agreement)
    assert isinstance(compare_edge(edge(linear, target, linear, linear)), Difference)


@pytest.mark.parametrize(("weight", "same"), [(7, True), (6, False)])
def test_pixel_maps_are_summed_over_their_entries(weight: int, same: bool) -> None:
    expected = Pixels(np.array([0, 0, 1]), np.array([3, 3, 4]), np.array([2, 5, -1]))
    found = Pixels(np.array([1, 0]), np.array([4, 3]), np.array([-1, weight]))
    assert isinstance(compare_edge(edge(expected, (4, 1, 2), found)), Agreement) == same


def test_what_is_contradictory_is_refused() -> None:
    with pytest.raises(CompiledFormError, match=r"do not fit \(1, 2\) taps and 1 groups$"):
        Windows(ones(1, 1, 3, 3), 0 * ones(4, 1), 0 * ones(4, 2))
    linear = Windows(ones(1, 4, 2, 1), 0 * ones(5, 2), 0 * ones(6, 1))
    with pytest.raises(CompiledFormError, match="two taps read the same pixel$"):
        compare_edge(edge(linear, (1, 5, 6), linear))
