"""One population replayed on given inputs: by the specification, or as somebody may have got it wrong.

Replaying a population on the spikes that a backend's own sources sent (teacher forcing) tells an error that the
population *introduced* from one that it *inherited*. Replaying it with one equation changed tells which mistake was
made (:mod:`snn_deploy.verification.diagnosis.autopsy`), or what a mistake would look like
(:mod:`snn_deploy.verification.diagnosis.faults`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from snn_deploy.arrays import Int32, Int64
from snn_deploy.backend.stream import StreamState
from snn_deploy.errors import VerificationError
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import Kernel
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.verification.traces.trace import Probe, Trace


class Rule(Protocol):
    """The arithmetic of one population: what a step does to its membrane and what it sends."""

    def integrate(self, v: Int64, current: Int64, step: int) -> Int64:
        """Membrane after a step in which the population may not fire yet."""
        ...

    def advance(
        self, population: Population, v: Int64, count: Int64, current: Int64, step: int
    ) -> tuple[Int64, Int64, Int64]:
        """``(v, count, payload)`` after global ``step``, as :func:`snn_deploy.network.dynamics.advance`."""
        ...


@dataclass(frozen=True)
class Specified:
    """:mod:`snn_deploy.network.dynamics`, nothing else."""

    def integrate(self, v: Int64, current: Int64, step: int) -> Int64:  # noqa: ARG002  # the protocol passes the step
        """Saturating sum."""
        return dynamics.saturate(v + current)

    def advance(
        self,
        population: Population,
        v: Int64,
        count: Int64,
        current: Int64,
        step: int,  # noqa: ARG002  # the protocol passes the step
    ) -> tuple[Int64, Int64, Int64]:
        """The step of the specification."""
        if population.neuron is None:
            raise VerificationError(f"{population.name}: the input computes nothing that could be replayed")
        return dynamics.advance(population.neuron, v, count, current)


@dataclass(frozen=True, eq=False)
class Site:
    """One population as it is computed: its numbers, its synapses, its arithmetic.

    ``repeat_bias``: the bias joins every step from ``start`` on (``rate``) and not ``start`` alone (``exact``).
    ``shift``: steps by which everything it sends and shows comes late (negative: early). ``carried``: membranes and counts (or
    second states) (B, C, H, W) int64 from which a frame of a stream goes on, without a bias; ``None`` from rest.
    """

    population: Population
    incoming: tuple[Connection, ...]
    repeat_bias: bool
    rule: Rule = Specified()
    shift: int = 0
    carried: tuple[Int64, Int64] | None = None

    @classmethod
    def of(cls, network: Network, name: str, rule: Rule | None = None, before: StreamState | None = None) -> Site:
        """Population ``name`` as ``network`` has it; ``before``: what a stream carries into the frame."""
        population = network.population(name)
        if population.neuron is None:
            raise VerificationError(f"{name}: the input computes nothing that could be replayed")
        carried = None
        if before is not None and before.frames:
            second = before.second_states.get(name, before.counts[name])
            carried = before.membranes[name].astype(np.int64), second.astype(np.int64)
        return cls(population, network.incoming(name), network.mode == "rate", rule or Specified(), carried=carried)


@dataclass(frozen=True, eq=False)
class Train:
    """Payloads (B, L, C, H, W) sent in the global steps ``first .. first + L - 1``; nothing before and after."""

    first: int
    payload: Int32 | Int64

    def at(self, step: int) -> Int64 | None:
        """Payloads (B, C, H, W) int64 of global ``step``; ``None`` where nothing is sent."""
        local = step - self.first
        if not 0 <= local < self.payload.shape[1]:
            return None
        payload = self.payload[:, local]
        return payload.astype(np.int64) if np.any(payload) else None


@dataclass(frozen=True, eq=False)
class Response:
    """Payloads, membranes and, where neurons have one, second states (B, L, C, H, W) int32 of the steps asked for."""

    trains: Int32
    states: Int32
    second_states: Int32 | None

    def probe(self, window: slice = slice(None)) -> Probe:
        """The whole population in these steps, flattened as a recorder would."""
        second = None if self.second_states is None else _flat(self.second_states[:, window])
        return Probe(trains=_flat(self.trains[:, window]), states=_flat(self.states[:, window]), second_states=second)


class SynapticCurrents:
    """What connections deliver when their sources send given trains."""

    def __init__(self, sent: Mapping[str, Train]) -> None:
        self.sent = sent

    def current(self, connection: Connection, step: int) -> Int64 | None:
        """Current (B, C, H, W) that arrives through ``connection`` at global ``step``; ``None`` where nothing does."""
        payload = self.sent[connection.source].at(step - connection.delay)
        return None if payload is None else dynamics.transmit(connection, payload)

    def total(self, incoming: Sequence[Connection], step: int, like: Int64) -> Int64:
        """Sum over ``incoming`` at global ``step``, in the shape of ``like``."""
        total = np.zeros_like(like)
        for connection in incoming:
            current = self.current(connection, step)
            if current is not None:
                total += current
        return total


class RememberedCurrents(SynapticCurrents):
    """The same, remembered within ``limit`` bytes.

    That serves an autopsy, which replays one population hundreds of times with mostly the same kernels.
    """

    def __init__(self, sent: Mapping[str, Train], limit: int) -> None:
        super().__init__(sent)
        self._left = limit
        self._known: dict[tuple[int, int, str, int], tuple[Kernel, Int64 | None]] = {}

    def current(self, connection: Connection, step: int) -> Int64 | None:
        """As :meth:`SynapticCurrents.current`."""
        key = (id(connection.kernel), connection.exponent, connection.source, step - connection.delay)
        if key in self._known:
            _, current = self._known[key]  # and its kernel, which keeps the number of the kernel in the key its own
            return current
        current = super().current(connection, step)
        size = 0 if current is None else current.nbytes
        if size <= self._left:
            self._left -= size
            self._known[key] = connection.kernel, current
        return current


def respond(site: Site, synapses: SynapticCurrents, first: int, length: int) -> Response:
    """What ``site`` sends and holds in global steps ``first .. first + length - 1`` on what ``synapses`` deliver."""
    population = site.population
    missing = sorted({connection.source for connection in site.incoming} - set(synapses.sent))
    if missing:
        raise VerificationError(f"{population.name}: cannot be replayed without the trains of {', '.join(missing)}")
    batch = next(iter(synapses.sent.values())).payload.shape[0]
    trains = np.zeros((batch, length, *population.shape), np.int32)
    states = np.zeros_like(trains)
    second_states = (
        np.zeros_like(trains) if population.neuron is not None and population.neuron.has_second_state else None
    )
    v = dynamics.initialize_membrane(population, batch)
    count = np.zeros_like(v)
    if site.carried is not None:
        v, count = site.carried
    for step in range(first + length - site.shift):
        current = synapses.total(site.incoming, step, v)
        joins = step == population.start and site.carried is None
        if joins or (site.repeat_bias and step >= population.start):
            current += population.bias
        if step < population.start:
            v, payload = site.rule.integrate(v, current, step), np.zeros_like(v)
        else:
            v, count, payload = site.rule.advance(population, v, count, current, step)
        shown = step + site.shift - first
        if shown >= 0:
            trains[:, shown], states[:, shown] = payload, v
            if second_states is not None:
                second_states[:, shown] = count
    return Response(trains, states, second_states)


@dataclass(frozen=True, eq=False)
class Replay:
    """A whole network replayed: its trace, and every train over the whole time."""

    trace: Trace
    sent: Mapping[str, Train]


def forward(
    network: Network,
    stimulus: Train,
    sites: Mapping[str, Site] | None = None,
    given: Replay | None = None,
    name: str = "replay",
) -> Replay:
    """Replay the whole ``network``, population by population, with ``sites`` in place of its own.

    The graph has no cycles, so replaying one population after the other over the whole time is the same as stepping all
    of them together, under any schedule. Windows are those of ``network``, as a recorder set up for it would take them.
    ``given`` is a replay without ``sites``: what they cannot reach is taken from it.
    """
    changed = sites or {}
    sent = {network.input.name: stimulus}
    shown = _window(stimulus, network.input.start, network.steps)
    probes = {network.input.name: Probe(trains=_flat(shown))}
    reached: set[str] = set()
    for population, connections in network.layers():
        if given is not None and population.name not in changed and reached.isdisjoint(c.source for c in connections):
            sent[population.name] = given.sent[population.name]
            probes[population.name] = given.trace.probes[population.name]
            continue
        reached.add(population.name)
        site = changed.get(population.name) or Site.of(network, population.name)
        response = respond(site, SynapticCurrents(sent), 0, network.duration)
        sent[population.name] = Train(0, response.trains)
        window = slice(population.start, population.start + network.steps)
        probes[population.name] = response.probe(window)
    return Replay(Trace(name, stimulus.payload.shape[0], probes), sent)


def repeat(network: Network, stimulus: Int64) -> Train:
    """The input's train for images (B, C, H, W), sent in each of the input's steps, or (B, T, C, H, W), one for each step."""
    if stimulus.ndim == 5:
        return Train(0, stimulus)
    return Train(0, np.repeat(stimulus[:, None], network.input_steps, axis=1))


def collect_sent(network: Network, trace: Trace, names: set[str]) -> dict[str, Train] | None:
    """The whole trains of populations ``names`` in ``trace``; ``None`` unless all of them were recorded in full."""
    trains = {}
    for name in names:
        probe = trace.probes.get(name)
        if probe is None or probe.trains is None or probe.neurons is not None:
            return None
        population = network.population(name)
        trains[name] = Train(
            population.start, probe.trains.reshape(trace.images, probe.trains.shape[1], *population.shape)
        )
    return trains


def find_horizon(network: Network, site: Site) -> int:
    """Last step of ``site``'s window, counted from its population's start, for which its sources' windows tell all.

    Sources may go on firing after their windows where ``rate`` mode lets them; the input never does, and in ``exact``
    mode every window ends in silence. With a delay shorter than the schedule's, such late events arrive in the window.
    """
    start = network.population(site.population.name).start
    ends = [
        network.population(connection.source).start + network.steps - 1 + connection.delay
        for connection in site.incoming
        if network.mode == "rate" and connection.source != network.input.name
    ]
    return min([network.steps - 1, *(end + site.shift - start for end in ends)])


def is_replayable(network: Network, name: str) -> bool:
    """Whether the sources' windows hold every event that can arrive in the window of population ``name``."""
    return find_horizon(network, Site.of(network, name)) == network.steps - 1


def _window(train: Train, first: int, length: int) -> Int32 | Int64:
    batch, _, *shape = train.payload.shape
    window = np.zeros((batch, length, *shape), np.int32)
    for local in range(length):
        payload = train.at(first + local)
        if payload is not None:
            window[:, local] = payload
    return window


def _flat(array: Int32 | Int64) -> Int32 | Int64:
    return array.reshape(*array.shape[:2], -1)
