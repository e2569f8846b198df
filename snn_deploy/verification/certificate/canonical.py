"""Canonical JSON (RFC 8785): equal values have equal bytes, on every machine.

Keys are sorted by their UTF-16 code units, nothing stands between tokens, text is UTF-8, and floats are written as
ECMAScript writes them. One extension: integers have all their digits, however large, since membranes have 64 bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from snn_deploy.verification.comparison.verdict_record import Json

MAX_DIGITS = 40
"""Most characters of a number that is read; int64 needs 20, a float 25."""


_LITERALS = {None: "null", True: "true", False: "false"}


def to_bytes(value: Json | Mapping[str, Json]) -> bytes:
    """The canonical bytes; :class:`ValueError` for NaN, infinity and halves of surrogate pairs."""
    return _text(value).encode()


def from_bytes(data: bytes) -> Any:
    """The value of which ``data`` are the canonical bytes; :class:`ValueError` for any other bytes.

    This excludes repeated keys, other spellings of a text or number, and anything before or after the value.
    """
    try:
        value = json.loads(data, parse_int=_integer, parse_float=_float, parse_constant=_integer)
        canonical = to_bytes(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if canonical != data:
        raise ValueError("not canonical: keys repeated or not sorted, spaces, or another spelling of a value")
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or isinstance(value, bool):
        return _LITERALS[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{_text(key)}:{_text(value[key])}" for key in keys) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, float):
        return _ecmascript(value)
    raise ValueError(f"{type(value).__name__} is not a JSON value")


def _ecmascript(value: float) -> str:
    """``value`` as ``Number::toString`` of ECMA-262 writes it; Python's ``repr`` finds the same shortest digits."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON value")
    if value == 0:
        return "0"  # also for -0.0
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(exponent or 0)  # value = 0.digits * 10**point
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}.{digits[1:]}".rstrip(".") + f"e{point - 1:+d}"
    return "-" + text if value < 0 else text


def _integer(text: str) -> int:
    """Also for NaN and Infinity, which :class:`int` refuses."""
    return int(_limited(text))


def _float(text: str) -> float:
    return float(_limited(text))


def _limited(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} characters; at most {MAX_DIGITS} are read")
    return text
