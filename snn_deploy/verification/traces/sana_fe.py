"""Reader of SANA-FE's tables (CSV): spikes and membrane potentials of one image, as a trace over a whole recording.

What the tables cannot say is asked of the caller and never guessed: which populations were logged. Python's negative
indices are errors here, and so is a line that says again what another said.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import VerificationError
from snn_deploy.files import check_regular
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.checks import check_names, check_size
from snn_deploy.verification.traces.trace import UNRECORDED, Probe, Trace


def read_sana_fe(
    network: Network,
    spikes: Path | None,
    potentials: Path | None = None,
    *,
    populations: Collection[str] | None = None,
) -> Trace:
    """The recording in SANA-FE's ``spikes.csv`` and ``potentials.csv`` (src/chip.cpp, ``sim_trace_*``), of one image.

    Groups are populations of the same name, neurons their flattened (C, H, W) maps. ``spikes.csv`` does not say which
    neurons were logged: the spikes of ``populations`` were (by default, of those that occur), all their neurons.
    Potentials say it in their header; steps before their first and after their last row are not recorded. A row is one
    spike, so payloads are 0 and 1. :class:`VerificationError` names the file and the line.
    """
    if spikes is None and potentials is None:
        raise VerificationError("neither spikes nor potentials were given; nothing would be compared")
    events = [] if spikes is None else list(_spike_rows(spikes, network))
    logged = set(populations) if populations is not None else {name for name, _, _ in events}
    membranes, length = ({}, 0) if potentials is None else _potentials(potentials, network)
    length = max(length, 1 + max((step for _, _, step in events), default=0))
    check_names(str(spikes), network, logged)
    neurons_read = sum(network.population(name).size for name in {*logged, *membranes})
    check_size(spikes or potentials, 1, length, neurons_read)
    surplus = sorted({name for name, _, _ in events} - logged)
    if surplus:
        raise VerificationError(
            f"{spikes}: spikes of {', '.join(surplus)}, which are not among the populations asked for"
        )
    trains = {
        name: np.zeros((1, length, network.population(name).size), np.int64) for name in logged if spikes is not None
    }
    for name, neuron, step in events:
        trains[name][0, step, neuron] += 1
    probes = {}
    for name in {*trains, *membranes}:
        neurons, states = membranes.get(name, (None, None))
        train = trains.get(name)
        if neurons is not None and neurons.size == network.population(name).size:
            neurons = None
        if train is not None and neurons is not None:
            train = train[:, :, neurons]
        widths = ((0, 0), (0, 0 if states is None else length - states.shape[1]), (0, 0))
        padded = None if states is None else np.pad(states, widths, constant_values=UNRECORDED)
        probes[name] = Probe(neurons=neurons, trains=train, states=padded)
    if not probes:
        raise VerificationError(f"{spikes or potentials}: contains no data of any population")
    return Trace("sana-fe", 1, probes, time="recording")


def is_potentials(path: Path) -> bool:
    """Whether the first line of SANA-FE's table says potentials, not spikes."""
    _, header = next(_rows(path, None), (1, [""]))
    return header[0] == "timestep"


def _spike_rows(path: Path, network: Network) -> Iterator[tuple[str, int, int]]:
    lines: dict[tuple[str, int, int], int] = {}
    for number, row in _rows(path, ["neuron", "timestep"]):
        where = f"{path}, line {number}"
        if len(row) != 2:
            raise VerificationError(f"{where}: {len(row)} columns, not 2; the file may be cut off")
        event = (*_address(where, row[0], network), _step(where, row[1]))
        if event in lines:
            raise VerificationError(f"{where}: says again what line {lines[event]} says; a neuron spikes once a step")
        lines[event] = number
        yield event


def _potentials(path: Path, network: Network) -> tuple[dict[str, tuple[Int64, Int64]], int]:
    """Neurons (n,) and membranes (1, steps, n) of every population in the header, and the number of steps."""
    rows = _rows(path, None)
    _, header = next(rows, (1, []))
    labels = header[1:-1] if header[-1:] == [""] else header[1:]
    if header[:1] != ["timestep"] or not labels or not all(label.startswith("neuron ") for label in labels):
        raise VerificationError(f"{path}: line 1 is not SANA-FE's 'timestep,neuron GROUP.ID,...'")
    addresses = [_address(f"{path}, line 1", label.removeprefix("neuron "), network) for label in labels]
    (name, neuron), columns_of = Counter(addresses).most_common(1)[0]
    if columns_of > 1:
        raise VerificationError(f"{path}, line 1: neuron {name}.{neuron} has {columns_of} columns; one is needed")
    values: list[list[int]] = []
    first: int | None = None
    for number, row in rows:
        where = f"{path}, line {number}"
        fields = row[:-1] if row and not row[-1] else row
        if len(fields) != len(labels) + 1:
            raise VerificationError(f"{where}: {len(fields)} columns, not {len(labels) + 1}; the file may be cut off")
        step = _step(where, fields[0])
        first = step if first is None else first
        if step != first + len(values):
            raise VerificationError(f"{where}: step {step} follows {first + len(values) - 1}")
        values.append([_whole(where, field) for field in fields[1:]])
    if first is None:
        raise VerificationError(f"{path}: contains no steps")
    check_size(path, 1, first + len(values), len(labels))
    table = np.pad(np.array(values, np.int64), ((first, 0), (0, 0)), constant_values=UNRECORDED)
    membranes = {}
    for name in dict.fromkeys(name for name, _ in addresses):
        columns = [column for column, (owner, _) in enumerate(addresses) if owner == name]
        neurons = np.array([addresses[column][1] for column in columns], np.int64)
        order = np.argsort(neurons)
        membranes[name] = (neurons[order], table[None][:, :, np.array(columns)[order]])
    return membranes, table.shape[0]


def _rows(path: Path, header: list[str] | None) -> Iterator[tuple[int, list[str]]]:
    check_regular(path, VerificationError)
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            if header is not None and next(reader, None) != header:
                raise VerificationError(f"{path}: line 1 is not {','.join(header)!r}")
            for row in reader:
                if row:
                    yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VerificationError(f"{path}: cannot be read: {error}") from error


def _address(where: str, text: str, network: Network) -> tuple[str, int]:
    name, _, neuron = text.rpartition(".")
    check_names(where, network, [name])
    index, size = _whole(where, neuron), network.population(name).size
    if not 0 <= index < size:
        raise VerificationError(f"{where}: neuron {index} of {name}, which has 0..{size - 1}")
    return name, index


def _step(where: str, text: str) -> int:
    step = _whole(where, text)
    if step < 0:
        raise VerificationError(f"{where}: step {step}; steps count from 0")
    return step


def _whole(where: str, text: str) -> int:
    """The integer that ``text`` prints; SANA-FE prints large membranes as ``1.23457e+06``, which no longer tells it."""
    if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) <= 18):
        raise VerificationError(f"{where}: {text!r} is not an integer printed in full")
    return int(text)
