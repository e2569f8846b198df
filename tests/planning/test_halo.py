"""Grid and halo of networks: derived, and by no pixel larger than needed."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import PlanError
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.pixel_maps import find_rhythms
from snn_deploy.network.schedule import align
from snn_deploy.planning.halo import Cut, Halo, find_cut
from snn_deploy.planning.sameness import find_same_neurons
from snn_deploy.planning.tiled import TiledBackend
from snn_deploy.planning.windows import Tiling, check_equal
from snn_deploy.testing.networks import random_stimulus

RNG = np.random.default_rng(5)
LIMIT = 1000


def conv(outputs: int, inputs: int, side: int = 3, **geometry: object) -> ConvKernel:
    weight = RNG.integers(1, 5, (outputs, inputs, side, side)) * RNG.choice((-1, 1), (outputs, inputs, side, side))
    return ConvKernel(weight.astype(np.int8), **({"pads": (side // 2,) * 4} | geometry))  # type: ignore[arg-type]


def network(*edges: tuple[str, str, Kernel], size: tuple[int, int] = (16, 16), channels: int = 1) -> Network:
    """Populations of neurons that pass their sums on, joined by ``edges`` in order; the last is the output."""
    shapes = {"input": (channels, *size)}
    for source, target, kernel in edges:
        shapes[target] = kernel.output_shape(shapes[source])
    populations = []
    for name, shape in shapes.items():
        ones = np.ones(shape[0], np.int64)
        neuron = None if name == "input" else MultiThreshold(ones * 9, ones * 4, -LIMIT, LIMIT, -LIMIT, LIMIT)
        bias = np.zeros((shape[0], 1, 1), np.int64)
        populations.append(Population(name, shape, neuron, bias, np.ones(shape[0]), input_max=127, input_min=-127))
    connections = tuple(
        Connection(f"{source}->{target} {number}", source, target, kernel)
        for number, (source, target, kernel) in enumerate(edges)
    )
    return align(Network("net", "exact", 1, tuple(populations), connections, (Output("y", populations[-1].name),)))


def bilinear(side: int) -> SpatialKernel:
    """Twice as many pixels between centers, weights in sixteenths."""
    at = np.clip((np.arange(2 * side) + 0.5) / 2 - 0.5, 0, side - 1)
    matrix = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side))) * 4
    dense = np.kron(matrix, matrix).astype(np.int8)
    target, taken = np.nonzero(dense)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(target))])
    return SpatialKernel((side, side), (2 * side, 2 * side), pointers, taken, dense[target, taken])


def one_pixel(row: int, column: int) -> ConvKernel:
    """One of four pixels, as a tournament of max-pooling takes them."""
    return ConvKernel(np.ones((3, 1, 1, 1), np.int8), (2, 2), (-row, -column, 0, 0), groups=3)


def unet(up: Kernel, **options: int) -> Network:
    """One level: convolution, pooling of the kind that max-pooling makes, upsampling, and a skip past all of it."""
    return network(
        ("input", "a", conv(3, 1)),
        ("a", "p", one_pixel(0, 0)),
        ("a", "p", one_pixel(0, 1)),
        ("a", "p", one_pixel(1, 0)),
        ("a", "p", one_pixel(1, 1)),
        ("p", "b", conv(3, 3)),
        ("b", "u", up),
        ("u", "y", conv(1, 3)),
        ("a", "y", conv(1, 3, 1)),
    )


DILATED = conv(1, 1, pads=(4, 4, 4, 4), dilations=(4, 4))
STRIDED = TransposedKernel(np.ones((3, 3, 2, 2), np.int8), (2, 2))


@pytest.mark.parametrize(
    ("net", "grid", "exact"),
    [
        (network(("input", "a", conv(2, 1)), ("a", "y", conv(1, 2, 5))), (1, 1), Halo(3, 3)),
        (network(("input", "y", DILATED)), (1, 1), Halo(4, 4)),
        (network(("input", "y", conv(1, 1, 4, pads=(1, 2, 2, 1)))), (1, 1), Halo(2, 2)),
        (network(("input", "y", conv(1, 1, pads=(0, 0, 0, 0)))), (1, 1), Halo(0, 2)),
        (network(("input", "y", conv(1, 1, strides=(2, 4)))), (2, 4), Halo(1, 0)),
        (network(("input", "y", conv(1, 1, strides=(3, 2)))), (3, 2), Halo(1, 1)),  # of 16 rows, one is left over
        (unet(STRIDED), (2, 2), Halo(5, 5)),
        (unet(bilinear(8)), (2, 2), Halo(6, 6)),
    ],
)
def test_grid_and_halo_of(net: Network, grid: tuple[int, int], exact: Halo) -> None:
    cut = find_cut(net)
    assert (cut.grid, cut.exact) == (grid, exact)


@pytest.mark.parametrize("reach", [15, 16, 17, 31, 32, 33])
def test_the_halo_takes_at_most_half_of_the_tile_that_is_examined(monkeypatch: pytest.MonkeyPatch, reach: int) -> None:
    """Tiles of 64 pixels are examined, then of 128: halos of 16 before and after are half of the first."""
    weight = np.ones((1, 1, 3, 1), np.int8)
    net = network(("input", "y", ConvKernel(weight, pads=(reach, 0, reach, 0), dilations=(reach, 1))), size=(80, 80))
    for largest, most in ((63, 0), (64, 16), (127, 16), (128, 32), (256, 64)):
        monkeypatch.setattr("snn_deploy.planning.halo.LARGEST", largest)
        if reach <= most:
            assert find_cut(net).exact == Halo(reach, reach)
        else:
            with pytest.raises(
                PlanError,
                match=rf"^net: a pixel depends on more than {largest // 2} pixels around it; tiles cannot equal",
            ):
                find_cut(net)


@pytest.mark.parametrize(
    ("edges", "least"),
    [
        ([("input", "y", 3, (1, 1, 1, 1))], 0),
        ([("input", "y", 3, (0, 0, 0, 0))], 2),
        ([("input", "y", 3, (1, 1, 0, 0))], 1),
        ([("input", "y", 3, (1, 1, 1, 0))], 1),
        ([("input", "a", 3, (0, 0, 0, 0)), ("a", "y", 5, (0, 0, 0, 0))], 6),
        ([("input", "a", 3, (0, 0, 0, 0)), ("a", "y", 5, (3, 3, 3, 3))], 2),
    ],
)
def test_the_least_halo_is_what_maps_lack_at_their_end(
    edges: list[tuple[str, str, int, tuple[int, int, int, int]]], least: int
) -> None:
    net = network(*((source, target, conv(1, 1, side, pads=pads)) for source, target, side, pads in edges))
    assert find_cut(net).least == Halo(0, least)


def test_ratios_of_a_pyramid() -> None:
    cut = find_cut(unet(STRIDED))
    assert cut.ratios["p"] == (Fraction(1, 2), Fraction(1, 2))
    assert cut.ratios["y"] == (Fraction(1), Fraction(1))
    assert find_rhythms(bilinear(8))[0].ratio == 2


def _compared(net: Network, cut: Cut, halo: Halo, image: tuple[int, int], tile: tuple[int, int]) -> int:
    """Neurons of all populations that stitched tiles count differently from the whole image."""
    whole, reference = net.at_size(*image), load_backend("reference")
    stimulus = random_stimulus(whole, batch=2)
    expected = reference.run(whole, stimulus)
    stitched = TiledBackend(reference, Tiling(image, tile, halo, cut.grid)).run(whole, stimulus)
    return sum(int(np.sum(stitched.counts[name] != counts)) for name, counts in expected.counts.items())


@pytest.mark.parametrize(
    ("net", "image", "tile"),
    [
        (network(("input", "a", conv(2, 1)), ("a", "y", conv(1, 2, 5))), (23, 17), (9, 8)),
        (network(("input", "y", conv(1, 1, 4, pads=(1, 2, 2, 1)))), (12, 12), (7, 7)),
        (network(("input", "y", conv(1, 1, pads=(0, 0, 0, 0)))), (14, 11), (5, 6)),
        (unet(STRIDED), (40, 28), (16, 14)),
        (unet(bilinear(8)), (38, 30), (16, 16)),
    ],
)
def test_tiles_equal_the_whole_image_and_a_pixel_less_does_not(
    net: Network, image: tuple[int, int], tile: tuple[int, int]
) -> None:
    cut = find_cut(net)
    tiling = Tiling(image, tile, cut.exact, cut.grid)
    check_equal(tiling, net.at_size(*image), cut)
    assert tiling.tiles > 1
    assert _compared(net, cut, cut.exact, image, tile) == 0
    if cut.least.after < cut.exact.after:
        less = Halo(max(cut.exact.before - 1, 0), cut.exact.after - 1)
        with pytest.raises(PlanError, match=r"does not give what the whole image gives; the exact halo is \d"):
            check_equal(Tiling(image, tile, less, cut.grid), net.at_size(*image), cut)


def test_a_halo_that_is_too_small_changes_counts() -> None:
    net = unet(bilinear(8))
    assert _compared(net, find_cut(net), Halo(0, 0), (38, 30), (16, 16)) > 100


def test_neurons_that_are_the_same_are_those_whose_taps_are() -> None:
    net = network(("input", "y", conv(1, 1)))
    part = find_same_neurons(net.at_size(12, 12), net.at_size(5, 6), (0, 6))["y"]
    assert part.corner == (0, 6)
    assert part.same.tolist() == [[False, True, True, True, True, True]] * 4 + [[False] * 6]


def test_a_tap_without_weight_reads_nothing() -> None:
    weight = np.zeros((1, 1, 5, 5), np.int8)
    weight[..., 2, 1:4] = 1
    cut = find_cut(network(("input", "y", ConvKernel(weight, pads=(2, 2, 2, 2)))))
    assert cut.exact == Halo(1, 1)


def test_what_sees_the_whole_image_is_refused() -> None:
    dense = network(("input", "a", conv(2, 1)), ("a", "y", conv(4, 2, 16, pads=(0, 0, 0, 0))))
    with pytest.raises(PlanError, match=r"^net: y reads all 16x16 pixels of a, the whole image; .* cut into tiles$"):
        find_cut(dense)
    ones = np.ones(64, np.int8)
    mean = SpatialKernel((8, 8), (1, 1), np.array([0, 64]), np.arange(64), ones)
    back = SpatialKernel((1, 1), (8, 8), np.arange(65), np.zeros(64, np.int64), ones)
    pooled = network(("input", "m", mean), ("m", "y", back), size=(8, 8))
    with pytest.raises(PlanError, match=r"^net: input->m 0 sees the whole image \(.*\); it cannot be cut into tiles$"):
        find_cut(pooled)
    with pytest.raises(PlanError, match=r"^y: its sources have different scales, 1/2x1/2 and 1x1 of the image; "):
        find_cut(
            network(("input", "y", conv(1, 1, 1, strides=(2, 2))), ("input", "y", conv(1, 1, 9, pads=(0, 0, 0, 0))))
        )


def test_a_learned_bias_by_pixel_is_refused() -> None:
    net = network(("input", "y", conv(1, 1)))
    last = net.populations[-1]
    bias = RNG.integers(0, 100, last.shape)
    with pytest.raises(Exception, match=r"^y: its bias differs by pixel and does not repeat itself; convert again"):
        find_cut(replace(net, populations=(net.input, replace(last, bias=bias))))
