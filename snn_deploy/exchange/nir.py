"""Reads NIR graphs, the Neuromorphic Intermediate Representation (PyPI ``nir``).

IF, LIF and CubaLIF neurons with Linear, Affine, Conv1d, Conv2d, SumPool2d, AvgPool2d and Flatten between them, branches and nested
graphs included; several nodes may lead into one, their currents add up. Everything else, recurrence too, is refused by the node's
name. How real numbers become integers is said in :mod:`snn_deploy.exchange.nir_neurons`. A pool is a population that passes sums
on; weights that lead to an output are a read-out, whose counts are the sums.

NIR says neither how long a run is nor what an input carries: that, the way neurons reset and their strictness are metadata of
files that :mod:`snn_deploy.exchange.nir_write` wrote, arguments or defaults for others. Every reader chooses them, and differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.arrays import Float64, Int64
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.hdf5 import check_hdf5
from snn_deploy.exchange.nir_graph import NirGraph
from snn_deploy.exchange.nir_neurons import NEURONS, Fields, Scaled, choose_dt, scale_neurons, scale_read_out
from snn_deploy.exchange.nir_synapses import POOLS, WEIGHTED, Linear, copy, read_linear, read_map, read_pool, read_real
from snn_deploy.network.bounds import bound_current
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.shapes import Shape

STEPS = 16
"""Length of a window where neither file nor caller says it."""

_DAMAGE = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""Exceptions of h5py, the package ``nir`` and numeric conversions on damaged files."""


def read_nir(
    path: Path, *, steps: int | None = None, input_limits: tuple[int, int] | None = None, dt: float | None = None
) -> Network:
    """The network in ``path``, in ``rate`` mode; :class:`NetworkError` names the node that cannot be read.

    Where the file does not say it: ``steps`` is the length of a window (:data:`STEPS`), ``input_limits`` the payloads of the input
    (0..1, spikes), ``dt`` the step of differential equations (1, or 1e-4 where a time constant is below 1).
    """
    import nir

    check_hdf5(path, NetworkError)
    try:
        reader = _Reader(NirGraph.of(nir.read(path, type_check=False)), input_limits, dt)
        return reader.read(path.stem, steps)
    except _DAMAGE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise NetworkError(f"{path.name}: not a NIR file, or damaged: {said}") from error


@dataclass(frozen=True, eq=False)
class _Term:
    """What a node passes on of ``source``: its payloads, or sums of them by the node ``origin`` where ``linear`` is given."""

    source: str
    linear: Linear | None = None
    origin: str = ""


