"""Readers of other tools' recordings: NIRData (HDF5) and SANA-FE (CSV). Both give traces over a whole recording.

Such a trace is cut to the populations' windows by :func:`snn_deploy.verification.traces.alignment.align_recording`. What
a format cannot say is asked of the caller and never guessed: which neurons were logged, and what a step is in seconds.
"""

from __future__ import annotations

import csv
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.errors import VerificationError
from snn_deploy.exchange.hdf5 import check_hdf5
from snn_deploy.files import check_regular
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.trace import UNRECORDED, Probe, Trace
from snn_deploy.verification.traces.trace_file import PROBE_LIMIT

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What h5py and the package ``nir`` raise on files that nobody wrote so."""

_OBSERVABLES = {"spikes": "trains", "voltages": "states", "v": "states"}


def read_nir_data(
    path: Path, network: Network, *, dt: float | None = None, names: Mapping[str, str] | None = None
) -> Trace:
    """The recording in a NIRData file (package ``nir``, ``nir.write_data``; layout of ``nir.serialization`` 1.0.8).

    Nodes are populations of the same name, nested ones joined by ``/``; ``names`` maps node names to populations where
    they differ. Observables are ``spikes`` (payloads) and ``voltages`` or ``v`` (membranes), gridded or as events;
    events need ``dt``, the length of a step in the file's unit of time.
    """
    try:
        import nir
    except ImportError as error:
        raise VerificationError(f"{path}: reading NIRData needs the package nir: pip install nir") from error
    check_hdf5(path, VerificationError)
    try:
        graph = nir.read_data(str(path))
    except _DAMAGE as error:
        said = textwrap.shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...")
        raise VerificationError(f"{path}: not a NIRData file, or damaged: {said}") from error
    probes: dict[str, Probe] = {}
    images: set[int] = set()
    for node, observables in _nodes(graph.nodes, ""):
        population = (names or {}).get(node, node)
        _check_names(f"{path}: {node}", network, [population])
        if population in probes:
            raise VerificationError(f"{path}: {node} is the second node of population {population}; one is needed")
        fields: dict[str, Int64] = {}
        for label, data in observables.items():
            kind = _OBSERVABLES.get(label)
            if kind is None:
                raise VerificationError(f"{path}: {node} has observable {label!r}; {', '.join(_OBSERVABLES)} are read")
            if kind in fields:
                raise VerificationError(f"{path}: {node} has voltages and v, which are the same; one is needed")
            fields[kind] = _grid(f"{path}: {node}/{label}", data, dt, network.population(population).size, kind)
        images |= {array.shape[0] for array in fields.values()}
        probes[population] = Probe(trains=fields.get("trains"), states=fields.get("states"))
    if len(images) != 1:
        raise VerificationError(f"{path}: nodes hold {sorted(images)} samples; one number is needed")
    return Trace(path.name, images.pop(), probes, time="recording")


def _nodes(nodes: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, node in nodes.items():
        if hasattr(node, "observables"):
            yield prefix + name, node.observables
        else:
            yield from _nodes(node.nodes, f"{prefix}{name}/")


def _grid(where: str, data: Any, dt: float | None, size: int, kind: str) -> Int64:
    """(samples, steps, neurons) int64 of one observable, ``trains`` or ``states``, of a population of ``size``."""
    neurons = data.data.shape[2] if hasattr(data, "data") else data.n_neurons
    if neurons != size:
        raise VerificationError(f"{where}: {neurons} neurons; the population has {size}")
    if hasattr(data, "data"):
        return _integers(where, np.asarray(data.data))
    events = _NirEvents.of(where, data, dt)
    _check_size(where, events.images, events.length, size)
    grid = np.full((events.images, events.length, size), 0 if kind == "trains" else UNRECORDED, np.int64)
    grid[events.image, events.step, events.neuron] = events.value
    return grid


@dataclass(frozen=True, eq=False)
class _NirEvents:
    """Events of one observable, each at another place: (n,) int64 ``image``, ``step``, ``neuron`` and ``value``."""

    images: int
    length: int
    image: Int64
    step: Int64
    neuron: Int64
    value: Int64

    @classmethod
    def of(cls, where: str, data: Any, dt: float | None) -> _NirEvents:
        """Checked: places that NIRData marks as empty have index -1, and any other index is a neuron's."""
        if dt is None or not dt > 0:
            raise VerificationError(f"{where} holds events at times; say how long a step is (dt)")
        index, time = np.asarray(data.idx), np.asarray(data.time)
        if index.ndim != 2 or index.dtype.kind not in "iu" or time.dtype.kind not in "iuf":
            raise VerificationError(
                f"{where}: idx is {index.dtype} with {index.ndim} axes, time {time.dtype}; NIRData has integers "
                "(samples, events) and numbers"
            )
        wrong = np.argwhere((index < -1) | (index >= data.n_neurons))
        if wrong.size:
            raise VerificationError(
                f"{where}: event {wrong[0].tolist()} is of neuron {index[tuple(wrong[0])]}; neurons are "
                f"0..{data.n_neurons - 1}, and -1 where there is no event"
            )
        image, used = np.nonzero(index != -1)
        times = time[image, used].astype(np.float64) / dt
        if not (np.all(np.isfinite(times)) and np.isfinite(data.t_max)):
            raise VerificationError(f"{where}: holds an event at a time that is not finite, or a t_max of {data.t_max}")
        if np.any(np.isfinite(time[index == -1])):
            raise VerificationError(f"{where}: holds a time without an event; its neuron is -1")
        length = round(data.t_max / dt)
        if length < 1:
            raise VerificationError(f"{where}: t_max is {data.t_max}; it is at least dt = {dt}")
        if (
            np.any(np.abs(times - np.rint(times)) > 1e-6)
            or np.any(np.rint(times) < 0)
            or np.any(np.rint(times) >= length)
        ):
            raise VerificationError(
                f"{where}: event times are not multiples of dt = {dt} in 0..{data.t_max}, its end excluded"
            )
        step, neuron = np.rint(times).astype(np.int64), index[image, used].astype(np.int64)
        if np.unique(np.stack([image, step, neuron]), axis=1).shape[1] < step.size:
            raise VerificationError(f"{where}: a neuron has two events in one step; one is needed")
        value = _integers(where, np.asarray(data.value)[image, used]) if hasattr(data, "value") else np.ones_like(step)
        return cls(index.shape[0], length, image, step, neuron, value)


