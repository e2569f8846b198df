r"""Smooth activations replaced by hinges, a few ReLUs each, fitted to the values they see on calibration images; experimental.

.. math:: f(x) \approx d + \sum_{i \le 3} b_i \, \mathrm{relu}(\pm (x - c_i))

Knots :math:`c_i` are tried at quantiles of the values, in all combinations, and coefficients fitted by least squares, so the fit is
best where values are frequent. Every hinge is a population of its own. The changed network is another one: how much its outputs
differ is measured, and fine-tuning or training on makes up for some of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from snn_deploy.arrays import Float32, Float64
from snn_deploy.errors import ModelError
from snn_deploy.frontend.onnx.curves import Curve, find_curves
from snn_deploy.frontend.onnx.file import load
from snn_deploy.frontend.onnx.model_runs import relate_error, run_model

MOST_HINGES = 3
ENOUGH = 0.01
"""Error of a fit, relative to the deviation of the activation's results, at which no further hinge is added."""

POINTS = 512
"""Quantiles of the values of an activation that it is fitted at, and the largest and least value."""

SAMPLED_IMAGES, SAMPLED_NUMBERS = 8, 2**15
"""Images, and numbers of every value on each, that activations are fitted to."""

KNOTS = 16
"""Quantiles at which a hinge may lie, besides 0."""


REFINED = 6
"""Places on either side of the best knots, up to the next quantile, at which they may lie in the end."""


@dataclass(frozen=True, eq=False)
class Fit:
    """``offset + sum(slopes * relu(signs * (x - knots)))``; ``error`` relative to the deviation of the results."""

    knots: Float64
    signs: Float64
    slopes: Float64
    offset: float
    error: float

    def __call__(self, values: Float64) -> Float64:
        """What the hinges make of ``values`` (N,)."""
        hinges = np.maximum(self.signs * (values[:, None] - self.knots), 0.0)
        result: Float64 = self.offset + hinges @ self.slopes
        return result


@dataclass(frozen=True, eq=False)
class Approximated:
    """The changed ``model``, the fit of every activation by the name of its result, and the ``loss`` of every output.

    ``loss`` pairs each output with ``|changed - original| / |original|`` (Euclidean norms over all calibration images).
    """

    model: bytes
    fits: tuple[tuple[str, Fit], ...]
    loss: tuple[tuple[str, float], ...]


def approximate_activations(given: str | Path | bytes, images: Float32) -> Approximated:
    """The model with every smooth activation inside it replaced by hinges, fitted on ``images`` (N, C, H, W) float32."""
    source = load(given)
    model = ModelProto()
    model.CopyFrom(source.model)
    curves = find_curves(model)
    if not curves:
        raise ModelError(f"{source.where}: has no smooth activation inside (SiLU, GELU, HardSwish, ...) to approximate")
    values = _sample(model, tuple(dict.fromkeys(curve.source for curve in curves)), images, source.where)
    original = run_model(model, (), images, source.where)
    fits = [(curve, fit_curve(curve, model, values[curve.source])) for curve in curves]
    for number, (curve, fit) in enumerate(fits):
        _replace(model, curve, fit, f"hinges_{number}")
    found = run_model(model, (), images, source.where)
    loss = tuple((name, relate_error(found[name], original[name])) for name in original)
    return Approximated(model.SerializeToString(), tuple((curve.result, fit) for curve, fit in fits), loss)


