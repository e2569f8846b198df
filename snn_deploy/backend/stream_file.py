"""The states of a stream as a file, so that a stream that has ended goes on where it was.

A line of JSON and the arrays of :class:`~snn_deploy.backend.stream.StreamState`, nothing between them::

    {"batch": 1, "format": "snn-deploy stream", "frames": 100, "network": SHA-256, "sha256": ..., "shape": [1, 64, 64],
     "version": 1}

``network`` is the SHA-256 of the network for streams, ``shape`` that of a frame, ``sha256`` that of the bytes behind the line:
int32, little endian, C order (batch, C, H, W), first the last frame, then, for each population in the network's order,
membranes, running counts and, of neurons that have them, second states. The network says how many bytes these are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Int32
from snn_deploy.backend.stream import StreamState
from snn_deploy.errors import StimulusError
from snn_deploy.files import read_limited, write
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream

FORMAT = "snn-deploy stream"
VERSION = 1
HEADER_LIMIT = 2**12
"""Longest first line in bytes; real ones have about 300."""


def save_state(state: StreamState, network: Network, path: Path) -> str:
    """Write ``state`` of ``network``, as it streams; returns the file's SHA-256."""
    state.check(network)
    data = b"".join(np.ascontiguousarray(array, "<i4").tobytes() for array in _arrays(state, network))
    header = {
        "format": FORMAT,
        "version": VERSION,
        "network": state.network,
        "shape": list(network.input.shape),
        "batch": state.batch,
        "frames": state.frames,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    encoded = json.dumps(header, sort_keys=True).encode() + b"\n" + data
    write(path, encoded, StimulusError)
    return hashlib.sha256(encoded).hexdigest()


def load_state(path: Path, network: Network, hold: int = 0) -> tuple[Network, StreamState]:
    """``network`` as it streams with ``hold``, at the size of the frames that were saved, and the states in ``path``.

    :class:`~snn_deploy.errors.StimulusError` for a file that :func:`save_state` did not write, or of another network.
    """
    line, found, data = read_limited(path, StimulusError).partition(b"\n")
    try:
        header = json.loads(line) if found and len(line) <= HEADER_LIMIT else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise StimulusError(
            f"{path}: not the state of a stream; snn-deploy run --stream ... --save-state FILE writes one"
        )
    if header.get("version") != VERSION:
        raise StimulusError(
            f"{path}: version {str(header.get('version'))[:20]}; this program reads version {VERSION}, begin the stream anew"
        )
    shape, batch, frames = header.get("shape"), header.get("batch"), header.get("frames")
    sizes = shape if isinstance(shape, list) else []
    numbers = [*sizes, batch, frames]
    if (
        len(numbers) != 5
        or any(type(number) is not int for number in numbers)
        or min(numbers[:4]) < 1
        or numbers[4] < 0
    ):
        raise StimulusError(f"{path}: its first line is incomplete or contradictory; begin the stream anew")
    if hashlib.sha256(data).hexdigest() != header.get("sha256"):
        raise StimulusError(f"{path}: altered or cut short: its SHA-256 is not the one in its first line")
    batch, frames = numbers[3:]
    sized = network if tuple(sizes[1:]) == network.input.shape[1:] else network.at_size(*sizes[1:])
    stream = prepare_stream(sized, hold)
    state = _read(str(path), data, stream, str(header.get("network")), batch, frames)
    try:
        state.check(stream)
    except StimulusError as error:
        raise StimulusError(f"{path}: {error}") from error
    return stream, state


def _arrays(state: StreamState, network: Network) -> Iterator[Int32]:
    yield state.source
    for population in network.populations[1:]:
        yield state.membranes[population.name]
        yield state.counts[population.name]
        if population.name in state.second_states:
            yield state.second_states[population.name]


def _read(where: str, data: bytes, network: Network, digest: str, batch: int, frames: int) -> StreamState:
    """The state in ``data``, every number of which must fit 24 bits, counts their range."""
    values = np.frombuffer(data[: len(data) // 4 * 4], "<i4").astype(np.int32, copy=False)
    needed = batch * sum(_numbers(network))
    if len(data) != 4 * needed:
        raise StimulusError(
            f"{where}: {len(data)} bytes of states; {batch} stream(s) of network {network.name} have {4 * needed}"
        )
    if values.size and not -STATE_MAX <= values.min() <= values.max() <= STATE_MAX:
        raise StimulusError(f"{where}: a number of {values.min()}..{values.max()} does not fit 24 bits")
    place = 0

    def take(of: tuple[int, int, int]) -> Int32:
        nonlocal place
        begin, place = place, place + batch * prod(of)
        return values[begin:place].reshape(batch, *of)

    source = take(network.input.shape)
    membranes, counts, second = {}, {}, {}
    for population in network.populations[1:]:
        name, limits = population.name, population.count_range
        membranes[name], counts[name] = take(population.shape), take(population.shape)
        if population.neuron is not None and population.neuron.has_second_state:
            second[name] = take(population.shape)
        if limits is not None and not limits[0] <= counts[name].min() <= counts[name].max() <= limits[1]:
            raise StimulusError(f"{where}: {name}: counts leave {limits[0]}..{limits[1]}, what the network allows")
    return StreamState(digest, frames, source, membranes, counts, second)


def _numbers(network: Network) -> Iterator[int]:
    """Numbers that one stream keeps, population by population."""
    yield network.input.size
    for population in network.populations[1:]:
        seconds = population.neuron is not None and population.neuron.has_second_state
        yield population.size * (3 if seconds else 2)
