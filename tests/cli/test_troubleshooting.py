"""Every message of the troubleshooting page is one that the command line really prints."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Tool
from tests.cli.models import write_unet

MESSAGES: dict[str, tuple[str, ...]] = {
    "... cannot be mapped: ...": ("convert", "ERF", "--out", "x.snn"),
    "...: does not support images of ...; use ... (--size)": ("convert", "MODEL", "--size", "15x15", "--out", "x.snn"),
    "...: not an ONNX file, or a truncated one ...": ("convert", "PIC", "--out", "x.snn"),
    "...: cannot be read: No such file or directory": ("run", "NET", "--input", "absent.png"),
    "...: a .net file holds networks in rate mode, not in exact mode; convert with --preset netx": (
        *("emit", "NET", "--to", "net", "--out", "x.net"),
    ),
    "... of the input's values are outside of ..., what the network was calibrated for, and are clipped; ...": (
        *("run", "NET", "--input", "BRIGHT"),
    ),
    "...: shape ...; the network expects (batch, ..., height, width): transpose it, or ...": (
        "run",
        "NET",
        "--input",
        "COLOR",
    ),
    "...: value nan at ... is not finite in float32; replace it": ("run", "NET", "--input", "NAN"),
    "...: ... pixels, smaller than the crop of ...; use a smaller crop": (
        *("run", "NET", "--input", "PIC", "--crop", "999x999"),
    ),
    "...: not a picture that can be read; save it as PNG, JPEG, TIFF, BMP or .npy": ("run", "NET", "--input", "MODEL"),
    "...: unsupported image format ...; use ...": ("run", "NET", "--input", "PIC", "--out", "x.webp"),
    "...: no such folder": ("evaluate", "NET", "--data", "absent", "--task", "denoise"),
    "...: not an .snn file; an ONNX model becomes one by snn-deploy convert": ("run", "MODEL", "--input", "PIC"),
    "...: damaged or cut short: ...": ("run", "DAMAGED", "--input", "PIC"),
    "...: not a certificate as snn-deploy writes it: ...": ("verify", "NET", "--check", "PIC"),
    "...: name a .snn file": ("convert", "MODEL", "--out", "x.txt"),
    "...: ends in ...; use .html or .htm": ("report", "NET", "--input", "PIC", "--out", "x.pdf"),
    "... has no effect ...; leave it out": ("run", "NET", "--input", "PIC", "--seed", "1"),
    "'...' is not a verb; did you mean ...": ("verfy", "NET"),
    "unrecognized arguments: ...; did you mean ...": ("run", "NET", "--inpt", "PIC"),
    "give either --input FILE, an image, or --stream PATH, ...": ("run", "NET"),
    "unknown target '...'; available: ...": ("estimate", "NET", "--rate", "0.1", "--target", "loihi3"),
    '... needs shtab: pip install "snn-deploy[completion]"': ("complete", "bash"),
    "argument --backends: '...' is not an installed backend; choose from ...": (
        *("verify", "NET", "--input", "PIC", "--backends", "reference,spinnaker"),
    ),
}
"""Every message of the page, and a command line that prints it."""


@pytest.fixture(scope="module")
def stands_for(tmp_path_factory: pytest.TempPathFactory, network: Path, picture: Path) -> dict[str, object]:
    """Files that words in capitals stand for."""
    folder = tmp_path_factory.mktemp("troubles")
    for name, value, channels in (("bright", 200, 1), ("color", 0, 3), ("nan", np.nan, 1)):
        np.save(folder / f"{name}.npy", np.full((1, channels, 16, 16), value, np.float32))
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "damaged.snn").write_bytes(bytes(data))
    Image.new("L", (16, 16)).save(folder / "black.png")
    return {
        "NET": network,
        "PIC": picture,
        "MODEL": write_unet(folder / "unet.onnx"),
        "ERF": write_unet(folder / "erf.onnx", extra="Erf"),
        "DAMAGED": folder / "damaged.snn",
        "BRIGHT": folder / "bright.npy",
        "COLOR": folder / "color.npy",
        "NAN": folder / "nan.npy",
    }


def test_the_page_has_these_messages_and_no_other(root: Path) -> None:
    page = (root / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    errors, others = page.split("## Not errors")
    assert re.findall(r"^\| `(.*?)` \|", errors, re.MULTILINE) == list(MESSAGES)
    assert re.findall(r"^\| `(.*?)`, status \d \|", others, re.MULTILINE) == [
        "does not fit",
        "DIFFERENT",
        "NOT COMPARED",
    ]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_printed(
    tool: Tool, stands_for: dict[str, object], monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    found = tool(*(stands_for.get(word, word) for word in MESSAGES[message]))
    assert (found.status, found.err.count("\n")) == (3, 1), found.err
    said = ".+".join(re.escape(part) for part in message.split("..."))
    assert re.search(said, found.err)
