"""For mkdocstrings: docstrings with links instead of Sphinx roles. A target that does not exist fails the build."""

from __future__ import annotations

import builtins
import logging
import sys
from typing import Any

import griffe
from generate.roles import is_ours, to_markdown
from latex2mathml.converter import convert

LOGGER = logging.getLogger("mkdocs.plugins.roles")
"""Warnings of loggers below ``mkdocs`` fail a strict build."""

FOREIGN = {"numpy", "rich", *sys.stdlib_module_names, *dir(builtins)}
"""First names of targets outside the project, which stay code: their documentation is not read."""


class SphinxRoles(griffe.Extension):
    """Rewrites every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Each docstring, each target resolved where it is written."""
        _rewrite(pkg)


def _rewrite(where: griffe.Object) -> None:
    if where.docstring is not None:
        scope = where if isinstance(where, griffe.Module | griffe.Class) else where.parent or where
        where.docstring.value = to_markdown(where.docstring.value, lambda target: _full_path(scope, target), _mathml)
    for member in where.members.values():
        if not member.is_alias:
            _rewrite(member)  # type: ignore[arg-type]


def _full_path(scope: griffe.Object, target: str) -> str:
    """``target`` as ``scope`` sees it, by its full path. Autorefs then fails where that path has no place on a page."""
    first, dot, rest = target.partition(".")
    if is_ours(target):
        return target
    if isinstance(scope, griffe.Class) and first in scope.inherited_members:
        return scope.inherited_members[first].target_path + dot + rest
    try:
        return scope.resolve(first) + dot + rest
    except griffe.NameResolutionError:
        if first not in FOREIGN:
            LOGGER.warning("%s: its docstring refers to %r, which it neither defines nor imports", scope.path, target)
        return target


def _mathml(latex: str, is_block: bool) -> str:
    if not is_block:
        return str(convert(latex))
    rows = (row.replace("&", "") for row in latex.split("\\\\"))
    return "<br>".join(convert(row.strip(), display="block") for row in rows)
