"""What a backend is, what it returns, and how it is found.

A backend is any object with this protocol, published under the entry-point group ``snn_deploy.backends``; listing
imports nothing, loading imports one. :mod:`snn_deploy.testing` holds the conformance suite that a third-party
backend must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from snn_deploy.arrays import Float64, Int32, Int64
from snn_deploy.backend.compiled_form import CompiledForm
from snn_deploy.errors import BackendError
from snn_deploy.network.host import apply_host
from snn_deploy.network.network import Network

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) as a run proceeds."""


class Record(IntEnum):
    """How much a backend records; each level includes those before it."""

    COUNTS = 0
    TRAINS = 1
    STATES = 2

    @classmethod
    def of(cls, given: Record | str) -> Record:
        """``given``, which may be a name in lower case; :class:`~snn_deploy.errors.BackendError` for another one."""
        names = {known.name.lower(): known for known in cls}
        if isinstance(given, str) and given not in names:
            raise BackendError(f"record {given!r} is unknown; there are {', '.join(names)}")
        return names[given] if isinstance(given, str) else cls(given)


def measure_trains(network: Network, images: int) -> int:
    """Bytes of the trains (int32) of all populations for ``images`` images."""
    return 4 * images * network.steps * sum(population.size for population in network.populations)


@dataclass(frozen=True, eq=False)
class Run:
    """What one backend did with one batch of images.

    All mappings go from population name to an array. ``counts`` (B, C, H, W) int64: sum of payloads in the
    population's window ``[start, start + steps)``. ``events`` (B, C, H, W) int64: number of non-zero payloads in
    it. ``trains`` (B, steps, C, H, W) int32: the payloads themselves, step by step of the window. ``states`` (B,
    steps, C, H, W) int32: the membrane after each of these steps; the input has none. ``second_states``, alike, of
    neurons that have one: the decaying current u of CUBA-LIF, what a sigma-delta neuron has sent so far.
    ``saturations``: membranes limited to +-(2**23 - 1), summed over neurons, images and steps up to the end of the
    population's window. ``engines``: what computed each population.
    """

    backend: str
    network: str
    stimulus: str
    counts: Mapping[str, Int64]
    events: Mapping[str, Int64]
    trains: Mapping[str, Int32] | None = None
    states: Mapping[str, Int32] | None = None
    second_states: Mapping[str, Int32] | None = None
    saturations: Mapping[str, int] = field(default_factory=dict)
    engines: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __repr__(self) -> str:
        kinds = ("counts", "events", "trains", "states", "second_states")
        kept = [kind for kind in kinds if getattr(self, kind) is not None]
        return f"Run({self.backend}: {', '.join(kept)} of {len(self.counts)} populations)"

    def values(self, network: Network, output: str | None = None) -> Float64:
        """Real values (B, C, H, W) of an output (the first by default), before the host's functions."""
        chosen = next((each for each in network.outputs if output in (None, each.name)), None)
        if chosen is None:
            raise BackendError(f"unknown output {output!r}; outputs: {[each.name for each in network.outputs]}")
        unit = network.population(chosen.population).unit[:, None, None]
        steps = network.steps if network.mode == "rate" else 1
        return self.counts[chosen.population] * (unit / steps)

    def read_outputs(self, network: Network) -> dict[str, Float64]:
        """Real values (B, C, H, W) of every output by name, after the host's functions."""
        return {output.name: apply_host(output.host, self.values(network, output.name)) for output in network.outputs}


@runtime_checkable
class Backend(Protocol):
    """Runs integer networks; every result must equal :mod:`snn_deploy.network.dynamics` with ``==``."""

    name: str

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        """Run input payloads ``stimulus`` (B, C, H, W) int64; see :class:`Run`."""
        ...


@runtime_checkable
class Emitter(Protocol):
    """A backend that can also write a network as a folder which runs without this project."""

    def emit(self, network: Network, directory: Path, stimulus: Int64 | None = None, *, checked: bool = True) -> str:
        """Write the folder, with ``stimulus`` as its self-check; ``checked`` refuses what the device's rules forbid.

        Returns the SHA-256 of its manifest.
        """
        ...


@runtime_checkable
class Provable(Protocol):
    """A backend of which equality for all inputs can be proved, because what it compiles can be read back."""

    def read_compiled(self, network: Network) -> CompiledForm:
        """Compile ``network`` as :meth:`Backend.run` does, and read the result back.

        :class:`~snn_deploy.errors.CompiledFormError` for anything in it that the reader does not recognise.
        """
        ...
