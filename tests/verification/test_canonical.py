"""Canonical JSON: one spelling of every value, the same as other implementations of RFC 8785."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.verification.certificate import canonical
from snn_deploy.verification.comparison.verdict_record import Json

SAMPLES = {
    "0000000000000000": "0", "8000000000000000": "0", "0000000000000001": "5e-324", "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308", "4340000000000000": "9007199254740992",
    "4430000000000000": "295147905179352830000", "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23", "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000", "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7", "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555555": "333333333.3333333", "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}  # fmt: skip
"""RFC 8785, appendix B: IEEE 754 bits and their text."""


@pytest.mark.parametrize(("bits", "text"), SAMPLES.items())
def test_floats_are_those_of_the_standard(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical.to_bytes(value).decode() == text
    assert float(canonical.from_bytes(text.encode())) == value


def test_the_example_of_the_standard() -> None:
    """RFC 8785, sections 3.2.2 and 3.2.3: numbers, escapes, and keys sorted by UTF-16."""
    values = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical.to_bytes(values).decode() == (  # type: ignore[arg-type]
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    order = list(json.loads(canonical.to_bytes(dict.fromkeys(keys))))
    assert order == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_it_agrees_with_another_implementation(value: Json) -> None:
    rfc8785 = pytest.importorskip("rfc8785", reason="needs the extra dev (rfc8785)")
    data = canonical.to_bytes(value)
    assert data == rfc8785.dumps(value)
    assert canonical.to_bytes(canonical.from_bytes(data)) == data


def test_large_integers_have_all_digits() -> None:
    for value in (2**63 - 1, -(2**63), 2**53 + 1):
        assert canonical.to_bytes(value) == str(value).encode()
        assert canonical.from_bytes(str(value).encode()) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\ud800": 1}, {1, 2}, b"x"])
def test_what_has_no_canonical_form_is_refused(value: Json) -> None:
    # Python 3.12 adds which codec failed as a note, in a line of its own
    with pytest.raises(ValueError, match=r"(is not a JSON value|surrogates not allowed)(\n|$)"):
        canonical.to_bytes(value)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"1 ", b" 1", b"1\n", b"01", b"1.0", b"1e1", b"-0", b"+1", b"NaN", b"Infinity", b"-Infinity", b"1e999"),
        *(b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'{"a": 1}', b"[1, 2]", b'"\\u0061"', b'"\\/"', b'"\xff"', b'"\\ud800"'),
        *(b"\xef\xbb\xbf1", "1".encode("utf-16"), b"1" * 41, b"[" * 10**5, b"[" * 10**5 + b"]" * 10**5, b"1]", b"\0"),
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".$"):
        canonical.from_bytes(data)
