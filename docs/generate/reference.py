"""The pages of the API reference: one for each package, with all its public modules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generate.roles import PACKAGES

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = (ROOT, ROOT / "backends")
FOLDER = "reference/python"

HEAD = """\
# API reference

All public modules, package by package, from their docstrings. The names that most programs need are on
[Python API](../api.md); what each package is for is on [Architecture](../../explanation/architecture.md).

"""


def packages() -> Iterator[tuple[str, tuple[str, ...]]]:
    """(package, its public modules) by their full names; a package is a folder with an ``__init__.py``."""
    for name in PACKAGES:
        top = next(source / name for source in SOURCES if (source / name).is_dir())
        for init in sorted(top.rglob("__init__.py")):
            folder = init.parent
            package = ".".join(folder.relative_to(top.parent).parts)
            modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
            yield package, tuple(f"{package}.{module}" for module in modules)


def page_of(package: str) -> str:
    """The page of ``package``, below ``docs``."""
    return f"{FOLDER}/{package}.md"


def pages() -> Iterator[tuple[str, str]]:
    """(path below ``docs``, Markdown) of every page."""
    index = HEAD
    for package, modules in packages():
        head = f"::: {package}\n    options: {{ heading_level: 1 }}\n\n"
        yield page_of(package), head + "".join(f"::: {module}\n\n" for module in modules)
        index += f"* [`{package}`]({package}.md)\n"
    yield f"{FOLDER}/index.md", index


def navigation() -> list[Any]:
    """The reference's part of the navigation: the core's packages first, then one group for each backend."""
    groups: dict[str, list[Any]] = {}
    for package, _ in packages():
        groups.setdefault(package.split(".")[0], []).append({package.partition(".")[2] or package: page_of(package)})
    return [f"{FOLDER}/index.md", *({name: entries} for name, entries in groups.items())]
