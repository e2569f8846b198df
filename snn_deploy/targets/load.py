"""Loads device descriptions: limits, energy and time coefficients, each with source, date, basis and error band.

A target file::

    name = "mychip"
    title = "My chip, revision 2"
    kind = "chip"                 # or "arithmetic", "formula"; see below
    inherit = "loihi2"            # optional: numbers missing here are taken from there
    inherited_band = [0.5, 2.0]   # optional: those numbers are of another device; marked "inherited", with this band
    notes = ["one line printed beside every estimate"]   # replace those of the parent

    [sources.lab]
    title = "our bench, 25 C, 0.8 V"
    date = "2026-05-04"

    [energy]
    synapse_pj = { value = 12.0, source = "lab", basis = "measured", band = [0.9, 1.1] }

    [[boards]]
    name = "my board"
    chips = 4
    source = "lab"

The unit is the end of the key. ``band`` holds the factors by which the true value may be smaller and larger. Kinds:
``chip`` has coefficients of synapses, neurons, messages and leakage; ``arithmetic`` of additions and multiplications only;
``formula`` is an equation from a paper. An unknown key is an error, and so is a missing coefficient that an estimate needs:
it is never zero. A ``[measured]`` section contains measurements of one network on the device, which an estimate then uses
instead of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

from snn_deploy.errors import TargetError
from snn_deploy.files import MAX_TEXT, read_limited
from snn_deploy.targets.device import KEYS, Basis, Board, Figure, Kind, Source, Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Board", "Figure", "Source", "Target", "load_target", "target_names"]

Document: TypeAlias = dict[str, Any]

_HEAD = {"name", "title", "kind", "inherit", "inherited_band", "notes", "sources", "boards"}


def target_names() -> tuple[str, ...]:
    """Names of the packaged targets, sorted."""
    folder = files("snn_deploy") / "targets"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_target(name_or_path: str | Path) -> Target:
    """A packaged target by name, or a file: anything with a directory or ending in ``.toml``."""
    return _load(str(name_or_path), ())


def _load(name_or_path: str, above: tuple[str, ...]) -> Target:
    if name_or_path in above:
        raise TargetError(f"target {name_or_path}: inherits from itself through {' -> '.join((*above, name_or_path))}")
    where, text = _read(name_or_path)
    try:
        document: Document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TargetError(f"target {where}: not TOML: {error}") from error
    parent = None
    if "inherit" in document:
        parent = _load(_string(document, "inherit", where), (*above, name_or_path))
    return _build(document, parent, where)


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in target_names():
        return name_or_path, (files("snn_deploy") / "targets" / f"{name_or_path}.toml").read_text("utf-8")
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise TargetError(
            f"unknown target {name_or_path!r}; available: {', '.join(target_names())}, or give a .toml file"
        )
    try:
        return str(path), read_limited(path, TargetError, MAX_TEXT).decode()
    except UnicodeDecodeError as error:
        raise TargetError(f"target {path}: cannot be read: {error}") from error


def _build(document: Document, parent: Target | None, where: str) -> Target:
    unknown = sorted(set(document) - _HEAD - set(KEYS))
    if unknown:
        raise TargetError(
            f"target {where}: unknown key(s) {', '.join(unknown)}; known are {', '.join(sorted(_HEAD | set(KEYS)))}"
        )
    sources = _sources(document, where)
    figures = _inherited(document, parent, where)
    for section, keys in KEYS.items():
        for key, entry in _table(document, section, where).items():
            if key not in keys:
                raise TargetError(f"target {where}: unknown key {section}.{key}; known are {', '.join(keys)}")
            figures[f"{section}.{key}"] = _figure(f"{section}.{key}", entry, sources, where)
    kind = document.get("kind", parent.kind if parent else None)
    if kind not in get_args(Kind):
        raise TargetError(f"target {where}: unknown kind {kind!r}; allowed: {', '.join(get_args(Kind))}")
    boards = tuple(_board(board, sources, where) for board in document.get("boards", []))
    return Target(
        name=_string(document, "name", where),
        title=_string(document, "title", where),
        kind=cast(Kind, kind),
        figures=figures,
        boards=boards or (parent.boards if parent and "inherited_band" not in document else ()),
        notes=_notes(document, parent, where),
        inherits=(parent.name, *parent.inherits) if parent else (),
    )


def _notes(document: Document, parent: Target | None, where: str) -> tuple[str, ...]:
    """The file's own notes, else its parent's."""
    notes = document.get("notes", list(parent.notes) if parent else [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise TargetError(f"target {where}: notes must be a list of strings")
    return tuple(notes)


def _inherited(document: Document, parent: Target | None, where: str) -> dict[str, Figure]:
    """The parent's numbers; with ``inherited_band`` they are marked as another device's."""
    if parent is None:
        if "inherited_band" in document:
            raise TargetError(f"target {where}: inherited_band without inherit")
        return {}
    if "inherited_band" not in document:
        return dict(parent.figures)
    band = _band(document["inherited_band"], "inherited_band", where)
    return {
        key: replace(figure, basis="inherited", band=band, note="; ".join(filter(None, (origin, figure.note))))
        for key, figure in parent.figures.items()
        for origin in [f"of {parent.name}, there {figure.basis}"]
    }


def _table(document: Document, key: str, where: str) -> Document:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise TargetError(f"target {where}: {key} must be a table")
    return table


def _string(record: Document, key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise TargetError(f"target {where}: {key} must be a non-empty string, not {value!r}")
    return value


def _sources(document: Document, where: str) -> dict[str, Source]:
    table = _table(document, "sources", where)
    for name, entry in table.items():
        if not isinstance(entry, dict) or set(entry) != {"title", "date"}:
            raise TargetError(f"target {where}: sources.{name} needs title and date, nothing else")
    return {
        name: Source(_string(entry, "title", where), _string(entry, "date", where)) for name, entry in table.items()
    }


def _source(record: Document, key: str, sources: Mapping[str, Source], where: str) -> Source:
    name = record.get("source")
    if name not in sources:
        raise TargetError(
            f"target {where}: {key} names source {name!r}, which is not among [sources]: {', '.join(sources)}"
        )
    return sources[str(name)]


def _band(band: object, key: str, where: str) -> tuple[float, float]:
    if (
        not isinstance(band, list)
        or len(band) != 2
        or not all(isinstance(factor, (int, float)) for factor in band)
        or not 0 <= band[0] <= 1 <= band[1] < float("inf")
    ):
        raise TargetError(f"target {where}: {key}: band {band!r} must be two factors around 1, such as [0.8, 1.2]")
    return float(band[0]), float(band[1])


def _figure(key: str, entry: object, sources: Mapping[str, Source], where: str) -> Figure:
    if not isinstance(entry, dict) or not {"value", "source", "basis"} <= set(entry) <= {
        "value", "source", "basis", "band", "note"
    }:  # fmt: skip
        raise TargetError(f"target {where}: {key} must be a table with value, source, basis, and perhaps band and note")
    value, basis = entry["value"], entry["basis"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise TargetError(f"target {where}: {key}: value {value!r} is not a finite number of at least 0")
    counted = key.split(".")[0] in ("limits", "encoding", "mesh")
    if counted and int(value) != value:
        raise TargetError(f"target {where}: {key}: value {value!r} must be an integer")
    if basis not in get_args(Basis):
        raise TargetError(f"target {where}: {key}: unknown basis {basis!r}; allowed: {', '.join(get_args(Basis))}")
    if "band" not in entry and not counted:
        raise TargetError(f"target {where}: {key}: a coefficient needs its error band, such as [0.8, 1.2]")
    band = _band(entry.get("band", [1.0, 1.0]), key, where)
    source = _source(entry, key, sources, where)
    return Figure(key, float(value), source, cast(Basis, basis), band, str(entry.get("note", "")))


def _board(entry: object, sources: Mapping[str, Source], where: str) -> Board:
    if not isinstance(entry, dict) or set(entry) != {"name", "chips", "source"}:
        raise TargetError(f"target {where}: each of [[boards]] needs name, chips and source, nothing else")
    chips = entry["chips"]
    if type(chips) is not int or chips < 1:
        raise TargetError(f"target {where}: board {entry['name']!r}: chips {chips!r} must be an integer of at least 1")
    return Board(_string(entry, "name", where), chips, _source(entry, "boards", sources, where))
