"""Reads the integer ONNX form of a network back from its bytes: what every node computes, as functions of counts.

The graph is executed on symbols (:mod:`snn_deploy.exchange.onnx_symbols`) instead of numbers, by the operators of
:mod:`snn_deploy.exchange.onnx_semantics`. Names mean nothing but which outputs are populations. What
:mod:`snn_deploy.exchange.integer_onnx` does not write is refused; the error names the node.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

from snn_deploy.backend.compiled_form import (
    Accumulator,
    CompiledConnection,
    CompiledForm,
    CompiledPopulation,
    Firing,
    OpaqueFiring,
    Quantizer,
    QuantizerSum,
)
from snn_deploy.errors import CompiledFormError
from snn_deploy.exchange.integer_onnx import OPSET
from snn_deploy.exchange.onnx_semantics import OPERATORS
from snn_deploy.exchange.onnx_symbols import Limited, LimitedSum, Maps, Pointwise, Sums, Symbol
from snn_deploy.shapes import Shape

OUTSIDE = (
    "what runs the file (onnxruntime): that its operators compute what the ONNX standard says",
    "that payloads of the input lie within the network's limits; every stimulus is checked for it",
)
"""What the form takes for granted."""


def read_integer_onnx(data: bytes, least: int, greatest: int) -> CompiledForm:
    """The form in ``data``, an ONNX file whose input carries payloads ``least..greatest``.

    :class:`~snn_deploy.errors.CompiledFormError` names the first node that is not recognised.
    """
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError) as error:
        raise CompiledFormError(f"not an ONNX file: {error}") from error
    reader = _Reader(model, least, greatest)
    for node in model.graph.node:
        reader.read(node)
    return reader.form(hashlib.sha256(data).hexdigest())


def _shape_of(value: onnx.ValueInfoProto) -> Shape:
    kind = value.type.tensor_type
    sizes = [axis.dim_value for axis in kind.shape.dim]
    if kind.elem_type != TensorProto.INT32 or len(sizes) != 4 or sizes[0] or min(sizes[1:]) < 1:
        raise CompiledFormError(f"{value.name}: not an int32 map (batch, C, H, W) of any batch")
    return sizes[1], sizes[2], sizes[3]


class _Reader:
    """The symbols of the values read so far, the populations among them, and what formats must hold."""

    def __init__(self, model: onnx.ModelProto, least: int, greatest: int) -> None:
        versions = {each.domain: each.version for each in model.opset_import}
        if versions != {"": OPSET} or len(model.graph.input) != 1 or len(model.functions):
            raise CompiledFormError(f"not a file of opset {OPSET} with one input and no functions")
        source = model.graph.input[0]
        self.source, self.source_shape = source.name, _shape_of(source)
        self.outputs = {value.name: _shape_of(value) for value in model.graph.output}
        self.values: dict[str, Symbol] = {source.name: Maps.of(source.name, self.source_shape, least, greatest)}
        for tensor in model.graph.initializer:
            if tensor.data_location != TensorProto.DEFAULT or tensor.name in self.values:
                raise CompiledFormError(f"{tensor.name}: a constant outside the file, or a second value of one name")
            self.values[tensor.name] = numpy_helper.to_array(tensor)
        self.fired: dict[str, tuple[Sums, Firing]] = {}
        self.accumulators: list[Accumulator] = []

    def read(self, node: onnx.NodeProto) -> None:
        """Add what ``node`` computes."""
        operator = OPERATORS.get(node.op_type)
        try:
            if operator is None or node.domain or len(node.output) != 1:
                raise CompiledFormError("no integer form has this operator")
            name = node.output[0]
            missing = [each for each in node.input if each not in self.values]
            if missing:
                raise CompiledFormError(f"its input {missing[0]!r} has no value before it")
            if name in self.values:
                raise CompiledFormError(f"its output {name!r} has a value already")
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            value = operator([self.values[each] for each in node.input], attributes)
            self.values[name] = self._fire(name, value) if name in self.outputs else self._within(name, value)
        except CompiledFormError as error:
            raise CompiledFormError(f"node {node.name!r} ({node.op_type}) is not recognised: {error}") from error
        except (IndexError, ValueError, TypeError) as error:
            raise CompiledFormError(f"node {node.name!r} ({node.op_type}) is contradictory: {error}") from error

    def _within(self, name: str, value: Symbol) -> Symbol:
        """``value``, after a note of what its format must hold."""
        if isinstance(value, Maps) and value.is_byte:
            self.accumulators.append(Accumulator(name, *value.limits, 0, 255))
            # what does not fit is refuted as such; onnxruntime keeps the low byte
            return replace(value, reading=value.reading & 255, padding=value.padding & 255)
        if isinstance(value, Maps):
            low, high = value.limits
        elif isinstance(value, Limited):
            low, high = value.least, value.greatest
        elif isinstance(value, (Sums, Pointwise)):
            low, high = value.low, value.high
        else:
            raise CompiledFormError("it gives no function of counts")
        self.accumulators.append(Accumulator(name, low, high, -(2**31), 2**31 - 1))
        return value

    def _fire(self, name: str, value: Symbol) -> Maps:
        """The counts of the population that output ``name`` is, as the symbol that later nodes read."""
        if not isinstance(value, (Limited, LimitedSum)):
            raise CompiledFormError("an output is no count between limits")
        parts, shape = (value.parts if isinstance(value, LimitedSum) else (value,)), self.outputs[name]
        sums = parts[0].inner.sums
        if sums.shape != shape:
            raise CompiledFormError(f"the output is declared {shape} and computed {sums.shape}")
        firings = [_read_firing(name, part) for part in parts]
        known = [each for each in firings if isinstance(each, Quantizer)]
        firing: Firing = firings[0] if len(firings) == 1 else QuantizerSum(tuple(known))
        if len(firings) > 1 and len(known) < len(firings):
            raise CompiledFormError(f"how {name} divides on one of its sides is not recognised")
        self.fired[name] = (sums, firing)
        return Maps.of(name, shape, sum(each.least for each in parts), sum(each.greatest for each in parts))

    def form(self, digest: str) -> CompiledForm:
        """Everything read."""
        absent = [name for name in self.outputs if name not in self.fired]
        if absent:
            raise CompiledFormError(f"no node gives the output {absent[0]!r}")
        return CompiledForm(
            "onnx",
            digest,
            self.source,
            self.source_shape,
            tuple(CompiledPopulation(name, self.outputs[name], firing) for name, (_, firing) in self.fired.items()),
            tuple(
                CompiledConnection(source, name, (part,))
                for name, (sums, _) in self.fired.items()
                for source, part in sums.parts
            ),
            tuple(self.accumulators),
            OUTSIDE,
        )


def _read_firing(name: str, value: Limited) -> Quantizer | OpaqueFiring:
    """What output ``name``, or a part of it, makes of its sums."""
    inner, least, greatest = value.inner, value.least, value.greatest
    offset = inner.sums.offset
    if inner.rule == "quotient" and inner.divisor is not None:
        return Quantizer(offset, inner.divisor, least, greatest)
    return OpaqueFiring(
        lambda sums: np.clip(inner.evaluate(sums + offset), least, greatest),
        f"how {name} divides is not recognised",
        per_channel=offset.shape[1:] == (1, 1) and inner.is_per_channel,
    )
