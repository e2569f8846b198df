"""``snn-deploy verify`` with ``--certificate`` and ``--check``: certificates are written, signed and checked."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from snn_deploy.data import images
from snn_deploy.display.console import note, show, show_json
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification import record as verdict_record
from snn_deploy.verification.certificate import (
    Certificate,
    PrivateKey,
    certify,
    check_certificate,
    check_target,
    read_certificate,
    read_private_key,
    read_public_key,
    write_certificate,
)
from snn_deploy.verification.comparison.verdict_record import Json, as_mapping, restore
from snn_deploy.verification.diagnosis.mutation import MutationScore
from snn_deploy.verification.session import Outcome
from snn_deploy.verification.traces.recordings import list_recording_files

Compare: TypeAlias = Callable[[argparse.Namespace, Network], tuple[Outcome, MutationScore | None]]
"""What runs the comparison that a command line asks for."""

OPTIONS = ("bin", "noise", "seed", "share", "mark", "bits", "dt", "spread", "mutation")
"""Options that a certificate repeats as they are, besides backends, level and crop."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--certificate`` and ``--check``, each with its key."""
    group = parser.add_argument_group("certificates")
    group.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE.json",
        help="write the verdict as an in-toto statement; HTML and JUnit XML beside it",
    )
    group.add_argument(
        "--sign", type=Path, metavar="KEY.pem", help="sign the certificate with an Ed25519 key (PKCS#8, not encrypted)"
    )
    group.add_argument("--check", type=Path, metavar="FILE.json", help="check this certificate")
    group.add_argument("--key", type=Path, metavar="PUB.pem", help="public key that must have signed the certificate")


def prepare(arguments: argparse.Namespace) -> PrivateKey | None:
    """The key to sign with; what the certificate needs is checked before the work."""
    if arguments.certificate is not None:
        check_target(arguments.certificate)
    return None if arguments.sign is None else read_private_key(arguments.sign)


def write(arguments: argparse.Namespace, outcome: Outcome, score: MutationScore | None, key: PrivateKey | None) -> None:
    """The certificate of ``outcome``, signed where there is a key."""
    certificate = certify(
        outcome.verdict,
        outcome.network,
        files=_files(arguments),
        stimuli=outcome.stimuli,
        score=score,
        backends=outcome.backends,
        options=_options(arguments),
    )
    write_certificate(certificate if key is None else certificate.sign(key), arguments.certificate)
    signed = "" if key is None else f", signed by key {key.public.keyid[:16]}"
    note(f"wrote {arguments.certificate}{signed}, and .html and .xml beside it")
    engines = ", ".join(f"{backend}: {engine}" for backend, engine in outcome.engines.items())
    note(f"engines, which depend on the processor and are not certified: {engines}")


def check(arguments: argparse.Namespace, network: Network, compare: Compare) -> int:
    """Check a certificate by itself, against the key and files given and, with an image, against a new run."""
    key = None if arguments.key is None else read_public_key(arguments.key)
    wrong = check_certificate(arguments.check, _files(arguments), key)
    rerun = arguments.input is not None
    if not wrong:
        certificate = read_certificate(arguments.check)
        rerun |= bool(arguments.trace) and "stimulus" not in certificate.files  # the recording holds the images
        wrong = _compare_again(arguments, network, certificate, compare) if rerun else ()
    if wrong:
        if arguments.json:
            invalid = {"exit_code": 1, "wrong": list(wrong), "signed_by": None}
            show_json("verify-check", {**invalid, "run_again": rerun, "verdict": None})
        else:
            for line in wrong:
                show(f"{arguments.check}: {line}")
        return 1
    verdict = restore(certificate.predicate["verdict"])
    signed_by = None if key is None else key.keyid
    if arguments.json:
        values = {"exit_code": verdict.exit_code, "wrong": [], "signed_by": signed_by, "run_again": rerun}
        show_json("verify-check", {**values, "verdict": verdict_record(verdict)})
    else:
        checked = "a new run agrees" if rerun else "not run again, give --input (and --trace) for that"
        show(f"{arguments.check} is valid; {_tell_signature(certificate, signed_by)}; {checked}")
        show(verdict.line)
    return verdict.exit_code


def _tell_signature(certificate: Certificate, signed_by: str | None) -> str:
    if signed_by is not None:
        return f"signed by key {signed_by}"
    return "not signed" if certificate.signature is None else "signed, not checked; give --key PUB.pem"


def _files(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files that a certificate vouches for, by the labels it gives them."""
    files = {"artifact": arguments.network}
    if arguments.input is not None and arguments.input.is_dir():
        paths = images.list_image_paths(arguments.input)
        files |= {f"stimulus {index + 1}": path for index, path in enumerate(paths)}
    elif arguments.input is not None:
        files["stimulus"] = arguments.input
    for index, path in enumerate(arguments.trace):
        files |= {f"trace {index + 1} {label}".rstrip(): file for label, file in list_recording_files(path).items()}
    return files


def _options(arguments: argparse.Namespace) -> dict[str, Json]:
    """What the command line of the same comparison says beside its files; see :func:`_repeat`."""
    crop = None if arguments.crop is None else "x".join(map(str, arguments.crop))
    given = {"backends": ",".join(arguments.backends), "level": arguments.level, "crop": crop}
    given |= {name: getattr(arguments, name) for name in OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def _repeat(arguments: argparse.Namespace, options: dict[str, Json]) -> argparse.Namespace:
    """The command line of the certified comparison, with the files of this one."""
    strange = sorted(set(options) - {"backends", "level", "crop", *OPTIONS})
    if strange:  # --help among them would end the program with status 0
        raise VerificationError(f"{arguments.check}: unknown option {strange[0]!r}")
    words = [str(arguments.network)]
    for name, value in options.items():
        words += [f"--{name}"] if value is True else [] if value is False else [f"--{name}={value}"]
    repeated: argparse.Namespace = arguments.parser.parse_args(["verify", *words])
    repeated.input, repeated.trace = arguments.input, arguments.trace
    return repeated


def _compare_again(
    arguments: argparse.Namespace, network: Network, certificate: Certificate, compare: Compare
) -> tuple[str, ...]:
    """What a new run of the certified comparison says otherwise."""
    absent = sorted(set(certificate.files) - set(_files(arguments)))
    if absent:
        return (f"it certifies {', '.join(absent)}; give them, so that it can be run again",)
    outcome, score = compare(_repeat(arguments, as_mapping(certificate.predicate["options"])), network)
    again = certify(
        outcome.verdict, outcome.network, stimuli=outcome.stimuli, score=score, backends=outcome.backends
    ).predicate
    for part in ("verifier", "backends", "libraries"):
        if again[part] != certificate.predicate.get(part):
            note(f"the new run has other {part} than the certified one; versions stand in the certificate")
    differs = [
        part for part in ("verdict", "stimuli", "mutation", "cause") if again[part] != certificate.predicate.get(part)
    ]
    return (f"a new run has another {', '.join(differs)}: {outcome.verdict.line}",) if differs else ()
