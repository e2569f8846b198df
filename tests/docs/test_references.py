"""Sphinx roles of docstrings name objects that exist; the pages of the API reference cover every module."""

import ast
import builtins
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from generate.reference import SOURCES, navigation, packages, pages
from generate.roles import PACKAGES, ROLE, has_page, to_markdown

OPTIONAL = {"lava", "torch", "onnxruntime", "h5py", "nir"}
"""Libraries of extras; without one, roles of the modules that need it are not looked up."""

FILES = {
    ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
    for source in SOURCES
    for package in PACKAGES
    for path in sorted((source / package).rglob("*.py"))
    if (path.parent / "__init__.py").is_file()
}


def _docstrings(node: ast.AST, scope: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(enclosing classes, text) of each docstring, those behind attributes included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) and isinstance(child.value.value, str):
            yield scope, child.value.value
        else:
            yield from _docstrings(child, (*scope, child.name) if isinstance(child, ast.ClassDef) else scope)


def _has(owner: Any, names: list[str]) -> bool:
    """Whether ``owner`` has the attribute ``names[0]``, that one ``names[1]``, and so on."""
    for position, name in enumerate(names):
        if not hasattr(owner, name):
            if inspect.isclass(owner) and name in inspect.get_annotations(owner):
                return position == len(names) - 1  # a field without a default
            if not inspect.ismodule(owner):
                return False
            try:
                import_module(f"{owner.__name__}.{name}")
            except ModuleNotFoundError:
                return False
        owner = getattr(owner, name)
    return True


def _exists(module: str, scope: tuple[str, ...], target: str) -> bool:
    """Whether ``target`` names an object: as the classes ``scope`` of ``module`` or the module see it, or by its full path."""
    names = target.split(".")
    own = import_module(module)
    if any(_has(own, [*scope[:depth], *names]) for depth in range(len(scope) + 1)) or _has(builtins, names):
        return True
    try:
        return _has(import_module(names[0]), names[1:])
    except ModuleNotFoundError:
        return False


def wrong_roles(package: str) -> list[str]:
    """Roles in the docstrings of ``package`` that name nothing; modules whose libraries are not installed are left out."""
    wrong = []
    for module, path in FILES.items():
        if module.split(".")[0] != package:
            continue
        text = path.read_text(encoding="utf-8")
        docstrings = list(_docstrings(ast.parse(text)))
        roles = [(scope, role[2]) for scope, docstring in docstrings for role in ROLE.finditer(docstring)]
        if len(roles) != len(ROLE.findall(text)):
            wrong.append(f"{module}: a role outside of docstrings")
        try:
            wrong += [f"{module}: {target}" for scope, target in roles if not _exists(module, scope, target)]
        except ModuleNotFoundError as error:
            if str(error.name).split(".")[0] not in OPTIONAL:
                raise
    return wrong


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "snn_deploy_lava"])
def test_every_role_names_an_object_that_exists(package: str) -> None:
    assert wrong_roles(package) == []


def test_every_role_of_the_lava_backend_names_an_object_that_exists() -> None:
    """In an interpreter of its own: importing Lava sets how multiprocessing starts processes, for good."""
    pytest.importorskip("lava", reason="the processes of the lava backend derive from Lava's")
    program = f"""if True:
        import runpy
        from snn_deploy_lava.runtime.lava_import import prepare
        prepare()
        print(runpy.run_path({__file__!r})["wrong_roles"]("snn_deploy_lava"))
    """
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=settings)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_constants_that_roles_name_have_an_assignment_of_their_own() -> None:
    """What builds the site finds no names on the left of ``A, B = ...``."""
    found = []
    for module, path in FILES.items():
        text = path.read_text(encoding="utf-8")
        named = {role[2] for role in ROLE.finditer(text)}
        for node in ast.parse(text).body:
            pairs = [target for target in getattr(node, "targets", []) if isinstance(target, ast.Tuple)]
            names = {name.id for pair in pairs for name in pair.elts if isinstance(name, ast.Name)}
            found += [f"{module}: {name}" for name in sorted(names & named)]
    assert found == []


def test_every_cross_reference_of_a_page_names_an_object_that_exists() -> None:
    references = {
        (str(page.name), path)
        for page in (SOURCES[0] / "docs").rglob("*.md")
        for path in re.findall(r"\]\[(\w[\w.]*)\]", page.read_text(encoding="utf-8"))
    }
    assert ("api.md", "snn_deploy.api.convert") in references
    assert [(page, path) for page, path in sorted(references) if not _exists("snn_deploy", (), path)] == []


def test_names_that_do_not_exist_are_noticed() -> None:
    assert _exists("snn_deploy.network.dynamics", (), "advance")
    assert _exists("snn_deploy.network.network", ("Network",), "populations")
    assert not _exists("snn_deploy.network.dynamics", (), "advanced")
    assert not _exists("snn_deploy.network.dynamics", (), "snn_deploy.network.dynamics.advanced")
    assert not _exists("snn_deploy.network.dynamics", (), "snn_deploy.network.dynamic")


def test_roles_and_formulas_become_markdown() -> None:
    def full_path(target: str) -> str:
        return {"fire": "snn_deploy.network.dynamics.fire", "_hidden": "snn_deploy.network._hidden"}.get(target, target)

    def mathml(latex: str, is_block: bool) -> str:
        return f"<math{' block' * is_block}>{latex}</math>"

    def translated(text: str) -> str:
        return to_markdown(text, full_path, mathml)

    assert translated("as :func:`fire` does") == "as [`fire`][snn_deploy.network.dynamics.fire] does"
    assert translated(":class:`~snn_deploy.a.B`") == "[`B`][snn_deploy.a.B]"
    assert translated(":class:`snn_deploy.a.B`") == "[`a.B`][snn_deploy.a.B]"
    assert translated(":func:`_hidden` :class:`KeyError`") == "`_hidden` `KeyError`"
    assert translated("with :math:`a\nb`") == "with <math>a b</math>"
    assert translated("so\n\n.. math::\n\n    a \\\\\n    b\n\nand::\n\n    code") == (
        "so\n\n\n<div><math block>a \\\\\nb</math></div>\n\nand:\n\n    code"
    )
    assert not has_page("numpy.load")


def test_the_reference_covers_every_public_module() -> None:
    covered = {name for package, modules in packages() for name in (package, *modules)}
    assert covered == {module for module in FILES if not Path(module.replace(".", "/")).name.startswith("_")}
    written = dict(pages())
    assert all(sum(f"::: {module}\n" in text for text in written.values()) == 1 for module in covered)
    linked = {
        page for group in navigation()[1:] for entries in group.values() for entry in entries for page in entry.values()
    }
    assert linked | {"reference/python/index.md"} == set(written)
