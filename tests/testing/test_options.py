"""The networks of neuron options: every three values that may stand together do, and their limits are met."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import NetworkError
from snn_deploy.network.bounds import prove
from snn_deploy.testing import neuron_option_cases
from snn_deploy.testing.options import NEURON_OPTIONS

CASES = tuple(neuron_option_cases())


def test_every_two_values_are_drawn_and_every_three_but_forbidden_ones() -> None:
    """Forbidden: what exact mode excludes, and what follows from it."""
    drawn = {
        size: {group for options, _, _ in CASES for group in combinations(options.items(), size)} for size in (2, 3)
    }
    exact = ("mode", "exact")
    for size in (2, 3):
        for names in combinations(NEURON_OPTIONS, size):
            for values in product(*(NEURON_OPTIONS[name] for name in names)):
                group = tuple(zip(names, values, strict=True))
                assert group in drawn[size] or exact in group, group
    missing = {
        name: {value for value in values if (exact, (name, value)) not in drawn[2]}
        for name, values in NEURON_OPTIONS.items()
        if name != "mode"
    }
    assert {name: values for name, values in missing.items() if values} == {"reset": {"zero"}, "counts": {"unlimited"}}


@pytest.mark.parametrize(("options", "network", "stimulus"), CASES, ids=[network.name for _, network, _ in CASES])
def test_networks_have_their_options(options: dict[str, str], network: object, stimulus: Array) -> None:
    neurons = [population.neuron for population in network.populations[1:]]  # type: ignore[attr-defined]
    assert network.mode == options["mode"]  # type: ignore[attr-defined]
    assert (network.steps == 1) == (options["steps"] == "one")  # type: ignore[attr-defined]
    assert max(connection.delay for connection in network.connections) == (2 if options["delays"] == "skip" else 1)  # type: ignore[attr-defined]
    for neuron in neurons:
        assert neuron.reset == options["reset"]
        assert (neuron.count_min is None) == (options["counts"] == "unlimited")
        assert (neuron.payload_min < 0) == (options["payloads"] != "unsigned")
        assert neuron.strict == (options["strict"] == "yes")
        assert bool(np.any(neuron.v0)) == (options["v0"] == "half")
    prove(network)  # type: ignore[arg-type]


def test_limits_of_counts_bind() -> None:
    """Otherwise a backend that forgets them would pass."""
    reference, narrow = load_backend("reference"), 0
    for options, network, stimulus in CASES:
        if options["counts"] == "narrow" and options["steps"] == "several":
            narrow += 1
            run, neuron = reference.run(network, stimulus), network.populations[1].neuron
            assert neuron is not None
            assert run.counts["first"].max() == neuron.count_max
    assert narrow > 2


def test_what_the_table_forbids_is_refused() -> None:
    options, network, _ = next(case for case in CASES if case[0]["reset"] == "zero")
    with pytest.raises(NetworkError, match=r"exact mode (needs count limits|resets by subtraction)$"):
        replace(network, mode="exact")
    assert options["mode"] == "rate"
