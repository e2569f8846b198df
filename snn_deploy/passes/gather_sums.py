"""Rewrites everything between activations into sums of linear operators that read activations directly.

Walks the graph once and stores the :mod:`~snn_deploy.passes.segment` form of every value that is not an activation. The
identities:

* ``conv(concat(a, b)) = conv(a; W[:, :A]) + conv(b; W[:, A:])`` (running offsets; grouped convolutions split where
  their groups do);
* ``conv(s x + t) = conv(x; W s) + conv(t)``, the last a constant map (:mod:`~snn_deploy.passes.constant_map`);
* ``s (W x + b) + t = (s W) x + (s b + t)``: batch normalization after a (transposed) convolution;
* operators that treat channels alike (pooling, resampling) and activations commute with ``Concat`` and positive scales.

Where two linear operators do not compose, a population is inserted between them: a ``Relay`` after average pooling,
repetition, padding and cropping (integer sums of counts, exact), else a signed ``Linear``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.names import Names
from snn_deploy.graph.ops import (
    Add,
    Affine,
    AveragePool,
    Concat,
    Conv,
    ConvTranspose,
    Host,
    LeakyRelu,
    Linear,
    MaxPool,
    Nearest,
    Op,
    Relay,
    Relu,
    Resample,
)
from snn_deploy.passes.compose import identity, is_identity, is_shift, scale_of, ungroup
from snn_deploy.passes.constant_map import propagate_bias
from snn_deploy.passes.segment import Form, Segment, Term, add, enumerate_channels, join, read_activation
from snn_deploy.passes.work import Work
from snn_deploy.shapes import Shape

Weighted: TypeAlias = Conv | ConvTranspose
Kept: TypeAlias = Relu | LeakyRelu | Linear | Relay | MaxPool | Host


def gather_sums(graph: Graph, *, fused: bool = False) -> Graph:
    """``graph`` in normal form except for ``MaxPool`` nodes, which read one activation each.

    ``fused``: transposed convolutions become one with the convolutions that read them, where that takes fewer
    multiplications.
    """
    walk = _Walk(graph, fused=fused)
    for node in graph.nodes:
        walk.visit(node)
    outputs = tuple((name, walk.output(value)) for name, value in graph.outputs)
    return replace(graph, nodes=tuple(walk.nodes), outputs=outputs).without_dead_nodes()


class _Walk:
    """The forms of all values seen so far, and the nodes written for them."""

    def __init__(self, graph: Graph, *, fused: bool) -> None:
        self.graph, self.work, self.fused = graph, Work(graph), fused
        self.readers = Counter(name for node in graph.nodes for name in node.inputs)
        self.readers.update(value for _, value in graph.outputs)
        self.nodes: list[Node] = []
        self.forms: dict[str, Form] = {graph.input: (read_activation(graph.input, graph.input_shape),)}
        self.hosted: dict[str, str] = {}
        self.populations: dict[object, str] = {}
        self.nonnegative: set[str] = set()
        self.names = Names([graph.input, *(node.name for node in graph.nodes if isinstance(node.op, Kept))])
        self.written = {graph.input}

    def visit(self, node: Node) -> None:
        """Compute the form of ``node``."""
        op = node.op
        if isinstance(op, Host):
            self.hosted[node.name] = self._write(node.name, op, (self.output(node.source),), node.origin)
            return
        inputs = [self.forms[name] for name in node.inputs]
        self.work.compose(node.name, op, inputs)
        if isinstance(op, Concat):
            form = tuple(segment for part in inputs for segment in part)
        elif isinstance(op, Add):
            form = self._add(node, inputs)
        else:
            (form,) = inputs
            form = self._after(form, node)
        self.forms[node.name] = form
        self._release(node.inputs)

    def _after(self, form: Form, node: Node) -> Form:
        """The form of a node of one input."""
        op = node.op
        if isinstance(op, Affine):
            return tuple(
                segment.affine(op.scale[place], op.shift[place], node.origin)
                for segment, place in enumerate_channels(form)
            )
        if isinstance(op, Weighted):
            return self._weighted(node, op, form)
        if isinstance(op, Resample | AveragePool | Nearest):
            return tuple(self._linear(segment, op, node) for segment in form)
        if isinstance(op, Relu | LeakyRelu | Linear | Relay):
            return tuple(
                self._activate(segment, _limits(op, place), self._part(node, form, i), node)
                for i, (segment, place) in enumerate(enumerate_channels(form))
            )
        if isinstance(op, MaxPool):
            return tuple(self._max_pool(segment, op, self._part(node, form, i), node) for i, segment in enumerate(form))
        raise TypeError(f"{node.name}: {type(op).__name__} must be expanded by an earlier pass")

    def _release(self, names: tuple[str, ...]) -> None:
        """Forget forms that no later node reads: each may hold a copy of a layer's weights."""
        for name in names:
            self.readers[name] -= 1
            if not self.readers[name] and name != self.graph.input:
                del self.forms[name]

    def output(self, value: str) -> str:
        """Write ``value`` as a sum, unless it is an activation, and return its name."""
        if value in self.hosted:
            return self.hosted[value]
        *others, last = self.forms[value]
        if not others and last.activation not in (None, self.graph.input):
            return str(last.activation)
        key = ("output", value)
        if key not in self.populations:
            prepared = tuple(map(self._weighted_only, (*others, last))) if others else (self._carried(last),)
            name = value if value not in self.written else self.names.fresh(f"{value}.out")
            self.work.join(value, prepared)
            self.populations[key] = self._sum(join(value, prepared), name)
        return self.populations[key]

    def _add(self, node: Node, forms: list[Form]) -> Form:
        if all([s.shape for s in form] == [s.shape for s in forms[0]] for form in forms):
            return tuple(add(node.name, parts, node.origin) for parts in zip(*forms, strict=True))
        whole = []
        for form in forms:
            prepared = tuple(map(self._weighted_only, form))
            self.work.join(node.name, prepared)
            whole.append(join(node.name, prepared))
        return (add(node.name, tuple(whole), node.origin),)

    def _weighted(self, node: Node, op: Weighted, form: Form) -> Form:
        """A convolution of a form: per group where its groups hold whole segments, else per segment, then summed."""
        bias = op.bias[:, None, None] if op.bias.ndim == 1 else op.bias
        bare = replace(op, bias=np.zeros(len(op.bias)))
        channels = sum(segment.shape[0] for segment in form)
        per_group = channels // op.groups
        if all(segment.shape[0] % per_group == 0 for segment in form):
            per_output = len(op.bias) // op.groups
            parts = []
            for segment, place in enumerate_channels(form):
                groups = slice(place.start // per_group, place.stop // per_group)
                outputs = slice(groups.start * per_output, groups.stop * per_output)
                part = self._linear(segment, _groups(bare, groups, outputs, place), node)
                parts.append(replace(part, bias=part.bias + bias[outputs]))
            return tuple(parts)
        bare = ungroup(bare)
        slices = [
            self._linear(segment, _input_channels(bare, place), node) for segment, place in enumerate_channels(form)
        ]
        whole = add(node.name, tuple(slices), ())
        return (replace(whole, bias=whole.bias + bias),)

    def _linear(self, segment: Segment, op: Op, node: Node) -> Segment:
        """A linear operator without bias on one segment; a segment that does not compose with it becomes a population first."""
        shape = op.infer((segment.shape,))
        terms = [term.then(op, shape[0], node.origin, fused=self.fused) for term in segment.terms]
        if any(term is None for term in terms):
            segment = self._population(segment)
            terms = [term.then(op, shape[0], node.origin) for term in segment.terms]
        composed = tuple(term for term in terms if term is not None)
        self.work.propagate_bias(node.name, op, segment.bias, shape)
        made = Segment(node.name, shape, composed, propagate_bias(op, segment.bias, segment.shape))
        self.work.hold_bias(node.name, made)
        return made

    def _activate(self, segment: Segment, op: Op, name: str, node: Node) -> Segment:
        source = segment.activation
        rectified = isinstance(op, Relu) or (isinstance(op, Relay) and op.rectify)
        limited = isinstance(op, Relu) and op.limit is not None
        keeps = isinstance(op, LeakyRelu) or (rectified and not limited)  # what is not negative
        if source is not None and (isinstance(op, Linear) or (keeps and source in self.nonnegative)):
            return segment
        self._write(name, op, (self._sum(self._carried(segment), None, name),), node.origin)
        if rectified:
            self.nonnegative.add(name)
        return read_activation(name, segment.shape)

    def _max_pool(self, segment: Segment, op: MaxPool, name: str, node: Node) -> Segment:
        """``max(s x + t) = s max(x) + t`` for s > 0; a segment that is not one activation becomes a signed population first."""
        if not segment.reads_one:
            segment = self._signed(segment)
        (term,) = segment.terms
        self._write(name, op, (term.source,), term.origin + node.origin)
        if term.source in self.nonnegative:
            self.nonnegative.add(name)
        shape = op.infer((segment.shape,))
        return read_activation(name, shape).affine(scale_of(term.op), segment.bias.ravel(), ())

    def _population(self, segment: Segment) -> Segment:
        """The segment as scaled reads of populations: relays for integer sums of counts, else one signed population."""
        if all(_whole(term.op) for term in segment.terms) or [type(term.op) for term in segment.terms] == [Resample]:
            return replace(segment, terms=tuple(self._separate(segment, term) for term in segment.terms))
        return self._signed(segment)

    def _separate(self, segment: Segment, term: Term) -> Term:
        """A read of a population for one term, without its scale: a relay where its sums are integers."""
        if is_identity(term.op):
            return term
        bare, scale = term.op, term.scale
        if is_shift(bare) and isinstance(bare, Conv):
            bare, scale = replace(bare, weight=np.ones_like(bare.weight)), scale_of(bare)
        key = (term.source, _geometry(bare))
        if key not in self.populations:
            name = segment.name if segment.name not in self.written else self.names.fresh(f"{segment.name}.relay")
            linear = self._write(self.names.fresh(f"{name}<-{term.source}"), bare, (term.source,), term.origin)
            self.populations[key] = self._write(name, Relay() if _whole(bare) else Linear(), (linear,), ())
            if _whole(bare) and term.source in self.nonnegative:
                self.nonnegative.add(name)
        return Term(self.populations[key], identity(scale), np.ones(len(scale)))

    def _signed(self, segment: Segment) -> Segment:
        if segment not in self.populations:
            carried = self._carried(segment)
            name = segment.name if segment.name not in self.written else self.names.fresh(f"{segment.name}.linear")
            self._write(name, Linear(), (self._sum(carried, None, name),), ())
            self.populations[segment] = name
        return read_activation(self.populations[segment], segment.shape, segment.name)

    def _carried(self, segment: Segment) -> Segment:
        """The segment as an activation may read it: every scale and the bias are in convolutions."""
        terms = tuple(map(_weighted, segment.terms))
        scaled = any(not isinstance(term.op, Weighted) and np.any(term.scale != 1) for term in terms)
        unplaced_bias = segment.bias.any() and not any(isinstance(term.op, Weighted) for term in terms)
        return self._weighted_only(segment) if scaled or unplaced_bias else replace(segment, terms=terms)

    def _weighted_only(self, segment: Segment) -> Segment:
        """The segment with a convolution in every term, which can take scales and a bias and be widened."""
        terms = (_weighted(term) for term in segment.terms)
        separated = (term if isinstance(term.op, Weighted) else self._separate(segment, term) for term in terms)
        return replace(segment, terms=tuple(separated))

    def _sum(self, segment: Segment, name: str | None, target: str = "") -> str:
        """Write the segment's terms and their ``Add``; returns the sum's name (``name`` where given)."""
        target = name or target
        names, bias = [], segment.bias
        for term in segment.terms:
            op = term.op
            if isinstance(op, Weighted) and bias.any():
                op, bias = replace(op, bias=_bias(bias, segment.shape)), np.zeros_like(bias)
            own = name if name is not None and len(segment.terms) == 1 else self.names.fresh(f"{target}<-{term.source}")
            names.append(self._write(own, op, (term.source,), term.origin))
        if len(names) == 1:
            return names.pop()
        return self._write(name or self.names.fresh(f"{target}.sum"), Add(), tuple(names), ())

    def _write(self, name: str, op: Op, inputs: tuple[str, ...], origin: tuple[str, ...]) -> str:
        self.nodes.append(Node(name, op, inputs, tuple(dict.fromkeys(origin))))
        self.written.add(self.names.take(name))
        return name

    def _part(self, node: Node, form: Form, index: int) -> str:
        return node.name if len(form) == 1 else self.names.fresh(f"{node.name}.{index}")


def _weighted(term: Term) -> Term:
    """Averages and repetitions as depthwise (transposed) convolutions, which can take scales; other terms unchanged."""
    op, scale = term.op, term.scale
    if isinstance(op, AveragePool):
        weight = np.ones((len(scale), 1, *op.kernel)) * (scale / (op.kernel[0] * op.kernel[1]))[:, None, None, None]
        weighted: Op = Conv(weight, np.zeros(len(scale)), op.strides, op.pads, groups=len(scale))
    elif isinstance(op, Nearest):
        weight = np.ones((len(scale), 1, *op.scale)) * scale[:, None, None, None]
        weighted = ConvTranspose(weight, np.zeros(len(scale)), op.scale, groups=len(scale))
    else:
        return term
    return replace(term, op=weighted, scale=np.ones(len(scale)))


def _bias(bias: Float64, shape: Shape) -> Float64:
    return bias.ravel() if bias.shape[1:] == (1, 1) else np.broadcast_to(bias, shape)


def _whole(op: Op) -> bool:
    """Whether integer counts stay integers: window sums, and copies (repetition, padding, cropping, nearest resizing)."""
    if isinstance(op, Resample):
        copies = ((matrix == 0) | (matrix == 1) for matrix in (op.rows, op.columns))
        return all(bool(np.all(entries)) for entries in copies)
    return isinstance(op, AveragePool | Nearest) or is_shift(op)


def _geometry(op: Op) -> object:
    """What tells the relays of one source apart."""
    if isinstance(op, Conv):
        return op.pads
    if isinstance(op, Resample):
        return op.rows.tobytes(), op.columns.tobytes()
    return type(op), *vars(op).values()


def _limits(op: Op, place: slice) -> Op:
    """``op`` for some channels of those that it limits, or that have slopes."""
    if isinstance(op, LeakyRelu):
        return LeakyRelu(op.slope[place])
    return Relu(op.limit[place]) if isinstance(op, Relu) and op.limit is not None else op


def _input_channels(op: Weighted, place: slice) -> Weighted:
    return replace(op, weight=op.weight[:, place] if isinstance(op, Conv) else op.weight[place])


def _groups(op: Weighted, groups: slice, outputs: slice, inputs: slice) -> Weighted:
    weight = op.weight[outputs] if isinstance(op, Conv) else op.weight[inputs]
    count = groups.stop - groups.start
    return replace(op, weight=weight, bias=np.zeros(outputs.stop - outputs.start), groups=count)
