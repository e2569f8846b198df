r"""NIR, the Neuromorphic Intermediate Representation (PyPI ``nir``): chains of convolutions and neurons that reset to 0.

NIR states neurons as differential equations; with the forward Euler method and a step of 1 they are ours, but for the
rounding of decays, on which NIR is silent:

* ``IF``, ``v += r I``, is a :class:`~snn_deploy.network.network.Neuron` that resets to zero (r = 1), or a
  :class:`~snn_deploy.network.cuba_lif.CubaLif` without decays (r = 64, the shift of its current).
* ``CubaLIF`` is a :class:`~snn_deploy.network.cuba_lif.CubaLif` of decays ``d = 4096 / tau``: with ``w_in = 64 tau_syn``, ``r =
  tau_mem`` and ``v_leak = offset tau_mem`` the factors 1 / tau cancel.

Other nodes and populations are refused by name: NIR has no reset by subtraction, graded spikes, running counts or
transposed convolutions.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array, Float64, Int64, lies_within, round_to_int64
from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.exchange.chain import covers_map, follow_chain, get_cuba_lif, require_convolution
from snn_deploy.exchange.hdf5 import check_hdf5
from snn_deploy.files import replacing
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.limits import MAX_EXPONENT, STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.shapes import Shape

_DAMAGE = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""Exceptions of h5py, the package ``nir`` and numeric conversions on damaged files."""

SCALE = 1 << CURRENT_SHIFT


def write_nir(network: Network, path: Path) -> None:
    """Write ``network`` to ``path``; :class:`NetworkError` names what NIR cannot express."""
    import nir

    if network.mode != "rate":
        raise NetworkError(
            f"{network.name}: NIR has no running counts, which {network.mode} mode needs; convert in rate mode"
        )
    nodes: dict[str, Any] = {"input": nir.Input(np.array(network.input.shape))}
    order, source, flat = ["input"], network.input, False
    for connection, population in follow_chain(network):
        name = population.name.replace("/", ".")
        if {name, f"{name}.flat", f"{name}.current"} & {"output", *nodes}:
            raise NetworkError(
                f"{population.name}: NIR replaces slashes by dots, so two nodes would have the name {name}"
            )
        kernel = require_convolution(connection)
        dense = covers_map(kernel, source)
        if dense and not flat:
            nodes[f"{name}.flat"] = nir.Flatten({"input": np.array(source.shape)}, 0)
            order.append(f"{name}.flat")
        if dense:
            weight = kernel.weight.reshape(population.shape[0], -1) * 2.0**connection.exponent
            nodes[f"{name}.current"] = nir.Affine(weight, _bias(population))
        elif flat:
            raise NetworkError(
                f"{connection.name}: a convolution after a dense layer; NIR's dense layers have no spatial axes"
            )
        else:
            nodes[f"{name}.current"] = _conv2d(connection, kernel, source, population)
        nodes[name] = _neuron_node(population, population.shape[:1] if dense else population.shape)
        order += [f"{name}.current", name]
        source, flat = population, dense
    nodes["output"] = nir.Output(np.array(source.shape[:1] if flat else source.shape))
    edges = list(pairwise([*order, "output"]))
    with replacing(path, ArtifactError) as partial:
        nir.write(partial, nir.NIRGraph(nodes, edges, {}))


def read_nir(path: Path, *, steps: int, input_limits: tuple[int, int] = (0, 1)) -> Network:
    """The network in ``path``, in ``rate`` mode; NIR does not specify ``steps`` and ``input_limits``.

    :class:`NetworkError` names the node that cannot be read.
    """
    import nir

    check_hdf5(path, NetworkError)
    try:
        return _read(nir.read(path), path.stem, steps, input_limits)
    except _DAMAGE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise NetworkError(f"{path.name}: not a NIR file, or damaged: {said}") from error


def _read(graph: Any, name_of_network: str, steps: int, input_limits: tuple[int, int]) -> Network:
    """The network that ``graph`` describes."""
    order = _order(graph)
    shape = _shape(order[0], graph.nodes[order[0]].output_type["output"])
    channels = np.zeros((shape[0], 1, 1), np.int64)
    image = Population("input", shape, None, channels, np.ones(shape[0]), 0, *input_limits)
    populations, connections = [image], []
    pending: tuple[str, ConvKernel, int, Int64] | None = None
    for name in order[1:-1]:
        node, source = graph.nodes[name], populations[-1]
        if pending is None and type(node).__name__ == "Flatten" and len(node.output_type["output"]) == 1:
            continue
        if pending is None:
            pending = (name, *_kernel(name, node, source.shape))
            continue
        current, kernel, exponent, bias = pending
        shape, pending = kernel.output_shape(source.shape), None
        unit = np.ones(shape[0])
        populations.append(Population(name, shape, _neuron(name, node, shape), bias, unit, origin=(current, name)))
        link = f"{source.name}->{name}"
        connections.append(Connection(link, source.name, name, kernel, exponent, origin=(current,)))
    if pending is not None or not connections:
        raise NetworkError(f"{order[-2]}: leads to the output; the last node must be neurons")
    outputs = (Output(order[-1], populations[-1].name),)
    return align(Network(name_of_network, "rate", steps, tuple(populations), tuple(connections), outputs))


