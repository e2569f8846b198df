r"""Writes an ``exact``-mode network as ONNX of integer operators (opset 17): every population's count is an output.

In ``exact`` mode the count of a neuron does not depend on the schedule:

.. math:: a = \mathrm{clip}(\lfloor (v_0 + b + \sum_c 2^{e_c} W_c a_c - \mathrm{strict}) / \theta \rfloor, a_{min}, a_{max})

(the sum of two of these, one for each sign, for two-sided neurons) so the file needs no time, and any runtime that follows
the standard gives the spike counts. Convolutions are ``ConvInteger`` of unsigned bytes (the only kind in onnxruntime 1.23,
the last version for Python 3.10): weights have a zero point of 128, counts are digits of base 256, the highest with a zero
point. A transposed convolution is one over a map spread with zeros; a pixel map gathers. Sums are int32 and proved to stay
within 24 bits.
Division of integers truncates in ONNX, so :math:`\lfloor v / \theta \rfloor` is ``(v - Mod(v, theta)) / theta``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.errors import ArtifactError, ConversionError
from snn_deploy.files import write
from snn_deploy.network import artifact, bounds
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.neuron import Staircase
from snn_deploy.shapes import Pads, Shape

OPSET = 17

WEIGHT_ZERO = 128
"""The byte that stands for a weight of 0."""

IR_VERSION = 8
"""The version of ONNX's file layout that belongs to opset 17."""


def write_onnx(network: Network, path: Path) -> None:
    """Save the ONNX form of ``network`` to ``path``."""
    write(path, encode_onnx(network), ArtifactError)


def encode_onnx(network: Network) -> bytes:
    """The ONNX form of ``network``: input int32 (batch, C, H, W) payloads, outputs int32 counts, named as populations.

    :class:`ConversionError` names populations whose counts depend on the schedule; the proof of 24 bits is repeated here.
    """
    _check(network)
    bounds.prove(network)
    writer = _Writer()
    for population in network.populations[1:]:
        _write_population(writer, network, population)
    graph = helper.make_graph(
        writer.nodes,
        network.name,
        [_value(network.input)],
        [_value(population) for population in network.populations[1:]],
        writer.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="snn-deploy")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {"snn-deploy network": artifact.digest(network)})
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _check(network: Network) -> None:
    if network.mode != "exact":
        raise ConversionError(
            f"{network.name}: counts of {network.mode} mode depend on the schedule; convert in exact mode"
        )
    waiting = [
        population.name
        for population in network.populations[1:]
        if population.neuron is not None and not population.neuron.staircases
    ]
    if waiting:
        raise ConversionError(
            f"{', '.join(waiting)}: counts that are not the floor of a sum over the threshold, as where changes wait below it, "
            "cannot be written as ONNX"
        )
    growing = [
        population.name
        for population in network.populations[1:]
        if population.neuron is not None and population.neuron.payload_min == 0 and not network.one_shot
    ]
    if growing:
        raise ConversionError(
            f"{', '.join(growing)}: counts of neurons without negative payloads depend on the schedule; "
            "allow negative payloads, or payloads up to the whole count"
        )


def _value(population: Population) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(population.name, TensorProto.INT32, ["batch", *population.shape])


