"""The promise of the project, on the trained nets: the same spikes everywhere, almost the float network's quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.protocol import Backend, Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.convert import convert, open_float_probe
from snn_deploy.conversion.options import Options, preset
from snn_deploy.data import images
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.metrics import psnr_db
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Connection, Network, Population
from snn_deploy.network.schedule import shuffle
from snn_deploy.verification import Level, Trace, compare

ROOT = Path(__file__).resolve().parent.parent
DENOISER = ROOT / "models/denoiser_s25.onnx"
SEGMENTER = ROOT / "models/segmenter_isbi.onnx"
SIGMA = 25.0


def backend(name: str) -> Backend:
    try:
        return load_backend(name)
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def calibration() -> list[images.Image]:
    return list(load_calibration_images(None, 1, SIGMA, seed=0))[:8]


@pytest.fixture(scope="module")
def camera() -> tuple[images.Image, images.Image]:
    """Clean and noisy middle of the photograph of the demo."""
    clean = images.load_photograph("camera", 1)
    noisy = images.add_noise(clean, SIGMA, seed=0)
    return images.center_crop(clean, 128, 128), images.center_crop(noisy, 128, 128)


@pytest.fixture(scope="module")
def denoiser(calibration: list[images.Image]) -> Network:
    return convert(DENOISER, calibration, Options(), (128, 128)).conversion.network


def test_exact_counts_are_the_integer_networks_and_cost_little(
    denoiser: Network, camera: tuple[images.Image, images.Image]
) -> None:
    clean, noisy = camera
    stimulus = quantize_images(denoiser, noisy)
    run = backend("cpu").run(denoiser, stimulus)
    integers = compute_integer_counts(denoiser, stimulus)
    assert set(run.counts) == set(integers)
    for name, counts in integers.items():
        assert np.array_equal(run.counts[name], counts), name
        assert np.any(counts), name
    restored = next(iter(open_float_probe(DENOISER, (128, 128))(noisy).values()))
    loss = psnr_db(restored, clean) - psnr_db(run.values(denoiser), clean)
    assert loss <= 0.05  # the bar of the main job, at N = 127


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("exact", ("cpu", "lava")),
        ("rate", ("cpu",)),
        pytest.param("rate", ("lava",), marks=pytest.mark.extended),
    ],
)
def test_every_event_and_state_of_the_denoiser_is_the_references(
    mode: str, names: tuple[str, ...], calibration: list[images.Image], camera: tuple[images.Image, images.Image]
) -> None:
    options = Options() if mode == "exact" else preset("multi-threshold", steps=3)
    network = convert(DENOISER, calibration[:2], options, (16, 16)).conversion.network
    stimulus = quantize_images(network, images.center_crop(camera[1], 16, 16))
    expected = backend("reference").run(network, stimulus, Record.STATES)
    for name in names:
        if name == "lava" and len(names) > 1 and find_spec("lava") is None:
            continue
        verdict = compare(network, [expected, backend(name).run(network, stimulus, Record.STATES)], Level.STATE)
        assert verdict.exit_code == 0, verdict.line
        assert not verdict.silent


@pytest.mark.parametrize("mode", ["exact", "rate"])
def test_the_max_pooling_segmenter_fires_the_same_spikes(mode: str) -> None:
    rng = np.random.default_rng(0)
    patches = [rng.random((1, 1, 32, 32), np.float32) for _ in range(3)]
    options = Options() if mode == "exact" else preset("multi-threshold", steps=3)
    network = convert(SEGMENTER, patches, options).conversion.network
    stimulus = quantize_images(network, patches[0])
    runs = [backend(each).run(network, stimulus, Record.TRAINS) for each in ("reference", "cpu")]
    assert compare(network, runs, Level.TRAIN).exit_code == 0
    if mode == "exact":
        for name, counts in compute_integer_counts(network, stimulus).items():
            assert np.array_equal(runs[0].counts[name], counts), name


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.extended) for seed in (1, 2))])
def test_max_pooling_counts_the_same_under_any_delays(seed: int) -> None:
    patches = [np.random.default_rng(seed).random((1, 1, 16, 16), np.float32)]
    network = convert(SEGMENTER, patches, Options(levels=31)).conversion.network
    stimulus = quantize_images(network, patches[0])
    aligned, shuffled = (backend("reference").run(each, stimulus) for each in (network, shuffle(network, seed)))
    assert not shuffle(network, seed).aligned
    for name, counts in aligned.counts.items():
        assert np.array_equal(shuffled.counts[name], counts), name


def _with(network: Network, changed: Connection | Population) -> Network:
    def pick(items: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(changed if getattr(item, "name", "") == changed.name else item for item in items)

    if isinstance(changed, Connection):
        return replace(network, connections=pick(network.connections))  # type: ignore[arg-type]
    return replace(network, populations=pick(network.populations))  # type: ignore[arg-type]


def _wrong_weight(network: Network) -> Network:
    connection = network.connections[2]
    assert isinstance(connection.kernel, ConvKernel)
    weight = connection.kernel.weight.copy()
    largest = np.unravel_index(np.argmax(np.abs(weight)), weight.shape)
    weight[largest] -= np.sign(weight[largest])
    return _with(network, replace(connection, kernel=replace(connection.kernel, weight=weight)))


def _flipped_kernel(network: Network) -> Network:
    connection = network.connections[3]
    assert isinstance(connection.kernel, ConvKernel)
    flipped = replace(connection.kernel, weight=connection.kernel.weight[:, :, ::-1, ::-1])
    return _with(network, replace(connection, kernel=flipped))


def _strict_threshold(network: Network) -> Network:
    population = network.populations[2]
    assert population.neuron is not None
    return _with(network, replace(population, neuron=replace(population.neuron, strict=True)))


def _missing_skip_delay(network: Network) -> Network:
    skip = max(network.connections, key=lambda item: (item.source != network.input.name, item.delay))
    assert skip.delay > 1
    return _with(network, replace(skip, delay=1))


@pytest.fixture(scope="module")
def rate_denoiser(calibration: list[images.Image]) -> Network:
    return convert(DENOISER, calibration[:2], preset("multi-threshold", steps=4), (16, 16)).conversion.network


@pytest.mark.parametrize("fault", [_wrong_weight, _flipped_kernel, _strict_threshold, _missing_skip_delay])
def test_a_fault_makes_the_verifier_fail(
    fault: Callable[[Network], Network], rate_denoiser: Network, camera: tuple[images.Image, images.Image]
) -> None:
    network = rate_denoiser
    stimulus = quantize_images(network, images.center_crop(camera[1], 16, 16))
    good, bad = (backend("reference").run(each, stimulus, Record.TRAINS) for each in (network, fault(network)))
    verdict = compare(network, [good, Trace.of(bad).unclaimed("faulty chip")], Level.TRAIN)
    assert verdict.exit_code == 1, verdict.line
    assert compare(network, [good, Trace.of(good).unclaimed("sound chip")], Level.TRAIN).exit_code == 0
