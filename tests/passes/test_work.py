"""What the sums of a graph are counted as: every budget by hand, at its limit and one above."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from snn_deploy.errors import GraphError
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import Affine, Conv, ConvTranspose, Nearest, Op, Relu
from snn_deploy.passes import work
from snn_deploy.passes.compose import identity
from snn_deploy.passes.segment import Segment, Term
from snn_deploy.passes.work import Work

GRAPH = Graph("small", "x", (2, 4, 4), (Node("y", Conv(np.ones((1, 2, 3, 1)), np.zeros(1)), ("x",)),), (("y", "y"),))
"""Seven weights and biases."""

WEIGHTS = Conv(np.ones((3, 2, 2, 2)), np.zeros(3))
GROUPED = Conv(np.ones((4, 3, 2, 2)), np.zeros(4), groups=2)
"""Reads six channels."""


def segment(channels: int, *ops: Op, names: int = 1, bias: tuple[int, int] = (1, 1)) -> Segment:
    origin = tuple(f"n{index}" for index in range(names))
    terms = tuple(Term("x", op, np.ones(channels), origin) for op in ops)
    return Segment("s", (channels, 4, 4), terms, np.zeros((channels, *bias)))


def identities(*channels: int) -> tuple[Segment, ...]:
    return tuple(segment(count, identity(np.ones(count))) for count in channels)


@pytest.mark.parametrize(
    ("limit", "spend", "amount"),
    [
        ("MAX_TERMS", lambda w: w.compose("n", Relu(), [identities(2)]), 1),
        ("MAX_TERMS", lambda w: w.compose("n", Relu(), [(segment(2),)]), 1),
        ("MAX_TERMS", lambda w: w.compose("n", Relu(), [identities(2, 3), (segment(2, WEIGHTS, WEIGHTS),)]), 4),
        ("MAX_NAMES", lambda w: w.compose("n", Relu(), [(segment(2, WEIGHTS, WEIGHTS, names=3), *identities(1))]), 7),
        (
            "weights",
            lambda w: w.compose("n", Affine(np.ones(2), np.ones(2)), [(segment(2, WEIGHTS), *identities(5))]),
            29,
        ),
        ("weights", lambda w: w.compose("n", Affine(np.ones(2), np.ones(2)), [(segment(7, Nearest((2, 2))),)]), 7),
        ("weights", lambda w: w.compose("n", WEIGHTS, [identities(2)]), 24 + 24),
        ("weights", lambda w: w.compose("n", WEIGHTS, [(segment(2, WEIGHTS, WEIGHTS),)]), 24 + 48),
        ("weights", lambda w: w.compose("n", WEIGHTS, [identities(1, 1)]), 24 + 12 + 12),
        ("weights", lambda w: w.compose("n", GROUPED, [identities(3, 3)]), 48 + 24 + 24),
        ("weights", lambda w: w.compose("n", GROUPED, [identities(2, 4)]), 96 + 32 + 64),
        ("weights", lambda w: w.compose("n", GROUPED, [identities(6)]), 48 + 48),
        ("weights", lambda w: w.compose("n", ConvTranspose(np.ones((2, 3, 1, 2)), np.zeros(3)), [identities(2)]), 24),
        ("weights", lambda w: w.join("n", identities(2)), 0),
        ("weights", lambda w: w.join("n", identities(2, 3)), 2 * 2 * 5 // 2 + 10 + 3 * 3 * 5 // 3 + 10),
        ("weights", lambda w: w.join("n", (segment(3, WEIGHTS), *identities(1))), 24 * 4 // 3 + 8 + 4 + 8),
        ("MAX_BIAS_WORK", lambda w: w.propagate_bias("n", WEIGHTS, np.ones((2, 1, 1)), (3, 4, 5)), 240),
        ("MAX_BIAS_WORK", lambda w: w.propagate_bias("n", Nearest((2, 2)), np.ones((2, 1, 1)), (3, 4, 5)), 60),
        ("MAX_BIAS_WORK", lambda w: w.propagate_bias("n", WEIGHTS, np.zeros((2, 1, 1)), (3, 4, 5)), 0),
        ("MAX_BIASES", lambda w: w.propagate_bias("n", WEIGHTS, np.ones((2, 1, 1)), (3, 4, 5)), 60),
        ("MAX_BIASES", lambda w: w.hold_bias("n", segment(2, bias=(4, 4))), 32),
        ("MAX_BIASES", lambda w: w.hold_bias("n", segment(2, bias=(1, 4))), 8),
        ("MAX_BIASES", lambda w: w.hold_bias("n", segment(2)), 0),
    ],
)
def test_what_is_spent(limit: str, spend: Callable[[Work], None], amount: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly ``amount`` is enough, one less is not."""
    for allowed in (amount, amount - 1):
        if limit == "weights":
            monkeypatch.setattr(work, "MIN_FORM_WEIGHTS", allowed)
            monkeypatch.setattr(work, "MAX_FORM_GROWTH", 0)
        else:
            monkeypatch.setattr(work, limit, allowed)
        counted = Work(GRAPH)
        if allowed == amount or amount == 0:
            spend(counted)
        else:
            with pytest.raises(GraphError, match=r"^n: "):
                spend(counted)


def test_what_was_spent_stays_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MAX_TERMS", 3)
    counted = Work(GRAPH)
    for _ in range(3):
        counted.compose("n", Relu(), [identities(2)])
    with pytest.raises(GraphError, match=r"^last: .*summands between two layers"):
        counted.compose("last", Relu(), [identities(2)])


@pytest.mark.parametrize(("growth", "fits"), [(7, True), (6, False)])
def test_large_models_may_make_many_weights(growth: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """``growth`` times the seven weights and biases of the model, for 48 that are made."""
    monkeypatch.setattr(work, "MIN_FORM_WEIGHTS", 1)
    monkeypatch.setattr(work, "MAX_FORM_GROWTH", growth)
    counted = Work(GRAPH)
    if fits:
        counted.compose("n", WEIGHTS, [identities(2)])
    else:
        with pytest.raises(GraphError, match=re.escape("combined weights")):
            counted.compose("n", WEIGHTS, [identities(2)])
