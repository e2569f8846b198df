"""Trace files, recordings of other tools, lags and artefacts: what is whole is read, what is not is refused."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Comparison, Level, Probe, Trace, compare
from snn_deploy.verification.traces.alignment import align_batch, align_recording, find_lag
from snn_deploy.verification.traces.decoding import decode, sign_extend, sum_core_counters
from snn_deploy.verification.traces.nir_data import read_nir_data
from snn_deploy.verification.traces.sana_fe import read_sana_fe
from snn_deploy.verification.traces.trace_file import TraceFile, read_trace, write_trace


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("rate", 1, size=8)


@pytest.fixture(scope="module")
def batches(network: Network) -> list[Trace]:
    reference = load_backend("reference")
    return [
        Trace.of(reference.run(network, random_stimulus(network, seed), Record.STATES), "chip") for seed in range(3)
    ]


@pytest.fixture
def path(tmp_path: Path, batches: list[Trace]) -> Path:
    write_trace(tmp_path / "chip.npz", batches)
    return tmp_path / "chip.npz"


def verdict_of(network: Network, batches: list[Trace], path: Path, level: Level = Level.STATE) -> int:
    comparison = Comparison(network, level)
    for expected, found in zip(batches, read_trace(path), strict=True):
        comparison.add([replace(expected, name="reference"), found])
    return comparison.verdict().exit_code


def test_a_file_gives_back_what_was_written(network: Network, batches: list[Trace], path: Path) -> None:
    with TraceFile(path) as file:
        assert file.header.images == (2, 2, 2)
        assert file.header.stimuli == tuple(trace.stimulus for trace in batches)
        assert len(list(file)) == len(list(file)) == 3
    assert verdict_of(network, batches, path) == 0
    wrong = [batches[0], batches[1].unclaimed(), batches[2]]
    with pytest.raises(VerificationError, match=r"those before it of another recorder, network or time$"):
        write_trace(path.with_name("mixed.npz"), wrong)
    assert [entry.name for entry in path.parent.iterdir()] == ["chip.npz"], "a failed write leaves nothing"
    with pytest.raises(VerificationError, match=r"a trace without a batch would compare nothing$"):
        write_trace(path.with_name("none.npz"), [])


def test_numpy_alone_can_write_one(network: Network, batches: list[Trace], tmp_path: Path) -> None:
    manifest = {
        "format": "snn-deploy trace",
        "version": 1,
        "name": "lab",
        "time": "window",
        "network": None,
        "batches": [{"images": 2, "stimulus": None}],
    }
    neurons = np.arange(0, 256, 2)
    arrays = {f"0/trains/{name}": np.asarray(probe.trains) for name, probe in batches[0].probes.items()}
    arrays["0/trains/dec"] = arrays["0/trains/dec"][:, :, neurons].astype(np.int16)
    arrays["0/neurons/dec"] = neurons
    np.savez(tmp_path / "lab.npz", manifest=np.array(json.dumps(manifest)), **arrays)
    comparison = Comparison(network, Level.TRAIN, share=0.5)
    comparison.add([batches[0], next(read_trace(tmp_path / "lab.npz"))])
    assert comparison.verdict().exit_code == 0, comparison.verdict().line
    assert comparison.verdict().rows[8].probed == 128


def test_one_population_of_one_batch_is_in_memory_at_a_time(tmp_path: Path) -> None:
    network = random_unet("rate", 1, size=32, steps=32)
    names = [population.name for population in network.populations]
    rng = np.random.default_rng(0)
    probes = {
        name: Probe(trains=rng.integers(0, 9, (1, 32, network.population(name).size)).astype(np.int64))
        for name in names
    }
    write_trace(tmp_path / "long.npz", (Trace("chip", 1, probes) for _ in range(4)))
    sizes = [32 * population.size * 8 for population in network.populations]
    assert sum(sizes) > 4 * max(sizes)
    tracemalloc.start()
    try:
        comparison = Comparison(network, Level.TRAIN)
        for left, right in zip(read_trace(tmp_path / "long.npz"), read_trace(tmp_path / "long.npz"), strict=True):
            comparison.add([left, align_batch(network, left, right).trace])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert comparison.verdict().exit_code == 0, comparison.verdict().line
    assert peak < 4 * max(sizes) < sum(sizes), "two probes and their bytes, never a batch of all populations"


def everything(path: Path) -> None:
    """Look at every array of the file."""
    for batch in read_trace(path):
        dict(batch.probes)


def rewrite(path: Path, change: dict[str, bytes | None]) -> None:
    """Replace, add or (``None``) remove entries of a ZIP."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()} | change
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            if data is not None:
                archive.writestr(name, data)


