"""The schemas of ``--json``: one for every kind that is printed, strict, with a description and a unit for every field.

That results keep them is checked wherever a test prints one: see ``every_json_object_keeps_its_schema``.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from generate.json_results import page

from snn_deploy import __version__
from snn_deploy.cli.json_schemas import list_kinds, read_schema
from snn_deploy.display import console
from tests.cli.test_modes import JSON
from tests.conftest import check_json

pytest.importorskip("jsonschema", reason="needs the extra dev")

ELSEWHERE = {
    "demo": "cli/test_demo.py",
    "estimate-against": "cli/test_against.py",
    "finetune": "finetuning/test_training.py",
}
"""Kinds that ``test_modes.JSON`` does not print, and the tests that do."""


def walk(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from walk(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from walk(value)


def fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in walk(schema):
        if isinstance(each.get("properties"), dict) and each.get("type") == "object":
            yield from each["properties"].items()


def test_every_kind_that_is_printed_has_a_schema_and_every_schema_a_verb(root: Path) -> None:
    printed: list[str] = []
    for path in (root / "snn_deploy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "show_json":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}: name the kind"
                printed.append(str(node.args[0].value))
    assert set(printed) == set(list_kinds())


@pytest.mark.parametrize("kind", list_kinds())
def test_a_schema_is_valid_strict_and_says_what_every_field_is(kind: str) -> None:
    from jsonschema import Draft202012Validator

    schema = read_schema(kind)
    Draft202012Validator.check_schema(schema | {"$defs": {}})  # they are the same in all
    assert list(schema["properties"])[:2] == schema["required"][:2] == ["schema", "version"]
    assert schema["properties"]["schema"]["const"] == f"{kind}/{console.SCHEMA_VERSION}"
    for each in walk(schema):
        if each.get("type") == "object":
            assert "additionalProperties" in each, each
            assert each["additionalProperties"] is not True
            assert set(each.get("required", ())) <= set(each.get("properties", ()))
    for name, field in fields(schema):
        assert field["description"].endswith("."), name
        numbers = [
            part
            for part in (field, *field.get("anyOf", ()))
            if part.get("type") in ("number", "integer") or part.get("$ref", "").endswith(("/real", "/quantity"))
        ]
        assert bool(numbers) <= ("unit" in field), f"{name} is a number without a unit"


def test_the_shared_definitions_are_a_valid_schema() -> None:
    from jsonschema import Draft202012Validator

    (definitions,) = read_schema(list_kinds()[0])["$defs"].values()
    Draft202012Validator.check_schema(definitions)


@pytest.mark.parametrize("kind", list_kinds())
def test_a_name_ends_in_the_unit_that_its_field_gives(kind: str) -> None:
    endings = {"_j": "J", "_s": "s", "_w": "W", "_db": "dB", "_js": "J s", "_per_s": "1/s", "_bits": "bit"}
    for name, field in fields(read_schema(kind)):
        ending = next((ending for ending in ("_per_s", *endings) if name.endswith(ending)), None)
        if ending is not None and "unit" in field:
            assert field["unit"] == endings[ending], name


def test_an_object_that_is_not_of_its_kind_is_found() -> None:
    right = {"schema": "view/1", "version": __version__, "written": "a.onnx", "opened": None}
    check_json("view", right)
    for wrong in (
        {**right, "schema": "view/2"},
        {**right, "more": 1},
        {name: value for name, value in right.items() if name != "opened"},
        {**right, "written": 1},
    ):
        with pytest.raises(AssertionError, match=r"^view: \$"):
            check_json("view", wrong)


def test_every_result_is_checked_where_it_is_printed() -> None:
    with pytest.raises(AssertionError, match=r"^view: \$: .*'opened' is a required property"):
        console.encode_json("view", {"written": None})


def test_every_kind_is_printed_by_a_test(root: Path) -> None:
    assert set(JSON.values()) | set(ELSEWHERE) == set(list_kinds())
    for kind, name in ELSEWHERE.items():
        assert f"{kind}/{console.SCHEMA_VERSION}" in (root / "tests" / name).read_text(encoding="utf-8")


def test_the_page_is_current(root: Path) -> None:
    assert (root / "docs" / "reference" / "json.md").read_text(encoding="utf-8") == page()
