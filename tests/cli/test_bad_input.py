"""Bad input: exactly one clear line on standard error, status 3, nothing on standard output, nothing half-written."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from tests.cli.conftest import Outcome, Tool
from tests.cli.models import write_unet


def one_line(outcome: Outcome, *parts: str) -> None:
    assert outcome.status == 3, outcome
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("snn-deploy"), outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.err) < 700, outcome.err
    for part in parts:
        assert part in outcome.err, outcome.err


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_unet(tmp_path / "unet.onnx")


# ---------------------------------------------------------------------------------------------------------- ONNX


def bad_models(folder: Path) -> dict[str, tuple[Path, str]]:
    good = write_unet(folder / "good.onnx").read_bytes()
    contents = {
        "text": (b"hello, world\n", "not an ONNX file"),
        "empty": (b"", "not an ONNX file"),
        "truncated": (good[: len(good) // 2], "not an ONNX file, or a truncated one"),
        "picture": (b"\x89PNG\r\n\x1a\n" + bytes(64), "not an ONNX file"),
    }
    found = {}
    for name, (content, message) in contents.items():
        path = folder / f"{name}.onnx"
        path.write_bytes(content)
        found[name] = (path, message)
    found["missing"] = (folder / "none.onnx", "none.onnx: cannot be read")
    found["folder"] = (folder, "is a folder")
    return found


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "picture", "missing", "folder"])
@pytest.mark.parametrize("verb", ["inspect", "convert"])
def test_not_onnx(tool: Tool, tmp_path: Path, verb: str, kind: str) -> None:
    path, message = bad_models(tmp_path)[kind]
    out = tmp_path / "out.snn"
    one_line(tool(verb, path, *(("--out", out) if verb == "convert" else ())), message)
    assert not out.exists()


def test_unsupported_operator_names_node_operator_and_opset(tool: Tool, tmp_path: Path, pictures: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx", extra="Erf")
    out = tmp_path / "out.snn"
    one_line(tool("convert", model, "--calibration", pictures, "--out", out), "/Erf (Erf)", "operator set 17")
    assert not out.exists()


def test_a_size_that_does_not_fit_is_answered_with_some_that_do(tool: Tool, tmp_path: Path, pictures: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx")
    words = ("convert", model, "--size", "15x17", "--calibration", pictures, "--out", tmp_path / "o.snn")
    one_line(tool(*words), "unet.onnx (operator set 17): does not support images of 15x17; use 14x16 or 16x18 (--size)")


# ------------------------------------------------------------------------------------------------------- artifacts


def altered(data: bytes, network: Network) -> dict[str, tuple[bytes, str]]:
    middle = len(data) // 2
    other = artifact.encode(network).replace(b'"schema": 1', b'"schema": 7')
    return {
        "text": (b"hello\n", "not an .snn file"),
        "empty": (b"", "not an .snn file"),
        "truncated": (data[:middle], "damaged or cut short"),
        "flipped": (data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], ""),
        "appended": (data + b"more", ""),
        "version": (_rewritten(other), "schema version 7; this program reads version 1"),
    }


def _rewritten(data: bytes) -> bytes:
    """``data`` as a ZIP file whose checksums are right again."""
    import io
    import zipfile

    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            old.open(entry)._expected_crc = None  # type: ignore[attr-defined]
            start = entry.header_offset + 30 + len(entry.filename)
            new.writestr(entry.filename, data[start : start + entry.file_size])
    return target.getvalue()


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "flipped", "appended", "version"])
def test_damaged_artifacts(tool: Tool, tmp_path: Path, network: Path, picture: Path, kind: str) -> None:
    content, message = altered(network.read_bytes(), artifact.load(network))[kind]
    path = tmp_path / "bad.snn"
    path.write_bytes(content)
    one_line(tool("run", path, "--input", picture, "--backend", "reference"), "bad.snn", message)
    one_line(tool("verify", path, "--input", picture), "bad.snn")
    one_line(tool("estimate", path, "--rate", "0.5"), "bad.snn")
    one_line(tool("view", path, "--out", tmp_path / "v.onnx"), "bad.snn")
    assert not (tmp_path / "v.onnx").exists()


def test_missing_artifact(tool: Tool, tmp_path: Path, picture: Path) -> None:
    one_line(tool("run", tmp_path / "none.snn", "--input", picture), "none.snn: cannot be read: No such file")


# ---------------------------------------------------------------------------------------------------------- images


def test_odd_image_size_says_which_size_fits(tool: Tool, tmp_path: Path, network: Path) -> None:
    Image.new("L", (51, 37), 90).save(tmp_path / "odd.png")
    one_line(
        tool("run", network, "--input", tmp_path / "odd.png"), "37x51", "crop the image to 36x50 or pad it to 38x52"
    )
    assert (
        tool("run", network, "--input", tmp_path / "odd.png", "--crop", "36x50", "--backend", "reference").status == 0
    )


def test_wrong_array_shapes(tool: Tool, tmp_path: Path, network: Path) -> None:
    wrong: tuple[npt.NDArray[np.generic], ...] = (
        np.zeros(16, np.float32),
        np.zeros((1, 3, 16, 16), np.float32),
        np.zeros((1, 1, 16, 16), np.int32),
        np.full((1, 1, 16, 16), 10**6),
    )
    for index, values in enumerate(wrong):
        path = tmp_path / f"{index}.npy"
        np.save(path, values)
        one_line(tool("run", network, "--input", path), path.name)
    np.save(tmp_path / "nan.npy", np.full((1, 1, 16, 16), np.nan, np.float32))
    one_line(tool("run", network, "--input", tmp_path / "nan.npy"), "not finite")
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    one_line(tool("run", network, "--input", tmp_path / "pickle.npy"), "pickle.npy")


@pytest.mark.parametrize("content", [b"hello", b"", b"\x89PNG\r\n\x1a\n", b"II*\x00\xff\xff\xff\xff"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".npy", ".tif", ""])
def test_not_an_image(tool: Tool, tmp_path: Path, network: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    one_line(tool("run", network, "--input", path), "bad")


def test_truncated_and_huge_pictures(tool: Tool, tmp_path: Path, network: Path, picture: Path) -> None:
    (tmp_path / "half.png").write_bytes(picture.read_bytes()[:200])
    one_line(tool("run", network, "--input", tmp_path / "half.png"), "half.png")
    data = bytearray(picture.read_bytes())
    data[16:24] = (2**30).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bytes(data))
    one_line(tool("run", network, "--input", tmp_path / "bomb.png"), "bomb.png")


def test_missing_pictures_and_folders(tool: Tool, tmp_path: Path, network: Path, model: Path) -> None:
    one_line(tool("run", network, "--input", tmp_path / "none.png"), "none.png: cannot be read: No such file")
    one_line(tool("run", network, "--input", tmp_path), "is a folder")
    out = ("--out", tmp_path / "o.snn")
    one_line(tool("convert", model, "--calibration", tmp_path / "none", *out), "none: no such folder")
    one_line(tool("convert", model, "--calibration", tmp_path, *out), "no images; supported are")
    Image.new("L", (8, 8)).save(tmp_path / "small.png")
    one_line(tool("convert", model, "--calibration", tmp_path, *out), "at least 16x16 pixels")


def test_crop_larger_than_the_picture(tool: Tool, network: Path, picture: Path) -> None:
    one_line(tool("run", network, "--input", picture, "--crop", "64x64"), "32x48", "64x64")


# --------------------------------------------------------------------------------------------------------- outputs


def test_unwritable_outputs(tool: Tool, tmp_path: Path, network: Path, picture: Path, model: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for out in (tmp_path / "none" / "o.png", blocked / "o.png", tmp_path):
        run = ("run", network, "--input", picture, "--backend", "reference", "--out", out)
        one_line(tool(*run), str(out))
        one_line(tool("convert", model, "--out", out), str(out))
        one_line(tool("view", network, "--out", out), str(out))
    one_line(tool("demo", "--out", blocked), str(blocked))
    assert blocked.read_text() == "in the way"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cwd", "file", "unet.onnx"]


def test_unknown_picture_formats_are_refused_before_the_run(
    tool: Tool, tmp_path: Path, network: Path, picture: Path
) -> None:
    one_line(tool("run", network, "--input", picture, "--out", tmp_path / "o.xyz"), "unsupported image format .xyz")


def test_a_failed_write_leaves_the_old_file(
    tool: Tool, tmp_path: Path, network: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.png"
    out.write_bytes(b"old")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    one_line(tool("run", network, "--input", picture, "--backend", "reference", "--out", out), "No space left")
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


# ---------------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fly",), "invalid choice: 'fly'"),
        (("verfy", "NET"), "'verfy' is not a verb; did you mean verify?"),
        (
            ("--json", "inspect", "MODEL"),
            "--json stands before the verb; options follow it: snn-deploy inspect ... --json",
        ),
        (("--threads", "1", "inspect", "MODEL"), "options follow it: snn-deploy inspect ... --threads"),
        (("--threads=1",), "options follow it: snn-deploy VERB ... --threads=1"),
        (("run",), "required: network"),
        (("run", "NET", "--inpt", "PIC"), "unrecognized arguments: --inpt; did you mean --input?"),
        (("evaluate", "NET", "--input", "PIC"), "unrecognized arguments: --input; did you mean --data?"),
        (("finetune", "MODEL", "--calibration", "PIC"), "unrecognized arguments: --calibration; did you mean --data?"),
        (("run", "NET", "--output=x.png"), "unrecognized arguments: --output=x.png; did you mean --out?"),
        (("run", "--sed", "--inptu=x"), "--sed --inptu=x; did you mean --seed?; did you mean --input?"),
        (("report", "NET", "--input", "PIC", "--out", "r.pdf"), "r.pdf: ends in .pdf; use .html or .htm"),
        (("view", "NET", "--out", "r.png"), "r.png: ends in .png; use .onnx"),
        (("emit", "NET", "--to", "onnx", "--out", "noext"), "noext: ends in no suffix; use .onnx"),
        (("emit", "NET", "--to", "nir", "--out", "n.onnx"), "n.onnx: ends in .onnx; use .nir"),
        (("run", "NET", "--input", "PIC", "--backend", "gpu"), "invalid choice: 'gpu' (choose from"),
        (("run", "NET", "--input", "PIC", "--fast"), "unrecognized arguments: --fast"),
        (("run", "NET", "--input", "PIC", "--seed", "-1"), "'-1' is not an integer from 0"),
        (("run", "NET", "--input", "PIC", "--noise", "nan"), "'nan' is not a number from 0 to 1000"),
        (("run", "NET", "--input", "PIC", "--crop", "0x8"), "'0x8' is not a size; write HEIGHTxWIDTH"),
        (("run", "NET", "--input", "PIC", "--crop", "8x8x8"), "is not a size"),
        (("run", "NET", "--input", "PIC", "--threads", "0"), "not a number of threads"),
        (("verify", "NET", "--input", "PIC", "--backends", "reference"), "there is nothing to compare it with"),
        (("verify", "NET", "--input", "PIC", "--backends", "reference,reference"), "name different backends"),
        (
            ("verify", "NET", "--input", "PIC", "--backends", "reference,gpu"),
            "'gpu' is not an installed backend; choose from",
        ),
        (("verify", "NET", "--input", "PIC", "--level", "total"), "invalid choice: 'total'"),
        (("estimate", "NET"), "give --input FILE, or --stream PATH, or --rate R"),
        (("estimate", "NET", "--rate", "2"), "'2' is not a number from 0 to 1"),
        (("estimate", "NET", "--rate", "0.1", "--target", "tpu"), "tpu"),
        (("estimate", "NET", "--rate", "0.1", "--target", "none.toml"), "none.toml"),
        (("targets", "tpu"), "tpu"),
        (("convert", "MODEL", "--out", "o.snn", "--levels", "0"), "'0' is not an integer from 1 to 65535"),
        (("convert", "MODEL", "--out", "o.snn", "--weight-bits", "9"), "'9' is not an integer from 2 to 8"),
        (("convert", "MODEL", "--out", "o.snn", "--normalization", "layer-wise"), "rate mode only"),
        (("convert", "MODEL", "--out", "o.snn", "--size", "wide"), "'wide' is not a size"),
        (("demo", "--levels", "0"), "'0' is not an integer"),
        (("demo", "--target", "tpu"), "tpu"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_wrong_options(
    tool: Tool, network: Path, picture: Path, model: Path, words: tuple[str, ...], message: str
) -> None:
    stands_for = {"NET": network, "PIC": picture, "MODEL": model}
    one_line(tool(*(stands_for.get(word, word) for word in words)), message)
    assert not Path("o.snn").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fly]\n", "'fly' is not a verb; the verbs are"),
        ("[run]\nspeed = 3\n", "[run] 'speed' is not an option of this verb; its options are"),
        ("[run]\nproject = 'other.toml'\n", "[run] 'project' is not an option"),
        ("[run]\njson = 1\n", "json must be true or false, not 1"),
        ("[run]\ncrop = [1, 2]\n", "crop must be a string or a number"),
        ("[run]\ncrop = 'wide'\n", "'wide' is not a size"),
        ("run = 3\n", "run must be a table: [run]"),
        ("[run\n", "not a TOML file"),
        ("[verify]\nspeed = 3\n", "[verify] 'speed' is not an option"),
    ],
)
def test_wrong_project_files(
    tool: Tool, empty_folder: Path, network: Path, picture: Path, text: str, message: str
) -> None:
    (empty_folder / "snn-deploy.toml").write_text(text)
    one_line(tool("run", network, "--input", picture), message)


def test_missing_project_file(tool: Tool, network: Path) -> None:
    one_line(tool("estimate", network, "--rate", "0.1", "--project", "none.toml"), "none.toml: cannot be read")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_unreadable_artifact(tool: Tool, tmp_path: Path, picture: Path) -> None:
    loop = tmp_path / "loop.snn"
    loop.symlink_to(loop)
    one_line(tool("run", loop, "--input", picture), "loop.snn: cannot be read")
