"""Scores of streams are those of still images, frame by frame and together; operations are those of changes."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from snn_deploy.activity.stream import StreamCounter
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options
from snn_deploy.data.frame_samples import FrameSample
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.data.stimulus import prepare_stimulus
from snn_deploy.errors import StimulusError
from snn_deploy.evaluation.evaluate import FloatPredictor, SpikingPredictor, evaluate
from snn_deploy.evaluation.stream import NOTHING, Comparisons, _Tally, evaluate_stream
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from tests.cli.models import write_unet

FRAMES = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unet(tmp_path_factory.mktemp("model") / "unet.onnx")


@pytest.fixture(scope="module")
def network(model: Path) -> Network:
    image = np.random.default_rng(1).random((1, 1, 16, 16)).astype(np.float32)
    return convert(model, [image], Options(levels=15)).conversion.network


@pytest.fixture(scope="module")
def samples() -> tuple[FrameSample, ...]:
    """A scene that stands still, a square that moves in it; the reference is the scene without the square."""
    scene = np.random.default_rng(0).random((1, 1, 16, 24)).astype(np.float32)
    frames = []
    for number in range(FRAMES):
        seen = scene.copy()
        seen[..., 4:8, number : number + 4] = 1
        frames.append(FrameSample(f"{number}", seen, scene))
    return tuple(frames)


def labelled(samples: tuple[FrameSample, ...]) -> tuple[FrameSample, ...]:
    return tuple(
        replace(sample, reference=(np.arange(16 * 24).reshape(16, 24) % (3 + number) == 0).astype(np.int64))
        for number, sample in enumerate(samples)
    )


def still(samples: tuple[FrameSample, ...], task: str) -> list[Entry]:
    def entry(sample: FrameSample) -> Entry:
        if task == "denoise":
            return Entry(sample.name, lambda _: Sample(sample.name, sample.seen, target=sample.reference))  # type: ignore[arg-type]
        return Entry(sample.name, lambda _: Sample(sample.name, sample.seen, sample.reference))  # type: ignore[arg-type]

    return [entry(sample) for sample in samples]


@pytest.mark.parametrize("task", ["denoise", "segment"])
def test_scores_are_those_of_still_images(
    network: Network, model: Path, samples: tuple[FrameSample, ...], task: str
) -> None:
    chosen = samples if task == "denoise" else labelled(samples)
    backend = load_backend("cpu")
    found = evaluate_stream(network, backend, chosen, task, model=model)  # type: ignore[arg-type]
    for predictor, kind in ((SpikingPredictor(network, backend), "scores"), (FloatPredictor(model), "model")):
        expected = evaluate(predictor, still(chosen, task), task, 1)  # type: ignore[arg-type]
        ours = [getattr(frame.compared, kind) for frame in found.frames]
        for mine, image in zip(ours, expected.images, strict=True):
            assert mine == pytest.approx({name: value for name, value in image.scores.items() if name != "auc"})
        overall = {name: value for name, value in expected.overall.items() if name != "auc"}
        assert getattr(found.overall, kind) == pytest.approx(overall)
    name = {"denoise": "psnr_db", "segment": "accuracy"}[task]
    loss = found.overall.model[name] - found.overall.scores[name]
    assert found.overall.loss(task) == pytest.approx(loss)  # type: ignore[arg-type]
    assert str(found).startswith(f"{task}: {name} ")


def test_agreement_is_with_the_float_network(network: Network, model: Path, samples: tuple[FrameSample, ...]) -> None:
    unjudged = tuple(replace(sample, reference=None) for sample in samples)
    found = evaluate_stream(network, load_backend("cpu"), unjudged, "denoise", model=model)
    assert (found.overall.scores, found.overall.model, found.overall.loss("denoise")) == ({}, {}, None)
    assert "against the float network: psnr_db" in str(found)
    for sample, frame in zip(unjudged, found.frames, strict=True):
        floats = np.clip(FloatPredictor(model)(sample.seen).values, 0, 1).astype(np.float32)
        entry = Entry("x", lambda _, seen=sample.seen, target=floats: Sample("x", seen, target=target))  # type: ignore[misc]
        expected = evaluate(SpikingPredictor(network, load_backend("cpu")), [entry], "denoise", 1)
        assert frame.compared.agreement == pytest.approx(expected.overall)
    labels = evaluate_stream(network, load_backend("cpu"), unjudged, "segment", model=model)
    assert 0.5 < labels.overall.agreement["accuracy"] <= 1


def test_operations_are_those_of_the_stream(network: Network, samples: tuple[FrameSample, ...]) -> None:
    seen: list[tuple[int, int]] = []
    found = evaluate_stream(
        network,
        load_backend("reference"),
        samples,
        "denoise",
        total=3,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    stream = prepare_stream(network.at_size(16, 24))
    opened, counter = open_stream(load_backend("cpu"), stream), StreamCounter(stream)
    for sample, frame in zip(samples, found.frames, strict=True):
        events = opened.push(prepare_stimulus(network, sample.seen)[1]).events
        assert counter.add(events) == frame.activity
        assert frame.activity.changed == sum(int((sent > 0).sum()) for sent in events.values())
    later = [frame.activity.synaptic_operations for frame in found.frames[1:]]
    assert found.operations_per_mac == sum(later) / 2 / counter.macs
    assert (found.macs, found.neurons) == (counter.macs, sum(each.size for each in stream.populations))
    assert evaluate_stream(network, load_backend("cpu"), samples[:1], "denoise").operations_per_mac is None


def test_a_dead_zone_holds_frames_back(network: Network, samples: tuple[FrameSample, ...]) -> None:
    whole = np.full((1, 1, 1), 2000)
    found = evaluate_stream(network, load_backend("cpu"), samples, "denoise", dead_zone=whole)
    assert [frame.activity.events for frame in found.frames[1:]] == [0, 0]
    assert found.operations_per_mac == 0
    assert found.frames[1].compared.scores == found.frames[0].compared.scores


def test_without_a_task_nothing_is_scored(network: Network, samples: tuple[FrameSample, ...]) -> None:
    unjudged = [replace(sample, reference=None) for sample in samples]
    found = evaluate_stream(network, load_backend("cpu"), unjudged, None)
    assert (found.overall, found.frames[0].compared) == (NOTHING, NOTHING)
    assert found.overall.loss(None) is None
    assert str(found) == f"3 frame(s), {found.operations_per_mac:.4f} operations per MAC after the first"


def test_losses_of_equal_scores_are_zero() -> None:
    inf = float("inf")
    assert Comparisons({"psnr_db": inf}, {"psnr_db": inf}, {}).loss("denoise") == 0
    assert Comparisons({}, {"accuracy": 1.0}, {}).loss("segment") is None


def test_what_cannot_be_scored(network: Network, model: Path, root: Path, samples: tuple[FrameSample, ...]) -> None:
    backend, unjudged = load_backend("cpu"), (replace(samples[0], reference=None),)
    with pytest.raises(
        StimulusError, match=r"^0: has nothing to be compared with; .* the float model or noise to remove$"
    ):
        evaluate_stream(network, backend, unjudged, "denoise")
    with pytest.raises(StimulusError, match="^the stream contains no frames$"):
        evaluate_stream(network, backend, (), "denoise")
    other = root / "models/segmenter_isbi.onnx"
    with pytest.raises(
        StimulusError,
        match=r"^segmenter_isbi.onnx: .* it gives \(1, 2, 16, 24\), the spiking network \(1, 1, 16, 24\)$",
    ):
        evaluate_stream(network, backend, unjudged, "denoise", model=other)
    with pytest.raises(StimulusError, match=r"^segmenter_camseq.onnx: is the float model of another network: image "):
        evaluate_stream(network, backend, unjudged, "denoise", model=root / "models/segmenter_camseq.onnx")


def test_what_the_float_network_restores_is_compared_as_a_picture() -> None:
    """Values beyond black and white are those, as in the file that would be written; others stay."""
    restored = SimpleNamespace(restored=np.array([-0.25, 0.0, 0.5, 1.0, 1.75]).reshape(1, 1, 1, 5))
    reference = _Tally("denoise").as_reference(cast(Any, restored))
    assert reference.dtype == np.float32
    assert reference.ravel().tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
