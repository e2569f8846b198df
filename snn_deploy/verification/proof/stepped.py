"""Equality step by step of a network and a form that is stepped in time: the same membranes and payloads at every step.

A simulation argument. Both start from the same membranes; if at some step all membranes, running counts and events under way are
equal, equal linear maps and delays bring equal currents, the same bias joins them, and the same equations with the same
numbers make equal membranes, counts and payloads of them. So they are equal at the next step, and at all steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import CompiledForm, CompiledPopulation, Number, Step, SteppedFiring
from snn_deploy.backend.protocol import Progress
from snn_deploy.errors import CompiledFormError, NetworkError
from snn_deploy.network.bounds import bound_current, bound_payloads, bound_population
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.record import Record
from snn_deploy.shapes import Pair
from snn_deploy.verification.proof.linear import Difference, Edge, compare_edge
from snn_deploy.verification.proof.obligation import Obligation, Outcome, Shown, state
from snn_deploy.verification.proof.windows import bound_sums, describe_connections

LIMITS = {"payload_min", "payload_max", "count_min", "count_max"}
"""Numbers that cut what a neuron would send."""

REACH = 8
"""Halves of the threshold around which a difference of two neurons is looked for."""


def prove_steps(network: Network, form: CompiledForm, progress: Progress | None) -> Iterator[Obligation]:
    """Linear maps by source, target and delay; then each population's firing; then what begins and ends an image."""
    local = form.timing is not None and form.timing.is_local
    compiled = {population.name: population for population in form.populations}
    for place, population in enumerate(network.populations[1:]):
        name = population.name
        arriving = [(each.source, network.lag(each) if local else each.delay) for each in network.incoming(name)]
        found = [(each.source, each.delay) for each in form.connections if each.target == name]
        for source, delay in dict.fromkeys((*arriving, *found)):
            show = partial(_compare_maps, network, population, form, source, delay)
            # where steps are local, what arrives in the step in which it was sent needs no word
            yield state("linear", f"{source} -> {name}{f' after {delay}' if delay or not local else ''}", show)
        own = replace(population, start=0) if local else population
        yield state("firing", name, partial(_compare_firing, network, own, compiled.get(name), local=local))
        if progress is not None:
            progress(place + 1, len(network.populations) - 1)
    yield state("schedule", network.name, partial(_compare_timing, network, form))


def _compare_maps(
    network: Network, population: Population, form: CompiledForm, source: str, delay: int | None
) -> Shown:
    if source not in {each.name for each in network.populations}:
        raise CompiledFormError(f"nothing is known of the events of {source!r}")
    key, local = (source, population.name, delay), form.timing is not None and form.timing.is_local
    edge = Edge(
        network.population(source).shape,
        population.shape,
        _bound_events(network, source, local=local),
        () if delay is None else describe_connections(network, source, population.name, delay, local=local),
        tuple(
            part for each in form.connections if (each.source, each.target, each.delay) == key for part in each.parts
        ),
    )
    result = compare_edge(edge)
    if isinstance(result, Difference):
        return Outcome.REFUTED, result.text, {}
    reason = f"{result.weights:,} weights are equal for each of {result.payloads:,} payloads"
    return Outcome.PROVED, reason, {"weights": result.weights}


