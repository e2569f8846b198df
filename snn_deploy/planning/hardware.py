"""The hardware at hand: so many chips, so many cores, or a board that the target's file names."""

from __future__ import annotations

import re

from snn_deploy.errors import PlanError, TargetError
from snn_deploy.planning.plan import Hardware
from snn_deploy.targets.device import Target


def choose_hardware(
    target: Target, *, chips: int | None = None, cores: int | None = None, board: str | None = None
) -> Hardware:
    """One chip, or what one of the three says; ``board`` in any spelling of its name (``kapoho-point``)."""
    if target.kind != "chip":
        raise TargetError(f"target {target.name} has no cores to plan for; choose a chip, such as loihi2")
    if sum(given is not None for given in (chips, cores, board)) > 1:
        raise PlanError("chips, cores and board say the same; give one of them")
    per_chip = target.integer("limits.cores_per_chip")
    if cores is not None:
        return Hardware(target.name, -(-cores // per_chip), cores)
    if board is not None:
        found = next((each for each in target.boards if _plain(each.name) == _plain(board)), None)
        if found is None:
            known = ", ".join(f"{each.name} ({each.chips})" for each in target.boards) or "none"
            raise PlanError(f"{target.name} has no board {board!r}; the boards (chips) are {known}")
        chips = found.chips
    return Hardware(target.name, chips or 1, (chips or 1) * per_chip)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
