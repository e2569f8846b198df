"""The estimate that is said before work that takes longer than a minute."""

from __future__ import annotations

import pytest

from snn_deploy.display import console
from snn_deploy.display.remaining import Remaining


def clock(*seconds: float) -> Remaining:
    """A watch whose clock shows ``seconds`` in turn after it was started at 100."""
    times = iter((100.0, *(100.0 + each for each in seconds)))
    return Remaining(lambda: next(times))


@pytest.mark.parametrize(
    ("seconds", "done", "total", "said"),
    [
        (2.9, 1, 1000, None),  # the pace is not trusted yet
        (3.0, 1, 20, None),  # 57 seconds remain
        (3.0, 1, 21, "a minute"),  # 60 seconds
        (4.0, 2, 202, "7 minutes"),  # 400 seconds
        (60.0, 1, 120, "119 minutes"),
        (60.0, 1, 181, "3 hours"),
        (500.0, 0, 10, None),  # nothing is done yet
        (500.0, 10, 10, None),  # everything is
    ],
)
def test_what_remains_is_told_from_the_pace(seconds: float, done: int, total: int, said: str | None) -> None:
    found = clock(seconds).estimate(done, total)
    assert (found is None) == (said is None)
    assert said is None or f"about {said} " in str(found)


def test_it_is_said_once() -> None:
    watch = clock(1.0, 5.0, 10.0)
    assert [watch.estimate(part, 1000) is not None for part in (1, 2, 3)] == [False, True, False]


def test_preparations_are_no_part_of_the_pace() -> None:
    """20 s of calibration, reported as 0 of 100 parts, then a second for each part: at 4 of them 96 s are left, not 9 minutes."""
    watch = clock(20.0, 24.0)
    assert watch.estimate(0, 100) is None
    assert watch.estimate(4, 100) == "4 of 100 parts took 4 s; the rest takes about 2 minutes (Ctrl-C stops)"


def test_long_work_is_announced_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "Remaining", lambda: clock(4.0, 5.0))
    with console.progress("converting [a]") as report:
        report(1, 100)
        report(2, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["converting [a]: 1 of 100 parts took 4 s; the rest takes about 7 minutes (Ctrl-C stops)"]
