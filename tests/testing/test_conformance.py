"""The conformance kit: its networks use everything, and it catches what a wrong backend does."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import FrameStream, StreamState, open_stream
from snn_deploy.errors import BackendError, BackendUnavailableError, StimulusError, VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.bounds import prove
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Network, Population
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.network.two_sided import TwoSided
from snn_deploy.testing import (
    check_backend,
    check_streams,
    conformance_cases,
    draw_case,
    draw_stream,
    fixed_cases,
    random_stimulus,
    random_unet,
    special_cases,
)


def test_the_reference_passes() -> None:
    found = check_backend(load_backend("reference"), drawn=3, seed=5)
    names = [network.name for network, _ in fixed_cases()]
    assert (found.equal, found.refused) == ((*names, "drawn-5", "drawn-6", "drawn-7"), {})
    assert str(found) == "43 networks, every event and every membrane equal"
    few = check_backend(load_backend("reference"), drawn=0, cases=special_cases())
    assert str(few) == "4 networks, every event and every membrane equal"


def test_twenty_drawn_networks_have_every_kernel_neuron_and_reset() -> None:
    networks = [draw_case(seed)[0] for seed in range(20)]
    neurons = {population.neuron for network in networks for population in network.populations[1:]}
    thresholds = {
        (neuron.reset, neuron.count_max is not None) for neuron in neurons if isinstance(neuron, MultiThreshold)
    }
    assert {type(neuron) for neuron in neurons} == {MultiThreshold, TwoSided, SigmaDelta, CubaLif}
    assert thresholds == set(product(("subtract", "zero"), (True, False)))
    kernels = {type(connection.kernel) for network in networks for connection in network.connections}
    assert kernels == {ConvKernel, TransposedKernel, SpatialKernel}


def test_a_seed_draws_the_same_case_again() -> None:
    (network, stimulus), (again, same) = draw_case(17), draw_case(17)
    assert network.name == "drawn-17"
    assert artifact.digest(network) == artifact.digest(again)
    assert np.array_equal(stimulus, same)


def test_the_cases_use_every_kernel_mode_and_option() -> None:
    networks = [network for network, _ in conformance_cases()]
    connections = [connection for network in networks for connection in network.connections]
    kernels = [connection.kernel for connection in connections]
    shared = [kernel for kernel in kernels if not isinstance(kernel, SpatialKernel)]
    assert {type(kernel) for kernel in kernels} == {ConvKernel, TransposedKernel, SpatialKernel}
    assert {network.mode for network in networks} == {"exact", "rate"}
    assert any(network.mode == "exact" and not network.one_shot for network in networks)
    assert any(kernel.groups > 1 for kernel in shared)
    assert any(kernel.dilations != (1, 1) for kernel in shared)
    assert any(kernel.strides != (1, 1) for kernel in shared)
    assert any(len(set(kernel.pads)) > 1 for kernel in shared)
    assert any(connection.exponent for connection in connections)
    assert any(connection.delay > 1 for connection in connections)
    assert any(np.any(kernel.weight % 2) and kernel.weight.min() < 0 for kernel in shared)
    neurons = [population.neuron for network in networks for population in network.populations[1:]]
    assert {neuron.strict for neuron in neurons if neuron} == {False, True}


@pytest.mark.parametrize("mode", ["exact", "rate"])
@pytest.mark.parametrize("seed", range(8))
def test_every_population_fires_none_always_and_the_proof_holds(mode: str, seed: int) -> None:
    network = random_unet(mode, seed)  # type: ignore[arg-type]
    prove(network)
    run = load_backend("reference").run(network, random_stimulus(network, seed))
    for name, events in run.events.items():
        share = np.count_nonzero(events) / events.size
        assert share > 0.01, name
        assert share < 1 or name in {"input", "output", "pool"}, name


def test_networks_and_stimuli_are_repeatable() -> None:
    first, second = (random_unet(seed=7).connections[2].kernel.weight for _ in range(2))  # type: ignore[union-attr]
    assert np.array_equal(first, second)
    network = random_unet()
    assert np.array_equal(random_stimulus(network, 3), random_stimulus(network, 3))
    assert not np.array_equal(random_stimulus(network, 3), random_stimulus(network, 4))


class Altered:
    """The reference, with its network or its run altered."""

    name = "altered"

    def __init__(
        self,
        network: Callable[[Network], Network] = lambda network: network,
        run: Callable[[Run], Run] = lambda run: run,
    ) -> None:
        self.alter_network, self.alter_run = network, run

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        run = load_backend("reference").run(self.alter_network(network), stimulus, record, progress)
        return self.alter_run(replace(run, backend=self.name, network=artifact.digest(network)))


def _one_more(run: Run, field: str) -> Run:
    values = dict(getattr(run, field))
    array = values["dec"].copy()
    array.flat[-1] += 1
    return replace(run, **{field: values | {"dec": array}})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["counts", "events", "trains", "states"])
def test_one_wrong_number_anywhere_is_caught_and_placed(field: str) -> None:
    with pytest.raises(
        VerificationError, match=r"^random-exact-0: DIFFERENT at level state: .* dec, image 1.*\(3, 15, 15\)"
    ):
        check_backend(Altered(run=lambda run: _one_more(run, field)))


def test_missing_populations_and_records_are_caught() -> None:
    def drop(run: Run) -> Run:
        return replace(run, counts={name: counts for name, counts in run.counts.items() if name != "pool"})

    with pytest.raises(VerificationError, match="^altered: events of pool but no counts$"):
        check_backend(Altered(run=drop))
    with pytest.raises(VerificationError, match="^random-exact-0: NOT COMPARED .*altered: "):
        check_backend(Altered(run=lambda run: replace(run, states=None)))


def test_saturations_are_compared() -> None:
    def forget(run: Run) -> Run:
        return replace(run, saturations=dict(run.saturations) | {"dec": 1})

    with pytest.raises(VerificationError, match="^random-exact-0: altered counts saturations .*'dec': 1"):
        check_backend(Altered(run=forget))


def test_the_contract_of_a_run_is_checked() -> None:
    for broken, complaint in (
        ({"network": "0" * 64}, "altered ran network 0000"),
        ({"counts": lambda run: {name: found.astype(np.float32) for name, found in run.counts.items()}}, "float32"),
    ):

        def run_with(run: Run, changes: dict[str, object] = broken) -> Run:  # type: ignore[assignment]
            return replace(run, **{name: new(run) if callable(new) else new for name, new in changes.items()})  # type: ignore[arg-type]

        with pytest.raises(VerificationError, match=complaint):
            check_backend(Altered(run=run_with))


def test_what_is_refused_is_listed_and_not_counted() -> None:
    class ExactOnly(Altered):
        def run(self, network: Network, stimulus: Int64, *others: Any) -> Run:
            if network.mode == "rate":
                raise BackendUnavailableError("altered runs exact mode only")
            return super().run(network, stimulus, *others)

    found = check_backend(ExactOnly(), drawn=4, cases=(*conformance_cases(), *special_cases()))
    assert (len(found.equal), len(found.refused)) == (6, 7)
    assert str(found) == (
        "6 networks, every event and every membrane equal; random-rate-0, random-rate-1, random-rate-hard-reset, "
        "random-rate-bias-map, random-rate-saturating, drawn-1, drawn-3 refused: altered runs exact mode only"
    )

    def refuse(network: Network) -> Network:
        raise BackendUnavailableError("altered runs nothing")

    with pytest.raises(VerificationError, match="^altered refuses every network: altered runs nothing$"):
        check_backend(Altered(network=refuse))


def _weight(network: Network) -> Network:
    last = network.connections[9]
    assert isinstance(last.kernel, ConvKernel)
    weight = last.kernel.weight.copy()
    weight[0, 0, 0, 0] ^= 1
    changed = replace(last, kernel=replace(last.kernel, weight=weight))
    return replace(network, connections=(*network.connections[:9], changed, *network.connections[10:]))


def _flip(network: Network) -> Network:
    first = network.connections[0]
    assert isinstance(first.kernel, ConvKernel)
    changed = replace(first, kernel=replace(first.kernel, weight=first.kernel.weight[:, :, ::-1, ::-1]))
    return replace(network, connections=(changed, *network.connections[1:]))


def _strict(network: Network) -> Network:
    return replace(
        network,
        populations=(
            network.populations[0],
            *(
                replace(population, neuron=replace(population.neuron, strict=not population.neuron.strict))
                for population in network.populations[1:]
                if population.neuron is not None
            ),
        ),
    )


def _early_skip(network: Network) -> Network:
    return replace(network, connections=tuple(replace(connection, delay=1) for connection in network.connections))


@pytest.mark.parametrize("alter", [_weight, _flip, _strict, _early_skip])
def test_a_lowest_weight_bit_a_flipped_kernel_a_wrong_comparison_and_a_missing_delay_are_caught(
    alter: Callable[[Network], Network],
) -> None:
    with pytest.raises(VerificationError, match="DIFFERENT at level state"):
        check_backend(Altered(network=alter))


def _soft(network: Network) -> Network:
    return _neurons(network, reset="subtract")


def _neurons(network: Network, **changes: object) -> Network:
    populations = (
        population if population.neuron is None else replace(population, neuron=replace(population.neuron, **changes))  # type: ignore[arg-type]
        for population in network.populations
    )
    return replace(network, populations=tuple(populations))


def test_a_backend_that_knows_no_hard_reset_is_caught_at_the_network_that_has_it() -> None:
    with pytest.raises(VerificationError, match="^random-rate-hard-reset: DIFFERENT"):
        check_backend(Altered(network=_soft))


def test_membranes_reach_their_limit_in_one_of_the_networks() -> None:
    runs = [load_backend("reference").run(*case) for case in special_cases()]
    assert [sum(run.saturations.values()) > 0 for run in runs] == [False, False, True, False]


MISTAKES: dict[str, Callable[[Network, Any], dict[str, object]]] = {
    "hard resets ignore the limits of counts": lambda network, neuron: (
        {"count_min": None, "count_max": None} if neuron.reset == "zero" else {}
    ),
    "hard resets compare with >=": lambda network, neuron: {"strict": False} if neuron.reset == "zero" else {},
    "hard resets send nothing negative": lambda network, neuron: {"payload_min": 0} if neuron.reset == "zero" else {},
    "limited counts of rate mode are compared with >=": lambda network, neuron: (
        {"strict": False} if network.mode == "rate" and neuron.count_max is not None else {}
    ),
    "limited counts of rate mode start at 0": lambda network, neuron: (
        {"v0": 0 * neuron.v0} if network.mode == "rate" and neuron.count_max is not None and not neuron.is_stock else {}
    ),
    "every sigma-delta neuron rectifies": lambda network, neuron: (
        {"rectify": True} if hasattr(neuron, "rectify") else {}
    ),
}
"""Mistakes that show only where two options stand together: what a neuron's fields become."""


