"""Traces: what was recorded of a run, by a backend or by a chip, whole or in part.

A :class:`Trace` names the network and the stimulus it belongs to where the recorder knew them. One that does not (a
chip's log) can be compared too; the verdict then says that nothing vouches for its origin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from snn_deploy.arrays import Array, Int32, Int64
from snn_deploy.backend.protocol import Run
from snn_deploy.backend.stream import StreamState
from snn_deploy.errors import VerificationError

Number = TypeVar("Number", bound=np.generic)

Time = Literal["window", "recording"]

UNRECORDED = int(np.iinfo(np.int64).min)
"""Stands in a whole recording for the membrane of a step that was not recorded; no membrane has this value."""


@dataclass(frozen=True, eq=False)
class Probe:
    """What was recorded of one population's n probed neurons, for B images.

    ``neurons`` (n,) int64, increasing, are their indices in the flattened (C, H, W) map; ``None`` means all of them.
    All arrays are integers: ``totals`` (B,) sum of the counts of all probed neurons, ``counts`` (B, n), ``events``
    (B, n) number of non-zero payloads, ``trains`` (B, steps, n) payloads in the population's window, ``states``
    (B, steps, n) membranes after each of its steps, ``second_states`` those of neurons that have one. Counts
    and events follow from trains, and totals from counts, where they are not given.
    """

    neurons: Int64 | None = None
    totals: Int64 | None = None
    counts: Int64 | None = None
    events: Int64 | None = None
    trains: Int32 | Int64 | None = None
    states: Int32 | Int64 | None = None
    second_states: Int32 | Int64 | None = None

    def __post_init__(self) -> None:
        axes_of = {"totals": 1, "counts": 2, "events": 2, "trains": 3, "states": 3, "second_states": 3}
        for label, axes in axes_of.items():
            array: Array | None = getattr(self, label)
            if array is not None and (
                not np.can_cast(array.dtype, np.int64) or array.dtype == bool or array.ndim != axes
            ):
                raise VerificationError(
                    f"{label} are {array.dtype} with {array.ndim} axes; integers with {axes} axes are compared"
                )
        if self.neurons is not None:
            object.__setattr__(self, "neurons", _increasing(self.neurons))
        if self.counts is None and self.trains is not None:
            object.__setattr__(self, "counts", self.trains.sum(1, dtype=np.int64))
        if self.events is None and self.trains is not None:
            object.__setattr__(self, "events", np.count_nonzero(self.trains, 1).astype(np.int64))
        if self.totals is None and self.counts is not None:
            object.__setattr__(self, "totals", self.counts.sum(1, dtype=np.int64))

    def expect(self, size: int, images: int, steps: int | None) -> None:
        """:class:`VerificationError` unless every array has the shape of ``size`` neurons, ``images`` and ``steps``.

        ``steps`` is ``None`` for a whole recording, whose trains and states need only be equally long.
        """
        _check_indices(self.neurons, size)
        probed = size if self.neurons is None else self.neurons.size
        if steps is None:
            steps = self.steps
        shapes = {
            "totals": (images,),
            "counts": (images, probed),
            "events": (images, probed),
            "trains": (images, steps, probed),
            "states": (images, steps, probed),
            "second_states": (images, steps, probed),
        }
        for label, shape in shapes.items():
            array: Array | None = getattr(self, label)
            if array is not None and array.shape != shape:
                raise VerificationError(f"{label} have shape {array.shape}, not {shape}")

    @property
    def steps(self) -> int:
        """Length of the longest array over steps; 0 where there is none."""
        timed = (self.trains, self.states, self.second_states)
        return max((array.shape[1] for array in timed if array is not None), default=0)

    def at(self, neurons: Int64) -> Probe:
        """The same for a part of the probed ``neurons`` only; :class:`VerificationError` for one that was not probed."""
        if self.neurons is None:
            arrays = (self.counts, self.events, self.trains, self.states, self.second_states)
            _check_indices(neurons, min((array.shape[-1] for array in arrays if array is not None), default=0))
            columns = neurons
        else:
            columns = np.searchsorted(self.neurons, neurons)
            if not np.array_equal(self.neurons[columns.clip(max=self.neurons.size - 1)], neurons):
                raise VerificationError("neurons were asked for that were not probed")
        return Probe(
            neurons=neurons,
            counts=None if self.counts is None else self.counts[:, columns],
            events=None if self.events is None else self.events[:, columns],
            trains=None if self.trains is None else self.trains[:, :, columns],
            states=None if self.states is None else self.states[:, :, columns],
            second_states=None if self.second_states is None else self.second_states[:, :, columns],
        )


class Deferred(Mapping[str, Probe]):
    """Probes that are made when they are looked at and not kept, so that a recording need not fit into memory."""

    def __init__(self, names: Collection[str], make: Callable[[str], Probe]) -> None:
        self._names, self._make = dict.fromkeys(names), make

    def __getitem__(self, name: str) -> Probe:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, eq=False)
class Trace:
    """Probes by population name, of ``images`` images; ``network`` and ``stimulus`` are digests, or ``None``.

    ``time`` says what steps mean: ``window`` where trains and states hold each population's own window, ``recording``
    where they hold the whole recording, from whatever moment it began.
    ``before``: what a stream carried into the frame that this is of; ``None`` for still images.
    A probe may be read from a file each time it is looked up (:class:`Deferred`): hold on to it while it is needed.
    """

    name: str
    images: int
    probes: Mapping[str, Probe]
    network: str | None = None
    stimulus: str | None = None
    time: Time = "window"
    before: StreamState | None = None

    def __post_init__(self) -> None:
        if self.images < 1:
            raise VerificationError(f"{self.name}: the trace contains no images")

    def unclaimed(self, name: str | None = None) -> Trace:
        """The same arrays without the claim that they come from a certain network; ``name`` replaces the name."""
        return replace(self, name=name or self.name, network=None)

    def changed(self, change: Callable[[str, Probe], Probe]) -> Trace:
        """The same with ``change(population, probe)`` in place of every probe, made when it is looked at."""
        return replace(self, probes=Deferred(tuple(self.probes), lambda name: change(name, self.probes[name])))

    @classmethod
    def of(cls, run: Run, name: str | None = None) -> Trace:
        """The trace of a backend's ``run``; arrays are seen flattened, not copied."""
        label = name or run.backend
        if not run.counts:
            raise VerificationError(f"{label}: the run contains no populations")
        timed = {"trains": run.trains or {}, "states": run.states or {}, "second_states": run.second_states or {}}
        parts = {"events": run.events, **timed}
        for kind, arrays in parts.items():
            surplus = sorted(set(arrays) - set(run.counts))
            if surplus:
                raise VerificationError(f"{label}: {kind} of {', '.join(surplus)} but no counts")
        probes = {}
        for population, counts in run.counts.items():
            try:
                probes[population] = Probe(
                    counts=_flat(counts, 1),
                    events=_flat(run.events.get(population), 1),
                    trains=_flat(timed["trains"].get(population), 2),
                    states=_flat(timed["states"].get(population), 2),
                    second_states=_flat(timed["second_states"].get(population), 2),
                )
            except VerificationError as error:
                raise VerificationError(f"{label}: {population}: {error}") from error
        images = {probe.counts.shape[0] for probe in probes.values() if probe.counts is not None}
        if len(images) != 1:
            raise VerificationError(f"{label}: populations hold different numbers of images: {sorted(images)}")
        return cls(label, images.pop(), probes, run.network, run.stimulus)


