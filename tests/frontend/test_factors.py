"""Axes as products of parts of a map's axes, against numpy's own reshape and transpose of a map's numbered entries."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.frontend.onnx.factors import Factor, Factored, extents_of, join, letters_of, regroup, whole

SIZES = {"N": 2, "C": 4, "H": 6, "W": 3}
MAP = whole("NCHW", tuple(SIZES.values()))


def entries(axes: Factored) -> npt.NDArray[np.int64]:
    """Which entry of the map, numbered in C order, stands where in a tensor of ``axes``."""
    factors = [factor for axis in axes for factor in axis]
    digits = np.indices([factor.extent for factor in factors])
    place = np.zeros(digits.shape[1:], np.int64)
    for letter, size in SIZES.items():
        along = sum(digit * each.stride for digit, each in zip(digits, factors, strict=True) if each.letter == letter)
        place = place * size + along
    return place.reshape(extents_of(axes))


@pytest.mark.parametrize("seed", range(30))
def test_reshapes_and_transpositions_in_any_order(seed: int) -> None:
    rng, axes, x = np.random.default_rng(seed), MAP, np.arange(144).reshape(2, 4, 6, 3)
    for _ in range(8):
        if rng.random() < 0.5:
            order = rng.permutation(len(axes))
            axes, x = tuple(axes[axis] for axis in order), x.transpose(order)
        else:
            cuts = np.split(rng.permutation([2, 2, 2, 2, 3, 3, 1]), np.sort(rng.integers(0, 8, 3)))
            shape = [math.prod(cut.tolist()) for cut in cuts]
            made = regroup(axes, shape)
            axes, x = (axes, x) if made is None else (made, x.reshape(shape))
        assert np.array_equal(entries(axes), x)
        assert all(join(axis) == axis and all(factor.extent > 1 for factor in axis) for axis in axes)


@pytest.mark.parametrize(
    ("shape", "made"),
    [
        ((2, 4, 6, 3), MAP),
        ((2, 4, 6, 3, 1), (*MAP, ())),
        ((1, 8, 18), ((), (*MAP[0], *MAP[1]), (*MAP[2], *MAP[3]))),
        ((2, 4, 2, 9), (*MAP[:2], (Factor("H", 2, 3),), (Factor("H", 3, 1), Factor("W", 3, 1)))),
        ((2, 2, 2, 18), (MAP[0], (Factor("C", 2, 2),), (Factor("C", 2, 1),), (*MAP[2], *MAP[3]))),
        ((2, 3, 48), None),  # three of four channels
        ((2, 4, 6, 2), None),  # fewer
        ((2, 4, 6, 3, 2), None),  # more
    ],
)
def test_reshapes_by_hand(shape: tuple[int, ...], made: Factored | None) -> None:
    assert regroup(MAP, shape) == made


@pytest.mark.parametrize(
    ("axis", "joined"),
    [
        ((Factor("H", 2, 3), Factor("H", 3, 1)), (Factor("H", 6, 1),)),
        ((Factor("H", 2, 6), Factor("H", 3, 2), Factor("H", 2, 1)), (Factor("H", 12, 1),)),
        ((Factor("H", 3, 1), Factor("H", 2, 3)), None),
        ((Factor("H", 2, 3), Factor("W", 3, 1)), None),
        ((Factor("H", 2, 4), Factor("H", 3, 1)), None),
        ((), None),
    ],
)
def test_neighbours_without_a_gap_are_one(axis: tuple[Factor, ...], joined: tuple[Factor, ...] | None) -> None:
    assert join(axis) == (axis if joined is None else joined)


@pytest.mark.parametrize(
    ("axes", "letters"),
    [
        (MAP, "NCHW"),
        (MAP[::-1], "WHCN"),
        (((), MAP[2], MAP[3], ()), "NHWC"),  # axes of one entry take the letters that remain, in order
        (((), ()), "NC"),
        ((), ""),
        ((MAP[0], (Factor("C", 2, 2),), MAP[2], MAP[3]), None),
        ((MAP[0], (Factor("C", 4, 2),), MAP[2], MAP[3]), None),
        ((MAP[0], (*MAP[1], *MAP[2]), MAP[3]), None),
        ((*MAP, ()), None),
    ],
)
def test_letters_of_whole_axes(axes: Factored, letters: str | None) -> None:
    assert letters_of(axes, SIZES) == letters
