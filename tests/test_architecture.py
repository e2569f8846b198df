"""Who may import whom, read from the syntax trees: packages look only upward, heavy libraries stay in theirs.

Each test collects every violation of its law and fails once with all of them.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ORDER = (
    ("errors", "arrays", "shapes", "files", "templates", "workers"),
    ("graph", "targets"),
    ("passes", "frontend", "network"),
    ("backend", "activity", "exchange"),
    ("data", "mapping"),
    ("conversion", "cost", "verification"),
    ("evaluation", "planning", "testing"),
    ("finetuning", "display"),
    ("report", "api", "jobs"),
    ("cli",),
)
"""From the top down: a package imports from itself, from those beside it and from every line above it."""

BACKENDS_MAY_IMPORT = {"errors", "arrays", "shapes", "files", "network", "backend"}
"""What a backend sees of the core."""

BACKENDS_MAY_ALSO_IMPORT = {
    "snn_deploy_onnx": {"exchange", "frontend"},
    "snn_deploy_sanafe": {"activity", "mapping", "targets"},
    "snn_deploy_akida": {"mapping"},
}
"""The onnx backend runs the very file that ``emit --to onnx`` writes; sanafe executes a placement, akida a plan of layers."""

HEAVY = {
    "onnx": (
        "snn_deploy.frontend",
        "snn_deploy.exchange",
        "snn_deploy.conversion",
        "snn_deploy.finetuning",
        "snn_deploy.verification.proof.checker",
        "snn_deploy_cpu",
        "models",
    ),
    "onnxruntime": ("snn_deploy.frontend", "snn_deploy.conversion", "snn_deploy_onnx", "snn_deploy_cpu", "models"),
    "torch": ("snn_deploy.finetuning", "models"),
    "lava": ("snn_deploy_lava",),
    "ctypes": ("snn_deploy_cpu.kernels",),
    "sanafe": ("snn_deploy_sanafe",),
    "akida": ("snn_deploy_akida",),
    "av": ("snn_deploy.data",),
    "jinja2": ("snn_deploy.templates", "snn_deploy.report", "snn_deploy.verification.certificate"),
    "markupsafe": ("snn_deploy.templates", "snn_deploy.report"),
    "matplotlib": ("snn_deploy.report", "snn_deploy.display", "models"),
    "skimage": ("snn_deploy.report", "snn_deploy.data", "models"),
}
"""Libraries and the only packages that may import them."""

LAZY = ("jinja2", "torch", "lava", "matplotlib", "skimage", "onnxruntime", "onnx", "scipy", "rich", "av")
"""What ``import snn_deploy`` must not bring in."""

FRONT = {"snn_deploy", "snn_deploy.__main__"}
"""The package's own front: it may offer anything, lazily."""

LOADS_BY_NAME = {
    "snn_deploy": "public names, each from its module at first use",
    "snn_deploy.cli.app": "the module of the verb that was asked for",
    "snn_deploy_lava.runtime.chip": "the team's own models beside a bundle",
    "snn_deploy_lava.runtime.lava_import": "Lava's module that needs a patch before Python 3.11 can import it",
}
"""Modules that may call ``import_module`` with a name that is computed, and what they load."""

NEURON_KINDS = {"Neuron", "StockNeuron", "MultiThreshold", "CubaLif", "SigmaDelta"}
"""Classes of neurons."""

KIND_QUESTIONS = 8
"""Most places that ask which kind of neuron they have; all others ask the neuron itself (CONTRIBUTING.md, "A neuron")."""

CHANGING = {
    "snn_deploy.verification.comparison.pair",
    "snn_deploy.graph.limits",
    "snn_deploy.finetuning.training",
    "snn_deploy_reference.simulator",
    "snn_deploy_lava.runtime.graph",
}
"""Modules with a dataclass that adds something up while it runs; all others are values."""

COPIED_INTO_BUNDLES = ("snn_deploy_lava.runtime", "snn_deploy_lava.bundle")
"""Modules that run without this package, with neurons and aliases of their own."""

LOOSE_MODULES = 8
LINES = 400
FUNCTION_LINES = 60


