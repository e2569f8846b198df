"""The Python API's page: it shows every public name in an example, and its session runs as it stands."""

import doctest
import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import snn_deploy as sd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"
SESSION = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)

METHODS = {
    name: kind
    for kind in (sd.SpikingNetwork, sd.Result, sd.Stream)
    for name, _ in inspect.getmembers(kind, lambda member: inspect.isfunction(member) or isinstance(member, property))
    if not name.startswith("_") and name in vars(kind)
}
"""Public methods and properties of what the functions return, by name."""


def sections(text: str) -> list[str]:
    """The page, cut before each heading."""
    return re.split(r"^(?=#)", text, flags=re.MULTILINE)


def session(part: str) -> str:
    """The examples of ``part`` alone, in the lines where they stand."""
    blank = ["\n" * between.count("\n") for between in SESSION.split(part)[::2]]
    blocks = [f"\n{block}\n" for block in SESSION.findall(part)]
    return "".join(text for pair in zip(blank, [*blocks, ""], strict=True) for text in pair)


EXAMPLES = "".join(SESSION.findall(PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", [name for name in sd.__all__ if name != "__version__"])
def test_every_public_name_has_an_example(name: str) -> None:
    if name in ("SpikingNetwork", "Result"):  # what functions return, never made by hand
        assert f"\n{name}(" in EXAMPLES
    else:
        assert re.search(rf"^(>>>|\.\.\.) .*\bsd\.{name}\b", EXAMPLES, re.MULTILINE)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_an_example(name: str) -> None:
    assert re.search(rf"^(>>>|\.\.\.) .*\w\.{name}\b", EXAMPLES, re.MULTILINE), METHODS[name]


def test_the_tour_calls_every_function() -> None:
    text = (PAGE.parents[2] / "examples" / "tour.py").read_text(encoding="utf-8")
    functions = {name for name in sd.__all__ if inspect.isfunction(getattr(sd, name))}
    assert functions == set(re.findall(r"\bsd\.([a-z]\w*)\(", text))


@pytest.mark.extended
def test_the_session_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Also: whatever a function of ours returned prints in ten lines, and its ``repr`` is one."""
    for name in ("skimage", "onnxruntime", "jinja2"):
        pytest.importorskip(name, reason="the page shows the whole API, with the extra report")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(root / "models")
    parts = sections(PAGE.read_text(encoding="utf-8"))
    shown = "".join(
        "\n" * part.count("\n") if "sd.finetune" in part and not find_spec("torch") else session(part) for part in parts
    )
    names: dict[str, object] = {}
    test = doctest.DocTestParser().get_doctest(shown, names, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append, clear_globs=False)
    assert runner.summarize(verbose=False).attempted == EXAMPLES.count(">>> ") or not find_spec("torch")
    assert not said, "".join(said)
    ours = [value for value in test.globs.values() if type(value).__module__.startswith("snn_deploy")]
    assert len(ours) > 8
    for value in ours:
        assert str(value).count("\n") < 10
        assert "\n" not in repr(value)
        assert len(repr(value)) < 600, type(value)
