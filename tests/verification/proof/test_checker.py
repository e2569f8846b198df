"""The checker accepts what is proved and rejects the rest: altered files, altered proofs, proofs of other files."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from snn_deploy.errors import CompiledFormError, ConversionError
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.testing import random_unet
from snn_deploy.testing.drawing import draw_network
from snn_deploy.verification.proof import Outcome, checker, record_proof
from tests.verification.proof.forms import change_constants, prove_file, swap_inputs

Record = dict[str, Any]


@pytest.fixture(scope="module")
def small() -> Network:
    return random_unet("exact", 0, size=8)


def proof_of(network: Network, data: bytes) -> Record:
    record: Record = json.loads(json.dumps(record_proof(prove_file(network, data))))
    return record


def accepts(network: Network, data: bytes, proof: Record) -> bool:
    """What the command line says, of files in memory."""
    try:
        return checker.check(artifact.encode(network), data, proof) == len(proof["obligations"])
    except (checker.RejectedError, ArithmeticError, LookupError, TypeError, ValueError):
        return False


def test_proofs_of_drawn_networks_are_accepted() -> None:
    accepted = 0
    for seed in range(25):
        network = draw_network(Random(seed))
        try:
            data = encode_onnx(network)
        except ConversionError:
            continue
        assert accepts(network, data, proof_of(network, data)), seed
        accepted += 1
    assert accepted > 4


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_forged_proof_of_an_altered_file_is_rejected(small: Network, step: int) -> None:
    good = proof_of(small, encode_onnx(small))
    altered = [data for _, data in change_constants(small, 1, step)] + [data for _, data in swap_inputs(small, step)]
    accepted = 0
    for data in altered:
        forged = good | {"form_digest": hashlib.sha256(data).hexdigest()}
        if accepts(small, data, forged):
            assert prove_file(small, data).outcome is Outcome.PROVED
            accepted += 1
    assert accepted < len(altered) / 4


def test_other_pixels_and_factors_are_rejected(small: Network) -> None:
    good, rejected = proof_of(small, encode_onnx(small)), 0
    for users, data in change_constants(small, 2):
        if set(users) <= {"Mul", "Gather"}:
            forged = good | {"form_digest": hashlib.sha256(data).hexdigest()}
            assert not accepts(small, data, forged), users
            rejected += 1
    assert rejected > 8


def drop(proof: Record) -> None:
    proof["obligations"].pop(3)


def repeat(proof: Record) -> None:
    proof["obligations"].append(proof["obligations"][3])


def refute(proof: Record) -> None:
    proof["obligations"][3]["outcome"] = "refuted"


def count_less(proof: Record) -> None:
    linear = next(each for each in proof["obligations"] if each["kind"] == "linear")
    linear["evidence"]["weights"] -= 1


def end_earlier(proof: Record) -> None:
    next(each for each in proof["obligations"] if each["kind"] == "schedule")["evidence"]["last_step"] -= 1


def rename(proof: Record) -> None:
    proof["obligations"][2]["subject"] = "another"


def claim_another_network(proof: Record) -> None:
    proof["digest"] = "0" * 64


def claim_another_file(proof: Record) -> None:
    proof["form_digest"] = "0" * 64


def leave_open(proof: Record) -> None:
    proof["outcome"] = "open"


@pytest.mark.parametrize(
    "change",
    [drop, repeat, refute, count_less, end_earlier, rename, claim_another_network, claim_another_file, leave_open],
)
def test_an_altered_proof_is_rejected(small: Network, change: Callable[[Record], None]) -> None:
    data = encode_onnx(small)
    proof = proof_of(small, data)
    assert accepts(small, data, proof)
    change(proof)
    assert not accepts(small, data, proof)


def test_a_proof_of_a_network_that_differs_from_the_file_is_rejected(small: Network) -> None:
    """The digests are right and the proof says proved, but the network is another one."""
    other = random_unet("exact", 1, size=8)
    data = encode_onnx(small)
    forged = proof_of(small, data) | {"digest": artifact.digest(other)}
    for each in forged["obligations"]:
        if each["subject"] == small.name:
            each["subject"] = other.name
    assert not accepts(other, data, forged)
    with pytest.raises((checker.RejectedError, CompiledFormError), match="a synapse has another weight$"):
        checker.check(artifact.encode(other), data, forged)


def test_the_command_line(small: Network, tmp_path: Path) -> None:
    data = encode_onnx(small)
    files = {
        "net.snn": artifact.encode(small),
        "form.onnx": data,
        "proof.json": json.dumps(proof_of(small, data)).encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    words = [sys.executable, str(checker.__file__), *files]
    accepted = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (accepted.returncode, accepted.stdout, accepted.stderr) == (0, "25 obligations hold\n", "")
    (tmp_path / "form.onnx").write_bytes(data[:-1])
    rejected = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (rejected.returncode, rejected.stderr) == (1, "")
    assert rejected.stdout.startswith("rejected: ")
    assert checker.main(["absent", "absent", "absent"]) == 1


def test_the_checker_is_short_and_stands_alone() -> None:
    text = Path(checker.__file__).read_text(encoding="utf-8")
    tree = ast.parse(text)
    documentation = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code = [line for number, line in enumerate(text.splitlines(), 1) if line.strip() and number not in documentation]
    assert len(code) <= 310
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    assert {str(name).split(".")[0] for name in imported} - set(sys.stdlib_module_names) == {"numpy", "onnx"}
