"""Frames of a stream: their order, their sources, and what is no stream."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.data.frames import Frames
from snn_deploy.errors import StimulusError


def gray(value: int, size: int = 4) -> Image.Image:
    return Image.fromarray(np.full((size, size), value, np.uint8))


def values(frames: Frames) -> list[int]:
    return [round(255 * float(image.mean())) for _, image in frames]


def test_pictures_come_in_natural_order(tmp_path: Path) -> None:
    for value, name in enumerate(("a1.png", "a2.png", "a10.png", "b1.png", "b01.bmp")):
        gray(value).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    frames = Frames(tmp_path, 1)
    assert [Path(name).name for name, _ in frames] == ["a1.png", "a2.png", "a10.png", "b01.bmp", "b1.png"]
    assert frames.number == 5
    some = Frames(tmp_path, 1, first=1, last=3)
    assert (values(some), some.number) == ([1, 2], 2)


def test_pages_and_arrays_are_frames(tmp_path: Path) -> None:
    gray(1).save(tmp_path / "stack.tif", save_all=True, append_images=[gray(2), gray(3)])
    assert values(Frames(tmp_path / "stack.tif", 1)) == [1, 2, 3]
    np.save(
        tmp_path / "stack.npy", np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) * np.ones((1, 2, 4, 4), np.float32)
    )
    frames = list(Frames(tmp_path / "stack.npy", 2))
    assert [float(image.mean()) for _, image in frames] == [0, 1, 2]
    assert frames[0][1].shape == (1, 2, 4, 4)
    assert frames[2][0] == f"{tmp_path / 'stack.npy'}[2]"


def test_crop_and_fresh_noise_in_every_frame(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        gray(100).save(tmp_path / name)
    (_, first), (_, second) = Frames(tmp_path, 1, crop=(2, 3), noise=5.0, seed=7)
    assert first.shape == (1, 1, 2, 3)
    assert not np.array_equal(first, second)
    (_, alone) = next(iter(Frames(tmp_path, 1, crop=(2, 3), noise=5.0, seed=7, first=1)))
    assert np.array_equal(alone, second)


def write_video(path: Path, number: int = 4) -> None:
    av = pytest.importorskip("av", reason="videos need the extra video")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for value in range(number):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 40 * value, np.uint8), format="rgb24")
            for packet in (*stream.encode(frame), *(stream.encode() if value == number - 1 else ())):
                container.mux(packet)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_video_is_decoded_frame_by_frame(tmp_path: Path, channels: int) -> None:
    write_video(tmp_path / "v.mp4")
    frames = list(Frames(tmp_path / "v.mp4", channels))
    assert [image.shape for _, image in frames] == [(1, channels, 16, 32)] * 4
    assert [abs(255 * float(image.mean()) - 40 * index) < 3 for index, (_, image) in enumerate(frames)] == [True] * 4
    assert len(list(Frames(tmp_path / "v.mp4", channels, first=1, last=3))) == 2


def test_what_is_no_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video" * 50)
    for path, message in (
        (tmp_path / "none", r"no such file or folder$"),
        (tmp_path, r"no images; supported are"),
        (bad, r"not a video that can be decoded: Invalid data found when processing input$"),
    ):
        if path == bad:
            pytest.importorskip("av", reason="videos need the extra video")
        with pytest.raises(StimulusError, match=message):
            list(Frames(path, 1))
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(StimulusError, match=r"a\.png: no stream; name a folder of pictures, .*\)$"):
        list(Frames(tmp_path / "a.png", 1))
    gray(1).save(tmp_path / "a.png")
    with pytest.raises(StimulusError, match="no frames from number 1 on; frames count from 0$"):
        list(Frames(tmp_path, 1, first=1))
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(StimulusError, match=r'videos need PyAV; pip install "snn-deploy\[video\]", or give'):
        list(Frames(bad, 1))
