"""The training loop: Adam on surrogate activations, validation on converted networks, early stopping.

The learning rate falls from ``rate`` to 0 along half a cosine (arXiv 1608.03983, without restarts).

Every ``check_every`` iterations the float network is converted and its integers run over the validation part. The network
with the best score is the result; the initial network is the first candidate. Units are calibrated once at the start and
stay fixed during training and in the result: the trained weights are adapted to these levels, and new units would give a
network other than the trained one. So the ``.snn`` is the result; converting the ``.onnx`` again chooses new units. A run
that resumes from its checkpoint gives the same bits as one without interruption.
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
import onnx
import torch
from torch import Tensor

from snn_deploy import files
from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.lower import Conversion, lower
from snn_deploy.conversion.normalize import Scales
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ConversionError, NetworkError
from snn_deploy.evaluation.evaluate import SpikingPredictor, evaluate
from snn_deploy.finetuning.data import Data
from snn_deploy.finetuning.network import GraphNetwork
from snn_deploy.finetuning.surrogate import Flow, Levels, find_firing, spiking_loss
from snn_deploy.frontend.onnx import read
from snn_deploy.frontend.onnx.export import to_onnx
from snn_deploy.graph.graph import Graph
from snn_deploy.passes import normal_form

CALIBRATION_COUNT = 32

METRICS = {"denoise": "psnr_db", "segment": "miou"}
"""The score that validation maximizes, by task."""

Report: TypeAlias = Callable[[int, int, str], None]
"""Called with (iterations done, total iterations, validation summary)."""


@dataclass(frozen=True)
class Schedule:
    """``iterations`` Adam steps of ``batch`` patches, the first at ``rate``, checked every ``check_every``.

    Training ends early after ``patience`` checks without a better score. ``seed`` draws the split, patches and noise.
    """

    iterations: int = 400
    batch: int = 8
    rate: float = 1e-4
    check_every: int = 50
    patience: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "check_every", "patience"):
            if getattr(self, name) < 1:
                raise ConversionError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.rate < 1:
            raise ConversionError(f"rate is {self.rate}; it must be between 0 and 1")


@dataclass(frozen=True)
class Check:
    """The validation score of the converted network after ``iteration`` iterations."""

    iteration: int
    score: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """The float graph with the best validation score, its conversion at the size of a patch, and all checks."""

    graph: Graph
    conversion: Conversion
    metric: str
    checks: tuple[Check, ...]
    seconds: float

    @property
    def best(self) -> Check:
        """The check with the best score, whose network is the result."""
        return max(self.checks, key=lambda check: check.score)


@dataclass(eq=False)
class _State:
    """Content of a checkpoint."""

    iteration: int
    checks: list[Check]
    parameters: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Any]
    rng: dict[str, Any]


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
    """Fine-tune ``model`` for ``options``; resumes from ``checkpoint`` if it exists, and removes it at the end.

    Weights are rounded to the nearest, whatever ``options`` say: second-order rounding would move them from where training
    put them.
    """
    options = replace(options, rounding="nearest")
    started = time.perf_counter()
    torch.manual_seed(schedule.seed)
    graph = replace(read(model, (data.patch, data.patch)).graph, name=model.stem)
    trainer = _Trainer(graph, data, options, schedule, device)
    identity = {"options": options.record(), "schedule": asdict(schedule), "patch": data.patch, "sigma": data.sigma}
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
    best, conversion = trainer.best()
    if checkpoint is not None:
        files.remove(checkpoint)
    seconds = time.perf_counter() - started
    return Tuned(best, conversion, METRICS[data.task], tuple(trainer.checks), seconds)


class _Trainer:
    def __init__(self, graph: Graph, data: Data, options: Options, schedule: Schedule, device: str) -> None:
        self._data, self._options, self._schedule, self._device = data, options, schedule, device
        self._network = GraphNetwork(graph).to(device)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=schedule.rate)
        self._rng = np.random.default_rng(schedule.seed)
        self._calibration = data.calibration(CALIBRATION_COUNT, schedule.seed)
        self.iteration = 0
        self._scales: Scales | None = None
        conversion = self._convert()
        self._scales = conversion.scales
        firing = find_firing(graph, conversion, options, device)
        self._surrogate = Levels(firing, options.levels) if options.mode == "exact" else Flow(firing, options)
        self._best = self._copy()
        self.checks: list[Check] = []

    @property
    def finished(self) -> bool:
        """Whether all iterations are done or patience has run out."""
        scores = [check.score for check in self.checks]
        stale = len(scores) - 1 - int(np.argmax(scores)) if scores else 0
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
    def summary(self) -> str:
        """The first score and the best one."""
        first, best = self.checks[0].score, max(check.score for check in self.checks)
        return f"{METRICS[self._data.task]} {first:.4f} -> {best:.4f}"

    def step(self) -> None:
        """One Adam step."""
        image, target = (torch.from_numpy(part.copy()) for part in self._data.batch(self._schedule.batch, self._rng))
        output = self._surrogate(self._network, image.to(self._device))
        loss = spiking_loss(self._data.task, output, target.to(self._device))
        self._optimizer.zero_grad(set_to_none=True)
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate * (1 + math.cos(math.pi * self.iteration / self._schedule.iterations)) / 2
        loss.backward()
        self._optimizer.step()
        self.iteration += 1

    def check(self) -> None:
        """Convert, score on the validation part, keep the best."""
        conversion = self._convert()
        predictor = SpikingPredictor(conversion.network, load_backend("cpu"))
        evaluation = evaluate(
            predictor,
            self._data.held_out(),
            self._data.task,
            conversion.network.input.shape[0],
            sigma=self._data.sigma if self._data.task == "denoise" else 0.0,
            seed=self._schedule.seed,
            crop=(self._data.patch, self._data.patch),
        )
        self.checks.append(Check(self.iteration, evaluation.overall[METRICS[self._data.task]]))
        if self.checks[-1].score == max(check.score for check in self.checks):
            self._best = self._copy()

    def best(self) -> tuple[Graph, Conversion]:
        """The best network and its conversion."""
        self._network.load_state_dict(self._best)
        return self._network.trained(), self._convert()

    def state(self) -> _State:
        """The state from which training can resume."""
        return _State(
            self.iteration,
            list(self.checks),
            self._copy(),
            self._best,
            self._optimizer.state_dict(),
            dict(self._rng.bit_generator.state),
        )

    def restore(self, state: _State) -> None:
        """Resume from ``state``."""
        self._network.load_state_dict(state.parameters)
        self._optimizer.load_state_dict(state.optimizer)
        self._rng.bit_generator.state = state.rng
        self._best, self.iteration, self.checks = state.best, state.iteration, list(state.checks)

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._network.state_dict().items()}

    def _convert(self) -> Conversion:
        graph = normal_form(self._network.trained())
        try:
            conversion = lower(graph, graph, self._calibration, self._options, self._scales)
            return replace(conversion, network=replace(conversion.network, picture=self._data.picture))
        except (ConversionError, NetworkError) as error:
            raise ConversionError(
                f"iteration {self.iteration}: the network can no longer be converted ({error}); lower the rate"
            ) from error


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


def write_model(graph: Graph, path: Path) -> None:
    """``graph`` as ONNX with free height and width, its outputs under their names in the original file."""
    model = to_onnx(graph)
    (image,) = model.graph.input
    for axis, name in zip(image.type.tensor_type.shape.dim[2:], ("height", "width"), strict=True):
        axis.dim_param = name
    outputs = []
    for (name, value), output in zip(graph.outputs, model.graph.output, strict=True):
        if name != value:
            model.graph.node.append(onnx.helper.make_node("Identity", [value], [name], name=name))
        outputs.append(onnx.helper.make_tensor_value_info(name, output.type.tensor_type.elem_type, [None] * 4))
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    files.write(path, model.SerializeToString())
