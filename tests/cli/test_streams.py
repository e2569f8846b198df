"""``--stream`` of run, verify and estimate: frames one after the other."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snn_deploy.backend import quantize_images
from snn_deploy.backend.registry import load_backend
from snn_deploy.data.event_file import read_windows
from snn_deploy.network import artifact
from snn_deploy.testing import random_unet
from tests.cli.conftest import Tool

FRAMES = 6


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that stands still, and a square that moves in it."""
    folder = tmp_path_factory.mktemp("frames")
    scene = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    for number in range(FRAMES):
        picture = scene.copy()
        picture[4:8, number : number + 4] = 255
        Image.fromarray(picture).save(folder / f"{number + 7}.png")  # 7, 8, 9, 10: not in the order of their letters
    return folder


def test_run_says_what_changes_take(tool: Tool, network: Path, frames: Path) -> None:
    found = tool("run", network, "--stream", frames, "--json")
    assert found.status == 0, found.err
    said = json.loads(found.out)
    still = json.loads(tool("run", network, "--input", frames / "7.png", "--json").out)
    assert [len(said["frames"]), said["saturations"], said["first"]] == [FRAMES, 0, 0]
    first, *later = said["frames"]
    assert first["events"] == sum(population["events"] for population in still["populations"])
    assert all(0 < frame["synaptic_operations"] < first["synaptic_operations"] for frame in later)
    assert first["operations_per_mac"] == first["synaptic_operations"] / said["macs"]
    mean = sum(frame["synaptic_operations"] for frame in later) / len(later)
    assert sum(means["synaptic_operations"] for means in said["populations"]) == pytest.approx(mean)
    shown = tool("run", network, "--stream", frames, "--frames", "0-2").out
    assert "unet on cpu: 3 frame(s), means after the first" in shown
    assert "ms per frame" in shown
    one = tool("run", network, "--stream", frames, "--frames", "0-0").out
    assert "1 frame(s), its only one" in one


def test_outputs_are_those_of_still_images_and_a_stream_resumes(
    tool: Tool, network: Path, frames: Path, empty_folder: Path
) -> None:
    words = ("run", network, "--stream", frames, "--out", "o.npy")
    assert tool(*words).status == 0
    whole = {path.name: np.load(path) for path in sorted(empty_folder.glob("o.*.npy"))}
    assert list(whole) == [f"o.{number:06}.npy" for number in range(FRAMES)]
    for number in range(FRAMES):
        tool("run", network, "--input", frames / f"{number + 7}.png", "--out", "still.npy")
        assert np.array_equal(np.load("still.npy"), whole[f"o.{number:06}.npy"])
    for path in empty_folder.glob("o.*"):
        path.unlink()
    begun = tool(*words, "--frames", "0-3", "--save-state", "state", "--save-every", "2")
    assert (begun.status, begun.err) == (0, "wrote state\n")
    found = tool(*words, "--frames", "4-5", "--resume", "state", "--backend", "reference", "--json")
    assert json.loads(found.out)["first"] == 4
    assert {path.name: np.load(path).tolist() for path in empty_folder.glob("o.*.npy")} == {
        name: values.tolist() for name, values in whole.items()
    }
    # the frame after the saved one changes little: it was not sent anew
    assert json.loads(found.out)["frames"][0]["operations_per_mac"] < 0.5


def test_a_state_that_does_not_fit_is_one_line(tool: Tool, network: Path, frames: Path, empty_folder: Path) -> None:
    tool("run", network, "--stream", frames, "--crop", "8x8", "--frames", "0-1", "--save-state", "state")
    found = tool("run", network, "--stream", frames, "--resume", "state")
    assert (found.status, found.out) == (3, "")
    assert found.err.endswith("7.png: is 16x16, the stream 8x8; give frames of one size, or --crop\n")
    Path("state").write_bytes(b"nonsense")
    found = tool("run", network, "--stream", frames, "--resume", "state")
    assert found.err.startswith("snn-deploy run: state: not the state of a stream; ")
    assert found.err.count("\n") == 1


