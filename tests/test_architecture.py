"""Who may import whom, parsed from the source: rooms look only upward, heavy libraries stay in their rooms."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROOMS = (
    ("errors", "arrays", "files", "kernels", "quantity", "scale"),
    ("graph", "ops"),
    ("network", "lif", "sigma_delta", "dynamics", "bounds", "schedule", "device", "target"),
    ("artifact",),
    ("frontend", "passes"),
    ("conversion",),
    ("backend",),
    ("host", "quantized", "emit_onnx", "exchange"),
    ("cost", "mapping"),
    ("tasks", "verify", "testing"),
    ("display",),
    ("finetune", "pipeline", "loss", "evaluate", "report", "verify_many", "api"),
    ("project", "commands"),
    ("cli", "cli_table"),
)
"""From the top down; a room imports from itself and from every line above it, and rooms of one line may meet."""

BACKENDS_MAY_IMPORT = {
    "errors",
    "arrays",
    "kernels",
    "network",
    "lif",
    "sigma_delta",
    "dynamics",
    "bounds",
    "schedule",
    "artifact",
    "backend",
}

HEAVY = {
    "onnx": (
        "snn_deploy.frontend",
        "snn_deploy.conversion",
        "snn_deploy.emit_onnx",
        "snn_deploy.finetune",
        "snn_deploy_cpu",
        "models",
    ),
    "onnxruntime": ("snn_deploy.frontend", "snn_deploy.conversion", "snn_deploy.emit_onnx", "snn_deploy_cpu", "models"),
    "torch": ("snn_deploy.finetune", "snn_deploy_cpu", "models"),
    "lava": ("snn_deploy_lava",),
    "numba": ("snn_deploy_cpu",),
    "matplotlib": ("snn_deploy.report", "snn_deploy.display", "models"),
    "skimage": ("snn_deploy.report", "snn_deploy.tasks", "models"),
}
"""Libraries and the only rooms that may import them."""

LAZY = ("torch", "lava", "matplotlib", "skimage", "onnxruntime", "onnx", "numba", "scipy", "rich")
"""What ``import snn_deploy`` must not bring in."""

FACADES = {"snn_deploy", "snn_deploy.__main__"}
"""The package's own front: it may offer anything, lazily."""


def _modules() -> dict[str, Path]:
    found = {}
    for base in (ROOT, ROOT / "backends"):
        for path in sorted(base.glob("snn_deploy*/**/*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module imported anywhere in ``tree``, functions included; submodules of ours by their full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def _imports_at_load(tree: ast.AST) -> Iterator[str]:
    """Modules imported when the module itself is: outside functions and outside ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _type_checking(node):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _imports(ast.Module([node], []))
        else:
            yield from _imports_at_load(node)


def _rank(module: str) -> int | None:
    """Line of ROOMS that ``module`` of the package belongs to; ``None`` for the front."""
    if module in FACADES:
        return None
    room = module.split(".")[1]
    for rank, rooms in enumerate(ROOMS):
        if room in rooms:
            return rank
    pytest.fail(f"{module}: the room {room!r} has no place in the order of rooms")


TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
OURS = [module for module in MODULES if module.split(".")[0] == "snn_deploy"]
BACKENDS = [module for module in MODULES if module.split(".")[0] != "snn_deploy"]


def test_there_is_something_to_check() -> None:
    assert {"snn_deploy.errors", "snn_deploy.dynamics", "snn_deploy_reference.simulator"} <= set(MODULES)
    assert "snn_deploy.network" in set(_imports(TREES["snn_deploy.dynamics"]))


@pytest.mark.parametrize("module", OURS)
def test_rooms_import_only_rooms_above_them(module: str) -> None:
    rank = _rank(module)
    if rank is None:
        return
    for imported in _imports(TREES[module]):
        assert not imported.startswith("snn_deploy_"), f"{module} imports the backend {imported}; use the entry points"
        if imported.split(".")[0] != "snn_deploy" or imported == "snn_deploy":
            continue
        other = _rank(imported)
        assert other is not None, f"{module} imports the front"
        assert other <= rank, f"{module} imports {imported}, which stands below it"


@pytest.mark.parametrize("module", BACKENDS)
def test_backends_import_only_the_public_core(module: str) -> None:
    for imported in _imports(TREES[module]):
        top = imported.split(".")[0]
        if top == "snn_deploy" and imported != "snn_deploy":
            assert imported.split(".")[1] in BACKENDS_MAY_IMPORT, f"{module} imports {imported}"
        elif top.startswith("snn_deploy_"):
            assert top == module.split(".")[0], f"{module} imports the other backend {imported}"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_in_their_rooms(module: str) -> None:
    for imported in _imports(TREES[module]):
        rooms = HEAVY.get(imported.split(".")[0])
        if rooms is not None:
            assert any(module == room or module.startswith(f"{room}.") for room in rooms), (
                f"{module} imports {imported}"
            )


def test_imports_have_no_cycles() -> None:
    edges = {
        module: {imported for imported in _imports_at_load(tree) if imported in MODULES and imported != module}
        for module, tree in TREES.items()
    }
    done: set[str] = set()
    while ready := [module for module in edges if module not in done and edges[module] <= done]:
        done.update(ready)
    assert set(edges) == done, f"these import one another: {sorted(set(edges) - done)}"


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_one_idea_each(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= 400, f"{module} has {lines} lines"
    assert module.split(".")[-1] not in {"utils", "util", "helpers", "misc", "common", "manager"}


@pytest.mark.parametrize("module", MODULES)
def test_modules_say_what_they_are_and_print_nothing(module: str) -> None:
    assert ast.get_docstring(TREES[module]), f"{module} has no docstring"
    for node in ast.walk(TREES[module]):
        assert not isinstance(node, ast.Assert), f"{module}:{node.lineno}: assert"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "eval", "exec"}, f"{module}:{node.lineno}: {node.func.id}"


@pytest.mark.parametrize("module", ["snn_deploy", "snn_deploy.backend", "snn_deploy.artifact", "snn_deploy_reference"])
def test_importing_the_core_brings_in_nothing_heavy(module: str) -> None:
    """What is loaded, not how long it takes: seconds depend on the machine."""
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {set(LAZY)!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert result.stdout.split() == []


def test_listing_backends_imports_none() -> None:
    code = (
        "import sys; from snn_deploy.backend import backend_names; backend_names(); "
        "print(*(name for name in sys.modules if name.startswith('snn_deploy_')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert result.stdout.split() == []


def _environment() -> dict[str, str]:
    """This interpreter's path, so that the tested checkout is the one imported."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