def npy(array: npt.NDArray[np.generic], tmp_path: Path) -> bytes:
    np.save(tmp_path / "array.npy", array)
    data = (tmp_path / "array.npy").read_bytes()
    (tmp_path / "array.npy").unlink()
    return data


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("truncated", r"not a trace file, or damaged: .*"),
        ("empty", r"not a trace file, or damaged: .*"),
        ("not a zip", r"not a trace file, or damaged: .*"),
        ("flipped bit", r"damaged: .*"),
        ("no manifest", r"not a trace file: no array 'manifest'$"),
        ("other version", r"this program reads 'snn-deploy trace' version 1$"),
        ("no json", r"the manifest is incomplete or not JSON: .*"),
        ("surplus entry", r"is not BATCH/KIND/POPULATION with .*states, currents$"),
        ("surplus batch", r"the manifest has 3 batches, numbered from 0$"),
        ("missing batch", r"batch 2 contains no arrays$"),
        (
            "floats",
            r"float64, of which 4096 of 4096 values are not whole numbers, as 0.5; .* that they were divided by$",
        ),
        ("lying header", r"promises 8000000 bytes, holds \d+$"),
        ("short data", r"does not hold the \d+ bytes that its header promises$"),
        ("objects", r"object; integers are compared$"),
        ("unfinished header", r"damaged: TokenError.*"),
        ("other deflate", r"damaged: error: Error -3.*"),
    ],
)
def test_damaged_files_end_in_one_clear_line(path: Path, tmp_path: Path, case: str, message: str) -> None:
    data = path.read_bytes()
    key = "1/trains/dec.npy"
    if case == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif case == "empty":
        path.write_bytes(b"")
    elif case == "not a zip":
        path.write_bytes(b"neuron,timestep\n")
    elif case == "flipped bit":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :])
    elif case in ("no manifest", "other version", "no json"):
        texts = {"no manifest": None, "other version": '{"format": "snn-deploy trace", "version": 2}', "no json": "{"}
        text = texts[case]
        rewrite(path, {"manifest.npy": None if text is None else npy(np.array(text), tmp_path)})
    elif case == "surplus entry":
        rewrite(path, {"0/spikes/dec.npy": npy(np.zeros((2, 256), np.int8), tmp_path)})
    elif case == "surplus batch":
        rewrite(path, {"3/counts/dec.npy": npy(np.zeros((2, 256), np.int8), tmp_path)})
    elif case == "missing batch":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.startswith("2/")]
        rewrite(path, dict.fromkeys(names))
    elif case == "floats":
        rewrite(path, {key: npy(np.full((2, 8, 256), 0.5), tmp_path)})
    elif case == "lying header":
        short = npy(np.zeros((10, 10), np.int64), tmp_path)
        rewrite(path, {key: short.replace(b"(10, 10), }  ", b"(1000, 1000)}")})
    elif case == "short data":
        rewrite(path, {key: npy(np.zeros((2, 8, 256), np.int32), tmp_path) + b"0"})
    elif case == "objects":
        rewrite(path, {key: npy(np.array([None]), tmp_path)})
    elif case == "unfinished header":
        rewrite(path, {key: npy(np.zeros((2, 8, 256), np.int32), tmp_path).replace(b"), }", b" , {")})
    elif case == "other deflate":
        with zipfile.ZipFile(path) as archive:
            offset = archive.getinfo(key).header_offset
        start = offset + 30 + int.from_bytes(data[offset + 26 : offset + 28], "little")
        start += int.from_bytes(data[offset + 28 : offset + 30], "little")
        path.write_bytes(data[:start] + b"\xff" * 8 + data[start + 8 :])
    with pytest.raises(VerificationError, match=message) as caught:
        everything(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_wrong_shapes_and_renamed_populations_are_refused(
    network: Network, batches: list[Trace], path: Path, tmp_path: Path
) -> None:
    rewrite(path, {"0/trains/dec.npy": npy(np.zeros((2, 7, 256), np.int32), tmp_path), "0/states/dec.npy": None})
    with pytest.raises(VerificationError, match=r"trains have shape \(2, 7, 256\), not \(2, 8, 256\)$"):
        verdict_of(network, batches, path)
    with zipfile.ZipFile(path) as archive:
        kept = archive.read("0/trains/enc2.npy")
    rewrite(path, {"0/trains/dec.npy": None, "0/trains/enc2.npy": None, "0/trains/enc_2.npy": kept})
    with pytest.raises(VerificationError, match=r"enc_2 is not in network"):
        verdict_of(network, batches, path)
    rewrite(path, {"0/trains/enc_2.npy": None, "0/trains/enc2.npy": kept})
    assert verdict_of(network, batches, path) == 2, "dec is not there any more"


def test_large_batches_are_refused_before_they_are_read(path: Path) -> None:
    with (
        TraceFile(path, limit=1000) as file,
        pytest.raises(VerificationError, match=r"record fewer images in a batch$"),
    ):
        dict(next(iter(file)).probes)


def recording(network: Network, trace: Trace, before: int, late: dict[str, int] | None = None) -> Trace:
    """The windows of ``trace`` on a recorder that began ``before`` steps early, and shows some populations late."""
    probes = {}
    for population in network.populations:
        probe = trace.probes[population.name]
        lead = before + population.start + (late or {}).get(population.name, 0)
        rest = before + network.duration + 4 - lead - network.steps
        widths = ((0, 0), (lead, rest), (0, 0))
        states = None if probe.states is None else np.pad(np.asarray(probe.states, np.int32), widths)
        probes[population.name] = Probe(trains=np.pad(np.asarray(probe.trains), widths), states=states)
    return replace(trace, probes=probes)


def whole_until(network: Network, name: str, before: int) -> int:
    """Steps of a recording, begun ``before`` steps early, that ends with the window of population ``name``."""
    return before + network.population(name).start + network.steps


def probe_until(probe: Probe, steps: int) -> Probe:
    states = None if probe.states is None else probe.states[:, :steps]
    return Probe(trains=np.asarray(probe.trains)[:, :steps], states=states)


def test_the_lag_is_found_and_a_late_population_is_not_excused(
    network: Network, batches: list[Trace], tmp_path: Path
) -> None:
    whole = recording(network, batches[0], before=3)
    alignment = align_recording(network, batches[0], whole)
    assert alignment.lags == {population.name: population.start + 3 for population in network.populations}
    assert alignment.odd == {}
    assert compare(network, [batches[0], alignment.trace], Level.STATE).exit_code == 0
    write_trace(tmp_path / "whole.npz", [replace(whole, time="recording")])
    with TraceFile(tmp_path / "whole.npz") as file:
        again = align_batch(network, batches[0], next(iter(file)))
        assert compare(network, [batches[0], again.trace], Level.STATE).exit_code == 0
    assert align_batch(network, batches[0], batches[0]).trace is batches[0]
    tight = {name: probe_until(probe, whole_until(network, name, 3)) for name, probe in whole.probes.items()}
    cut = align_recording(network, batches[0], replace(whole, probes=tight))
    assert cut.lags == alignment.lags, "windows that end with the recording are found, too"
    assert compare(network, [batches[0], cut.trace], Level.STATE).exit_code == 0
    late = align_recording(network, batches[0], recording(network, batches[0], 3, {"enc2": 1}))
    assert late.odd == {"enc2": 1}
    assert late.warnings == ("chip: enc2 comes 1 step(s) late for its schedule",)
    verdict = compare(network, [batches[0], late.trace], Level.TRAIN)
    assert verdict.exit_code == 1
    assert verdict.first is not None
    assert verdict.first.population == "enc2"


def test_a_lag_that_cannot_be_told_is_not_guessed(network: Network, batches: list[Trace]) -> None:
    silent = Probe(trains=np.zeros((2, 8, 4), np.int32))
    assert find_lag(silent, Probe(trains=np.zeros((2, 12, 4), np.int32))) is None
    constant = Probe(trains=np.ones((2, 8, 4), np.int32))
    assert find_lag(constant, Probe(trains=np.ones((2, 12, 4), np.int32))) is None
    quiet = replace(batches[0], probes={"dec": Probe(trains=np.zeros((2, 20, 256), np.int32))})
    with pytest.raises(VerificationError, match=r"no population tells when the recording begins"):
        align_recording(network, batches[0], quiet)
    short = {name: replace(probe, states=None) for name, probe in batches[0].probes.items()}
    with pytest.raises(VerificationError, match=r"record longer$"):
        dict(align_recording(network, batches[0], replace(batches[0], probes=short)).trace.probes)


def test_artefacts_are_undone_only_where_they_are() -> None:
    trains, states = np.array([[[0, 1, 1, 0]]]), np.array([[[128, 128, 127, 5]]])
    decoded = decode(Trace("chip", 1, {"p": Probe(trains=trains, states=states)}), mark=128)
    assert np.asarray(decoded.probes["p"].states).tolist() == [[[128, 0, 127, 5]]]
    words = np.array([0, 2**23 - 1, 2**23, 2**24 - 1])
    assert sign_extend(words).tolist() == [0, 2**23 - 1, -(2**23), -1]
    assert sign_extend(np.array([-5, 5])).tolist() == [-5, 5]
    with pytest.raises(VerificationError, match=r"are not words of 24 bits$"):
        sign_extend(np.array([2**24]))
    raw = Trace("chip", 1, {"p": Probe(trains=np.array([[[2**24 - 2, 3]]]))})
    assert np.asarray(decode(raw, bits=24).probes["p"].counts).tolist() == [[-2, 3]]


def test_core_counters_reach_the_layer_level(network: Network, batches: list[Trace]) -> None:
    probes = dict(batches[0].probes)
    totals = np.asarray(probes["dec"].totals)
    probes["dec"] = sum_core_counters([totals // 2, totals - totals // 2])
    chip = replace(batches[0], probes=probes)
    assert compare(network, [batches[0], chip], Level.LAYER_COUNT).exit_code == 0
    assert compare(network, [batches[0], chip], Level.NEURON_COUNT).exit_code == 2
    probes["dec"] = sum_core_counters([totals, totals])
    assert compare(network, [batches[0], replace(chip, probes=probes)], Level.LAYER_COUNT).exit_code == 1
    with pytest.raises(VerificationError, match=r"no core counters"):
        sum_core_counters([])


def test_nir_data_is_read(network: Network, batches: list[Trace], tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    whole = recording(network, batches[0], before=2)
    names = {name.replace("/", "_"): name for name in whole.probes}
    nodes = {}
    for node, name in names.items():
        trains = np.asarray(whole.probes[name].trains)
        idx = np.full((2, int(np.count_nonzero(trains, (1, 2)).max())), -1)
        time, value = np.full(idx.shape, np.inf), np.zeros(idx.shape)
        for image in range(2):
            steps, neurons = np.nonzero(trains[image])
            idx[image, : steps.size], time[image, : steps.size] = neurons, steps * 0.1
            value[image, : steps.size] = trains[image][steps, neurons]
        observables = {"spikes": nir.ValuedEventData(idx, time, trains.shape[2], trains.shape[1] * 0.1, value)}
        states = whole.probes[name].states
        if states is not None:
            observables["voltages"] = nir.TimeGriddedData(np.asarray(states), 0.1)
        nodes[node] = nir.NIRNodeData(observables)
    nir.serialization.write_data(tmp_path / "chip.nird", nir.NIRGraphData(nodes))
    found = read_nir_data(tmp_path / "chip.nird", network, dt=0.1, names=names)
    alignment = align_recording(network, batches[0], found)
    assert compare(network, [batches[0], alignment.trace], Level.STATE).exit_code == 0
    with pytest.raises(VerificationError, match=r"say how long a step is \(dt\)$"):
        read_nir_data(tmp_path / "chip.nird", network, names=names)
    with pytest.raises(VerificationError, match=r"event times are not multiples of dt"):
        read_nir_data(tmp_path / "chip.nird", network, dt=0.07, names=names)
    with pytest.raises(VerificationError, match=r"is not in network .*"):
        read_nir_data(tmp_path / "chip.nird", network, dt=0.1)
    (tmp_path / "bad.nird").write_bytes(b"no HDF5")
    with pytest.raises(VerificationError, match=r"not an HDF5 file, or damaged"):
        read_nir_data(tmp_path / "bad.nird", network)


@pytest.mark.parametrize(
    ("time", "value", "end", "message"),
    [
        (0.3, 1.0, 1e9, r"neurons need \d+ bytes, 2147483648 are allowed$"),
        (0.3, 1.0, np.inf, r"not finite, or a t_max of inf$"),
        (np.nan, 1.0, 1.0, r"not finite, or a t_max of 1.0$"),
        (0.35, 1.0, 1.0, r"event times are not multiples of dt = 0.1"),
        (0.3, 1e300, 1.0, r"values that are not integers"),
    ],
)
def test_impossible_events_of_nir_data_are_refused(
    network: Network, tmp_path: Path, time: float, value: float, end: float, message: str
) -> None:
    nir = pytest.importorskip("nir")
    data = nir.ValuedEventData(np.array([[3]]), np.array([[time]]), 256, end, np.array([[value]]))
    graph = nir.NIRGraphData({"dec": nir.NIRNodeData({"spikes": data})})
    nir.serialization.write_data(tmp_path / "chip.nird", graph)
    with pytest.raises(VerificationError, match=message):
        read_nir_data(tmp_path / "chip.nird", network, dt=0.1)


def test_sana_fe_tables_are_read(network: Network, batches: list[Trace], tmp_path: Path) -> None:
    one = {}
    for name, probe in batches[0].probes.items():
        states = None if probe.states is None else np.clip(probe.states[:1], -999_999, 999_999)
        one[name] = Probe(trains=(np.asarray(probe.trains)[:1] != 0).astype(np.int32), states=states)
    baseline = Trace("reference", 1, one)
    whole = recording(network, baseline, before=1)
    lines = ["neuron,timestep"]
    for name, probe in whole.probes.items():
        _, steps, neurons = np.nonzero(np.asarray(probe.trains))
        lines += [f"{name}.{neuron},{step}" for step, neuron in zip(steps, neurons, strict=True)]
    (tmp_path / "spikes.csv").write_text("\n".join(lines) + "\n")
    probed = [3, 1, 7]
    states = np.asarray(whole.probes["dec"].states)[0][:, probed]
    table = ["timestep," + "".join(f"neuron dec.{neuron}," for neuron in probed)]
    table += [f"{step}," + "".join(f"{value}," for value in row) for step, row in enumerate(states) if step]
    (tmp_path / "potentials.csv").write_text("\n".join(table) + "\n")
    found = read_sana_fe(network, tmp_path / "spikes.csv", tmp_path / "potentials.csv")
    alignment = align_recording(network, baseline, found)
    comparison = Comparison(network, Level.TRAIN, share=0.01)
    comparison.add([baseline, alignment.trace])
    assert comparison.verdict().exit_code == 0, comparison.verdict().line
    dec = alignment.trace.probes["dec"]
    assert dec.neurons is not None
    assert dec.neurons.tolist() == [1, 3, 7]
    assert np.array_equal(np.asarray(dec.states), np.asarray(one["dec"].states)[:, :, [1, 3, 7]])


@pytest.mark.parametrize(
    ("spikes", "potentials", "message"),
    [
        ("neuron\ndec.1,3\n", None, r"line 1 is not 'neuron,timestep'$"),
        ("neuron,timestep\ndec.1\n", None, r"line 2: 1 columns, not 2; the file may be cut off$"),
        ("neuron,timestep\ndec.256,3\n", None, r"neuron 256 of dec, which has 0\.\.255$"),
        ("neuron,timestep\nenc9.1,3\n", None, r"enc9 is not in network .*output$"),
        ("neuron,timestep\n", None, r"contains no data of any population$"),
        (None, "timestep,\n", r"line 1 is not SANA-FE's 'timestep,neuron GROUP.ID,...'$"),
        (None, "timestep,neuron dec.1,\n1,5,\n3,5,\n", r"line 3: step 3 follows 1$"),
        (None, "timestep,neuron dec.1,\n1,1.23457e+06,\n", r"'1.23457e\+06' is not an integer printed in full$"),
        ("neuron,timestep\ndec.1,99999999999\n", None, r"x 256 neurons need \d+ bytes, 2147483648 are allowed$"),
        (None, "timestep,neuron dec.1,\n99999999999,5,\n", r"x 1 neurons need \d+ bytes, 2147483648 are allowed$"),
        (None, "timestep,neuron dec.1,\n1,\n", r"1 columns, not 2; the file may be cut off$"),
        (None, None, r"nothing would be compared$"),
    ],
)
def test_bad_sana_fe_tables_are_refused(
    network: Network, tmp_path: Path, spikes: str | None, potentials: str | None, message: str
) -> None:
    paths: list[Path | None] = []
    for name, text in (("spikes.csv", spikes), ("potentials.csv", potentials)):
        if text is None:
            paths.append(None)
        else:
            (tmp_path / name).write_text(text)
            paths.append(tmp_path / name)
    with pytest.raises(VerificationError, match=message):
        read_sana_fe(network, *paths)
