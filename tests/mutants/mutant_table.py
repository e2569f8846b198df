"""``table.toml`` and ``equivalent.toml``, read and checked."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@dataclass(frozen=True)
class Row:
    """A module and the tests that concern it."""

    path: str
    tests: tuple[str, ...]
    """Run against every mutant."""

    more: tuple[str, ...]
    """Run against those that survive the first: slower tests, and laws over the whole tree."""

    @property
    def neighbors(self) -> tuple[str, ...]:
        """All other tests of the module's package, for what survives both."""
        package = Path(self.path).parts[1]
        folder = f"backends/{package.removeprefix('snn_deploy_')}" if self.path.startswith("backends/") else package
        found = (path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests" / folder).rglob("test_*.py")))
        return tuple(path for path in found if path not in {*self.tests, *self.more})


@dataclass(frozen=True)
class Equivalent:
    """A change of a module that no test can see, and why."""

    path: str
    line: str
    mutant: str
    reason: str

    def matches(self, path: str, change: tuple[str, str]) -> bool:
        """Whether this is that change."""
        return (self.path, self.line, self.mutant) == (path, *change)


def read_table() -> list[Row]:
    """Every module, once, in the order of the file; ``*`` stands for the modules of the folder that no other group names."""
    table = tomllib.loads((HERE / "table.toml").read_text(encoding="utf-8"))
    named = {f"{group['folder']}/{module}" for group in table["group"] for module in group["modules"]}
    return [
        Row(path, _below_tests(group["tests"]), _below_tests([*group.get("more", []), *table["laws"]]))
        for group in table["group"]
        for module in group["modules"]
        for path in (_others(group["folder"], named) if module == "*" else [f"{group['folder']}/{module}"])
    ]


def _below_tests(names: list[str]) -> tuple[str, ...]:
    return tuple(f"tests/{name}" for name in names)


def _others(folder: str, named: set[str]) -> list[str]:
    paths = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.py"))
    return [path for path in paths if path not in named and not path.endswith("/__init__.py")]


def read_equivalents() -> list[Equivalent]:
    """Every mutant that computes the same."""
    entries = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8")).get("equivalent", [])
    return [Equivalent(**entry) for entry in entries]
