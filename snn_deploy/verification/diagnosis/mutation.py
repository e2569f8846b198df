"""How much a verdict is worth: the share of named faults that this stimulus, compared at this level, would reveal.

Every fault of :mod:`snn_deploy.verification.diagnosis.faults` is put into every population that can have it, one at a time, and the
level at which each image first shows it is found by replay. A fault that leaves its own population's payloads and
membranes equal is proved invisible for that image: nothing downstream can know of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.arrays import Bool, Int64
from snn_deploy.backend.protocol import Progress
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.comparison.replay import Replay, Site, forward, repeat
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.diagnosis.cuba_faults import CUBA_FAULTS
from snn_deploy.verification.diagnosis.faults import Fault
from snn_deploy.verification.traces.trace import Trace

INVISIBLE = len(Level)
"""Stands where a level would, for a mutant that an image does not show at any."""

LOW_SCORE = 0.9
"""Below this share of visible mutants caught, a verdict carries a warning."""


@dataclass(frozen=True)
class Mutant:
    """One fault in one population, with the lowest level at which each image shows it (``INVISIBLE``: at none)."""

    fault: str
    population: str
    levels: tuple[int, ...]

    @property
    def level(self) -> int:
        """The lowest level at which any image shows it."""
        return min(self.levels)


@dataclass(frozen=True)
class MutationScore:
    """All mutants of one network under one stimulus."""

    mutants: tuple[Mutant, ...]

    @property
    def visible(self) -> tuple[Mutant, ...]:
        """Mutants that change some value of some image."""
        return tuple(mutant for mutant in self.mutants if mutant.level < INVISIBLE)

    def caught(self, level: Level) -> tuple[Mutant, ...]:
        """Mutants that a comparison at ``level`` reveals."""
        return tuple(mutant for mutant in self.mutants if mutant.level <= level)

    def missed(self, level: Level) -> tuple[Mutant, ...]:
        """Visible mutants that a comparison at ``level`` does not reveal."""
        return tuple(mutant for mutant in self.visible if mutant.level > level)

    def share(self, level: Level) -> float:
        """Caught share of all mutants."""
        return len(self.caught(level)) / len(self.mutants)

    def line(self, level: Level) -> str:
        """One line."""
        caught, visible = len(self.caught(level)), len(self.visible)
        return (
            f"mutation score at level {level.label}: {caught} of {len(self.mutants)} mutants caught "
            f"({self.share(level):.0%}); {len(self.mutants) - visible} proved invisible for this stimulus, "
            f"{visible - caught} missed"
        )


def score_mutants(
    network: Network,
    stimulus: Int64,
    populations: Collection[str] | None = None,
    faults: Sequence[Fault] = CUBA_FAULTS,
    progress: Progress | None = None,
) -> MutationScore:
    """Inject every one of ``faults`` into every one of ``populations`` (all by default); ``stimulus`` (B, C, H, W)."""
    sent = repeat(network, stimulus)
    right = forward(network, sent)
    cases = list_cases(network, populations, faults)
    if not cases:
        raise VerificationError("no fault applies to the populations asked for; the score would be empty")
    mutants = []
    for done, (name, fault, site) in enumerate(cases):
        wrong = forward(network, sent, {name: site}, right)
        mutants.append(Mutant(fault.name, name, find_levels(network, right, wrong)))
        if progress is not None:
            progress(done + 1, len(cases))
    return MutationScore(tuple(mutants))


def list_cases(
    network: Network, populations: Collection[str] | None = None, faults: Sequence[Fault] = CUBA_FAULTS
) -> list[tuple[str, Fault, Site]]:
    """Every one of ``faults`` in every one of ``populations`` (all by default) that can have it, and the faulty site."""
    names = [
        population.name for population, _ in network.layers() if populations is None or population.name in populations
    ]
    return [(name, fault, site) for name in names for fault in faults if (site := fault.change(Site.of(network, name)))]


def suggest_stimulus(score: MutationScore, level: Level, images: int) -> tuple[int, ...]:
    """Indices of at most ``images`` images that together catch the most mutants at ``level``, the best first.

    Greedy: each next image adds the most; fewer are named when no further image adds anything.
    """
    shows = np.array([[lowest <= level for lowest in mutant.levels] for mutant in score.mutants])
    chosen: list[int] = []
    caught = np.zeros(len(score.mutants), bool)
    while len(chosen) < images:
        gain = (shows & ~caught[:, None]).sum(0)
        best = int(gain.argmax())
        if not gain[best]:
            break
        chosen.append(best)
        caught |= shows[:, best]
    return tuple(chosen)


def add_score(verdict: Verdict, score: MutationScore) -> Verdict:
    """``verdict`` with a warning where ``score`` is low: equality under a weak stimulus proves little."""
    if score.share(verdict.asked) >= LOW_SCORE:
        return verdict
    missed = sorted({mutant.fault for mutant in score.mutants if mutant.level > verdict.asked})
    warning = f"{score.line(verdict.asked)}: {', '.join(missed[:6])}{', ...' if len(missed) > 6 else ''}"
    return replace(verdict, warnings=(*verdict.warnings, warning))


def find_levels(network: Network, right: Replay, wrong: Replay) -> tuple[int, ...]:
    """Lowest level at which each image of ``wrong``, a replay given ``right``, differs; ``INVISIBLE`` at none."""
    outputs = {output.population for output in network.outputs}
    images = right.trace.images
    lowest = np.full(images, INVISIBLE)
    for name, probe in right.trace.probes.items():
        if wrong.trace.probes[name] is probe:
            continue
        for level, differs in _differences(right.trace, wrong.trace, name):
            if level is Level.OUTPUT_COUNT and name not in outputs:
                continue
            lowest = np.where(differs, np.minimum(lowest, level), lowest)
    return tuple(int(level) for level in lowest)


def _differences(right: Trace, wrong: Trace, name: str) -> list[tuple[Level, Bool]]:
    """For each level, which images (B,) differ in population ``name``."""
    kinds = {
        Level.OUTPUT_COUNT: "counts",
        Level.LAYER_COUNT: "totals",
        Level.NEURON_COUNT: "counts",
        Level.TRAIN: "trains",
        Level.STATE: "states",
    }
    differing = []
    for level, kind in kinds.items():
        left, other = getattr(right.probes[name], kind), getattr(wrong.probes[name], kind)
        if left is not None and other is not None:
            differing.append((level, (left != other).reshape(right.images, -1).any(1)))
    return differing
