"""The table in the documentation is made by a program that cannot flatter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from generate.mutation_tables import BEGIN, END, main, markdown, table_rows

from snn_deploy.network import artifact
from snn_deploy.network.network import Output
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.diagnosis.faults import find_fault

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "verification.md"


def test_rows_add_up_and_every_visible_fault_is_located_and_named() -> None:
    network = random_unet("exact", 1, size=8)
    faults = [find_fault(name) for name in ("comparison", "wrap", "skip missing", "kernel flipped")]
    rows = table_rows(network, random_stimulus(network), faults)
    assert [row.fault for row in rows] == [fault.name for fault in faults]
    for row in rows:
        assert row.caught == tuple(sorted(row.caught))
        assert row.caught[Level.STATE] == row.mutants - row.invisible == row.located == row.named
    assert rows[1].mutants == rows[1].invisible, "nothing reaches 24 bits in exact mode"
    text = markdown(network, rows)
    assert text.splitlines()[-1].startswith(f"| all | {sum(row.mutants for row in rows)} |")


def test_the_page_is_rewritten_between_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nstale line\n{END}\nafter\n")
    whole = random_unet("exact", 1, size=4, width=1)
    small = replace(
        whole,
        populations=whole.populations[:2],
        connections=whole.connections[:1],
        outputs=(Output("out", "enc1/a"),),
    )
    artifact.save(small, tmp_path / "small.snn")
    assert main([str(page), str(tmp_path / "small.snn")]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n**random-exact-1** (exact mode, input 1x4x4, 1 step(s) a window)")
    assert text.endswith(f"{END}\nafter\n")
    assert "stale line" not in text
    assert main([str(tmp_path / "none.md"), str(tmp_path / "small.snn")]) == 3
    assert "none.md: cannot be rewritten" in capsys.readouterr().err
    assert main([str(page), str(tmp_path / "none.snn")]) == 3
    assert main([str(page)]) == 3


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not in this distribution")
def test_the_page_has_its_marks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)
