"""``verify`` with recordings: equal, altered and damaged ones; certificates; named causes; suggested images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy import artifact
from snn_deploy.backend import Record, Run, load_backend
from snn_deploy.pipeline import stimulus_at
from snn_deploy.tasks.images import center_crop, read_image
from snn_deploy.verify import Trace
from snn_deploy.verify.trace_file import write_trace

from .conftest import Tool

CROP = ("--crop", "16x16")


@pytest.fixture(scope="module")
def run(network: Path, picture: Path) -> Run:
    loaded = artifact.load(network)
    image = center_crop(read_image(picture, loaded.input.shape[0]), 16, 16)
    sized, payloads = stimulus_at(loaded, image, "picture")
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
    rows = {row["name"]: row["status"] for row in json.loads(found.out)["populations"]}
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
    other = tmp_path / "other.snn"
    loaded = artifact.load(network)
    artifact.save(replace(loaded, name=f"{loaded.name}-changed"), other)
    changed = tool("verify", other, "--check", path)
    assert changed.status == 1
    assert "is not the file that was verified" in changed.out


def test_the_mutation_score_is_told(tool: Tool, network: Path, picture: Path) -> None:
    found = tool("verify", network, "--input", picture, "--crop", "8x8", "--level", "state", "--mutation")
    assert found.status == 0, found.err
    assert "mutant" in found.out


def test_shuffled_schedules_count_the_same(tool: Tool, network: Path, picture: Path) -> None:
    words = ("--input", picture, *CROP, "--backends", "reference", "--shuffle", "2", "--json")
    found = tool("verify", network, *words)
    assert found.status == 0, found.err
    assert len(json.loads(found.out)["backends"]) == 3


def test_a_probe_plan_finds_the_population_that_errs(tool: Tool, network: Path) -> None:
    names = [population.name for population in artifact.load(network).populations[1:]]
    culprit, answers = names[2], []
    for _ in range(len(names)):
        found = tool("verify", network, "--probe-plan", *answers)
        assert found.status == 0, found.err
        outcome, _, name = found.out.strip().rpartition(": ")
        if outcome == "culprit":
            break
        answers.append(f"{name}={'different' if names.index(name) >= names.index(culprit) else 'equal'}")
    assert (outcome, name) == ("culprit", culprit)
    assert tool("verify", network, "--probe-plan", "nobody=equal").status == 3
    assert tool("verify", network, "--probe-plan", "nobody=maybe").status == 3
