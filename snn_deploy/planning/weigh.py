"""Proposed plans, each executed: what it costs and what it loses against the whole image; and the choice among them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from snn_deploy.activity.counting import count_activity
from snn_deploy.arrays import Float64, Int64
from snn_deploy.backend.protocol import Backend, Progress
from snn_deploy.backend.registry import run_backend
from snn_deploy.data.images import Image
from snn_deploy.data.metrics import psnr_db
from snn_deploy.errors import PlanError, TargetError
from snn_deploy.evaluation.sweep import Goal, Point, Settings, select_pareto_front
from snn_deploy.network.network import Network
from snn_deploy.planning.measure import PlanCost, measure_plan
from snn_deploy.planning.plan import Hardware, Plan
from snn_deploy.planning.propose import Site, propose
from snn_deploy.targets.device import Target

Preference = Literal["traffic", "speed", "energy"]

PREFERENCES: tuple[Preference, ...] = get_args(Preference)

GOALS: dict[str, Goal] = {"images_per_s": "max", "energy_j": "min", "host_events": "min", "error": "min"}
"""What no plan beats another in where it is not on the Pareto front."""


@dataclass(frozen=True)
class Option:
    """A plan with its cost. ``error``: the largest of an output against the whole image's, over its standard deviation.

    ``loss_db``: PSNR of the whole image's output minus the plan's, both against the clean picture, where that is known.
    """

    plan: Plan
    cost: PlanCost
    error: float
    loss_db: float | None = None

    def __repr__(self) -> str:
        cost = f"{self.cost.images_per_s.value:.3g} images/s, {self.cost.total_j.text('J')}"
        loss = "" if self.loss_db is None else f", loss {self.loss_db:.3f} dB"
        return f"Option({self.plan}: {cost}, error {self.error:.2%}{loss})"

    @property
    def point(self) -> Point:
        """For tables and plots of sweeps."""
        groups = self.plan.groups
        settings: Settings = {
            "groups": len(groups),
            "tile": " ".join(f"{group.tile[0]}x{group.tile[1]}" for group in groups),
            "halo": " ".join(group.halo.text for group in groups),
        }
        scores = {
            "images_per_s": self.cost.images_per_s.value,
            "energy_j": self.cost.total_j.value,
            "host_events": self.cost.host_events,
            "error": self.error,
        }
        return Point(settings, scores if self.loss_db is None else scores | {"loss_db": self.loss_db})

    @property
    def finished(self) -> Plan:
        """The plan with what was measured."""
        return replace(self.plan, figures=self.cost.record() | {"output_error": self.error, "loss_db": self.loss_db})


def weigh(
    own: Network,
    network: Network,
    payloads: Int64,
    target: Target,
    hardware: Hardware,
    backend: Backend,
    clean: Image | None = None,
    progress: Progress | None = None,
) -> tuple[Option, ...]:
    """Every proposed plan of ``own`` for images of ``network``'s size, executed on ``payloads`` (B, C, H, W) int64.

    ``network`` is ``own`` at the image's size. ``clean`` (B, C, H, W): the pictures without noise, in the network's range.
    :class:`~snn_deploy.errors.PlanError` where nothing fits, or the network cannot be tiled.
    """
    if target.kind != "chip":
        raise TargetError(f"target {target.name} has no cores to plan for; choose a chip, such as loihi2")
    whole = run_backend(backend, network, payloads)
    expected = whole.values(network)
    best_db = _psnr(network, expected, clean)
    site = Site.of(network, target, hardware, count_activity(network, whole))
    proposed = tuple(propose(site, own))
    others = {output.name: whole.values(network, output.name) for output in network.outputs}
    options = []
    for number, plan in enumerate(proposed):
        run, cost = measure_plan(plan, network, payloads, backend, target)
        values = run.values(network)
        error = max(_error(run.values(network, name), right) for name, right in others.items())
        if plan.exact and error:
            raise PlanError(f"{own.name}: a plan that was proved to be exact is not; this is a defect of snn-deploy")
        found_db = _psnr(network, values, clean)
        loss_db = None if best_db is None or found_db is None else best_db - found_db if error else 0.0
        options.append(Option(plan, cost, error, loss_db))
        if progress is not None:
            progress(number + 1, len(proposed))
    return tuple(options)


def _error(values: Float64, expected: Float64) -> float:
    """Root mean square of the difference, over the standard deviation of ``expected``."""
    spread = max(float(expected.std()), sys.float_info.min)
    return float(np.sqrt(np.mean(np.square(values - expected)))) / spread


def _psnr(network: Network, values: Float64, clean: Image | None) -> float | None:
    """PSNR of an output that is a picture of the input's shape; ``None`` for all others, and for one without an error."""
    if clean is None or values.shape != clean.shape or network.outputs[0].host:
        return None
    found = psnr_db(network.picture.as_picture(values), network.picture.of_input(clean))
    return found if math.isfinite(found) else None


def select_front(options: Sequence[Option]) -> tuple[bool, ...]:
    """Which of ``options`` no other one beats."""
    points = [option.point for option in options]
    front = select_pareto_front(points, GOALS)
    return tuple(any(point is each for each in front) for point in points)


def choose_option(options: Sequence[Option], most_error: float, prefer: Preference) -> Option:
    """The best of ``options`` with an error of at most ``most_error`` of the output's variation.

    ``traffic``: fewest events between host and chips, which no figure of time or energy contains; ``speed``: most images
    per second; ``energy``: fewest joules. :class:`~snn_deploy.errors.PlanError` where all lose more.
    """
    allowed = [option for option in options if option.error <= most_error]
    if not allowed:
        least = min(option.error for option in options)
        raise PlanError(
            f"no plan that fits loses at most {most_error:.2%} of the output's variation, the least {least:.2%}: allow that"
            " (--max-loss), or use more chips"
        )
    costs: dict[Preference, Callable[[Option], float]] = {
        "traffic": lambda option: option.cost.host_events,
        "speed": lambda option: option.cost.interval_s.value,
        "energy": lambda option: option.cost.total_j.value,
    }
    return min(allowed, key=costs[prefer])
