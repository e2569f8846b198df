"""What would lose less: options that were tried on the very network, each with the loss that was measured.

Where a conversion loses more than its task allows, options that the user gave, or that no search changes, are changed one at
a time, converted, and measured on the images that were held back. The best ones are remedies; nothing is suggested that was
not tried. Trials end when :data:`BUDGET_S` seconds are over, so that advice is quick for large networks too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from time import monotonic

from snn_deploy.backend.protocol import Backend, Progress
from snn_deploy.conversion.choose import GAIN, Bench, Changes, Trial
from snn_deploy.conversion.options import LEAKY, RANGES, Options
from snn_deploy.errors import ConversionError

BUDGET_S = 15.0
"""Seconds after which no further option is tried."""

MOST = 2
"""Remedies that are told."""

FLAGS = ("levels", "steps", "thresholds", "normalization", "scale", "rounding", "theta", "weight_bits", "leaky")
"""Fields of :class:`Options` that the command line has an option for."""


@dataclass(frozen=True)
class Remedy:
    """A change of the options as the command line takes it, and the trial that measured it."""

    change: str
    trial: Trial


def find_remedies(
    bench: Bench,
    backend: Backend,
    current: Trial,
    tried: Sequence[Trial] = (),
    progress: Progress | None = None,
    clock: Callable[[], float] = monotonic,
) -> tuple[Remedy, ...]:
    """The changes of ``current`` that lose least, the best first, at most :data:`MOST`; none that gains less than a tenth.

    Trials in ``tried`` are not repeated. The first change is always tried, others while there is time.
    """
    end = clock() + BUDGET_S
    known = {trial.options: trial for trial in tried}
    own = current.options.leaky
    changes = [each for each in list_changes(current.options) if each.leaky == own or bench.has_slopes]
    found = []
    for number, options in enumerate(changes, start=1):
        if options not in known and number > 1 and clock() >= end:
            continue
        if progress is not None:
            progress(number, len(changes))
        trial = known.get(options) or bench.attempt(options, backend).trial
        if trial.error <= GAIN * current.error:
            found.append(Remedy(name_change(current.options, options), trial))
    return tuple(sorted(found, key=lambda remedy: remedy.trial.error)[:MOST])


def list_changes(options: Options) -> Iterator[Options]:
    """Options that differ from ``options`` in what may help most networks, from what helps most to what helps few."""
    for changes in _rate_changes(options) if options.is_rate else _exact_changes(options):
        try:
            changed = replace(options, **changes)  # type: ignore[arg-type]
        except ConversionError:
            continue
        if changed != options:
            yield changed
    if options.is_rate or options.neuron != "multi-threshold":
        yield Options(weight_bits=options.weight_bits)


def _exact_changes(options: Options) -> Iterator[Changes]:
    if options.weight_bits < RANGES["weight_bits"][1]:  # few bits cost most, and time may be short
        yield {"weight_bits": int(RANGES["weight_bits"][1])}
    yield from ({"levels": levels} for levels in (255, 1023) if levels > options.levels)
    yield from _common_changes(options)
    if options.form.two_sided:
        yield {"leaky": "two"}


def _rate_changes(options: Options) -> Iterator[Changes]:
    most = int(RANGES["steps"][1])
    yield from ({"steps": factor * options.steps} for factor in (4, 2) if factor * options.steps <= most)
    if options.neuron not in LEAKY and options.thresholds < RANGES["thresholds"][1] and options.thresholds > 1:
        yield {"thresholds": options.thresholds + 1}
    yield from _common_changes(options)


def _common_changes(options: Options) -> Iterator[Changes]:
    most = int(RANGES["weight_bits"][1])
    if options.weight_bits < most:
        if options.is_rate:
            yield {"weight_bits": most}
        yield {"theta": "integer"}
    yield {"rounding": "second-order"}
    yield from ({"scale": scale} for scale in ("mmse", "max", "percentile"))
    yield from ({"normalization": each} for each in ("connection-wise", "channel-wise"))


def name_change(before: Options, after: Options) -> str:
    """What makes ``after`` of ``before``, as options of the command line."""
    if (before.mode, before.neuron) != (after.mode, after.neuron):
        return "--preset exact"
    old, new = asdict(before), asdict(after)
    return " ".join(f"--{name.replace('_', '-')} {new[name]}" for name in FLAGS if new[name] != old[name])
