"""The Lava backend: any integer network as Lava's process graph, run in a guarded subprocess, every event recorded."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Array, Int32, Int64
from snn_deploy.backend.compiled_form import CompiledForm
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.backend.stream import FrameStream, StreamState
from snn_deploy.backend.tiled_group import TiledGroup
from snn_deploy.errors import BackendError, BackendUnavailableError, CompiledFormError, suggest_extras
from snn_deploy.network import artifact
from snn_deploy.network.bounds import bound_population
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network
from snn_deploy_lava import rules
from snn_deploy_lava.chip_layout import is_plain
from snn_deploy_lava.runtime import description, lava_import, trace
from snn_deploy_lava.runtime.guard import WorkerError, run_guarded
from snn_deploy_lava.runtime.worker import Job
from snn_deploy_lava.stream import LavaStream


class LavaBackend:
    """Runs networks in Lava's fixed-point simulator.

    ``stock_conv`` uses Lava's own model of ``Conv`` (scipy, slow) instead of the exact BLAS one; ``ladder`` fires by
    compares and subtractions, as hardware does, instead of a division; ``stream`` sends the images of a batch back to
    back through an aligned network and resets each population when the image reaches it, instead of one image after
    another.
    """

    name = "lava"

    def __init__(
        self, *, stock_conv: bool = False, ladder: bool = False, stream: bool = False, timeout_s: float = 900.0
    ) -> None:
        if not _installed():
            raise BackendUnavailableError(_how_to_install())
        self.stock_conv, self.ladder, self.stream, self.timeout_s = stock_conv, ladder, stream, timeout_s

    def emit(self, network: Network, directory: Path, stimulus: Int64 | None = None, *, checked: bool = True) -> str:
        """Write the standalone bundle; see :func:`snn_deploy_lava.emit.write_bundle`."""
        from snn_deploy_lava.emit import write_bundle

        return write_bundle(network, directory, stimulus, any_target=not checked)

    def emit_plan(
        self,
        network: Network,
        groups: Sequence[TiledGroup],
        directory: Path,
        stimulus: Int64,
        expected: Mapping[str, Int64],
        *,
        checked: bool = True,
    ) -> str:
        """Write the bundles of a plan; see :func:`snn_deploy_lava.emit_plan.write_plan`."""
        from snn_deploy_lava.emit_plan import write_plan

        return write_plan(network, groups, directory, stimulus, expected, any_target=not checked)

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        """Run ``stimulus`` (B, C, H, W), or (B, T, C, H, W) with an input for each step of a ``rate``-mode window.

        In ``exact`` mode :class:`BackendError` unless all neurons are silent at the end.
        """
        check_stimulus(network, stimulus, varying=True)
        self._check_network(network)
        if not _is_off_schedule(network):
            return self.execute(network, stimulus, record, progress)
        # nothing resets Lava's own neurons there: each image has a graph of its own
        runs = []
        for image in stimulus:
            runs.append(self.execute(network, image[None], record))
            if progress is not None:
                progress(len(runs), len(stimulus))
        return _concatenate(runs, stimulus)

    def open_stream(self, network: Network, state: StreamState) -> FrameStream:
        """A stream that goes on from ``state``; Lava's graph is built again for every frame, with the states carried over.

        :class:`~snn_deploy.errors.BackendUnavailableError` for networks with Lava's own neurons, whose states only a reset sets.
        """
        self._check_network(network)
        rules.require_carried(network)
        return LavaStream(self.execute, network, state)

    def execute(
        self,
        network: Network,
        stimulus: Int64,
        record: Record,
        progress: Progress | None = None,
        carried: Mapping[str, tuple[Int64, Int64]] | None = None,
    ) -> Run:
        """Run what has been checked; ``carried``: membranes and counts (B, C, H, W) from which each image goes on."""
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="snn-lava-") as name:
            folder = Path(name)
            artifact.save(network, folder / "network.snn")
            np.save(folder / "stimulus.npy", stimulus)
            if carried is not None:
                np.savez(folder / "carried.npz", **_numbered(network, carried))
            self._job(record).write(folder)
            try:
                run_guarded(folder, self.timeout_s, progress)
            except WorkerError as error:
                raise BackendError(f"lava: {error}") from error
            records = trace.collect(description.read(folder / "network.snn"), folder)
            saturations = json.loads((folder / "saturations.json").read_text(encoding="utf-8"))
        _check_payloads(network, records)
        if network.mode == "exact":
            _check_silent(network, {name: arrays["last"] for name, arrays in records.items()})
        return Run(
            backend=self.name,
            network=artifact.digest(network),
            stimulus=digest_stimulus(stimulus),
            counts={name: arrays["counts"] for name, arrays in records.items()},
            events={name: arrays["events"] for name, arrays in records.items()},
            trains=_field(records, "trains") if record >= Record.TRAINS else None,
            states=_field(records, "states") if record >= Record.STATES else None,
            second_states=_field(records, "currents") if record >= Record.STATES else None,
            saturations=saturations,
            engines={population.name: self._engine for population in network.populations[1:]},
            seconds=time.perf_counter() - started,
        )

    def read_compiled(self, network: Network) -> CompiledForm:
        """What the processes of its graph compute, read back from them; the graph is built in this process, and not run."""
        self._check_network(network)
        if self.stream or _needs_stream(network):
            raise CompiledFormError(
                f"{network.name}: a stream of images, and what Lava's own neurons are compiled into, cannot be read back yet"
            )
        lava_import.prepare()
        from snn_deploy_lava.compiled import read_graph

        with tempfile.TemporaryDirectory(prefix="snn-lava-") as name:
            artifact.save(network, Path(name) / "network.snn")
            read = description.read(Path(name) / "network.snn")
        job = self._job(Record.COUNTS)
        return read_graph(read, network.input.payload_range, job.conv, job.fire)  # type: ignore[arg-type]  # names of models

    def _job(self, record: Record) -> Job:
        return Job(
            trains=record >= Record.TRAINS,
            states=record >= Record.STATES,
            stream=self.stream,
            conv="stock" if self.stock_conv else "exact",
            fire="ladder" if self.ladder else "closed",
        )

    @property
    def _engine(self) -> str:
        return f"lava {'scipy' if self.stock_conv else 'blas'} {'ladder' if self.ladder else 'closed'}"

    def _check_network(self, network: Network) -> None:
        rules.require_runnable(network)
        if self.stream and not network.aligned:
            raise BackendUnavailableError(
                f"{network.name}: streaming needs an aligned network; align it, or run images one after another"
            )
        early = [each.name for each in network.connections if network.lag(each) < 0]
        if early and _needs_stream(network):
            raise BackendUnavailableError(
                f"{network.name}: an event of {early[0]} arrives before its target's window, and Lava's own neurons fire at once; "
                "align the network, or run it on the reference backend"
            )
        biased = [
            population.name
            for population in network.populations[1:]
            if population.neuron and population.neuron.is_stock and np.any(population.bias)
        ]
        if biased:
            raise BackendUnavailableError(
                f"{network.name}: the current of {biased[0]} has a bias, which Lava's own neurons add to the membrane; run it "
                "on the reference backend"
            )
        wide = [
            f"{bounds.population} {bounds.current}"
            for bounds in (bound_population(network, population) for population in network.populations[1:])
            if bounds.current > STATE_MAX and (self.stock_conv or not _is_measured(network, bounds.population))
        ]
        if wide:
            raise BackendUnavailableError(
                f"{network.name}: currents can exceed the 24 bits of Lava's synapses: {', '.join(wide)}; "
                "convert with fewer weight bits or fewer levels"
            )


def _numbered(network: Network, carried: Mapping[str, tuple[Int64, Int64]]) -> dict[str, Int64]:
    """``carried`` as the worker reads it."""
    arrays = {}
    for index, population in enumerate(network.populations):
        if population.name in carried:
            arrays[f"v{index:04}"], arrays[f"count{index:04}"] = carried[population.name]
    return arrays


def _is_measured(network: Network, population: str) -> bool:
    """Whether a run looks at the whole current of ``population``, whose bound rests on what its source's events are assumed to be.

    The model of Lava's ``Conv`` looks at what it sends; where another joined, nothing would look at the sum.
    """
    first, *others = network.incoming(population)
    source = network.population(first.source).neuron
    return not others and is_plain(first) and source is not None and not source.clips


def _is_off_schedule(network: Network) -> bool:
    """Whether neurons of Lava's own keep no schedule that resets could follow."""
    return _needs_stream(network) and not network.aligned


