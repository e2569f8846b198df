"""The first contact with a chip: every kind of bundle against a stand-in for lava-loihi, and every mistake refused or located.

The stand-in (``loihi/``) has what public programs show of lava-loihi; models of the chip are found by Lava's real ``Loihi2HwCfg``.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli.app import main
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus, random_two_sided, random_unet
from snn_deploy.verification.traces.trace_file import read_trace
from snn_deploy_lava.chip_layout import lay_out
from snn_deploy_lava.chip_processes import list_processes
from snn_deploy_lava.emit import write_bundle
from tests.backends.lava.contact import Visit, contact, run_command
from tests.backends.lava.test_stock import converted, stock_unet

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
]

KINDS: dict[str, Callable[[], Network]] = {
    "own exact": lambda: random_unet("exact", 0, size=8),
    "own exact, payload 1": lambda: random_unet("exact", 2, size=8, levels=3, payload=1),
    "two-sided": lambda: random_two_sided(0),
    "own rate": lambda: random_unet("rate", 0, size=8, steps=6),
    "lif": lambda: stock_unet("lif", 0),
    "sigma-delta": lambda: stock_unet("sigma-delta", 0),
}

TRAINED: dict[str, Callable[[], Network]] = {
    "denoiser exact": lambda: converted("denoiser_s25", "exact", 8),
    "denoiser rate": lambda: converted("denoiser_s25", "multi-threshold", 8, steps=4),
    "denoiser lif": lambda: converted("denoiser_s25", "lif", 8, steps=6),
    "denoiser sigma-delta": lambda: converted("denoiser_s25", "sigma-delta", 8),
    "segmenter exact": lambda: converted("segmenter_isbi", "exact", 8),
    "segmenter sigma-delta": lambda: converted("segmenter_isbi", "sigma-delta", 8),
}

FAULTS = {
    "missing model": (
        2,
        "MultiThreshold (enc1/a and 8 more) has no model for the chip; install a lava-loihi that has them, or",
    ),
    "Lava's own Conv": (2, "Conv (input->enc1/a and 11 more) has model PyConvModelFixed, which runs on the host; "),
    "float source": (2, "RingBuffer (input) would send floats: its model PySendModelFloat is not of fixed point; "),
    "dropped input adapter": (2, "input to input->enc1/a: host and chip are joined without an adapter"),
    "dropped output adapter": (2, "enc1/a to enc1/a recorder: host and chip are joined without an adapter"),
    "swapped adapters": (2, "input to input->enc1/a: PyToNxAdapter stands before Conv, not PyToN3ConvAdapter"),
    "unsigned read-out": (1, "; events that are negative and were read as unsigned words of 24 bits: sign-extend them"),
}
"""Faults of :func:`tests.backends.lava.contact.planted`, with the exit status and what is said."""


def stimulus_of(network: Network) -> Int64:
    """Two images, or one where more would only take longer: each has a program of its own, or begins from rest."""
    alone = lay_out(network).plan.one_image or network.mode == "exact"
    return random_stimulus(network, 0, 1 if alone else 2) // 2


def write(
    kinds: dict[str, Callable[[], Network]], folder: Path, stimulus: Callable[[Network], Int64] = stimulus_of
) -> dict[str, Network]:
    networks = {name: make() for name, make in kinds.items()}
    for name, network in networks.items():
        write_bundle(network, folder / name, stimulus(network))
    return networks


def record(folder: Path) -> Visit:
    """All trains of a bundle, kept beside it."""
    return Visit(folder, ("--record", "all", "--trains", "--out", f"{folder}.npz"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contact")


@pytest.fixture(scope="module")
def networks(folder: Path) -> dict[str, Network]:
    return write(KINDS, folder)


@pytest.fixture(scope="module")
def said(folder: Path, networks: dict[str, Network]) -> dict[str, tuple[int, str]]:
    """Exit status and output of everything that the quick tests look at, run by as few processes as may be."""
    own, board = folder / "own exact", folder / "board.toml"
    board.write_text('partition = "none"\n', "utf-8")
    visits = {
        **{name: record(folder / name) for name in networks},
        **{fault: Visit(own, ("--record", "all"), fault) for fault in FAULTS},
        "unsigned read-out": Visit(folder / "own rate", ("--record", "all"), "unsigned read-out"),
        "outputs": Visit(own, ("--out", f"{folder}/outputs.npz")),
        "conformance": Visit(own, ("--conformance",)),
        "two-sided conformance": Visit(folder / "two-sided", ("--conformance",)),
        "profiler": Visit(own, (), "profiler"),
        "board": Visit(own, ("--board", str(board))),
    }
    return dict(zip(visits, contact(list(visits.values())), strict=True))


def check_kind(network: Network, folder: Path, said: tuple[int, str], stimulus: Int64) -> None:
    """A bundle's counts on the stand-in, and every train of every population, are those of the simulators."""
    assert said == (0, f"equal: {len(network.populations)} populations, every count\n")
    program = lay_out(network).network
    same = program.aligned or network.one_shot
    expected = load_backend("cpu" if same else "reference").run(network if same else program, stimulus, Record.TRAINS)
    (trace,) = read_trace(Path(f"{folder}.npz"))
    with np.load(f"{folder}.npz") as saved:
        models = json.loads(str(saved["manifest"]))["models"]
    listed = {name.rpartition(".")[2] for name in list_processes(lay_out(network))}
    assert {name.rpartition(".")[2] for name in models} == listed
    assert (trace.network, trace.stimulus) == (artifact.digest(program), expected.stimulus)
    for population, trains in (expected.trains or {}).items():
        recorded = trace.probes[population].trains
        assert recorded is not None
        assert np.array_equal(recorded, trains.reshape(*trains.shape[:2], -1)), population
    counts = load_backend("cpu").run(network, stimulus).counts
    assert all(np.array_equal(counts[each], expected.counts[each]) for each in counts)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bundle(
    kind: str, networks: dict[str, Network], folder: Path, said: dict[str, tuple[int, str]]
) -> None:
    check_kind(networks[kind], folder / kind, said[kind], stimulus_of(networks[kind]))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_mistake_is_refused_or_located(fault: str, said: dict[str, tuple[int, str]]) -> None:
    status, words = FAULTS[fault]
    assert said[fault][0] == status
    assert words in said[fault][1]


