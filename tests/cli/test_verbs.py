"""Every verb, end to end, on small inputs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from snn_deploy.backend import registry
from snn_deploy.cli import app as cli
from snn_deploy.cli.commands import backends
from snn_deploy.cli.json_schemas import DEFINITIONS, list_kinds, read_schema
from snn_deploy.conversion import remedies
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network import artifact
from snn_deploy.testing import random_unet
from snn_deploy_cpu import CpuBackend
from tests.cli.conftest import Tool
from tests.cli.models import write_unet
from tests.frontend.test_approximation import CURVES, network
from tests.frontend.test_constant_inputs import two_inputs


def test_help_lists_every_verb_with_an_example(tool: Tool) -> None:
    shown = tool("--help")
    assert shown.status == 0
    for verb in cli.VERBS:
        assert re.search(rf"^    {verb} +\w", shown.out, re.MULTILINE), verb
        verb_help = tool(verb, "--help").out
        assert f"snn-deploy {verb}" in verb_help.partition("example: ")[2], f"{verb} has no example"


def test_inspect_says_what_becomes_of_every_node(tool: Tool, tmp_path: Path) -> None:
    model = write_unet(tmp_path / "unet.onnx")
    shown = tool("inspect", model)
    assert (shown.status, shown.err) == (0, "")
    assert "enc.0/Relu" in shown.out
    found = json.loads(tool("inspect", model, "--json").out)
    assert found["counts"] == {"mapped": 8, "folded": 1, "host": 0, "refused": 0}
    assert found["nodes"][0]["node"] == "/enc/enc.0/Conv"


def test_inspect_refuses_with_status_1(tool: Tool, tmp_path: Path) -> None:
    shown = tool("inspect", write_unet(tmp_path / "unet.onnx", extra="Erf"))
    assert shown.status == 1
    assert "refused" in shown.out


def test_convert_run_verify_estimate(tool: Tool, tmp_path: Path, pictures: Path, picture: Path) -> None:
    model, network, restored = write_unet(tmp_path / "unet.onnx"), tmp_path / "unet.snn", tmp_path / "restored.png"
    made = tool("convert", model, "--size", "16x16", "--calibration", pictures, "--levels", "31", "--out", network)
    assert made.status == 0, made.err
    assert network.stat().st_size > 1000
    assert artifact.load(network).config["levels"] == 31
    assert artifact.load(network).config["model"] == "unet.onnx"

    ran = tool("run", network, "--input", picture, "--backend", "reference", "--noise", "5", "--out", restored)
    assert ran.status == 0, ran.err
    with Image.open(restored) as written:
        assert written.size == (48, 32)

    verified = tool("verify", network, "--input", picture, "--crop", "16x16")
    assert verified.status == 0, verified.err
    assert verified.out.rstrip().endswith("| exit 0")

    estimated = tool("estimate", network, "--input", picture, "--backend", "reference", "--json")
    assert estimated.status == 0, estimated.err
    total = json.loads(estimated.out)["energy"]["total_j"]
    assert total["low"] < total["high"]
    shown = tool("estimate", network, "--rate", "0.1")
    assert shown.status == 0
    assert "% static, without host I/O" in shown.out
    assert "not in the energy: host input and output, barriers between steps\n" in shown.out


def test_convert_keeps_the_models_own_size(tool: Tool, tmp_path: Path, pictures: Path) -> None:
    model, network = write_unet(tmp_path / "unet.onnx", (24, 16)), tmp_path / "unet.snn"
    assert tool("convert", model, "--calibration", pictures, "--out", network).status == 0
    assert artifact.load(network).input.shape == (1, 24, 16)


def test_convert_takes_another_size_than_the_models_own(tool: Tool, tmp_path: Path, pictures: Path) -> None:
    """Calibrated, and measured, at that size."""
    model, network = write_unet(tmp_path / "unet.onnx", (24, 16)), tmp_path / "unet.snn"
    assert tool("convert", model, "--size", "16x32", "--calibration", pictures, "--out", network).status == 0
    assert artifact.load(network).input.shape == (1, 16, 32)


def test_color_models_read_color(tool: Tool, tmp_path: Path, pictures: Path, picture: Path) -> None:
    model, network = write_unet(tmp_path / "rgb.onnx", channels=3), tmp_path / "rgb.snn"
    assert tool("convert", model, "--size", "16", "--calibration", pictures, "--out", network).status == 0
    out = tmp_path / "out.jpg"
    assert tool("run", network, "--input", picture, "--backend", "reference", "--out", out).status == 0
    with Image.open(out) as written:
        assert written.mode == "RGB"


def test_run_writes_arrays_and_json_keeps_full_names(tool: Tool, tmp_path: Path, network: Path, picture: Path) -> None:
    out = tmp_path / "out.npy"
    ran = tool("run", network, "--input", picture, "--backend", "reference", "--json", "--out", out)
    found = json.loads(ran.out)
    names = [population.name for population in artifact.load(network).populations]
    assert [item["name"] for item in found["populations"]] == names
    assert np.load(out).shape == (1, 1, 32, 48)


def test_run_takes_batches_of_arrays(tool: Tool, tmp_path: Path, network: Path) -> None:
    images = np.random.default_rng(0).random((3, 1, 16, 16)).astype(np.float32)
    np.save(tmp_path / "three.npy", images)
    ran = tool("run", network, "--input", tmp_path / "three.npy", "--backend", "reference")
    assert "3 image(s)" in ran.out


def test_backends_run_or_say_why_not(tool: Tool) -> None:
    shown = tool("backends", "--json")
    states = {state["name"]: state for state in json.loads(shown.out)["backends"]}
    assert states["reference"]["runs"]
    assert all(state["note"] for state in states.values())
    assert (shown.status, all(state["runs"] for state in states.values() if state["installed"])) == (0, True)


def test_a_backend_that_fails_is_status_1_and_one_that_lacks_something_is_not(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = (
        EntryPoint("absent", "no_such_library_anywhere:Toy", registry.GROUP),
        EntryPoint("reference", "snn_deploy_reference:ReferenceBackend", registry.GROUP),
    )
    monkeypatch.setattr(registry, "_find_points", cache(lambda: points))
    shown = tool("backends")
    assert (shown.status, "No module named" in shown.out) == (0, True)
    broken = EntryPoint("broken", "fractions:Fraction.as_integer_ratio", registry.GROUP)
    monkeypatch.setattr(registry, "_find_points", cache(lambda: (*points, broken)))
    shown = tool("backends", "--json")
    states = {state["name"]: (state["installed"], state["runs"]) for state in json.loads(shown.out)["backends"]}
    assert (shown.status, states) == (
        1,
        {"absent": (False, False), "reference": (True, True), "broken": (True, False)},
    )


def test_targets_say_where_numbers_come_from(tool: Tool) -> None:
    listed = json.loads(tool("targets", "--json").out)["targets"]
    assert {item["name"] for item in listed} >= {"loihi1", "loihi2"}
    shown = tool("targets", "loihi2")
    assert "energy.synapse_pj" in shown.out
    assert re.search(r"^\(1\) \S.*, 20\d\d", shown.out, re.MULTILINE)
    (loihi2,) = json.loads(tool("targets", "loihi2", "--json").out)["targets"]
    assert loihi2["figures"]["energy.synapse_pj"]["basis"] == "inherited"


def test_a_mapping_that_fails_has_no_totals(tool: Tool, tmp_path: Path, network: Path) -> None:
    """Cores of the populations that could be placed are no answer; the picture of them is left out, too."""
    device, picture = tmp_path / "tiny.toml", tmp_path / "cores.svg"
    device.write_text(
        'name = "tiny"\ntitle = "tiny"\ninherit = "loihi2"\n[sources.test]\ntitle = "tiny"\ndate = "2026-11"\n'
        '[limits]\nsynaptic_memory_words = {value = 20, source = "test", basis = "specified"}\n'
    )
    estimate = ("estimate", network, "--rate", "0.1", "--target", device)
    shown = tool(*estimate, "--map", picture)
    assert shown.status == 1
    assert re.search(r"no total: \d of \d populations fit on no core", shown.out)
    assert "chip(s) of" not in shown.out
    assert "cores.svg is not written: " in shown.err
    assert not picture.exists()
    mapping = json.loads(tool(*estimate, "--json").out)["mapping"]
    assert [mapping[key] for key in ("fits", "cores", "chips", "board")] == [False, None, None, None]
    cores = [layer["cores"] for layer in mapping["layers"] if layer["tile"] is None]
    assert cores
    assert set(cores) == {None}


def test_view_writes_onnx_that_shows_thresholds(tool: Tool, tmp_path: Path, network: Path) -> None:
    out = tmp_path / "view.onnx"
    assert tool("view", network, "--out", out).status == 0
    model = onnx.load(out)
    names = {node.name for node in model.graph.node}
    assert "/mid/Relu (neurons)" in names
    (node,) = (node for node in model.graph.node if node.name == "/mid/Relu (neurons)")
    theta = next(attribute for attribute in node.attribute if attribute.name == "theta")
    neuron = artifact.load(network).population("/mid/Relu").neuron
    assert neuron is not None
    assert list(theta.ints) == neuron.theta.tolist()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_verbs(tool: Tool, shell: str) -> None:
    pytest.importorskip("shtab", reason="needs the extra completion")
    shown = tool("complete", shell)
    assert shown.status == 0
    assert all(verb in shown.out for verb in cli.VERBS)


def test_quiet_says_nothing_but_results(tool: Tool, tmp_path: Path, network: Path, picture: Path) -> None:
    words = ("run", network, "--input", picture, "--backend", "reference", "--out", tmp_path / "o.png")
    assert "wrote" in tool(*words).err
    assert tool(*words, "-q").err == ""


def test_verbose_names_every_coefficient(tool: Tool, network: Path) -> None:
    plain, full = (tool("estimate", network, "--rate", "0.1", *more).out for more in ((), ("-v",)))
    assert "energy.synapse_pj = 23.6" in full
    assert "energy.synapse_pj" not in plain


def test_project_file_sets_options_and_the_command_line_prevails(
    tool: Tool, empty_folder: Path, network: Path, picture: Path
) -> None:
    text = f'[run]\nnetwork = "{network}"\ninput = "{picture}"\nbackend = "reference"\njson = true\ncrop = "16x16"\n'
    (empty_folder / "snn-deploy.toml").write_text(text)
    found = json.loads(tool("run").out)
    assert found["backend"] == "reference"
    assert found["populations"][0]["neurons"] == 256
    assert json.loads(tool("run", "--crop", "32x32").out)["populations"][0]["neurons"] == 1024


def _outside(*words: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "snn_deploy", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | environment,
    )


def test_threads_are_limited_before_libraries_load(tmp_path: Path) -> None:
    """NumPy reads these variables when it is imported, so nothing may import it before; no other verb is imported."""
    program = (
        "import sys, os; from snn_deploy.cli import app as cli; print('numpy' in sys.modules);"
        "cli.main(['targets', '-q', '--threads=3']); print(*(os.environ[name] for name in cli.THREAD_VARIABLES),"
        "*(name.split('.')[-1] for name in sys.modules if name.startswith('snn_deploy.cli.commands.')))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    lines = result.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("False", "3 3 3 targets"), result.stderr


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), BackendUnavailableError("cpu refuses this")])
def test_a_backend_that_fails_is_not_compared(
    error: Exception, tool: Tool, network: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(CpuBackend, "run", fail)
    monkeypatch.setattr(backends, "list_backends", lambda: ("cpu", "reference"))
    found = tool("verify", network, "--input", picture, "--crop", "16x16")
    assert (found.status, found.out) == (2, "")
    assert re.fullmatch(r"snn-deploy verify: (cpu refuses this|backend cpu failed: ZeroDivisionError: .*)\n", found.err)
    assert tool("backends").status == 1, "listed, with what is wrong"


def test_values_far_from_the_calibrated_ones_are_told(tool: Tool, network: Path) -> None:
    np.save("bright.npy", np.random.default_rng(0).uniform(0, 5, (1, 1, 16, 16)).astype(np.float32))
    found = tool("run", network, "--input", "bright.npy", "--backend", "reference")
    assert found.status == 3
    assert re.search(
        r"^snn-deploy run: [78]\d\.\d\d% of the input's values are outside .* images like these$", found.err
    )


def test_interrupt_leaves_no_file(tmp_path: Path, root: Path) -> None:
    """Ctrl-C in the middle of a conversion: status 130, one line, an empty folder."""
    out = tmp_path / "out"
    out.mkdir()
    # what runs in the background of a shell ignores it, and so would its children
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = _outside("convert", root / "models" / "denoiser_s25.onnx", "--size", "512x512", "--out", out / "d.snn")
    signal.signal(signal.SIGINT, before)
    try:
        assert process.stderr is not None
        deadline = time.monotonic() + 60
        while not _has_skimage(process.pid) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        err = _interrupt(process)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err == "snn-deploy convert: interrupted\n"
    assert list(out.iterdir()) == []


def _interrupt(process: "subprocess.Popen[str]") -> str:
    """Standard error after Ctrl-C, pressed again where it was lost.

    CPython 3.13 drops an exception that arises while it executes an extension module, as onnxruntime's is just then.
    """
    for _ in range(9):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=2)[1]
    return process.communicate(timeout=60)[1]


def _has_skimage(pid: int) -> bool:
    """Whether the process has begun to read its calibration images."""
    try:
        return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def test_convert_says_what_is_lost_and_searches(tool: Tool, tmp_path: Path) -> None:
    model, out = write_unet(tmp_path / "unet.onnx"), tmp_path / "found.snn"
    convert = ("convert", model, "--size", "16x16", "--out", out)
    found = json.loads(tool(*convert, "--levels", "15", "--search", "--json").out)
    trials = found["choice"]["trials"]
    assert {"scale", "normalization"} <= {name for trial in trials for name in trial["changes"]}
    assert all("levels" not in trial["changes"] for trial in trials)
    kept = [trial for trial in trials if trial["error"] == found["loss"]["error"]]
    assert all(found["options"][name] == value for name, value in kept[0]["changes"].items())
    assert 0 < found["loss"]["error"] <= trials[0]["error"]
    first, *others = (item["loss"] for item in found["populations"])
    assert first is None
    assert all(item["error"] > 0 for item in others)
    assert len(re.findall("chosen$", tool(*convert, "--search").out, re.MULTILINE)) == 1


def test_options_are_kept_where_they_are_fixed(tool: Tool, tmp_path: Path) -> None:
    model, out = write_unet(tmp_path / "unet.onnx"), tmp_path / "found.snn"
    convert = ("convert", model, "--size", "16x16", "--weight-bits", "2", "--json", "--out", out)
    chosen, fixed = (json.loads(tool(*convert, *more).out) for more in ((), ("--fixed",)))
    assert fixed["options"]["theta"] == "power-of-two" != chosen["options"]["theta"]
    assert (len(fixed["choice"]["trials"]), "choice" in fixed["options"]) == (1, False)
    assert chosen["options"]["choice"] == chosen["choice"]["reason"]
    assert chosen["options"]["weight_bits"] == 2
    for words in (("--preset", "multi-threshold"), ("--neuron", "sigma-delta")):
        found = tool("convert", model, "--fixed", *words, "--out", out)
        assert found.status == 3
        assert "--fixed" in found.err


def test_a_further_input_is_made_a_constant(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "two.onnx").write_bytes(two_inputs(["n", 1, "h", "w"]))
    convert = ("convert", tmp_path / "two.onnx", "--size", "8x8", "--out", tmp_path / "two.snn")
    refused = tool(*convert)
    assert refused.status == 3
    assert "(x, level); give the others a number (convert --constant NAME=NUMBER" in refused.err
    made = tool(*convert, "--constant", "level=0.25")
    assert (made.status, (tmp_path / "two.constant.onnx").is_file()) == (0, True)
    assert "two.constant.onnx: two.onnx with level = 0.25" in made.err
    assert artifact.load(tmp_path / "two.snn").input.shape == (1, 8, 8)
    for wrong in ("level", "=1", "level=nan", "level=high", "level=0.1,", "level=0.1,x"):
        assert "is not NAME=NUMBER,..., for example sigma=0.098" in tool(*convert, "--constant", wrong).err


def test_smooth_activations_are_approximated_where_that_is_asked_for(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "silu.onnx").write_bytes(network(CURVES["SiLU"]))
    convert = ("convert", tmp_path / "silu.onnx", "--size", "12x12", "--fixed", "--out", tmp_path / "silu.snn")
    refused = tool(*convert)
    assert (refused.status, "or convert --approximate" in refused.err) == (3, True)
    made = tool(*convert, "--approximate")
    assert (made.status, (tmp_path / "silu.approximate.onnx").is_file()) == (0, True)
    told = r"experimental: 1 activation\(s\) replaced by ReLUs, each within \d\.\d\d%; y changes by \d\.\d\d% \(2-norm"
    assert re.search(told, made.err.replace("\n", " "))
    assert artifact.load(tmp_path / "silu.snn").input.shape == (1, 12, 12)


def test_a_loss_may_be_too_large(tool: Tool, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = root / "models" / "denoiser_s25.onnx", tmp_path / "found.snn"
    convert = ("convert", model, "--size", "16x16", "--levels", "31", "--fixed", "--out", out, "--max-loss")
    allowed = tool(*convert, "100", "--noise", "25", "--json")
    task = json.loads(allowed.out)["findings"]["loss"]
    assert allowed.status == 0
    assert (task["measure"], task["float_db"] > 25, task["allowed"]) == ("psnr", True, 100)
    monkeypatch.setattr(remedies, "BUDGET_S", 0.0)
    found = tool(*convert, f"{0.99 * task['value']:.6f}", "--noise", "25", "--json")
    told = json.loads(found.out)["findings"]
    assert (found.status, told["loss"]["value"]) == (1, task["value"])
    assert f"warning: {told['warnings'][0]}" in found.err
    assert [each["change"] for each in told["remedies"]] == ["--levels 255"]


def test_a_loss_is_shown_or_said_not_to_be_measured(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = write_unet(tmp_path / "unet.onnx"), tmp_path / "found.snn"
    convert = ("convert", model, "--size", "16x16", "--levels", "3", "--fixed", "--out", out)
    shown = tool(*convert)
    assert shown.status == 0
    assert re.search(r"^loss: \S+% of the output's variation, 4 images .* did not see$", shown.out, re.MULTILINE)
    assert re.search(r"^layers that cost most, .*\nwould help, as measured: --levels 1023 ", shown.out, re.MULTILINE)
    labels = json.loads(tool(*convert, "--max-loss", "100", "--task", "segment", "--json").out)["findings"]["loss"]
    assert (labels["measure"], labels["allowed"]) == ("labels", 100)

    def absent(name: str) -> None:
        raise BackendUnavailableError(f"{name} is absent")

    monkeypatch.setattr("snn_deploy.cli.commands.convert.load_backend", absent)
    assert tool(*convert, "--max-loss", "100").status == 2


def test_help_is_a_word_too(tool: Tool) -> None:
    for words in ((), ("run",)):
        found = tool("help", *words)
        assert (found.status, found.err) == (0, "")
        assert found.out == tool(*words, "--help").out != ""


def test_defaults_fit_networks_of_fixed_size(tool: Tool, tmp_path: Path) -> None:
    """A network of 48x48 cannot be shown 32x32, one of 16x16 cannot overlap by 32: defaults follow the network."""
    for size in (16, 48):
        artifact.save(random_unet("exact", 0, size=size, width=2), tmp_path / "n.snn")
        folder = tmp_path / str(size)
        folder.mkdir()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (52, 52), np.uint8)).save(folder / "a.png")
        scored = ("evaluate", tmp_path / "n.snn", "--data", folder, "--task", "denoise", "--backend", "reference")
        assert tool(*scored).status == 0
        assert tool(*scored, "--overlap", "4").status == 0
    found = tool("verify", tmp_path / "n.snn", "--suggest-stimulus", folder)
    assert found.status in (0, 2), found.err


def test_help_is_the_same_whatever_is_loaded() -> None:
    assert cli.parser(()).format_help() == cli.parser(("run",)).format_help() == cli.parser().format_help()


def test_the_verb_prints_a_schema_complete_in_itself(tool: Tool) -> None:
    found = tool("schema", "verify")
    assert found.status == 0
    assert json.loads(found.out) == read_schema("verify")
    assert set(read_schema("verify")["$defs"]) == {DEFINITIONS}
    listed = tool("schema").out
    assert all(kind in listed for kind in list_kinds())
    refused = tool("schema", "verfy")
    assert refused.status == 3
    assert "verify" in refused.err
