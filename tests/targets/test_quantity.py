"""Numbers as people read them: two digits, a prefix where there is a unit."""

import pytest

from snn_deploy.targets.quantity import Quantity, rounded


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.01536, "J", "15 mJ"),
        (0.59, "J", "590 mJ"),
        (0.996, "J", "1.0 J"),
        (0.0, "J", "0 J"),
        (2.3e-14, "J", "23 fJ"),
        (0.59, "", "0.59"),
        (0.996, "", "1.0"),
        (0.0123, "", "0.012"),
        (2.13, "", "2.1"),
        (1234.0, "", "1.2 k"),
    ],
)
def test_two_digits(value: float, unit: str, text: str) -> None:
    assert rounded(value, unit) == text


def test_a_rate_below_one_has_no_prefix() -> None:
    assert Quantity(0.59, 0.5, 1.2).text("") == "0.59 (0.5 to 1.2)"
