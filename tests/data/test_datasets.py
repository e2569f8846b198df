"""Each published layout, on small files the test makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from skimage import io

from snn_deploy.arrays import Array
from snn_deploy.data.datasets import list_clean_images, list_labelled_images
from snn_deploy.data.frames import Frames
from snn_deploy.data.images import list_image_paths
from snn_deploy.data.metrics import VOID
from snn_deploy.errors import StimulusError

GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def write(path: Path, values: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.imsave(path, values, check_contrast=False)


def assert_labels(labels: Array | None, expected: npt.ArrayLike) -> None:
    assert labels is not None
    np.testing.assert_array_equal(labels, expected)


def test_a_folder_of_clean_images(tmp_path: Path) -> None:
    write(tmp_path / "02.png", GRAY)
    write(tmp_path / "01.png", GRAY + 1)
    entries = list_clean_images(tmp_path)
    assert [entry.name for entry in entries] == ["01.png", "02.png"]
    sample = entries[1].read(1)
    assert sample.labels is None
    np.testing.assert_allclose(sample.image[0, 0] * 255, GRAY, atol=1e-4)


def test_isbi_folders_count_in_numbers(tmp_path: Path) -> None:
    labels = np.where(GRAY % 3 == 0, 0, 255).astype(np.uint8)
    for index in (0, 2, 10):
        write(tmp_path / f"image/{index}.png", GRAY)
        write(tmp_path / f"label/{index}.png", labels)
    entries = list_labelled_images(tmp_path)
    assert [entry.name for entry in entries] == ["0.png", "2.png", "10.png"]
    assert_labels(entries[0].read(1).labels, GRAY % 3 == 0)


def test_isbi_stacks(tmp_path: Path) -> None:
    volume = np.stack([GRAY, GRAY + 100])
    write(tmp_path / "train-volume.tif", volume)
    write(tmp_path / "train-labels.tif", np.where(volume > 50, 255, 0).astype(np.uint8))
    second = list_labelled_images(tmp_path)[1].read(1)
    np.testing.assert_allclose(second.image[0, 0] * 255, GRAY + 100, atol=1e-4)
    assert_labels(second.labels, volume[1] <= 50)


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_drive_leaves_out_what_the_mask_hides(tmp_path: Path, suffix: str) -> None:
    """Its labels are distributed as GIF."""
    vessel = np.where(GRAY % 2 == 0, 255, 0).astype(np.uint8)
    mask = np.where(GRAY < 32, 255, 0).astype(np.uint8)
    folder = tmp_path / "training"
    write(folder / "images/21_training.tif", np.stack([GRAY] * 3, axis=2))
    write(folder / f"1st_manual/21_manual1.{suffix}", vessel)
    write(folder / f"mask/21_training_mask.{suffix}", mask)
    sample = list_labelled_images(folder)[0].read(1)
    with pytest.raises(StimulusError, match=r": holds the data sets training; name one of them$"):
        list_labelled_images(tmp_path)
    assert sample.image.shape == (1, 1, 8, 8)
    assert_labels(sample.labels, np.where(GRAY < 32, GRAY % 2 == 0, VOID))


def test_label_maps_are_neither_frames_nor_images(tmp_path: Path) -> None:
    """In a folder of CamSeq01; elsewhere ``_L`` is part of a name."""
    for name in ("a.png", "a_L.png", "b.png", "b_L.png", "hall_L.png", "c_L.tif", "c.png"):
        write(tmp_path / name, GRAY)
    assert len(list_image_paths(tmp_path)) == 7
    (tmp_path / "label_colors.txt").write_text("0 0 0 Void\n")
    assert [path.name for path in list_image_paths(tmp_path)] == ["a.png", "b.png", "c.png", "c_L.tif", "hall_L.png"]
    frames = Frames(tmp_path, 1)
    assert (frames.number, len(list(frames))) == (5, 5)


def test_camseq_reads_its_colors(tmp_path: Path) -> None:
    (tmp_path / "label_colors.txt").write_text("64 128 64\tAnimal\n0 0 0\tVoid\n128 0 0\tBuilding\n")
    colors = np.array([[64, 128, 64], [0, 0, 0], [128, 0, 0]], np.uint8)
    write(tmp_path / "a.png", np.stack([GRAY] * 3, axis=2))
    write(tmp_path / "a_L.png", colors[GRAY % 3])
    (entry,) = list_labelled_images(tmp_path)
    assert_labels(entry.read(3).labels, np.array([0, VOID, 1])[GRAY % 3])
    write(tmp_path / "a_L.png", np.full((8, 8, 3), 7, np.uint8))
    with pytest.raises(StimulusError, match=r"a_L.png: contains a color that .*label_colors.txt does not list"):
        entry.read(3)


def test_segnet_frames(tmp_path: Path) -> None:
    write(tmp_path / "val/f.png", np.stack([GRAY] * 3, axis=2))
    write(tmp_path / "valannot/f.png", GRAY % 12)
    (entry,) = list_labelled_images(tmp_path)
    assert_labels(entry.read(3).labels, np.where(GRAY % 12 == 11, VOID, (GRAY % 12).astype(np.int64)))


def test_unknown_layouts_and_damaged_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StimulusError, match=r"unknown layout of labelled images"):
        list_labelled_images(tmp_path)
    with pytest.raises(StimulusError, match=r"nowhere: no such folder"):
        list_labelled_images(tmp_path / "nowhere")
    write(tmp_path / "image/0.png", GRAY)
    write(tmp_path / "label/1.png", GRAY)
    with pytest.raises(StimulusError, match=r"0.png: 0 files match .*label/0.png; exactly one is needed"):
        list_labelled_images(tmp_path)[0].read(1)
    write(tmp_path / "label/0.png", GRAY[:4])
    with pytest.raises(StimulusError, match=r"0.png: \(8, 8\) pixels, but its label map has \(4, 8\)$"):
        list_labelled_images(tmp_path)[0].read(1)


def test_the_shared_folders_are_read(shared: Path) -> None:
    assert len(list_labelled_images(shared / "data/ISBI2012")) == 30
    assert len(list_labelled_images(shared / "data/CamSeq_frames")) == 81
    sample = list_labelled_images(shared / "data/CamSeq_frames")[0].read(3)
    assert sample.labels is not None
    assert set(np.unique(sample.labels)) <= {VOID, *range(11)}
