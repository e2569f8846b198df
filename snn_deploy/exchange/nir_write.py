r"""Writes NIR graphs (PyPI ``nir``) that :mod:`snn_deploy.exchange.nir` reads back with the same spikes, and other tools read.

Integrate-and-fire networks in ``rate`` mode, branches included: a convolution over a concatenation is one ``Conv2d`` for each of
its sources, all of which lead to the neurons. Neurons, with the forward Euler method and a step of 1:

* single spikes: ``IF`` with r = 1. Membranes are integers, so where they reset to 0 the threshold is written half way to the next
  one, and readers that fire for ``v >= v_threshold`` agree with those that fire above it.
* CUBA-LIF without decays: the same in units of the current, 64 of the membrane; with decays d: ``LIF`` or ``CubaLIF`` of time
  constants 4096 / d, ``w_in = 64 tau_syn`` and ``r = tau_mem`` (LIF: 64 tau), with which they cancel.
* sums of a pool: ``SumPool2d``; of a read-out: the weights lead to the output.

What NIR has no words for is metadata of a node: ``reset`` (``zero`` or ``subtract``), ``strict``, ``start`` (the step in which a
population, which waits for the longest path to it, starts), of the input and output ``unit`` and ``payloads``.

NIR has no transposed convolution, no interpolation and no way back from a flattened map. From the first such connection on a
network is written with dense matrices (``Linear``, ``Affine``), as far as :data:`MOST_WEIGHTS` allows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.arrays import Float64, Int64
from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.exchange.chain import get_cuba_lif
from snn_deploy.exchange.hdf5 import MAX_ELEMENTS
from snn_deploy.files import replacing
from snn_deploy.network import dynamics
from snn_deploy.network.bounds import bound_current
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, DECAY_ONE, CubaLif
from snn_deploy.network.kernels import ConvKernel, TransposedKernel
from snn_deploy.network.network import Connection, Network, Population

MOST_WEIGHTS = MAX_ELEMENTS // 2
"""Most numbers in the dense matrices of a file, zeros included: what a reader of untrusted files accepts."""

UNIT = 1 << CURRENT_SHIFT
"""Membrane of a CUBA-LIF neuron that one unit of its current makes."""


def write_nir(network: Network, path: Path) -> None:
    """Write ``network`` to ``path``; :class:`NetworkError` names what NIR cannot express."""
    import nir

    if network.mode != "rate":
        raise NetworkError(
            f"{network.name}: NIR has no running counts, which {network.mode} mode needs; convert with --preset if-hard"
        )
    if not network.aligned:
        raise NetworkError(f"{network.name}: NIR has no delays, so skips must meet in step; align the schedule")
    writer = _Writer(network)
    for population in network.populations[1:]:
        writer.add(population)
    metadata = {"steps": network.steps, "dt": 1.0, "made_by": "snn-deploy"}
    nodes, edges = writer.finish()
    with replacing(path, ArtifactError) as partial:
        nir.write(partial, nir.NIRGraph(nodes, edges, metadata))


class _Writer:
    """The nodes written so far. ``flat`` holds the populations written as vectors, ``ends`` the nodes that stand for one."""

    def __init__(self, network: Network) -> None:
        import nir

        self.network = network
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.ends: dict[str, list[str]] = {network.input.name: ["input"]}
        self.flat: set[str] = set()
        self.weights = 0
        image = network.input
        notes = {"unit": np.array(image.unit), "payloads": np.array([image.input_min, image.input_max])}
        self._put(image, "input", nir.Input(np.array(image.shape), metadata=notes))

    def add(self, population: Population) -> None:
        """Nodes of ``population`` and of the connections into it."""
        name = population.name.replace("/", ".")
        incoming = self.network.incoming(population.name)
        outgoing = self.network.outgoing(population.name)
        passes = _passes(self.network, population)
        if (
            passes
            and len(incoming) == 1
            and _is_sum_pool(incoming[0], population)
            and incoming[0].source not in self.flat
        ):
            self._pool(name, incoming[0], population)
            return
        if passes and outgoing:
            raise NetworkError(
                f"{population.name}: passes sums on, which NIR can express for pools and outputs only; use average pooling and "
                "strided or transposed convolutions (--preset if-hard makes them fire)"
            )
        bias, node = (population.bias.astype(np.float64), None) if passes else _neuron(population)
        if any(connection.source in self.flat or not _is_conv2d(connection) for connection in incoming):
            self.flat.add(population.name)
        shape = (population.size,) if population.name in self.flat else population.shape
        before = []
        for index, connection in enumerate(incoming):
            own = f"{name}.current" + (f".{index}" if len(incoming) > 1 else "")
            before += self._connect(own, connection, population, bias if index == 0 else None)
        self.ends[population.name] = before
        if node is not None:
            self._put(population, name, node(population, shape))
            self.edges += [(end, name) for end in before]
            self.ends[population.name] = [name]

    def finish(self) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """All nodes and edges, the outputs included."""
        import nir

        for output in self.network.outputs:
            population = self.network.population(output.population)
            name = "output" if len(self.network.outputs) == 1 else output.name.replace("/", ".")
            shape = (population.size,) if population.name in self.flat else population.shape
            repeats = population.size // population.shape[0] if population.name in self.flat else 1
            notes = {"unit": np.repeat(population.unit, repeats)}
            self._put(population, name, nir.Output(np.array(shape), metadata=notes))
            self.edges += [(end, name) for end in self.ends[population.name]]
        return self.nodes, self.edges

    def _put(self, population: Population, name: str, node: Any) -> None:
        if name in self.nodes:
            raise NetworkError(
                f"{population.name}: NIR replaces slashes by dots, so two nodes would have the name {name}; rename one"
            )
        self.nodes[name] = node

    def _pool(self, name: str, connection: Connection, population: Population) -> None:
        import nir

        kernel = connection.kernel
        size, pads = np.array(kernel.weight.shape[2:]), np.array(kernel.pads[:2])  # type: ignore[union-attr]
        self._put(population, name, nir.SumPool2d(size, np.array(kernel.strides), pads))  # type: ignore[union-attr]
        self.edges += [(end, name) for end in self.ends[connection.source]]
        self.ends[population.name] = [name]

    def _connect(self, name: str, connection: Connection, population: Population, bias: Float64 | None) -> list[str]:
        """The node of ``connection``, with a ``bias`` (C, 1, 1) or (C, H, W); returns its name."""
        source = self.network.population(connection.source)
        if population.name not in self.flat:
            node = _conv2d(connection, source, _per_channel(population, bias))
        else:
            source_name = connection.source.replace("/", ".")
            if connection.source not in self.flat:
                self._flatten(source, source_name)
            node = self._dense(connection, source, population, bias)
        self._put(population, name, node)
        ends = self.ends[connection.source]
        if population.name in self.flat and connection.source not in self.flat:
            ends = [f"{source_name}.flat"]
        self.edges += [(end, name) for end in ends]
        return [name]

    def _flatten(self, source: Population, name: str) -> None:
        import nir

        if f"{name}.flat" not in self.nodes:
            self._put(source, f"{name}.flat", nir.Flatten({"input": np.array(source.shape)}, 0))
            self.edges += [(end, f"{name}.flat") for end in self.ends[source.name]]

    def _dense(self, connection: Connection, source: Population, population: Population, bias: Float64 | None) -> Any:
        import nir

        self.weights += source.size * population.size
        if self.weights > MOST_WEIGHTS:
            raise NetworkError(
                f"{connection.name}: NIR has no {_name_of(connection)}; as dense matrices the network takes more than "
                f"{MOST_WEIGHTS} numbers, convert it for a smaller image (--size 8x8)"
            )
        basis = np.eye(source.size, dtype=np.int64).reshape(source.size, *source.shape)
        weight = dynamics.transmit(connection, basis).reshape(source.size, -1).T.astype(np.float64)
        if bias is None:
            return nir.Linear(weight)
        return nir.Affine(weight, np.broadcast_to(bias, population.shape).reshape(-1).copy())


def _name_of(connection: Connection) -> str:
    kernel = connection.kernel
    if isinstance(kernel, ConvKernel):
        return f"convolution with kernel {kernel.weight.shape[2:]} and pads {kernel.pads}, which are not symmetric"
    return "transposed convolution" if isinstance(kernel, TransposedKernel) else "interpolation"


def _is_conv2d(connection: Connection) -> bool:
    """Whether nir 1.0.8, which infers shapes of square kernels only, can say it, and other tools read it."""
    kernel = _as_convolution(connection)
    if kernel is None:
        return False
    top, left, bottom, right = kernel.pads
    return (top, left) == (bottom, right) and min(kernel.pads) >= 0 and len(set(kernel.weight.shape[2:])) == 1


def _as_convolution(connection: Connection) -> ConvKernel | None:
    """The kernel, or the convolution that a transposed one without strides is: flipped, pads counted from the other side."""
    kernel = connection.kernel
    if isinstance(kernel, ConvKernel):
        return kernel
    if not isinstance(kernel, TransposedKernel) or kernel.strides != (1, 1) or kernel.groups != 1:
        return None
    spread = [gap * (length - 1) for gap, length in zip(kernel.dilations, kernel.weight.shape[2:], strict=True)]
    pads = tuple(spread[side % 2] - pad for side, pad in enumerate(kernel.pads))
    flipped = kernel.weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return ConvKernel(flipped, (1, 1), (pads[0], pads[1], pads[2], pads[3]), kernel.dilations)


def _conv2d(connection: Connection, source: Population, bias: Float64) -> Any:
    import nir

    kernel = _as_convolution(connection)
    if kernel is None:
        raise NetworkError(f"{connection.name}: NIR has no {_name_of(connection)}")
    weight = _ungroup(kernel) * 2.0**connection.exponent
    return nir.Conv2d(source.shape[1:], weight, kernel.strides, kernel.pads[:2], kernel.dilations, 1, bias)


def _ungroup(kernel: ConvKernel) -> Float64:
    """Weights (C_out, C_in, H, W), zeros between groups: ``nir`` reads shapes as if there were no groups."""
    outputs, inputs, *size = kernel.weight.shape
    weight = np.zeros((kernel.groups, outputs // kernel.groups, kernel.groups, inputs, *size))
    for group in range(kernel.groups):
        weight[group, :, group] = kernel.weight.reshape(kernel.groups, -1, inputs, *size)[group]
    return weight.reshape(outputs, -1, *size)


def _is_sum_pool(connection: Connection, population: Population) -> bool:
    kernel = connection.kernel
    if (
        not isinstance(kernel, ConvKernel)
        or connection.exponent
        or kernel.dilations != (1, 1)
        or np.any(population.bias)
    ):
        return False
    depthwise = kernel.weight.shape[1] == 1 and kernel.groups == kernel.weight.shape[0]
    return bool(depthwise and np.all(kernel.weight == 1)) and _is_conv2d(connection)


def _passes(network: Network, population: Population) -> bool:
    """Whether ``population`` passes every sum on and no limit of its payloads or counts ever binds."""
    neuron = population.neuron
    if neuron is None or not neuron.relays or neuron.count_min is not None:
        return False
    low, high = int(population.bias.min()), int(population.bias.max())
    for connection in network.incoming(population.name):
        least, greatest = bound_current(connection, *network.population(connection.source).payload_range)
        low, high = low + int(least.min()), high + int(greatest.max())
    return neuron.payload_min <= low and high <= neuron.payload_max


def _per_channel(population: Population, bias: Float64 | None) -> Float64:
    if bias is None:
        return np.zeros(population.shape[0])
    if bias.shape[1:] != (1, 1):
        raise NetworkError(f"{population.name}: a bias for each pixel; NIR has one for each channel, train it without")
    return bias[:, 0, 0]


def _neuron(population: Population) -> tuple[Float64, Any]:
    """The bias that joins the current, and the function that makes the node of a shape."""
    neuron, bias, leaky = population.neuron, population.bias.astype(np.float64), get_cuba_lif(population)
    if leaky is not None and leaky.voltage_decay:
        return bias, _leaky
    if leaky is not None:
        if leaky.current_decay != DECAY_ONE:
            raise NetworkError(
                f"{population.name}: its current decays but its membrane does not; NIR's CubaLIF needs both decays"
            )
        return bias + leaky.offset[:, None, None] / UNIT, _integrate
    if neuron is not None and neuron.relays and neuron.count_min == 0:
        raise NetworkError(f"{population.name}: part of a maximum; NIR has no max-pooling, train with average pooling")
    if neuron is None or (neuron.payload_min, neuron.payload_max) != (0, 1) or neuron.count_min is not None:
        raise NetworkError(
            f"{population.name}: {'' if neuron is None else neuron.kind} neurons with payloads {population.payload_range}; "
            "NIR's send single spikes, convert with --preset if-hard"
        )
    if np.any(neuron.v0):
        raise NetworkError(f"{population.name}: NIR's neurons start at 0; convert with --preset if-hard")
    return bias, _fire


def _fire(population: Population, shape: tuple[int, ...]) -> Any:
    import nir

    neuron = population.neuron
    if neuron is None:
        raise NetworkError(f"{population.name}: has no neurons")
    theta = neuron.theta + (0 if neuron.reset == "subtract" else 0.5 if neuron.strict else -0.5)
    notes = {"reset": neuron.reset, "strict": neuron.strict, "start": population.start}
    spread = _spread(population, shape)
    return nir.IF(spread(1), spread(theta), spread(0), metadata=notes)


def _integrate(population: Population, shape: tuple[int, ...]) -> Any:
    """CUBA-LIF without decays, in units of the current."""
    import nir

    notes = {"reset": "zero", "strict": True, "start": population.start, "neuron": CubaLif.kind}
    spread = _spread(population, shape)
    theta = (population.neuron.theta + 0.5) / UNIT  # type: ignore[union-attr]
    return nir.IF(spread(1), spread(theta), spread(0), metadata=notes)


def _leaky(population: Population, shape: tuple[int, ...]) -> Any:
    import nir

    neuron = get_cuba_lif(population)
    if neuron is None:
        raise NetworkError(f"{population.name}: is not CUBA-LIF")
    notes = {"reset": "zero", "strict": True, "start": population.start}
    spread = _spread(population, shape)
    tau_syn, tau_mem = DECAY_ONE / neuron.current_decay, DECAY_ONE / neuron.voltage_decay
    leak, theta = spread(neuron.offset * tau_mem), spread(neuron.theta + 0.5)
    if neuron.current_decay == DECAY_ONE:
        return nir.LIF(spread(tau_mem), spread(UNIT * tau_mem), leak, theta, spread(0), metadata=notes)
    taus, resistance, gain = (spread(tau_syn), spread(tau_mem)), spread(tau_mem), spread(UNIT * tau_syn)
    return nir.CubaLIF(*taus, resistance, leak, theta, spread(0), gain, metadata=notes)


def _spread(population: Population, shape: tuple[int, ...]) -> Any:
    """Makes arrays of ``shape`` of one number, or one (C,) for each channel."""

    def spread(values: Float64 | Int64 | float) -> Float64:
        numbers = np.asarray(values, np.float64).reshape(-1, 1, 1)
        return np.broadcast_to(numbers, population.shape).reshape(shape).copy()

    return spread
