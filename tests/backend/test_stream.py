"""Streams on backends: what is refused, what is carried over, and its file."""

import gc
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import StreamState, open_stream
from snn_deploy.backend.stream_file import load_state, save_state
from snn_deploy.errors import BackendError, BackendUnavailableError, StimulusError
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing import random_stimulus, random_unet

STILL = random_unet("exact", 1, size=8, width=2)
NETWORK = prepare_stream(STILL)
FRAMES = [random_stimulus(NETWORK, seed, 1) for seed in range(4)]


def state_after(frames: list[Int64], backend: str = "cpu", network: Network = NETWORK) -> StreamState:
    stream = open_stream(load_backend(backend), network)
    for frame in frames:
        stream.push(frame)
    return stream.state()


def test_both_backends_carry_the_same_states() -> None:
    mine, theirs = state_after(FRAMES), state_after(FRAMES, "reference")
    assert mine.find_difference(theirs) is None
    assert mine.frames == 4
    assert np.array_equal(mine.source, FRAMES[-1])
    assert mine.find_difference(state_after(FRAMES[:3])) == "network or number of frames"
    assert mine.find_difference(state_after(FRAMES[:3] + FRAMES[:1])) == "last frames"
    other = replace(mine, membranes={**mine.membranes, "dec": mine.membranes["dec"] + 1})
    assert mine.find_difference(other) == "membranes of dec"


