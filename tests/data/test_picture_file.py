"""Picture files of every mode and format that Pillow writes: exact values, or one line that says what was found."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from snn_deploy.data.images import read_image, read_images
from snn_deploy.data.picture_file import MAX_PIXELS, read
from snn_deploy.errors import StimulusError

GRAY = np.array([[0, 1, 100], [128, 254, 255]], np.uint8)
OPACITY = np.array([[255, 0, 51], [255, 102, 255]], np.uint8)
COLORS = np.stack([GRAY, 255 - GRAY, GRAY // 2 + 7], axis=2).astype(np.uint8)
DEEP = np.array([[0, 1, 255], [256, 40_000, 65_535]], np.uint16)


def on_white(values: Any, opacity: Any) -> Any:
    """Values and opacity in [0, 1] on a white page."""
    return values * opacity + 1 - opacity


def palette(**info: Any) -> Image.Image:
    picture = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 128, 64, 9, 9, 9])
    picture.info.update(info)
    return picture


PALETTE = np.array([[[255, 0, 0], [0, 128, 64], [9, 9, 9]], [[9, 9, 9], [0, 128, 64], [255, 0, 0]]]) / 255
UNIT = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)

READ: dict[str, tuple[Callable[[], Image.Image], str, dict[str, Any], Any]] = {
    "1 bit PNG": (lambda: Image.fromarray(GRAY > 99), "a.png", {}, (GRAY > 99) * 1.0),
    "1 bit TIFF": (lambda: Image.fromarray(GRAY > 99), "a.tif", {}, (GRAY > 99) * 1.0),
    "1 bit BMP": (lambda: Image.fromarray(GRAY > 99), "a.bmp", {}, (GRAY > 99) * 1.0),
    "white is 0": (lambda: Image.fromarray(GRAY), "a.tif", {"tiffinfo": {262: 0}}, GRAY / 255),
    "gray PNG": (lambda: Image.fromarray(GRAY), "a.png", {}, GRAY / 255),
    "gray BMP": (lambda: Image.fromarray(GRAY), "a.bmp", {}, GRAY / 255),
    "gray TIFF": (lambda: Image.fromarray(GRAY), "a.tif", {"compression": "tiff_lzw"}, GRAY / 255),
    "2 bits": (lambda: palette(), "a.png", {"bits": 2}, PALETTE),
    "16 bits PNG": (lambda: Image.fromarray(DEEP), "a.png", {}, DEEP / 65535),
    "16 bits TIFF": (lambda: Image.fromarray(DEEP), "a.tif", {}, DEEP / 65535),
    "16 bits TIFF, big-endian": (
        lambda: Image.frombytes("I;16B", (3, 2), DEEP.astype(">u2").tobytes()),
        "a.tif",
        {},
        DEEP / 65535,
    ),
    "32-bit float": (lambda: Image.fromarray(UNIT), "a.tif", {}, UNIT),
    "colors PNG": (lambda: Image.fromarray(COLORS), "a.png", {}, COLORS / 255),
    "colors TIFF": (lambda: Image.fromarray(COLORS), "a.tif", {}, COLORS / 255),
    "colors BMP": (lambda: Image.fromarray(COLORS), "a.bmp", {}, COLORS / 255),
    "gray and opacity PNG": (
        lambda: Image.fromarray(np.stack([GRAY, OPACITY], 2), "LA"),
        "a.png",
        {},
        on_white(GRAY / 255, OPACITY / 255),
    ),
    "gray and opacity TIFF": (
        lambda: Image.fromarray(np.stack([GRAY, OPACITY], 2), "LA"),
        "a.tif",
        {},
        on_white(GRAY / 255, OPACITY / 255),
    ),
    "colors and opacity PNG": (
        lambda: Image.fromarray(np.dstack([COLORS, OPACITY]), "RGBA"),
        "a.png",
        {},
        on_white(COLORS / 255, OPACITY[..., None] / 255),
    ),
    "colors and opacity TIFF": (
        lambda: Image.fromarray(np.dstack([COLORS, OPACITY]), "RGBA"),
        "a.tif",
        {},
        on_white(COLORS / 255, OPACITY[..., None] / 255),
    ),
    "palette PNG": (palette, "a.png", {}, PALETTE),
    "palette TIFF": (palette, "a.tif", {}, PALETTE),
    "palette BMP": (palette, "a.bmp", {}, PALETTE),
    "a transparent entry of a palette": (
        lambda: palette(),
        "a.png",
        {"transparency": 1},
        np.where((np.array([[0, 1, 2], [2, 1, 0]]) == 1)[..., None], 1.0, PALETTE),
    ),
    "opacities of a palette": (
        lambda: palette(),
        "a.png",
        {"transparency": bytes([255, 51, 102])},
        on_white(PALETTE, (np.array([255, 51, 102])[np.array([[0, 1, 2], [2, 1, 0]])] / 255)[..., None]),
    ),
    "a transparent gray": (
        lambda: Image.fromarray(GRAY),
        "a.png",
        {"transparency": 100},
        np.where(GRAY == 100, 1, GRAY / 255),
    ),
    "a transparent color": (
        lambda: Image.fromarray(COLORS),
        "a.png",
        {"transparency": tuple(int(part) for part in COLORS[0, 2])},
        np.where((COLORS[0, 2] == COLORS).all(2)[..., None], 1.0, COLORS / 255),
    ),
    "YCbCr in JPEG": (
        lambda: Image.new("YCbCr", (3, 2), (77, 128, 128)),
        "a.jpg",
        {"quality": 100, "subsampling": 0},
        np.full((2, 3, 3), 77 / 255),
    ),
    "gray JPEG": (lambda: Image.new("L", (3, 2), 77), "a.jpg", {"quality": 100}, np.full((2, 3), 77 / 255)),
    "X ignored": (lambda: Image.fromarray(np.dstack([COLORS, OPACITY]), "RGBX"), "a.tif", {}, COLORS / 255),
}


@pytest.mark.parametrize("case", READ)
def test_values_are_exact(case: str, tmp_path: Path) -> None:
    make, name, options, expected = READ[case]
    make().save(tmp_path / name, **options)
    values = read(tmp_path / name)
    assert values.dtype == np.float32
    assert values.shape == np.shape(expected)
    np.testing.assert_allclose(values, expected, rtol=0, atol=2e-7)  # float32 has steps of 6e-8 below 1


RGB = r"colors, whose RGB values depend on a profile; save it as gray or RGB$"
BITS = r"save it with 8 bits per color, or as a float \.npy array$"
REFUSED: dict[str, tuple[Callable[[], Image.Image], str, dict[str, Any], str]] = {
    "CIELAB": (lambda: Image.new("LAB", (3, 2), (50, 1, 1)), "a.tif", {}, rf"has LAB {RGB}"),
    "CMYK TIFF": (lambda: Image.new("CMYK", (3, 2)), "a.tif", {}, rf"has CMYK {RGB}"),
    "CMYK JPEG": (lambda: Image.new("CMYK", (3, 2)), "a.jpg", {}, rf"has CMYK {RGB}"),
    "YCbCr TIFF": (lambda: Image.new("YCbCr", (3, 2)), "a.tif", {}, rf"(has YCbCr {RGB}|cannot be read: )"),
    "32-bit integers": (
        lambda: Image.fromarray(np.full((2, 3), 255, np.int32)),
        "a.tif",
        {},
        rf"has signed integers; {BITS}",
    ),
    "floats to 255": (
        lambda: Image.fromarray(np.asarray(GRAY, np.float32)),
        "a.tif",
        {},
        r"float values from 0 to 255; only values in \[0, 1\] are allowed: scale them, or save .* read unscaled$",
    ),
    "floats below 0": (
        lambda: Image.fromarray(UNIT - 1),
        "a.tif",
        {},
        r"float values from -1 to 0; only values in .* read unscaled$",
    ),
    "NaN": (
        lambda: Image.fromarray(np.where(UNIT > 0.5, np.float32(np.nan), UNIT)),
        "a.tif",
        {},
        r"float values from nan to nan; only values in .* read unscaled$",
    ),
    "16 bits, 0 is white": (
        lambda: Image.fromarray(DEEP),
        "a.tif",
        {"tiffinfo": {262: 0}},
        r"has 16-bit values of which 0 is white; save it with 0 as black$",
    ),
    "signed 8 bits": (lambda: Image.fromarray(GRAY), "a.tif", {"tiffinfo": {339: 2}}, rf"has signed integers; {BITS}"),
    "GIF": (lambda: Image.fromarray(GRAY), "a.gif", {}, r"is a GIF file; save it as PNG, JPEG, TIFF, BMP or \.npy$"),
    "a GIF called PNG": (lambda: Image.fromarray(GRAY), "a.png", {"format": "GIF"}, r"is a GIF file; .* \.npy$"),
    "PPM": (lambda: Image.fromarray(GRAY), "a.ppm", {}, r"is a PPM file; .* \.npy$"),
    "APNG": (
        lambda: Image.fromarray(GRAY),
        "a.png",
        {"save_all": True, "append_images": [Image.fromarray(255 - GRAY)]},
        r"contains 2 pictures; save each as a separate file$",
    ),
    "pages": (
        lambda: Image.fromarray(GRAY),
        "a.tif",
        {"save_all": True, "append_images": [Image.fromarray(GRAY)] * 2},
        r"contains 3 pictures; save each as a separate file$",
    ),
    "a transparent bit": (
        lambda: Image.fromarray(GRAY > 99),
        "a.png",
        {"transparency": 1},
        r"makes one gray value of fewer or more than 8 bits transparent; save it as gray or RGB$",
    ),
    "a transparent 16-bit gray": (
        lambda: Image.fromarray(DEEP),
        "a.png",
        {"transparency": 256},
        r"makes one gray value of fewer or more than 8 bits transparent; save it as gray or RGB$",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_pillow_does_not_give_exactly_is_refused(case: str, tmp_path: Path) -> None:
    make, name, options, message = REFUSED[case]
    make().save(tmp_path / name, **options)
    with pytest.raises(StimulusError, match=rf"{name}: {message}"):
        read(tmp_path / name)


def deep_tiff(bits: tuple[int, ...], data: bytes, photometric: int, sample_format: int = 1) -> bytes:
    """A little-endian TIFF of 3 x 2 pixels, written by hand: Pillow writes no such layouts."""
    count = len(bits)
    entries = [
        (256, 4, 1, 3),
        (257, 4, 1, 2),
        (258, 3, count, 8 + 12 * 10 + 6 if count > 2 else bits[0] | (bits[-1] << 16 if count == 2 else 0)),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 200),
        (277, 3, 1, count),
        (278, 4, 1, 2),
        (279, 4, 1, len(data)),
        (339, 3, 1, sample_format),
    ]
    head = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries))
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", 0)
    return (head + struct.pack(f"<{count}H", *bits)).ljust(200, b"\0") + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (deep_tiff((12,), bytes(9), 1), rf"has 12 bits per value; {BITS}"),
        (deep_tiff((32,), bytes(24), 1), rf"has integers of more than 16 bits or with a sign \(I;32N\); {BITS}"),
        (deep_tiff((16,), bytes(12), 1, 2), rf"has signed integers; {BITS}"),
        (deep_tiff((32, 32, 32), bytes(72), 2, 3), r"not a picture that can be read; save it as .* \.npy$"),
        (b"", r"not a picture that can be read; save it as PNG, JPEG, TIFF, BMP or \.npy$"),
    ],
)
def test_layouts_that_lose_values_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(StimulusError, match=rf"a\.tif: {message}"):
        read(tmp_path / "a.tif")


DEEP_COLORS = np.random.default_rng(0).integers(0, 65536, (2, 3, 4)).astype(np.uint16)


def deep_png(colors: Any, *, gray: bool = False) -> bytes:
    """A PNG of 16 bits per value with its second line filtered by the one above, written by hand: Pillow writes none."""
    lines = np.ascontiguousarray(colors.astype(">u2")).view(np.uint8).reshape(len(colors), -1)
    packed = zlib.compress(b"\0" + lines[0].tobytes() + b"\2" + (lines[1] - lines[0]).tobytes())
    kind = {3: 2, 4: 6, 2: 4}[colors.shape[2]]
    header = struct.pack(">IIBBBBB", colors.shape[1], colors.shape[0], 16, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def written_tiff(values: Any, **settings: Any) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, values, **settings)
    return target.getvalue()


RED = DEEP_COLORS[..., :3]
DEEP_FILES: dict[str, tuple[bytes, Any]] = {
    "a.png": (deep_png(RED), RED / 65535),
    "b.png": (deep_png(DEEP_COLORS), on_white(RED / 65535, DEEP_COLORS[..., 3:] / 65535)),
    "little.tif": (written_tiff(RED, byteorder="<", photometric="rgb"), RED / 65535),
    "big.tif": (written_tiff(RED, byteorder=">", photometric="rgb"), RED / 65535),
    "deflated.tif": (written_tiff(RED, photometric="rgb", compression="zlib"), RED / 65535),
    "deflated big.tif": (written_tiff(RED, photometric="rgb", byteorder=">", compression="zlib"), RED / 65535),
    "by hand.tif": (deep_tiff((16, 16, 16), RED.astype("<u2").tobytes(), 2), RED / 65535),
}


@pytest.mark.parametrize("name", DEEP_FILES)
def test_16_bits_per_color_are_kept(name: str, tmp_path: Path) -> None:
    content, expected = DEEP_FILES[name]
    (tmp_path / name).write_bytes(content)
    np.testing.assert_allclose(read(tmp_path / name), expected, rtol=0, atol=2e-7)


def test_16_bits_of_gray_and_opacity_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(deep_png(DEEP_COLORS[..., :2]))
    with pytest.raises(
        StimulusError, match=rf"a\.png: has 16 bits per value \(LA;16B\), of which Pillow keeps 8; {BITS}"
    ):
        read(tmp_path / "a.png")


STACKS: dict[str, Any] = {
    "gray": np.stack([GRAY, 255 - GRAY, GRAY // 2]),
    "16 bits": np.stack([DEEP, DEEP // 3]),
    "colors": np.stack([COLORS, 255 - COLORS]),
    "16-bit colors": np.stack([RED, RED // 5, RED // 7]),
    "floats": np.stack([UNIT, 1 - UNIT]),
}


@pytest.mark.parametrize("case", STACKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_page_of_a_tiff_is_read(case: str, channels: int, tmp_path: Path) -> None:
    pages = STACKS[case]
    (tmp_path / "a.tif").write_bytes(written_tiff(pages, photometric="rgb" if pages.ndim == 4 else "minisblack"))
    found = read_images(tmp_path / "a.tif", channels)
    assert found.shape == (len(pages), channels, 2, 3)
    for image, page in zip(found, pages, strict=True):
        (tmp_path / "one.tif").write_bytes(written_tiff(page, photometric="rgb" if pages.ndim == 4 else "minisblack"))
        assert np.array_equal(image, read_image(tmp_path / "one.tif", channels)[0])
    assert len(np.unique(found.reshape(len(found), -1), axis=0)) == len(found)


def test_pages_of_different_sizes_are_refused(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(GRAY[:1])])
    with pytest.raises(StimulusError, match=r"a\.tif: 2 pages of sizes 1x3, 2x3; save each size as a separate file$"):
        read_images(tmp_path / "a.tif", 1)


def test_many_pages_are_refused_unread(tmp_path: Path) -> None:
    page = Image.new("1", (2**13, 2**11 + 1))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    with pytest.raises(StimulusError, match=r"a\.tif: 2 pages of 2049x8192 pixels; at most .*; split it into tiles$"):
        read_images(tmp_path / "a.tif", 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_orientation_is_applied(name: str, orientation: int, tmp_path: Path) -> None:
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :8] = 255
    upright[8:, 16:] = 128
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, quality=100)
    np.testing.assert_allclose(read(tmp_path / name), upright / 255, rtol=0, atol=0.01 if name == "a.jpg" else 1e-7)


def test_white_may_be_0(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(deep_tiff((8,), GRAY.tobytes(), 0))
    np.testing.assert_allclose(read(tmp_path / "a.tif"), 1 - GRAY / 255, rtol=0, atol=2e-7)


def test_the_photograph_of_a_jpeg_with_more_frames_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("L", (3, 2), 77).save(path, "MPO", save_all=True, append_images=[Image.new("L", (3, 2), 9)], quality=100)
    np.testing.assert_allclose(read(path), 77 / 255, rtol=0, atol=1e-6)


def test_large_pictures_are_refused_unread(tmp_path: Path) -> None:
    Image.new("1", (2**13, MAX_PIXELS // 2**13 + 1)).save(tmp_path / "a.png")
    with pytest.raises(
        StimulusError, match=r"4097x8192 pixels; at most .* and 33554432 in total are allowed; split it into tiles$"
    ):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_arrays_hold_finite_numbers(value: float, tmp_path: Path) -> None:
    values = np.zeros((1, 1, 4, 4))
    values[0, 0, 2, 3] = value
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(
        StimulusError, match=r"a\.npy: value .* at \(0, 0, 2, 3\) is not finite in float32; replace it$"
    ):
        read_image(tmp_path / "a.npy", 1)


def test_gray_and_color_networks_read_either(tmp_path: Path) -> None:
    Image.fromarray(COLORS).save(tmp_path / "a.png")
    Image.fromarray(GRAY).save(tmp_path / "b.png")
    luma = COLORS @ np.array([0.2125, 0.7154, 0.0721]) / 255
    np.testing.assert_allclose(read_image(tmp_path / "a.png", 1)[0, 0], luma, rtol=0, atol=2e-7)
    np.testing.assert_allclose(read_image(tmp_path / "b.png", 3)[0], np.stack([GRAY / 255] * 3), rtol=0, atol=2e-7)