def _integers(where: str, values: Array) -> Int64:
    if values.dtype.kind not in "biuf":
        raise VerificationError(f"{where}: holds {values.dtype}; integers are compared")
    with np.errstate(invalid="ignore"):  # what does not fit is not equal to what comes of it
        integers = np.where(np.isfinite(values), values, 0).astype(np.int64)
    if not np.array_equal(integers, values):
        raise VerificationError(f"{where}: holds values that are not integers; record raw registers, not scaled ones")
    return integers


def _check_size(where: object, samples: int, length: int, neurons: int) -> None:
    """One wrong digit in a time would otherwise ask for all memory there is."""
    needed = samples * length * neurons * np.dtype(np.int64).itemsize
    if needed > PROBE_LIMIT:
        raise VerificationError(
            f"{where}: {samples} x {length} steps x {neurons} neurons need {needed} bytes, {PROBE_LIMIT} are allowed"
        )


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
    for name in {*logged, *membranes}:
        _check_size(spikes or potentials, 1, length, network.population(name).size)
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
        raise VerificationError(f"{spikes or potentials}: holds nothing of any population")
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
    labels = [label for label in header[1:] if label]
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
        raise VerificationError(f"{path}: holds no step")
    _check_size(path, 1, first + len(values), len(labels))
    table = np.pad(np.array(values, np.int64), ((first, 0), (0, 0)), constant_values=UNRECORDED)
    found = {}
    for name in dict.fromkeys(name for name, _ in addresses):
        columns = [column for column, (owner, _) in enumerate(addresses) if owner == name]
        neurons = np.array([addresses[column][1] for column in columns], np.int64)
        order = np.argsort(neurons)
        found[name] = (neurons[order], table[None][:, :, np.array(columns)[order]])
    return found, table.shape[0]


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
    _check_names(where, network, [name])
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


def _check_names(where: str, network: Network, names: Collection[str] | Mapping[str, object]) -> None:
    known = [population.name for population in network.populations]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise VerificationError(
            f"{where}: {', '.join(unknown)} is not in network {network.name}; it has {', '.join(known)}"
        )
