"""Read-outs that changed the values: one transformation of what was expected that gives exactly what was recorded.

A chip's log may hold the right events in another order of the axes, as single spikes, cut to fewer bits, or without a sign. Each is
tried on every population that differs; one is named only where it explains all values. The transformation is not undone:
a chip that computes with clipped payloads records the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Array, Int64
from snn_deploy.network.network import Network
from snn_deploy.shapes import Shape
from snn_deploy.verification.traces.trace import Probe, Trace

_ORDERS = {"(W, H, C)": (2, 1, 0), "(H, W, C)": (1, 2, 0), "(C, W, H)": (0, 2, 1)}
"""Orders of a map's axes that other programs have, as permutations of (C, H, W)."""

_WORDS = range(2, 32)
"""Bits of a word that are tried."""


@dataclass(frozen=True, eq=False)
class _Arrays:
    """What is expected and what was recorded of a population of ``shape``: (B, [steps,] n) int64, with all neurons."""

    shape: Shape
    expected: Int64
    recorded: Int64

    def matches(self, changed: Array) -> bool:
        return bool(np.array_equal(changed, self.recorded))


def explain_readout(network: Network, baseline: Trace, recording: Trace) -> tuple[str, ...]:
    """One line for every read-out artefact that explains populations of ``recording``, both holding windows."""
    found: dict[str, list[str]] = {}
    for name in recording.probes:
        if name not in baseline.probes:
            continue
        text = _explain(network.population(name).shape, baseline.probes[name], recording.probes[name])
        if text is not None:
            found.setdefault(text, []).append(name)
    return tuple(f"{recording.name}: {_listed(names)}: {text}" for text, names in found.items())


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _explain(shape: Shape, expected: Probe, recorded: Probe) -> str | None:
    """What turned ``expected`` into ``recorded``; ``None`` where they are equal, or nothing explains all values."""
    if recorded.neurons is not None or expected.neurons is not None:
        return None
    for kind in ("trains", "counts"):
        pair = getattr(expected, kind), getattr(recorded, kind)
        if pair[0] is None or pair[1] is None or pair[0].shape != pair[1].shape:
            continue
        if np.array_equal(*pair):
            return None
        arrays = _Arrays(shape, np.asarray(pair[0], np.int64), np.asarray(pair[1], np.int64))
        summed = kind == "counts"
        if summed and expected.events is not None and arrays.matches(expected.events):
            return "events were counted, where counts are sums of payloads; write these numbers as kind events"
        return next((text for text in (explain(arrays) for explain in _explanations(summed)) if text), None)
    return None


def _explanations(summed: bool) -> Iterator[Callable[[_Arrays], str | None]]:
    """What may have happened to values; sums over steps are not made of words, but may be cut themselves."""
    yield _order
    yield _words
    if not summed:
        yield _spikes
        yield _lost_step
    yield _clipped


def _order(arrays: _Arrays) -> str | None:
    maps = arrays.expected.reshape(*arrays.expected.shape[:-1], *arrays.shape)
    leading = tuple(range(maps.ndim - 3))
    for name, axes in _ORDERS.items():
        turned = maps.transpose(*leading, *(maps.ndim - 3 + axis for axis in axes)).reshape(arrays.expected.shape)
        if arrays.matches(turned):
            return f"neurons stand in the order {name}; transpose them to (C, H, W)"
    return None


def _words(arrays: _Arrays) -> str | None:
    for bits in _WORDS:
        size = 1 << bits
        unsigned = arrays.expected % size
        if arrays.matches(unsigned):
            if arrays.expected.min() >= -(size >> 1) and arrays.expected.max() < size >> 1:
                return f"words of {bits} bits were read without their sign; verify with --bits {bits}"
            return f"values are kept modulo 2**{bits}; read wider words, for what is lost cannot be restored"
        if arrays.matches((arrays.expected + (size >> 1)) % size - (size >> 1)):
            return f"values wrap at {bits} bits; read wider words, for what is lost cannot be restored"
    return None


def _spikes(arrays: _Arrays) -> str | None:
    if arrays.matches(arrays.expected != 0):
        return "payloads are 1 wherever an event was: single spikes were recorded; read messages with their payload"
    if arrays.matches(np.sign(arrays.expected)):
        return "payloads are -1 or 1 wherever an event was: only signs were recorded; read messages with their payload"
    return None


def _clipped(arrays: _Arrays) -> str | None:
    low, high = int(arrays.recorded.min()), int(arrays.recorded.max())
    if arrays.matches(np.clip(arrays.expected, low, high)):
        limit = high if arrays.expected.max() > high else low
        return f"values are clipped at {limit}; read wider words, for what is lost cannot be restored"
    return None


def _lost_step(arrays: _Arrays) -> str | None:
    """From one step on, every value is that of the step after it."""
    expected, recorded = arrays.expected, arrays.recorded
    steps = expected.shape[1]
    same = (expected == recorded).all((0, 2))
    shifted = (expected[:, 1:] == recorded[:, :-1]).all((0, 2))
    first = int(same.argmin())
    if first < steps - 2 and bool(shifted[first:].all()) and np.any(expected[:, first + 1 :]):
        return f"step {first} of the window is missing, and what follows comes a step early; record again, without gaps"
    return None
