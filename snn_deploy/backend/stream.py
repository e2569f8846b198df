"""What a backend of streams is, and the states that a stream carries from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from snn_deploy.arrays import Int32, Int64, freeze
from snn_deploy.backend.protocol import Backend, Record, Run
from snn_deploy.errors import BackendError, BackendUnavailableError, StimulusError
from snn_deploy.network import artifact, dynamics
from snn_deploy.network.network import Network, Population


@dataclass(frozen=True, eq=False)
class StreamState:
    """Everything that a stream carries over, the same for every backend; all arrays (B, C, H, W) int32.

    ``network`` is the digest of the network, ``frames`` how many frames it has seen, ``source`` the last of them in input
    counts. ``membranes`` and running ``counts`` of every population but the input; ``second_states`` of neurons that have one.
    """

    network: str
    frames: int
    source: Int32
    membranes: Mapping[str, Int32]
    counts: Mapping[str, Int32]
    second_states: Mapping[str, Int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", freeze(self.source, np.int32))
        for name in ("membranes", "counts", "second_states"):
            arrays = {key: freeze(values, np.int32) for key, values in getattr(self, name).items()}
            object.__setattr__(self, name, arrays)

    @classmethod
    def at_rest(cls, network: Network, batch: int = 1) -> StreamState:
        """Before the first frame of ``batch`` streams side by side."""
        firing = [population for population in network.populations if population.neuron is not None]

        def zeros(population: Population) -> Int32:
            return np.zeros((batch, *population.shape), np.int32)

        return cls(
            artifact.digest(network),
            0,
            zeros(network.input),
            {each.name: dynamics.initialize_membrane(each, batch).astype(np.int32) for each in firing},
            {each.name: zeros(each) for each in firing},
            {each.name: zeros(each) for each in firing if each.neuron is not None and each.neuron.has_second_state},
        )

    @property
    def batch(self) -> int:
        """Streams side by side."""
        return int(self.source.shape[0])

    def find_difference(self, other: StreamState) -> str | None:
        """What differs from ``other``, in words; ``None`` where both are equal."""
        if (self.network, self.frames) != (other.network, other.frames):
            return "network or number of frames"
        if not np.array_equal(self.source, other.source):
            return "last frames"
        for what in ("membranes", "counts", "second_states"):
            mine, others = getattr(self, what), getattr(other, what)
            for name in {**mine, **others}:
                if name not in mine or name not in others or not np.array_equal(mine[name], others[name]):
                    return f"{what.replace('_', ' ')} of {name}"
        return None

    def check(self, network: Network) -> None:
        """:class:`~snn_deploy.errors.StimulusError` unless it is a state of ``network``."""
        if self.network != artifact.digest(network):
            raise StimulusError(
                f"the state is of network {self.network[:12]}, not of {network.name} {artifact.digest(network)[:12]} as it "
                "streams images of this size; continue with the network and the size that it was saved from, and with the same hold"
            )
        expected = StreamState.at_rest(network, max(self.batch, 1))
        for what in ("membranes", "counts", "second_states"):
            given, known = getattr(self, what), getattr(expected, what)
            odd = sorted({*given, *known} - ({*given} & {*known}))
            odd += [name for name in known if name in given and given[name].shape != known[name].shape]
            if odd:
                raise StimulusError(f"the state's {what} do not fit network {network.name}: {', '.join(odd[:4])}")
        low, high = network.input.payload_range
        if self.source.shape != expected.source.shape or self.frames < 0:
            raise StimulusError(f"the state's last frame {self.source.shape} does not fit network {network.name}")
        if self.source.size and not low <= self.source.min() <= self.source.max() <= high:
            raise StimulusError(f"the state's last frame leaves {low}..{high}, what the input carries")
        for population in network.populations[1:] if self.frames else ():
            if self._is_restless(population):
                raise StimulusError(
                    f"the state's neurons of {population.name} have not sent all that they hold, as they have after a frame"
                )

    def _is_restless(self, population: Population) -> bool:
        """Whether any neuron would send without further input."""
        neuron, name = population.neuron, population.name
        if neuron is None:
            return False
        second = self.second_states.get(name, self.counts[name]).astype(np.int64)
        v = self.membranes[name].astype(np.int64)
        return bool(np.any(dynamics.advance(neuron, v, second, np.zeros_like(v))[2]))


@runtime_checkable
class FrameStream(Protocol):
    """A stream in progress: frames go in one after the other."""

    def push(self, frame: Int64, record: Record = Record.COUNTS) -> Run:
        """Run one frame, input counts (B, C, H, W) int64.

        The :class:`~snn_deploy.backend.protocol.Run` holds running ``counts`` after the frame's last step, those of the input
        being the frame itself; ``events``, ``trains``, ``states`` and ``saturations`` are of this frame alone.
        """
        ...

    def state(self) -> StreamState:
        """What it carries over to the next frame."""
        ...


@runtime_checkable
class StreamBackend(Protocol):
    """A backend that runs streams; every frame must equal :mod:`snn_deploy.network.dynamics` with ``==``."""

    name: str

    def open_stream(self, network: Network, state: StreamState) -> FrameStream:
        """A stream of ``network``, which :func:`~snn_deploy.network.streaming.prepare_stream` made, that goes on from ``state``."""
        ...


def open_stream(backend: Backend, network: Network, state: StreamState | None = None, batch: int = 1) -> FrameStream:
    """A stream of ``network`` on ``backend``, from ``state`` or, for ``batch`` streams side by side, from rest.

    :class:`~snn_deploy.errors.BackendUnavailableError` where the backend does not run streams.
    """
    if not isinstance(backend, StreamBackend):
        raise BackendUnavailableError(f"backend {backend.name} does not run streams; choose reference, cpu or lava")
    if not network.stream:
        raise BackendError(f"{network.name} is not prepared for streams; use network.streaming.prepare_stream")
    if state is not None:
        state.check(network)
    return backend.open_stream(network, StreamState.at_rest(network, batch) if state is None else state)


def check_frame(frame: Int64, batch: int) -> None:
    """:class:`~snn_deploy.errors.StimulusError` unless ``frame`` holds one image for each of ``batch`` streams."""
    if frame.shape[0] != batch:
        raise StimulusError(
            f"a frame of {frame.shape[0]} image(s) for {batch} stream(s) side by side; give one for each"
        )


def check_counts(population: Population, counts: Int64 | Int32) -> None:
    """:class:`~snn_deploy.errors.BackendError` where counts that nothing clips leave the range that the proof assumes."""
    limits = population.count_range
    if population.neuron is None or not population.neuron.is_stock or limits is None:
        return
    least, greatest = int(counts.min()), int(counts.max())
    if least < limits[0] or greatest > limits[1]:
        beyond = greatest if greatest > limits[1] else least
        raise BackendError(
            f"{population.name}: a count of {beyond} after this frame; the network is proved for {limits[0]}..{limits[1]}: what "
            "the shift of sigma-delta neurons drops adds up; begin the stream anew, or convert in exact mode"
        )
