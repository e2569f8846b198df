"""Settings and paths that all tests share."""

import signal
from pathlib import Path

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
