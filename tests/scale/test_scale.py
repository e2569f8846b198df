"""Many images on many workers: the same verdicts in the same order, whatever is lost on the way."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from snn_deploy import cli
from snn_deploy.errors import BackendUnavailableError, StimulusError
from snn_deploy.network import Network
from snn_deploy.scale import spread
from snn_deploy.testing import random_unet
from snn_deploy.verify import Level, record
from snn_deploy.verify_many import exit_code, verify_images


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet(size=16, width=2, levels=15)


def images(number: int) -> Iterator[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    for index in range(number):
        yield f"image {index}", np.random.default_rng(index).normal(0.3, 0.4, (1, 1, 16, 16)).astype(np.float32)


def double(factor: int, item: int) -> int:
    return factor * item


def test_one_process_needs_no_dask_and_keeps_the_order() -> None:
    seen: list[tuple[int, int]] = []
    assert spread(double, 2, iter(range(4)), 4, progress=lambda *done: seen.append(done)) == [0, 2, 4, 6]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_worst_verdict_is_the_exit_code(network: Network) -> None:
    equal, silent = (
        verify_images(network, [("x", image)], 1, ("reference", "cpu"), Level.OUTPUT_COUNT)[0]
        for image in (next(images(1))[1], np.zeros((1, 1, 16, 16), np.float32))
    )
    assert exit_code([equal, equal]) == 0
    assert exit_code([equal, silent]) == silent.exit_code


def test_nobody_at_the_address(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    with pytest.raises(BackendUnavailableError, match=r"^--scheduler nowhere://x: nobody answers there \(.*\)$"):
        spread(double, 2, range(2), 2, scheduler="nowhere://x")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_two_processes_one_killed_in_the_middle(network: Network) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    number = 24
    alone = verify_images(network, images(number), number, ("reference", "cpu"), Level.STATE)
    killed: list[int] = []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:

        def kill(done: int, total: int) -> None:
            if done == 3 and not killed:
                killed.append(cluster.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        many = verify_images(
            network,
            images(number),
            number,
            ("reference", "cpu"),
            Level.STATE,
            scheduler=cluster.scheduler_address,
            progress=kill,
        )
    assert killed
    assert [record(verdict) for verdict in many] == [record(verdict) for verdict in alone]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_errors_of_workers_are_our_errors(network: Network) -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    bad = [("odd", np.zeros((1, 1, 17, 16), np.float32))]
    with pytest.raises(StimulusError, match="odd: .* cannot take 17x16 pixels"):
        verify_images(network, bad, 1, ("reference", "cpu"), Level.TRAIN, workers=2)


def test_the_command_line_verifies_a_folder(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from snn_deploy import artifact

    monkeypatch.chdir(tmp_path)
    artifact.save(network, tmp_path / "net.snn")
    (tmp_path / "images").mkdir()
    for index in range(2):
        Image.new("L", (16, 16), 90 + 60 * index).save(tmp_path / "images" / f"{index}.png")
    assert cli.main(["verify", "net.snn", "--input", "images", "--noise", "20"]) == 0
    out = capsys.readouterr().out
    assert "2 images" in out
    assert out.count("equal") == 2
