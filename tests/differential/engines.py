"""Every engine on one network: what differs from the specification, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend import Backend, Record, Run, load_backend
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.stream import FrameStream, open_stream
from snn_deploy.errors import BackendError, BackendUnavailableError, ConversionError, NetworkError
from snn_deploy.network.network import Network
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import shuffle
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.kernels.library import select_kernels

SCHEDULES = 2
"""Random schedules under which counts of ``exact`` mode must not change."""


def cpu_backends() -> dict[str, Backend]:
    """The cpu backend with every choice it has, by name; compiled paths are left out where the package has no kernels."""
    backends: dict[str, Backend] = {"cpu": CpuBackend(), "cpu f64": CpuBackend("f64"), "cpu f32": CpuBackend("f32")}
    if select_kernels() is not None:
        backends["cpu int8"] = CpuBackend("int8")
        backends["cpu sparse"] = CpuBackend(sparse_below=1.0, direct=False)
        backends["cpu direct"] = CpuBackend(sparse_below=0.0, direct=True)
        backends["cpu both, 2 threads"] = CpuBackend(sparse_below=0.3, direct=True, threads=2)
    return backends


def differences(network: Network, stimulus: Int64, backends: dict[str, Backend]) -> list[str]:
    """What ``backends``, the integer network, its ONNX form and other schedules say otherwise than the reference."""
    wrong = backend_differences(network, stimulus, backends)
    if network.mode != "exact" or wrong:
        return wrong
    try:
        expected = load_backend("reference").run(network, stimulus)
    except BackendError:
        return []
    for name, counts in _counts_without_time(network, stimulus).items():
        wrong += [f"{name}: counts of {population}" for population in _unequal_arrays(counts, expected.counts)]
    return wrong


def backend_differences(network: Network, stimulus: Int64, backends: dict[str, Backend]) -> list[str]:
    """What ``backends`` say otherwise than the reference, or run although it does not."""
    try:
        expected = load_backend("reference").run(network, stimulus, Record.STATES)
    except BackendError:  # an event beyond what the proof assumes, or no silence at the end: an error in every backend
        return [
            f"{name}: runs what the reference refuses" for name in backends if _runs(backends[name], network, stimulus)
        ]
    wrong = []
    for name, backend in backends.items():
        try:
            run = backend.run(network, stimulus, Record.STATES)
        except BackendUnavailableError:
            continue
        wrong += [f"{name}: {what}" for what in unequal(run, expected)]
    return wrong


def varying_differences(network: Network, stimulus: Int64, backends: dict[str, Backend]) -> list[str]:
    """What ``backends`` say otherwise than the reference of an input for every step, and it of one that stays the same."""
    reference = load_backend("reference")
    expected, constant = reference.run(network, stimulus, Record.STATES), stimulus[:, 0]
    repeated = np.repeat(constant[:, None], network.steps, axis=1)
    same = unequal(reference.run(network, repeated, Record.STATES), reference.run(network, constant, Record.STATES))
    wrong = [f"an input that does not change: {what}" for what in same]
    for name, backend in backends.items():
        with suppress(BackendUnavailableError):
            wrong += [f"{name}: {what}" for what in unequal(backend.run(network, stimulus, Record.STATES), expected)]
    return wrong


def stream_differences(network: Network, frames: Sequence[Int64], backends: dict[str, Backend]) -> list[str]:
    """What ``backends`` and the integer network say otherwise of ``frames`` than the reference, and carry over otherwise."""
    batch, exact = len(frames[0]), all(_follows_the_integers(each.neuron) for each in network.populations)
    reference = open_stream(load_backend("reference"), network, batch=batch)
    streams: dict[str, FrameStream] = {}
    wrong: list[str] = []
    for name, backend in backends.items():
        with suppress(BackendUnavailableError):
            streams[name] = open_stream(backend, network, batch=batch)
    for index, frame in enumerate(frames):
        try:
            expected = reference.push(frame, Record.STATES)
        except BackendError:  # a sigma-delta event or count beyond what the proof assumes: an error in every backend
            return wrong + [
                f"{name}: runs what the reference refuses" for name in streams if _pushes(streams[name], frame)
            ]
        if exact:
            counts = compute_integer_counts(network, frame)
            wrong += [f"frame {index}: counts of {name}" for name in _unequal_arrays(counts, expected.counts)]
        for name, stream in streams.items():
            wrong += [f"frame {index}: {name}: {what}" for what in unequal(stream.push(frame, Record.STATES), expected)]
            carried = reference.state().find_difference(stream.state())
            wrong += [f"frame {index}: {name} carries other {carried}"] if carried else []
    return wrong


def _follows_the_integers(neuron: Neuron | None) -> bool:
    """Whether counts of every frame are those of a still image; what a sigma-delta neuron shifts out of a change is lost to it."""
    return neuron is None or (neuron.quantizes and not (isinstance(neuron, SigmaDelta) and neuron.shift > 0))


def _pushes(stream: FrameStream, frame: Int64) -> bool:
    try:
        stream.push(frame)
    except BackendError:
        return False
    return True


def _runs(backend: Backend, network: Network, stimulus: Int64) -> bool:
    try:
        backend.run(network, stimulus)
    except BackendError:
        return False
    return True


def _counts_without_time(network: Network, stimulus: Int64) -> dict[str, dict[str, Int64]]:
    """Counts of an ``exact`` network by everything that computes them without its schedule, where it can."""
    counts = {"integer network": compute_integer_counts(network, stimulus)}
    with suppress(ConversionError):  # sigma-delta thresholds above one count, and neurons that only count up
        counts["integer ONNX"] = dict(load_backend("onnx").run(network, stimulus).counts)
    for seed in range(SCHEDULES):
        try:
            shuffled = shuffle(network, seed)
        except NetworkError:
            break  # it names what depends on the schedule
        counts[f"schedule {seed}"] = dict(load_backend("reference").run(shuffled, stimulus).counts)
    return counts


def unequal(run: Run, expected: Run) -> list[str]:
    """What is not equal in ``run``, in words."""
    wrong = [f"counts of {name}" for name in _unequal_arrays(dict(run.counts), dict(expected.counts))]
    wrong += [f"events of {name}" for name in _unequal_arrays(dict(run.events), dict(expected.events))]
    for quantity in ("trains", "states", "second_states"):
        arrays, expected_arrays = getattr(run, quantity), getattr(expected, quantity)
        wrong += [f"{quantity} of {name}" for name in _unequal_arrays(dict(arrays), dict(expected_arrays))]
    if dict(run.saturations) != dict(expected.saturations):
        wrong.append(f"saturations {dict(run.saturations)}, expected {dict(expected.saturations)}")
    return wrong


def _unequal_arrays(arrays: Mapping[str, Int64], expected: Mapping[str, Int64]) -> list[str]:
    """Names of arrays that differ, and of those that only one side has."""
    return [
        name
        for name in {**expected, **arrays}
        if name not in arrays or name not in expected or not np.array_equal(arrays[name], expected[name])
    ]
