"""Arrays of any layout, and of integers, as images; TIFF files of many channels."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from snn_deploy.data import array_file, images
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.errors import StimulusError
from snn_deploy.network.picture_scale import PictureScale

BYTES = PictureScale(0, 255)


def ramp(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("given", "channels", "axes"),
    [
        ((2, 3, 4, 5), 3, (0, 1, 2, 3)),
        ((2, 4, 5, 3), 3, (0, 3, 1, 2)),
        ((3, 4, 5), 3, (0, 1, 2)),
        ((4, 5, 2), 2, (2, 0, 1)),
        ((1, 4, 5), 1, (0, 1, 2)),
        ((6, 4, 5), 1, (0, 1, 2)),
        ((4, 5), 1, (0, 1)),
        ((4, 5, 1), 1, (2, 0, 1)),
    ],
)
def test_layouts(given: tuple[int, ...], channels: int, axes: tuple[int, ...]) -> None:
    values = ramp(*given)
    made = array_file.arrange(values, channels, images.PLAIN, "a")
    assert made.shape[1] == channels
    assert made.ndim == 4
    assert np.array_equal(made.ravel(), values.transpose(axes).ravel())


@pytest.mark.parametrize("shape", [(5,), (4, 5), (1, 3, 4, 5), (2, 2, 3, 4, 5), (4, 5, 3), (0, 2, 4, 5)])
def test_layouts_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(StimulusError, match=r"^a: (shape|float32) \(.*expects|needed"):
        array_file.arrange(np.zeros(shape, np.float32), 2, images.PLAIN, "a")


def test_integers_are_pictures_and_floats_are_not() -> None:
    values = np.array([[0, 51, 255]], np.uint8)
    assert array_file.arrange(values, 1, images.PLAIN, "a").ravel().tolist() == pytest.approx([0, 0.2, 1])
    assert array_file.arrange(values, 1, BYTES, "a").ravel().tolist() == pytest.approx([0, 51, 255])
    assert array_file.arrange(values.astype(np.float32), 1, BYTES, "a").ravel().tolist() == [0, 51, 255]
    deep = np.array([[0, 65535]], np.uint16)
    assert array_file.arrange(deep, 1, PictureScale(-1, 1), "a").ravel().tolist() == [-1, 1]
    for kind in (np.int8, np.int64, np.uint32):
        with pytest.raises(StimulusError, match="whose white is unknown; save them as uint8, uint16, or as floats"):
            array_file.arrange(values.astype(kind), 1, BYTES, "a")
    with pytest.raises(StimulusError, match="^a: complex64"):
        array_file.arrange(values.astype(np.complex64), 1, BYTES, "a")


def test_every_array_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, one=ramp(2, 2, 20, 30), two=ramp(2, 25, 16))
    assert [each.shape for each in images.read_each(path, 2)] == [(2, 2, 20, 30), (1, 2, 25, 16)]
    with pytest.raises(StimulusError, match="2 pages of sizes 20x30, 25x16"):
        images.read_images(path, 2)
    cut = load_calibration_images(path, 2, patch=(24, 24))
    assert {each.shape for each in cut} == {(1, 2, 24, 24)}
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(StimulusError, match=r"a\.npz: not a readable \.npz array"):
        images.read_each(path, 2)


def test_an_archive_that_claims_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "MAX_BYTES", 100)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", bytes(60))
        archive.writestr("b.npy", bytes(60))
    with pytest.raises(StimulusError, match="has arrays of 120 bytes; at most 100 are read"):
        images.read_each(path, 1)


@pytest.mark.parametrize("channels", [2, 4, 5])
@pytest.mark.parametrize("first", [True, False])
def test_tiffs_of_many_channels(channels: int, first: bool, tmp_path: Path) -> None:
    import tifffile

    values = np.random.default_rng(0).integers(0, 65536, (channels, 12, 14)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values if first else np.moveaxis(values, 0, 2), photometric="minisblack")
    made = images.read_image(path, channels)
    assert np.array_equal(np.rint(made[0] * 65535), values)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StimulusError, match=r"a\.tif: damaged"):
        images.read_image(path, channels)


def test_an_opacity_is_a_channel_where_as_many_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (6, 7, 4)).astype(np.uint8)
    Image.fromarray(values, "RGBA").save(tmp_path / "a.png")
    assert np.array_equal(np.rint(images.read_image(tmp_path / "a.png", 4)[0] * 255), np.moveaxis(values, 2, 0))
    assert images.read_image(tmp_path / "a.png", 3).shape == (1, 3, 6, 7)
    with pytest.raises(StimulusError, match=r"a\.png: 3 channels; the network expects 2; give a \.npy array"):
        images.read_image(tmp_path / "a.png", 2)


def test_calibration_takes_files_folders_and_arrays_together(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    Image.fromarray(np.full((20, 20), 51, np.uint8)).save(tmp_path / "folder" / "a.png")
    np.save(tmp_path / "folder" / "b.npy", np.full((2, 20, 20), 7, np.float32))
    np.save(tmp_path / "c.npy", np.full((20, 20), 255, np.uint8))
    given: list[Any] = [tmp_path / "folder", tmp_path / "c.npy", np.full((1, 1, 20, 20), 3, np.float32)]
    cut = load_calibration_images(given, 1, patch=(16, 16), scale=BYTES)
    assert [float(each.mean()) for each in cut[:6]] == pytest.approx([51, 7, 7, 255, 3, 51])


@pytest.mark.parametrize(
    ("patch", "size", "count"), [(None, (16, 32), 32), ((60, 10), (60, 10), 32), ((256, 256), (256, 256), 8)]
)
def test_patches_have_the_size_that_is_asked_for(
    patch: tuple[int, int] | None, size: tuple[int, int], count: int
) -> None:
    """Smaller images are mirrored at their ends; where no size is asked for, patches are smaller."""
    image = np.random.default_rng(0).random((1, 1, 20, 40), np.float32)
    cut = load_calibration_images([image], 1, patch=patch)
    assert (len(cut), cut[0].shape) == (count, (1, 1, *size))
    if patch == (60, 10):
        assert np.array_equal(cut[0][:, :, 20:40], cut[0][:, :, 19::-1])


def test_noise_is_a_share_of_the_way_from_black_to_white() -> None:
    image = np.zeros((1, 1, 32, 32), np.float32)
    plain = images.add_noise(image, 25, 3)
    assert images.add_noise(image, 25, 3, PictureScale(0, 255, (0.0,), (2.0,))) == pytest.approx(
        plain * 127.5, rel=1e-6
    )


def test_photographs_are_gray_or_color() -> None:
    with pytest.raises(StimulusError, match=r"^the network reads 2 channels, .*\(images, 2, height, width\)"):
        load_calibration_images(None, 2)


def test_images_of_every_step(tmp_path: Path) -> None:
    """Five axes: windows of values, or of pixels, whose channels may stand last; other numbers of axes are none."""
    values = np.random.default_rng(0).random((2, 3, 1, 4, 5), np.float32)
    np.save(tmp_path / "w.npy", values)
    np.save(tmp_path / "bytes.npy", np.full((1, 2, 4, 5, 3), 255, np.uint8))
    np.save(tmp_path / "image.npy", values[0])
    assert array_file.holds_windows(tmp_path / "w.npy")
    assert not array_file.holds_windows(tmp_path / "image.npy")
    assert not array_file.holds_windows(tmp_path / "absent.npy")
    scale = PictureScale()
    assert np.array_equal(array_file.read_windows(tmp_path / "w.npy", 1, scale), values)
    pixels = array_file.read_windows(tmp_path / "bytes.npy", 3, scale)
    assert pixels.shape == (1, 2, 3, 4, 5)
    assert np.all(pixels == 1)
    with pytest.raises(StimulusError, match=r"shape \(3, 1, 4, 5\); \(batch, step, 1, height, width\) is needed$"):
        array_file.read_windows(tmp_path / "image.npy", 1, scale)