def _increasing(neurons: Array) -> Int64:
    """Flat indices as int64; unsigned ones would hide, in their differences, that the list decreases."""
    if neurons.ndim == 1 and neurons.dtype.kind in "iu" and np.can_cast(neurons.dtype, np.int64):
        indices = neurons.astype(np.int64, copy=False)
        if np.all(indices[1:] > indices[:-1]):
            return indices
    raise VerificationError("probed neurons must be one increasing list of flat indices, int64 or narrower")


def _check_indices(neurons: Int64 | None, size: int) -> None:
    """:class:`VerificationError` where any of ``neurons``, which increase, is not an index of ``size`` neurons."""
    if neurons is not None and neurons.size and not 0 <= neurons[0] <= neurons[-1] < size:
        raise VerificationError(f"probed neurons {neurons[0]}..{neurons[-1]}; the population has 0..{size - 1}")


def _flat(array: npt.NDArray[Number] | None, leading: int) -> npt.NDArray[Number] | None:
    """``array`` with its last three axes (C, H, W) joined, behind ``leading`` others; no copy."""
    if array is None:
        return None
    if array.ndim != leading + 3:
        raise VerificationError(f"an array has shape {array.shape}, not {leading} axes and (C, H, W)")
    return array.reshape(*array.shape[:leading], -1)
