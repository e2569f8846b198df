"""``import snn_deploy as sd``: what it offers, what it costs, and that it does what the command line does."""

import inspect
import io
import os
import pickle  # noqa: TID251  # what is tested: that it can be pickled
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import snn_deploy as sd
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.conversion.options import preset
from snn_deploy.errors import ConversionError, OverflowProofError, StimulusError, VerificationError
from snn_deploy.network.network import Output
from snn_deploy.testing import random_unet
from tests.cli.models import write_unet

PHOTO = np.random.default_rng(0).random((1, 1, 16, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> sd.SpikingNetwork:
    model = write_unet(tmp_path_factory.mktemp("model") / "unet.onnx")
    return sd.convert(model, calibration=[PHOTO], options=sd.Options(levels=31), size=(16, 16))


def test_every_public_name_exists_and_no_other() -> None:
    for name in sd.__all__:
        assert getattr(sd, name) is not None
    assert dir(sd) == sorted(sd.__all__)
    with pytest.raises(AttributeError, match="module 'snn_deploy' has no attribute 'fly'"):
        sd.fly  # noqa: B018


def test_import_is_cheap() -> None:
    program = (
        "import sys; import snn_deploy as sd; heavy = {'numpy', 'onnx', 'torch', 'rich', 'lava'} & set(sys.modules);"
        "print(sorted(heavy), callable(sd.verify))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout == "[] True\n"


def test_verify_is_one_function_whatever_is_imported() -> None:
    """Its package is called ``verification``, so no import puts a module in its place."""
    before = sd.verify
    signature = inspect.signature(before)
    import snn_deploy.verification

    assert sd.verify is before is snn_deploy.verify
    assert pickle.loads(pickle.dumps(sd.verify)) is before
    assert inspect.signature(sd.verify) == signature
    assert list(signature.parameters)[:4] == ["network", "images", "backends", "level"]


def test_a_network_runs_images_of_other_sizes(net: sd.SpikingNetwork) -> None:
    result = net.run(PHOTO, backend="reference", record=sd.Record.TRAINS)
    assert result.output.shape == PHOTO.shape
    assert result.output.dtype == np.float64
    assert result.run.trains is not None
    population = result.network.outputs[0].population
    unit = result.network.population(population).unit[:, None, None]
    assert np.array_equal(result.output, result.counts[population] * unit)


def test_presets_by_name_and_one_array_of_images(tmp_path: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx")
    batch = np.concatenate([PHOTO, 1 - PHOTO])
    named = sd.convert(model, batch, "spiking-unet", size=(16, 16))
    same = sd.convert(model, [batch], preset("spiking-unet"), size=(16, 16))
    assert named.save(tmp_path / "a.snn") == same.save(tmp_path / "b.snn")
    with pytest.raises(ConversionError, match="preset 'unet' is unknown; there are exact, "):
        sd.convert(model, batch, "unet")


def test_a_conversion_tells_what_it_loses(net: sd.SpikingNetwork, tmp_path: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx")
    findings = sd.convert(model, PHOTO, size=(16, 16)).findings
    assert findings is not None
    assert findings.summary.startswith("loss: ")
    assert findings.is_enough is (findings.advice == ())
    rate = sd.convert(model, PHOTO, "multi-threshold", size=(16, 16)).findings
    assert rate is not None
    assert rate.is_enough or rate.warnings
    assert (net.findings, sd.convert(model, PHOTO, size=(16, 16), fixed=True).findings) == (None, None)


def test_every_output_is_in_the_result(tmp_path: Path) -> None:
    network = random_unet("exact", 0)
    outputs = (Output("restored", "output"), Output("deep", "enc1/b", ("softmax", "argmax")))
    found = sd.SpikingNetwork(replace(network, outputs=outputs)).run(np.zeros((2, 1, 16, 16), np.float32), "reference")
    assert list(found.outputs) == ["restored", "deep"]
    assert found.output is found.outputs["restored"]
    assert found.outputs["deep"].shape == (2, 1, 16, 16)
    assert np.array_equal(found.outputs["deep"][:, 0], found.counts["enc1/b"].argmax(1))
    names = [path.name for path in found.save(tmp_path / "x.npy")]
    assert names == ["x.restored.npy", "x.deep.npy"]
    assert np.array_equal(np.load(tmp_path / "x.deep.npy"), found.outputs["deep"])


def test_counts_are_those_of_the_integer_network(net: sd.SpikingNetwork) -> None:
    result = net.run(PHOTO, backend="reference")
    expected = compute_integer_counts(result.network, result.counts[result.network.input.name])
    assert all(np.array_equal(expected[name], result.counts[name]) for name in expected)


def test_save_and_load(net: sd.SpikingNetwork, tmp_path: Path) -> None:
    digest = net.save(tmp_path / "net.snn")
    again = sd.load(tmp_path / "net.snn")
    assert again.save(tmp_path / "again.snn") == digest
    assert repr(again) == repr(net)


def test_verify_and_its_refusals(net: sd.SpikingNetwork) -> None:
    verdict = sd.verify(net, PHOTO, level="state")
    assert (verdict.exit_code, verdict.asked) == (0, sd.Level.STATE)
    with pytest.raises(VerificationError, match="level 'total' is unknown; there are output-count, .*, state$"):
        sd.verify(net, PHOTO, level="total")
    with pytest.raises(
        VerificationError,
        match="name a second backend, as in reference,cpu, or a trace$",
    ):
        sd.verify(net, PHOTO, backends=("reference",))
    with pytest.raises(
        VerificationError, match="no backend is named, and the first is the baseline; name one, as reference$"
    ):
        sd.verify(net, PHOTO, backends=())


def test_estimate_has_bands(net: sd.SpikingNetwork) -> None:
    found = net.estimate(PHOTO, backend="reference")
    assert 0 < found.total_j.low < found.total_j.value < found.total_j.high


def test_wrong_images_are_refused(net: sd.SpikingNetwork) -> None:
    for bad in (PHOTO[0], PHOTO.astype(np.int64), np.zeros((1, 3, 16, 16), np.float32), [[1.0]]):
        with pytest.raises(StimulusError, match=r"\(batch, 1, height, width\)"):
            net.run(bad)  # type: ignore[arg-type]
    with pytest.raises(StimulusError, match=r"\(batch, 1, height, width\), as its read_image gives them$"):
        net.run(np.zeros((1, 3, 16, 16), np.float32))


def test_notebooks_and_terminals_show_tables(net: sd.SpikingNetwork) -> None:
    result = net.run(PHOTO, backend="reference")
    for shown in (net, result):
        assert "enc.0/Relu" in (shown._repr_html_() or "")
        terminal = io.StringIO()
        Console(width=80, file=terminal).print(shown)
        lines = terminal.getvalue().splitlines()
        assert max(map(len, lines)) <= 80
        assert any("mid/Relu" in line for line in lines)
    assert repr(result).startswith("Result(unet on reference: output (1, 1, 16, 24), ")


NOTEBOOK = """
import sys
import numpy as np
from IPython.core.interactiveshell import InteractiveShell

class ZMQInteractiveShell(InteractiveShell):  # by this name rich knows a notebook
    pass

shell = ZMQInteractiveShell.instance()
published = []
shell.display_pub.publish = lambda *values, **named: published.append(values)
import snn_deploy as sd
net = sd.load(sys.argv[1])
photo = np.load(sys.argv[2])
run = net.run(photo, backend="reference")
verdict = sd.verify(net, photo, backends=("reference", "reference"))
for shown in (net, run, verdict, net.estimate(photo, backend="reference")):
    with shell.builtin_trap:  # as in a cell
        formats, _ = shell.display_formatter.format(shown)
    print(formats["text/html"].count("<pre"), "mid/Relu" in formats["text/html"], "loihi2" in formats["text/html"])
print(len(published), "EQUAL at level train" in shell.display_formatter.format(verdict)[0]["text/html"])
"""


def test_a_notebook_shows_every_result_as_a_table_once(net: sd.SpikingNetwork, tmp_path: Path) -> None:
    net.save(tmp_path / "net.snn")
    np.save(tmp_path / "photo.npy", PHOTO)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", NOTEBOOK, str(tmp_path / "net.snn"), str(tmp_path / "photo.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == [
        "1 True False",
        "1 True False",
        "1 True False",
        "1 False True",
        "0 True",
    ]


def test_a_stream_counts_as_still_images_do_and_goes_on_from_a_file(net: sd.SpikingNetwork, tmp_path: Path) -> None:
    frames = [PHOTO, np.roll(PHOTO, 1, 3), PHOTO]
    stream = net.stream()
    with pytest.raises(StimulusError, match="^the stream has no frame yet, and so no state to save; push one first$"):
        stream.save(tmp_path / "state")
    for frame in frames[:2]:
        result, still = stream.push(frame), net.run(frame)
        assert np.array_equal(result.output, still.output)
        assert all(np.array_equal(result.counts[name], still.counts[name]) for name in still.counts)
    stream.save(tmp_path / "state")
    for backend in ("cpu", "reference"):
        resumed = net.stream(backend, resume=tmp_path / "state")
        assert repr(resumed) == f"Stream(unet on {backend}: 2 frames)"
        assert np.array_equal(resumed.push(frames[2]).output, net.run(frames[2]).output)
    with pytest.raises(StimulusError, match=r"^image \(1, 1, 16, 16\): network unet reads"):
        stream.push(PHOTO[..., :16])
    assert stream.frames == 2


def test_options_stream_leave_room_for_every_change(tmp_path: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx")
    still = sd.convert(model, calibration=[PHOTO], options=sd.Options(levels=20_000), size=(16, 16))
    with pytest.raises(
        OverflowProofError, match=r"^as a stream, .*; or convert the model with --stream .* leaves room for it$"
    ):
        still.stream()
    wide = sd.convert(model, calibration=[PHOTO], options=sd.Options(levels=20_000, stream=True), size=(16, 16))
    assert np.array_equal(wide.stream().push(PHOTO).output, wide.run(PHOTO).output)
    assert "stream" not in still.network.config
    assert wide.network.config["stream"] is True
    with pytest.raises(ConversionError, match="which takes exact mode$"):
        sd.Options(mode="rate", stream=True)


def test_a_dead_zone_gives_exactly_what_its_frames_give(net: sd.SpikingNetwork, tmp_path: Path) -> None:
    rng, stream, exact, saved = np.random.default_rng(0), net.stream(dead_zone=8), net.stream(), 0
    sent = PHOTO
    for _ in range(4):
        frame = np.clip(PHOTO + rng.normal(0, 2 / 255, PHOTO.shape), 0, 1).astype(np.float32)
        result, whole = stream.push(frame), exact.push(frame)
        unit = net.network.input.unit[0]
        shown = result.counts[net.network.input.name] * unit
        assert np.abs(shown - np.clip(frame, 0, 1)).max() <= 8 / 255 + unit
        still = net.run(shown.astype(np.float32))
        assert np.array_equal(result.output, still.output)
        saved += sum(int(whole.events[name].sum() - result.events[name].sum()) for name in whole.events)
        sent = frame
    assert saved > 1000
    stream.save(tmp_path / "state")
    resumed = net.stream(resume=tmp_path / "state", dead_zone=8)
    assert np.array_equal(resumed.push(sent).output, stream.push(sent).output)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(
            StimulusError, match="a number of at least 0, in 255ths of the way from black to white, is needed$"
        ):
            net.stream(dead_zone=wrong)


def test_an_image_for_every_step_of_a_window(tmp_path: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx")
    rate = sd.convert(model, [PHOTO], sd.Options(mode="rate", steps=3), size=(16, 16))
    steps = np.stack([PHOTO, np.zeros_like(PHOTO), PHOTO / 2], axis=1)
    results = [rate.run(steps, backend) for backend in ("reference", "cpu")]
    assert np.array_equal(results[0].output, results[1].output)
    constant = rate.run(np.stack([PHOTO] * 3, axis=1))
    assert np.array_equal(constant.output, rate.run(PHOTO).output)
    assert not np.array_equal(constant.output, results[0].output)
    assert results[0].network.input.shape == (1, 16, 24)


def test_mistakes_are_said_in_one_line(net: sd.SpikingNetwork, tmp_path: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx")
    for call, message in (
        (lambda: net.run(PHOTO, record="all"), "record 'all' is unknown; there are counts, trains, states"),
        (lambda: net.run(PHOTO, "gpu"), "unknown backend 'gpu'; installed: .*reference, .*"),
        (lambda: sd.convert(model, size=64), r"size is 64; give \(height, width\)"),  # type: ignore[arg-type]
        (lambda: sd.convert(model, 5), "calibration is int; give files, folders or arrays of images"),  # type: ignore[arg-type]
        (lambda: sd.Options(levels="a"), "option levels is 'a'; a number is needed"),  # type: ignore[arg-type]
        (lambda: sd.Options(levels=True), "option levels is True; a number is needed"),
        (lambda: sd.verify(net, PHOTO, "cpu,gpu"), "unknown backend 'gpu'; installed: .*reference, .*"),
    ):
        with pytest.raises(sd.SnnDeployError, match=f"^{message}$"):
            call()
    assert net.run(PHOTO, "reference", record="trains").run.trains is not None
    assert sd.verify(net, PHOTO, "reference, cpu").backends == ("reference", "cpu")
