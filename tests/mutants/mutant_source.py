"""Mutants of a module by cosmic-ray's operators, without those that cannot tell a good test from a bad one.

A *place* is a position in the source and a family of operators (``ReplaceBinaryOperator``, ``NumberReplacer``, ...); a sample
takes places at random and one mutation of each, so that an operator with eleven replacements does not count eleven times.
"""

from __future__ import annotations

import ast
import difflib
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

FAMILIES = ("ReplaceBinaryOperator", "ReplaceComparisonOperator", "ReplaceUnaryOperator")
"""Operators that cosmic-ray splits into one class per pair of signs."""

NOT_USED = ("core/VariableInserter", "core/VariableReplacer")
"""Operators that need names of variables as arguments."""

SAME_MEANING = ("_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq")
"""Equality for identity and back: the same for members of an enumeration, small integers and interned strings."""

Position = tuple[int, int]
"""Line, from 1, and column in characters, from 0."""


@dataclass(frozen=True)
class Mutant:
    """One change of one module; ``occurrence`` counts the places of ``operator`` in it."""

    path: str
    operator: str
    occurrence: int
    start: Position
    source: str

    @property
    def short_operator(self) -> str:
        """Operator without the name of the package that provides it."""
        return self.operator.removeprefix("core/")

    @property
    def family(self) -> str:
        """Operator without the signs that it replaces."""
        name = self.short_operator
        return next((family for family in FAMILIES if name.startswith(family)), name)

    @property
    def place(self) -> tuple[str, Position, str]:
        """What a sample draws from."""
        return self.path, self.start, self.family

    @cached_property
    def mutated(self) -> str:
        """The module with the change."""
        code = mutate_code(self.source, get_operator(self.operator)(), self.occurrence)
        if code is None:
            raise ValueError(f"{self.path}: {self.operator} has no occurrence {self.occurrence}")
        return str(code)

    @cached_property
    def change(self) -> tuple[str, str]:
        """Lines before and after, stripped, several joined by spaces: what identifies the mutant when lines move.

        A line that is only taken away stands with the one below it.
        """
        before, after = self.source.splitlines(), self.mutated.splitlines()
        removed: list[str] = []
        added: list[str] = []
        for kind, i, i_end, j, j_end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if kind != "equal":
                below = int(kind == "delete")
                removed += before[i : i_end + below]
                added += after[j : j_end + below]
        return _joined(removed), _joined(added)


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())


@dataclass(frozen=True)
class Spans:
    """Parts of a module, each from its first position up to its last."""

    spans: tuple[tuple[Position, Position], ...]

    def __contains__(self, position: Position) -> bool:
        return any(first <= position < last for first, last in self.spans)


def mutants(root: Path, path: str) -> tuple[list[Mutant], dict[str, int]]:
    """Every mutant of the module, and how many were left out, by reason."""
    source = (root / path).read_text(encoding="utf-8")
    annotations, messages, guards, extents = _annotations(source), _messages(source), _guards(source), _extents(source)
    meaning = _with_one_extent(source)
    kept: list[Mutant] = []
    left_out: dict[str, int] = defaultdict(int)
    nodes = list(ast_nodes(get_ast(source)))
    for name in operator_names():
        if name in NOT_USED:
            continue
        operator = get_operator(name)()
        positions = [position for node in nodes for position in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(positions):
            if start in annotations:
                left_out["annotation"] += 1
            elif start in messages:
                left_out["text of an error"] += 1
            elif name == "core/ReplaceTrueWithFalse" and start in guards:
                left_out["strict= of zip"] += 1
            elif name.endswith(SAME_MEANING):
                left_out["equality for identity"] += 1
            elif (
                start in extents and _with_one_extent(Mutant(path, name, occurrence, start, source).mutated) == meaning
            ):
                left_out["negative extent of reshape"] += 1
            else:
                kept.append(Mutant(path, name, occurrence, start, source))
    return kept, dict(left_out)


def sample(found: list[Mutant], count: Callable[[int], int], seed: int) -> list[Mutant]:
    """``count(places)`` places of one module, drawn with ``seed`` and the module's path, and one mutant of each, in order."""
    places: dict[tuple[str, Position, str], list[Mutant]] = defaultdict(list)
    for mutant in found:
        places[mutant.place].append(mutant)
    if not places:
        return []
    rng = random.Random(f"{seed} {found[0].path}")
    drawn = rng.sample(sorted(places), min(count(len(places)), len(places)))
    return sorted((rng.choice(places[place]) for place in drawn), key=lambda mutant: mutant.start)


def _annotations(source: str) -> Spans:
    """Annotations, aliases of types, and what only type checkers import."""
    lines = source.splitlines()
    nodes: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            nodes.append(node.annotation)
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).endswith("TypeAlias"):
                nodes.append(node)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            nodes.append(node.returns)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            nodes.append(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"cast", "TypeVar"}:
            nodes += node.args[:1]
    return Spans(tuple(_span(node, lines) for node in nodes))


def _messages(source: str) -> Spans:
    """Formatted texts in ``raise`` statements."""
    lines = source.splitlines()
    raises = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)]
    return Spans(tuple(_span(node, lines) for statement in raises for node in _formatted(statement)))


def _guards(source: str) -> Spans:
    """Values of ``strict`` in ``zip``: no test sees them unless something else is wrong."""
    lines = source.splitlines()
    calls = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "zip"
    ]
    return Spans(tuple(_span(word.value, lines) for call in calls for word in call.keywords if word.arg == "strict"))


def _extents(source: str) -> Spans:
    """Negative arguments of ``reshape``: NumPy takes any of them for the extent that is left."""
    lines = source.splitlines()
    return Spans(
        tuple(_span(each, lines) for call in _reshapes(ast.parse(source)) for each in call.args if _is_negative(each))
    )


def _with_one_extent(source: str) -> str:
    """The module's syntax tree with -1 for every negative argument of ``reshape``."""
    tree = ast.parse(source)
    for call in _reshapes(tree):
        call.args = [ast.Constant(-1) if _is_negative(each) else each for each in call.args]
    return ast.dump(tree)


def _reshapes(tree: ast.AST) -> Iterator[ast.Call]:
    return (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape"
    )


def _is_negative(node: ast.AST) -> bool:
    """Whether ``node`` is a whole number with a sign before it, below 0."""
    if not (
        isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, int)
    ):
        return False
    value = node.operand.value
    return (isinstance(node.op, ast.USub) and value > 0) or (isinstance(node.op, ast.Invert) and value >= 0)


def _formatted(statement: ast.Raise) -> Iterator[ast.AST]:
    return (node for node in ast.walk(statement) if isinstance(node, ast.JoinedStr))


def _span(node: ast.AST, lines: list[str]) -> tuple[Position, Position]:
    """First and last position, with columns in characters; ``ast`` counts bytes."""

    def column(line: int, byte: int) -> int:
        return len(lines[line - 1].encode()[:byte].decode(errors="ignore"))

    line, byte = int(getattr(node, "lineno", 0)), int(getattr(node, "col_offset", 0))
    last_line, last_byte = int(getattr(node, "end_lineno", line)), int(getattr(node, "end_col_offset", byte))
    return (line, column(line, byte)), (last_line, column(last_line, last_byte))