def _bias(population: Population) -> Float64:
    """Bias (C,) that joins the current; where no decay tells them apart, with that of the membrane."""
    if population.bias.shape[1:] != (1, 1):
        raise NetworkError(f"{population.name}: a bias for each pixel; NIR has one for each channel")
    bias = population.bias[:, 0, 0]
    leaky = get_cuba_lif(population)
    if leaky is not None and not leaky.voltage_decay:
        mantissa = leaky.offset >> CURRENT_SHIFT
        if np.any(mantissa << CURRENT_SHIFT != leaky.offset):
            raise NetworkError(f"{population.name}: without a voltage decay its offsets must be multiples of {SCALE}")
        bias = bias + mantissa
    return bias.astype(np.float64)


def _conv2d(connection: Connection, kernel: ConvKernel, source: Population, population: Population) -> Any:
    import nir

    if len(set(kernel.weight.shape[2:])) != 1:
        raise NetworkError(
            f"{connection.name}: kernel {kernel.weight.shape[2:]}; nir 1.0.8 infers shapes of square kernels only"
        )
    weight = _ungrouped(kernel) * 2.0**connection.exponent
    size, pads = source.shape[1:], kernel.pads[:2]
    return nir.Conv2d(size, weight, kernel.strides, pads, kernel.dilations, 1, _bias(population))