@pytest.mark.parametrize(
    "mistake", [pytest.param(each, marks=[pytest.mark.extended] * (place % 2)) for place, each in enumerate(MISTAKES)]
)
def test_options_that_are_wrong_only_together_are_caught(mistake: str) -> None:
    def changed(network: Network, population: Population) -> Population:
        neuron: Any = population.neuron
        if neuron is None:
            return population
        return replace(population, neuron=replace(neuron, **MISTAKES[mistake](network, neuron)))

    def mishandled(network: Network) -> Network:
        return replace(network, populations=tuple(changed(network, population) for population in network.populations))

    with pytest.raises(VerificationError, match=r"^(options-\d+|drawn-\d+|random-rate-hard-reset): DIFFERENT"):
        check_backend(Altered(network=mishandled))


def test_a_difference_names_the_seed_that_draws_it_again() -> None:
    def one_less(run: Run) -> Run:
        name = list(run.counts)[-1]
        return replace(run, counts=dict(run.counts) | {name: run.counts[name] - 1})

    with pytest.raises(VerificationError, match=r"^drawn-40: DIFFERENT at level state: .* layer\d"):
        check_backend(Altered(run=one_less), drawn=2, seed=40, cases=())


class Forgetful:
    """The reference, whose streams forget one thing at the end of each frame, or do not stream at all."""

    name = "forgetful"

    def __init__(self, what: str) -> None:
        self.what = what

    def run(
        self, network: Network, stimulus: Int64, record: Record = Record.COUNTS, progress: Progress | None = None
    ) -> Run:
        return load_backend("reference").run(network, stimulus, record, progress)

    def open_stream(self, network: Network, state: StreamState) -> FrameStream:
        if self.what == "streams":
            raise BackendUnavailableError("no streams")
        return ForgetfulStream(self.what, network, state)