def _modules() -> dict[str, Path]:
    modules = {}
    for base in (ROOT, ROOT / "backends"):
        for path in sorted(base.glob("snn_deploy*/**/*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = _modules()
CORE = [module for module in MODULES if module.split(".")[0] == "snn_deploy"]
BACKENDS = [module for module in MODULES if module.split(".")[0] != "snn_deploy"]


@cache
def trees() -> Mapping[str, ast.Module]:
    """The syntax tree of every module; parsed where a test asks, not in every process that collects tests."""
    return {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def _loaded_by_name(node: ast.AST) -> ast.expr | None:
    """The argument of ``import_module(...)`` or ``__import__(...)``, if ``node`` is such a call."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return node.args[0] if name in {"import_module", "__import__"} else None


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module imported anywhere in ``tree``, functions included; submodules of ours by their full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full != "snn_deploy.__version__":
                    yield full if full in MODULES else str(node.module)
        elif isinstance(argument := _loaded_by_name(node), ast.Constant):
            yield str(argument.value)


def _imports_at_load(tree: ast.AST) -> Iterator[str]:
    """Modules imported when the module itself is: outside functions and outside ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _imports(ast.Module([node], []))
        else:
            yield from _imports_at_load(node)


def _rank(module: str) -> int:
    """Line of ORDER that ``module`` of the core belongs to; -1 for a package without a place there."""
    package = module.split(".")[1]
    return next((rank for rank, packages in enumerate(ORDER) if package in packages), -1)


def _is_inside(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_there_is_something_to_check() -> None:
    assert {"snn_deploy.errors", "snn_deploy.network.dynamics", "snn_deploy_reference.simulator"} <= set(MODULES)
    assert "snn_deploy.network.network" in set(_imports(trees()["snn_deploy.network.dynamics"]))
    assert list(_imports(ast.parse("import_module('a.b'); importlib.import_module('c')"))) == ["a.b", "c"]


def test_every_package_has_a_place_in_the_order() -> None:
    assert [module for module in CORE if module not in FRONT and _rank(module) < 0] == []
    named = {package for packages in ORDER for package in packages}
    assert named == {module.split(".")[1] for module in CORE if module not in FRONT}


def test_packages_import_only_packages_above_them() -> None:
    wrong = []
    for module in CORE:
        if module in FRONT:
            continue
        for imported in _imports(trees()[module]):
            if imported.startswith("snn_deploy_"):
                wrong.append(f"{module} imports the backend {imported}; use the entry points")
            elif imported in FRONT:
                wrong.append(f"{module} imports the front")
            elif imported.split(".")[0] == "snn_deploy" and _rank(imported) > _rank(module):
                wrong.append(f"{module} imports {imported}, which stands below it")
    assert not wrong, "\n".join(wrong)


def test_imports_are_written_where_they_can_be_read() -> None:
    wrong = []
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                wrong.append(f"{module}:{node.lineno}: relative import")
            argument = _loaded_by_name(node)
            if argument is not None and not isinstance(argument, ast.Constant) and module not in LOADS_BY_NAME:
                wrong.append(f"{module}:{argument.lineno}: imports what {ast.unparse(argument)} names")
    assert not wrong, "\n".join(wrong)


def test_backends_import_only_the_public_core() -> None:
    wrong = []
    for module in BACKENDS:
        own = module.split(".")[0]
        allowed = BACKENDS_MAY_IMPORT | BACKENDS_MAY_ALSO_IMPORT.get(own, set())
        for imported in _imports(trees()[module]):
            top, *rest = imported.split(".")
            if (top == "snn_deploy" and rest and rest[0] not in allowed) or (
                top.startswith("snn_deploy_") and top != own
            ):
                wrong.append(f"{module} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_stay_in_their_packages() -> None:
    wrong = []
    for module, tree in trees().items():
        for imported in _imports(tree):
            packages = HEAVY.get(imported.split(".")[0])
            if packages is not None and not _is_inside(module, packages):
                wrong.append(f"{module} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_imports_have_no_cycles() -> None:
    edges = {
        module: {imported for imported in _imports_at_load(tree) if imported in MODULES and imported != module}
        for module, tree in trees().items()
    }
    done: set[str] = set()
    while ready := [module for module in edges if module not in done and edges[module] <= done]:
        done.update(ready)
    assert set(edges) == done, f"these import one another: {sorted(set(edges) - done)}"


def test_modules_are_one_idea_each() -> None:
    wrong = []
    for module, path in MODULES.items():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > LINES:
            wrong.append(f"{module} has {lines} lines")
        if module.split(".")[-1] in {"utils", "util", "helpers", "misc", "common", "manager"}:
            wrong.append(f"{module} has a name that says nothing")
        for node in ast.walk(trees()[module]):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    wrong.append(f"{module}.{node.name} has {length} lines")
    assert not wrong, "\n".join(wrong)


def _asks_for_a_kind(node: ast.AST) -> bool:
    """Whether ``node`` is ``isinstance(x, SomeNeuron)``, ``type(some.neuron)`` or ``some.kind == ...``."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"isinstance", "issubclass"}:
        return any(isinstance(name, ast.Name) and name.id in NEURON_KINDS for name in ast.walk(node.args[1]))
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "type":
        return ast.unparse(node.args[0]).split(".")[-1] in {"neuron", *NEURON_KINDS}
    return isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("neuron.kind")


def test_few_places_ask_for_the_kind_of_a_neuron() -> None:
    places = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module, tree in trees().items()
        if not _is_inside(module, COPIED_INTO_BUNDLES)
        for node in ast.walk(tree)
        if isinstance(node, ast.expr) and _asks_for_a_kind(node)
    ]
    assert 0 < len(places) <= KIND_QUESTIONS, "give the kinds a method instead:\n" + "\n".join(places)


def test_aliases_of_arrays_are_defined_once() -> None:
    aliases = {"Array", "Bool", "Int8", "Int32", "Int64", "Float32", "Float64"}
    wrong = [
        f"{module}:{node.lineno}: import {target} from snn_deploy.arrays"
        for module, tree in trees().items()
        if module != "snn_deploy.arrays" and not _is_inside(module, COPIED_INTO_BUNDLES)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and "NDArray[" in ast.unparse(node.value or node)
        for target in map(ast.unparse, node.targets if isinstance(node, ast.Assign) else [node.target])
        if target in aliases
    ]
    assert not wrong, "\n".join(wrong)


def _dataclasses() -> Iterator[tuple[str, ast.ClassDef, str]]:
    """Every dataclass with its module and the text of its decorator."""
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                decorators = map(ast.unparse, node.decorator_list)
                yield from ((module, node, text) for text in decorators if text.startswith("dataclass"))


@cache
def _aliases() -> dict[str, str]:
    """What every alias of types stands for, by its full name."""
    return {
        f"{module}.{ast.unparse(node.target)}": ast.unparse(node.value)
        for module, tree in trees().items()
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.value is not None and ast.unparse(node.annotation) == "TypeAlias"
    }


def _words(module: str, text: str) -> Iterator[str]:
    """Full names of the types that ``text`` in ``module`` names, those behind aliases too."""
    for word in re.findall(r"\w+", text):
        name = _names(module).get(word, f"{module}.{word}")
        yield name
        alias = _aliases().get(name, "")
        if alias and "Callable[" not in alias and word not in alias:
            yield from _words(name.rpartition(".")[0], alias)


@cache
def _names(module: str) -> dict[str, str]:
    """Names of classes and aliases that ``module`` defines or imports, and their full names."""
    names: dict[str, str] = {}
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names | {
        node.name: f"{module}.{node.name}" for node in trees()[module].body if isinstance(node, ast.ClassDef)
    }


def _parts(node: ast.ClassDef) -> Iterator[str]:
    """Types of the fields and bases of a class, as they are written."""
    yield from map(ast.unparse, node.bases)
    fields = (ast.unparse(field.annotation) for field in node.body if isinstance(field, ast.AnnAssign))
    yield from (text for text in fields if not text.startswith("ClassVar[") and "Callable[" not in text)


def test_values_are_frozen() -> None:
    found = list(_dataclasses())
    changing = [(module, node.name) for module, node, text in found if "frozen=True" not in text]
    assert {module for module, _ in changing} == CHANGING, changing
    assert len(found) > 100


def test_what_holds_arrays_is_never_compared_as_one() -> None:
    """``==`` of two arrays is an array, so what holds one, or something that holds one, has ``eq=False``."""
    arrays = re.compile(r"\b(Array|Bool|Int8|Int32|Int64|Float32|Float64|NDArray)\b")
    apart = {f"{module}.{node.name}" for module, node, text in _dataclasses() if "eq=False" in text}
    wrong = [
        f"{module}.{node.name}: {part}"
        for module, node, text in _dataclasses()
        if "eq=False" not in text
        for part in _parts(node)
        if arrays.search(part) or any(name in apart for name in _words(module, part))
    ]
    assert not wrong, "\n".join(wrong)
    assert len(apart) > 50


def test_few_modules_stand_outside_packages() -> None:
    loose = [path.stem for path in (ROOT / "snn_deploy").glob("*.py") if not path.stem.startswith("__")]
    assert len(loose) <= LOOSE_MODULES, f"these belong into a package: {sorted(loose)}"


def test_no_public_name_is_a_module_too() -> None:
    """``from package import name`` must not depend on whether ``package.name`` was imported before."""
    wrong = []
    for module, tree in trees().items():
        public = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "__all__" for name in node.targets)
        ]
        wrong += [f"{module}.{name}" for names in public for name in names if f"{module}.{name}" in MODULES]
    assert not wrong, "\n".join(wrong)


def test_modules_say_what_they_are_and_print_nothing() -> None:
    wrong = []
    for module, tree in trees().items():
        if not ast.get_docstring(tree):
            wrong.append(f"{module} has no docstring")
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                wrong.append(f"{module}:{node.lineno}: assert")
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"print", "eval", "exec"}:
                wrong.append(f"{module}:{node.lineno}: {ast.unparse(node.func)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "module", ["snn_deploy", "snn_deploy.backend", "snn_deploy.network.artifact", "snn_deploy_reference"]
)
def test_importing_the_core_brings_in_nothing_heavy(module: str) -> None:
    """What is loaded, not how long it takes: seconds depend on the machine."""
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {set(LAZY)!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert result.stdout.split() == []


def test_listing_backends_imports_none() -> None:
    code = (
        "import sys; from snn_deploy.backend.registry import list_backends; list_backends(); "
        "print(*(name for name in sys.modules if name.startswith('snn_deploy_')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert result.stdout.split() == []


def _environment() -> dict[str, str]:
    """This interpreter's path, so that the tested checkout is the one imported."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
