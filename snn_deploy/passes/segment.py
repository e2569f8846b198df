"""Linear values as sums of terms, without concatenations: everything between two layers of populations.

A value of the float graph that is not an activation has a *form*: consecutive segments of channels (a ``Concat`` of n
sources has n segments, at running offsets). A segment is ``bias + sum of terms``; a term is one linear operator
that reads one activation directly, times a scale per channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.graph.ops import Conv, ConvTranspose, Op
from snn_deploy.passes.compose import compose, fuse, identity, is_identity, scale_of, scale_outputs, widen
from snn_deploy.shapes import Shape


@dataclass(frozen=True, eq=False)
class Term:
    """``scale[c] * op(source)``; ``op`` has no bias, and its weights include the scale where it has weights."""

    source: str
    op: Op
    scale: Float64
    origin: tuple[str, ...] = ()

    def scaled(self, factor: Float64) -> Term:
        """``factor`` (C,) times this term."""
        if isinstance(self.op, Conv | ConvTranspose):
            return replace(self, op=scale_outputs(self.op, factor))
        return replace(self, scale=self.scale * factor)

    def then(self, op: Op, channels: int, origin: tuple[str, ...], *, fused: bool = False) -> Term | None:
        """``op`` (no bias, ``channels`` outputs) after this term as one term; ``None`` where they do not compose.

        ``fused``: they compose as :func:`~snn_deploy.passes.compose.fuse` does.
        """
        combine = fuse if fused else compose
        if np.all(self.scale == 1):
            composed = combine(self.op, op)
            scale = np.ones(channels)
            if composed is None and is_identity(self.op) and not isinstance(op, Conv | ConvTranspose):
                composed, scale = op, scale_of(self.op)  # a scale and an operator that treats all channels alike
        else:
            first = compose(identity(self.scale), op)
            composed = None if first is None else combine(self.op, first)
            scale = np.ones(channels)
        if composed is None:
            return None
        return Term(self.source, composed, scale, self.origin + origin)


@dataclass(frozen=True, eq=False)
class Segment:
    """``bias + sum(terms)``, of ``shape`` (C, H, W), as the value ``name``; ``bias`` is (C, 1, 1) or (C, H, W)."""

    name: str
    shape: Shape
    terms: tuple[Term, ...]
    bias: Float64

    @property
    def reads_one(self) -> bool:
        """Whether this is one activation times a positive scale plus a constant per channel."""
        if len(self.terms) != 1 or self.bias.shape[1:] != (1, 1):
            return False
        (term,) = self.terms
        return is_identity(term.op) and bool(np.all(scale_of(term.op) > 0))

    @property
    def activation(self) -> str | None:
        """The activation, where this is one unchanged; else ``None``."""
        if not self.reads_one or self.bias.any():
            return None
        (term,) = self.terms
        return term.source if np.all(scale_of(term.op) == 1) else None

    def affine(self, scale: Float64, shift: Float64, origin: tuple[str, ...]) -> Segment:
        """``scale[c] * self + shift[c]``."""
        terms = (term.scaled(scale) for term in self.terms)
        bias = self.bias * scale[:, None, None] + shift[:, None, None]
        return replace(self, terms=tuple(replace(term, origin=term.origin + origin) for term in terms), bias=bias)


Form: TypeAlias = tuple[Segment, ...]


def read_activation(source: str, shape: Shape, name: str | None = None) -> Segment:
    """The segment that is the activation ``source``."""
    ones = np.ones(shape[0])
    return Segment(name or source, shape, (Term(source, identity(ones), ones),), np.zeros((shape[0], 1, 1)))


def enumerate_channels(form: Form) -> Iterator[tuple[Segment, slice]]:
    """Every segment with its range of channels."""
    start = 0
    for segment in form:
        yield segment, slice(start, start + segment.shape[0])
        start += segment.shape[0]


def join(name: str, form: Form) -> Segment:
    """One segment for several whose terms are all (transposed) convolutions: weights padded to all channels."""
    first, *others = form
    if not others:
        return first
    channels = sum(segment.shape[0] for segment in form)
    terms: list[Term] = []
    for segment, place in enumerate_channels(form):
        for term in segment.terms:
            if not isinstance(term.op, Conv | ConvTranspose):
                raise TypeError(f"{name}: {type(term.op).__name__} has no weights to widen")
            terms.append(Term(term.source, widen(term.op, place.start, channels), np.ones(channels), term.origin))
    (size,) = {segment.shape[1:] for segment in form}
    flat = all(segment.bias.shape[1:] == (1, 1) for segment in form)
    parts = [segment.bias if flat else np.broadcast_to(segment.bias, segment.shape) for segment in form]
    return Segment(name, (channels, *size), tuple(terms), np.concatenate(parts))


def add(name: str, segments: tuple[Segment, ...], origin: tuple[str, ...]) -> Segment:
    """The sum of segments of one shape."""
    terms = tuple(replace(term, origin=term.origin + origin) for segment in segments for term in segment.terms)
    (shape,) = {segment.shape for segment in segments}
    return Segment(name, shape, terms, reduce(np.add, (segment.bias for segment in segments)))
