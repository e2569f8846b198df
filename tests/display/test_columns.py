"""Tables fit their terminal: numbers whole, names short and distinct, silent columns gone."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from rich.table import Table

from snn_deploy.display.columns import fit
from snn_deploy.display.labels import labels

NAMES = ["noisy", "/encoders.0/encoders.0.1/Relu", "/decoders.1/decoders.1.3/Relu", "total"]
NUMBERS = [1, 1_324_553, 40_353_038, 13_843_016_965]


def table(columns: int) -> Table:
    found = Table(title="activity")
    found.add_column("population")
    for index in range(columns):
        found.add_column(f"number {index}", justify="right")
    found.add_column("probed", justify="right")
    for name, number in zip(NAMES, NUMBERS, strict=True):
        found.add_row(name, *(f"{number + index:,}" for index in range(columns)), "100%")
    return found


def drawn(shown: RenderableType, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_numbers_are_never_cut(width: int) -> None:
    optional = [f"number {index}" for index in range(7, 1, -1)]
    text = drawn(fit(table(8), width, silent=("probed",), optional=optional), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "probed" not in text
    for number in NUMBERS:
        assert f"{number:,}" in text
        assert f"{number + 1:,}" in text


def test_what_is_missing_is_named() -> None:
    text = drawn(fit(table(8), 80, optional=["number 7", "number 6", "number 5", "number 4", "number 3"]), 80)
    assert "not shown in 80 columns: number 7, number 6" in text.replace("\n", " ")
    assert "not shown" not in drawn(fit(table(3), 160, optional=["number 2"]), 160)


def test_silent_columns_stay_once_they_say_something() -> None:
    found = table(1)
    found.add_row("/head/Conv", "3", "50%")
    assert "probed" in drawn(fit(found, 80, silent=("probed",)), 80)


def test_long_text_among_numbers_is_wrapped_instead_of_the_names() -> None:
    found = Table()
    found.add_column("what")
    for heading in ("per image", "value (band)"):
        found.add_column(heading, justify="right")
    found.add_row("inactive neuron updates", "823,965,883", "120 mJ (59 mJ to 180 mJ)")
    found.add_row("step", "busiest core: /decoders.0/decoders.0.1/Relu", "790 us (530 us to 960 us)")
    lines = drawn(fit(found, 80), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("inactive neuron updates" in line and "823,965,883" in line and "180 mJ)" in line for line in lines)


def test_empty_tables_and_headings_are_drawn() -> None:
    found = Table()
    found.add_column("", justify="right")
    found.add_column("number of things", justify="right")
    assert "things" in drawn(fit(found, 80), 80)


def test_sections_and_rows_survive() -> None:
    found = table(1)
    found.add_section()
    found.add_row("sum", "9", "100%")
    drawn_table = fit(found, 80)
    assert isinstance(drawn_table, Table)
    assert [row.end_section for row in drawn_table.rows] == [False, False, False, True, False]


def test_labels_drop_what_exporters_repeat() -> None:
    short = labels(["/encoders.0/encoders.0.1/Relu", "/pool/AveragePool", "/Sub", "noisy", "/a/b/c/Relu"])
    assert list(short.values()) == ["encoders.0.1/Relu", "pool/AveragePool", "Sub", "noisy", "a/b/c/Relu"]


def test_labels_that_would_collide_stay_whole() -> None:
    names = ["/a/a.1/Relu", "/a.1/Relu"]
    assert labels(names) == {name: name for name in names}


@given(st.lists(st.text("ab./0", max_size=60), max_size=12))
def test_labels_are_distinct(names: list[str]) -> None:
    found = labels(names)
    assert set(found) == set(names)
    assert len(set(found.values())) == len(found)
