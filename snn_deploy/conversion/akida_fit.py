"""Whether a model fits BrainChip's Akida 2, node by node, and what the engine's limits cost a conversion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snn_deploy.backend.protocol import Backend
from snn_deploy.conversion.choose import Bench, Choice
from snn_deploy.conversion.convert import Model, input_channels
from snn_deploy.conversion.lower import lower
from snn_deploy.conversion.options import Options, preset
from snn_deploy.conversion.task_loss import TaskLoss
from snn_deploy.errors import ConversionError
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.frontend.onnx import read
from snn_deploy.mapping.akida import plan_layers
from snn_deploy.passes import normal_form
from snn_deploy.shapes import Size

TRIAL = (
    "Akida 2: shapes were checked by a trial conversion for random images; convert --for akida makes the numbers fit"
)
"""What a ledger says of itself."""


@dataclass(frozen=True)
class DeviceCost:
    """What is lost ``within`` the limits of a device, and ``without`` them, on the same images."""

    within: TaskLoss
    without: TaskLoss

    @property
    def value(self) -> float:
        """The difference, in the unit of the loss."""
        return self.within.value - self.without.value

    def __str__(self) -> str:
        cost = replace(self.within, value=self.value)
        return f"the limits of Akida 2 cost {cost}: {self.within.number} are lost within them, {self.without.number} without"

    def record(self) -> dict[str, float | str]:
        """For JSON."""
        return {"measure": self.within.measure, "within": self.within.value, "without": self.without.value}


def measure_device_cost(bench: Bench, backend: Backend, choice: Choice) -> DeviceCost | None:
    """What ``choice``, a conversion for Akida 2, loses beside the same options without its limits; ``None`` if not measured."""
    options, loss, plain = choice.trial.options, choice.trial.loss, Options()
    free = replace(options, device="any", pool=plain.pool, input_levels=plain.input_levels)
    other = bench.attempt(free, backend).trial.loss
    if loss is None or loss.task is None or other is None or other.task is None:
        return None
    return DeviceCost(loss.task, other.task)


def judge_for_akida(model: Model, size: Size, ledger: Ledger) -> Ledger:
    """``ledger`` of ``model`` with every node refused that no layer of the engine can stand for.

    A ledger with refused nodes stays as it is: what cannot be imported is judged by no engine.
    """
    if ledger.refused:
        return ledger
    graph = normal_form(read(model, size).graph)
    images = [np.random.default_rng(0).random((1, input_channels(model, size), *size), np.float32)]
    try:
        network = lower(graph, graph, images, preset("akida", rounding="nearest", scale="max")).network
    except ConversionError as error:
        return replace(ledger, remarks=(*ledger.remarks, f"Akida 2: not judged, the trial conversion failed: {error}"))
    refused: dict[str, str] = {}
    for misfit in plan_layers(network).misfits:
        for node in network.population(misfit.population).origin:
            refused.setdefault(node, f"Akida 2: {misfit.reason}")
    rows = tuple(
        replace(row, fate="refused", note=refused[row.node]) if row.node in refused and row.fate == "mapped" else row
        for row in ledger.rows
    )
    return replace(ledger, rows=rows, remarks=(*ledger.remarks, TRIAL))
