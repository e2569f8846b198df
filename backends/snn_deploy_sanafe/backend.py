"""Runs of SANA-FE as runs of this project: spikes and membranes of every population in its window."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import sanafe

from snn_deploy.arrays import Array, Int32, Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.simulation import Simulation
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.errors import BackendError
from snn_deploy.network import artifact
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network, Population
from snn_deploy_sanafe.emit import write_files
from snn_deploy_sanafe.measure import measure
from snn_deploy_sanafe.placement import TARGET
from snn_deploy_sanafe.program import LEAD, Program, check_size, count_steps, group_name
from snn_deploy_sanafe.support import check_network, is_read_out

Read: TypeAlias = tuple[dict[str, Int32], dict[str, Int32]]
"""Trains and states (steps, C, H, W) of one image by population."""


class SanafeBackend:
    """SANA-FE (UT Austin and Sandia) on its description of Loihi: an engine that shares no arithmetic with the others.

    It fires plain integrate-and-fire neurons, placed core by core as ``estimate --target loihi1-sanafe`` places them. Each
    image is a run of its own. A read-out never fires there; what arrived in a step is the change of its membrane.
    """

    name = "sanafe"
    target = TARGET

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        """Run input payloads ``stimulus`` (B, C, H, W) int64; see :class:`~snn_deploy.backend.protocol.Run`.

        :class:`~snn_deploy.errors.BackendUnavailableError` for networks that SANA-FE cannot fire or its chip not hold;
        :class:`~snn_deploy.errors.BackendError` where a membrane leaves 24 bits, to which nothing limits it there.
        """
        check_network(network)
        check_stimulus(network, stimulus)
        started = time.perf_counter()
        check_size(network)
        runs = []
        for number, payloads in enumerate(stimulus):
            results = _simulate(Program(sanafe, network, payloads), network)
            runs.append(_read(network, payloads, results))
            if progress is not None:
                progress(number + 1, len(stimulus))
        return _collect(network, stimulus, runs, record, started)

    def simulate(self, network: Network, stimulus: Int64) -> Simulation:
        """Run one image; what SANA-FE says of energy, time, messages and hops, and what caused them."""
        check_network(network)
        check_stimulus(network, stimulus)
        if stimulus.shape[0] != 1:
            raise BackendError(f"sanafe: {stimulus.shape[0]} images; give one, of which energy and time are reported")
        started = time.perf_counter()
        check_size(network)
        program = Program(sanafe, network, stimulus[0])
        results = _simulate(program, network, perf_trace=True, message_trace=True)
        read = _read(network, stimulus[0], results)
        run = _collect(network, stimulus, [read], Record.COUNTS, started)
        return measure(program, network, results, run)

    def emit(self, network: Network, directory: Path, stimulus: Int64 | None = None, *, checked: bool = True) -> str:
        """Write SANA-FE's files into ``directory``: :func:`~snn_deploy_sanafe.emit.write_files`.

        SANA-FE runs what it can express, and no rule of a device is left to skip: ``checked`` must be true.
        """
        if not checked:
            raise BackendError("sanafe: no checks can be left out; emit with checked=True")
        return write_files(sanafe, network, directory, stimulus)


def _collect(network: Network, stimulus: Int64, runs: list[Read], record: Record, started: float) -> Run:
    trains, states = ({name: np.stack([run[kind][name] for run in runs]) for name in runs[0][kind]} for kind in (0, 1))
    return Run(
        backend=SanafeBackend.name,
        network=artifact.digest(network),
        stimulus=digest_stimulus(stimulus),
        counts={name: values.sum(1, dtype=np.int64) for name, values in trains.items()},
        events={name: np.count_nonzero(values, axis=1).astype(np.int64) for name, values in trains.items()},
        trains=trains if record >= Record.TRAINS else None,
        states=states if record >= Record.STATES else None,
        saturations=dict.fromkeys(trains, 0),
        engines={population.name: f"SANA-FE {version('sanafe')}" for population in network.populations[1:]},
        seconds=time.perf_counter() - started,
    )


def _simulate(program: Program, network: Network, **traces: bool) -> Any:
    """SANA-FE's results for one image."""
    chip = sanafe.SpikingChip(program.architecture)
    chip.load(program.net)
    with redirect_stdout(io.StringIO()):  # SANA-FE prints its progress where results belong
        return chip.sim(count_steps(network), spike_trace=True, potential_trace=True, processing_threads=1, **traces)


def _read(network: Network, payloads: Int64, found: Any) -> Read:
    potentials = np.asarray(found["potential_trace"], np.float64)
    spikes = _list_spikes(found["spike_trace"])
    repeated = np.broadcast_to(payloads, (network.steps, *payloads.shape)).astype(np.int32)
    trains, states, first = {network.input.name: repeated}, dict[str, Int32](), 0
    for number, population in enumerate(network.populations[1:]):
        membranes, first = potentials[:, first : first + population.size], first + population.size
        window = slice(population.start + LEAD, population.start + LEAD + network.steps)
        _check_membranes(population, membranes[window])
        shape = (network.steps, *population.shape)
        if is_read_out(network, population):
            arrived = np.diff(membranes, axis=0, prepend=0.0)[window]
            trains[population.name] = _as_int32(arrived).reshape(shape)
            states[population.name] = np.zeros(shape, np.int32)  # all that arrives is read
        else:
            fired = np.zeros((count_steps(network), population.size), np.int32)
            fired[tuple(spikes.get(group_name(number), np.zeros((0, 2), np.int64)).T)] = 1
            trains[population.name] = fired[window].reshape(shape)
            states[population.name] = _as_int32(membranes[window]).reshape(shape)
    return trains, states


def _list_spikes(trace: list[list[Any]]) -> Mapping[str, Int64]:
    """Steps and neurons (spikes, 2) by group."""
    found: dict[str, list[tuple[int, int]]] = {}
    for step, fired in enumerate(trace):
        for each in fired:
            found.setdefault(each.group_name, []).append((step, each.neuron_offset))
    return {name: np.asarray(spikes, np.int64) for name, spikes in found.items()}


def _check_membranes(population: Population, membranes: Array) -> None:
    largest = float(np.abs(membranes).max())
    if largest > STATE_MAX:
        raise BackendError(
            f"{population.name}: a membrane reaches {largest:.0f}; SANA-FE does not limit it to 24 bits, as all others do"
        )


def _as_int32(values: Array) -> Int32:
    whole = np.rint(values)
    if not np.array_equal(whole, values):
        raise BackendError("SANA-FE returned a membrane that is not a whole number")
    return whole.astype(np.int32)
