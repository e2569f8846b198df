"""What a conversion is found to lose in the end, which layers cost it, what would help, and what takes two populations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from snn_deploy.backend.protocol import Backend, Progress
from snn_deploy.conversion.choose import Bench, Choice
from snn_deploy.conversion.doubled import Doubled, find_doubled
from snn_deploy.conversion.layer_cost import LayerCost
from snn_deploy.conversion.loss import IMAGES
from snn_deploy.conversion.missing_noise import suspect_missing_noise
from snn_deploy.conversion.options import LEAKY
from snn_deploy.conversion.remedies import Remedy, find_remedies
from snn_deploy.conversion.task_loss import TaskLoss

COSTLIEST = 3
"""Layers that are named."""


@dataclass(frozen=True)
class Findings:
    """The loss in the unit of the task, what the layers cost and what would help, and all of it in words.

    ``costs`` and ``remedies`` are empty where no more is lost than is allowed.
    """

    loss: TaskLoss
    allowed: float
    costs: tuple[LayerCost, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    suspicions: tuple[str, ...] = ()
    """What may be wrong with the calibration images."""
    doubled: tuple[Doubled, ...] = ()
    """Activations that take two populations each."""

    def __str__(self) -> str:
        """The loss, what takes two populations, and where too much is lost, what costs it and what would help."""
        return "\n".join([self.summary, *self.remarks, *self.warnings])

    @property
    def is_enough(self) -> bool:
        """Whether no more is lost than is allowed."""
        return not self.loss.exceeds(self.allowed)

    @property
    def summary(self) -> str:
        """The loss, and what it was measured on."""
        against = "" if self.loss.float_db is None else f"; the float network has {self.loss.float_db:.2f} dB"
        return f"loss: {self.loss}, {IMAGES} images that calibration did not see{against}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines on activations that take two populations each, and what these cost."""
        return tuple(map(str, self.doubled))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines that say what is wrong, and what to do."""
        return self.alerts + self.advice

    @property
    def alerts(self) -> tuple[str, ...]:
        """Lines that say what is wrong: what is suspected, and a loss that is more than is allowed."""
        if self.is_enough:
            return self.suspicions
        return (*self.suspicions, f"the conversion loses {self.loss}; {self.loss.bound(self.allowed)} are allowed")

    @property
    def advice(self) -> tuple[str, ...]:
        """Lines that say which layers cost most, and what would help; none where no more is lost than is allowed."""
        if self.is_enough:
            return ()
        lines = []
        if self.costs:
            named = ", ".join(map(str, self.costs[:COSTLIEST]))
            lines.append(f"layers that cost most, each alone, in parts of the output's variation: {named}")
        if self.remedies:
            lines.append("would help, as measured: " + "; ".join(map(_describe, self.remedies)))
        else:
            lines.append(
                "no other option that was tried loses a tenth less; calibrate with images like those to come, or train the"
                " network for what it loses (snn-deploy finetune)"
            )
        return tuple(lines)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "loss": asdict(self.loss) | {"allowed": self.allowed},
            "costs": [asdict(cost) for cost in self.costs],
            "remedies": [
                {"change": remedy.change, "loss": _loss_of(remedy).value, "error": remedy.trial.error}
                for remedy in self.remedies
            ],
            "doubled": [asdict(each) for each in self.doubled],
            "warnings": list(self.warnings),
        }


def _describe(remedy: Remedy) -> str:
    return f"{remedy.change} ({_loss_of(remedy).number})"


def _loss_of(remedy: Remedy) -> TaskLoss:
    loss = remedy.trial.loss
    if loss is None or loss.task is None:
        raise TypeError(f"{remedy.change}: a remedy is a trial that was measured")
    return loss.task


def examine(
    bench: Bench, backend: Backend, choice: Choice, most: float | None = None, progress: Progress | None = None
) -> Findings | None:
    """What ``choice`` is found to lose; where that is more than ``most``, or the task's bar, costs and remedies too.

    ``None`` where nothing was measured.
    """
    if choice.trial.loss is None or choice.trial.loss.task is None:
        return None
    loss, options = choice.trial.loss.task, choice.trial.options
    doubled = find_doubled(bench, backend, choice.converted, options)
    findings = Findings(loss, loss.bar if most is None else most, suspicions=_suspect(bench), doubled=doubled)
    if findings.is_enough:
        return findings
    linear = options.neuron not in LEAKY  # a leaky neuron's count is not a sum of its inputs
    costs = bench.measure_costs(choice.converted, options) if linear else ()
    remedies = find_remedies(bench, backend, choice.trial, choice.trials, progress)
    return replace(findings, costs=costs, remedies=tuple(_measured(remedies)))


def _suspect(bench: Bench) -> tuple[str, ...]:
    """What is suspected of images to which no noise was added."""
    truth = bench.truth
    if truth.task is None or truth.task.measure != "psnr" or bench.clean is not None:
        return ()
    pictures = [bench.picture.of_input(image) for image in truth.images]
    suspicion = suspect_missing_noise(pictures, truth.task.show(truth.task.expected))
    return (suspicion,) if suspicion else ()


def _measured(remedies: Sequence[Remedy]) -> Sequence[Remedy]:
    return [remedy for remedy in remedies if remedy.trial.loss is not None and remedy.trial.loss.task is not None]
