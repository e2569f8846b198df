"""Events of an event camera become frames by the rule that the module states."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snn_deploy.data import event_file
from snn_deploy.data.event_file import holds_events, read_events, read_windows
from snn_deploy.data.frames import Frames
from snn_deploy.errors import StimulusError

EVENTS: dict[str, Any] = {"x": [0, 3, 3, 1], "y": [0, 1, 1, 2], "t": [100, 109, 110, 131], "p": [1, 0, 1, 1]}


def write(path: Path, **changes: Any) -> Path:
    np.savez(path, **{name: np.asarray(values) for name, values in (EVENTS | changes).items()})
    return path


@pytest.mark.parametrize("negative", [0, -1])
def test_frames_count_what_falls_into_their_time(tmp_path: Path, negative: int) -> None:
    path = write(tmp_path / "e.npz", p=[1, negative, 1, 1])
    frames = [frame.astype(int) for frame in read_events(path, 2, (3, 4), 10)]
    assert [frame.shape for frame in frames] == [(1, 2, 3, 4)] * 4  # 100..110, ..120, ..130 (none), ..140
    found = [[tuple(map(int, place)) for place in np.argwhere(frame[0])] for frame in frames]
    assert found == [[(0, 1, 3), (1, 0, 0)], [(1, 1, 3)], [], [(1, 2, 1)]]
    signed = [frame.astype(int)[0, 0] for frame in read_events(path, 1, (3, 4), 20)]
    assert (signed[0][0, 0], signed[0][1, 3], signed[1][2, 1]) == (1, 0, 1)  # one of each polarity at (1, 3)


def test_order_and_fractions_of_time_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "e.npz", t=np.array([0.031, 0.009, 0.01, 0.0]))
    assert [int(frame.sum()) for frame in read_events(path, 2, (3, 4), 0.01)] == [2, 1, 0, 1]


def test_a_file_of_events_is_a_stream(tmp_path: Path) -> None:
    path = write(tmp_path / "e.npz")
    assert holds_events(path)
    frames = Frames(path, 2, bin=10, size=(3, 4), first=1)
    assert [int(image.sum()) for _, image in frames] == [1, 0, 1]
    with pytest.raises(StimulusError, match="holds events; say how much time a frame has, by --bin in the unit of t$"):
        list(Frames(path, 2))
    np.savez(tmp_path / "images.npz", a=np.zeros((2, 2, 3, 4), np.float32))
    assert not holds_events(tmp_path / "images.npz")
    assert len(list(Frames(tmp_path / "images.npz", 2))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x": [0, 3, 3, 4]},
            r"events at columns 0\.\.4 and rows 0\.\.2; the network reads 3x4, convert it for the sensor's size$",
        ),
        ({"y": [0, -1, 1, 2]}, "convert it for the sensor's size$"),
        ({"p": [1, 2, 1, 1]}, "polarities p other than 1 and 0, or 1 and -1$"),
        ({"t": [1.0, np.nan, 2.0, 3.0]}, "or that are not numbers$"),
        ({"t": [-(2.0**53) - 2, 1.0, 2.0, 3.0]}, r"times beyond \+-2\*\*53, or that are not numbers$"),
        ({"t": [1, 2, 3]}, "each needs one number for each event$"),
        ({"x": [0.5, 1.0, 2.0, 3.0]}, "x and y must be integers, t and p numbers$"),
        ({"t": [0, 1, 2, 2**40]}, "bins of 10 make 109,951,162,778 frames; at most 1,048,576 are read$"),
    ],
)
def test_what_is_no_event(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StimulusError, match=message):
        list(read_events(write(tmp_path / "e.npz", **changes), 2, (3, 4), 10))


@pytest.mark.parametrize(("steps", "windows"), [(1, 4), (2, 2), (3, 2), (4, 1), (9, 1)])
def test_frames_in_a_row_are_windows(tmp_path: Path, steps: int, windows: int) -> None:
    path = write(tmp_path / "e.npz")
    frames = np.concatenate(list(read_events(path, 2, (3, 4), 10)))
    assert len(frames) == 4
    found = read_windows(path, 2, (3, 4), 10, steps)
    assert found.shape == (windows, steps, 2, 3, 4)
    assert found.dtype == np.float32
    flat = found.reshape(-1, 2, 3, 4)
    assert np.array_equal(flat[:4], frames)
    assert not np.any(flat[4:])


def test_windows_are_held_at_once_and_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "MAX_VALUES", 2 * 2 * 24)
    assert len(read_windows(write(tmp_path / "e.npz"), 2, (3, 4), 10, 2)) == 2
    monkeypatch.setattr(event_file, "MAX_VALUES", 2 * 2 * 24 - 1)
    with pytest.raises(StimulusError, match="bins of 10 make more than 1 windows of 2 steps, .*; take longer bins"):
        read_windows(tmp_path / "e.npz", 2, (3, 4), 10, 2)


def test_records_are_events(tmp_path: Path) -> None:
    kind = [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")]
    records = np.array([(100, 0, 0, 1), (109, 3, 1, 0), (110, 3, 1, 1), (131, 1, 2, 1)], kind)
    np.save(tmp_path / "e.npy", records)
    expected = list(read_events(write(tmp_path / "e.npz"), 2, (3, 4), 10))
    assert holds_events(tmp_path / "e.npy")
    frames = [image for _, image in Frames(tmp_path / "e.npy", 2, bin=10, size=(3, 4))]
    assert np.array_equal(frames, expected)
    np.save(tmp_path / "part.npy", records[["t", "x", "y"]])
    with pytest.raises(StimulusError, match="no array p; a file of events has x, y, t, p$"):
        list(Frames(tmp_path / "part.npy", 2, bin=10, size=(3, 4)))
    np.save(tmp_path / "images.npy", np.zeros((2, 2, 3, 4), np.float32))
    assert not holds_events(tmp_path / "images.npy")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    assert not holds_events(tmp_path / "broken.npy")


class Decoder:
    """What aedat gives of a file: packets of several kinds, events among them."""

    def __init__(self, path: Path) -> None:
        if path.read_bytes() != b"recording":
            raise RuntimeError("the file does\nnot have the expected magic number")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        kind = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])
        yield {"stream_id": 0, "events": np.array([(100, 0, 0, True), (109, 3, 1, False)], kind)}
        yield {"stream_id": 1, "imus": np.zeros(3)}
        yield {"stream_id": 0, "events": np.array([(110, 3, 1, True), (131, 1, 2, True)], kind)}


def test_a_recording_of_aedat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "e.aedat4"
    path.write_bytes(b"recording")
    monkeypatch.setitem(sys.modules, "aedat", None)  # not installed
    with pytest.raises(
        StimulusError, match=r"AEDAT 4 files need aedat; .*events.*, or give an .npz with arrays x, y, t and p$"
    ):
        list(Frames(path, 2, bin=10, size=(3, 4)))
    monkeypatch.setitem(sys.modules, "aedat", SimpleNamespace(Decoder=Decoder))
    expected = list(read_events(write(tmp_path / "e.npz"), 2, (3, 4), 10))
    assert np.array_equal([image for _, image in Frames(path, 2, bin=10, size=(3, 4))], expected)
    path.write_bytes(b"else")
    with pytest.raises(
        StimulusError, match="not a readable AEDAT 4 file: the file does not have the expected magic number$"
    ):
        list(Frames(path, 2, bin=10, size=(3, 4)))
    monkeypatch.setattr(Decoder, "__iter__", lambda _: iter([{"stream_id": 1, "imus": np.zeros(3)}]))
    path.write_bytes(b"recording")
    with pytest.raises(StimulusError, match="e.aedat4: contains no events$"):
        list(Frames(path, 2, bin=10, size=(3, 4)))


def test_channels_and_bins(tmp_path: Path) -> None:
    path = write(tmp_path / "e.npz")
    with pytest.raises(StimulusError, match="events have one channel or two polarities; the network reads 3 channels$"):
        list(read_events(path, 3, (3, 4), 10))
    with pytest.raises(StimulusError, match="bins of 0; a positive duration in the file's unit of time is needed$"):
        list(read_events(path, 2, (3, 4), 0))
    np.savez(tmp_path / "part.npz", x=[1], y=[1], t=[1])
    with pytest.raises(StimulusError, match="no array p; a file of events has x, y, t, p$"):
        list(read_events(tmp_path / "part.npz", 2, (3, 4), 1))