@pytest.mark.parametrize(("first", "then"), [("cpu", "reference"), ("reference", "cpu"), ("cpu", "cpu")])
def test_a_stream_that_was_saved_goes_on_with_equal_counts(first: str, then: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_state(state_after(FRAMES[:2], first), NETWORK, path)
    network, state = load_state(path, STILL)
    resumed, whole = open_stream(load_backend(then), network, state), open_stream(load_backend("reference"), NETWORK)
    for frame in FRAMES[:2]:
        whole.push(frame)
    for frame in FRAMES[2:]:
        expected, found = whole.push(frame, Record.STATES), resumed.push(frame, Record.STATES)
        for quantity in ("counts", "events", "trains", "states"):
            for name, values in getattr(expected, quantity).items():
                assert np.array_equal(getattr(found, quantity)[name], values), (quantity, name)
    assert whole.state().find_difference(resumed.state()) is None


def test_counts_of_a_frame_stay_when_the_next_one_runs() -> None:
    stream = open_stream(load_backend("cpu"), NETWORK)
    first = stream.push(FRAMES[0])
    before = {name: values.copy() for name, values in first.counts.items()}
    stream.push(FRAMES[1])
    assert all(np.array_equal(first.counts[name], values) for name, values in before.items())


def test_a_run_of_a_single_image_on_a_stream_network_is_its_first_frame() -> None:
    for name in ("reference", "cpu"):
        backend = load_backend(name)
        run, pushed = backend.run(NETWORK, FRAMES[0]), open_stream(backend, NETWORK).push(FRAMES[0])
        assert all(np.array_equal(run.counts[each], pushed.counts[each]) for each in run.counts)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_memory_does_not_grow_with_the_number_of_frames(backend: str) -> None:
    stream = open_stream(load_backend(backend), NETWORK)
    for frame in FRAMES * 2:
        stream.push(frame)
    tracemalloc.start()
    begun = tracemalloc.get_traced_memory()[0]
    for frame in FRAMES * 6:
        stream.push(frame)
    gc.collect()  # numpy.pad leaves cycles
    grown = tracemalloc.get_traced_memory()[0] - begun
    tracemalloc.stop()
    one_frame = sum(population.size for population in NETWORK.populations) * 8
    assert grown < 8 * one_frame  # what the last frame itself takes, and not 24 times that


def test_what_does_not_fit_is_refused() -> None:
    cpu = load_backend("cpu")
    with pytest.raises(
        BackendUnavailableError, match="^backend onnx does not run streams; choose reference, cpu or lava$"
    ):
        open_stream(load_backend("onnx"), NETWORK)
    with pytest.raises(BackendError, match=r"is not prepared for streams; use network\.streaming\.prepare_stream$"):
        open_stream(cpu, STILL)
    for backend in (cpu, load_backend("reference")):
        stream = open_stream(backend, NETWORK)
        with pytest.raises(
            StimulusError, match=r"^a frame of 2 image\(s\) for 1 stream\(s\) side by side; give one for each$"
        ):
            stream.push(random_stimulus(NETWORK, 0, 2))
        with pytest.raises(StimulusError, match=r"reads int64 \(batch, 1, 8, 8\)$"):
            stream.push(random_stimulus(random_unet(size=16, width=2), 0, 1))
        assert stream.state().frames == 0


def test_states_of_another_network_are_refused() -> None:
    state = state_after(FRAMES[:1])
    other = prepare_stream(random_unet("exact", 2, size=8, width=2))
    with pytest.raises(
        StimulusError, match=r"^the state is of network .*; continue with the network and the size .* same hold$"
    ):
        open_stream(load_backend("cpu"), other, state)
    few = replace(state, counts={name: values for name, values in state.counts.items() if name != "dec"})
    with pytest.raises(StimulusError, match="^the state's counts do not fit network random-exact-1: dec$"):
        open_stream(load_backend("cpu"), NETWORK, few)


def test_states_that_are_not_at_rest_are_refused() -> None:
    """The cpu leaves out neurons that no event reaches, and may, because they have nothing left to send."""
    state = state_after(FRAMES[:1])
    restless = replace(state, membranes={**state.membranes, "dec": state.membranes["dec"] + 2**20})
    with pytest.raises(
        StimulusError, match="^the state's neurons of dec have not sent all that they hold, as they have after"
    ):
        open_stream(load_backend("cpu"), NETWORK, restless)


def changed(path: Path, out: Path, **fields: object) -> Path:
    line, _, data = path.read_bytes().partition(b"\n")
    out.write_bytes(json.dumps({**json.loads(line), **fields}).encode() + b"\n" + data)
    return out


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, "not the state of a stream"),
        ({"version": 2}, "version 2; this program reads version 1, begin the stream anew$"),
        ({"shape": [1, 8]}, "its first line is incomplete or contradictory; begin the stream anew$"),
        ({"frames": True}, "its first line is incomplete or contradictory; begin the stream anew$"),
        ({"batch": 10**9}, r"bytes of states; 1000000000 stream\(s\) of network random-exact-1 have \d+$"),
        ({"sha256": "0"}, "its SHA-256 is not the one in its first line$"),
        ({"network": "0" * 64}, "the state is of network 000000000000, not of"),
        ({"shape": [1, 16, 16]}, r"bytes of states; 1 stream\(s\) of network random-exact-1 have \d+$"),
    ],
)
def test_damaged_files_are_refused(fields: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_state(state_after(FRAMES[:1]), NETWORK, path)
    still = random_unet("exact", 1, size=8, width=2) if "shape" not in fields else sizeable()
    with pytest.raises(StimulusError, match=message):
        load_state(changed(path, tmp_path / "other", **fields), still)


def sizeable() -> Network:
    """The same name without the pixel map, which has one size only."""
    edges = tuple(edge for edge in STILL.connections if edge.source != "down")
    kept = tuple(population for population in STILL.populations if population.name != "down")
    return replace(STILL, connections=tuple(e for e in edges if e.target != "down"), populations=kept)


def test_numbers_beyond_their_range_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, path = state_after(FRAMES[:1]), tmp_path / "state"
    beyond = np.full_like(state.counts["dec"], 64)
    forged = (
        (
            replace(state, counts={**state.counts, "dec": beyond}),
            r"dec: counts leave 0\.\.63, what the network allows$",
        ),
        (replace(state, membranes={**state.membranes, "dec": beyond - 2**24}), "does not fit 24 bits$"),
        (
            replace(state, source=state.source + 1000),
            r"the state's last frame leaves -255\.\.255, what the input carries$",
        ),
    )
    for wrong, message in forged:
        with monkeypatch.context() as patched:
            patched.setattr(StreamState, "check", lambda *_: None)
            save_state(wrong, NETWORK, path)
        with pytest.raises(StimulusError, match=message):
            load_state(path, STILL)
        with pytest.raises(StimulusError):  # any of them: it is not written
            save_state(wrong, NETWORK, tmp_path / "other")
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(StimulusError, match="not the state of a stream"):
        load_state(path, STILL)