def _compare_firing(
    network: Network, population: Population, compiled: CompiledPopulation | None, *, local: bool
) -> Shown:
    neuron, firing = population.neuron, None if compiled is None else compiled.firing
    if (
        neuron is None
        or compiled is None
        or compiled.shape != population.shape
        or not isinstance(firing, SteppedFiring)
    ):
        raise CompiledFormError("the form has no such population that is stepped in time")
    if firing.kind != neuron.kind:
        return Outcome.REFUTED, f"its neurons are {firing.kind}, {neuron.kind} expected", {}
    timed = _compare_drive(
        population, firing, repeats=network.mode == "rate", steps=network.steps if local else network.duration
    )
    if timed is not None:
        return Outcome.REFUTED, timed, {}
    expected = dict(_flatten(neuron.to_record()))
    expected.setdefault("reset", neuron.reset)
    if set(expected) != set(firing.numbers):
        raise CompiledFormError(f"its numbers are {sorted(firing.numbers)}, not {sorted(expected)}")
    found = dict(firing.numbers)
    once = network.one_shot or (network.steps == 1 and local)
    if network.steps == 1 and local:
        expected, found = _limit_once(expected), _limit_once(found)
    names = [name for name, value in expected.items() if not _same(value, found[name])]
    if set(names) <= LIMITS and neuron.relays and all(found[name] is None for name in LIMITS):
        _pass_on(network, population, local=local)
        return Outcome.PROVED, "it passes on all of its current, which no limit can cut", {"neurons": population.size}
    if names:
        return _refute(network, population, neuron, {name: found[name] for name in names}, once=once)
    if firing.start != population.start:
        return _compare_start(network, population, neuron, firing.start)
    counts = neuron.is_stock or firing.numbers["count_min"] is not None
    difference, tried = _run_code(network, population, neuron, firing.step, counts=counts, once=once)
    if difference:
        return Outcome.REFUTED, f"{difference} (its code differs from its numbers)", {}
    words = "start, bias and all numbers of the neurons are equal"
    ran = f"; {tried:,} steps of its own code agree" if tried else ""
    return Outcome.PROVED, f"{words}{ran}", {"neurons": population.size}


def _compare_start(network: Network, population: Population, neuron: Neuron, start: int) -> Shown:
    """What another start changes: nothing where no event comes before the later one and no membrane fires by itself."""
    arrivals = [
        (0 if connection.source == network.input.name else network.population(connection.source).start)
        + connection.delay
        for connection in network.incoming(population.name)
    ]
    words = f"it fires from step {start} on, {population.start} expected"
    # limits of the first membrane that fires on time: all that came until then
    high, low = neuron.v0, neuron.v0
    for connection, arrival in zip(network.incoming(population.name), arrivals, strict=True):
        if arrival <= population.start:
            ends = bound_current(connection, *bound_payloads(network, network.population(connection.source)))
            low, high = low + ends[0], high + ends[1]
    still = np.zeros_like(neuron.v0)[:, None, None]
    bias = population.bias if start > population.start else 0 * population.bias
    if start > population.start and any(
        neuron.step((end + 0 * neuron.v0)[:, None, None], still, bias)[2].any() for end in (low, high)
    ):
        return Outcome.REFUTED, f"{words}; the largest currents make it fire in step {population.start}", {}
    alone = neuron.step(neuron.v0[:, None, None], still, still)
    rests = not alone[2].any() and np.array_equal(alone[0], neuron.v0[:, None, None]) and not alone[1].any()
    if start < population.start <= min(arrivals) and rests:
        reason = f"{words}, but no event comes before, and no membrane changes by itself; all numbers are equal"
        return Outcome.PROVED, reason, {"neurons": population.size}
    raise CompiledFormError(words)


def _compare_drive(population: Population, firing: SteppedFiring, *, repeats: bool, steps: int) -> str | None:
    """The first of ``steps`` at which another bias joins, in words."""
    starts = {population.start, firing.start}
    for step in sorted({start + later for start in starts for later in (0, 1)} & set(range(steps))):
        right = (
            population.bias
            if step == population.start or (repeats and step > population.start)
            else 0 * population.bias
        )
        found = (
            firing.bias if step == firing.start or (firing.bias_repeats and step > firing.start) else 0 * firing.bias
        )
        right, found = np.broadcast_to(right, population.shape), np.broadcast_to(found, population.shape)
        if not np.array_equal(right, found):
            channel, y, x = (int(place) for place in np.argwhere(right != found)[0])
            values = f"{int(found[channel, y, x])} joins neuron {(channel, y, x)}, {int(right[channel, y, x])} expected"
            return f"in step {step} a bias of {values}"
    return None


