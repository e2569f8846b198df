"""Short names of populations for people: ONNX repeats every scope, ``/encoders.0/encoders.0.1/Relu``.

A scope that the next one repeats is left out, and of what is still too long only the end is kept. Names stay
distinct: where shortening would make two the same, they are shown whole. Machines get the full names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

WIDTH = 28
"""Longest label, in characters."""


def labels(names: Iterable[str], width: int = WIDTH) -> dict[str, str]:
    """A short, distinct label for each of ``names``: ``encoders.0.1/Relu`` for the one above."""
    unique = tuple(dict.fromkeys(names))
    without = _distinct({name: _without_repeats(name) for name in unique})
    return _distinct({name: _tail(label, width) for name, label in without.items()})


def _without_repeats(name: str) -> str:
    parts = [part for part in name.split("/") if part]
    scopes = [
        part
        for part, following in zip(parts, [*parts[1:], ""], strict=False)
        if following != part and not following.startswith(f"{part}.")
    ]
    return "/".join(scopes) or name


def _tail(label: str, width: int) -> str:
    if len(label) <= width:
        return label
    end = label[-(width - 1) :]
    return f"…{end[end.find('/') :] if '/' in end[: width // 2] else end}"


def _distinct(shortened: dict[str, str]) -> dict[str, str]:
    """``shortened``, but whole names where two would look the same; whole names never do, so this ends."""
    while True:
        times = Counter(shortened.values())
        whole = {name: label if times[label] == 1 else name for name, label in shortened.items()}
        if whole == shortened:
            return whole
        shortened = whole
