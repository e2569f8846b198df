"""When a recording begins: the lag between a recorder's time and each population's window, found from the spikes.

A chip's log rarely begins at the network's step 0, and a probe may show a population a step after it fired. The lag of
a population is the number of recorded steps before its window begins. It is taken from the data, so it is checked
against the schedule: lags must differ as the starts do, and a population that comes earlier or later than that is
named, because a shift that is silently undone would hide the very fault (one step late) that a verifier must find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.arrays import Int32, Int64
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.trace import UNRECORDED, Probe, Trace


@dataclass(frozen=True, eq=False)
class Alignment:
    """A recording cut to windows, the ``lags`` used (steps), and populations whose own best lag is another (``odd``).

    ``odd`` maps a population to the steps by which it comes late (negative: early); it was cut at the common lag, so
    the comparison shows its error. ``loss`` says so in one line where all populations from one on come early alike.
    """

    trace: Trace
    lags: Mapping[str, int]
    odd: Mapping[str, int]
    loss: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a verdict on this trace must say."""
        if self.loss:
            return (f"{self.trace.name}: {self.loss}",)
        return tuple(
            f"{self.trace.name}: {name} comes {abs(steps)} step(s) {'late' if steps > 0 else 'early'} for its schedule"
            for name, steps in self.odd.items()
        )


def find_lag(window: Probe, recording: Probe) -> int | None:
    """Steps of ``recording`` before the part that agrees best with ``window``; ``None`` where two agree equally well.

    Agreement counts equal payloads among the cells where either side fires, over all places where the window fits.
    """
    if window.trains is None or recording.trains is None:
        return None
    if recording.neurons is not None:
        window = window.at(recording.neurons)
    expected, recorded = np.asarray(window.trains), np.asarray(recording.trains)
    steps = expected.shape[1]
    scores = []
    for lag in range(recorded.shape[1] - steps + 1):
        part = recorded[:, lag : lag + steps]
        agree, differ = (part == expected) & (expected != 0), part != expected
        scores.append(int(np.count_nonzero(agree)) - int(np.count_nonzero(differ)))
    best = max(scores, default=0)
    if not scores or not np.any(expected) or scores.count(best) > 1:
        return None
    return scores.index(best)


def align_recording(network: Network, baseline: Trace, recording: Trace) -> Alignment:
    """Cut ``recording`` (trains and states over a whole recording) to windows, by the lag that most populations share.

    ``baseline`` holds windows. :class:`VerificationError` where no population has a lag of its own to offer.
    """
    starts = {population.name: population.start for population in network.populations}
    unknown = sorted(set(recording.probes) - set(starts))
    if unknown:
        raise VerificationError(f"{recording.name}: {', '.join(unknown)} is not in network {network.name}")
    offsets: dict[str, int] = {}
    for name in recording.probes:
        probe = recording.probes[name]
        try:
            probe.expect(network.population(name).size, recording.images, None)
        except VerificationError as error:
            raise VerificationError(f"{recording.name}: {name}: {error}") from error
        if name in baseline.probes:
            lag = find_lag(baseline.probes[name], probe)
            if lag is not None:
                offsets[name] = lag - starts[name]
    if not offsets:
        raise VerificationError(
            f"{recording.name}: no population tells when the recording begins; all are silent, repeat or are too short"
        )
    common, loss = Counter(offsets.values()).most_common(1)[0][0], _find_loss(offsets, starts)
    if loss:
        common = max(offsets.values())
    lags = {name: starts[name] + common for name in recording.probes}
    odd = {name: offset - common for name, offset in offsets.items() if offset != common}
    cut = recording.changed(lambda name, probe: _cut(name, probe, lags[name], network.steps, loss))
    return Alignment(replace(cut, time="window"), lags, odd, loss)


def _find_loss(offsets: Mapping[str, int], starts: Mapping[str, int]) -> str:
    """What to say of a recording that misses steps at one place; "" where lags do not split once, in the order of starts.

    At least two populations come after the place: a single one may as well be early itself.
    """
    order = sorted(offsets, key=lambda name: starts[name])
    values = [offsets[name] for name in order]
    drops = [place for place in range(1, len(values)) if values[place] != values[place - 1]]
    if len(drops) != 1 or values[drops[0]] > values[drops[0] - 1] or drops[0] > len(values) - 2:
        return ""
    before, after = order[drops[0] - 1], order[drops[0]]
    if starts[before] == starts[after]:
        return ""
    steps = values[drops[0] - 1] - values[drops[0]]
    return (
        f"{steps} step(s) are missing in the recording between the windows of {before} and {after}: {after} and all that come "
        f"later are {steps} step(s) early (or {after} fires too soon); record again, without gaps"
    )


def align_batch(network: Network, baseline: Trace, batch: Trace) -> Alignment:
    """``batch``, cut to windows where its ``time`` says that it is a whole recording."""
    if batch.time == "recording":
        return align_recording(network, baseline, batch)
    return Alignment(batch, {}, {})


def _cut(name: str, probe: Probe, lag: int, steps: int, loss: str) -> Probe:
    length = probe.steps
    if not length:
        return probe
    if lag < 0 or lag + steps > length:
        raise VerificationError(
            f"{name}: its window is steps {lag}..{lag + steps - 1} of the recording, which has {length}; {loss or 'record longer'}"
        )
    window = slice(lag, lag + steps)
    return Probe(
        neurons=probe.neurons,
        trains=None if probe.trains is None else probe.trains[:, window],
        states=_recorded(probe.states, window),
        second_states=_recorded(probe.second_states, window),
    )


def _recorded(states: Int32 | Int64 | None, window: slice) -> Int32 | Int64 | None:
    """``states`` in ``window``; ``None``, which is not compared, where any step of it was not recorded."""
    if states is None or np.any(states[:, window] == UNRECORDED):
        return None
    return states[:, window]
