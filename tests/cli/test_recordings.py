"""``verify`` with recordings: equal, altered and damaged ones; certificates; named causes; suggested images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.data.images import center_crop, read_image
from snn_deploy.data.stimulus import prepare_stimulus
from snn_deploy.network import artifact
from snn_deploy.verification import Probe, Trace
from snn_deploy.verification.certificate import Certificate, read_certificate, write_certificate
from snn_deploy.verification.certificate.statement import digest_statement
from snn_deploy.verification.traces.trace_file import write_trace

from .conftest import Tool

CROP = ("--crop", "16x16")


@pytest.fixture(scope="module")
def run(network: Path, picture: Path) -> Run:
    loaded = artifact.load(network)
    image = center_crop(read_image(picture, loaded.input.shape[0]), 16, 16)
    sized, payloads = prepare_stimulus(loaded, image, "picture")
    return load_backend("reference").run(sized, payloads, Record.STATES)


@pytest.fixture
def recording(run: Run, tmp_path: Path) -> Path:
    path = tmp_path / "chip.npz"
    write_trace(path, [Trace.of(run, "chip")])
    return path


def test_an_equal_recording_is_equal(tool: Tool, network: Path, picture: Path, recording: Path) -> None:
    words = ("--input", picture, *CROP, "--trace", recording, "--level", "state")
    found = tool("verify", network, *words, "--backends", "reference,cpu")
    assert found.status == 0, found.err + found.out
    assert "reference, cpu, chip" in found.out


def test_an_altered_recording_is_located(tool: Tool, network: Path, picture: Path, run: Run, tmp_path: Path) -> None:
    trains = {name: np.array(values) for name, values in (run.trains or {}).items()}
    name = [item for item in trains if np.any(trains[item])][2]
    place = tuple(int(index) for index in np.argwhere(trains[name])[0])
    trains[name][place] += 1
    counts = {item: values.sum(axis=1, dtype=np.int64) for item, values in trains.items()}
    path = tmp_path / "chip.npz"
    write_trace(path, [Trace.of(replace(run, trains=trains, counts=counts, states=None, events={}), "chip")])
    found = tool("verify", network, "--input", picture, *CROP, "--trace", path, "--json")
    assert found.status == 1, found.err
    rows = {row["name"]: row["status"] for row in json.loads(found.out)["verdict"]["populations"]}
    assert [item for item, status in rows.items() if status == "different"] == [name]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_recording_is_bad_input(
    tool: Tool, network: Path, picture: Path, recording: Path, damage: str
) -> None:
    data = recording.read_bytes()
    recording.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "text": b"spikes\n" * 9}[damage])
    found = tool("verify", network, "--input", picture, *CROP, "--trace", recording)
    assert found.status == 3
    assert found.err.count("\n") == 1
    assert "chip.npz" in found.err


def test_a_certificate_stands_until_a_file_changes(tool: Tool, network: Path, picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    words = ("--input", picture, *CROP, "--level", "neuron-count", "--certificate", path)
    assert tool("verify", network, *words).status == 0
    assert path.with_suffix(".html").is_file()
    assert path.with_suffix(".xml").is_file()
    assert tool("verify", network, "--check", path, "--input", picture).status == 0
    refused = tool("verify", network, "--check", path, "--input", picture, *CROP, "--level", "state")
    assert refused.status == 3
    assert (
        "--crop, --level have no effect with --check, which takes options from the certificate; leave them out"
        in refused.err
    )
    other = tmp_path / "other.snn"
    loaded = artifact.load(network)
    artifact.save(replace(loaded, name=f"{loaded.name}-changed"), other)
    changed = tool("verify", other, "--check", path)
    assert changed.status == 1
    assert "is not the file that was verified" in changed.out


def test_a_certificate_that_cannot_be_written_is_refused_before_the_work(
    tool: Tool, network: Path, picture: Path, tmp_path: Path
) -> None:
    page = tmp_path / "c.html"
    page.write_text("my page")
    words = ("verify", network, "--input", picture, *CROP, "--trace", tmp_path / "none.npz", "--certificate")
    for name, message in (
        ("c.html", "c.html: a certificate is a .json file, with .html and .xml beside it; write c.json"),
        ("c.json", "c.html: stands where the certificate's .html belongs, and is not one; choose another name"),
        ("folder/c.json", f"c.json: folder {tmp_path / 'folder'} does not exist; make it first"),
    ):
        found = tool(*words, tmp_path / name)
        assert (found.status, found.err.count("\n")) == (3, 1)
        assert found.err.endswith(f"{message}\n")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["c.html"]
    assert page.read_text() == "my page"


def test_the_mutation_score_is_told(tool: Tool, network: Path, picture: Path) -> None:
    found = tool("verify", network, "--input", picture, "--crop", "8x8", "--level", "state", "--mutation")
    assert found.status == 0, found.err
    assert "mutant" in found.out


def test_shuffled_schedules_count_the_same(tool: Tool, network: Path, picture: Path) -> None:
    words = ("--input", picture, *CROP, "--backends", "reference", "--shuffle", "2", "--json")
    found = tool("verify", network, *words)
    assert found.status == 0, found.err
    assert len(json.loads(found.out)["verdict"]["backends"]) == 3


def test_a_probe_plan_finds_the_population_that_errs(tool: Tool, network: Path) -> None:
    names = [population.name for population in artifact.load(network).populations[1:]]
    culprit = names[2]
    answers: list[str] = []
    for _ in range(len(names)):
        found = tool("verify", network, "--probe-plan", *answers)
        assert found.status == 0, found.err
        outcome, _, name = found.out.strip().rpartition(": ")
        if outcome == "culprit":
            break
        answers.append(f"{name}={'different' if names.index(name) >= names.index(culprit) else 'equal'}")
    assert (outcome, name) == ("culprit", culprit)
    assert tool("verify", network, "--probe-plan", "absent=equal").status == 3
    spelled = [
        tool("verify", network, "--probe-plan", f"{name}=different", "--json") for name in ("/mid/Relu", "mid/Relu")
    ]
    assert [found.status for found in spelled] == [0, 0]
    assert spelled[0].out == spelled[1].out
    assert tool("verify", network, "--probe-plan", "absent=maybe").status == 3


@pytest.fixture(scope="module")
def batches(network: Path, pictures: Path) -> list[Trace]:
    """Two batches, of one picture each."""
    loaded = artifact.load(network)
    traces = []
    for path in sorted(pictures.iterdir()):
        sized, payloads = prepare_stimulus(loaded, center_crop(read_image(path, 1), 16, 16), path.name)
        traces.append(Trace.of(load_backend("reference").run(sized, payloads, Record.STATES), "chip"))
    return traces


def test_a_recording_of_many_images_is_compared_batch_by_batch(
    tool: Tool, network: Path, pictures: Path, picture: Path, batches: list[Trace], tmp_path: Path
) -> None:
    path = tmp_path / "chip.npz"
    write_trace(path, batches)
    words = ("--input", pictures, *CROP, "--trace", path, "--level", "state", "--backends", "reference")
    found = tool("verify", network, *words)
    assert found.status == 0, found.err + found.out
    assert "2 image(s)" in found.out
    alone = tool("verify", network, "--input", picture, *words[2:])
    assert (alone.status, alone.err.count("\n")) == (3, 1)
    assert "holds 2 image(s)" in alone.err
    swapped = tmp_path / "swapped.npz"
    write_trace(swapped, reversed([replace(batch, stimulus=None) for batch in batches]))
    found = tool("verify", network, *words[:-5], swapped, *words[-4:], "--json")
    assert found.status == 1, found.err
    assert json.loads(found.out)["verdict"]["populations"][0]["status"] == "different", "the pictures themselves differ"


def test_a_partial_probe_needs_the_share_that_is_asked(
    tool: Tool, network: Path, picture: Path, batches: list[Trace], tmp_path: Path
) -> None:
    name = "/up/Relu"
    half = np.arange(0, np.asarray(batches[0].probes[name].counts).shape[1], 2)
    probes = {**batches[0].probes, name: batches[0].probes[name].at(half)}
    write_trace(tmp_path / "chip.npz", [replace(batches[0], probes=probes)])
    words = ("--input", picture, *CROP, "--trace", tmp_path / "chip.npz", "--backends", "reference")
    assert tool("verify", network, *words).status == 2
    found = tool("verify", network, *words, "--share", "0.5")
    assert found.status == 0, found.err
    assert tool("verify", network, *words, "--share", "0.6").status == 2


def test_artefacts_of_the_read_out_are_undone_where_they_are_named(
    tool: Tool, network: Path, picture: Path, batches: list[Trace], tmp_path: Path
) -> None:
    unsigned = {
        name: replace(probe, states=None if probe.states is None else np.asarray(probe.states, np.int64) % 2**24)
        for name, probe in batches[0].probes.items()
    }
    assert any(
        np.any(np.asarray(probe.states, np.int64) >= 2**23) for probe in unsigned.values() if probe.states is not None
    )
    write_trace(tmp_path / "chip.npz", [replace(batches[0], probes=unsigned)])
    words = ("--input", picture, *CROP, "--trace", tmp_path / "chip.npz", "--level", "state")
    assert tool("verify", network, *words).status == 1
    found = tool("verify", network, *words, "--bits", "24")
    assert found.status == 0, found.err
    assert tool("verify", network, *words, "--bits", "12").status == 3


def test_tables_of_sana_fe_are_found_in_a_folder(
    tool: Tool, network: Path, picture: Path, batches: list[Trace], tmp_path: Path
) -> None:
    folder = tmp_path / "sana-fe"
    folder.mkdir()
    words = ("--input", picture, *CROP, "--trace", folder, "--level", "layer-count")
    assert "holds neither spikes.csv nor potentials.csv" in tool("verify", network, *words).err
    name = "/up/Relu"
    states = np.asarray(batches[0].probes[name].states)[0]
    header = "timestep," + ",".join(f"neuron {name}.{index}" for index in range(states.shape[1]))
    rows = [f"{step}," + ",".join(map(str, row)) for step, row in enumerate(states)]
    (folder / "potentials.csv").write_text("\n".join([header, *rows]) + "\n")
    for table in (folder, folder / "potentials.csv"):
        found = tool("verify", network, *words[:-3], table, *words[-2:])
        assert "no population tells when the recording begins" in found.err, "membranes alone have no lag"
    start = artifact.load(network).population(name).start
    single = np.flatnonzero(np.asarray(batches[0].probes[name].trains)[0, 0] == 1)
    lines = ["neuron,timestep", *(f"{name}.{index},{start}" for index in single)]
    (folder / "spikes.csv").write_text("\n".join(lines) + "\n")
    found = tool("verify", network, *words)
    assert found.status == 1, "graded payloads are not single spikes" + found.err
    assert f"first {name}, image 0, step 0, neuron " in found.out


def test_a_certificate_is_checked_by_running_again(
    tool: Tool, network: Path, picture: Path, batches: list[Trace], tmp_path: Path
) -> None:
    trace, path = tmp_path / "chip.npz", tmp_path / "certificate.json"
    write_trace(trace, batches[:1])
    words = ("--input", picture, *CROP, "--trace", trace, "--level", "state", "--certificate", path)
    assert tool("verify", network, *words).status == 0
    values = json.loads(path.read_text())
    assert len(values["predicate"]["model"]["digest"]["sha256"]) == 64
    assert set(read_certificate(path).files) == {"artifact", "stimulus", "trace 1"}
    found = tool("verify", network, "--check", path)
    assert found.status == 0
    assert "not run again" in found.out
    assert "give them, so that it can be run again" in tool("verify", network, "--check", path, "--input", picture).out
    found = tool("verify", network, "--check", path, "--input", picture, "--trace", trace)
    assert (found.status, "a new run agrees" in found.out) == (0, True), found.out + found.err
    for row in values["predicate"]["verdict"]["populations"]:
        row["sides"][0]["counts"] = 7
    values["predicate"]["digest"] = digest_statement(Certificate(values))
    write_certificate(Certificate(values), path)
    assert tool("verify", network, "--check", path).status == 0, "nothing in it contradicts itself"
    found = tool("verify", network, "--check", path, "--input", picture, "--trace", trace)
    assert found.status == 1
    assert "a new run has another verdict" in found.out


def test_a_certificate_of_a_difference_is_no_pass(
    tool: Tool, network: Path, picture: Path, batches: list[Trace], tmp_path: Path
) -> None:
    probes = dict(batches[0].probes)
    trains = np.array(probes["/up/Relu"].trains)
    trains[0, 0, int(np.argmax(trains))] += 1
    probes["/up/Relu"] = Probe(trains=trains)
    write_trace(tmp_path / "chip.npz", [replace(batches[0], probes=probes)])
    path = tmp_path / "certificate.json"
    words = ("--input", picture, *CROP, "--trace", tmp_path / "chip.npz")
    found = tool("verify", network, *words, "--certificate", path, "--json")
    assert found.status == 1
    assert json.loads(found.out)["verdict"]["cause"].startswith("/up/Relu: 1 of ")
    assert read_certificate(path).predicate["cause"] == json.loads(found.out)["verdict"]["cause"]
    checked = tool("verify", network, "--check", path, "--input", picture, "--trace", tmp_path / "chip.npz")
    assert checked.status == 1
    assert "DIFFERENT at level train" in checked.out