class _Writer:
    """Nodes and constants in the order in which they are created; every value has its own number."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: npt.ArrayLike, dtype: type[np.generic]) -> str:
        """Name of a constant."""
        name = f"constant {len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], output: str = "", attributes: dict[str, object] | None = None
    ) -> str:
        """Add a node and return the name of its output."""
        output = output or f"value {len(self.nodes)}"
        node = helper.make_node(operator, list(inputs), [output], name=output)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in (attributes or {}).items())
        self.nodes.append(node)
        return output

    def scaled(self, value: str, factor: int) -> str:
        """``value * factor``."""
        return value if factor == 1 else self.node("Mul", [value, self.constant(factor, np.int32)])

    def cast(self, value: str, kind: int) -> str:
        """``value`` as another integer type."""
        return self.node("Cast", [value], attributes={"to": kind})


def _write_population(writer: _Writer, network: Network, population: Population) -> None:
    neuron = population.neuron
    if neuron is None:
        raise ConversionError(f"{population.name}: a population without neurons has no counts")
    terms = [_write_current(writer, network, connection) for connection in network.incoming(population.name)]
    first, *others = neuron.staircases
    constant = population.bias + (neuron.v0 + first.offset)[:, None, None]
    total = writer.constant(constant[None], np.int32)
    for term in terms:
        total = writer.node("Add", [total, term])
    if not others:
        _write_staircase(writer, first, total, population.name)
        return
    counts = [_write_staircase(writer, first, total)]
    for each in others:
        further = writer.constant((each.offset - first.offset)[None, :, None, None], np.int32)
        counts.append(_write_staircase(writer, each, writer.node("Add", [total, further])))
    *before, last = counts
    writer.node("Add", [_add_all(writer, before), last], population.name)


def _write_staircase(writer: _Writer, stairs: Staircase, total: str, name: str = "") -> str:
    """``name = clip(floor(total / theta), least, greatest)``; its offset has joined the total."""
    if not np.all(stairs.theta == 1):
        theta = writer.constant(stairs.theta[None, :, None, None], np.int32)
        rest = writer.node("Mod", [total, theta])
        total = writer.node("Div", [writer.node("Sub", [total, rest]), theta])
    limits = [writer.constant(limit, np.int32) for limit in (stairs.least, stairs.greatest)]
    return writer.node("Clip", [total, *limits], name)


def _write_current(writer: _Writer, network: Network, connection: Connection) -> str:
    """``kernel(count of the source) * 2**exponent``."""
    source = network.population(connection.source)
    kernel: Kernel = connection.kernel
    if isinstance(kernel, SpatialKernel):
        sums = _write_pixels(writer, kernel, source)
    elif isinstance(kernel, TransposedKernel):
        sums = _write_transposed(writer, kernel, source)
    else:
        padded = _write_pads(writer, source.name, source.shape, kernel.pads)
        sums = _write_convolution(writer, kernel, padded, _limits(source))
    return writer.scaled(sums, 1 << connection.exponent)


def _limits(source: Population) -> tuple[int, int]:
    limits = source.count_range
    if limits is None:
        raise ConversionError(f"{source.name}: exact mode needs count limits")
    return limits


def _write_convolution(writer: _Writer, kernel: ConvKernel, maps: str, limits: tuple[int, int]) -> str:
    """The sum over digits of one ``ConvInteger`` each, of padded ``maps`` with values within ``limits``."""
    attributes: dict[str, object] = {
        "strides": list(kernel.strides),
        "dilations": list(kernel.dilations),
        "group": kernel.groups,
        "kernel_shape": list(kernel.weight.shape[2:]),
    }
    weight = writer.constant(kernel.weight.astype(np.int16) + WEIGHT_ZERO, np.uint8)
    weight_zero = writer.constant(WEIGHT_ZERO, np.uint8)
    sums = []
    for power, (digit, zero_point) in enumerate(_digits(writer, maps, *limits)):
        inputs = [digit, weight, writer.constant(zero_point, np.uint8), weight_zero]
        sums.append(writer.scaled(writer.node("ConvInteger", inputs, attributes=attributes), 256**power))
    return _add_all(writer, sums)


def _add_all(writer: _Writer, terms: Sequence[str]) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = writer.node("Add", [total, term])
    return total


def _digits(writer: _Writer, maps: str, low: int, high: int) -> list[tuple[str, int]]:
    """Digits (uint8) of ``maps`` to the base 256, lowest first, each with the byte that stands for 0."""
    digits = []
    base = writer.constant(256, np.int32) if high - low > 255 else ""
    while high - low > 255:
        digit = writer.node("Mod", [maps, base])
        digits.append((writer.cast(digit, TensorProto.UINT8), 0))
        maps = writer.node("Div", [writer.node("Sub", [maps, digit]), base])
        low, high = low // 256, high // 256
    shifted = writer.node("Sub", [maps, writer.constant(low, np.int32)])
    return [*digits, (writer.cast(shifted, TensorProto.UINT8), -low)]


def _write_pads(writer: _Writer, maps: str, shape: Shape, pads: Pads) -> str:
    """``maps`` (batch, C, H, W) padded with zeros; a negative pad crops."""
    top, left, bottom, right = pads
    if min(pads) < 0:
        starts, ends = [max(-top, 0), max(-left, 0)], [shape[1] - max(-bottom, 0), shape[2] - max(-right, 0)]
        bounds_and_axes = [writer.constant(values, np.int64) for values in (starts, ends, [2, 3])]
        maps = writer.node("Slice", [maps, *bounds_and_axes])
    if max(pads) <= 0:
        return maps
    around = [0, 0, max(top, 0), max(left, 0), 0, 0, max(bottom, 0), max(right, 0)]
    return writer.node("Pad", [maps, writer.constant(around, np.int64), writer.constant(0, np.int32)])


def _write_transposed(writer: _Writer, kernel: TransposedKernel, source: Population) -> str:
    """A convolution with the rotated kernel over the map spread by the stride."""
    channels, height, width = source.shape
    step_y, step_x = kernel.strides
    spread = source.name
    if kernel.strides != (1, 1):
        parted = writer.node("Reshape", [spread, writer.constant([-1, channels, height, 1, width, 1], np.int64)])
        gaps = [0, 0, 0, 0, 0, 0, 0, 0, 0, step_y - 1, 0, step_x - 1]
        filled = writer.node("Pad", [parted, writer.constant(gaps, np.int64), writer.constant(0, np.int32)])
        whole = [-1, channels, height * step_y, width * step_x]
        spread = writer.node("Reshape", [filled, writer.constant(whole, np.int64)])
    inputs, per_group, rows, columns = kernel.weight.shape
    grouped = kernel.weight.reshape(kernel.groups, inputs // kernel.groups, per_group, rows, columns)
    turned = grouped.swapaxes(1, 2)[..., ::-1, ::-1].reshape(-1, inputs // kernel.groups, rows, columns)
    reach_y, reach_x = kernel.dilations[0] * (rows - 1), kernel.dilations[1] * (columns - 1)
    top, left, bottom, right = kernel.pads
    pads = (reach_y - top, reach_x - left, reach_y - bottom - step_y + 1, reach_x - right - step_x + 1)
    padded = _write_pads(writer, spread, (channels, height * step_y, width * step_x), pads)
    plain = ConvKernel(turned, dilations=kernel.dilations, groups=kernel.groups)
    return _write_convolution(writer, plain, padded, _limits(source))


def _write_pixels(writer: _Writer, kernel: SpatialKernel, source: Population) -> str:
    """The sum over k of the k-th pixel of each row, gathered and weighted; rows with fewer pixels use pixel 0 with weight 0."""
    rows, size = kernel.indptr.size - 1, source.shape[1] * source.shape[2]
    counts = np.diff(kernel.indptr)
    flat = writer.node("Reshape", [source.name, writer.constant([-1, source.shape[0], size], np.int64)])
    sums = []
    for entry in range(max(int(counts.max()), 1)):
        filled = counts > entry
        where = kernel.indptr[:-1][filled] + entry
        indices, weights = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        indices[filled], weights[filled] = kernel.indices[where], kernel.data[where]
        pixels = writer.node("Gather", [flat, writer.constant(indices, np.int64)], attributes={"axis": 2})
        sums.append(writer.node("Mul", [pixels, writer.constant(weights, np.int32)]))
    shape = writer.constant([-1, source.shape[0], *kernel.output_size], np.int64)
    return writer.node("Reshape", [_add_all(writer, sums), shape])
