"""The numbers that a report draws of a stream."""

from collections.abc import Sequence

import pytest
from markupsafe import Markup

from snn_deploy.activity.stream import FrameActivity
from snn_deploy.evaluation.stream import NOTHING, Comparisons, FrameScore, StreamEvaluation
from snn_deploy.report import stream_section
from snn_deploy.report.charts import Line
from snn_deploy.report.stream_section import show_stream

Drawn = tuple[str, dict[str, list[float]]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Drawn]:
    """What is given to the drawing: the label of the axis, and values by the label of their line."""
    found: list[Drawn] = []

    def record(given: Sequence[Line], x_label: str, y_label: str) -> Markup:
        assert x_label == "frame"
        found.append((y_label, {each.label: list(each.values) for each in given}))
        return Markup()

    monkeypatch.setattr(stream_section, "lines", record)
    return found


def stream(task: str | None, *compared: Comparisons, macs: int = 200) -> StreamEvaluation:
    activities = (FrameActivity(9, 150, 30), FrameActivity(4, 50, 10))
    frames = tuple(
        FrameScore(f"{n}", scores, activity)
        for n, (scores, activity) in enumerate(zip(compared, activities, strict=True))
    )
    return StreamEvaluation(task, frames, compared[0], macs, 40)  # type: ignore[arg-type]


def test_activity_is_a_share(drawn: list[Drawn]) -> None:
    view = show_stream(stream(None, NOTHING, NOTHING))
    assert drawn == [("per frame", {"operations per MAC": [0.75, 0.25], "neurons that changed": [0.75, 0.25]})]
    assert view["table"] is None
    assert view["text"].startswith("2 frame(s), 0.2500 operations per MAC after the first. The first frame is ")
    drawn.clear()
    show_stream(stream(None, NOTHING, NOTHING, macs=0))
    assert drawn == [("per frame", {"neurons that changed": [0.75, 0.25]})]


def test_accuracy_and_its_loss_are_in_percent(drawn: list[Drawn]) -> None:
    first, second = ({"accuracy": each, "miou": 0.5} for each in (0.5, 0.75))
    better = {"accuracy": 0.875, "miou": 0.5}
    view = show_stream(stream("segment", Comparisons(first, better, {}), Comparisons(second, better, {})))
    assert drawn[1:] == [
        ("accuracy in %", {"spiking network": [50, 75], "float network": [87.5, 87.5]}),
        ("loss in points", {"float network above the spiking one": [37.5, 12.5]}),
    ]
    assert view["table"].headings == ("all frames", "accuracy", "mIoU")
    assert view["table"].rows == [("spiking network", "0.5000", "0.5000"), ("float network", "0.8750", "0.5000")]
    assert view["table"].numbers == (1, 2)


def test_decibels_stay_and_agreement_stands_alone(drawn: list[Drawn]) -> None:
    compared = [Comparisons({}, {}, {"psnr_db": each, "ssim": 0.9}) for each in (30.0, 40.0)]
    view = show_stream(stream("denoise", *compared))
    assert drawn[1:] == [("PSNR in dB", {"spiking against float network": [30, 40]})]
    assert view["table"].rows == [("spiking against float network", "30.000", "0.9000")]
    drawn.clear()
    both = [Comparisons({"psnr_db": 29.5}, {"psnr_db": 30.0}, {"psnr_db": 50.0})] * 2
    show_stream(stream("denoise", *both))
    assert drawn[1:] == [
        ("PSNR in dB", {"spiking network": [29.5, 29.5], "float network": [30, 30]}),
        ("loss in dB", {"float network above the spiking one": [0.5, 0.5]}),
    ]