def _ungrouped(kernel: ConvKernel) -> Float64:
    """Weights (C_out, C_in, H, W), zeros between groups: ``nir`` reads shapes as if there were no groups."""
    outputs, inputs, *size = kernel.weight.shape
    weight = np.zeros((kernel.groups, outputs // kernel.groups, kernel.groups, inputs, *size))
    for group in range(kernel.groups):
        weight[group, :, group] = kernel.weight.reshape(kernel.groups, -1, inputs, *size)[group]
    return weight.reshape(outputs, -1, *size)


def _neuron_node(population: Population, shape: tuple[int, ...]) -> Any:
    import nir

    def full(values: npt.ArrayLike) -> Float64:
        numbers = np.asarray(values, np.float64).reshape(-1, 1, 1)
        return np.broadcast_to(numbers, population.shape).reshape(shape).copy()

    neuron, leaky = population.neuron, get_cuba_lif(population)
    if leaky is not None:
        slow, leak = leaky.current_decay, leaky.voltage_decay
        if (slow, leak) == (DECAY_ONE, 0):
            return nir.IF(full(SCALE), full(leaky.theta), full(0))
        if not leak:
            raise NetworkError(
                f"{population.name}: its current decays but its membrane does not; NIR's CubaLIF needs both decays"
            )
        tau_syn, tau_mem = DECAY_ONE / slow, DECAY_ONE / leak
        return nir.CubaLIF(
            full(tau_syn),
            full(tau_mem),
            full(tau_mem),
            full(leaky.offset * tau_mem),
            full(leaky.theta),
            full(0),
            full(SCALE * tau_syn),
        )
    if neuron is None or neuron.reset != "zero":
        raise NetworkError(f"{population.name}: resets by subtraction; NIR's neurons reset to a value")
    if (neuron.payload_min, neuron.payload_max) != (0, 1) or not neuron.strict or np.any(neuron.v0):
        raise NetworkError(f"{population.name}: NIR's neurons start at 0 and send single spikes for v > theta")
    return nir.IF(full(1), full(neuron.theta), full(0))


def _order(graph: Any) -> list[str]:
    """Names of the nodes of a chain, the input first, the output last."""
    inputs, outputs = list(graph.inputs), list(graph.outputs)
    if len(inputs) != 1 or len(outputs) != 1:
        raise NetworkError(f"inputs {inputs} and outputs {outputs}: exactly one of each is supported")
    order = inputs
    while order[-1] not in outputs:
        following = [target for source, target in graph.edges if source == order[-1]]
        if len(following) != 1 or following[0] in order:
            raise NetworkError(f"{order[-1]}: leads to {', '.join(following) or 'nothing'}; only chains are supported")
        order = [*order, following[0]]
    surplus = sorted(set(graph.nodes) - set(order))
    if surplus or len(graph.edges) != len(order) - 1:
        raise NetworkError(f"{', '.join(surplus) or order[0]}: not part of the chain; only chains are supported")
    return order


def _shape(name: str, values: Any) -> Shape:
    if values is None or len(values) != 3:
        raise NetworkError(f"{name}: shape {values}; only maps (C, H, W) are supported")
    channels, height, width = (int(value) for value in values)
    return channels, height, width


def _kernel(name: str, node: Any, source: Shape) -> tuple[ConvKernel, int, Int64]:
    """Kernel, exponent, and bias (C, 1, 1) of the node before a neuron, which reads maps of shape ``source``."""
    kind = type(node).__name__
    if kind not in ("Conv2d", "Affine", "Linear"):
        raise NetworkError(f"{name}: a {kind} where a Conv2d, an Affine or a Linear is expected")
    weight, exponent = _integers(name, "weight", node.weight), 0
    while exponent < MAX_EXPONENT and np.abs(weight).max() > 127 and not np.any(weight & 1):
        weight, exponent = weight >> 1, exponent + 1
    if np.abs(weight).max() > 127:
        raise NetworkError(f"{name}: weights up to {np.abs(weight).max()} are not 8-bit numbers times a power of two")
    if kind != "Conv2d":
        if weight.ndim != 2 or weight.shape[1] != np.prod(source):
            raise NetworkError(f"{name}: weights {weight.shape} do not fit a map {source}")
        bias = _integers(name, "bias", node.bias) if kind == "Affine" else np.zeros(len(weight), np.int64)
        return ConvKernel(weight.reshape(-1, *source).astype(np.int8)), exponent, bias.reshape(-1, 1, 1)
    if isinstance(node.padding, str):
        raise NetworkError(f"{name}: padding {node.padding!r} is not supported; give numbers")
    if int(node.groups) != 1:
        raise NetworkError(
            f"{name}: {int(node.groups)} groups; nir 1.0.8 infers their shapes as if ungrouped, so only 1 is supported"
        )
    pads = (int(node.padding[0]), int(node.padding[1]))
    strides = (int(node.stride[0]), int(node.stride[1]))
    dilations = (int(node.dilation[0]), int(node.dilation[1]))
    kernel = ConvKernel(weight.astype(np.int8), strides, (*pads, *pads), dilations)
    return kernel, exponent, _integers(name, "bias", node.bias).reshape(-1, 1, 1)


def _neuron(name: str, node: Any, shape: Shape) -> Neuron:
    kind = type(node).__name__
    if kind not in ("IF", "CubaLIF"):
        raise NetworkError(f"{name}: a {kind} where an IF or a CubaLIF is expected")

    def channels(entry: str) -> Float64:
        """One number for each channel."""
        values = np.asarray(getattr(node, entry))
        if values.dtype.kind not in "iuf":
            raise NetworkError(f"{name}: {entry} holds {values.dtype} values, which are not real numbers")
        values = values.astype(np.float64)
        values = values.reshape(shape) if values.shape == shape[:1] and shape[1:] == (1, 1) else values
        if values.shape != shape or np.any(values != values[:, :1, :1]):
            raise NetworkError(f"{name}: {entry} {values.shape} must be {shape}, with one number for each channel")
        return np.array(values[:, 0, 0])

    if np.any(channels("v_reset")):
        raise NetworkError(f"{name}: v_reset is not 0")
    theta = _integers(name, "v_threshold", channels("v_threshold"))
    if kind == "IF":
        gain = np.unique(channels("r"))
        if gain.tolist() == [SCALE]:
            return CubaLif.of(theta, np.zeros_like(theta), current_decay=DECAY_ONE, voltage_decay=0)
        if gain.tolist() == [1]:
            return MultiThreshold(theta, np.zeros_like(theta), 0, 1, strict=True, reset="zero")
        raise NetworkError(f"{name}: r is {gain.tolist()[:3]}; only 1 and {SCALE} are supported")
    tau_syn, tau_mem = channels("tau_syn"), channels("tau_mem")
    decays = [_decay(name, entry, tau) for entry, tau in (("tau_syn", tau_syn), ("tau_mem", tau_mem))]
    for entry, expected in (("r", tau_mem), ("w_in", SCALE * tau_syn)):
        if np.any(channels(entry) != expected):
            raise NetworkError(f"{name}: {entry} must be {expected[0]:g}, so that spikes have the chip's weight")
    offset = np.rint(channels("v_leak") / tau_mem)
    if np.any(offset * tau_mem != channels("v_leak")):
        raise NetworkError(f"{name}: v_leak / tau_mem holds fractions")
    return CubaLif.of(
        theta, _integers(name, "v_leak / tau_mem", offset), current_decay=decays[0], voltage_decay=decays[1]
    )


def _decay(name: str, entry: str, tau: Float64) -> int:
    """The decay of a population's time constants, which must be one and exact."""
    values = np.unique(tau)
    decay = int(np.rint(DECAY_ONE / values[0])) if values[0] >= 1 else 0
    if values.size != 1 or not decay or DECAY_ONE / decay != values[0]:
        raise NetworkError(f"{name}: {entry} {values[0]:g} is not {DECAY_ONE} / d for one integer d in 1..{DECAY_ONE}")
    return decay


def _integers(name: str, entry: str, values: Array) -> Int64:
    if np.asarray(values).dtype.kind not in "iuf":
        raise NetworkError(f"{name}: {entry} holds {np.asarray(values).dtype} values, which are not real numbers")
    if not lies_within(values, -STATE_MAX, STATE_MAX) or np.any(values != np.rint(values)):
        raise NetworkError(f"{name}: {entry} holds fractions or more than 24 bits; quantize it first")
    return round_to_int64(values)
