"""The suite that every backend must pass: each event and each membrane as the reference has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from random import Random

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.errors import BackendError, BackendUnavailableError, VerificationError
from snn_deploy.network.network import Network
from snn_deploy.testing.drawing import draw_case, draw_frames, draw_stream
from snn_deploy.testing.networks import conformance_cases, special_cases
from snn_deploy.testing.options import neuron_option_cases
from snn_deploy.verification import Level, Status, compare


@dataclass(frozen=True)
class Conformance:
    """Networks in which a backend was equal, and those it refused, with its reasons."""

    equal: tuple[str, ...]
    refused: Mapping[str, str]

    def __str__(self) -> str:
        names: dict[str, list[str]] = {}
        for name, reason in self.refused.items():
            names.setdefault(reason, []).append(name)
        refused = "".join(f"; {', '.join(several)} refused: {reason}" for reason, several in names.items())
        return f"{len(self.equal)} networks, every event and every membrane equal{refused}"


@cache
def fixed_cases() -> tuple[tuple[Network, Int64], ...]:
    """Networks and stimuli that do not depend on a seed: U-Nets, special cases, every three options of a neuron."""
    optioned = ((network, stimulus) for _, network, stimulus in neuron_option_cases())
    return (*conformance_cases(), *special_cases(), *optioned)


def check_backend(
    backend: Backend,
    record: Record = Record.STATES,
    *,
    drawn: int = 20,
    seed: int = 0,
    cases: Iterable[tuple[Network, Int64]] | None = None,
) -> Conformance:
    """Compare ``backend`` with the reference on all cases, every event and state, with ``==``.

    The cases are ``cases`` (default: :func:`fixed_cases`) and ``drawn`` random networks over all kernels, neuron kinds
    and options, those of :func:`snn_deploy.testing.drawing.draw_case` for ``seed``, ``seed + 1`` and so on: another
    ``seed`` draws others. A network that it refuses with ``BackendUnavailableError`` is not compared, and listed.
    :class:`VerificationError` for whatever else it returns: a contract that is broken (formats, digests, populations),
    or the first difference with its image, step, neuron and both values. ``drawn-17`` is the name of ``draw_case(17)``.
    """
    reference = load_backend("reference")
    level = {Record.COUNTS: Level.NEURON_COUNT, Record.TRAINS: Level.TRAIN, Record.STATES: Level.STATE}[record]
    equal: list[str] = []
    refused: dict[str, str] = {}
    draws = (draw_case(number) for number in range(seed, seed + drawn))
    for network, stimulus in chain(fixed_cases() if cases is None else cases, draws):
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


def check_streams(backend: Backend, record: Record = Record.STATES, *, drawn: int = 20, seed: int = 0) -> Conformance:
    """Compare streams on ``backend`` with those on the reference: every frame's events and states, and what is carried over.

    The networks are those of :func:`snn_deploy.testing.drawing.draw_stream` for ``drawn`` numbers from ``seed`` on, two streams
    side by side; half-way the stream goes on from its saved state. Networks that the backend refuses are listed, and
    :class:`VerificationError` tells the first difference, as for :func:`check_backend`.
    """
    reference = load_backend("reference")
    level = {Record.COUNTS: Level.NEURON_COUNT, Record.TRAINS: Level.TRAIN, Record.STATES: Level.STATE}[record]
    equal: list[str] = []
    refused: dict[str, str] = {}
    for number in range(seed, seed + drawn):
        random = Random(number)
        network = replace(draw_stream(random), name=f"drawn-stream-{number}")
        frames = draw_frames(network, random)
        try:
            streams = [open_stream(each, network, batch=2) for each in (reference, backend)]
        except BackendUnavailableError as error:
            refused[network.name] = str(error)
            continue
        for index, frame in enumerate(frames):
            try:
                expected = streams[0].push(frame, record)
            except BackendError:  # a sigma-delta event or count beyond what the proof assumes
                break
            run = streams[1].push(frame, record)
            verdict = compare(network, [replace(expected, backend="specification"), run], level)
            if verdict.status is not Status.EQUAL:
                raise VerificationError(f"{network.name}: frame {index}: {verdict.line}")
            odd = streams[0].state().find_difference(streams[1].state())
            if odd is not None:
                raise VerificationError(f"{network.name}: after frame {index} {backend.name} carries other {odd}")
            if index == len(frames) // 2:
                streams[1] = open_stream(backend, network, streams[1].state())
        equal.append(network.name)
    if not equal:
        raise VerificationError(
            f"{backend.name} refuses every stream: {next(iter(refused.values()), 'none was drawn')}"
        )
    return Conformance(tuple(equal), refused)
