"""Mutations of bytes and of trees of values: what a careless or hostile hand does to a file."""

from __future__ import annotations

import re
from random import Random
from typing import Any

EXTREMES: tuple[int, ...] = (
    0,
    1,
    -1,
    2,
    3,
    127,
    128,
    255,
    256,
    -128,
    2**15,
    2**16 - 1,
    2**24,
    2**31 - 1,
    2**31,
    -(2**31),
)
EXTREMES += (2**32, 2**53, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 10**30)
"""Integers at which a format, a type or a limit ends."""

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "\x00",
    "/",
    "..",
    "../../x",
    "[/]",
    "[bold]x",
    "\x1b[31m",
    "a\nb",
    "é",
    "\ud800",
    "x" * 300,
    ":x:",
    "%s",
)
TEXTS += (
    "-0",
    "1e999",
    "nan",
    "inf",
    "1_000",
    "٣",
    "0x10",
    "true",
    "null",
    "{}",
    "input",
    "__class__",
    "\u202e",
    "\ufffe",
)
"""Strings that some reader takes for something else."""

FLOATS = (0.0, -0.0, 1e-320, 1e-38, 1e38, 1e308, float("inf"), float("-inf"), float("nan"), 0.5, -1.5)

NUMBER = re.compile(rb"-?\d+(\.\d+)?")


def change_bytes(data: bytes, others: list[bytes], random: Random) -> bytes:
    """``data`` with one to four bytes or stretches flipped, cut, doubled, moved, replaced or taken from ``others``."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        place, length = random.randrange(len(changed) + 1), random.choice((1, 2, 4, 8, 40, 400))
        kind = random.randrange(9)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << random.randrange(8)
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = changed[place : place + length] * random.choice((1, 2, 50))
        elif kind == 3:
            changed[place : place + length] = random.randbytes(length)
        elif kind == 4 and not random.randrange(4):
            del changed[place:]
        elif kind == 5:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            changed[place : place + random.choice((0, length))] = other[start : start + length]
        elif kind == 6:
            width = random.choice((1, 2, 4, 8))
            value = random.choice(EXTREMES) % 2 ** (8 * width)
            changed[place : place + width] = value.to_bytes(width, random.choice(("little", "big")))
        elif kind == 7:
            changed = bytearray(change_text(bytes(changed), random))
        elif place < len(changed):
            changed[place] = random.choice(b"\x00\x01\x7f\x80\xff \n\"'[]{},:.=/-")
    return bytes(changed)


def change_text(data: bytes, random: Random) -> bytes:
    """``data`` with one of the numbers in it replaced by an extreme one, or a word or line by something else."""
    numbers = list(NUMBER.finditer(data))
    if numbers and random.randrange(3):
        found = random.choice(numbers)
        value = random.choice((str(random.choice(EXTREMES)), str(random.choice(FLOATS)), random.choice(TEXTS)))
        return data[: found.start()] + value.encode("utf-8", "surrogatepass") + data[found.end() :]
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, random.choice(lines))
    elif kind == 2:
        lines[place] = lines[place] * random.choice((2, 30))
    else:
        words = lines[place].split(b" ")
        words[random.randrange(len(words))] = random.choice(TEXTS).encode("utf-8", "surrogatepass")
        lines[place] = b" ".join(words)
    return b"\n".join(lines)


def change_tree(value: Any, random: Random) -> Any:
    """``value``, of dictionaries, lists and scalars, with one to three leaves or branches changed."""
    for _ in range(random.choice((1, 1, 2, 3))):
        value = _change_one(value, random)
    return value


def _change_one(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.randrange(12):
        key = random.choice(list(value))
        return {other: _change_one(held, random) if other == key else held for other, held in value.items()}
    if isinstance(value, list) and value and random.randrange(12):
        place = random.randrange(len(value))
        return [_change_one(held, random) if index == place else held for index, held in enumerate(value)]
    return _replaced(value, random)


def _replaced(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and random.randrange(3):
        kept = [item for item in value.items() if random.randrange(4)]
        return dict(kept) | ({random.choice(TEXTS): random.choice(EXTREMES)} if random.randrange(2) else {})
    if isinstance(value, list) and random.randrange(3):
        return random.choice((value * 2, value[::-1], value[1:], value[:1], value * 200))
    if isinstance(value, int) and random.randrange(3):
        return random.choice((*EXTREMES, value + 1, value - 1, -value, not value))
    if isinstance(value, float) and random.randrange(3):
        return random.choice(FLOATS)
    deep: Any = []
    for _ in range(random.choice((1, 5, 2000))):
        deep = [deep]
    return random.choice(
        (None, True, random.choice(EXTREMES), random.choice(FLOATS), random.choice(TEXTS), [], {}, deep)
    )
