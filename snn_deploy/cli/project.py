"""``snn-deploy.toml``: options of each verb for runs that are repeated; the command line has the last word.

::

    [convert]
    model = "unet.onnx"
    out = "out/unet.snn"
    levels = 127

    [verify]
    network = "out/unet.snn"
    input = "photo.png"
    backends = "reference,cpu"

A table is a verb, a key one of its options without the dashes, or one of its positional arguments. Unknown verbs and keys
are refused. A file serves every mode of a verb: an option that has no effect in the mode chosen is left out, and a note on
standard error says so (on the command line it is refused). Paths are relative to the working directory, as on the command
line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snn_deploy.errors import ProjectError
from snn_deploy.files import MAX_TEXT, read_limited

NAME = "snn-deploy.toml"
"""File that is read where the working directory has one."""

NOT_HERE = frozenset({"help", "project"})
"""Options that a file cannot set."""


@dataclass(frozen=True)
class CommandLine:
    """Words of the command line: those up to the verb, what the project file at ``path`` adds, and those after it."""

    head: tuple[str, ...]
    added: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def words(self) -> list[str]:
        """All of them, the command line's own last, so that they prevail."""
        return [*self.head, *self.added, *self.rest]

    def without(self, options: Collection[str]) -> CommandLine:
        """The same, but for ``options`` (with their dashes) of the project file."""
        added = tuple(word for word in self.added if word.partition("=")[0] not in options)
        return replace(self, added=added)


def apply(parser: argparse.ArgumentParser, given: Sequence[str]) -> CommandLine:
    """The command line with what the project file adds to it."""
    verbs = verbs_of(parser)
    position = next((index for index, word in enumerate(given) if word in verbs), None)
    path = find_file(given)
    if position is None or path is None:
        return CommandLine(tuple(given))
    document = _read(path)
    unknown = sorted(set(document) - set(verbs))
    if unknown:
        raise ProjectError(f"{path}: {unknown[0]!r} is not a verb; the verbs are {', '.join(verbs)}")
    for verb, table in document.items():
        if not isinstance(table, dict):
            raise ProjectError(f"{path}: {verb} must be a table: [{verb}]")
        _check(path, verb, table, verbs[verb])
    verb = given[position]
    head, rest = tuple(given[: position + 1]), tuple(given[position + 1 :])
    if verb not in document:
        return CommandLine(head, (), rest)
    return CommandLine(head, tuple(_words(document[verb], verbs[verb])), rest, path)


def option(given: Sequence[str], name: str) -> str | None:
    """Value of option ``name`` on a command line that is not parsed yet."""
    for index, word in enumerate(given):
        if word == name:
            return given[index + 1] if index + 1 < len(given) else None
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of every verb."""
    for action in parser._actions:  # argparse offers no public way to its subparsers
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def find_file(given: Sequence[str]) -> Path | None:
    """The file that ``--project`` names, or the working directory's."""
    named = option(given, "--project")
    if named is not None:
        return Path(named)
    return Path(NAME) if Path(NAME).is_file() else None


def _read(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(read_limited(path, ProjectError, MAX_TEXT).decode())
    except (ValueError, RecursionError) as error:  # bad TOML and bad UTF-8 alike
        raise ProjectError(f"{path}: not a TOML file: {error}") from error


def _actions(verb: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Options and positional arguments by the key that a file uses."""
    return {
        _key(action): action for action in verb._actions if action.dest not in NOT_HERE
    }  # no public way either, see above


def _key(action: argparse.Action) -> str:
    long = next((option for option in action.option_strings if option.startswith("--")), action.dest)
    return long.lstrip("-").replace("_", "-")


def _check(path: Path, verb: str, table: dict[str, Any], parser: argparse.ArgumentParser) -> None:
    known = _actions(parser)
    for key, value in table.items():
        if key not in known:
            raise ProjectError(
                f"{path}: [{verb}] {key!r} is not an option of this verb; its options are {', '.join(known)}"
            )
        flag = known[key].nargs == 0
        if flag and not isinstance(value, bool):
            raise ProjectError(f"{path}: [{verb}] {key} must be true or false, not {value!r}")
        if not flag and (isinstance(value, bool) or not isinstance(value, str | int | float)):
            raise ProjectError(f"{path}: [{verb}] {key} must be a string or a number, not {value!r}")


def _words(table: dict[str, Any], parser: argparse.ArgumentParser) -> list[str]:
    """The options of ``table`` as words; its positional arguments become defaults of ``parser``."""
    words: list[str] = []
    known = _actions(parser)
    for key, value in table.items():
        action = known[key]
        if not action.option_strings:
            action.nargs, action.required, action.default = "?", False, str(value)
        elif action.nargs == 0:
            words.extend([action.option_strings[-1]] if value else [])
        else:
            words.append(f"{action.option_strings[-1]}={value}")
    return words
