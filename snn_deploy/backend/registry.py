"""How backends are found: the entry-point group ``snn_deploy.backends``; nothing is imported before it is asked for."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Progress, Record, Run
from snn_deploy.errors import BackendError, BackendUnavailableError, SnnDeployError, suggest_extras
from snn_deploy.network.network import Network

GROUP = "snn_deploy.backends"


EXTRAS = ("akida", "cpu", "lava", "sanafe")
"""Backends of this project that need an extra of their name."""


def list_backends() -> tuple[str, ...]:
    """Names of the installed backends, sorted; nothing is imported."""
    return tuple(sorted(point.name for point in _find_points()))


def split_names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names of backends as the command line takes them, ``"reference,cpu"``, or one by one."""
    return tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else tuple(given)


def load_backend(name: str) -> Backend:
    """The backend called ``name``; :class:`BackendUnavailableError` says what is missing."""
    points = [point for point in _find_points() if point.name == name]
    if not points:
        _find_points.cache_clear()  # it may have been installed since, from a notebook
        points = [point for point in _find_points() if point.name == name]
    if not points:
        raise BackendUnavailableError(f"unknown backend {name!r}; installed: {', '.join(list_backends())}")
    try:
        backend = points[0].load()()
    except ImportError as error:
        remedy = f"; install its extra: {suggest_extras(name)}" if name in EXTRAS else ""
        raise BackendUnavailableError(f"backend {name}: {error}{remedy}") from error
    except SnnDeployError as error:  # the backend's own words, where it says what it lacks
        raise BackendUnavailableError(f"backend {name}: {error}") from error
    except Exception as error:  # whatever is wrong with a stranger's module
        raise BackendUnavailableError(f"backend {name} cannot be loaded: {_failure(error)}") from error
    if not isinstance(backend, Backend):
        raise BackendUnavailableError(f"backend {name}: {points[0].value} does not follow the Backend protocol")
    return backend


def run_backend(
    backend: Backend,
    network: Network,
    stimulus: Int64,
    record: Record = Record.COUNTS,
    progress: Progress | None = None,
) -> Run:
    """What ``backend`` returns; :class:`BackendError`, saying where, if it fails with an error of another kind."""
    try:
        return backend.run(network, stimulus, record, progress)
    except (SnnDeployError, MemoryError):
        raise
    except Exception as error:
        raise BackendError(f"backend {backend.name} failed: {_failure(error)}") from error


@cache
def _find_points() -> tuple[EntryPoint, ...]:
    """Entry points of the group; a search of all installed packages takes milliseconds, and options ask many times."""
    return tuple(entry_points(group=GROUP))


def _failure(error: Exception) -> str:
    """What was raised, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