def _flatten(record: Record) -> Iterator[tuple[str, Number]]:
    """All numbers of a neuron's record by their names."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flatten(value)
        else:
            yield name, value


def _limit_once(numbers: dict[str, Number]) -> dict[str, Number]:
    """The same where a single step is all there is: counts start from 0, so their limits are limits of the payload."""
    least, greatest, low, high = (numbers[name] for name in ("payload_min", "payload_max", "count_min", "count_max"))
    if not (isinstance(least, int) and isinstance(greatest, int) and isinstance(low, int) and isinstance(high, int)):
        return numbers
    once: dict[str, Number] = {"payload_min": max(least, low), "payload_max": min(greatest, high)}
    return numbers | once | {"count_min": None, "count_max": None}


def _bound_events(network: Network, name: str, *, local: bool) -> Pair:
    """Payloads that one event of a population can carry; a relay that no limit cuts sends what arrives in a step."""
    population = network.population(name)
    neuron, counts = population.neuron, population.count_range
    low, high = bound_payloads(network, population)
    if neuron is None:
        return low, high
    if (
        counts is not None and not neuron.is_stock
    ):  # from one limit to the other at most; in a window of one step, from 0
        spread = counts[1] - counts[0]
        least, greatest = counts if local and network.steps == 1 else (-spread, spread)
        low, high = max(low, least), min(high, greatest)
    if not neuron.relays:
        return low, high
    try:
        arriving = _pass_on(network, population, local=local)
    except CompiledFormError:
        return low, high
    return max(low, arriving[0]), min(high, arriving[1])


def _pass_on(network: Network, population: Population, *, local: bool) -> Pair:
    """What a relay sends in a step; :class:`CompiledFormError` where a limit of payload, membrane or count may cut it."""
    neuron, counts = population.neuron, population.count_range
    if neuron is None or np.any(population.bias):
        raise CompiledFormError("a bias joins what it passes on")
    event, total = np.zeros(2, np.int64), np.zeros(2, np.int64)
    for source in dict.fromkeys(connection.source for connection in network.incoming(population.name)):
        limits = network.population(source).count_range
        if counts is not None and limits is None:
            raise CompiledFormError("its running counts are limited, and nothing bounds those of its sources")
        for linear in describe_connections(network, source, population.name):
            event = event + bound_sums(linear, _bound_events(network, source, local=local))
            total = total if limits is None else total + bound_sums(linear, limits)
    if event[0] < max(neuron.payload_min, -STATE_MAX) or event[1] > min(neuron.payload_max, STATE_MAX):
        raise CompiledFormError("its limits are not in the form, and payloads may reach them")
    if counts is not None and (total[0] < counts[0] or total[1] > counts[1]):
        raise CompiledFormError("its limits are not in the form, and counts may reach them")
    return int(event[0]), int(event[1])


def _same(value: Number, other: Number) -> bool:
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(np.asarray(value), np.asarray(other))
    return value == other


def _refute(
    network: Network, population: Population, neuron: Neuron, changed: dict[str, Number], *, once: bool
) -> Shown:
    """A state from which one step of the neurons with ``changed`` numbers differs; the equations are the specification's."""
    words = ", ".join(changed)
    if "v0" in changed:
        channel = int(np.flatnonzero(np.asarray(changed["v0"]) != neuron.v0)[0])
        found, right = int(np.asarray(changed["v0"])[channel]), int(neuron.v0[channel])
        return Outcome.REFUTED, f"membranes of channel {channel} start at {found}, {right} expected", {}
    try:
        other = replace(neuron, **changed)  # type: ignore[arg-type]  # names and values are those of the neuron's record
    except (NetworkError, ValueError, TypeError) as error:
        raise CompiledFormError(f"{words} differ, and make no neuron: {error}") from error
    limit = _bound_membrane(network, population)
    if set(changed) <= {"payload_min", "payload_max"}:
        ends = [
            int(abs(value).max())
            for value in ((limit - int(neuron.strict)) // neuron.theta, -(limit + 1) // neuron.theta)
        ]
        if all(-each.payload_min >= max(ends) and each.payload_max >= max(ends) for each in (neuron, other)):
            return Outcome.PROVED, f"{words} differ, beyond all that a membrane can send", {"neurons": population.size}
    difference, _ = _find_difference(neuron, other.step, _states(neuron, other, limit, once=once), counts=True)
    if difference:
        return Outcome.REFUTED, f"{difference} ({words} differ)", {}
    raise CompiledFormError(f"{words} differ, and no state was found from which a step differs")


def _run_code(
    network: Network, population: Population, neuron: Neuron, step: Step | None, *, counts: bool, once: bool
) -> tuple[str, int]:
    """The first state from which a backend's own code steps otherwise, in words, and how many states were tried."""
    if step is None:
        return "", 0
    limit = _bound_membrane(network, population)
    states = list(_states(neuron, neuron, limit, once=once))
    if network.mode == "rate":  # where membranes may saturate
        push = np.full_like(states[0][0], min(bound_population(network, population).current, STATE_MAX))
        states += [(v, second, current) for v, second, _ in states for current in (push, -push)]
    return _find_difference(neuron, step, states, counts=counts)


def _bound_membrane(network: Network, population: Population) -> int:
    bound = bound_population(network, population)
    return STATE_MAX if bound.membrane is None else min(bound.membrane, STATE_MAX)


def _find_difference(
    neuron: Neuron, step: Step, states: Iterable[tuple[Int64, Int64, Int64]], *, counts: bool
) -> tuple[str, int]:
    """The first of ``states`` from which ``step`` is not that of ``neuron``, in words, and how many were tried."""
    tried = 0
    for v, second, current in states:
        tried += v.size
        expected, found = (each(v.copy(), second.copy(), current.copy()) for each in (neuron.step, step))
        compared = [0, 1, 2] if counts else [0, 2]
        differs = np.argwhere(np.any([expected[each] != found[each] for each in compared], axis=0))
        if differs.size:
            place = tuple(int(index) for index in differs[0])
            before = f"membrane {int(v[place])}, second state {int(second[place])} and current {int(current[place])}"
            sides = [tuple(int(values[each][place]) for each in compared) for values in (found, expected)]
            return f"channel {place[1]}: a step from {before} leaves and sends {sides[0]}, {sides[1]} expected", tried
    return "", tried


def _states(neuron: Neuron, other: Neuron, limit: int, *, once: bool) -> Iterator[tuple[Int64, Int64, Int64]]:
    """Membranes (n, C, 1, 1) around thresholds within ``limit``, running counts, only 0 if neurons fire ``once``, no current."""
    halves = np.arange(-REACH, REACH + 1)[:, None, None]
    thresholds = [(0 * each.theta, each.theta) for each in (neuron, other)]
    thresholds += [(side.offset, side.theta) for each in (neuron, other) for side in each.staircases]
    near = [
        (halves * theta // 2 - offset + np.array([-1, 0, 1])[:, None]).reshape(-1, neuron.theta.size)
        for offset, theta in thresholds
    ]
    ends = np.full((2, neuron.theta.size), limit) * np.array([[1], [-1]])
    payloads = np.array([each.payload_max + 1 for each in (neuron, other)])[:, None] * neuron.theta
    v = np.clip(np.concatenate([*near, ends, payloads]), -limit, limit)[:, :, None, None]
    bounds = {0} if once else {0, neuron.count_min or 0, neuron.count_max or 0}
    for count in sorted(bounds, key=abs):
        yield v, np.full_like(v, count), np.zeros_like(v)


def _compare_timing(network: Network, form: CompiledForm) -> Shown:
    timing = form.timing
    if timing is None:
        raise CompiledFormError("the form is not stepped in time")
    if timing.input_steps != network.input_steps:
        reason = f"the image is sent in {timing.input_steps} step(s), {network.input_steps} expected"
        return Outcome.REFUTED, reason, {}
    if timing.is_local and (any(network.lag(each) < 0 for each in network.connections) or network.input.start != 0):
        raise CompiledFormError(
            "its populations count steps of their own, and events arrive before their target's window"
        )
    steps = network.steps if timing.is_local else network.duration
    if timing.interval < steps:
        return Outcome.REFUTED, f"an image has {timing.interval} steps, {steps} expected", {}
    return Outcome.PROVED, "each image has all its steps, and starts from the same state", {"steps": steps}
