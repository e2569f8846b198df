"""The door to backends: discovery, loading, stimuli, and what a run says."""

import sys
from functools import cache
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.backend import registry
from snn_deploy.backend.protocol import Backend, Record, Run
from snn_deploy.backend.registry import list_backends, load_backend
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus, quantize_images
from snn_deploy.errors import BackendError, BackendUnavailableError, StimulusError
from snn_deploy.testing import random_stimulus, random_unet

NETWORK = random_unet(size=8, width=2)


def test_the_three_backends_are_listed_and_none_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reference", "cpu", "lava"):
        monkeypatch.delitem(sys.modules, f"snn_deploy_{name}", raising=False)
    assert {"reference", "cpu", "lava", "onnx"} <= set(list_backends())
    assert list_backends() == tuple(sorted(list_backends()))
    assert not {"snn_deploy_reference", "snn_deploy_cpu", "snn_deploy_lava"} & set(sys.modules)


def test_loading_gives_an_object_with_the_protocol() -> None:
    loaded = load_backend("reference")
    assert isinstance(loaded, Backend)
    assert loaded.name == "reference"


def test_unknown_backends_are_refused_with_the_list() -> None:
    with pytest.raises(BackendUnavailableError, match=r"^unknown backend 'loihi9'; installed: .*reference.*$"):
        load_backend("loihi9")


def _points(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(EntryPoint("toy", value, registry.GROUP), monkeypatch)


def installed(point: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_find_points", cache(lambda: (point,)))


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    _points("no_such_library_anywhere:Toy", monkeypatch)
    with pytest.raises(BackendUnavailableError, match="^backend toy: No module named 'no_such_library_anywhere'$"):
        load_backend("toy")
    point = EntryPoint("lava", "no_such_library_anywhere:Lava", registry.GROUP)
    installed(point, monkeypatch)
    with pytest.raises(BackendUnavailableError, match=r'; install its extra: pip install "snn-deploy\[lava\]"$'):
        load_backend("lava")


def test_a_backend_that_breaks_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        name = "broken"

        def run(self, *_: object) -> Run:
            return 1 / 0  # type: ignore[return-value]

    message = r"^backend broken failed: ZeroDivisionError: division by zero \(test_backend\.py:\d+\)$"
    with pytest.raises(BackendError, match=message):
        registry.run_backend(Broken(), None, None)  # type: ignore[arg-type]
    _points("test_backend_no_factory:None", monkeypatch)
    monkeypatch.setitem(sys.modules, "test_backend_no_factory", SimpleNamespace(**{"None": None}))
    with pytest.raises(BackendUnavailableError, match=r"^backend toy cannot be loaded: TypeError: "):
        load_backend("toy")


def test_what_is_no_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _points("collections:OrderedDict", monkeypatch)
    with pytest.raises(
        BackendUnavailableError, match=r"^backend toy: collections:OrderedDict does not follow the Backend protocol$"
    ):
        load_backend("toy")


def test_stimuli_are_rounded_to_even_and_clipped() -> None:
    """Unit 1/255, payloads -255..255."""
    image = np.zeros((1, 1, 8, 8))
    image[0, 0, 0, :8] = np.array([0.5, 1.5, 2.5, -0.5, 254.4, 300, -300, 255.5]) / 255
    stimulus = quantize_images(NETWORK, image)
    assert stimulus.dtype == np.int64
    assert stimulus[0, 0, 0].tolist() == [0, 2, 2, 0, 254, 255, -255, 255]


@given(st.integers(-255, 255))
def test_every_payload_survives_the_way_to_reals_and_back(payload: int) -> None:
    image = np.full((1, 1, 8, 8), payload) * NETWORK.input.unit[0]
    for dtype in (np.float32, np.float64):
        assert np.all(quantize_images(NETWORK, image.astype(dtype)) == payload)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8)), r"^image \(8, 8\): network random-exact-0 reads \(batch, 1, 8, 8\); crop or pad the image"),
        (np.zeros((1, 3, 8, 8)), r"^image \(1, 3, 8, 8\): .* or convert for its size$"),
        (np.full((1, 1, 8, 8), np.nan), "^the image holds values that are not finite$"),
        (np.full((1, 1, 8, 8), -np.inf), "^the image holds values that are not finite$"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    image: np.ndarray[tuple[int, ...], np.dtype[np.float64]], message: str
) -> None:
    with pytest.raises(StimulusError, match=message):
        quantize_images(NETWORK, image)


