"""Runs one job in this process: ``python -m snn_deploy_lava.runtime.worker FOLDER``.

``FOLDER`` holds ``network.snn``, ``stimulus.npy`` (B, C, H, W) or (B, T, C, H, W) int64 and ``job.json``, the fields of
:class:`Job`; where frames of a stream go on, ``carried.npz``, too: ``v0001`` and ``count0001`` of population number 1 and so on,
(B, C, H, W) int64; it receives one ``.npz`` per population and ``saturations.json``. One line of JSON goes to standard output
for every report: ``{"step": done, "steps": total}``, equal when everything is saved, or ``{"error": text}``. End of file
on standard input means that the caller has exited.

Lava does not report an exception in a process model (lava-nc issue 178), so the main thread never blocks on Lava: it
polls the models' processes while it waits, and another thread waits for the caller to exit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snn_deploy_lava.runtime import description, lava_import

if TYPE_CHECKING:
    from snn_deploy_lava.runtime.graph import Graph

REPORTS = 32
"""Progress reports of a run; each pauses Lava for a round of messages."""


@dataclass(frozen=True)
class Job:
    """What to run: ``conv`` and ``fire`` name models of :mod:`snn_deploy_lava.runtime.models`; sim or loihi2 as target.

    ``chip_graph``: the graph of the chip, whatever runs it (:mod:`snn_deploy_lava.runtime.chip_graph`); the folder then holds its
    plan, too. ``record``: populations that are recorded (empty: all). ``board``: settings of :mod:`snn_deploy_lava.runtime.board`.
    ``frames``: the images are frames of one stream, in order.
    """

    trains: bool = False
    states: bool = False
    stream: bool = False
    conv: str = "exact"
    fire: str = "closed"
    target: str = "sim"
    chip_graph: bool = False
    frames: bool = False
    record: tuple[str, ...] = ()
    board: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Save as ``job.json``."""
        (folder / "job.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Load from ``job.json``."""
        fields = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        return cls(**{**fields, "record": tuple(fields["record"])})


class ModelError(Exception):
    """A process model raised an exception; the message names the process."""


def run(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the job in ``folder``, yielding (steps done, total steps).

    Everything is saved before the last, so Lava need not stop cleanly.
    """
    job = Job.read(folder)
    network = description.read(folder / "network.snn")
    stimulus = np.load(folder / "stimulus.npy", allow_pickle=False)
    lava_import.prepare()
    from snn_deploy_lava.runtime import discovery

    graph, configuration, steps = _prepare(job, network, stimulus, folder)
    with discovery.skip_search(configuration):
        graph.source.create_runtime(run_cfg=configuration, compile_config={"pypy_channel_size": 2})
    pauses = {*range(0, steps, -(-steps // REPORTS)), *(late.step for late in graph.late_biases), steps}
    for done, until in pairwise(sorted(pauses)):
        yield done, steps
        for late in graph.late_biases:
            if late.step == done:
                late.var.set(late.values)
        _advance(graph, until - done)
    if not job.chip_graph:
        saturations = {name: int(neuron.saturations.get()[0]) for name, neuron in graph.counters()}
        (folder / "saturations.json").write_text(json.dumps(saturations), encoding="utf-8")
    yield steps, steps
    graph.source.stop()
    if job.target == "loihi2":
        from snn_deploy_lava.runtime import chip

        chip.load_hook("after_run", getattr(configuration, "callback_fxs", []))


def _prepare(job: Job, network: description.Description, stimulus: Any, folder: Path) -> tuple[Graph, Any, int]:
    """The graph, the configuration that runs it, and the steps it takes."""
    from snn_deploy_lava.runtime import graph as graphs
    from snn_deploy_lava.runtime import models

    recording = graphs.Recording(folder, job.trains, job.states, job.record)
    simulator = models.make_run_configuration(job.conv, job.fire)  # type: ignore[arg-type]
    if job.frames:
        stimulus = list_changes(stimulus)
    if not job.chip_graph:
        schedule = graphs.plan(network, len(stimulus), stream=job.stream, frames=job.frames)
        carried = _read_carried(folder, network)
        graph = graphs.build(network, stimulus, schedule, recording, job.conv, carried)  # type: ignore[arg-type]
        return graph, simulator, schedule.steps
    from snn_deploy_lava.runtime import board, chip, chip_graph
    from snn_deploy_lava.runtime.chip_plan import ChipPlan

    adapters = chip.Adapters() if job.target == "loihi2" else None
    board.use(job.board)
    schedule = chip_graph.plan_schedule(network, len(stimulus), frames=job.frames)
    graph = chip_graph.build(network, ChipPlan.read(folder / "chip.json"), stimulus, schedule, recording, adapters)
    if adapters is None:
        return graph, simulator, schedule.steps
    chip.check_boundaries(graph.processes, graph.adapters, models.HOST)
    named = chip.name_models(graph.processes, graph.adapters, models.HOST)
    (folder / "models.json").write_text(json.dumps(describe_models(named)), encoding="utf-8")
    return (
        graph,
        chip.make_run_configuration(named, chip.load_hook("callback_fxs", schedule.steps) or ()),
        schedule.steps,
    )


def list_changes(frames: Any) -> Any:
    """What the input of a stream sends of ``frames`` (F, C, H, W): each minus the one before it, the first as it is."""
    return np.diff(frames, axis=0, prepend=np.zeros_like(frames[:1]))


def _read_carried(folder: Path, network: description.Description) -> dict[str, tuple[Any, Any]] | None:
    """Membranes and counts by population; ``None`` where images begin from rest."""
    path = folder / "carried.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as saved:
        return {
            name: (saved[f"v{index:04}"], saved[f"count{index:04}"])
            for index, name in enumerate(network.populations)
            if f"v{index:04}" in saved.files
        }


def describe_models(models: dict[type, type]) -> dict[str, str]:
    """Modules and names of the models by those of the processes."""
    return {
        f"{kind.__module__}.{kind.__name__}": f"{model.__module__}.{model.__name__}" for kind, model in models.items()
    }


def _advance(graph: Graph, steps: int) -> None:
    """Run ``steps`` steps; :class:`ModelError` as soon as a model's process reports an exception."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal

    runtime = graph.source.runtime
    runtime.start(RunSteps(num_steps=steps, blocking=False))
    pause = 0.0005
    while not all(port.probe() for port in runtime.service_to_runtime):
        _raise_model_errors(runtime)
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    if any(enum_equal(port.peek(), MGMT_RESPONSE.ERROR) for port in runtime.service_to_runtime):
        while True:
            _raise_model_errors(runtime)
            time.sleep(pause)
    runtime.wait()


def _raise_model_errors(runtime: Any) -> None:
    """Raise for the first actor that failed; actors are ordered as processes, then services (``Runtime._build_processes``).

    After an exception Lava ends the other actors regularly, so exceptions are checked before exit codes.
    """
    names = chain((process.name for process in runtime._executable.proc_builders), repeat("a runtime service"))
    actors = list(zip(names, runtime._messaging_infrastructure.actors))  # noqa: B905 - names are infinite
    for name, actor in actors:
        if actor.exception:
            _, trace = actor.exception
            raise ModelError(f"{name}: {trace.strip().splitlines()[-1]}")
    for name, actor in actors:
        if actor.exitcode:
            raise ModelError(f"{name}: its process died with status {actor.exitcode}")


def _end_with_caller() -> None:
    """Wait for end of file on standard input, then terminate this process group, whatever Lava is doing.

    Python's resource tracker survives the signal and unlinks shared memory once all other processes have exited.
    """
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)


def main() -> None:
    """Report on standard output, which the caller reads; redirect Lava's own output to standard error."""
    threading.Thread(target=_end_with_caller, daemon=True).start()
    reports = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    try:
        for done, total in run(Path(sys.argv[1])):
            reports.write(json.dumps({"step": done, "steps": total}) + "\n")
    except Exception as error:
        traceback.print_exc()
        plain = type(error).__name__ in {"ModelError", "ChipUnavailableError", "BoardError"}
        text = str(error) if plain else f"{type(error).__name__}: {error}"
        reports.write(json.dumps({"error": text}) + "\n")
        reports.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