class ForgetfulStream:
    def __init__(self, what: str, network: Network, state: StreamState) -> None:
        self.what, self.network = what, network
        self.stream = open_stream(load_backend("reference"), network, state)

    def push(self, frame: Int64, record: Record = Record.COUNTS) -> Run:
        state, rest = self.stream.state(), StreamState.at_rest(self.network, len(frame))
        if self.what == "source":
            state = replace(state, source=rest.source)
        elif self.what:
            state = replace(state, **{self.what: getattr(rest, self.what)})
        self.stream = open_stream(load_backend("reference"), self.network, state)
        return self.stream.push(frame, record)

    def state(self) -> StreamState:
        return self.stream.state()


@pytest.mark.parametrize("what", ["membranes", "counts", "source", "frames"])
def test_a_stream_that_forgets_is_caught(what: str) -> None:
    with pytest.raises((VerificationError, BackendError, StimulusError), match="drawn-stream|have not sent all"):
        check_streams(Forgetful(what), drawn=3)


def test_streams_that_are_right_or_refused() -> None:
    assert str(check_streams(Forgetful(""), drawn=3)) == "3 networks, every event and every membrane equal"
    with pytest.raises(VerificationError, match="^forgetful refuses every stream: no streams$"):
        check_streams(Forgetful("streams"), drawn=1)


def test_drawn_streams_have_one_step_and_several_and_every_kind_of_neuron() -> None:
    networks = [draw_stream(Random(seed)) for seed in range(12)]
    assert {network.steps > 1 for network in networks} == {True, False}
    assert {type(each.neuron) for network in networks for each in network.populations[1:]} == {
        MultiThreshold,
        TwoSided,
        SigmaDelta,
    }
    assert all(network.stream for network in networks)
    holding = [
        each for network in networks for each in network.populations[1:] if each.neuron and each.neuron.holds_back
    ]
    assert {each.neuron.hold for each in holding if isinstance(each.neuron, MultiThreshold)} == {1, 2}
