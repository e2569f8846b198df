"""``snn-deploy evaluate --stream``: scores and operations of every frame of a stream, and of the sequence."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import streams
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.data.frame_samples import FrameSamples
from snn_deploy.data.stimulus import quantize_dead_zone
from snn_deploy.display.console import progress, show, show_json
from snn_deploy.display.score_tables import sequence_table
from snn_deploy.evaluation.evaluate import Task
from snn_deploy.evaluation.stream import StreamEvaluation, evaluate_stream
from snn_deploy.network.network import Network


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--stream`` and what goes with it."""
    group = streams.add_options(parser)
    group.add_argument("--model", type=Path, metavar="ONNX", help="float model to compare every frame with")


def execute(arguments: argparse.Namespace, network: Network) -> int:
    """Score frame after frame and show."""
    evaluation = evaluate_frames(arguments, network, arguments.task, arguments.model)
    if arguments.json:
        show_json("evaluate-stream", {"stream": record(evaluation), "clipped": record_clipping(arguments)})
    else:
        show(sequence_table(evaluation, f"{arguments.network.name} on {arguments.stream.name}"))
    return 0


def evaluate_frames(
    arguments: argparse.Namespace, network: Network, task: Task | None, model: Path | None
) -> StreamEvaluation:
    """The stream that the command line names, scored."""
    samples = FrameSamples(streams.read_frames(arguments, network), task)
    with progress(f"{arguments.backend}: {network.name}, frames") as report:
        return evaluate_stream(
            network,
            load_backend(arguments.backend),
            samples,
            task,
            model=model,
            dead_zone=quantize_dead_zone(network, arguments.dead_zone),
            hold=arguments.hold,
            total=samples.number,
            progress=report,
        )


def record(evaluation: StreamEvaluation) -> dict[str, Any]:
    """For machines: every frame, and all together; what was not compared is empty, what was not computed ``None``."""
    return {
        "task": evaluation.task,
        "macs": evaluation.macs,
        "neurons": evaluation.neurons,
        "operations_per_mac": evaluation.operations_per_mac,
        "overall": asdict(evaluation.overall) | {"loss": evaluation.overall.loss(evaluation.task)},
        "frames": [
            {
                "frame": frame.frame,
                "compared": asdict(frame.compared) | {"loss": frame.compared.loss(evaluation.task)},
                "events": frame.activity.events,
                "synaptic_operations": frame.activity.synaptic_operations,
                "operations_per_mac": frame.activity.synaptic_operations / evaluation.macs if evaluation.macs else None,
                "changed": frame.activity.changed / evaluation.neurons,
            }
            for frame in evaluation.frames
        ],
    }
