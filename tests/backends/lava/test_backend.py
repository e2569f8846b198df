"""The Lava backend against the reference: every event, state and saturation of every step, with ``==``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendError, BackendUnavailableError
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network, Population
from snn_deploy.network.schedule import shuffle
from snn_deploy.testing import check_backend, conformance_cases, random_stimulus, random_unet, special_cases
from snn_deploy_lava import LavaBackend, backend

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
]

FEW = (*conformance_cases(), *special_cases())
"""Each run is a process of its own; drawn networks are run by tests/differential."""


def assert_equal_runs(expected: Run, got: Run) -> None:
    for field in ("counts", "events", "trains", "states"):
        reference, actual = getattr(expected, field), getattr(got, field)
        assert set(reference) == set(actual)
        for name in reference:
            assert reference[name].dtype == actual[name].dtype
            assert np.array_equal(reference[name], actual[name]), (field, name)
    assert expected.saturations == got.saturations


def compare(network: Network, lava: LavaBackend, batch: int = 2) -> None:
    stimulus = random_stimulus(network, 0, batch)
    assert_equal_runs(
        load_backend("reference").run(network, stimulus, Record.STATES), lava.run(network, stimulus, Record.STATES)
    )


@pytest.mark.parametrize("part", [pytest.param(3, marks=pytest.mark.extended), pytest.param(1, marks=pytest.mark.slow)])
def test_conformance(part: int) -> None:
    """One network of each mode as users run it, in a process of its own; every ``part``-th of all of them in one process."""
    from tests.differential.lava_batch import Case, lava_differences

    each = [next(case for case in FEW if case[0].mode == mode) for mode in ("exact", "rate")]
    assert len(check_backend(LavaBackend(), drawn=0, cases=each).equal) == len(each)
    cases = [Case(network.name, network, stimulus, LavaBackend()) for network, stimulus in FEW[::part]]
    assert lava_differences(cases) == ([], [])


@pytest.mark.parametrize(
    "options", [{}, *(pytest.param({name: True}, marks=pytest.mark.extended) for name in ("ladder", "stream"))]
)
def test_hard_resets(options: dict[str, bool]) -> None:
    network = random_unet("rate", 1, size=8, steps=6)
    populations = tuple(
        replace(population, neuron=replace(population.neuron, reset="zero"))
        if population.neuron is not None and not population.neuron.relays
        else population
        for population in network.populations
    )
    compare(replace(network, populations=populations), LavaBackend(**options))


@pytest.mark.slow
def test_any_schedule_with_shared_delay_lines() -> None:
    compare(shuffle(random_unet("exact", 3, size=8), seed=1), LavaBackend())


@pytest.mark.slow
def test_saturating_membranes_are_counted() -> None:
    network = random_unet("rate", 0, size=8, steps=4)
    populations = tuple(
        replace(population, bias=np.full((population.shape[0], 1, 1), 2**23 - 1))
        if population.name == "enc1/b"
        else population
        for population in network.populations
    )
    saturating = replace(network, populations=populations)
    run = load_backend("reference").run(saturating, random_stimulus(saturating, 0))
    assert run.saturations["enc1/b"] > 0
    network = replace(
        saturating,
        populations=tuple(
            replace(population, bias=np.full((population.shape[0], 1, 1), 2**22))
            if population.name == "enc1/b"
            else population
            for population in network.populations
        ),
    )
    compare(network, LavaBackend())


@pytest.mark.slow
def test_lavas_own_convolution_gives_the_same_numbers() -> None:
    assert len(check_backend(LavaBackend(stock_conv=True), drawn=0, cases=FEW).equal) == len(FEW)


@pytest.mark.slow
def test_the_ladder_of_compares_gives_the_same_numbers() -> None:
    assert len(check_backend(LavaBackend(ladder=True), drawn=0, cases=FEW).equal) == len(FEW)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exact", "rate"])
def test_a_stream_of_images_equals_single_images(mode: str) -> None:
    compare(random_unet(mode, 1, size=8, levels=15, payload=15), LavaBackend(stream=True), batch=5)  # type: ignore[arg-type]


def test_only_aligned_networks_stream() -> None:
    network = shuffle(random_unet("exact", 0, size=8), seed=0)
    with pytest.raises(
        BackendUnavailableError, match=r"streaming needs an aligned network; .* run images one after another$"
    ):
        LavaBackend(stream=True).run(network, random_stimulus(network))


def test_currents_beyond_24_bits_are_refused() -> None:
    network = random_unet("rate", 0, size=8)
    connections = tuple(replace(connection, exponent=connection.exponent + 8) for connection in network.connections)
    wide = replace(network, connections=connections)
    with pytest.raises(BackendUnavailableError, match=r"24 bits of Lava's synapses: enc1/a \d+, .* or fewer levels$"):
        LavaBackend().run(wide, random_stimulus(wide))


@pytest.mark.slow
def test_a_window_too_short_is_an_error() -> None:
    network = replace(random_unet("exact", 2, size=8, levels=15, payload=1), steps=2)
    with pytest.raises(BackendError, match=r"exact mode is not silent after .* the schedule's window is too short$"):
        LavaBackend().run(network, random_stimulus(network))


def test_importing_the_backend_imports_no_lava() -> None:
    code = "import sys, snn_deploy_lava; print(sorted({'lava', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


def test_a_missing_lava_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_installed", lambda: False)
    with pytest.raises(
        BackendUnavailableError, match=r"lava-nc is not installed in this Python .*; run: pip install .*"
    ):
        LavaBackend()


@pytest.mark.extended
def test_what_saturates_after_the_last_image_is_not_of_any() -> None:
    """In a stream early layers begin another image while the last layers work on the last one; found by a drawn network."""
    network = random_unet("rate", 1, size=8, steps=2)

    def sunk(population: Population) -> Population:
        if population.neuron is None or population.neuron.relays:
            return population
        low = replace(population.neuron, v0=np.full_like(population.neuron.v0, -STATE_MAX))
        return replace(population, neuron=low, bias=np.full_like(population.bias, -100_000))

    compare(replace(network, populations=tuple(map(sunk, network.populations))), LavaBackend(stream=True), batch=1)
