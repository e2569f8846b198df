"""What a backend is, what it returns, and how it is found.

A backend is any object with this protocol, published under the entry-point group ``snn_deploy.backends``; listing
imports nothing, loading imports one. :mod:`snn_deploy.testing` holds the conformance suite that a third-party
backend must pass.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from snn_deploy.errors import BackendError, BackendUnavailableError, SnnDeployError, StimulusError
from snn_deploy.network import Network

GROUP = "snn_deploy.backends"

EXTRAS = ("cpu", "lava")
"""Backends of this project that need an extra of their name."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) as a run proceeds."""


class Record(IntEnum):
    """How much of a run is kept; each level holds all of those before it."""

    COUNTS = 0
    TRAINS = 1
    STATES = 2


@dataclass(frozen=True, eq=False)
class Run:
    """What one backend did with one batch of images.

    All mappings go from population name to an array. ``counts`` (B, C, H, W) int64: sum of payloads in the
    population's window ``[start, start + steps)``. ``events`` (B, C, H, W) int64: number of non-zero payloads in
    it. ``trains`` (B, steps, C, H, W) int32: the payloads themselves, step by step of the window. ``states`` (B,
    steps, C, H, W) int32: the membrane after each of these steps; the input has none. ``currents``, alike: the second
    state of neurons that have one, the decaying current u of leaky ones. ``saturations``: membranes limited to
    +-(2**23 - 1), summed over neurons, images and steps up to the end of the population's window.
    ``engines``: what computed each population.
    """

    backend: str
    network: str
    stimulus: str
    counts: Mapping[str, npt.NDArray[np.int64]]
    events: Mapping[str, npt.NDArray[np.int64]]
    trains: Mapping[str, npt.NDArray[np.int32]] | None = None
    states: Mapping[str, npt.NDArray[np.int32]] | None = None
    currents: Mapping[str, npt.NDArray[np.int32]] | None = None
    saturations: Mapping[str, int] = field(default_factory=dict)
    engines: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def values(self, network: Network, output: str | None = None) -> npt.NDArray[np.float64]:
        """Real values (B, C, H, W) of an output (the first by default), before the host's functions."""
        chosen = next((item for item in network.outputs if output in (None, item.name)), None)
        if chosen is None:
            raise BackendError(f"no output is called {output!r}; there are {[item.name for item in network.outputs]}")
        unit = network.population(chosen.population).unit[:, None, None]
        steps = network.steps if network.mode == "rate" else 1
        return self.counts[chosen.population] * (unit / steps)


@runtime_checkable
class Backend(Protocol):
    """Runs integer networks; every result must equal :mod:`snn_deploy.dynamics` with ``==``."""

    name: str

    def run(
        self,
        network: Network,
        stimulus: npt.NDArray[np.int64],
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        """Run input payloads ``stimulus`` (B, C, H, W) int64; see :class:`Run`."""
        ...


@runtime_checkable
class Emitter(Protocol):
    """A backend that can also write a network as a folder which runs without this project."""

    def emit(
        self, network: Network, directory: Path, stimulus: npt.NDArray[np.int64] | None = None, *, checked: bool = True
    ) -> str:
        """Write the folder, with ``stimulus`` as its self-check; ``checked`` refuses what the device's rules forbid.

        Returns the SHA-256 of its manifest.
        """
        ...


def stimulus_of(network: Network, image: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Input payloads (B, C, H, W) int64 of real images (B, C, H, W): ``clip(rint(x / unit))``, ties to even."""
    if image.ndim != 4 or image.shape[1:] != network.input.shape:
        raise StimulusError(
            f"image {image.shape}: network {network.name} reads (batch, {', '.join(map(str, network.input.shape))}); "
            "crop or pad the image, or convert for its size"
        )
    if not np.all(np.isfinite(image)):
        raise StimulusError("the image holds values that are not finite")
    counts = np.rint(image.astype(np.float64) / network.input.unit[:, None, None])
    return np.clip(counts, network.input.input_min, network.input.input_max).astype(np.int64)


def check_stimulus(network: Network, stimulus: npt.NDArray[np.int64]) -> None:
    """:class:`StimulusError` unless ``stimulus`` is (B, C, H, W) int64 within the input's payload limits."""
    if stimulus.dtype != np.int64 or stimulus.ndim != 4 or stimulus.shape[1:] != network.input.shape:
        raise StimulusError(
            f"stimulus {stimulus.dtype} {stimulus.shape}: network {network.name} reads int64 (batch, "
            f"{', '.join(map(str, network.input.shape))})"
        )
    if stimulus.shape[0] < 1:
        raise StimulusError("the stimulus holds no image")
    low, high = network.input.input_min, network.input.input_max
    if stimulus.min() < low or stimulus.max() > high:
        raise StimulusError(f"stimulus spans {stimulus.min()}..{stimulus.max()}; the input carries {low}..{high}")


def stimulus_digest(stimulus: npt.NDArray[np.int64]) -> str:
    """SHA-256 of shape and values, so that runs of different images are never compared."""
    data = np.ascontiguousarray(stimulus, dtype="<i8")
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()


def backend_names() -> tuple[str, ...]:
    """Names of the installed backends, sorted; nothing is imported."""
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def load_backend(name: str) -> Backend:
    """The backend called ``name``; :class:`BackendUnavailableError` says what is missing."""
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        raise BackendUnavailableError(f"no backend is called {name!r}; installed are {', '.join(backend_names())}")
    try:
        backend = points[0].load()()
    except ImportError as error:
        remedy = f"; install its extra: pip install snn-deploy[{name}]" if name in EXTRAS else ""
        raise BackendUnavailableError(f"backend {name}: {error}{remedy}") from error
    except Exception as error:  # whatever is wrong with a stranger's module
        raise BackendUnavailableError(f"backend {name} cannot be loaded: {_failure(error)}") from error
    if not isinstance(backend, Backend):
        raise BackendUnavailableError(f"backend {name}: {points[0].value} does not follow the Backend protocol")
    return backend


def run_backend(
    backend: Backend,
    network: Network,
    stimulus: npt.NDArray[np.int64],
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


def _failure(error: Exception) -> str:
    """What was raised, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
