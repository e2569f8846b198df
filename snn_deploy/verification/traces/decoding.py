"""Read-out artefacts: what a chip's log shows instead of the value that was there, and how to get the value back.

Nothing is decoded by itself: the caller names the artefact, and what does not follow its pattern stays as it was
recorded, so that it shows up as a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Array, Int32, Int64
from snn_deploy.errors import VerificationError
from snn_deploy.verification.traces.trace import UNRECORDED, Probe, Trace

REFRACTORY_MARK = 128
"""Loihi's membrane register right after a spike: ``refDelay << 7``, here 1 << 7 (nengo-loihi pull request 132)."""


def decode_spike_mark(probe: Probe, mark: int = REFRACTORY_MARK, reset: int = 0) -> Probe:
    """Membranes read as ``mark`` in a step with a spike become ``reset``, what the reset left there."""
    if probe.trains is None or probe.states is None:
        raise VerificationError("marks at spikes are decoded from trains and states; one of them was not recorded")
    states = np.array(probe.states, np.int64)
    states[(probe.trains != 0) & (states == mark)] = reset
    return replace(probe, states=states)


def sign_extend(values: Array, bits: int = 24) -> Int64:
    """Signed values of ``bits``-bit words that were read as unsigned ones; wider values are refused."""
    words = np.asarray(values, np.int64)
    if words.size and (words.min() < -(1 << (bits - 1)) or words.max() >= 1 << bits):
        raise VerificationError(f"values from {words.min()} to {words.max()} are not words of {bits} bits")
    extended: Int64 = np.where(words >= 1 << (bits - 1), words - (1 << bits), words)
    return extended


def decode(trace: Trace, *, mark: int | None = None, bits: int | None = None, reset: int = 0) -> Trace:
    """``trace`` with every probe decoded: words of ``bits`` bits sign-extended, then ``mark`` at spikes undone."""

    def decoded(name: str, probe: Probe) -> Probe:
        try:
            signed = probe if bits is None else _sign_extended(probe, bits)
            return signed if mark is None or signed.states is None else decode_spike_mark(signed, mark, reset)
        except VerificationError as error:
            raise VerificationError(f"{trace.name}: {name}: {error}") from error

    return trace.changed(decoded)


def _sign_extended(probe: Probe, bits: int) -> Probe:
    """What is recorded step by step is made of words; sums over steps are not, and follow from the trains."""
    summed = probe.trains is None
    return Probe(
        neurons=probe.neurons,
        trains=None if probe.trains is None else sign_extend(probe.trains, bits),
        states=None if probe.states is None else _recorded_words(probe.states, bits),
        second_states=None if probe.second_states is None else _recorded_words(probe.second_states, bits),
        counts=probe.counts if summed else None,
        events=probe.events if summed else None,
        totals=probe.totals if summed else None,
    )


def _recorded_words(states: Int32 | Int64, bits: int) -> Int64:
    """Sign-extended where recorded."""
    words = np.array(states, np.int64)
    recorded = words != UNRECORDED
    words[recorded] = sign_extend(words[recorded], bits)
    return words


def sum_core_counters(counters: Sequence[Int64]) -> Probe:
    """A probe that knows only the sum over neurons; ``counters`` (B,) of every core that holds part of a population."""
    if not counters:
        raise VerificationError("no core counters; the population would have been compared with nothing")
    shapes = {counter.shape for counter in counters}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        raise VerificationError("core counters must all be (images,)")
    return Probe(totals=np.sum([np.asarray(counter, np.int64) for counter in counters], axis=0))
