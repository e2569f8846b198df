"""The training loop: Adam on the latent numbers of the deployed network, validation of its integers, early stopping.

The model is converted first, with all options as ``convert`` has them; units and thresholds stay as they were. The learning rate
falls from ``rate`` to 0 along half a cosine (arXiv 1608.03983, without restarts). Every ``check_every`` iterations the network of
the present integers, proved to stay within 24 bits, runs over the validation part on the cpu backend. The network with the best
score is the result, bit for bit the one that was scored; the plain conversion is the first candidate. Where fewer operations are
wanted, it is the best of those that take no more, or the one that takes fewest, and channels that it does without are removed
(:mod:`snn_deploy.network.unused_channels`). A run that resumes from its checkpoint gives the same bits as one without interruption.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from snn_deploy import files
from snn_deploy.arrays import Array
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.akida import check_akida
from snn_deploy.conversion.convert import Converted, convert
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ConversionError
from snn_deploy.evaluation.evaluate import FloatPredictor, SpikingPredictor, evaluate
from snn_deploy.finetuning.data import Data
from snn_deploy.finetuning.deployed import Activity, DeployedNetwork
from snn_deploy.finetuning.loss import Loss, Teacher, data_loss, imitation_loss
from snn_deploy.finetuning.operations import Operations, count_macs
from snn_deploy.finetuning.trainable import Trainable
from snn_deploy.network.network import Network
from snn_deploy.network.unused_channels import remove_unused

CALIBRATION_COUNT = 32

METRICS = {"denoise": "psnr_db", "segment": "miou"}
"""The score that validation maximizes, by task."""

Report: TypeAlias = Callable[[int, int, str], None]
"""Called with (iterations done, total iterations, validation summary)."""


@dataclass(frozen=True)
class Schedule:
    """``iterations`` Adam steps of ``batch`` patches, the first at ``rate``, checked every ``check_every``.

    ``rate`` is a share of the largest weight. Training ends early after ``patience`` checks without a better score. ``seed`` draws
    the split, patches and noise. ``operations``: the most synaptic operations per MAC of the plain conversion, if limited; of that
    without ``fuse_upsampling``, so that both can be compared.
    """

    iterations: int = 800
    batch: int = 8
    rate: float = 2e-3
    check_every: int = 100
    patience: int = 8
    seed: int = 0
    loss: Loss = "float"
    operations: float | None = None

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "check_every", "patience"):
            if getattr(self, name) < 1:
                raise ConversionError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.rate < 1:
            raise ConversionError(f"rate is {self.rate}; it must be between 0 and 1")
        if self.operations is not None and not 0 < self.operations < math.inf:
            raise ConversionError(f"operations are {self.operations} per MAC; they must be above 0")

    def is_met(self, check: Check) -> bool:
        """Whether the network of ``check`` takes no more operations than are allowed."""
        return self.operations is None or check.operations <= self.operations

    def rank(self, check: Check) -> tuple[bool, float]:
        """What is greater of a better check: the score, where operations are few enough, else fewer operations."""
        met = self.is_met(check)
        return met, check.score if met else -check.operations


@dataclass(frozen=True)
class Check:
    """The validation score of the converted network after ``iteration`` iterations.

    ``operations``: synaptic operations per MAC of the plain conversion, counted on the validation part.
    """

    iteration: int
    score: float
    operations: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """The network with the best validation score, at the size of a patch, and all checks.

    Where ``schedule`` limits operations: the best of those within the limit, else the one with fewest operations.
    """

    network: Network
    metric: str
    checks: tuple[Check, ...]
    seconds: float
    schedule: Schedule

    def __repr__(self) -> str:
        first, best = self.checks[0], self.best
        text = f"{self.metric} {first.score:.4g}, {best.score:.4g} after {best.iteration} iterations"
        if self.schedule.operations is not None:
            text += f", operations per MAC {first.operations:.3f}, {best.operations:.3f}"
        return f"Tuned({self.network.name}: {text})"

    @property
    def best(self) -> Check:
        """The check whose network is the result."""
        return max(self.checks, key=self.schedule.rank)

    @property
    def is_met(self) -> bool:
        """Whether operations are as few as was wanted."""
        return self.schedule.is_met(self.best)


@dataclass(eq=False)
class _State:
    """Content of a checkpoint."""

    iteration: int
    checks: list[Check]
    parameters: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Any]
    rng: dict[str, Any]
    operations: dict[str, Any]


def finetune(
    model: Path,
    data: Data,
    options: Options,
    schedule: Schedule,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Report | None = None,
) -> Tuned:
    """Fine-tune ``model`` for ``options``; resumes from ``checkpoint`` if it exists, and removes it at the end."""
    started = time.perf_counter()
    if schedule.loss == "data":
        data.check_answers()
    converted = _convert(model, data, options, schedule)
    macs = count_macs(converted.conversion.network)
    if options.fuse_upsampling:
        plain = replace(options, fuse_upsampling=False)
        macs = count_macs(_convert(model, data, plain, schedule).conversion.network)
    held_out = replace(data, validation=data.held_out(FloatPredictor(model, data.picture)))
    trainer = _Trainer(converted, held_out, options, schedule, device, macs)
    identity = {
        "options": options.record(),
        "schedule": asdict(schedule),
        "patch": data.patch,
        "sigma": data.sigma,
        "model": converted.model.sha256,
    }
    state = _resume(checkpoint, identity, device)
    if state is not None:
        trainer.restore(state)
    while not trainer.finished:
        if trainer.due:
            trainer.check()
            if checkpoint is not None:
                _save(trainer.state(), identity, checkpoint)
            if report is not None:
                report(trainer.iteration, schedule.iterations, trainer.summary)
            if trainer.finished:
                break
        trainer.step()
        if report is not None:
            report(trainer.iteration, schedule.iterations, trainer.summary)
    if trainer.due_at_end:
        trainer.check()
    network = trainer.result()
    if checkpoint is not None:
        files.remove(checkpoint)
    return Tuned(network, METRICS[data.task], tuple(trainer.checks), time.perf_counter() - started, schedule)


def _convert(model: Path, data: Data, options: Options, schedule: Schedule) -> Converted:
    images = data.calibration(CALIBRATION_COUNT, schedule.seed)
    return convert(model, images, options, (data.patch, data.patch), picture=data.picture)


class _Trainer:
    def __init__(
        self, converted: Converted, data: Data, options: Options, schedule: Schedule, device: str, macs: int
    ) -> None:
        self._data, self._options, self._schedule, self._device = data, options, schedule, device
        network = converted.conversion.network
        self._module = DeployedNetwork(network, Trainable.of(converted, options), device)
        self._teacher = Teacher(converted.model.graph)
        self._optimizer = torch.optim.Adam(self._module.parameters(), lr=schedule.rate)
        self._rng = np.random.default_rng(schedule.seed)
        self.iteration = 0
        self._best = self._copy()
        self._macs = macs
        share = schedule.operations
        self._operations = None if share is None else Operations(self._module, share, schedule.iterations, macs)
        self.checks: list[Check] = []

    @property
    def finished(self) -> bool:
        """Whether all iterations are done or patience has run out."""
        stale = len(self.checks) - 1 - self.checks.index(self._top) if self.checks else 0
        return self.iteration >= self._schedule.iterations or stale >= self._schedule.patience

    @property
    def due(self) -> bool:
        """Whether the network of this iteration must be checked now."""
        return self.iteration % self._schedule.check_every == 0 and self.due_at_end

    @property
    def due_at_end(self) -> bool:
        """Whether the current network has not been checked yet."""
        return not self.checks or self.checks[-1].iteration < self.iteration

    @property
    def _top(self) -> Check:
        """The check with the best network so far."""
        return max(self.checks, key=self._schedule.rank)

    @property
    def summary(self) -> str:
        """The first score and the best one, and operations per MAC if they shall be fewer."""
        first, best = self.checks[0], self._top
        text = f"{METRICS[self._data.task]} {first.score:.4f} -> {best.score:.4f}"
        if self._operations is not None:
            text += f", operations per MAC {first.operations:.3f} -> {self.checks[-1].operations:.3f}"
        return text

    def step(self) -> None:
        """One Adam step."""
        image, target = self._data.batch(self._schedule.batch, self._rng)
        activities, loss = self._loss(image, target)
        if self._operations is not None:
            self._operations.observe(activities)
        self._optimizer.zero_grad(set_to_none=True)
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate * (1 + math.cos(math.pi * self.iteration / self._schedule.iterations)) / 2
        loss.backward()
        self._optimizer.step()
        self._module.confine()
        self.iteration += 1
        if self._operations is not None:
            self._operations.advance(self.iteration)

    def _loss(self, image: Array, target: Array) -> tuple[dict[str, Activity], Tensor]:
        network, task = self._module.network, self._data.task
        payloads = torch.from_numpy(quantize_images(network, image, judged=False)).to(self._device, torch.float32)
        activities = self._module(payloads, counting=self._operations is not None)
        outputs = self._module.read_outputs(activities)
        if self._schedule.loss == "float":
            return activities, imitation_loss(task, outputs, self._teacher(image))
        wanted = torch.from_numpy(target.copy()).to(self._device)
        return activities, data_loss(task, next(iter(outputs.values())), wanted)

    def check(self) -> None:
        """Score the present network on the validation part, keep the best."""
        network = self._deployed()
        evaluation = evaluate(
            SpikingPredictor(network, load_backend("cpu")),
            self._data.entries(),
            self._data.task,
            network.input.shape[0],
            sigma=self._data.sigma if self._data.task == "denoise" else 0.0,
            seed=self._schedule.seed,
            crop=(self._data.patch, self._data.patch),
        )
        if evaluation.cost is None:
            raise ConversionError(f"{network.name}: nothing was counted; validate on a backend that counts events")
        operations = evaluation.cost.synaptic_operations / self._macs
        self.checks.append(Check(self.iteration, evaluation.overall[METRICS[self._data.task]], operations))
        if self._operations is not None:
            self._operations.correct(operations)
        if self.checks[-1] is self._top:
            self._best = self._copy()

    def result(self) -> Network:
        """The best network; it says what was wanted of its operations, and what they are on the validation part."""
        self._module.load_state_dict(self._best)
        network = self._deployed()
        if self._operations is None:
            return network
        found = {"operations": self._schedule.operations, "operations_reached": self._top.operations}
        return replace(network, config={**network.config, **found})

    def state(self) -> _State:
        """The state from which training can resume."""
        return _State(
            self.iteration,
            list(self.checks),
            self._copy(),
            self._best,
            self._optimizer.state_dict(),
            dict(self._rng.bit_generator.state),
            {} if self._operations is None else self._operations.state(),
        )

    def restore(self, state: _State) -> None:
        """Resume from ``state``."""
        self._module.load_state_dict(state.parameters)
        self._optimizer.load_state_dict(state.optimizer)
        self._rng.bit_generator.state = state.rng
        self._best, self.iteration, self.checks = state.best, state.iteration, list(state.checks)
        if self._operations is not None:
            self._operations.restore(state.operations)

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._module.state_dict().items()}

    def _deployed(self) -> Network:
        network = self._module.deployed()
        if self._operations is not None:
            network = remove_unused(network, fold=self._options.device != "akida")
        if self._options.device == "akida":
            check_akida(network)
        return network


def _save(state: _State, identity: dict[str, Any], path: Path) -> None:
    content = {**vars(state), "checks": [asdict(check) for check in state.checks], "identity": identity}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write(path, buffer.getvalue())


def _resume(path: Path | None, identity: dict[str, Any], device: str) -> _State | None:
    if path is None or not path.is_file():
        return None
    content = torch.load(path, weights_only=True, map_location=device)
    if content.pop("identity") != identity:
        raise ConversionError(
            f"{path}: the checkpoint belongs to a run with other options, schedule or data; remove it"
        )
    return _State(**content | {"checks": [Check(**check) for check in content["checks"]]})
