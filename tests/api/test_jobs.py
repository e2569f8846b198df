"""Functions of the package on files and folders: they do what the verbs of the command line do."""

import doctest
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import snn_deploy as sd
from snn_deploy.cli.app import main
from snn_deploy.errors import (
    BackendUnavailableError,
    ConversionError,
    ModelError,
    ReportError,
    StimulusError,
    VerificationError,
)
from snn_deploy.frontend.onnx import fix_inputs
from tests.cli.models import write_unet
from tests.frontend.test_approximation import CURVES, network
from tests.frontend.test_constant_inputs import two_inputs

PHOTO = np.random.default_rng(0).random((1, 1, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and two pictures."""
    folder = tmp_path_factory.mktemp("jobs")
    write_unet(folder / "unet.onnx")
    (folder / "pictures").mkdir()
    for index in range(2):
        gray = np.add.outer(np.arange(16) * 9, np.arange(16) * (3 + index)).astype(np.uint8)
        Image.fromarray(gray).save(folder / "pictures" / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def net(folder: Path) -> sd.SpikingNetwork:
    return sd.convert(folder / "unet.onnx", calibration=[PHOTO], options=sd.Options(levels=31), size=(16, 16))


@pytest.mark.parametrize("module", ["snn_deploy", "snn_deploy.api", "snn_deploy.jobs"])
def test_examples_of_the_docstrings(module: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert (failed, tried > 0) == (0, True)


def test_inspect_lists_what_the_verb_lists(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = sd.inspect(folder / "unet.onnx")
    assert main(["inspect", str(folder / "unet.onnx"), "--json"]) == 0
    assert ledger.counts == json.loads(capsys.readouterr().out)["counts"]
    assert str(ledger) == "9 nodes: 8 mapped, 1 folded, 0 host, 0 refused"
    refused = str(sd.inspect(write_unet(folder / "erf.onnx", extra="Erf")))
    assert re.search(r"^/Erf \(Erf\): .*Relu6 in its place", refused, re.MULTILINE)


def test_prepared_models_convert() -> None:
    """As the verb's options do, each with its words; what changes nothing is an error."""
    two, silu = two_inputs(["n", 1, "h", "w"]), network(CURVES["SiLU"])
    prepared = sd.prepare_model(onnx.load_from_string(two), constants={"level": 0.25})
    assert str(prepared) == "level = 0.25"
    assert prepared.model.SerializeToString() == fix_inputs(two, {"level": 0.25})
    images = [np.random.default_rng(0).random((4, 1, 12, 12), np.float32)]
    made = sd.prepare_model(onnx.load_from_string(silu), images, approximate=True)
    assert re.fullmatch(
        r"1 activation\(s\) replaced by ReLUs, each within .*%; y changes by .*% \(2-norm, .*\)", str(made)
    )
    assert sd.convert(made.model, images, size=(12, 12), fixed=True).network.input.shape == (1, 12, 12)
    with pytest.raises(ModelError, match=r"^nothing to prepare; give constants, freeze_norm or approximate$"):
        sd.prepare_model(onnx.load_from_string(silu))
    with pytest.raises(ModelError, match=r"contains no InstanceNormalization to freeze$"):
        sd.prepare_model(onnx.load_from_string(silu), images, freeze_norm=True)
    with pytest.raises(ConversionError, match=r"^calibration is int; give files, folders or arrays of images$"):
        sd.prepare_model(onnx.load_from_string(silu), 3, approximate=True)  # type: ignore[arg-type]


def test_a_model_in_memory_is_the_same_model(folder: Path, net: sd.SpikingNetwork) -> None:
    model = onnx.load(folder / "unet.onnx")
    other = sd.convert(model, calibration=[PHOTO], options=sd.Options(levels=31), size=(16, 16))
    assert np.array_equal(other.run(PHOTO).output, net.run(PHOTO).output)
    assert sd.inspect(model).counts == sd.inspect(folder / "unet.onnx").counts
    with pytest.raises(ModelError, match=r"^int: not a model; give a path, an onnx.ModelProto or a torch.nn.Module$"):
        sd.convert(3)


def test_a_module_of_torch_is_traced() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra train")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 1, 3, padding=1),
    )
    options = sd.Options(levels=1023)
    net = sd.convert(module, calibration=[PHOTO], options=options, size=(16, 16), example=PHOTO)
    assert module.training, "as it was before"
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(PHOTO)).numpy()
    assert np.abs(net.run(PHOTO).output - expected).max() < 0.02 * np.abs(expected).max()
    assert sd.inspect(module, example=PHOTO).refused == ()
    with pytest.raises(
        ModelError, match=r"is traced on an image; give example=, an array \(1, channels, height, width\)$"
    ):
        sd.inspect(module)
    with pytest.raises(ModelError, match=r"^Sequential: cannot be exported to ONNX: "):
        sd.inspect(module, example=PHOTO.repeat(3, axis=1))


