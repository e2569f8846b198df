"""``verify --prove``: proofs on the command line, their files and their statuses."""

import json
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

import snn_deploy as sd
from snn_deploy.verification.proof import checker
from tests.cli.conftest import Tool


@pytest.fixture
def emitted(tool: Tool, network: Path, tmp_path: Path) -> Path:
    path = tmp_path / "form.onnx"
    assert tool("emit", network, "--to", "onnx", "--out", path).status == 0
    return path


def test_a_proof_is_shown_written_and_checked(tool: Tool, network: Path, emitted: Path, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    found = tool("verify", network, "--prove", "--backends", "reference,onnx", "--out", path)
    assert found.status == 0
    *rows, last = found.out.splitlines()
    assert last.startswith("PROVED EQUAL for all inputs: ")
    assert last.endswith(" obligations | exit 0")
    assert sum(row.startswith("outside the proof: ") for row in rows) == 3
    assert "reference runs the specification itself" in found.err
    assert checker.main([str(network), str(emitted), str(path)]) == 0
    as_json = json.loads(tool("verify", network, "--prove", "--emitted", emitted, "--json").out)
    assert (as_json["exit_code"], as_json["proofs"]) == (0, [json.loads(path.read_text())])


def test_a_file_that_differs_is_refuted_in_words(tool: Tool, network: Path, emitted: Path) -> None:
    model = onnx.load(emitted)
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[0] > 1)
    assert weight.data_type == onnx.TensorProto.UINT8
    values = numpy_helper.to_array(weight).copy()
    values[0, 0, 0, 0] ^= 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, emitted)
    found = tool("verify", network, "--prove", "--emitted", emitted)
    assert found.status == 1
    assert "payload" in found.out
    assert found.out.splitlines()[-1].startswith("REFUTED: ")
    emitted.write_bytes(b"no file of this kind")
    broken = tool("verify", network, "--prove", "--emitted", emitted)
    assert broken.status == 2
    assert broken.out.splitlines()[-1].startswith("NOT PROVED: ")
    assert tool("verify", network, "--prove", "--emitted", "absent.onnx").status == 3


def test_the_specification_is_not_proved_of_itself(tool: Tool, network: Path) -> None:
    found = tool("verify", network, "--prove", "--backends", "reference")
    assert (found.status, found.out) == (3, "")
    assert found.err.endswith("is the specification itself; name another one with --backends\n")


@pytest.mark.slow
def test_five_networks_on_three_backends(tool: Tool, tmp_path: Path) -> None:
    """The shipped models at 64x64; each proof takes less than a second, once libraries are loaded."""
    pytest.importorskip("skimage", reason="conversion without images of one's own needs the extra report")
    backends = "cpu,onnx" if find_spec("lava") is None else "cpu,onnx,lava"
    models = sorted((Path(__file__).parents[2] / "models").glob("*.onnx"))
    assert len(models) == 5
    for model in models:
        path = tmp_path / f"{model.stem}.snn"
        sd.convert(model, size=(64, 64)).save(path)
        found = tool("verify", path, "--prove", "--backends", backends)
        assert found.status == 0, found.out.splitlines()[-1]
        assert found.out.count("PROVED EQUAL for all inputs: ") == backends.count(",") + 1


def test_from_python(network: Path) -> None:
    proof = sd.prove(sd.load(network), "onnx")
    assert isinstance(proof, sd.Proof)
    assert proof.exit_code == 0
