"""One piece of work on many workers: the same results in the same order, whatever is lost on the way."""

import math
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sweep_points import score

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import app as cli
from snn_deploy.data.datasets import list_clean_images
from snn_deploy.data.images import read_image
from snn_deploy.errors import BackendError, BackendUnavailableError, StimulusError, UnsupportedModelError
from snn_deploy.evaluation.evaluate import FloatPredictor, SpikingPredictor, evaluate
from snn_deploy.evaluation.sweep import Grid, sweep
from snn_deploy.frontend.onnx import read
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.testing import random_unet
from snn_deploy.verification import Level, record
from snn_deploy.verification.many import combine_exit_codes, verify_images
from snn_deploy.workers import gather, spread
from tests.cli.models import write_unet

Report = Callable[[int, int], None]


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet(size=16, width=2, levels=15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of 16x16 pixels."""
    pictures = tmp_path_factory.mktemp("pictures")
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(pictures / f"{index:02}.png")
    return pictures


def images(number: int) -> Iterator[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    for index in range(number):
        yield f"image {index}", np.random.default_rng(index).normal(0.3, 0.4, (1, 1, 16, 16)).astype(np.float32)


def test_one_process_needs_no_dask_and_keeps_the_order() -> None:
    seen: list[tuple[int, int]] = []
    assert gather(math.isqrt, iter((0, 1, 4, 9)), 4, progress=lambda *done: seen.append(done)) == [0, 1, 2, 3]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(BackendError, match=r"^0 workers; at least 1 is needed$"):
        gather(math.isqrt, range(2), 2, workers=0)


def test_the_worst_verdict_is_the_exit_code(network: Network) -> None:
    equal, silent = (
        verify_images(network, [("x", image)], 1, ("reference", "cpu"), Level.OUTPUT_COUNT)[0]
        for image in (next(images(1))[1], np.zeros((1, 1, 16, 16), np.float32))
    )
    assert combine_exit_codes([equal, equal]) == 0
    assert combine_exit_codes([equal, silent]) == silent.exit_code


def test_an_address_without_a_scheduler() -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    with pytest.raises(
        BackendUnavailableError,
        match=r"^--scheduler nowhere://x: cannot connect \(.*\); start one with dask scheduler, or check the address$",
    ):
        gather(math.isqrt, range(2), 2, scheduler="nowhere://x")


@pytest.mark.filterwarnings("default")
def test_inputs_are_taken_when_needed_and_errors_of_workers_are_raised_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes; a third of the inputs is submitted at once, and errors keep their messages."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    refused = write_unet(tmp_path / "refused.onnx", (8, 8), extra="Hardmax")
    (tmp_path / "only_here.py").write_text("def work(value): return value")
    taken: list[int] = []

    def inputs() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number**2

    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        results = spread(math.isqrt, inputs(), scheduler=address)
        roots = dict([next(results)])
        assert len(taken) < 20
        roots |= dict(results)
        assert roots == {index: index for index in range(40)}
        with pytest.raises(StimulusError, match="absent.png"):
            gather(partial(read_image, channels=1), [Path("absent.png")], 1, scheduler=address)
        with pytest.raises(
            UnsupportedModelError, match=r"^refused.onnx \(operator set 17\): 2 node\(s\) cannot be mapped: /Hardmax"
        ):
            gather(read, [refused], 1, scheduler=address)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(BackendError, match="^a worker lacks only_here; install there what is installed here$"):
            gather(import_module("only_here").work, [3], 1, scheduler=address)


def verified(network: Network, folder: Path, report: Report, scheduler: str | None = None) -> object:
    verdicts = verify_images(
        network, images(12), 12, ("reference", "cpu"), Level.STATE, scheduler=scheduler, progress=report
    )
    return [record(verdict) for verdict in verdicts]


def evaluated(network: Network, folder: Path, report: Report, scheduler: str | None = None) -> object:
    predictor = SpikingPredictor(network, load_backend("reference"))
    return evaluate(
        predictor, list_clean_images(folder), "denoise", 1, sigma=15, seed=7, scheduler=scheduler, progress=report
    )


def swept(network: Network, folder: Path, report: Report, scheduler: str | None = None) -> object:
    grid = Grid("model", (("steps", (2, 4, 8, 16, 32, 64)), ("mode", ("exact", "rate"))))
    return sweep(grid, score, scheduler=scheduler, progress=lambda done, total, _: report(done, total))


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(verified, marks=pytest.mark.slow),
        *(pytest.param(each, marks=pytest.mark.extended) for each in (evaluated, swept)),
    ],
)
@pytest.mark.filterwarnings("default")
def test_two_processes_one_killed_in_the_middle(
    work: Callable[..., object], network: Network, folder: Path, tmp_path: Path
) -> None:
    """Of twelve results three have come when a worker is killed with SIGKILL; all twelve are those of one process."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    alone = work(network, folder, lambda done, total: None)
    killed: list[int] = []
    seen: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path
    ) as cluster:

        def kill(done: int, total: int) -> None:
            seen.append(done)
            if done == 3 and not killed:
                killed.append(cluster.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        many = work(network, folder, kill, cluster.scheduler_address)
    assert killed
    assert seen[-1] == 12
    assert many == alone


def test_a_float_model_travels_by_its_bytes(root: Path, folder: Path) -> None:
    """What a worker on another machine gets, its file absent there."""
    import pickle  # noqa: TID251 - what Dask does on the way

    predictor = FloatPredictor(root / "models" / "denoiser_s25.onnx")
    (entry,) = list_clean_images(folder)[:1]
    image = entry.read(1).image
    sent = pickle.loads(pickle.dumps(predictor))
    assert b"denoiser_s25.onnx" not in pickle.dumps(sent)
    assert np.array_equal(sent(image).values, predictor(image).values)


def test_the_command_line_verifies_a_folder(
    network: Network, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    artifact.save(network, tmp_path / "net.snn")
    assert cli.main(["verify", "net.snn", "--input", str(folder), "--noise", "20"]) == 0
    out = capsys.readouterr().out
    assert "12 images" in out
    assert out.count("equal") == 12


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_command_line_evaluates_on_local_processes_and_on_a_scheduler(
    network: Network, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    artifact.save(network, tmp_path / "net.snn")
    words = [
        "evaluate",
        str(tmp_path / "net.snn"),
        "--data",
        str(folder),
        "--task",
        "denoise",
        "--noise",
        "25",
        "--json",
    ]
    shown = []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        for where in ([], ["--workers", "2"], ["--scheduler", cluster.scheduler_address]):
            assert cli.main([*words, *where]) == 0
            shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2]
