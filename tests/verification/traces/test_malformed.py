"""Malformed recordings in every format: each is refused in one line that says where, or read right, never wrongly."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Comparison, Level, Probe, Trace
from snn_deploy.verification.traces.alignment import align_batch, align_recording
from snn_deploy.verification.traces.decoding import decode
from snn_deploy.verification.traces.nir_data import read_nir_data
from snn_deploy.verification.traces.sana_fe import read_sana_fe
from snn_deploy.verification.traces.trace import UNRECORDED
from snn_deploy.verification.traces.trace_file import TraceFile

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("rate", 1, size=8)


@pytest.fixture(scope="module")
def baseline(network: Network) -> Trace:
    """One image; ``dec`` has 4 x 8 x 8 neurons and 8 steps."""
    run = load_backend("reference").run(network, random_stimulus(network)[:1], Record.STATES)
    return Trace.of(run, "reference")


def refused(error: pytest.ExceptionInfo[VerificationError], path: Path) -> None:
    """The message is one line and names the file."""
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


HEAD = "neuron,timestep\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dec.-1,3\n", r"line 2: neuron -1 of dec, which has 0\.\.255$"),
        ("dec.-256,3\n", r"line 2: neuron -256 of dec, which has 0\.\.255$"),
        ("dec.3,3\ndec.256,3\n", r"line 3: neuron 256 of dec, which has 0\.\.255$"),
        ("dec.3,-1\n", r"line 2: step -1; steps count from 0$"),
        ("dec.3,-9\n", r"line 2: step -9; steps count from 0$"),
        ("dec.3,4\ndec.3,4\n", r"line 3: says again what line 2 says; a neuron spikes once a step$"),
        ("dec.3,4,\n", r"line 2: 3 columns, not 2; the file may be cut off$"),
        ("dec.+3,4\n", r"line 2: '\+3' is not an integer printed in full$"),
        ("dec.--3,4\n", r"line 2: '--3' is not an integer printed in full$"),
        ("dec.3.0,4\n", r"line 2: dec.3 is not in network .*output$"),
        ("dec.,4\n", r"line 2: '' is not an integer printed in full$"),
        ("dec.3, 4\n", r"line 2: ' 4' is not an integer printed in full$"),
        ("dec.\u0663,4\n", r"line 2: '\u0663' is not an integer printed in full$"),
        ("dec.0x3,4\n", r"line 2: '0x3' is not an integer printed in full$"),
        ("dec.3,4e0\n", r"line 2: '4e0' is not an integer printed in full$"),
        ("dec.3,9999999999999999999\n", r"line 2: '9999999999999999999' is not an integer printed in full$"),
    ],
)
def test_spikes_of_sana_fe(network: Network, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "spikes.csv"
    path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(VerificationError, match=message) as error:
        read_sana_fe(network, path)
    refused(error, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timestep,neuron dec.-1,\n1,5,\n", r"line 1: neuron -1 of dec, which has 0\.\.255$"),
        ("timestep,neuron dec.256,\n1,5,\n", r"line 1: neuron 256 of dec, which has 0\.\.255$"),
        ("timestep,neuron dec.1,neuron dec.1,\n1,5,5,\n", r"line 1: neuron dec.1 has 2 columns; one is needed$"),
        ("timestep,,neuron dec.1,\n1,5,\n", r"line 1 is not SANA-FE's 'timestep,neuron GROUP.ID,...'$"),
        ("timestep,neuron dec.1,\n-1,5,\n", r"line 2: step -1; steps count from 0$"),
        ("timestep,neuron dec.1,\n0,5,\n0,5,\n", r"line 3: step 0 follows 0$"),
        ("timestep,neuron dec.1,\n1,5,\n0,5,\n", r"line 3: step 0 follows 1$"),
        ("timestep,neuron dec.1,\n1,5,6,\n", r"line 2: 3 columns, not 2; the file may be cut off$"),
        ("timestep,neuron dec.1,\n1,5.0,\n", r"line 2: '5.0' is not an integer printed in full$"),
        ("timestep,neuron dec.1,\n1,nan,\n", r"line 2: 'nan' is not an integer printed in full$"),
        ("timestep,neuron dec.1,\n", r"contains no steps$"),
    ],
)
def test_potentials_of_sana_fe(network: Network, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "potentials.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(VerificationError, match=message) as error:
        read_sana_fe(network, None, path)
    refused(error, path)


def test_membranes_of_steps_without_a_row_are_not_compared(network: Network, baseline: Trace, tmp_path: Path) -> None:
    """Nor are they 0: a population whose membranes are 0 would be called equal."""
    start, steps = network.population("dec").start, network.steps
    single = (np.asarray(baseline.probes["dec"].trains) == 1).astype(np.int64)
    neuron = int(np.flatnonzero(single.sum((0, 1)) == 1)[0])
    rows = [f"dec.{index},{start + step}" for step, index in np.argwhere(single[0])]
    (tmp_path / "spikes.csv").write_text(HEAD + "\n".join(rows) + f"\ndec.0,{start + steps}\n", encoding="utf-8")
    reference = Trace("reference", 1, {"dec": Probe(trains=single, states=np.zeros_like(single))})
    end = start + steps
    for first, last, recorded in ((start, end, True), (start + 1, end, False), (start, end - 1, False)):
        table = [f"timestep,neuron dec.{neuron},", *(f"{step},0," for step in range(first, last))]
        (tmp_path / "potentials.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
        trace = decode(read_sana_fe(network, tmp_path / "spikes.csv", tmp_path / "potentials.csv"), bits=24)
        aligned = align_recording(network, reference, trace).trace.probes["dec"]
        assert (aligned.states is not None) is recorded
        assert np.array_equal(np.asarray(aligned.trains), single[:, :, [neuron]])


def save_nir(path: Path, observables: Mapping[str, Any], node: str = "dec") -> None:
    nir = pytest.importorskip("nir")
    nir.serialization.write_data(path, nir.NIRGraphData({node: nir.NIRNodeData(dict(observables))}))


def events(index: Array, time: Array, value: Array | None = None, neurons: int = 256, end: float = 8.0) -> Any:
    nir = pytest.importorskip("nir")
    if value is None:
        return nir.EventData(index, time, neurons, end)
    return nir.ValuedEventData(index, time, neurons, end, value)


def one(index: int = 3, time: float = 2.0, **choices: Any) -> Any:
    return events(np.array([[index]]), np.array([[time]]), **choices)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: one(-5), r"event \[0, 0\] is of neuron -5; neurons are 0\.\.255, and -1 where there is no event$"),
        (lambda: one(256), r"event \[0, 0\] is of neuron 256; neurons are 0\.\.255, and -1 where .* no event$"),
        (lambda: one(-1), r"holds a time without an event; its neuron is -1$"),
        (lambda: one(3, -1.0), r"event times are not multiples of dt = 1.0 in 0\.\.8.0, its end excluded$"),
        (lambda: one(3, 8.0), r"event times are not multiples of dt = 1.0 in 0\.\.8.0, its end excluded$"),
        (lambda: one(3, np.inf), r"holds an event at a time that is not finite, or a t_max of 8.0$"),
        (lambda: one(end=-8.0), r"t_max is -8.0; it is at least dt = 1.0$"),
        (lambda: one(neurons=255), r"255 neurons; the population has 256$"),
        (lambda: one(value=np.array([[0.5]])), r"values that are not integers; record raw registers, not scaled ones$"),
        (lambda: one(value=np.array([[1j]])), r"holds complex128; integers are compared$"),
        (
            lambda: events(np.array([[3, 3]]), np.array([[2.0, 2.0]])),
            r"a neuron has two events in one step; one is needed$",
        ),
        (
            lambda: events(np.array([[3.0]]), np.array([[2.0]])),
            r"idx is float64 with 2 axes, time float64; NIRData has integers \(samples, events\) and numbers$",
        ),
        (
            lambda: events(np.array([3]), np.array([2.0])),
            r"idx is int64 with 1 axes, time float64; NIRData has integers \(samples, events\) and numbers$",
        ),
    ],
)
def test_events_of_nir_data(network: Network, tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "chip.nird"
    save_nir(path, {"spikes": make()})
    with pytest.raises(VerificationError, match=message) as error:
        read_nir_data(path, network, dt=1.0)
    refused(error, path)


def test_nodes_of_nir_data(network: Network, tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    path, grid = tmp_path / "chip.nird", nir.TimeGriddedData(np.zeros((1, 8, 256)), 1.0)
    save_nir(path, {"voltages": grid, "v": grid})
    with pytest.raises(VerificationError, match=r"dec has voltages and v, which are the same; one is needed$"):
        read_nir_data(path, network)
    nir.serialization.write_data(path, nir.NIRGraphData({name: nir.NIRNodeData({"v": grid}) for name in ("dec", "d")}))
    with pytest.raises(VerificationError, match=r"dec is the second node of population dec; one is needed$"):
        read_nir_data(path, network, names={"d": "dec"})
    save_nir(path, {"v": nir.TimeGriddedData(np.zeros((1, 8, 255)), 1.0)})
    with pytest.raises(VerificationError, match=r"dec/v: 255 neurons; the population has 256$"):
        read_nir_data(path, network)
    save_nir(path, {"v": one()})
    states = np.asarray(read_nir_data(path, network, dt=1.0).probes["dec"].states)
    assert np.count_nonzero(states != UNRECORDED) == 1, "a membrane without an event is not 0"


def save_npz(path: Path, arrays: Mapping[str, Array], time: str = "window", images: int = 1) -> None:
    manifest = {"format": "snn-deploy trace", "version": 1, "name": "lab", "time": time, "network": None}
    manifest["batches"] = [{"images": images, "stimulus": None}]
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in {"manifest": np.array(json.dumps(manifest)), **arrays}.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def probed(neurons: Array, length: int = 8) -> dict[str, Array]:
    return {"0/neurons/dec": neurons, "0/trains/dec": np.ones((1, length, len(neurons)), np.int32)}


@pytest.mark.parametrize("time", ["window", "recording"])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (probed(np.array([-1, 3])), r"probed neurons -1\.\.3; the population has 0\.\.255$"),
        (probed(np.array([3, 256])), r"probed neurons 3\.\.256; the population has 0\.\.255$"),
        (probed(np.array([-256, -255])), r"probed neurons -256\.\.-255; the population has 0\.\.255$"),
        (probed(np.array([1, 5, 3, 7], np.uint8)), r"must be one increasing list of flat indices, int64 or narrower$"),
        (probed(np.array([3, 3])), r"must be one increasing list of flat indices, int64 or narrower$"),
        (probed(np.array([1, 2], np.uint64)), r"must be one increasing list of flat indices, int64 or narrower$"),
        (probed(np.array([[1, 2]])), r"must be one increasing list of flat indices, int64 or narrower$"),
        ({"0/trains/dec": np.ones((1, 8, 255), np.int32)}, r"dec: counts have shape \(1, 255\), not \(1, 256\)$"),
        ({"0/trains/dec": np.ones((2, 8, 256), np.int32)}, r"dec: totals have shape \(2,\), not \(1,\)$"),
    ],
)
def test_arrays_of_trace_files(
    network: Network, baseline: Trace, tmp_path: Path, arrays: dict[str, Array], message: str, time: str
) -> None:
    path = tmp_path / "lab.npz"
    save_npz(path, arrays, time)

    def compare() -> None:
        with TraceFile(path) as file:
            batch = align_batch(network, baseline, file[0]).trace
            Comparison(network, Level.TRAIN).add([baseline, batch])

    with pytest.raises(VerificationError, match=message) as error:
        compare()
    assert "dec" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["00/trains/dec", "-1/trains/dec", "\u0660/trains/dec", "1e0/trains/dec", "/trains/dec"]
)
def test_an_array_has_one_name(tmp_path: Path, name: str) -> None:
    """``0/trains/dec`` and ``00/trains/dec`` would be one array, and the second would replace the first unseen."""
    path, train = tmp_path / "lab.npz", np.zeros((1, 8, 256), np.int32)
    save_npz(path, {"0/trains/dec": train, name: train})
    with pytest.raises(VerificationError, match=r"with a batch of 0, 1, ... and a kind of .*currents$") as error:
        TraceFile(path)
    refused(error, path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "lab.npz"
    save_npz(path, {"0/trains/dec": np.zeros((1, 8, 256), np.int32)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("0/trains/dec.npy", archive.read("0/trains/dec.npy"))
    with pytest.raises(VerificationError, match=r"two entries share a name$") as error:
        TraceFile(path)
    refused(error, path)


def test_probes_have_no_negative_index() -> None:
    whole = Probe(trains=np.arange(8).reshape(1, 2, 4))
    assert np.asarray(whole.at(np.array([0, 3])).trains).tolist() == [[[0, 3], [4, 7]]]
    for neurons in ([-1], [-4, 0], [4], [0, 9]):
        with pytest.raises(VerificationError, match=r"probed neurons .*; the population has 0\.\.3$"):
            whole.at(np.array(neurons))
    with pytest.raises(VerificationError, match=r"neurons were asked for that were not probed$"):
        whole.at(np.array([0, 3])).at(np.array([1]))
