"""Recordings as chips give them: each change of the values is named, and none of them passes as equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.shapes import Shape
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Status, write_trace
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.session import Session
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.verification.traces.recorded import find_level, read_stimuli
from snn_deploy.verification.traces.recordings import AS_RECORDED, open_recording
from snn_deploy.verification.traces.trace import Probe, Trace

Change = Callable[[Int64, Shape], Int64]


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("rate", 0, size=8, steps=6)


@pytest.fixture(scope="module")
def stimulus(network: Network) -> Int64:
    return random_stimulus(network, 0, 2)[1:] // 2


@pytest.fixture(scope="module")
def trace(network: Network, stimulus: Int64) -> Trace:
    return replace(Trace.of(load_backend("reference").run(network, stimulus, Record.TRAINS), "chip"), network=None)


def verify(network: Network, stimulus: Int64, trace: Trace, level: Level = Level.TRAIN) -> Verdict:
    session = Session(backends=("reference",), level=level, traces=(trace,))
    return session.verify(Stimuli.of_payloads(network, stimulus)).verdict


def trains_of(probe: Probe) -> Int64:
    assert probe.trains is not None
    return np.asarray(probe.trains, np.int64)


def turned(*axes: int) -> Change:
    def change(trains: Int64, shape: Shape) -> Int64:
        maps = trains.reshape(*trains.shape[:2], *shape)
        return np.ascontiguousarray(maps.transpose(0, 1, *(2 + axis for axis in axes))).reshape(trains.shape)

    return change


def without_step(trains: Int64, shape: Shape) -> Int64:
    return np.concatenate([trains[:, :2], trains[:, 3:], np.zeros_like(trains[:, :1])], axis=1)


TRAINS: dict[str, tuple[Change, str]] = {
    "(W, H, C)": (turned(2, 1, 0), "neurons stand in the order (W, H, C); transpose them to (C, H, W)"),
    "(H, W, C)": (turned(1, 2, 0), "neurons stand in the order (H, W, C); transpose them to (C, H, W)"),
    "single spikes": (
        lambda trains, _: (trains != 0).astype(np.int64),
        "payloads are 1 wherever an event was: single spikes",
    ),
    "signs": (
        lambda trains, _: np.sign(trains),
        "payloads are -1 or 1 wherever an event was: only signs were recorded",
    ),
    "clipped": (lambda trains, _: np.clip(trains, -2, 2), "values are clipped at 2; read wider words"),
    "sign lost": (
        lambda trains, _: trains % 2**24,
        "words of 24 bits were read without their sign; verify with --bits 24",
    ),
    "modulo": (lambda trains, _: trains % 8, "values are kept modulo 2**3; read wider words"),
    "lost step": (without_step, "step 2 of the window is missing, and what follows comes a step early; record again"),
}


@pytest.mark.parametrize("case", TRAINS)
def test_changed_values_are_named(case: str, network: Network, stimulus: Int64, trace: Trace) -> None:
    change, text = TRAINS[case]
    signed = case in ("signs", "sign lost")
    name = next(each for each in trace.probes if trains_of(trace.probes[each]).min() < 0) if signed else "enc1/b"
    shape = network.population(name).shape
    changed = trace.changed(
        lambda population, probe: Probe(trains=change(trains_of(probe), shape)) if population == name else probe
    )
    verdict = verify(network, stimulus, changed)
    assert verdict.status is Status.DIFFERENT
    assert verdict.cause.startswith(f"chip: {name}: {text}")


def test_an_error_of_the_chip_is_not_called_a_readout(network: Network, stimulus: Int64, trace: Trace) -> None:
    def change(population: str, probe: Probe) -> Probe:
        if population != "enc1/b":
            return probe
        trains = trains_of(probe).copy()
        trains[0, 3, 5] += 1
        return Probe(trains=trains)

    verdict = verify(network, stimulus, trace.changed(change))
    assert verdict.status is Status.DIFFERENT
    assert "read" not in verdict.cause


def test_counted_events_are_no_sums_of_payloads(network: Network, stimulus: Int64, trace: Trace) -> None:
    counted = trace.changed(lambda _, probe: Probe(counts=probe.events))
    verdict = verify(network, stimulus, counted, Level.NEURON_COUNT)
    assert verdict.status is Status.DIFFERENT
    assert verdict.cause.endswith(
        "events were counted, where counts are sums of payloads; write these numbers as kind events"
    )


def recorded(network: Network, trace: Trace, *lost: int, first: int = 3, more: int = 4) -> Trace:
    """The whole recording, which begins ``first`` steps early and misses the steps ``lost``."""
    length = first + network.duration + more

    def whole(population: str, probe: Probe) -> Probe:
        trains = np.zeros((1, length, network.population(population).size), np.int64)
        start = first + network.population(population).start
        trains[:, start : start + network.steps] = trains_of(probe)
        return Probe(trains=np.delete(trains, lost, axis=1))

    return replace(trace.changed(whole), time="recording")


def test_a_recording_that_lost_a_step(network: Network, stimulus: Int64, trace: Trace) -> None:
    """Between windows that do not overlap lags split at one place; all later populations come early alike."""
    short = random_unet("exact", 0, size=8)
    images = random_stimulus(short, 0, 1)
    run = Trace.of(load_backend("reference").run(short, images, Record.TRAINS), "chip")
    assert verify(short, images, recorded(short, run)).status is Status.EQUAL
    verdict = verify(short, images, recorded(short, run, 3 + 2))
    assert verdict.status is Status.DIFFERENT
    assert "1 step(s) are missing in the recording between the windows of " in verdict.cause
    assert "record again, without gaps" in verdict.cause
    with pytest.raises(
        VerificationError, match=r"has \d+; 1 step\(s\) are missing in the recording between .* without gaps$"
    ):
        verify(short, images, recorded(short, run, 3 + 2, more=0))


def test_a_file_with_its_stimulus_and_dots_for_slashes(
    network: Network, stimulus: Int64, trace: Trace, tmp_path: Path
) -> None:
    path = tmp_path / "chip.npz"
    write_trace(path, [trace])
    with np.load(path) as saved:
        arrays = {name.replace("enc1/", "enc1."): saved[name] for name in saved.files}
    floats = {name: array.astype(float) if array.dtype.kind == "i" else array for name, array in arrays.items()}
    np.savez(path, **floats, **{"0/stimulus/input": stimulus})
    stimuli = read_stimuli(network, path)
    assert np.array_equal(stimuli.read(0, 1), stimulus)
    with open_recording(path, network, AS_RECORDED) as recording:
        assert find_level(network, [recording]) is Level.TRAIN
    verdict = Session(backends=("reference",), traces=(path,)).verify(stimuli).verdict
    assert verdict.status is Status.EQUAL
    np.savez(path, **floats, **{"0/stimulus/input": stimulus + 1})
    with pytest.raises(VerificationError, match=r"stimulus: is not the one that the manifest names by its digest$"):
        read_stimuli(network, path)
    np.savez(path, **floats)
    with pytest.raises(VerificationError, match=r"does not hold the images that were shown; give them with --input, "):
        read_stimuli(network, path)
