"""Sums of linear terms: scaled, joined and added, each against the values that it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.graph.ops import AveragePool, Conv, ConvTranspose, Nearest, Op, Relu, Resample
from snn_deploy.passes.compose import identity
from snn_deploy.passes.constant_map import apply_linear
from snn_deploy.passes.segment import Segment, Term, add, enumerate_channels, join, read_activation

Array = npt.NDArray[np.float64]
X = np.arange(1.0, 1 + 3 * 4 * 4).reshape(3, 4, 4)


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(-9, 10, shape) / 4


def conv(outputs: int = 3) -> Conv:
    return Conv(numbers(outputs, 3, 3, 3), np.zeros(outputs), pads=(1, 1, 1, 1))


def transposed(outputs: int = 3) -> ConvTranspose:
    return ConvTranspose(numbers(3, outputs, 3, 3), np.zeros(outputs), pads=(1, 1, 1, 1))


def value(part: Term | Segment) -> Array:
    """What ``part`` is where its source is ``X``."""
    if isinstance(part, Term):
        plain = apply_linear(part.op, X)
        return plain if isinstance(part.op, Conv | ConvTranspose) else plain * part.scale[:, None, None]
    return np.asarray(part.bias + sum(value(term) for term in part.terms), np.float64)


def term(op: Op, *, scale: Array | None = None, origin: str = "t") -> Term:
    channels = 3 if not isinstance(op, Conv | ConvTranspose) else len(apply_linear(op, X))
    return Term("x", op, np.ones(channels) if scale is None else scale, (origin,))


SCALE, SHIFT = np.array([2.0, -3.0, 0.5]), np.array([1.0, 0.0, -2.0])
TERMS = [term(conv()), term(transposed()), term(AveragePool((1, 1), (1, 1))), term(Nearest((1, 1)), scale=SCALE)]


@pytest.mark.parametrize("first", TERMS)
def test_scales_go_into_weights_or_beside_them(first: Term) -> None:
    assert np.array_equal(value(first.scaled(SCALE)), value(first) * SCALE[:, None, None])


@pytest.mark.parametrize("first", [*TERMS, term(identity(SCALE))])
@pytest.mark.parametrize(
    "op", [conv(2), transposed(2), Resample(numbers(5, 4), numbers(2, 4)), AveragePool((2, 2), (2, 2)), Nearest((2, 1))]
)
def test_what_comes_after_a_term_is_one_term_or_none(first: Term, op: Op) -> None:
    channels = len(apply_linear(op, X))
    then = first.then(op, channels, ("after",))
    if then is None:
        assert not isinstance(first.op, Conv) or first.op.weight.shape[2] == 3
        return
    assert (then.source, then.origin, then.scale.shape) == ("x", ("t", "after"), (channels,))
    np.testing.assert_allclose(value(then), apply_linear(op, value(first)), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("first", "op", "composes"),
    [
        (term(identity(SCALE)), conv(2), True),
        (term(identity(SCALE)), Nearest((2, 1)), True),
        (term(identity(SCALE)), AveragePool((2, 2), (2, 2)), True),
        (term(Nearest((1, 1)), scale=SCALE), Conv(numbers(2, 3, 1, 1), np.zeros(2)), True),
        (term(Nearest((1, 1)), scale=SCALE), Nearest((2, 1)), False),
        (term(conv()), conv(2), False),
    ],
)
def test_which_terms_compose(first: Term, op: Op, composes: bool) -> None:
    assert (first.then(op, len(apply_linear(op, X)), ()) is not None) == composes


def segment(*terms: Term, bias: Array | None = None, name: str = "s") -> Segment:
    channels = len(value(terms[0]))
    return Segment(name, (channels, 4, 4), terms, np.zeros((channels, 1, 1)) if bias is None else bias)


POSITIVE = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("part", "read", "activation"),
    [
        (read_activation("x", (3, 4, 4)), True, "x"),
        (segment(term(identity(POSITIVE))), True, None),
        (segment(term(identity(POSITIVE / 4))), True, None),
        (Segment("s", (3, 4, 4), (), np.zeros((3, 1, 1))), False, None),
        (segment(term(identity(SCALE))), False, None),
        (segment(term(identity(np.array([1.0, 0.0, 1.0])))), False, None),
        (segment(term(identity(np.ones(3))), bias=POSITIVE[:, None, None]), True, None),
        (segment(term(identity(np.ones(3))), bias=numbers(3, 4, 4)), False, None),
        (segment(term(identity(np.ones(3))), term(identity(np.ones(3)))), False, None),
        (segment(term(conv())), False, None),
        (segment(term(identity(np.ones(3), (1, 0, -1, 0)))), False, None),
    ],
)
def test_what_reads_an_activation(part: Segment, read: bool, activation: str | None) -> None:
    assert (part.reads_one, part.activation) == (read, activation)


@pytest.mark.parametrize("bias", [np.zeros((3, 1, 1)), POSITIVE[:, None, None], numbers(3, 4, 4)])
def test_affine_maps_of_segments(bias: Array) -> None:
    part = segment(*TERMS, bias=bias)
    found = part.affine(SCALE, SHIFT, ("norm",))
    np.testing.assert_allclose(value(found), value(part) * SCALE[:, None, None] + SHIFT[:, None, None], rtol=1e-12)
    assert {each.origin for each in found.terms} == {("t", "norm")}
    assert (found.name, found.shape) == ("s", (3, 4, 4))


@pytest.mark.parametrize("bias", [np.zeros((2, 1, 1)), numbers(2, 4, 4)])
def test_segments_are_joined_at_running_offsets(bias: Array) -> None:
    form = (segment(term(conv())), segment(term(conv(2)), term(transposed(2)), bias=bias), segment(term(transposed(1))))
    assert [(place.start, place.stop) for _, place in enumerate_channels(form)] == [(0, 3), (3, 5), (5, 6)]
    joined = join("all", form)
    whole = np.concatenate([np.broadcast_to(value(part), part.shape) for part in form])
    np.testing.assert_allclose(value(joined), whole, rtol=1e-12, atol=1e-12)
    assert (joined.name, joined.shape, len(joined.terms)) == ("all", (6, 4, 4), 4)
    assert joined.bias.shape[1:] == bias.shape[1:]
    assert all(each.origin == ("t",) and len(each.scale) == 6 for each in joined.terms)
    assert join("one", form[:1]) is form[0]


def test_terms_without_weights_cannot_be_joined() -> None:
    with pytest.raises(TypeError, match=r"^all: Nearest has no weights to widen$"):
        join("all", (segment(term(conv())), segment(TERMS[3])))
    assert isinstance(Relu(), Op)


def test_sums_of_segments() -> None:
    parts = (
        segment(term(conv()), bias=POSITIVE[:, None, None]),
        segment(term(transposed()), TERMS[3], bias=numbers(3, 4, 4)),
        replace(segment(term(identity(SCALE))), name="third"),
    )
    found = add("sum", parts, ("add",))
    np.testing.assert_allclose(value(found), sum(value(part) for part in parts), rtol=1e-12)
    assert (found.name, found.shape) == ("sum", (3, 4, 4))
    assert {each.origin for each in found.terms} == {("t", "add")}