def test_outputs_only_unless_asked_for_more(folder: Path, said: dict[str, tuple[int, str]]) -> None:
    assert said["outputs"] == (0, "equal: 1 population, every count\n")
    (batch,) = read_trace(folder / "outputs.npz")
    assert list(batch.probes) == ["output"]


def test_the_conformance_test(said: dict[str, tuple[int, str]]) -> None:
    assert said["conformance"] == (0, "equal: 4 populations, every count\n")
    assert said["two-sided conformance"] == (0, "equal: 5 populations, every count\n")


def test_profilers_run_from_begin_to_end(said: dict[str, tuple[int, str]]) -> None:
    assert said["profiler"][0] == 2
    assert "RuntimeError: profilers at the end: ['of 16 steps']" in said["profiler"][1]


def test_a_board_is_looked_for(said: dict[str, tuple[int, str]]) -> None:
    """Lava asks SLURM for it, of which there is none here."""
    assert said["board"][0] == 2
    assert "--board: this machine has no command sinfo, by which Lava looks for it\n" in said["board"][1]


@pytest.mark.parametrize(("trace", "level"), [("outputs", "output-count"), ("own exact", "train"), ("lif", "train")])
def test_the_round_trip(
    trace: str,
    level: str,
    folder: Path,
    said: dict[str, tuple[int, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As README.md of a bundle says: the trace holds all that ``verify`` needs."""
    assert said[trace][0] == 0
    network = folder / ("lif" if trace == "lif" else "own exact") / "network.snn"
    assert main(["verify", str(network), "--trace", f"{folder}/{trace}.npz"]) == 0
    shown = capsys.readouterr()
    assert f"EQUAL at level {level}: reference, cpu, lava-loihi2; " in shown.out
    assert ("compared at level output-count" in shown.err) == (level == "output-count")
    given = ["--input", str(network.with_name("input.npy"))]
    assert main(["verify", str(network), "--trace", f"{folder}/{trace}.npz", *given]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_the_trained_networks(name: str, tmp_path: Path) -> None:
    """Two images each; those of sigma-delta networks run one by one."""

    def two(network: Network) -> Int64:
        return random_stimulus(network, 0) // 2

    network = write({name: TRAINED[name]}, tmp_path, two)[name]
    (said,) = contact([record(tmp_path / name)])
    check_kind(network, tmp_path / name, said, two(network))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--states",), "--states: membranes of the chip cannot be read while it runs; "),
        (("--stream",), "--stream has no effect on the chip's graph; "),
        (("--stock-conv",), "--stock-conv has no effect on the chip's graph; "),
        (("--record", "none"), "--record none: the network has input, enc1/a, "),
    ],
)
def test_options_that_the_chip_does_not_have(
    arguments: tuple[str, ...], message: str, folder: Path, networks: dict[str, Network]
) -> None:
    assert "own exact" in networks
    status, text = run_command(Visit(folder / "own exact", arguments))
    assert status == 3
    assert text.startswith(f"error: {message}")