def test_evaluate_scores_what_the_verb_scores(
    folder: Path, net: sd.SpikingNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage", reason="SSIM is scikit-image's")
    net.save(folder / "unet.snn")
    found = sd.evaluate(net, folder / "pictures", "denoise", noise=5)
    words = [
        "evaluate",
        folder / "unet.snn",
        "--data",
        folder / "pictures",
        "--task",
        "denoise",
        "--noise",
        "5",
        "--json",
    ]
    assert main([str(word) for word in words]) == 0
    assert found.overall == json.loads(capsys.readouterr().out)["overall"]
    assert str(found).startswith("denoise, 2 image(s): psnr_db ")
    floats = sd.evaluate(folder / "unet.onnx", folder / "pictures", "denoise", noise=5)
    assert floats.cost is None
    with pytest.raises(StimulusError, match=r"absent: no such folder$"):
        sd.evaluate(net, folder / "absent", "denoise")


def test_a_stream_is_scored_from_files_and_from_arrays(folder: Path, net: sd.SpikingNetwork) -> None:
    pytest.importorskip("skimage", reason="SSIM is scikit-image's")
    found = sd.evaluate_stream(net, folder / "pictures", "denoise", noise=5, seed=3, crop=(8, 8))
    clean = [net.read_image(folder / "pictures" / f"{number}.png")[:, :, 4:12, 4:12] for number in range(2)]
    noise = [np.random.default_rng(3 + number).standard_normal((1, 1, 8, 8), np.float32) for number in range(2)]
    seen = [image + pattern * np.float32(5 / 255) for image, pattern in zip(clean, noise, strict=True)]
    arrays = sd.evaluate_stream(net, iter(seen), "denoise", references=clean)
    assert [frame.compared for frame in arrays.frames] == [frame.compared for frame in found.frames]
    assert [frame.activity for frame in arrays.frames] == [frame.activity for frame in found.frames]
    floats = sd.evaluate_stream(net, seen, "segment", model=folder / "unet.onnx", backend="reference", dead_zone=255)
    assert floats.frames[1].activity.events == 0
    one = sd.evaluate_stream(net, folder / "pictures", "denoise", noise=5, chosen=slice(1, 2))
    assert [frame.frame for frame in one.frames] == ["1.png"]
    with pytest.raises(
        StimulusError, match="^references go with arrays; a path brings its own, as a data set has them$"
    ):
        sd.evaluate_stream(net, folder / "pictures", "denoise", references=clean)
    with pytest.raises(
        StimulusError, match=r"^noise, crop, chosen and bin are those of a path; prepare arrays as the "
    ):
        sd.evaluate_stream(net, seen, "denoise", noise=5)


def test_emit_writes_a_file_of_its_form(net: sd.SpikingNetwork, tmp_path: Path) -> None:
    assert sd.emit(net, tmp_path / "unet.onnx", "onnx", images=PHOTO) == tmp_path / "unet.onnx"
    assert onnx.load(tmp_path / "unet.onnx").graph.node
    with pytest.raises(BackendUnavailableError, match=r"^backend cpu cannot write a bundle$"):
        sd.emit(net, tmp_path / "bundle", "cpu")  # type: ignore[arg-type]


def test_a_report_holds_what_it_returns(net: sd.SpikingNetwork, folder: Path, tmp_path: Path) -> None:
    contents = sd.write_report(net, tmp_path / "r.html", PHOTO, model=folder / "unet.onnx", backend="reference")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert contents.verdict.line in text
    assert contents.losses is not None
    assert "Loss of every layer" in text
    with pytest.raises(VerificationError, match=r"^level 'all' is unknown; there are output-count, "):
        sd.write_report(net, tmp_path / "r.html", PHOTO, level="all")
    with pytest.raises(ReportError, match=r"^the image: 2 images; a report shows one"):
        sd.write_report(net, tmp_path / "r.html", PHOTO.repeat(2, axis=0))


def test_finetune_writes_the_network(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    out = tmp_path / "tuned.snn"
    model, data = folder / "unet.onnx", folder / "pictures"
    brief = {"noise": 25, "iterations": 1, "batch": 1, "patch": 16, "validation": 0.5}
    published = sd.finetune(model, data, "denoise", out, options="spiking-unet", **brief)  # type: ignore[arg-type]
    assert published.network.config["scale"] == "mmse"
    tuned = sd.finetune(model, data, "denoise", out, **brief)  # type: ignore[arg-type]
    assert tuned.checks
    assert sd.load(out).network.outputs[0].name == tuned.network.outputs[0].name
    with pytest.raises(ReportError, match=r"tuned.txt: name a .snn file in a folder that exists$"):
        sd.finetune(folder / "unet.onnx", folder / "pictures", "denoise", tmp_path / "tuned.txt")


def test_results_print_in_ten_lines(net: sd.SpikingNetwork) -> None:
    verdict, energy, proof = sd.verify(net, PHOTO), net.estimate(PHOTO), sd.prove(net)
    for shown in (verdict, energy, proof):
        lines = str(shown).split("\n")
        assert 1 <= len(lines) <= 10
        assert max(map(len, lines)) < 200
        assert "\n" not in repr(shown)
        assert repr(shown).startswith(f"{type(shown).__name__}(")
    assert str(verdict).split("\n")[0] == verdict.line
    assert "not in it: host input and output" in str(energy)
    assert str(proof).startswith("PROVED EQUAL for all inputs: ")


def test_only_reports_need_the_template_library(folder: Path) -> None:
    program = f"""if True:
        import sys
        for name in ("jinja2", "markupsafe", "rich", "onnxruntime", "skimage", "matplotlib", "torch"):
            sys.modules[name] = None
        import snn_deploy as sd
        print(sd.inspect({str(folder / "unet.onnx")!r}), sd.evaluate.__name__, sd.emit.__name__)
    """
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=settings)
    assert done.stdout == "9 nodes: 8 mapped, 1 folded, 0 host, 0 refused evaluate emit\n", done.stderr