def test_what_is_missing_or_too_much(tool: Tool, network: Path, frames: Path) -> None:
    for words, message in (
        (("run", network), "give either --input FILE, an image, or --stream PATH, frames one after the other"),
        (("run", network, "--stream", frames, "--input", "x.png"), "--input has no effect with --stream; leave it out"),
        (
            ("run", network, "--stream", frames, "--save-every", "2"),
            "--save-every has no effect without --save-state; leave it out",
        ),
        (
            ("run", network, "--stream", frames, "--backend", "onnx"),
            "backend onnx does not run streams; choose reference, cpu or lava",
        ),
        (("estimate", network), "give --input FILE, or --stream PATH, or --rate R to assume an activity: one of them"),
        (
            ("estimate", network, "--stream", frames, "--frames", "1-1"),
            f"{frames}: 1 frame(s); changes need two or more, give an image as --input",
        ),
        (("verify", network), "give --input FILE, the image for every backend, or --stream PATH, frames of a stream"),
    ):  # fmt: skip
        found = tool(*words)
        assert (found.status, found.out) == (3, ""), words
        assert found.err == f"snn-deploy {words[0]}: {message}\n"


def test_outputs_that_cannot_be_written_are_refused_before_anything_runs(
    tool: Tool, network: Path, frames: Path, empty_folder: Path
) -> None:
    found = tool(
        "run", network, "--stream", frames, "--out", "o.png", "--labels", "--colors", "--save-state", "x/state"
    )
    assert (found.status, found.out) == (3, "")
    assert "folder x does not exist" in found.err
    found = tool("run", network, "--stream", frames, "--out", "o.npy", "--colors")
    assert (found.status, found.out) == (3, "")
    assert "o.000000.npy: colors are those of label images" in found.err
    assert list(empty_folder.iterdir()) == []


def test_a_network_of_rate_mode_does_not_stream(tool: Tool, frames: Path, empty_folder: Path) -> None:
    artifact.save(random_unet("rate"), empty_folder / "rate.snn")
    found = tool("run", "rate.snn", "--stream", frames)
    assert (found.status, found.out) == (3, "")
    assert "is in rate mode" in found.err


def test_verify_compares_frame_after_frame(tool: Tool, network: Path, frames: Path) -> None:
    found = tool("verify", network, "--stream", frames, "--frames", "0-2", "--level", "state")
    assert found.status == 0, found.err
    assert "EQUAL at level state: reference, cpu; " in found.out
    assert "3 frame(s)" in found.out
    said = json.loads(tool("verify", network, "--stream", frames, "--frames", "0-1", "--json").out)["verdict"]
    assert (said["status"], said["unit"], said["coverage"]["images"]) == ("equal", "frame", 2)
    refused = tool("verify", network, "--stream", frames, "--backends", "reference,onnx")
    assert (refused.status, refused.err) == (
        2,
        "snn-deploy verify: backend onnx does not run streams; choose reference, cpu or lava\n",
    )


def test_estimate_is_of_the_frames_after_the_first(tool: Tool, network: Path, frames: Path) -> None:
    said = json.loads(tool("estimate", network, "--stream", frames, "--json").out)
    assert (said["frames"], len(said["synaptic_operations"])) == (FRAMES, FRAMES)
    ran = json.loads(tool("run", network, "--stream", frames, "--json").out)
    assert said["synaptic_operations"] == [frame["synaptic_operations"] for frame in ran["frames"]]
    operations = next(part for part in said["energy"]["parts"] if part["name"] == "synaptic operations")
    assert operations["count"] == pytest.approx(sum(said["synaptic_operations"][1:]) / (FRAMES - 1))
    assert said["first_frame"]["energy"]["dynamic_j"]["value"] > said["energy"]["dynamic_j"]["value"]
    shown = tool("estimate", network, "--stream", frames, "--streamed").out
    assert f"mean of {FRAMES - 1} after it" in shown


