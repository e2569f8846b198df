r"""How text from files is shown: names of nodes, files and options are data, and never steer the terminal.

Control characters (escape sequences among them), invisible format characters such as bidirectional overrides, line
separators, and surrogates (bytes that are not UTF-8) are written as Python writes them: ``\x1b``, ``\u202e``, ``\n``.
JSON is not treated so: it has escapes of its own and gives names back unchanged.
"""

from __future__ import annotations

import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories whose characters are escaped."""


def visible(text: str, *, lines: bool = False) -> str:
    """``text`` with each hidden character escaped; line feeds stay where ``lines`` is set."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if _hidden(character, lines=lines) else character for character in text)


def one_line(text: str) -> str:
    """``text`` on one line: white space becomes single spaces, other hidden characters are escaped."""
    return visible(" ".join(text.split()))


def _hidden(character: str, *, lines: bool) -> bool:
    noncharacter = ord(character) & 0xFFFE == 0xFFFE  # U+FFFE, U+FFFF, ...: XML cannot hold them
    return (noncharacter or unicodedata.category(character) in HIDDEN) and not (lines and character == "\n")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
