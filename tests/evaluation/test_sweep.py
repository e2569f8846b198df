"""Sweeps: every point once, resumed after a crash, the same in one process and in two; the Pareto front."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console
from sweep_points import score

from snn_deploy.display.tables import sweep_table
from snn_deploy.errors import BackendError, ReportError
from snn_deploy.evaluation.sweep import Grid, Point, Settings, parse_axis, select_pareto_front, sweep
from snn_deploy.report.pareto_plot import pareto_plot

GRID = Grid("model", (("steps", (2, 4)), ("mode", ("rate", "exact"))))


class CrashError(RuntimeError):
    pass


def test_every_point_in_grid_order() -> None:
    seen: list[tuple[int, int]] = []
    points = sweep(GRID, score, progress=lambda done, total, _: seen.append((done, total)))
    assert [point.settings for point in points] == list(GRID.points())
    assert points[0].scores == {"psnr_db": 22.0, "energy_j": 4.0}
    assert [point.error for point in points] == [None, None, "ConversionError: too long", None]
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.extended
@pytest.mark.filterwarnings("default")
def test_two_processes_find_the_same(tmp_path: Path) -> None:
    assert sweep(GRID, score, workers=2, journal=tmp_path / "sweep.jsonl") == sweep(GRID, score)


def test_a_crashed_sweep_resumes(tmp_path: Path) -> None:
    journal = tmp_path / "sweep.jsonl"
    calls: list[Settings] = []

    def crashing(settings: Settings) -> dict[str, float]:
        calls.append(settings)
        if len(calls) == 2:
            raise CrashError
        return score(settings)

    with pytest.raises(CrashError):
        sweep(GRID, crashing, journal=journal)
    with journal.open("a") as file:
        file.write('{"settings": {"st')
    assert sweep(GRID, crashing, journal=journal) == sweep(GRID, score)
    assert [dict(settings) for settings in calls] == [GRID.points()[index] for index in (0, 1, 1, 2, 3)]
    before = len(calls)
    sweep(GRID, crashing, journal=journal)
    assert len(calls) == before + 1  # the point that failed is tried again


def test_an_axis_may_grow(tmp_path: Path) -> None:
    journal = tmp_path / "sweep.jsonl"
    sweep(Grid("model", (("steps", (2,)), ("mode", ("exact",)))), score, journal=journal)
    calls: list[Settings] = []

    def counted(settings: Settings) -> dict[str, float]:
        calls.append(settings)
        return score(settings)

    sweep(Grid("model", (("steps", (2, 4)), ("mode", ("exact",)))), counted, journal=journal)
    assert calls == [{"steps": 4, "mode": "exact"}]


def test_journals_of_other_sweeps_are_refused(tmp_path: Path) -> None:
    journal = tmp_path / "sweep.jsonl"
    sweep(GRID, score, journal=journal)
    with pytest.raises(ReportError, match=r"belongs to another sweep \('model'\); choose another file or remove it$"):
        sweep(Grid("other", GRID.axes), score, journal=journal)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello\n", r"not a sweep journal \(JSONDecodeError\)"),
        (b"hello", r"not a sweep journal \(JSONDecodeError\)"),
        (b"\n", r"not a sweep journal \(JSONDecodeError\)"),
        (b"{}\nhello", r"not a sweep journal \(KeyError\)"),
        (b"[1, 2]\nhello", r"not a sweep journal \(TypeError\)"),
        (b"\xff\xfe\n", "cannot be read: not UTF-8"),
    ],
)
def test_other_files_are_refused_and_stay_as_they_are(tmp_path: Path, content: bytes, reason: str) -> None:
    journal = tmp_path / "sweep.jsonl"
    journal.write_bytes(content)
    with pytest.raises(ReportError, match=rf"/sweep.jsonl: {reason}; choose another file$"):
        sweep(GRID, score, journal=journal)
    assert journal.read_bytes() == content
    with pytest.raises(ReportError, match=r"cannot be read: Is a directory; choose another file$"):
        sweep(GRID, score, journal=tmp_path)


def test_a_journal_cut_anywhere_is_repaired(tmp_path: Path) -> None:
    """A crash while a line is written: the journal ends after any of its bytes."""
    journal = tmp_path / "sweep.jsonl"
    points = sweep(GRID, score, journal=journal)
    whole = journal.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == 5
    for length in sorted({0, 1, *(max(end + offset, 0) for end in ends for offset in (-40, -1, 0, 1, 2))}):
        journal.write_bytes(whole[:length])
        assert sweep(GRID, score, journal=journal) == points
        assert journal.read_bytes().splitlines()[0] == whole.splitlines()[0]
        assert sorted(set(journal.read_bytes().splitlines())) == sorted(set(whole.splitlines()))


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    journal = tmp_path / "sweep.jsonl"
    sweep(GRID, score, journal=journal)
    cut = journal.read_bytes()[:-5]
    journal.write_bytes(cut)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ReportError, match=r"/sweep.jsonl: cannot be written: No space left on device$"):
        sweep(GRID, score, journal=journal)
    assert journal.read_bytes() == cut
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.jsonl"]


def test_the_front_keeps_what_nothing_beats() -> None:
    points = [
        Point({"a": 1}, {"psnr_db": 30.0, "energy_j": 4.0}),
        Point({"a": 2}, {"psnr_db": 29.0, "energy_j": 1.0}),
        Point({"a": 3}, {"psnr_db": 29.0, "energy_j": 2.0}),
        Point({"a": 4}, {"psnr_db": 31.0, "energy_j": 4.0}),
        Point({"a": 5}, {}, "failed"),
        Point({"a": 6}, {"psnr_db": 29.0, "energy_j": 1.0}),
    ]
    front = select_pareto_front(points, {"psnr_db": "max", "energy_j": "min"})
    assert [point.settings["a"] for point in front] == [2, 4, 6]
    with pytest.raises(ReportError, match=r"scores do not include cores; available are psnr_db, energy_j$"):
        select_pareto_front(points, {"cores": "min"})
    with pytest.raises(ReportError, match=r"at least one goal$"):
        select_pareto_front(points, {})


def test_axes() -> None:
    assert parse_axis("steps=8,16") == ("steps", (8, 16))
    assert parse_axis("y=-3,1e-3,.5,2.,e5") == ("y", (-3, 1e-3, 0.5, 2.0, "e5"))
    assert parse_axis("x = 0.5, true,rate") == ("x", (0.5, True, "rate"))
    with pytest.raises(ReportError, match=r"axis 'steps' is not of the form name=value,value$"):
        parse_axis("steps")
    with pytest.raises(ReportError, match=r"two axes share a name: a, a$"):
        Grid("g", (("a", (1,)), ("a", (2,))))
    with pytest.raises(ReportError, match=r"every axis needs values without duplicates: a$"):
        Grid("g", (("a", (1, 1)),))
    with pytest.raises(BackendError, match=r"0 workers; at least 1 is needed$"):
        sweep(GRID, score, workers=0)


def test_table_and_plot() -> None:
    points = sweep(GRID, score)
    console = Console(file=io.StringIO(), width=160)
    console.print(sweep_table(points, {"energy_j": "min", "psnr_db": "max"}))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "ConversionError: too long" in text
    assert text.count("│   * ") == 2
    picture = pareto_plot(points, "energy_j", "psnr_db")
    ET.fromstring(picture)
    assert picture.count("<circle") == 3
    assert picture.count('r="7"') == 2
    with pytest.raises(ReportError, match=r"^no point of the sweep has scores; there is nothing to plot$"):
        pareto_plot([Point({"a": 1}, {}, "failed")], "energy_j", "psnr_db")
