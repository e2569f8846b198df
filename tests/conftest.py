"""Settings and paths that all tests share."""

import gc
import json
import signal
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every machine and in every run; a search for new ones is a change of this line.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=60)
hypothesis.settings.load_profile("repeatable")


# A shell starts its background jobs with Ctrl-C ignored, nohup its own with SIGHUP, and every child inherits that; tests need both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Thousands of collected tests live to the end; the garbage collector need not walk over them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``shared`` beside the repository (images, models, golden files); skips where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the reference data in ../shared, which is not here")
    return folder


@pytest.fixture(scope="session", autouse=True)
def every_json_object_keeps_its_schema() -> Iterator[None]:
    """Whatever a test makes a verb print as JSON, it is checked against the schema that the verb names."""
    if find_spec("jsonschema") is None:
        yield
        return
    from snn_deploy.display import console

    encode = console.encode_json

    def encode_checked(kind: str, record: Mapping[str, Any]) -> str:
        text = encode(kind, record)
        check_json(kind, json.loads(text))
        return text

    console.encode_json = encode_checked
    yield
    console.encode_json = encode


def check_json(kind: str, value: object) -> None:
    """``value`` keeps the schema of ``kind``; the error names the field."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator(kind).iter_errors(value))
    assert error is None, f"{kind}: {error.json_path}: {error.message}"


@cache
def _validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator

    from snn_deploy.cli.json_schemas import read_schema

    return Draft202012Validator(read_schema(kind))
