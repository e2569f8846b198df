"""Which population to probe next: the first that errs is found in about log2(n) chip runs.

A chip cannot record everything at once. A population that differs proves that it, or one of those it can hear from,
errs; one that is equal clears all of these, if errors propagate. Each question is the one that splits the suspects most
evenly. The last suspect is the culprit only if it was found to differ while all its sources were found equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.levels import Status
from snn_deploy.verification.comparison.verdict import Verdict


@dataclass(frozen=True)
class ProbePlan:
    """The state of a search; every answer gives the next plan.

    ``order`` holds populations, sources first; ``ancestors`` all those from which each can hear, with itself.
    ``suspects`` may have introduced the error; ``equal`` and ``different`` were answered.
    """

    order: tuple[str, ...]
    sources: tuple[frozenset[str], ...]
    ancestors: tuple[frozenset[str], ...]
    suspects: frozenset[str]
    equal: frozenset[str] = frozenset()
    different: frozenset[str] = frozenset()

    @classmethod
    def of(cls, network: Network) -> ProbePlan:
        """The plan for a run whose outputs differ; the input is what the host sent and is not suspected."""
        ancestors: dict[str, frozenset[str]] = {network.input.name: frozenset()}
        sources = []
        for population, connections in network.layers():
            before = frozenset(connection.source for connection in connections) - {network.input.name}
            sources.append(before)
            ancestors[population.name] = frozenset({population.name}).union(*(ancestors[name] for name in before))
        order = tuple(population.name for population, _ in network.layers())
        return cls(order, tuple(sources), tuple(ancestors[name] for name in order), frozenset(order))

    @property
    def next(self) -> str | None:
        """The population to probe now; ``None`` once :attr:`culprit` is known, or nothing is left to suspect."""
        if not self.suspects or self.culprit is not None:
            return None
        if len(self.suspects) == 1:
            (last,) = self.suspects
            if last not in self.different:
                return last
            return next(name for name in self.order if name in self._sources(last) - self.equal)
        unknown = [name for name in self.order if name not in self.equal | self.different]
        split = {name: len(self._ancestors(name) & self.suspects) for name in unknown}
        half = len(self.suspects) / 2
        useful = [name for name in unknown if 0 < split[name] < len(self.suspects)]
        if not useful:
            return next((name for name in unknown if name in self.suspects), None)
        return min(useful, key=lambda name: abs(split[name] - half))

    @property
    def culprit(self) -> str | None:
        """The population that differs although all its sources are equal."""
        for name in self.order:
            if name in self.different and self._sources(name) <= self.equal:
                return name
        return None

    def answer(self, population: str, *, equal: bool) -> ProbePlan:
        """The plan after ``population`` was probed."""
        if population not in self.order:
            raise VerificationError(f"{population} is not among {', '.join(self.order)}")
        heard = self._ancestors(population)
        if equal:
            return replace(
                self, equal=self.equal | {population}, suspects=self._kept(self.suspects - heard, self.different)
            )
        return replace(
            self,
            different=self.different | {population},
            suspects=self._kept(self.suspects & heard, self.different | {population}),
        )

    def learn(self, verdict: Verdict) -> ProbePlan:
        """The plan after a comparison with the chip; rows that were not compared, or are within a spread, teach nothing."""
        plan = self
        for row in verdict.rows:
            if row.population in self.order and row.status in (Status.EQUAL, Status.DIFFERENT):
                plan = plan.answer(row.population, equal=row.status is Status.EQUAL)
        return plan

    def _kept(self, suspects: frozenset[str], different: frozenset[str]) -> frozenset[str]:
        """``suspects``; if an error did not propagate and none is left, what a differing one hears unseen."""
        if suspects or not different:
            return suspects
        first = next(name for name in self.order if name in different)
        return self._ancestors(first) - self.equal

    def _index(self, name: str) -> int:
        return self.order.index(name)

    def _sources(self, name: str) -> frozenset[str]:
        return self.sources[self._index(name)]

    def _ancestors(self, name: str) -> frozenset[str]:
        return self.ancestors[self._index(name)]
