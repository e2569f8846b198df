"""``verify --spread``: the command line and Python judge recordings of a noisy chip alike, and a certificate is run again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import snn_deploy as sd
from snn_deploy.network import artifact
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Probe, Trace, write_trace
from snn_deploy.verification.comparison.replay import forward, repeat
from snn_deploy.verification.diagnosis import hidden_faults
from snn_deploy.verification.diagnosis.mutation import list_cases
from tests.cli.conftest import Tool


def test_python_and_the_command_line_judge_alike(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden_faults, "list_cases", lambda network: list_cases(network, ["up1"]))
    network = random_unet("exact", 1, size=4)
    stimulus = random_stimulus(network)
    photo = (stimulus * network.input.unit[:, None, None]).astype(np.float32)
    artifact.save(network, tmp_path / "net.snn")
    np.save(tmp_path / "photo.npy", photo)
    right = forward(network, repeat(network, stimulus)).trace
    rng = np.random.default_rng(0)
    paths = []
    for index in range(4):
        probes = {name: Probe(counts=np.asarray(probe.counts)) for name, probe in right.probes.items()}
        probes |= {
            name: Probe(counts=probe.counts + rng.choice([-1, 0, 1], probe.counts.shape, p=[0.03, 0.94, 0.03]))
            for name, probe in probes.items()
            if name != network.input.name and probe.counts is not None
        }
        paths.append(tmp_path / f"{index}.npz")
        write_trace(paths[-1], [Trace(f"chip{index}", right.images, probes)])
    words: list[object] = ["verify", tmp_path / "net.snn", "--input", tmp_path / "photo.npy", "--backends", "reference"]
    traces = [word for path in paths for word in ("--trace", path)]
    found = tool(*words, *traces, "--spread", "--json", "--certificate", tmp_path / "c.json")
    assert found.status == 2, found.err
    told = json.loads(found.out)["verdict"]
    assert (told["status"], told["asked"]) == ("within spread", "neuron-count")
    assert told["spread"]["faults"] == len(list_cases(network, ["up1"]))
    verdict = sd.verify(sd.load(tmp_path / "net.snn"), photo, ["reference"], traces=paths, spread=True)
    assert (verdict.line, verdict.exit_code) == (told["line"], 2)
    table = tool(*words, *traces, "--spread")
    assert "spread of 4 recordings: from each other / from the baseline" in " ".join(table.out.split())
    assert "not excluded, with the number of counts that each moves: 'comparison' in up1 (1)" in table.out
    checked = tool("verify", tmp_path / "net.snn", "--check", tmp_path / "c.json", "--input", words[3], *traces)
    assert checked.status == 2, checked.out + checked.err
    assert "a new run agrees" in checked.out
    refused = tool(*words, *traces, "--spread", "--level", "train")
    assert (refused.status, refused.out) == (3, "")
    assert refused.err.endswith("only counts of neurons can; choose output-count or neuron-count\n")
    alone = tool(*words, "--trace", paths[0], "--spread")
    assert (alone.status, alone.err.count("\n")) == (3, 1)
    assert "1 recording(s) show no spread" in alone.err
