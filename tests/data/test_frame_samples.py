"""Frames with what they are judged by: from data sets, from themselves before noise, or nothing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.data import images
from snn_deploy.data.frame_samples import FrameSamples
from snn_deploy.data.frames import Frames
from snn_deploy.errors import StimulusError
from snn_deploy.network.picture_scale import PictureScale


def save(path: Path, value: int, size: int = 4) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.arange(size * size, dtype=np.uint8).reshape(size, size) + np.uint8(value)).save(path)


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Frames 9, 10 and 11 with masks of their number less 9; in the order of letters 10 comes first."""
    for number in (9, 10, 11):
        save(tmp_path / "images" / f"{number}.png", number)
        Image.fromarray(np.full((4, 4), number - 9, np.uint8)).save(tmp_path.joinpath("images", f"{number}.tmp.png"))
        (tmp_path / "masks").mkdir(exist_ok=True)
        tmp_path.joinpath("images", f"{number}.tmp.png").rename(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def test_label_maps_come_in_the_order_of_frames(masked: Path) -> None:
    samples = FrameSamples(Frames(masked, 1, first=1), "segment")
    assert samples.number == 2
    found = list(samples)
    assert [sample.name for sample in found] == ["10.png", "11.png"]
    assert [np.unique(sample.reference).tolist() for sample in found] == [[1], [2]]  # type: ignore[arg-type]
    assert found[0].seen[0, 0, 0, 0] == np.float32(10 / 255)
    with pytest.raises(StimulusError, match=r"no frames from number 3 on; frames count from 0$"):
        list(FrameSamples(Frames(masked, 1, first=3), "segment"))


def test_noise_and_crop_are_those_of_frames(masked: Path) -> None:
    scale = PictureScale(0, 255)
    frames = Frames(masked, 1, (2, 3), 5.0, 7, scale)
    first, second, _ = FrameSamples(frames, "segment")
    assert first.reference is not None
    assert first.reference.shape == (2, 3)
    clean = np.float32(9) + np.array([[4, 5, 6], [8, 9, 10]], np.float32)
    assert np.allclose(first.seen, images.add_noise(clean[None, None], 5.0, 7, scale), atol=1e-4)
    assert np.allclose(second.seen, images.add_noise(clean[None, None] + 1, 5.0, 8, scale), atol=1e-4)
    plain = list(FrameSamples(Frames(masked / "images", 1, (2, 3), 5.0, 7, scale), "denoise"))
    assert [sample.name for sample in plain] == ["9.png", "10.png", "11.png"]
    assert np.array_equal(plain[0].seen, first.seen)
    assert np.allclose(plain[0].reference, clean / 255)  # type: ignore[arg-type]
    (alone,) = FrameSamples(Frames(masked / "images", 1, (2, 3), 5.0, 7, scale, first=1, last=2), "denoise")
    assert np.array_equal(alone.seen, plain[1].seen)


def test_frames_without_references_have_none(masked: Path) -> None:
    samples = FrameSamples(Frames(masked / "images", 1), "denoise")
    assert samples.number == 3
    assert [sample.reference for sample in samples] == [None, None, None]
    unscored = list(FrameSamples(Frames(masked / "images", 1, noise=3.0), None))
    assert [sample.reference for sample in unscored] == [None] * 3
    assert [sample.reference for sample in FrameSamples(Frames(masked / "images", 1, noise=3.0), "segment")] == [
        None
    ] * 3


def test_pairs_and_tables(tmp_path: Path) -> None:
    for number in (2, 10):
        save(tmp_path / "noisy" / f"{number}.png", number)
        save(tmp_path / "clean" / f"{number}.png", 0)
    found = list(FrameSamples(Frames(tmp_path, 1), "denoise"))
    assert [sample.name for sample in found] == ["2.png", "10.png"]
    assert np.allclose(found[1].reference, np.arange(16).reshape(1, 1, 4, 4) / 255)  # type: ignore[arg-type]
    assert np.allclose(found[1].seen * 255, np.arange(16).reshape(1, 1, 4, 4) + 10)
    with pytest.raises(StimulusError, match=r"2.png: has a clean image of its own; leave the noise out$"):
        list(FrameSamples(Frames(tmp_path, 1, noise=1.0), "denoise"))
    table = tmp_path / "frames.csv"
    table.write_text("noisy,clean\nnoisy/10.png,clean/10.png\nnoisy/2.png,clean/2.png\n", encoding="utf-8")
    assert [sample.name for sample in FrameSamples(Frames(table, 1), "denoise")] == ["10.png", "2.png"]
