"""Settings and paths that all tests share."""

import signal
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

COMPILED_FIRST = ("backends/cpu", "differential")
"""Folders whose tests make numba compile nearly everything that it compiles in a run."""

NEVER_COMPILED = (
    "backends/lava",
    "conversion",
    "data",
    "exchange",
    "finetuning",
    "frontend",
    "graph",
    "mapping",
    "network",
    "passes",
    "verification/traces",
)
"""Folders whose tests do without the cpu backend's compiled loops, all or nearly all of them."""

# The same examples on every machine and in every run; a search for new ones is a change of this line.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=60)
hypothesis.settings.load_profile("repeatable")


# A shell starts its background jobs with Ctrl-C ignored, nohup its own with SIGHUP, and every child inherits that; tests need both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What numba compiles first, what needs nothing compiled last: with two workers, one compiles while the other does not.

    ``--dist worksteal`` gives each worker one half of the list, and to the one that ends first a part of the other's. What one
    worker has compiled is then on disk when the other asks for it, so that a cold cache is filled once and not twice.
    """
    items.sort(key=lambda item: _place(item.path.relative_to(ROOT / "tests").as_posix()))


def _place(path: str) -> int:
    return int(not path.startswith(COMPILED_FIRST)) + int(path.startswith(NEVER_COMPILED))