class _Reader:
    """The populations read so far, and the terms that every node passes on."""

    def __init__(self, graph: NirGraph, input_limits: tuple[int, int] | None, dt: float | None) -> None:
        self.graph, self.input_limits, self.dt = graph, input_limits, dt
        self.populations: dict[str, Population] = {}
        self.connections: list[Connection] = []
        self.terms: dict[str, tuple[_Term, ...]] = {}

    def read(self, name: str, steps: int | None) -> Network:
        """The aligned network."""
        inputs, outputs = self.graph.of_kind("Input"), self.graph.of_kind("Output")
        if len(inputs) != 1 or not outputs:
            raise NetworkError(
                f"inputs {inputs} and outputs {outputs}: one input and at least one output are supported"
            )
        if self.dt is None:
            noted = self.graph.metadata.get("dt")
            self.dt = choose_dt(list(self.graph.nodes.values())) if noted is None else float(noted)
        self._add_input(inputs[0], self.graph.nodes[inputs[0]])
        for node in self.graph.nodes:
            if node not in inputs and node not in outputs:
                self._add(node, self.graph.nodes[node])
        found = tuple(Output(output, self._read_out(output)) for output in outputs)
        window = int(self.graph.metadata.get("steps", STEPS)) if steps is None else steps
        populations = tuple(self.populations.values())
        return align(Network(name, "rate", window, populations, tuple(self.connections), found))

    def _add_input(self, name: str, node: Any) -> None:
        low, high = (int(limit) for limit in node.metadata.get("payloads", (0, 1)))
        shape = read_map(name, node.input_type["input"])
        zeros, unit = np.zeros((shape[0], 1, 1), np.int64), _unit(node, np.ones(shape[0]))
        population = Population(name, shape, None, zeros, unit, 0, *(self.input_limits or (low, high)), (name,))
        self.populations[name], self.terms[name] = population, (_Term(name),)

    def _add(self, name: str, node: Any) -> None:
        kind, arriving = type(node).__name__, self._arriving(name)
        if kind == "Flatten":
            self.terms[name] = arriving
        elif kind in WEIGHTED:
            self._require_spikes(name, arriving)
            linear = read_linear(name, node, self._shape(name, arriving))
            rest = replace(linear, bias=np.zeros_like(linear.bias))
            self.terms[name] = tuple(
                _Term(term.source, rest if index else linear, name) for index, term in enumerate(arriving)
            )
        elif kind in POOLS:
            self._require_spikes(name, arriving)
            window, factor = read_pool(name, node, self._shape(name, arriving)[0])
            units = {float(self._value(term.source)) for term in arriving}
            if len(units) != 1:
                raise NetworkError(f"{name}: averages and sums of different windows lead into one pool")
            pooled = tuple(_Term(term.source, window, name) for term in arriving)
            scaled = scale_read_out([window.weight] * len(pooled), 0 * window.bias)
            self._add_population(name, pooled, scaled, np.full(window.groups, factor * units.pop()))
        elif kind in NEURONS:
            weights, bias, shape = self._sums(name, arriving)
            scaled = scale_neurons(Fields(name, node, shape), weights, bias, float(self.dt or 1))
            self._add_population(name, arriving, scaled, np.ones(shape[0]))
        else:
            known = ", ".join((*NEURONS, *WEIGHTED, *POOLS, "Flatten"))
            raise NetworkError(f"{name}: a {kind} is not supported; {known} are")

    def _read_out(self, output: str) -> str:
        """The population that ``output`` reads; sums become a population that passes them on."""
        arriving = self._arriving(output)
        if len(arriving) == 1 and arriving[0].linear is None:
            return arriving[0].source
        name = arriving[0].origin if len({term.origin for term in arriving}) == 1 and arriving[0].origin else output
        if name not in self.populations:
            weights, bias, _ = self._sums(output, arriving)
            scaled = scale_read_out(weights, bias)
            self._add_population(name, arriving, scaled, _unit(self.graph.nodes[output], 1 / scaled.factor))
        return name

    def _arriving(self, name: str) -> tuple[_Term, ...]:
        terms = tuple(term for source in self.graph.sources[name] for term in self.terms.get(source, ()))
        if not terms:
            raise NetworkError(f"{name}: nothing reaches it; join it to the input, or leave it out")
        return terms

    def _require_spikes(self, name: str, terms: Sequence[_Term]) -> None:
        for term in terms:
            if term.linear is not None:
                raise NetworkError(
                    f"{name}: reads the sums of {term.origin} without neurons between them; make one node of both"
                )

    def _shape(self, name: str, terms: Sequence[_Term]) -> Shape:
        """Shape of the map that ``terms`` make."""
        shapes = dict.fromkeys(self._output(term) for term in terms)
        if len(shapes) > 1:
            raise NetworkError(
                f"{name}: maps of shapes {', '.join(map(str, shapes))} lead into it; they must be the same"
            )
        return next(iter(shapes))

    def _output(self, term: _Term) -> Shape:
        source = self.populations[term.source].shape
        if term.linear is None:
            return source
        try:
            return term.linear.with_weights(np.zeros(term.linear.weight.shape, np.int8)).output_shape(source)
        except NetworkError as error:
            raise NetworkError(f"{term.origin}: {error}") from error

    def _value(self, source: str) -> float:
        """Real value of one payload, of which an average is a fraction."""
        population = self.populations[source]
        return 1.0 if population.neuron is None else float(population.unit[0])

    def _sums(self, name: str, terms: Sequence[_Term]) -> tuple[list[Float64], Float64, Shape]:
        """Weights of every term per payload, the bias of all, and the shape of the sums."""
        shape = self._shape(name, terms)
        linears = [term.linear or copy(shape[0]) for term in terms]
        weights = [linear.weight * self._value(term.source) for linear, term in zip(linears, terms, strict=True)]
        return weights, np.sum([linear.bias for linear in linears], axis=0), shape

    def _add_population(self, name: str, terms: Sequence[_Term], scaled: Scaled, unit: Float64) -> None:
        weights, _, shape = self._sums(name, terms)
        connections: list[Connection] = []
        for index, (term, weight) in enumerate(zip(terms, weights, strict=True)):
            linear = term.linear or copy(shape[0])
            kernel = linear.with_weights(scaled.weights(index, weight))
            own = f"{term.source}->{name}"
            if any(connection.name == own for connection in connections):
                own += f" ({term.origin or index})"
            exponent = scaled.exponents[index]
            connections.append(Connection(own, term.source, name, kernel, exponent, origin=(term.origin or name,)))
        neuron = scaled.neuron or self._relay(connections, scaled.bias)
        origin = tuple(dict.fromkeys([*(term.origin for term in terms if term.origin), name]))
        bias = scaled.bias[:, None, None]
        self.populations[name] = Population(name, shape, neuron, bias, unit, origin=origin)
        self.connections += connections
        self.terms[name] = (_Term(name),)

    def _relay(self, connections: Sequence[Connection], bias: Int64) -> Neuron:
        """Neurons that pass every sum on; their limits are the worst case, so they never bind."""
        low, high = min(int(bias.min()), 0), max(int(bias.max()), 0)
        for connection in connections:
            least, greatest = bound_current(connection, *self.populations[connection.source].payload_range)
            low, high = low + int(least.min()), high + int(greatest.max())
        one = np.ones(bias.size, np.int64)
        return MultiThreshold(one, 0 * one, max(low, -STATE_MAX), min(max(high, 1), STATE_MAX))


def _unit(node: Any, default: Float64) -> Float64:
    """Values of one count that a file of ours notes."""
    noted = read_real("metadata", "unit", node.metadata["unit"]).reshape(-1) if "unit" in node.metadata else default
    return noted if noted.shape == default.shape and noted.min() > 0 else default