def _sample(model: ModelProto, names: tuple[str, ...], images: Float32, where: str) -> dict[str, Float32]:
    """Some of the numbers of the values ``names`` on the first images."""
    parts: dict[str, list[Float32]] = {name: [] for name in names}
    for image in images[:SAMPLED_IMAGES]:
        found = run_model(model, names, image[None], where)
        for name in names:
            numbers = found[name].ravel()
            parts[name].append(numbers[:: max(1, numbers.size // SAMPLED_NUMBERS)])
    return {name: np.concatenate(each) for name, each in parts.items()}


def fit_curve(curve: Curve, model: ModelProto, values: Float32) -> Fit:
    """The fit with the fewest hinges whose error is at most :data:`ENOUGH`, else that of :data:`MOST_HINGES`."""
    points = np.quantile(values.astype(np.float64), np.linspace(0, 1, POINTS + 2))
    results = curve.evaluate(model, points.astype(np.float32)).astype(np.float64)
    knots = np.unique([0.0, *np.quantile(points, np.linspace(0, 1, KNOTS + 2)[1:-1])])
    fits = _fit(points, results, knots)
    fit = next(fits)
    while fit.error > ENOUGH and (better := next(fits, None)) is not None:
        fit = better
    return fit


def _fit(points: Float64, results: Float64, knots: Float64) -> Iterator[Fit]:
    """The best fits of one hinge, two, ...: all combinations of ``knots`` and directions, then knots near the best."""
    hinges = [(knot, sign) for knot in knots for sign in (1.0, -1.0)]
    for count in range(1, MOST_HINGES + 1):
        coarse = _solve(points, results, hinges, list(combinations(range(len(hinges)), count)))
        near = [np.linspace(*_between(knots, knot), 2 * REFINED + 1) for knot in coarse.knots]
        fine = [(knot, sign) for grid, sign in zip(near, coarse.signs, strict=True) for knot in grid]
        width = 2 * REFINED + 1
        yield _solve(
            points, results, fine, list(product(*(range(part * width, (part + 1) * width) for part in range(count))))
        )


def _between(knots: Float64, knot: float) -> tuple[float, float]:
    """The knots before and behind ``knot``."""
    place = int(np.searchsorted(knots, knot))
    return float(knots[max(place - 1, 0)]), float(knots[min(place + 1, knots.size - 1)])


def _solve(
    points: Float64, results: Float64, hinges: Sequence[tuple[float, float]], picks: Sequence[tuple[int, ...]]
) -> Fit:
    """The least squares fit of the ``picks`` of ``hinges`` (knot, direction) that errs least."""
    columns = np.stack([np.ones_like(points), *(np.maximum(sign * (points - knot), 0.0) for knot, sign in hinges)])
    gram, target = columns @ columns.T, columns @ results
    chosen = np.insert(np.array(picks) + 1, 0, 0, axis=1)
    ridge = 1e-9 * points.size * np.eye(chosen.shape[1])
    solved = np.linalg.solve(gram[chosen[:, :, None], chosen[:, None, :]] + ridge, target[chosen][:, :, None])[:, :, 0]
    errors = (results @ results) - np.einsum("nk,nk->n", solved, target[chosen])
    best = int(errors.argmin())
    knots, signs = (np.array(part) for part in zip(*(hinges[index - 1] for index in chosen[best, 1:]), strict=True))
    error = np.sqrt(max(float(errors[best]), 0.0) / points.size) / (float(results.std()) or 1.0)
    return Fit(knots, signs, solved[best, 1:], float(solved[best, 0]), float(error))


def _replace(model: ModelProto, curve: Curve, fit: Fit, stem: str) -> None:
    """Put the nodes of ``fit`` in the place of the one that makes the result of ``curve``."""
    place = next(index for index, node in enumerate(model.graph.node) if curve.result in node.output)
    kept = list(model.graph.node)
    kept[place : place + 1] = _write(model, curve, fit, stem)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _write(model: ModelProto, curve: Curve, fit: Fit, stem: str) -> list[NodeProto]:
    def constant(name: str, value: float) -> str:
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"{stem}/{name}"))
        return f"{stem}/{name}"

    nodes, terms = [], []
    for index, (knot, sign, slope) in enumerate(zip(fit.knots, fit.signs, fit.slopes, strict=True)):
        part = f"{stem}/{index}"
        at = constant(f"{index}/knot", knot)
        nodes += [
            helper.make_node("Sub", [curve.source, at] if sign > 0 else [at, curve.source], [f"{part}/shifted"]),
            helper.make_node("Relu", [f"{part}/shifted"], [f"{part}/hinge"], name=f"{part}/hinge"),
            helper.make_node("Mul", [f"{part}/hinge", constant(f"{index}/slope", slope)], [part]),
        ]
        terms.append(part)
    total = terms[0] if len(terms) == 1 else f"{stem}/sum"
    if len(terms) > 1:
        nodes.append(helper.make_node("Sum", terms, [total]))
    nodes.append(helper.make_node("Add", [total, constant("offset", fit.offset)], [curve.result]))
    return nodes