def test_evaluate_scores_every_frame(tool: Tool, network: Path, frames: Path) -> None:
    words = ("evaluate", network, "--stream", frames, "--task", "denoise", "--noise", "9")
    model = network.with_name("unet.onnx")
    said = json.loads(tool(*words, "--model", model, "--json").out)["stream"]
    ran = json.loads(tool("run", network, "--stream", frames, "--noise", "9", "--json").out)
    for mine, its in zip(said["frames"], ran["frames"], strict=True):
        assert mine["operations_per_mac"] == its["operations_per_mac"]
        assert mine["events"] == its["events"]
        assert 0 < mine["changed"] <= 1
        compared = mine["compared"]
        assert compared["loss"] == compared["model"]["psnr_db"] - compared["scores"]["psnr_db"]
    assert said["frames"][0]["changed"] > said["frames"][1]["changed"]
    later = [frame["operations_per_mac"] for frame in said["frames"][1:]]
    assert said["operations_per_mac"] == pytest.approx(sum(later) / len(later))
    shown = tool(*words, "--model", model).out
    for text in ("7.png", "loss", "float network: PSNR [dB]", "mean of the frames after the first"):
        assert text in shown
    alone = tool(*words, "--frames", "0-0").out
    assert "PSNR [dB]" in alone
    assert "loss" not in alone
    assert "float network" not in alone
    assert "after the first" not in alone
    assert json.loads(tool(*words, "--frames", "0-0", "--json").out)["stream"]["operations_per_mac"] is None


def test_evaluate_says_what_it_lacks(tool: Tool, network: Path, frames: Path) -> None:
    for words, message in (
        ((), "give either --data PATH, images, or --stream PATH, frames one after the other"),
        (
            ("--stream", frames),
            "7.png: has nothing to be compared with; give a data set with references, the float model"
            " or noise to remove",
        ),
        (("--stream", frames, "--data", frames), "--data has no effect with --stream; leave it out"),
        (("--data", frames, "--model", "x.onnx"), "--model has no effect with an artifact (.snn); leave it out"),
    ):
        found = tool("evaluate", network, "--task", "denoise", *words)
        assert (found.status, found.out, found.err) == (3, "", f"snn-deploy evaluate: {message}\n")


def test_many_frames_are_shown_in_part(tool: Tool, network: Path, empty_folder: Path) -> None:
    np.save("stack.npy", np.random.default_rng(0).random((41, 1, 8, 8), np.float32))
    found = tool("evaluate", network, "--stream", "stack.npy", "--task", "denoise", "--noise", "9")
    assert found.status == 0, found.err
    shown = found.out
    assert "one of every 2 frames (--json has all)" in " ".join(shown.split())
    assert "stack.npy[40]" in shown
    assert "stack.npy[39]" not in shown


def test_a_dead_zone_leaves_sensor_noise_out(tool: Tool, network: Path, frames: Path) -> None:
    words = ("run", network, "--stream", frames, "--noise", "1", "--json")
    events = []
    for size in ("0", "4"):
        said = json.loads(tool(*words, "--dead-zone", size).out)
        events.append(sum(frame["synaptic_operations"] for frame in said["frames"][1:]))
    assert events[1] < events[0] / 2
    verified = tool("verify", network, "--stream", frames, "--noise", "1", "--dead-zone", "4", "--frames", "0-2")
    assert verified.status == 0


def test_neurons_hold_small_changes_back(tool: Tool, network: Path, frames: Path, empty_folder: Path) -> None:
    words = ("run", network, "--stream", frames, "--json")
    taken = []
    for hold in ("0", "2"):
        said = json.loads(tool(*words, "--hold", hold).out)
        taken.append(sum(frame["synaptic_operations"] for frame in said["frames"][1:]))
    assert taken[1] < taken[0]
    score = ("evaluate", network, "--stream", frames, "--task", "denoise", "--noise", "9", "--hold", "2", "--json")
    assert json.loads(tool(*score).out)["stream"]["operations_per_mac"] > 0
    assert tool("verify", network, "--stream", frames, "--hold", "2", "--frames", "0-2", "--level", "state").status == 0
    assert tool(*words, "--hold", "2", "--frames", "0-1", "--save-state", "s").status == 0
    assert tool(*words, "--hold", "2", "--frames", "2-3", "--resume", "s").status == 0
    found = tool(*words, "--frames", "2-3", "--resume", "s")
    assert (found.status, found.out) == (3, "")
    assert found.err.endswith("and with the same hold\n")
    refused = tool(*words, "--hold", "15")
    assert (refused.status, refused.out) == (3, "")
    assert "counts up to 15; hold 1 to 14 counts back" in refused.err


