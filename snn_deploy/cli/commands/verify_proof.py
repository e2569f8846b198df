"""``snn-deploy verify --prove``: equality for all inputs, without a stimulus."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli.modes import Need
from snn_deploy.display.console import note, progress, show_json
from snn_deploy.display.proof_table import show_proof
from snn_deploy.errors import VerificationError
from snn_deploy.exchange.integer_onnx_reader import read_integer_onnx
from snn_deploy.files import read_limited, write
from snn_deploy.network.network import Network
from snn_deploy.verification.proof import Proof, combine_proofs, prove_backend, prove_reading, record_proof

SPECIFICATION = "reference"
"""The backend that runs the specification itself: nothing is compiled, and nothing is left to prove."""

SIZE_LIMIT = 2**31
"""Largest ONNX file, in bytes, that is read."""

NEEDS = (
    Need("emitted out", "without --prove", lambda arguments: arguments.prove),
    Need("backends", "with --emitted, which is a file for ONNX runtimes", lambda arguments: arguments.emitted is None),
    Need(
        "out",
        "with several backends, of which each has a proof of its own",
        lambda arguments: arguments.emitted is not None or len(_compiled(arguments)) == 1,
    ),
)
"""Options that act only beside others."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--prove``, and what it reads and writes."""
    group = parser.add_argument_group("proofs")
    group.add_argument(
        "--prove", action="store_true", help="prove that the backends compute the network's counts for all inputs"
    )
    group.add_argument(
        "--emitted", type=Path, metavar="FILE.onnx", help="prove it of this file, which emit --to onnx wrote"
    )
    group.add_argument("--out", type=Path, metavar="FILE.json", help="write the proof, for its checker")


def execute(arguments: argparse.Namespace, network: Network) -> int:
    """Prove, show, write; the status is 1 where anything is refuted, else 2 where anything is open."""
    with progress("proving") as report:
        if arguments.emitted is not None:
            data = read_limited(arguments.emitted, VerificationError, SIZE_LIMIT)
            read = partial(read_integer_onnx, data, network.input.input_min, network.input.input_max)
            proofs: tuple[Proof, ...] = (prove_reading(network, "onnx", read, report),)
        else:
            names = _compiled(arguments)
            if not names:
                raise VerificationError(
                    f"backend {SPECIFICATION} is the specification itself; name another one with --backends"
                )
            proofs = tuple(prove_backend(network, load_backend(name), report) for name in names)
    if arguments.out is not None:
        write(arguments.out, json.dumps(record_proof(proofs[0]), indent=1), VerificationError)
        note(f"wrote {arguments.out}")
    status = combine_proofs(proofs)
    if arguments.json:
        show_json("verify-proof", {"exit_code": status, "proofs": [record_proof(proof) for proof in proofs]})
        return status
    if SPECIFICATION in arguments.backends and arguments.emitted is None:
        note(f"{SPECIFICATION} runs the specification itself; there is nothing to prove of it")
    for proof in proofs:
        show_proof(proof)
    return status


def _compiled(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The backends of which something can be proved."""
    return tuple(name for name in arguments.backends if name != SPECIFICATION)