def _concatenate(runs: Sequence[Run], stimulus: Int64) -> Run:
    """The run of all images of ``stimulus``, from one run each."""

    def joined(maps: Iterable[Mapping[str, Array] | None]) -> dict[str, Array]:
        first, *others = [each for each in maps if each is not None]
        return {name: np.concatenate([first[name], *(each[name] for each in others)]) for name in first}

    first = runs[0]
    return replace(
        first,
        stimulus=digest_stimulus(stimulus),
        counts=joined(run.counts for run in runs),
        events=joined(run.events for run in runs),
        trains=None if first.trains is None else joined(run.trains for run in runs),
        states=None if first.states is None else joined(run.states for run in runs),
        second_states=None if first.second_states is None else joined(run.second_states for run in runs),
        saturations={name: sum(run.saturations[name] for run in runs) for name in first.saturations},
        seconds=sum(run.seconds for run in runs),
    )


def _needs_stream(network: Network) -> bool:
    return any(population.neuron is not None and population.neuron.is_stock for population in network.populations)


def _installed() -> bool:
    try:
        return importlib.util.find_spec("lava.magma") is not None
    except ModuleNotFoundError:
        return False


def _how_to_install() -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info >= (3, 13):
        return f"lava-nc needs Python 3.10, 3.11 or 3.12; this is {version}"
    late = " && pip install --no-deps --ignore-requires-python lava-nc==0.10.0" if sys.version_info >= (3, 11) else ""
    return f"lava-nc is not installed in this Python {version}; run: {suggest_extras('lava')}{late}"


def _field(records: Mapping[str, Mapping[str, Int64]], name: str) -> dict[str, Int32]:
    return {population: arrays[name].astype(np.int32) for population, arrays in records.items() if name in arrays}


def _check_payloads(network: Network, records: Mapping[str, Mapping[str, Int64]]) -> None:
    """Check what the proof assumes of sigma-delta neurons; in ``exact`` mode a count is one event."""
    for population in network.populations[1:]:
        if population.neuron is not None:
            record = records[population.name]
            population.neuron.check(population.name, record["counts" if network.mode == "exact" else "extremes"])


def _check_silent(network: Network, last: Mapping[str, Int64]) -> None:
    """Check that no event left its population's window or arrived after its target's; ``last`` are the steps of the last ones.

    A run has one more step than its windows, in a stream every population of its own.
    """
    restless = []
    for population in network.populations:
        sent = int(last[population.name].max())
        ends = [network.population(each.target).start - each.delay for each in network.outgoing(population.name)]
        if sent >= 0 and sent >= min([population.start, *ends]) + network.steps:
            restless.append(population.name)
    if restless:
        raise BackendError(
            f"exact mode is not silent after {network.duration} steps: {', '.join(restless[:4])}; "
            "the schedule's window is too short"
        )
