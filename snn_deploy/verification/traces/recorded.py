"""What recordings hold, before any is compared: the images that were shown, the schedule that ran, the level they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from snn_deploy.data.payload_file import fit_payloads
from snn_deploy.errors import NetworkError, VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.schedule import undelay
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.verification.traces.recordings import AS_RECORDED, Batches, open_recording
from snn_deploy.verification.traces.trace import Trace


def read_stimuli(network: Network, path: Path) -> Stimuli:
    """The payloads that the recording at ``path`` holds, for ``network`` at their size."""
    with open_recording(path, network, AS_RECORDED) as recording:
        parts = [recording.stimulus(index) for index in range(len(recording.images))]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or not found:
        raise VerificationError(
            f"{path}: does not hold the images that were shown; give them with --input, as an image, or as .npy"
        )
    sized, payloads = fit_payloads(network, found, path)
    return Stimuli(sized, str(path), len(payloads), len(found[0]), lambda first, last: payloads[first:last])


def list_schedules(network: Network, recordings: Sequence[Batches]) -> tuple[Network, ...]:
    """Forms of ``network`` with other delays that any of ``recordings`` says it ran: what a chip runs without delay lines."""
    digest = artifact.digest(network)
    if network.mode != "exact" or all(recording.network in (None, digest) for recording in recordings):
        return ()
    try:
        undelayed = undelay(network)
    except NetworkError:
        return ()
    return (undelayed,) if any(recording.network == artifact.digest(undelayed) for recording in recordings) else ()


def scheduled(network: Network, schedules: Sequence[Network], digest: str | None) -> Network:
    """That of ``schedules`` that ``digest`` names, or ``network``."""
    return next((other for other in schedules if artifact.digest(other) == digest), network)


def same_events(network: Network, schedules: Sequence[Network], trace: Trace) -> Trace:
    """``trace`` as one of ``network``, where it ran another schedule in which every window has the same events."""
    retimed = trace.network is not None and trace.network in map(artifact.digest, schedules)
    return replace(trace, network=artifact.digest(network)) if retimed and network.one_shot else trace


def find_level(network: Network, recordings: Sequence[Batches]) -> Level:
    """The strictest level, up to ``train``, at which all of ``recordings`` can be compared.

    Trains need every population's, under the network's own schedule; counts of neurons every population's; else outputs are
    compared.
    """
    names = [population.name for population in network.populations]
    outputs = {output.population for output in network.outputs}
    retimed = bool(list_schedules(network, recordings)) and not network.one_shot
    counted = all(
        {"counts", "trains"} & recording.kinds.get(name, frozenset()) for recording in recordings for name in names
    )
    if counted:
        timed = all("trains" in recording.kinds[name] for recording in recordings for name in names)
        return Level.TRAIN if timed and not retimed else Level.NEURON_COUNT
    if all(
        {"counts", "trains"} & recording.kinds.get(name, frozenset()) for recording in recordings for name in outputs
    ):
        return Level.OUTPUT_COUNT
    return Level.TRAIN