def test_events_are_frames(tool: Tool, frames: Path, empty_folder: Path) -> None:
    network = random_unet("exact", size=16, width=2)
    artifact.save(network, empty_folder / "n.snn")
    rng = np.random.default_rng(0)
    x, y, time = rng.integers(0, 16, (2, 300)), rng.integers(0, 16, (2, 300)), np.sort(rng.integers(0, 100, (2, 300)))
    np.savez("events.npz", x=x[0], y=y[0], t=time[0], p=rng.integers(0, 2, 300))
    said = json.loads(tool("run", "n.snn", "--stream", "events.npz", "--bin", "10", "--json").out)
    assert len(said["frames"]) == 10
    for words, message in (
        (
            ("--stream", "events.npz"),
            "events.npz: holds events; say how much time a frame has, by --bin in the unit of t",
        ),
        (
            ("--stream", frames, "--bin", "10"),
            "--bin has no effect without a file of events (.npz, .npy, .aedat4) as --stream or --input; leave it out",
        ),
    ):
        found = tool("run", "n.snn", *words)
        assert (found.status, found.err) == (3, f"snn-deploy run: {message}\n")


def write_spikes(path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y, time = rng.integers(0, 16, (3, 300)) * np.array([[1], [1], [10]])
    np.savez(path, x=x, y=y, t=np.sort(time), p=rng.integers(0, 2, 300))


def test_events_are_the_steps_of_a_window(tool: Tool, empty_folder: Path) -> None:
    """200 units of time in bins of 10 are windows of 8, 8 and 4 steps."""
    network = random_unet("rate", size=16, width=2, steps=8)
    artifact.save(network, empty_folder / "n.snn")
    write_spikes(empty_folder / "events.npz")
    words = ("n.snn", "--input", "events.npz", "--bin", "10")
    windows = read_windows(Path("events.npz"), 1, (16, 16), 10, 8)
    assert windows.shape == (2, 8, 1, 16, 16)
    expected = load_backend("reference").run(network, quantize_images(network, windows))
    said = json.loads(tool("run", *words, "--json").out)
    assert [each["counts"] for each in said["populations"]] == [int(each.sum()) for each in expected.counts.values()]
    verified = tool("verify", *words, "--level", "state", "--certificate", "c.json")
    assert verified.status == 0, verified.err
    assert "2 image(s)" in verified.out
    assert tool("verify", "n.snn", "--check", "c.json", "--input", "events.npz").status == 0
    assert tool("estimate", *words).status == 0


def test_events_of_a_window_need_rate_mode_and_the_duration_of_a_step(tool: Tool, empty_folder: Path) -> None:
    write_spikes(empty_folder / "events.npz")
    for mode in ("exact", "rate"):
        artifact.save(random_unet(mode, size=16, width=2), empty_folder / f"{mode}.snn")
    for words, message in (
        (
            ("exact.snn", "--bin", "10"),
            "is in exact mode, which reads frames one after the other; give the file as --stream",
        ),
        (("rate.snn",), "holds events; run, verify and estimate take it, with --bin TIME, the duration of a step"),
        (("rate.snn", "--bin", "10", "--noise", "5"), "holds events; --crop and --noise are for images"),
    ):
        found = tool("run", words[0], "--input", "events.npz", *words[1:])
        assert (found.status, found.out, found.err.count("\n")) == (3, "", 1), found.err
        assert message in found.err
