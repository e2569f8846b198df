"""Only ``snn_deploy/files.py`` opens files for writing, read from the syntax trees: so each output is whole or absent."""

import ast
import textwrap
from collections.abc import Iterator

import pytest

from tests.test_architecture import trees

FUNCTIONS = {
    *(f"np.{name}" for name in ("save", "savez", "savez_compressed", "savetxt", "memmap")),
    "numpy.save",
    "torch.save",
    "onnx.save",
    *(f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copytree", "move")),
    *(f"os.{name}" for name in ("open", "fdopen", "replace", "rename", "renames", "link", "symlink", "truncate")),
    *(f"tempfile.{name}" for name in ("NamedTemporaryFile", "mkstemp", "mkdtemp")),
    *("onnx.save_model", "json.dump", "nir.write", "torch.onnx.export"),
}
"""Functions that write to a path (or may) whatever their arguments are."""

METHODS = {"write_text", "write_bytes", "touch", "rename", "symlink_to", "hardlink_to", "savefig", "tofile", "save"}
"""Methods that do."""

OPENING = {"open", "File", "ZipFile", "TarFile", "FileIO"}
"""Functions and methods that do if their mode says so; the mode is their first or second argument."""

ALLOWED = {
    ("snn_deploy.verification.traces.trace_file", "archive.open"): "an entry of an archive that files.py replaces",
    ("snn_deploy.cli.app", "os.fdopen"): "the null device in place of a closed standard error",
    ("snn_deploy_lava.backend", "np.save"): "a scratch folder that the run removes",
    ("snn_deploy_lava.backend", "np.savez"): "a scratch folder that the run removes",
    ("snn_deploy_sanafe.emit", "net.save"): "a scratch folder, from which files.py writes",
    **{
        (f"snn_deploy_lava.runtime.{module}", call): "runs in bundles, without snn_deploy, in a scratch folder"
        for module, call in (
            ("worker", "(folder / 'job.json').write_text"),
            ("worker", "(folder / 'saturations.json').write_text"),
            ("worker", "os.fdopen"),
            ("guard", "(folder / LOG).open"),
            ("worker", "(folder / 'models.json').write_text"),
            ("command", "shutil.copyfile"),
            ("command", "np.save"),
            ("processes.traffic", "np.savez"),
        )
    },
    ("snn_deploy_lava.runtime.trace", "np.savez"): "runs in bundles, without snn_deploy; writes the trace asked for",
}
"""Module and call, and why it need not go through files.py."""


def _name(node: ast.expr) -> str:
    return ast.unparse(node)


def _sinks(tree: ast.AST) -> set[str]:
    """Names bound to memory or to a partial file: ``x = io.BytesIO()``, ``with replacing(...) as x``."""
    bound: list[tuple[ast.expr, ast.expr]] = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        ):
            bound += zip(node.targets[0].elts, node.value.elts, strict=True)
        elif isinstance(node, ast.Assign):
            bound.append((node.targets[0], node.value))
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            bound.append((node.optional_vars, node.context_expr))
    sources = ("BytesIO", "replacing", "archive.open")
    return {
        _name(target) for target, value in bound if isinstance(value, ast.Call) and _name(value.func).endswith(sources)
    }


def _writes(call: ast.Call) -> bool:
    """Whether ``call`` may open a file for writing."""
    name, method = _name(call.func), _name(call.func).rpartition(".")[2]
    if name == "os.open" and _name(call.args[0]) == "os.devnull":
        return False
    if name in FUNCTIONS or (method in METHODS and "." in name and name != "artifact.save"):
        return True
    if method == "replace":  # Path.replace has one argument, str.replace two
        return "." in name and len(call.args) == 1 and not call.keywords
    if method not in OPENING:
        return False
    modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    modes += call.args[: 1 if name not in OPENING and len(call.args) == 1 else 2]
    return any(
        isinstance(mode, ast.Constant)
        and isinstance(mode.value, str)
        and set(mode.value) <= set("rwaxbt+")
        and set(mode.value) & set("wax+")
        for mode in modes
    )


def _functions(tree: ast.Module) -> Iterator[ast.AST]:
    """The innermost known owners of names: functions, and the module for what stands outside them."""
    yield from (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    yield ast.Module(
        [node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))], type_ignores=[]
    )


def _writers(tree: ast.Module) -> set[tuple[int, str]]:
    """Line and name of each call that opens a file for writing, unless it goes to memory or a partial file."""
    found = set()
    for function in _functions(tree):
        sinks = _sinks(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _writes(node):
                receiver = node.func.value if isinstance(node.func, ast.Attribute) else node.func
                if not sinks & {_name(value) for value in (*node.args, receiver)}:
                    found.add((node.lineno, _name(node.func)))
    return found


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "path.open('x')",
        "path.open('r+b')",
        "path.open(mode='w', encoding='utf-8')",
        "zipfile.ZipFile(path, 'w')",
        "h5py.File(path, 'a')",
        "path.write_text(text)",
        "(folder / 'a').write_bytes(data)",
        "partial.replace(path)",
        "os.open(path, os.O_WRONLY)",
        "os.replace(partial, path)",
        "np.savez(path, **arrays)",
        "torch.save(state, path)",
        "onnx.save(model, str(path))",
        "shutil.copy(source, path)",
        "tempfile.NamedTemporaryFile()",
        "figure.savefig(path)",
        "image.save(path)",
        "if True:\n    with open(path, 'w') as stream: pass",
    ],
)
def test_the_law_sees(code: str) -> None:
    assert len(_writers(ast.parse(code))) == 1
    assert len(_writers(ast.parse(f"def work():\n{textwrap.indent(code, '    ')}"))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "open(path)",
        "path.open('rb')",
        "path.open(newline='', encoding='utf-8')",
        "zipfile.ZipFile(path)",
        "h5py.File(path, 'r')",
        "text.replace('a', 'b')",
        "os.open(os.devnull, os.O_WRONLY)",
        "artifact.save(network, path)",
        "buffer = io.BytesIO()\nnp.save(buffer, values)",
        "with replacing(path) as partial, h5py.File(partial, 'w') as file: pass",
        "with files.replacing(path) as partial: partial.write_bytes(data)",
    ],
)
def test_the_law_permits(code: str) -> None:
    assert _writers(ast.parse(code)) == set()


def test_only_files_opens_for_writing() -> None:
    found = {
        (module, name): f"{module}:{line}: {name}; write through snn_deploy.files"
        for module, tree in trees().items()
        if module != "snn_deploy.files"
        for line, name in _writers(tree)
    }
    wrong = [message for key, message in found.items() if key not in ALLOWED]
    wrong += [f"{module}: {name} is allowed, but not there" for module, name in ALLOWED.keys() - found.keys()]
    assert not wrong, "\n".join(wrong)
    assert len(_writers(trees()["snn_deploy.files"])) >= 5
