"""A user's own folders and tables: which files belong together, what the numbers of masks mean, scores of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from snn_deploy.data.datasets import list_entries
from snn_deploy.data.metrics import VOID, ClassScore, score_classes
from snn_deploy.errors import StimulusError

GRAY = np.arange(48, dtype=np.uint8).reshape(6, 8)
BINARY = np.where(GRAY % 3 == 0, 255, 0).astype(np.uint8)
CLASSES = np.where(GRAY > 40, 255, GRAY % 4).astype(np.uint8)


def save(path: Path, values: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(path, **options)


def labels(data: Path) -> Any:
    (entry,) = list_entries(data, "segment")
    sample = entry.read(1)
    assert (entry.name, sample.image.shape) == ("a.png", (1, 1, 6, 8))
    return sample.labels


def palette(values: Any, colors: list[int]) -> Image.Image:
    made = Image.fromarray(values, "P")
    made.putpalette(colors)
    return made


@pytest.mark.parametrize("folder", ["masks", "labels", "annotations"])
@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("a.png", BINARY, BINARY == 255),
        ("a_mask.tif", BINARY, BINARY == 255),
        ("a.png", BINARY > 0, BINARY == 255),
        ("a.png", np.repeat(BINARY[..., None], 3, axis=2), BINARY == 255),
        ("a-manual1.gif", BINARY, BINARY == 255),
        ("a.png", CLASSES, np.where(CLASSES == 255, VOID, CLASSES.astype(np.int64))),
        ("a.npy", CLASSES.astype(np.int64), np.where(CLASSES == 255, VOID, CLASSES.astype(np.int64))),
        ("a.png", (BINARY > 0).astype(np.uint8), BINARY > 0),
        ("a.png", palette(GRAY % 3, [0, 0, 0, 200, 0, 0, 7, 7, 7]), GRAY % 3),
    ],
)
def test_images_and_masks(folder: str, name: str, values: Any, expected: Any, tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", GRAY)
    save(tmp_path / folder / name, values)
    np.testing.assert_array_equal(labels(tmp_path), expected.astype(np.int64))


def test_what_masks_mean_is_learned_from_all_of_them(tmp_path: Path) -> None:
    """White is void, not class 1, where another mask has class numbers."""
    for name, values in (("a", BINARY), ("b", CLASSES)):
        save(tmp_path / "images" / f"{name}.png", GRAY)
        save(tmp_path / "masks" / f"{name}.png", values)
    first = list_entries(tmp_path, "segment")[0].read(3)
    assert first.image.shape == (1, 3, 6, 8)
    assert first.labels is not None
    np.testing.assert_array_equal(first.labels, np.where(BINARY == 255, VOID, 0))


def test_colors_that_are_listed(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", GRAY)
    colors = np.array([[10, 20, 30], [0, 0, 9]], np.uint8)
    save(tmp_path / "masks" / "a.png", colors[GRAY % 2])
    with pytest.raises(StimulusError, match="is in colors; save class numbers .*, or give label_colors.txt"):
        list_entries(tmp_path, "segment")
    (tmp_path / "label_colors.txt").write_text("0 0 9 Void\n10 20 30 road\n")
    np.testing.assert_array_equal(labels(tmp_path), np.where(GRAY % 2 == 0, 0, VOID))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({}, r"a\.png: 0 files in .*masks have its name; exactly one is needed$"),
        ({"a_1.png": BINARY, "a_2.png": BINARY}, r"a\.png: 2 files in .*masks have its name"),
        ({"ab.png": BINARY}, r"a\.png: 0 files"),
        ({"a.png": BINARY[:4]}, r"\(6, 8\) pixels, but .*a\.png has \(4, 8\)$"),
        ({"a.npy": GRAY.astype(np.float32)}, r"a\.npy: float32 \(6, 8\) is not a mask"),
    ],
)
def test_masks_that_do_not_fit(masks: dict[str, Any], message: str, tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", GRAY)
    (tmp_path / "masks").mkdir()
    for name, values in masks.items():
        save(tmp_path / "masks" / name, values)
    with pytest.raises(StimulusError, match=message):
        list_entries(tmp_path, "segment")[0].read(1)


def test_damaged_masks(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", GRAY)
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "a.npy"):
        (tmp_path / "masks" / name).write_bytes(b"nothing")
        with pytest.raises(StimulusError, match=rf"{name}: (cannot be read as a mask|damaged)"):
            list_entries(tmp_path, "segment")
        (tmp_path / "masks" / name).unlink()


@pytest.mark.parametrize("names", [("noisy", "clean"), ("input", "target")])
def test_pairs(names: tuple[str, str], tmp_path: Path) -> None:
    save(tmp_path / names[0] / "a.png", GRAY)
    save(tmp_path / names[1] / "a.png", GRAY + 5)
    (entry,) = list_entries(tmp_path, "denoise")
    sample = entry.read(1)
    assert sample.target is not None
    np.testing.assert_allclose((sample.target - sample.image) * 255, 5, atol=1e-4)
    save(tmp_path / names[1] / "a.png", GRAY[:4])
    with pytest.raises(StimulusError, match=r"\(6, 8\) pixels, but .* has \(4, 8\)$"):
        entry.read(1)


def test_tables(tmp_path: Path) -> None:
    save(tmp_path / "x" / "a.png", GRAY)
    save(tmp_path / "y" / "other.png", BINARY)
    table = tmp_path / "set.csv"
    table.write_text("image,mask,remark\nx/a.png,y/other.png,none\n", encoding="utf-8-sig")
    np.testing.assert_array_equal(labels(table), BINARY == 255)
    for content in ("image;mask;a,b\nx/a.png;y/other.png;1,2\n", "Image\tMask \nx/a.png\ty/other.png \n"):
        table.write_text(content)
        np.testing.assert_array_equal(labels(table), BINARY == 255)
    table.write_text("noisy,clean\nx/a.png,y/other.png\n")
    assert list_entries(table, "denoise")[0].read(1).target is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first line must name the columns image,mask or image,label"),
        (b"noisy,clean\na,b\n", "the first line must name the columns image,mask"),
        (b"image,mask\na.png,b.png\n", r"set\.csv, line 2: .*a\.png: no such file"),
        (b"image,mask\na.png\n", "line 2: "),
        (b"\xff\xfe", "not a table in UTF-8"),
    ],
)
def test_tables_that_do_not_fit(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_bytes(content)
    with pytest.raises(StimulusError, match=message):
        list_entries(tmp_path / "set.csv", "segment")


def test_scores_of_classes() -> None:
    """Class 2 does not occur; class 3 is predicted and never true."""
    pairs = np.array([[5, 1, 0, 0], [2, 4, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert score_classes(pairs) == (
        ClassScore(0, 6, 5 / 8, 10 / 13),
        ClassScore(1, 7, 4 / 8, 8 / 12),
        ClassScore(3, 0, 0.0, 0.0),
    )
