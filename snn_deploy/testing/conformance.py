"""The suite that every backend must pass: each event and each membrane as the reference has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from snn_deploy.backend.protocol import Backend, Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendUnavailableError, VerificationError
from snn_deploy.testing.networks import conformance_cases, special_cases
from snn_deploy.verification import Level, Status, compare


@dataclass(frozen=True)
class Conformance:
    """Networks in which a backend was equal, and those it refused, with its reasons."""

    equal: tuple[str, ...]
    refused: Mapping[str, str]

    def __str__(self) -> str:
        refused = "".join(f"; {name} refused: {reason}" for name, reason in self.refused.items())
        return f"{len(self.equal)} networks, every event and every membrane equal{refused}"


def check_backend(backend: Backend, record: Record = Record.STATES) -> Conformance:
    """Compare ``backend`` with the reference on all cases, every event and state, with ``==``.

    A network that it refuses with ``BackendUnavailableError`` is not compared, and listed. :class:`VerificationError`
    for whatever else it returns: a contract that is broken (formats, digests, populations), or the first difference
    with its image, step, neuron and both values.
    """
    reference = load_backend("reference")
    level = {Record.COUNTS: Level.NEURON_COUNT, Record.TRAINS: Level.TRAIN, Record.STATES: Level.STATE}[record]
    equal: list[str] = []
    refused: dict[str, str] = {}
    for network, stimulus in (*conformance_cases(), *special_cases()):
        try:
            run = backend.run(network, stimulus, record)
        except BackendUnavailableError as error:
            refused[network.name] = str(error)
            continue
        expected = reference.run(network, stimulus, record)
        verdict = compare(network, [replace(expected, backend="specification"), run], level)
        if verdict.status is not Status.EQUAL:
            raise VerificationError(f"{network.name}: {verdict.line}")
        if dict(run.saturations) != dict(expected.saturations):
            raise VerificationError(
                f"{network.name}: {backend.name} counts saturations {dict(run.saturations)}, "
                f"the reference {dict(expected.saturations)}"
            )
        equal.append(network.name)
    if not equal:
        raise VerificationError(f"{backend.name} refuses every network: {next(iter(refused.values()))}")
    return Conformance(tuple(equal), refused)
