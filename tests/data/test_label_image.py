"""Label images keep every class, in 8 bits where these suffice and in 16 where they do not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.data.label_image import COLORS, choose_label_format, encode_labels, narrow_labels
from snn_deploy.errors import ReportError


@pytest.mark.parametrize("classes", [2, 5, 255, 256, 65535])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF", "a.bmp"])
@pytest.mark.parametrize("colors", [False, True])
def test_every_class_comes_back(classes: int, name: str, colors: bool) -> None:
    labels = np.array([[0, 1, classes - 1], [classes // 2, classes - 2, 0]])
    if classes > 255 and (colors or name == "a.bmp"):
        with pytest.raises(
            ReportError, match=rf"{classes} classes; .* at most 255: use \.png or \.tif, without colors$"
        ):
            encode_labels(labels, classes, Path(name), colors=colors)
        return
    with Image.open(io.BytesIO(encode_labels(labels, classes, Path(name), colors=colors))) as picture:
        assert picture.mode == ("P" if colors else "L" if classes <= 255 else "I;16")
        assert np.array_equal(np.asarray(picture), labels)
        if colors:
            assert np.array_equal(np.asarray(picture.convert("RGB")), COLORS[labels])


def test_colors_are_those_of_pascal_voc() -> None:
    first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]]
    assert COLORS[:7].tolist() == first
    assert COLORS[[7, 8, 20, 255]].tolist() == [[128, 128, 128], [64, 0, 0], [0, 64, 128], [224, 224, 192]]
    assert len({tuple(color) for color in COLORS.tolist()}) == 256


def test_formats_that_lose_labels_are_refused() -> None:
    for name in ("a.jpg", "a.jpeg", "a", "a.gif"):
        with pytest.raises(ReportError, match=r"does not keep labels; use \.png, \.tif, \.tiff, \.bmp or \.npy$"):
            choose_label_format(Path(name), 2)
    with pytest.raises(ReportError, match=r"65536 classes; an image has at most 65535: use \.npy$"):
        choose_label_format(Path("a.png"), 65536)


@pytest.mark.parametrize(("classes", "kind"), [(2, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")])
def test_arrays_are_as_narrow_as_the_classes_allow(classes: int, kind: str) -> None:
    narrow = narrow_labels(np.array([[0, classes - 1]]), classes)
    assert narrow.dtype == np.dtype(kind)
    assert narrow.tolist() == [[0, classes - 1]]
