"""One ONNX node being imported: its attributes, its inputs as constants or wires, and the nodes it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from onnx import NodeProto, helper

from snn_deploy.arrays import Array, Float64
from snn_deploy.frontend.ledger import Fate
from snn_deploy.frontend.onnx.factors import Factored, extents_of, whole
from snn_deploy.graph.limits import MAX_LIST, Budget
from snn_deploy.graph.ops import Op
from snn_deploy.shapes import Shape

Constant: TypeAlias = Array


LINE = "NCW"
"""Axes of the maps of a one-dimensional network, which here have height 1."""


class RefusedError(Exception):
    """Why a node cannot be imported and what to do; becomes a row of the ledger."""


@dataclass(frozen=True)
class Picked:
    """Pixels of the value ``source`` of ``shape`` (C, H, W): those in ``rows`` and ``columns``, in this order."""

    source: str
    shape: Shape
    rows: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Wire:
    """A value computed from the image: the graph's ``value``, its ``shape`` (C, H, W), the ``axes`` of the ONNX tensor.

    ``axes`` is a permutation of NCHW: transposing changes it and nothing else. Squeezed axes are missing from it.
    ``factors`` replace it where the axes of the tensor are parts of axes of the map, between two Reshape.
    ``maker`` is the ONNX node it comes from, ``hosted`` the last function of the host, which computes it after read-out;
    ``reads`` is the value that function was applied to. ``known`` is false where its maker was refused and its shape is
    not known; otherwise ``refused`` names the refused node. ``picked`` tells of which pixels of another map it is made.
    """

    value: str
    shape: Shape
    axes: str = "NCHW"
    maker: str = ""
    hosted: str = ""
    reads: str = ""
    known: bool = True
    refused: str = ""
    factors: Factored = ()
    picked: Picked | None = None

    def extents(self, batch: int) -> tuple[int, ...]:
        """Shape of the ONNX tensor."""
        if self.factors:
            return extents_of(self.factors)
        size = dict(zip("NCHW", (batch, *self.shape), strict=True))
        return tuple(size[axis] for axis in self.axes)

    def factored(self, batch: int) -> Factored:
        """Axes of the ONNX tensor as factors."""
        return self.factors or whole(self.axes, self.extents(batch))


class HostedError(RefusedError):
    """A node inside the network reads what only the host computes, perhaps as part of a ``construct`` with a name."""

    def __init__(self, wire: Wire, construct: str = "", advice: str = "") -> None:
        self.wire, self.construct = wire, construct
        if construct:
            super().__init__(f"is part of {construct}: spiking networks add, they do not multiply; {advice}")
            return
        instead = "spiking networks add, they do not multiply: train the model without it"
        if wire.hosted in ("tanh", "exp", "softplus"):
            instead = "train the model with Relu, LeakyRelu, PRelu or Relu6, convert --approximate"
        super().__init__(
            f"reads {wire.maker}, which only the host can compute, after read-out; {instead}, or end it there"
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a node: its outputs, its fate, and a note for the ledger."""

    values: tuple[Wire | Constant, ...]
    fate: Fate
    note: str