@pytest.mark.parametrize(
    ("stimulus", "message"),
    [
        (np.zeros((1, 1, 8, 8), np.int32), r"^stimulus int32 \(1, 1, 8, 8\): .* reads int64 \(batch, 1, 8, 8\)$"),
        (np.zeros((1, 1, 8, 8)), "^stimulus float64 "),
        (np.zeros((1, 8, 8), np.int64), r"^stimulus int64 \(1, 8, 8\): "),
        (np.zeros((1, 1, 8, 9), np.int64), r"^stimulus int64 \(1, 1, 8, 9\): "),
        (np.zeros((0, 1, 8, 8), np.int64), "^the stimulus contains no images$"),
        (np.full((1, 1, 8, 8), 256), r"^stimulus spans 256\.\.256; the input carries -255\.\.255$"),
        (np.full((1, 1, 8, 8), -256), r"^stimulus spans -256\.\.-256; the input carries -255\.\.255$"),
    ],
)
def test_payloads_that_do_not_fit_are_refused(
    stimulus: np.ndarray[tuple[int, ...], np.dtype[np.int64]], message: str
) -> None:
    with pytest.raises(StimulusError, match=message):
        check_stimulus(NETWORK, stimulus)
    with pytest.raises(StimulusError, match=message):
        load_backend("reference").run(NETWORK, stimulus)


def test_the_digest_of_a_stimulus_depends_on_values_and_shape_and_on_nothing_else() -> None:
    stimulus = random_stimulus(NETWORK)
    other = stimulus.copy()
    other[0, 0, 0, 0] += 1
    names = {digest_stimulus(stimulus), digest_stimulus(other), digest_stimulus(stimulus.reshape(1, 2, 8, 8))}
    assert len(names) == 3
    assert (
        digest_stimulus(np.asfortranarray(stimulus))
        == digest_stimulus(stimulus.astype(">i8"))
        == digest_stimulus(stimulus)
    )


@pytest.mark.parametrize(("mode", "divisor"), [("exact", 1), ("rate", 8)])
def test_values_are_counts_times_unit_over_the_steps_of_rate_mode(mode: str, divisor: int) -> None:
    network = random_unet(mode, size=8, width=2, steps=8)  # type: ignore[arg-type]
    run = load_backend("reference").run(network, random_stimulus(network))
    expected = run.counts["output"] * 0.01 / divisor
    assert np.allclose(run.values(network), expected, rtol=1e-15, atol=0)
    assert np.array_equal(run.values(network), run.values(network, "output"))
    with pytest.raises(BackendError, match=r"^unknown output 'mask'; outputs: \['output'\]$"):
        run.values(network, "mask")


def test_levels_of_record_are_ordered_and_a_run_starts_empty() -> None:
    assert Record.COUNTS < Record.TRAINS < Record.STATES
    run = Run("toy", "n", "s", {}, {})
    assert (run.trains, run.states, run.saturations, run.engines) == (None, None, {}, {})


def test_an_input_for_every_step_is_for_rate_mode_and_backends_that_take_it() -> None:
    rate, exact = random_unet("rate", size=8, width=2, steps=3), random_unet("exact", size=8, width=2)
    steps = np.stack([random_stimulus(rate, seed) for seed in range(3)], axis=1)
    for name in ("reference", "cpu"):
        run = load_backend(name).run(rate, steps, Record.TRAINS)
        assert run.trains is not None
        assert np.array_equal(run.trains["input"], steps)
        assert np.array_equal(run.counts["input"], steps.sum(1))
        assert np.array_equal(run.events["input"], np.count_nonzero(steps, axis=1))
        with pytest.raises(StimulusError, match="only rate mode takes an input for every step$"):
            load_backend(name).run(exact, steps)
        with pytest.raises(StimulusError, match="^stimulus of 2 steps; network random-rate-0 has windows of 3$"):
            load_backend(name).run(rate, steps[:, :2])
    with pytest.raises(
        BackendUnavailableError, match="none that changes from step to step; use reference, cpu or lava$"
    ):
        check_stimulus(rate, steps)
