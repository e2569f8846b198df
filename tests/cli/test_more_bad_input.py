"""Bad input for the verbs that train, score, sweep, compare and emit: one line, status 3, nothing written."""

from pathlib import Path

import pytest

from tests.cli.conftest import Tool
from tests.cli.models import write_unet
from tests.cli.test_bad_input import one_line

DENOISE = ("--task", "denoise")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("diff", "NET"), "required: right"),
        (("diff", "NET", "TEXT"), "text: not an .snn file"),
        (("diff", "NET", "NONE"), "none: cannot be read"),
        (("emit", "NET", "--out", "o.onnx"), "required: --to"),
        (("emit", "TEXT", "--to", "onnx", "--out", "o.onnx"), "text: not an .snn file"),
        (("emit", "NET", "--to", "onnx", "--out", "none/o.onnx"), "none/o.onnx"),
        (("evaluate", "NET", "--data", "NONE", *DENOISE), "none: no such folder"),
        (("evaluate", "TEXT", "--data", "PICS", *DENOISE), "text: not an .snn file"),
        (("evaluate", "NET", "--data", "PICS", *DENOISE, "--seed", "-1"), "'-1' is not an integer from 0"),
        (("evaluate", "NET", "--data", "PICS", *DENOISE, "--noise", "inf"), "'inf' is not a number from 0 to 1000"),
        (("evaluate", "NET", "--data", "PICS", *DENOISE, "--images", "9-10"), "none of them is chosen"),
        (("evaluate", "NET", "--data", "PICS", *DENOISE, "--crop", "999"), "999"),
        (("evaluate", "NET", "--data", "PICS", "--task", "paint"), "invalid choice: 'paint'"),
        (("sweep", "MODEL", "--input", "PIC"), "required: --grid"),
        (("sweep", "MODEL", "--input", "PIC", "--grid", "speed=1"), "axis 'speed' is not an option"),
        (("sweep", "MODEL", "--input", "NONE", "--grid", "levels=7"), "none"),
        (("sweep", "TEXT", "--input", "PIC", "--grid", "levels=7"), "not an ONNX file"),
        (("sweep", "MODEL", "--input", "PIC", "--grid", "levels=7", "--plot", "none/p.svg"), "none/p.svg"),
        (("finetune", "MODEL", "--data", "NONE", *DENOISE, "--out", "o.snn"), "none"),
        (("finetune", "MODEL", "--data", "PICS", *DENOISE, "--out", "o.txt"), "o.txt: name a .snn file"),
        (("finetune", "MODEL", "--data", "PICS", *DENOISE, "--out", "o.snn", "--batch", "0"), "'0' is not an integer"),
        (("verify", "NET", "--input", "PIC", "--trace", "TEXT", "--crop", "16x16"), "text"),
        (("verify", "NET", "--input", "PIC", "--certificate", "none/c.json"), "none/c.json"),
        (("verify", "NET", "--check", "TEXT"), "text"),
        (("verify", "NET", "--input", "PICS", "--mutation"), "--mutation goes with one image"),
        (("verify", "NET"), "give --input FILE"),
        (("verify", "NET", "--input", "PIC", "--backends", "cpu"), "name a second backend, as in reference,cpu"),
        (
            ("convert", "MODEL", "--steps", "8", "--out", "o.snn"),
            "--steps has no effect in exact mode, which --preset, --neuron or --for chooses; leave it out",
        ),
        (
            ("convert", "MODEL", "--preset", "if", "--levels", "8", "--out", "o.snn"),
            "--levels has no effect in rate mode, which --preset, --neuron or --for chooses; leave it out",
        ),
        (("convert", "MODEL", "--out", "o.txt"), "o.txt: name a .snn file"),
        (("convert", "NET", "--out", "o.snn"), "a ZIP archive, as .snn files are; name the ONNX model"),
        (("convert", "MODEL", "--calibration", "NET", "--out", "o.snn"), "not a picture that can be read"),
        (("convert", "MODEL", "--range", "1..0", "--out", "o.snn"), "'1..0' is not a range; write LOW..HIGH"),
        (("convert", "MODEL", "--mean", "a", "--out", "o.snn"), "'a' is not a list of numbers"),
        (
            ("convert", "MODEL", "--std", "1,2", "--out", "o.snn"),
            "std lists 2 numbers, the network reads 1 channels; give one number or 1",
        ),
        (("convert", "MODEL", "--std=-1", "--out", "o.snn"), "one positive number for all channels"),
        (("evaluate", "NET", "--data", "PIC", *DENOISE), "is a file; name the folder that contains the images"),
        (
            ("verify", "NET", "--input", "PIC", "--crop", "99x99"),
            "0.png: 32x48 pixels, smaller than the crop of 99x99; use",
        ),
        (
            ("verify", "NET", "--input", "PICS", "--crop", "99x99"),
            "0.png: 32x48 pixels, smaller than the crop of 99x99; use",
        ),
        (
            ("sweep", "MODEL", "--input", "PIC", "--crop", "99x99", "--grid", "levels=7"),
            "0.png: 32x48 pixels, smaller than",
        ),
        (
            ("convert", "MODEL", "--nosie", "25", "--out", "o.snn"),
            "did you mean --noise?; see snn-deploy convert --help",
        ),
        (("run", "MODEL", "--input", "PIC", "--out", "r.png"), "an ONNX model becomes one by snn-deploy convert"),
        (("estimate", "NET", "--rate", "0.1", "--map", "none/m.svg"), "none/m.svg"),
        (("report", "TEXT", "--input", "PIC", "--out", "r.html"), "text: not an .snn file"),
        (("report", "NET", "--input", "PIC", "--out", "none/r.html"), "none/r.html"),
        (("report", "NET", "--input", "PIC", "--out", "r.html", "--model", "TEXT"), "not an ONNX file"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_one_line_and_nothing_written(
    tool: Tool, tmp_path: Path, network: Path, picture: Path, pictures: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "text").write_text("hello, world\n")
    stands_for = {
        "NET": network,
        "TEXT": tmp_path / "text",
        "NONE": tmp_path / "none",
        "PIC": picture,
        "PICS": pictures,
        "MODEL": write_unet(tmp_path / "unet.onnx"),
    }
    if "finetune" in words:
        pytest.importorskip("torch", reason="fine-tuning needs the extra train")
    one_line(tool(*(stands_for.get(word, word) for word in words)), message)
    assert list(Path.cwd().iterdir()) == []
