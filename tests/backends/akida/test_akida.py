"""Akida's engine, or what its documentation says of it, computes the counts of the specification; what is no layer is named."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import preset
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.mapping.akida import plan_layers
from snn_deploy.network.network import Network
from snn_deploy.testing import draw_narrow, draw_stimulus, random_unet
from snn_deploy.testing.networks import random_stimulus
from snn_deploy.verification import Level, Status, compare
from snn_deploy_akida import AkidaBackend
from tests.cli.models import write_unet


def load_double() -> ModuleType:
    spec = importlib.util.spec_from_file_location("akida_double", Path(__file__).with_name("engine.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["double", "akida"])
def engine(request: pytest.FixtureRequest) -> Any:
    if request.param == "double":
        return load_double()
    return pytest.importorskip("akida", reason="needs the extra akida, whose licence is to be read first")


def drawn(seed: int) -> tuple[Network, Int64]:
    random = Random(seed)
    network = draw_narrow(random)
    return network, draw_stimulus(network, random)


def check(backend: AkidaBackend, network: Network, stimulus: Int64) -> None:
    """Every count of every population, and each as the one event."""
    expected = load_backend("reference").run(network, stimulus, Record.TRAINS)
    verdict = compare(network, [expected, backend.run(network, stimulus, Record.TRAINS)], Level.TRAIN)
    assert verdict.status is Status.EQUAL, f"{network.name}: {verdict.line}"


@pytest.mark.parametrize("first", [0, pytest.param(8, marks=pytest.mark.extended)])
def test_random_networks_within_8_bits(engine: Any, first: int) -> None:
    for seed in range(first, first + 5 * max(first, 1)):
        check(AkidaBackend(engine), *drawn(seed))


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Network:
    model = write_unet(tmp_path_factory.mktemp("akida") / "unet.onnx")
    images = [np.random.default_rng(0).random((2, 1, 8, 8), np.float32)]
    return convert(model, images, preset("akida", rounding="nearest")).conversion.network


def test_a_converted_network(engine: Any, converted: Network) -> None:
    check(AkidaBackend(engine), converted, random_stimulus(converted, batch=2))


def test_what_a_run_holds(converted: Network) -> None:
    stimulus, done = random_stimulus(converted, batch=2), list[tuple[int, int]]()
    backend = AkidaBackend(load_double())
    run = backend.run(converted, stimulus, Record.STATES, lambda *part: done.append(part))
    expected = load_backend("reference").run(converted, stimulus, Record.TRAINS)
    layers = len(plan_layers(converted).layers)
    assert done == [(number, layers) for number in range(1, layers + 1)]
    assert (run.backend, run.network, run.stimulus) == ("akida", expected.network, expected.stimulus)
    assert run.states is None
    assert set(run.saturations.values()) == {0}
    for name, events in expected.events.items():
        assert np.array_equal(run.events[name], events)
    assert backend.run(converted, stimulus).trains is None
    assert set(run.engines.values()) == {"Akida engine double"}


def test_maxima_are_the_engines_own(engine: Any) -> None:
    """What a tournament computes on the way is told from what the engine sends."""
    seed = next(seed for seed in range(100) if plan_layers(drawn(seed)[0]).maxima)
    network, stimulus = drawn(seed)
    plan = plan_layers(network)
    run = AkidaBackend(engine).run(network, stimulus)
    inner = {name for maximum in plan.maxima for name in maximum.inner}
    assert {name for name, by in run.engines.items() if by.startswith("host: inside of a maximum")} == inner
    assert not inner & {layer.name for layer in plan.layers}
    check(AkidaBackend(engine), network, stimulus)


@pytest.mark.parametrize(
    ("variable", "amount"), [("weights", 40), ("bias", 30), ("bias_shift", 3), ("input_shift", 2), ("output_shift", -2)]
)
def test_a_planted_fault_is_found(
    converted: Network, variable: str, amount: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other numbers in the engine's second layer."""
    double = load_double()
    name, stimulus = plan_layers(converted).layers[1].name, random_stimulus(converted, batch=2)
    given, calls = double.Neural.set_variable, list[str]()

    def spoil(self: Any, key: str, values: Any) -> None:
        calls.append(key)
        if key == variable and calls.count(key) == 2:
            values = np.clip(values.astype(np.int64) + amount, -128, 127).astype(values.dtype)
        given(self, key, values)

    monkeypatch.setattr(double.Neural, "set_variable", spoil)
    run = AkidaBackend(double).run(converted, stimulus)
    verdict = compare(converted, [load_backend("reference").run(converted, stimulus), run])
    assert verdict.status is Status.DIFFERENT
    differing = [row.population for row in verdict.rows if row.status is Status.DIFFERENT]
    assert differing[0] == name


def test_what_is_no_layer_is_named_before_anything_runs(converted: Network) -> None:
    class Untouched:
        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"the engine was asked for {name}")

    backend = AkidaBackend(Untouched())
    unet = random_unet("exact")
    with pytest.raises(
        BackendUnavailableError, match=r"^akida cannot run this network: input: input counts of -255..255; .*"
    ):
        backend.run(unet, random_stimulus(unet))
    rate = random_unet("rate")
    with pytest.raises(BackendUnavailableError, match=rf"{rate.name}: rate mode, .* --for akida; .*; and \d+ more$"):
        backend.run(rate, random_stimulus(rate))
    odd = replace(converted.populations[1], bias=np.full_like(converted.populations[1].bias, 257))
    changed = replace(converted, populations=(converted.input, odd, *converted.populations[2:]))
    with pytest.raises(
        BackendUnavailableError,
        match=rf"^akida cannot run this network: {odd.name}: a bias of 257, which has more than 8 significant bits; convert"
        " with --for akida$",
    ):
        backend.run(changed, random_stimulus(changed))


def test_without_the_engine_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "akida", None)
    with pytest.raises(
        BackendUnavailableError, match=r'backend akida: .*; install its extra: pip install "snn-deploy\[akida\]"$'
    ):
        load_backend("akida")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["denoiser_s25", "denoiser_blind", "denoiser_color_s25", "segmenter_isbi", "segmenter_camseq"]
)
def test_the_trained_networks(root: Path, name: str) -> None:
    pytest.importorskip("akida", reason="needs the extra akida, whose licence is to be read first")
    channels = 3 if "color" in name or "camseq" in name else 1
    images = [np.random.default_rng(0).random((2, channels, 64, 64), np.float32)]
    network = convert(root / f"models/{name}.onnx", images, preset("akida")).conversion.network
    check(AkidaBackend(), network, quantize_images(network, images[0]))
