"""What is measured of a changed model, and the hinges that it is changed to, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from snn_deploy.arrays import Float64
from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx import approximation
from snn_deploy.frontend.onnx.approximation import (
    ENOUGH,
    KNOTS,
    MOST_HINGES,
    POINTS,
    REFINED,
    SAMPLED_IMAGES,
    SAMPLED_NUMBERS,
    Fit,
    _between,
    _fit,
    _sample,
    _solve,
    fit_curve,
)
from snn_deploy.frontend.onnx.model_runs import describe_change, relate_error, run_model
from snn_deploy.frontend.onnx.sizes import list_near_sizes
from tests.frontend.oracle import build, node, numbers


def model(shape: tuple[int | str, ...] = ("n", 2, "h", "w"), **constants: Any) -> ModelProto:
    nodes = [node("Neg", "x", "n"), node("Mul", "n k", "m"), node("Add", "m k")]
    return build(17, nodes, {"k": np.float32(3)} | constants, shape)


def test_values_inside_are_given_beside_the_outputs() -> None:
    """Image by image, joined along the batch; what is an output already is given once."""
    images = numbers(3, 2, 4, 5)
    found = run_model(model(), ("m", "y", "n"), images, "here")
    assert list(found) == ["y", "m", "n"]
    np.testing.assert_allclose(found["n"], -images)
    np.testing.assert_allclose(found["m"], -3 * images, rtol=1e-6)
    np.testing.assert_allclose(found["y"], 3 - 3 * images, rtol=1e-5)
    given = model()
    run_model(given, ("m",), images, "here")
    assert [output.name for output in given.graph.output] == ["y"], "the model is left as it was"


def test_weights_that_older_files_list_as_inputs_are_no_images() -> None:
    given = model()
    image = given.graph.input.pop()
    stored = given.graph.input.add()
    stored.CopyFrom(image)
    stored.name = "k"
    stored.type.tensor_type.shape.ClearField("dim")
    given.graph.input.append(image)
    images = numbers(1, 2, 4, 5)
    np.testing.assert_allclose(run_model(given, (), images, "here")["y"], 3 - 3 * images, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "given", "message"),
    [
        (("n", 2, 8, 12), (1, 2, 6, 9), r"for images of 6x9; use 8x12 \(--size\)$"),
        (("n", 2, 8, 12), (1, 3, 6, 9), r"^here: onnxruntime cannot run it \(.*\)$"),
        (("n", 2, 9, 13), (1, 2, 6, 9), r"^here: onnxruntime cannot run it \(.*\)$"),
        (("n", 2, 8), (1, 2, 7), r"^here: onnxruntime cannot run it \(.*\)$"),
    ],
)
def test_sizes_at_which_a_model_runs_are_named(
    shape: tuple[int | str, ...], given: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        run_model(model(shape), (), numbers(*given), "here")


@pytest.mark.parametrize(
    ("size", "near"),
    [
        ((7, 9), [(6, 8), (8, 10), (4, 8), (8, 12), (0, 8), (8, 16), (0, 0), (16, 16), (32, 32), (64, 64)]),
        ((64, 64), []),
        ((1, 9), [(1, 8), (1, 10), (1, 12), (1, 16), (1, 0), (1, 32), (1, 64)]),
        ((65, 128), [(64, 128), (66, 128), (68, 128), (72, 128), (80, 128), (96, 128), (128, 128)]),
    ],
)
def test_near_sizes_are_multiples_of_powers_of_two(size: tuple[int, int], near: list[tuple[int, int]]) -> None:
    assert list_near_sizes(size) == near


@pytest.mark.parametrize(
    ("one", "two", "error"),
    [([3.0, 4.0], [0.0, 4.0], 0.75), ([1.0, 1.0], [1.0, 1.0], 0.0), ([0.0], [0.0], 0.0), ([2.0], [-2.0], 2.0)],
)
def test_errors_are_relative_to_the_second(one: list[float], two: list[float], error: float) -> None:
    assert relate_error(np.array(one, np.float32), np.array(two, np.float32)) == pytest.approx(error)
    assert relate_error(np.ones(1, np.float32), np.zeros(1, np.float32)) > 1e299


def test_changes_in_words() -> None:
    assert describe_change([("y", 0.0123), ("z", 1.0)]) == (
        "y changes by 1.23%, z changes by 100.00% (2-norm, calibration images)"
    )


# ---------------------------------------------------------------------- hinges


def test_hinges_add_up() -> None:
    fit = Fit(np.array([1.0, -1.0]), np.array([1.0, -1.0]), np.array([2.0, 0.5]), 3.0, 0.0)
    assert fit(np.array([-3.0, -1.0, 0.0, 1.0, 2.5])).tolist() == [4.0, 3.0, 3.0, 3.0, 6.0]


@pytest.mark.parametrize(("knot", "ends"), [(0.0, (0.0, 1.0)), (1.0, (0.0, 4.0)), (4.0, (1.0, 9.0)), (9.0, (4.0, 9.0))])
def test_a_knot_may_move_to_its_neighbours(knot: float, ends: tuple[float, float]) -> None:
    assert _between(np.array([0.0, 1.0, 4.0, 9.0]), knot) == ends


POINTS_HERE = np.linspace(-2, 2, 401)
HINGES = [(knot, sign) for knot in (-1.0, 0.0, 1.0) for sign in (1.0, -1.0)]


@pytest.mark.parametrize("picks", [((4,), (2,), (1,)), ((1, 2), (0, 5), (2, 4))])
def test_the_pick_that_errs_least_by_least_squares(picks: tuple[tuple[int, ...], ...]) -> None:
    results = np.tanh(POINTS_HERE)
    found = _solve(POINTS_HERE, results, HINGES, picks)
    errors = []
    for pick in picks:
        columns = [np.ones_like(POINTS_HERE)]
        columns += [np.maximum(sign * (POINTS_HERE - knot), 0) for knot, sign in (HINGES[index] for index in pick)]
        matrix = np.stack(columns, 1)
        solved = np.linalg.lstsq(matrix, results, rcond=None)[0]
        errors.append((float(np.sqrt(np.square(matrix @ solved - results).mean()) / results.std()), solved))
    best = int(np.argmin([error for error, _ in errors]))
    error, solved = errors[best]
    assert found.error == pytest.approx(error, rel=1e-4)
    assert (found.offset, *found.slopes) == pytest.approx(tuple(solved), rel=1e-4, abs=1e-6)
    assert list(zip(found.knots, found.signs, strict=True)) == [HINGES[index] for index in picks[best]]
    np.testing.assert_allclose(found(POINTS_HERE), _solve(POINTS_HERE, results, HINGES, [picks[best]])(POINTS_HERE))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_hinges_as_there_are_bends(count: int) -> None:
    """Bends between the quantiles, which refining finds: sixths of the way to the next one."""
    knots = np.array([-1.5, -0.5, 0.5, 1.5])
    bends = [-1.0, 0.0, 1.0][:count]
    hinges = [(index + 1) * np.maximum(POINTS_HERE - bend - 1 / 6, 0) for index, bend in enumerate(bends)]
    results: Float64 = 0.5 + np.sum(hinges, axis=0)
    fits = list(_fit(POINTS_HERE, results, knots))
    assert len(fits) == MOST_HINGES == 3
    assert [fit.knots.size for fit in fits] == [1, 2, 3]
    assert fits[count - 1].error < 1e-3
    assert all(fit.error > ENOUGH for fit in fits[: count - 1])
    np.testing.assert_allclose(sorted(fits[count - 1].knots), [bend + 1 / 6 for bend in bends], atol=1e-9)


class Straight:
    """A curve of so many bends."""

    source, result, nodes = "x", "y", ()

    def __init__(self, bends: int) -> None:
        self.bends, self.seen = bends, np.zeros(0)

    def evaluate(self, _: object, values: Any) -> Any:
        self.seen = values
        return sum(
            np.maximum(values - place, 0) * (index + 1) for index, place in enumerate((0.0, 1.0, -1.0)[: self.bends])
        )


@pytest.mark.parametrize("bends", [1, 2, 3])
def test_a_fit_has_as_few_hinges_as_are_enough(bends: int) -> None:
    curve: Any = Straight(bends)
    values = np.random.default_rng(0).normal(0, 1, 5000).astype(np.float32)
    fit = fit_curve(curve, ModelProto(), values)
    assert fit.knots.size == bends
    assert fit.error <= ENOUGH == 0.01
    assert curve.seen.size == POINTS + 2 == 514
    assert (curve.seen[0], curve.seen[-1]) == (values.min(), values.max())
    assert (KNOTS, REFINED) == (16, 6)


def test_a_result_that_never_changes_is_an_offset() -> None:
    fit = _solve(POINTS_HERE, np.full(401, 2.5), HINGES, [(0,), (3,)])
    assert fit.error == pytest.approx(0, abs=1e-4)
    assert fit(np.array([-9.0, 0.0, 9.0])) == pytest.approx(2.5, abs=1e-4)


@pytest.mark.parametrize(
    ("images", "numbers_of", "sampled", "expected"),
    [(3, 40, 40, 3 * 40), (3, 40, 39, 3 * 40), (3, 40, 20, 3 * 20), (3, 40, 13, 3 * 14), (9, 40, 1000, 8 * 40)],
)
def test_some_numbers_of_the_first_images_are_sampled(
    images: int, numbers_of: int, sampled: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every k-th number, so that at least as many as asked for remain."""
    assert (SAMPLED_IMAGES, SAMPLED_NUMBERS) == (8, 2**15)
    monkeypatch.setattr(approximation, "SAMPLED_NUMBERS", sampled)
    given = numbers(images, 2, 4, 5)
    found = _sample(model(), ("n",), given, "here")["n"]
    assert found.size == expected
    step = max(1, numbers_of // sampled)
    np.testing.assert_allclose(found, np.concatenate([-image.ravel()[::step] for image in given[:8]]), rtol=1e-6)
    assert math.ceil(numbers_of / step) * min(images, 8) == expected
