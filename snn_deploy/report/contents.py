"""What a report holds: results that exist already. Drawing (:mod:`snn_deploy.report.page`) computes nothing."""

from __future__ import annotations

from collections.abc import Mapping as Record
from dataclasses import dataclass

from snn_deploy.activity.counting import Activity
from snn_deploy.arrays import Float32
from snn_deploy.backend.protocol import Run
from snn_deploy.conversion.loss import LayerLoss
from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.errors import ReportError
from snn_deploy.evaluation.stream import StreamEvaluation
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.mapping.fit import Mapping
from snn_deploy.network.network import Network
from snn_deploy.verification import Verdict


@dataclass(frozen=True, eq=False)
class Picture:
    """One image (1, C, H, W) with values in [0, 1], C = 1 or 3, its title and a line below it."""

    title: str
    values: Float32
    note: str = ""


@dataclass(frozen=True)
class Score:
    """A result of the images as text; ``is_bad`` where it is worse than a reader should overlook."""

    name: str
    text: str
    is_bad: bool = False


@dataclass(frozen=True)
class Losses:
    """What every layer has lost against the float network, on a part of the image of ``pixels`` (height x width)."""

    layers: tuple[LayerLoss, ...]
    pixels: str


@dataclass(frozen=True)
class Curve:
    """Quality (PSNR in dB) over the budget: steps T or levels N, one point for each, and a level to compare with.

    ``chosen`` is the budget of the network that the report is about.
    """

    budget: str
    against: str
    points: tuple[tuple[int, float], ...]
    chosen: int
    limit: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        if len(self.points) < 2 or list(self.points) != sorted(self.points):
            raise ReportError("a curve needs two points or more, in the order of their budgets")


@dataclass(frozen=True, eq=False)
class Contents:
    """All parts. ``missing`` says, by heading, why a part is not there: a report hides nothing.

    ``energy`` is ``None`` where a population does not fit on a core. ``mapping`` and its drawing ``core_map``, SVG, are there
    for targets that are chips. ``provenance`` is text by name. ``warnings`` are about the image; verdict and mapping have theirs.
    ``stream``: frames one after the other, where a report is about some.
    """

    network: Network
    run: Run
    pictures: tuple[Picture, ...]
    scores: tuple[Score, ...]
    activity: Activity
    energy: EnergyEstimate | None
    mapping: Mapping | None
    verdict: Verdict
    curve: Curve | None
    losses: Losses | None
    ledger: Ledger | None
    core_map: str | None
    provenance: Record[str, str]
    missing: Record[str, str]
    warnings: tuple[str, ...] = ()
    stream: StreamEvaluation | None = None

    def __repr__(self) -> str:
        energy = "" if self.energy is None else f", {self.energy.total_j.text('J')} per image"
        return f"Contents({self.network.name}: {self.verdict.line}{energy})"