@dataclass(frozen=True, eq=False)
class Call:
    """One node with its inputs resolved. ``emit`` adds a node to the float graph and returns its wire.

    ``weights`` bounds the arrays of all nodes (``emit`` spends them; whoever makes large ones checks first),
    ``matrices`` the work of onnxruntime for :mod:`~snn_deploy.frontend.onnx.axis_matrix`.
    """

    node: NodeProto
    name: str
    since: int
    opset: int
    batch: int
    inputs: tuple[Wire | Constant | None, ...]
    emit: Callable[[Op, tuple[Wire, ...], str], Wire]
    weights: Budget
    matrices: Budget

    # ------------------------------------------------------------------ attributes
    def attribute(self, name: str) -> Any:
        """The attribute as ONNX has it; ``None`` where it is absent."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                return helper.get_attribute_value(attribute)
        return None

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attribute(name)
        return default if value is None else int(value)

    def real(self, name: str, default: float) -> float:
        """A real attribute."""
        value = self.attribute(name)
        return default if value is None else float(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attribute(name)
        return default if value is None else bytes(value).decode("utf-8", "replace")

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of integers, of the length of ``default``; for a line, where it has half of them, the others are default."""
        value = self.attribute(name)
        entries = default if value is None else tuple(int(entry) for entry in value)
        if 2 * len(entries) == len(default) and self._reads_a_line():
            entries = tuple(number for entry in entries for number in (default[0], entry))
        if default and len(entries) != len(default):
            raise RefusedError(
                f"{name} {list(entries)} has {len(entries)} entries; only two spatial axes are supported"
            )
        return entries

    def _reads_a_line(self) -> bool:
        return any(isinstance(value, Wire) and value.axes == LINE for value in self.inputs)

    # ------------------------------------------------------------------ inputs
    def has(self, index: int) -> bool:
        """Whether the optional input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def any_wire(self, index: int) -> Wire:
        """Input ``index``, which must come from the image, in whatever order of axes."""
        value = self.last_wire(index)
        if value.hosted:
            raise HostedError(value)
        return value

    def last_wire(self, index: int) -> Wire:
        """Input ``index``, from the image, perhaps already on the host: for functions that may stand at the end."""
        value = self.view(index)
        if value.factors:
            raise RefusedError(
                f"reads a map reshaped to {list(value.extents(self.batch))}; only (batch, channels, height, width) are"
                " supported, and reshapes that end in one"
            )
        return value

    def view(self, index: int) -> Wire:
        """Input ``index``, from the image, its axes perhaps parts of the map's: for nodes that only rename axes."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, Wire):
            raise RefusedError(f"input {index} must come from the image, not be a constant")
        return value

    def wire(self, index: int) -> Wire:
        """Input ``index``, which must come from the image and have axes NCHW, or NCW: a line is a map of height 1."""
        value = self.any_wire(index)
        if value.axes not in ("NCHW", LINE):
            raise RefusedError(f"reads a map with axes {value.axes}; this operator reads NCHW")
        return value

    def constant(self, index: int) -> Constant:
        """Input ``index``, which must be known without the image."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise RefusedError(f"input {index} is missing")
        if isinstance(value, Wire):
            raise RefusedError(f"input {index} is computed from the image by {value.maker}; it must be a constant")
        if np.iscomplexobj(value):
            raise RefusedError(f"input {index} holds complex numbers")
        return value

    def real_constant(self, index: int) -> Float64:
        """Input ``index`` as float64; must be finite."""
        values = np.asarray(self.constant(index), np.float64)
        if not np.all(np.isfinite(values)):
            raise RefusedError(f"input {index} holds NaN or infinity")
        return values

    def integer_constant(self, index: int) -> tuple[int, ...]:
        """Input ``index`` as a tuple of integers."""
        values = np.asarray(self.constant(index)).ravel()
        if values.size > MAX_LIST:
            raise RefusedError(f"input {index} lists {values.size} numbers, more than {MAX_LIST}")
        return tuple(int(entry) for entry in values)

    def listed(self, index: int, attribute: str) -> tuple[int, ...]:
        """Integers that are input ``index`` or, in older operator sets, ``attribute``; empty where neither is given."""
        return self.integer_constant(index) if self.has(index) else tuple(self.attribute(attribute) or ())

    def per_channel(self, values: Constant, wire: Wire) -> Float64:
        """``values``, broadcast as ONNX does against ``wire``, as one number per channel (C,)."""
        values = np.asarray(values, np.float64)
        if not np.all(np.isfinite(values)):
            raise RefusedError("a constant holds NaN or infinity")
        rank = len(wire.axes)
        if values.ndim > rank:
            raise RefusedError(f"a constant of shape {values.shape} does not broadcast to a map")
        aligned = values.reshape((1,) * (rank - values.ndim) + values.shape)
        channel = wire.axes.index("C")
        if any(extent != 1 for axis, extent in enumerate(aligned.shape) if axis != channel):
            raise RefusedError(
                f"a constant of shape {values.shape} differs from pixel to pixel; only one per channel is supported:"
                " train with one for all pixels (PReLU of Keras: shared_axes=[1, 2])"
            )
        if aligned.shape[channel] not in (1, wire.shape[0]):
            raise RefusedError(f"a constant of shape {values.shape} does not fit {wire.shape[0]} channels")
        return np.broadcast_to(aligned.ravel(), wire.shape[:1]).copy()

    # ------------------------------------------------------------------ outcomes
    def add(self, op: Op, *wires: Wire, part: str = "") -> Wire:
        """A node of the float graph, named after this one; ``part`` names a step on the way to it."""
        return self.emit(op, wires, part)

    def mapped(self, wire: Wire, note: str) -> Outcome:
        """The node lives on in the network."""
        return Outcome((wire,), "mapped", note)

    def folded(self, value: Wire | Constant, note: str) -> Outcome:
        """The node lives on in something else."""
        return Outcome((value,), "folded", note)
