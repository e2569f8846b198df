"""Which rule imports which operator: keyed by its name and the operator set that last changed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError

Rule = Callable[[Call], Outcome]


@dataclass(frozen=True)
class Entry:
    """A rule and the since-versions it reads; its docstring's first line is the row in ``docs/reference/operators.md``."""

    operator: str
    since: tuple[int, ...]
    rule: Rule


_RULES: dict[tuple[str, int], Entry] = {}
_REFUSALS: dict[str, str] = {}
_ELEMENTWISE = {"Add", "Clip", "Div", "Mul", "Pow", "Sub"}
"""Operators whose results have the shape their inputs are broadcast to, refused or not."""


def operator(name: str, *since: int) -> Callable[[Rule], Rule]:
    """Register a rule for the since-versions of an operator (https://onnx.ai/onnx/operators/)."""

    def register(rule: Rule) -> Rule:
        entry = Entry(name, since, rule)
        for version in since:
            if (name, version) in _RULES:
                raise ValueError(f"two rules for {name}-{version}")
            _RULES[name, version] = entry
        return rule

    return register


def refuse(reason: str, *names: str, elementwise: bool = False) -> None:
    """Say why operators cannot be mapped, in any version, and what to do."""
    _REFUSALS.update(dict.fromkeys(names, reason))
    if elementwise:
        _ELEMENTWISE.update(names)


def keeps_shape(name: str) -> bool:
    """Whether the result of an operator has the shape its inputs are broadcast to."""
    return name in _ELEMENTWISE


def find(name: str, since: int) -> Rule:
    """The rule for an operator; :class:`RefusedError` says which there are."""
    entry = _RULES.get((name, since))
    if entry is not None:
        return entry.rule
    if name in _REFUSALS:
        raise RefusedError(_REFUSALS[name])
    versions = sorted(version for known, version in _RULES if known == name)
    if versions:
        raise RefusedError(
            f"no rule for {name} as changed in operator set {since}, only {', '.join(map(str, versions))};"
            " export with another operator set"
        )
    raise RefusedError(
        f"no rule for {name}; replace it in the model before export (docs/reference/operators.md lists what is supported)"
    )


def entries() -> tuple[Entry, ...]:
    """All rules, by operator."""
    unique = {id(entry): entry for entry in _RULES.values()}
    return tuple(sorted(unique.values(), key=lambda entry: (entry.operator, entry.since)))


def refusals() -> tuple[tuple[str, str], ...]:
    """Operators that are refused with a reason of their own, by name."""
    return tuple(sorted(_REFUSALS.items()))
