"""Global time, step by step: deliver what arrives, add the bias, fire, send."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import digest_stimulus
from snn_deploy.errors import BackendError
from snn_deploy.network import dynamics
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Population

NAME = "reference"
"""Name of the backend."""


def simulate(
    network: Network,
    cells: dict[str, Cells],
    stimulus: Int64,
    record: Record,
    frame: int = 0,
    progress: Progress | None = None,
) -> dict[str, Log]:
    """Take ``cells`` through the steps of a frame; what its populations did in their windows."""
    logs = {
        population.name: Log(population, network.steps, stimulus.shape[0], record) for population in network.populations
    }
    travelling: dict[int, list[tuple[Connection, Int64]]] = {}
    late = set[str]()
    for step in range(network.duration):
        arriving: dict[str, Int64] = {}
        for connection, sent in travelling.pop(step, []):
            total = arriving.get(connection.target, np.int64(0))
            arriving[connection.target] = total + dynamics.transmit(connection, sent)
        for population in network.populations:
            cell = cells[population.name]
            payload = cell.step(network, step, frame, arriving.get(population.name), stimulus)
            logs[population.name].write(step, payload, cell)
            if step >= population.start + network.steps and (payload is not None or population.name in arriving):
                late.add(population.name)
            if payload is not None:
                for connection in network.outgoing(population.name):
                    travelling.setdefault(step + connection.delay, []).append((connection, payload))
        if progress is not None:
            progress(step + 1, network.duration)
    if network.mode == "exact":
        late |= {connection.target for sent in travelling.values() for connection, _ in sent}
        _check_silent(network, cells, late)
    return logs


def gather(
    digest: str, cells: dict[str, Cells], logs: dict[str, Log], stimulus: Int64, record: Record, seconds: float
) -> Run:
    """The run of the network with this ``digest``, as the protocol has it."""
    return Run(
        backend=NAME,
        network=digest,
        stimulus=digest_stimulus(stimulus),
        counts={name: log.counts for name, log in logs.items()},
        events={name: log.events for name, log in logs.items()},
        trains={name: log.trains for name, log in logs.items()} if record >= Record.TRAINS else None,
        states={name: log.states for name, log in logs.items() if cells[name].population.neuron is not None}
        if record >= Record.STATES
        else None,
        second_states={name: log.second_states for name, log in logs.items() if _remembers(cells[name].population)}
        if record >= Record.STATES
        else None,
        saturations={name: cell.saturations for name, cell in cells.items() if cell.population.neuron is not None},
        engines={name: "int64" for name, cell in cells.items() if cell.population.neuron is not None},
        seconds=seconds,
    )


@dataclass(eq=False)
class Cells:
    """State of one population; ``count`` is the second state of neurons that have one.

    ``settled``: a step without input would change nothing and send nothing, as proved by the step before
    (:attr:`snn_deploy.network.neuron.Neuron.settles`).
    """

    population: Population
    v: Int64
    count: Int64
    saturations: int = 0
    settled: bool = False

    @classmethod
    def of(cls, population: Population, batch: int) -> Cells:
        """At rest."""
        shape = (batch, *population.shape)
        zeros = np.zeros(shape, np.int64)
        if population.neuron is None:
            return cls(population, zeros, zeros)
        return cls(population, dynamics.initialize_membrane(population, batch), zeros)

    def step(self, network: Network, step: int, frame: int, current: Int64 | None, stimulus: Int64) -> Int64 | None:
        """Payloads (B, C, H, W) sent in this step of ``frame``; ``None`` where none is sent."""
        neuron = self.population.neuron
        if neuron is None:
            if step >= network.input_steps:
                return None
            sent = stimulus if stimulus.ndim == 4 else stimulus[:, step]
            return sent if np.any(sent) else None
        bias = dynamics.select_bias(network, self.population, step, frame)
        firing = step >= self.population.start
        if current is None and bias is None and (self.settled or not firing):
            return None
        total = np.zeros_like(self.v) if current is None else current
        if bias is not None:
            total = total + bias
        if step < self.population.start + network.steps:
            raised = neuron.charge(self.v, self.count, total)[0] if firing else self.v + total
            self.saturations += int(np.count_nonzero(np.abs(raised) > STATE_MAX))
        if not firing:
            self.v, self.settled = dynamics.saturate(self.v + total), False
            return None
        self.v, self.count, payload = dynamics.advance(neuron, self.v, self.count, total)
        neuron.check(self.population.name, payload)
        silent = not np.any(payload)
        self.settled = silent and neuron.settles
        return None if silent else payload


class Log:
    """The records of one population's window."""

    def __init__(self, population: Population, steps: int, batch: int, record: Record) -> None:
        shape = (batch, *population.shape)
        self.start, self.steps = population.start, steps
        self.counts = np.zeros(shape, np.int64)
        self.events = np.zeros(shape, np.int64)
        stepwise = (batch, steps, *population.shape)
        self.trains = np.zeros(stepwise if record >= Record.TRAINS else (0,), np.int32)
        self.states = np.zeros(stepwise if record >= Record.STATES else (0,), np.int32)
        self.second_states = np.zeros_like(self.states) if _remembers(population) else np.zeros(0, np.int32)

    def write(self, step: int, payload: Int64 | None, cell: Cells) -> None:
        """Record a step of the frame, if it lies in the window."""
        local = step - self.start
        if not 0 <= local < self.steps:
            return
        if payload is not None:
            self.counts += payload
            self.events += payload != 0
            if self.trains.size:
                self.trains[:, local] = payload
        if self.states.size:
            self.states[:, local] = cell.v
        if self.second_states.size:
            self.second_states[:, local] = cell.count


def _remembers(population: Population) -> bool:
    return population.neuron is not None and population.neuron.has_second_state


def _check_silent(network: Network, cells: dict[str, Cells], late: set[str]) -> None:
    """Check that populations are silent; ``late`` are those that an event reached, or left, after their windows."""
    restless = sorted(late)
    for name, cell in cells.items():
        neuron = cell.population.neuron
        if neuron is not None and not cell.settled:
            _, _, payload = dynamics.advance(neuron, cell.v, cell.count, np.zeros_like(cell.v))
            if np.any(payload):
                restless.append(name)
    if restless:
        raise BackendError(
            f"exact mode is not silent after {network.duration} steps: {', '.join(restless[:4])}; "
            "the schedule's window is too short"
        )
