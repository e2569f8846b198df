"""What changed between two artifacts: structure, schedule, thresholds, exponents, weights, biases, configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.network import artifact
from snn_deploy.network.kernels import Kernel
from snn_deploy.network.network import Connection, Network, Population


@dataclass(frozen=True)
class Change:
    """One difference: ``where`` (a population, a connection or the network), ``what``, and both sides in words."""

    where: str
    what: str
    left: str
    right: str

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.where}: {self.what}: {self.left} -> {self.right}"


def diff(left: Network, right: Network) -> tuple[Change, ...]:
    """All changes from ``left`` to ``right``, in the networks' order; empty only where their files are the same."""
    changes = [*_network(left, right), *_populations(left, right), *_connections(left, right)]
    if not changes and artifact.digest(left) != artifact.digest(right):
        changes.append(Change("network", "order or record", artifact.digest(left)[:12], artifact.digest(right)[:12]))
    return tuple(changes)


def diff_counts(left: Mapping[str, Int64], right: Mapping[str, Int64]) -> tuple[Change, ...]:
    """Changes of the spikes (sum of |count|) that two runs counted, population by population."""
    changes = []
    for name in dict.fromkeys((*left, *right)):
        sides = [f"{int(np.abs(run[name]).sum()):,} spikes" if name in run else "absent" for run in (left, right)]
        same = name in left and name in right and np.array_equal(left[name], right[name])
        if not same:
            wrong = ""
            if name in left and name in right and left[name].shape == right[name].shape:
                wrong = f" ({int(np.count_nonzero(left[name] != right[name])):,} neurons differ)"
            changes.append(Change(name, "counts", sides[0], sides[1] + wrong))
    return tuple(changes)


def _network(left: Network, right: Network) -> Iterator[Change]:
    for what in ("name", "mode", "steps", "picture"):
        yield from _scalar("network", what, getattr(left, what), getattr(right, what))
    for key in sorted({*left.config, *right.config}):
        yield from _scalar("network", f"config {key}", left.config.get(key), right.config.get(key))
    outputs = [
        {output.name: (output.population, output.host) for output in network.outputs} for network in (left, right)
    ]
    yield from _scalar("network", "outputs", outputs[0], outputs[1])


def _populations(left: Network, right: Network) -> Iterator[Change]:
    sides = [{population.name: population for population in network.populations} for network in (left, right)]
    for name in dict.fromkeys((*sides[0], *sides[1])):
        before, after = sides[0].get(name), sides[1].get(name)
        if before is None or after is None:
            yield Change(name, "population", _presence(before), _presence(after))
        else:
            yield from _population(before, after)


def _population(left: Population, right: Population) -> Iterator[Change]:
    for what in ("shape", "start", "input_min", "input_max", "origin"):
        yield from _scalar(left.name, what, getattr(left, what), getattr(right, what))
    yield from _array(left.name, "bias", left.bias, right.bias)
    yield from _array(left.name, "unit", left.unit, right.unit)
    if left.neuron is None or right.neuron is None:
        yield from _scalar(left.name, "neuron", _presence(left.neuron), _presence(right.neuron))
        return
    yield from _scalar(left.name, "neuron", left.neuron.kind, right.neuron.kind)
    for name in dict.fromkeys(field.name for neuron in (left.neuron, right.neuron) for field in fields(neuron)):
        before, after = getattr(left.neuron, name, None), getattr(right.neuron, name, None)
        if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
            yield from _array(left.name, name, before, after)
        elif isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
            yield from _scalar(left.name, name, _presence(before), _presence(after))
        else:
            yield from _scalar(left.name, name, before, after)


def _connections(left: Network, right: Network) -> Iterator[Change]:
    sides = [{connection.name: connection for connection in network.connections} for network in (left, right)]
    for name in dict.fromkeys((*sides[0], *sides[1])):
        before, after = sides[0].get(name), sides[1].get(name)
        if before is None or after is None:
            yield Change(name, "connection", _presence(before), _presence(after))
        else:
            yield from _connection(before, after)


def _connection(left: Connection, right: Connection) -> Iterator[Change]:
    for what in ("source", "target", "exponent", "delay", "origin"):
        yield from _scalar(left.name, what, getattr(left, what), getattr(right, what))
    yield from _kernel(left.name, left.kernel, right.kernel)


def _kernel(where: str, left: Kernel, right: Kernel) -> Iterator[Change]:
    if type(left) is not type(right):
        yield Change(where, "kernel", type(left).__name__, type(right).__name__)
        return
    for field in fields(left):
        before, after = getattr(left, field.name), getattr(right, field.name)
        if isinstance(before, np.ndarray):
            yield from _array(where, field.name, before, after)
        else:
            yield from _scalar(where, field.name, before, after)


def _scalar(where: str, what: str, left: object, right: object) -> Iterator[Change]:
    if left != right:
        yield Change(where, what, str(left), str(right))


def _array(where: str, what: str, left: Array, right: Array) -> Iterator[Change]:
    if left.shape != right.shape:
        yield Change(where, what, f"shape {left.shape}", f"shape {right.shape}")
    elif not np.array_equal(left, right):
        differs = left != right
        place = tuple(int(axis) for axis in np.unravel_index(int(differs.argmax()), left.shape))
        largest = np.abs(right.astype(np.float64) - left.astype(np.float64)).max()
        yield Change(
            where,
            what,
            f"{left[place]} at {place}",
            f"{right[place]}; {np.count_nonzero(differs):,} of {left.size:,} differ, by at most {largest:g}",
        )


def _presence(value: object) -> str:
    return "absent" if value is None else "present"
