"""The history of benchmarks: a line a run, and what the page shows of them."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="benchmarks are drawn by matplotlib")
PROGRAM = Path(__file__).with_name("benchmarks") / "history.py"


@pytest.fixture(scope="module")
def history() -> Any:
    spec = importlib.util.spec_from_file_location("bench_history", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_history"] = module
    spec.loader.exec_module(module)
    return module


def test_a_line_for_every_run_is_drawn_and_tabulated(history: Any, tmp_path: Path) -> None:
    rows = [("medium", "exact, N = 127", "automatic", 0.4321, 0.4321), ("medium", "rate, T = 4", "f32", 2.0, 0.5)]
    run = history.BenchRun("2026-11-30", "abc1234", "a CPU", 2, "avx2", 0.5, {"numpy": "1"}, history.figures_of(rows))
    assert run.figures == {"medium, exact, N = 127, automatic": 0.4321, "medium, rate, T = 4, f32": 2.0}
    record = tmp_path / "performance.jsonl"
    history.append_run(record, run)
    history.append_run(record, replace(run, commit="", instruction_set="avx512vnni", figures={}))
    runs = history.read_runs(record)
    assert runs[0] == run
    lines = history.tabulate(runs).splitlines()
    assert lines[2] == "| 2026-11-30 | abc1234 | avx2, 2 cores | 0.5 | - | 0.432 | - | - |"
    assert lines[3].startswith("| 2026-11-30 | - | avx512vnni, 2 cores | 0.5 | - | - |")
    history.draw(runs, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{history.BEGIN}\nold\n{history.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        history.update_page(page, history.tabulate(runs), "../img/p.png")
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{history.BEGIN}\n\n| date |")
    assert text.endswith(f"(../img/p.png)\n\n{history.END}\nafter\n")
    assert "old" not in text


def test_a_page_without_marks_is_left_alone(history: Any, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match="between which the history stands; put them in$"):
        history.update_page(page, "table", "p.png")
    assert page.read_text(encoding="utf-8") == "text"


def test_the_commit_of_no_repository_has_no_name(history: Any, tmp_path: Path) -> None:
    assert history.name_commit(tmp_path) == ""
