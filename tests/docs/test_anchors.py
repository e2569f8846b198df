"""Published figures of chips against the estimator: enough of them, most inside their bands, the others explained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from generate.anchors import ANCHORS, PAGE, Anchor, page

from snn_deploy.targets.load import load_target

PRICED = [anchor for anchor in ANCHORS if anchor.is_priced]


def test_the_table_on_the_page_is_current() -> None:
    """Rewritten with ``make anchors``."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_most_times_and_energies_are_inside_and_the_others_are_explained() -> None:
    assert len(ANCHORS) >= 8
    assert sum(anchor.is_inside for anchor in PRICED) >= 0.8 * len(PRICED)
    assert all(anchor.is_inside for anchor in ANCHORS if not anchor.is_priced)
    for anchor in ANCHORS:
        assert anchor.is_inside == (anchor.remark == ""), anchor


@pytest.mark.parametrize(
    "anchor", [anchor for anchor in PRICED if anchor.is_inside], ids=lambda anchor: f"{anchor.net}, {anchor.quantity}"
)
def test_a_coefficient_three_times_as_large_is_noticed(anchor: Anchor) -> None:
    target = load_target(anchor.target)
    tripled = {key: replace(figure, value=3 * figure.value) for key, figure in target.figures.items()}
    found = anchor.predict(replace(target, figures=tripled))
    assert not found.low <= anchor.measured <= found.high


def test_rows_that_were_fitted_are_predicted_without_themselves() -> None:
    fitted = [anchor for anchor in ANCHORS if anchor.fitted is not None]
    assert {anchor.quantity for anchor in fitted} >= {"mean step", "static power", "empty step"}
    for anchor in fitted:
        alone = anchor.without_itself
        assert alone is not None
        assert 0.5 < alone.value / anchor.measured < 2
