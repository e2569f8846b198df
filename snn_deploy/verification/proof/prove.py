"""States and discharges the obligations: network and compiled form have equal counts for all inputs.

By induction over the populations, sources first: if the counts of all sources are equal, equal linear maps give equal sums, and
equal firing makes equal counts of them. Formats and bounds say that sums are those of integers; the schedule says that the counts
of the specification are those of :func:`~snn_deploy.verification.proof.firing.specify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import gcd

import numpy as np

from snn_deploy.backend.compiled_form import CompiledForm, CompiledPopulation, Windows
from snn_deploy.backend.protocol import Backend, Progress, Provable
from snn_deploy.errors import CompiledFormError, SnnDeployError
from snn_deploy.network import artifact, bounds
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network, Population
from snn_deploy.shapes import Pair
from snn_deploy.verification.proof.firing import Divergence, Drive, compare_firing, reach, specify
from snn_deploy.verification.proof.linear import Difference, Edge, compare_edge
from snn_deploy.verification.proof.obligation import Obligation, Outcome, Proof, Shown, state
from snn_deploy.verification.proof.settling import find_last_events
from snn_deploy.verification.proof.stepped import prove_steps
from snn_deploy.verification.proof.windows import describe_connections

OUTSIDE = ("the Python interpreter and NumPy, which ran this proof",)


def prove_backend(network: Network, backend: Backend, progress: Progress | None = None) -> Proof:
    """Whether ``backend`` computes ``network`` for all inputs; what cannot be read back leaves the proof open."""

    def read() -> CompiledForm:
        if not isinstance(backend, Provable):
            raise CompiledFormError(f"backend {backend.name} cannot be read back: it has no method read_compiled")
        return backend.read_compiled(network)

    return prove_reading(network, backend.name, read, progress)


def prove_reading(
    network: Network, name: str, read: Callable[[], CompiledForm], progress: Progress | None = None
) -> Proof:
    """The proof for the form that ``read`` gives of backend ``name``; open where it fails."""
    try:
        form = read()
    except Exception as error:  # whatever is wrong with a stranger's backend, nothing is proved of it
        reason = str(error) if isinstance(error, SnnDeployError) else f"{type(error).__name__}: {error}"
        unread = Obligation("form", network.name, Outcome.OPEN, reason)
        return Proof(network.name, artifact.digest(network), name, "", (unread,))
    return prove_form(network, form, progress)


def prove_form(network: Network, form: CompiledForm, progress: Progress | None = None) -> Proof:
    """All obligations for ``network`` and ``form``, in order; ``progress`` counts populations."""
    obligations = [state("structure", network.name, lambda: _compare_structure(network, form))]
    obligations += (_prove_counts if form.timing is None else prove_steps)(network, form, progress)
    obligations += [
        state("formats", form.backend, lambda: _compare_formats(form)),
        state("bounds", network.name, lambda: _prove_bounds(network)),
    ]
    assumed = [
        population.name for population, _ in network.layers() if population.neuron and population.neuron.is_stock
    ]
    limits = (
        (f"that events of {', '.join(assumed)} stay within the payload limits, which every run checks",)
        if assumed
        else ()
    )
    outside = (*form.outside, *limits, *OUTSIDE)
    return Proof(network.name, artifact.digest(network), form.backend, form.digest, tuple(obligations), outside)


def _compare_structure(network: Network, form: CompiledForm) -> Shown:
    expected = {population.name: population.shape for population in network.populations}
    found = {form.source: form.source_shape, **{population.name: population.shape for population in form.populations}}
    if form.source != network.input.name or len(found) != 1 + len(form.populations):
        return Outcome.REFUTED, f"its input is {form.source!r}, or two populations share a name", {}
    if found != expected:
        names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        return Outcome.REFUTED, f"{names[0]} is {found.get(names[0])}, {expected.get(names[0])} expected", {}
    return Outcome.PROVED, "same populations of the same shapes", {"populations": len(expected)}


def _prove_counts(network: Network, form: CompiledForm, progress: Progress | None) -> Iterator[Obligation]:
    """That counts are equal, by induction over the populations, and final."""
    compiled = {population.name: population for population in form.populations}
    counts = {network.input.name: network.input.payload_range}
    for place, population in enumerate(network.populations[1:]):
        yield from _Induction(network, form, counts).prove(population, compiled.get(population.name))
        if progress is not None:
            progress(place + 1, len(network.populations) - 1)
    yield state("schedule", network.name, lambda: _prove_schedule(network))


@dataclass(frozen=True, eq=False)
class _Induction:
    """The step of one population: ``counts`` are the least and greatest that each source reaches, and grow with every step."""

    network: Network
    form: CompiledForm
    counts: dict[str, Pair]

    def prove(self, population: Population, compiled: CompiledPopulation | None) -> Iterator[Obligation]:
        """Linear maps from every source, then firing."""
        name = population.name
        found = [each.source for each in self.form.connections if each.target == name]
        for source in dict.fromkeys((*(each.source for each in self.network.incoming(name)), *found)):
            yield state("linear", f"{source} -> {name}", partial(self.compare_maps, population, source))
        yield state("firing", name, partial(self.compare_counts, population, compiled))

    def compare_maps(self, population: Population, source: str) -> Shown:
        """All that ``source`` sends ``population``."""
        if source not in self.counts:
            raise CompiledFormError(f"nothing is known of the counts of {source!r}")
        compiled = (each for each in self.form.connections if (each.source, each.target) == (source, population.name))
        edge = Edge(
            self.network.population(source).shape,
            population.shape,
            self.counts[source],
            describe_connections(self.network, source, population.name),
            tuple(part for each in compiled for part in each.parts),
        )
        result = compare_edge(edge)
        if isinstance(result, Difference):
            return Outcome.REFUTED, result.text, {}
        reason = f"{result.weights:,} weights are equal for each of {result.payloads:,} payloads"
        return Outcome.PROVED, reason, {"weights": result.weights}

    def compare_counts(self, population: Population, compiled: CompiledPopulation | None) -> Shown:
        """What ``population`` makes of all currents."""
        expected, drive = specify(population), self.drive(population)
        self.counts[population.name] = reach(expected, drive.low, drive.high)
        if compiled is None or compiled.shape != population.shape:
            raise CompiledFormError("the form has no such population")
        result = compare_firing(expected, compiled.firing, population.shape, drive)
        if isinstance(result, Divergence):
            return Outcome.REFUTED, result.text, {}
        return Outcome.PROVED, result, {"neurons": population.size}

    def drive(self, population: Population) -> Drive:
        """The sums of currents that all payloads of all sources allow."""
        low = high = np.zeros(population.shape[0], np.int64)
        for connection in self.network.incoming(population.name):
            least, greatest = bounds.bound_current(connection, *self.counts[connection.source])
            low, high = low + least, high + greatest
        divisor = 0
        afferents = []
        for source in dict.fromkeys(connection.source for connection in self.network.incoming(population.name)):
            maps = describe_connections(self.network, source, population.name)
            afferents.append((self.network.population(source).shape, self.counts[source], maps))
            weights = (linear.weight if isinstance(linear, Windows) else linear.weights for linear in maps)
            divisor = gcd(divisor, *(int(np.gcd.reduce(each, axis=None)) for each in weights))
        return Drive(low, high, divisor or 1, tuple(afferents))


def _compare_formats(form: CompiledForm) -> Shown:
    for each in form.accumulators:
        if each.low < each.least or each.high > each.greatest:
            reason = f"{each.name!r} may lie in {each.low}..{each.high}; its format holds {each.least}..{each.greatest}"
            return Outcome.OPEN, reason, {}
    count = len(form.accumulators)
    return Outcome.PROVED, f"each of {count} values fits its format for all inputs", {}


def _prove_bounds(network: Network) -> Shown:
    found = bounds.prove(network)
    largest = max((each.largest for each in found), default=0)
    return Outcome.PROVED, f"no current or membrane exceeds {largest:,}; 24 bits hold {STATE_MAX:,}", {}


def _prove_schedule(network: Network) -> Shown:
    last = max(find_last_events(network).values())
    return Outcome.PROVED, f"all counts are final by step {last}, in every window", {"last_step": last}
