"""Sphinx roles and formulas of docstrings, as Markdown with links and MathML.

Docstrings write :func:`name`, :class:`name` and so on, as Python's own tools read them. A target is a full path, or a
name as the docstring's own class or module sees it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`(~?)([\w.]+)`")
MATH = re.compile(r":math:`([^`]+)`")
MATH_BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*| *))*)", re.MULTILINE)
LITERAL_BLOCK = re.compile(r"::(?=\n\n )")

PACKAGES = (
    "snn_deploy",
    "snn_deploy_reference",
    "snn_deploy_cpu",
    "snn_deploy_lava",
    "snn_deploy_onnx",
    "snn_deploy_sanafe",
    "snn_deploy_akida",
)
"""The packages that the reference documents, each below its folder of ``SOURCES``."""


def is_ours(path: str) -> bool:
    """Whether ``path`` names something in one of ``PACKAGES``."""
    return path.split(".")[0] in PACKAGES


def has_page(path: str) -> bool:
    """Whether the reference documents ``path``: ours, and public at every level."""
    return is_ours(path) and not any(part.startswith("_") for part in path.split("."))


def to_markdown(text: str, full_path: Callable[[str], str], mathml: Callable[[str, bool], str]) -> str:
    """``text`` with each role as a link to the path that ``full_path`` gives its target, and each formula as MathML.

    Private and foreign targets stay code. ``mathml(latex, is_block)`` renders a formula.
    """

    def link(role: re.Match[str]) -> str:
        short, target = role[1], role[2]
        path = full_path(target)
        label = target.rpartition(".")[2] if short else target.removeprefix("snn_deploy.")
        return f"[`{label}`][{path}]" if has_page(path) else f"`{label}`"

    def block(formula: re.Match[str]) -> str:
        return f"\n<div>{mathml(textwrap.dedent(formula[2]).strip(), True)}</div>\n\n"

    text = MATH_BLOCK.sub(block, text)
    text = MATH.sub(lambda formula: mathml(" ".join(formula[1].split()), False), text)
    return ROLE.sub(link, LITERAL_BLOCK.sub(":", text))
