"""Reader of NIRData (HDF5): the recording of a simulator or chip that speaks NIR, as a trace over a whole recording.

What the format cannot say is asked of the caller and never guessed: what a step is in its unit of time. A place that two
events name, or that no neuron or step has, is an error.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.errors import VerificationError, suggest_extras
from snn_deploy.exchange.hdf5 import check_hdf5
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.checks import check_names, check_size
from snn_deploy.verification.traces.trace import UNRECORDED, Probe, Trace

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
"""What h5py and the package ``nir`` raise on damaged files."""

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
        raise VerificationError(f"{path}: reading NIRData needs the package nir: {suggest_extras('traces')}") from error
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
        check_names(f"{path}: {node}", network, [population])
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
    check_size(where, events.images, events.length, size)
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
