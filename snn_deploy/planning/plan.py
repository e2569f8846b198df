"""A plan: which layers run together, in which tiles, for images of one size; and its file.

A plan is JSON: what can be computed again (places of tiles, groups as networks) is not in it. ``figures`` are those that were
measured when it was made, for the record; nothing reads them. A plan belongs to one network, which its SHA-256 names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from snn_deploy.errors import PlanError
from snn_deploy.files import read_limited, write
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.planning.halo import Halo
from snn_deploy.shapes import Size

FORMAT = "snn-deploy plan"
VERSION = 1
"""Schema of the file."""

MOST_BYTES = 2**22
"""Largest file that is read."""

MOST_SIDE = 2**16
"""Pixels a side of the largest image of a plan."""


@dataclass(frozen=True)
class Group:
    """Populations that run together, in tiles of ``tile`` (H, W) pixels of what they read."""

    populations: tuple[str, ...]
    tile: Size
    halo: Halo

    def __post_init__(self) -> None:
        if not self.populations:
            raise PlanError("a group of a plan has no populations")
        if not all(1 <= side <= MOST_SIDE for side in self.tile):
            raise PlanError(f"tiles of {self.tile[0]}x{self.tile[1]} pixels; sides of 1 to {MOST_SIDE} are allowed")


@dataclass(frozen=True)
class Hardware:
    """What there is: ``chips`` of ``target``, of which ``cores`` are used."""

    target: str
    chips: int
    cores: int

    def __post_init__(self) -> None:
        if min(self.chips, self.cores) < 1:
            raise PlanError(f"{self.chips} chips with {self.cores} cores; at least one of each is needed")


@dataclass(frozen=True)
class Plan:
    """How ``network``, of which ``digest`` is the SHA-256, runs on images of ``image`` (H, W) pixels.

    ``exact``: tiles equal the whole image, proved when the plan was made. ``figures``: what was measured then.
    """

    network: str
    digest: str
    image: Size
    groups: tuple[Group, ...]
    exact: bool
    hardware: Hardware
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.groups:
            raise PlanError("a plan has no groups")
        if not all(1 <= side <= MOST_SIDE for side in self.image):
            raise PlanError(f"images of {self.image[0]}x{self.image[1]} pixels; sides of 1 to {MOST_SIDE} are allowed")

    def __repr__(self) -> str:
        tiles = ", ".join(_text(group.tile) for group in self.groups)
        form = "exact" if self.exact else "not exact"
        return f"Plan({self.network}: images of {_text(self.image)}, {len(self.groups)} group(s) in tiles of {tiles}, {form})"

    def check(self, network: Network) -> None:
        """:class:`~snn_deploy.errors.PlanError` unless this plan is of ``network``, as it stands in its file."""
        digest = artifact.digest(network)
        if digest != self.digest:
            raise PlanError(
                f"the plan is of network {shortened(self.network)}, SHA-256 {shortened(self.digest[:12])}..., not of "
                f"{network.name}, {digest[:12]}...; make a plan of this network"
            )
        names = [name for group in self.groups for name in group.populations]
        if names != [population.name for population in network.populations[1:]]:
            raise PlanError(f"the groups of the plan are not the populations of {network.name} in their order")

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "network": self.network,
            "sha256": self.digest,
            "image": list(self.image),
            "exact": self.exact,
            "hardware": {
                "target": self.hardware.target,
                "chips": self.hardware.chips,
                "cores": self.hardware.cores,
            },
            "groups": [
                {
                    "populations": list(group.populations),
                    "tile": list(group.tile),
                    "halo": [group.halo.before, group.halo.after],
                }
                for group in self.groups
            ],
            "figures": dict(self.figures),
        }


def save_plan(plan: Plan, path: Path) -> None:
    """Write ``plan`` to ``path``."""
    write(path, json.dumps(plan.record(), indent=1, allow_nan=False) + "\n")


def load_plan(path: Path) -> Plan:
    """Read a plan; :class:`~snn_deploy.errors.PlanError` for a file that is none."""
    data = read_limited(path, PlanError, MOST_BYTES)
    try:
        record = json.loads(data)
        found = record["format"], record["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PlanError(f"{path}: is not a plan; snn-deploy plan --out writes one") from error
    if found != (FORMAT, VERSION):
        raise PlanError(
            f"{path}: is of format {shortened(found[0])}, version {shortened(found[1])}; '{FORMAT}', version {VERSION} is read"
        )
    try:
        return _read(record)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path}: a damaged plan ({type(error).__name__}: {error}); make it again") from error


def open_plan(plan: str | Path | Plan, network: Network) -> Plan:
    """``plan``, or that of a file, which must be of ``network`` as its file has it (:meth:`Plan.check`)."""
    opened = plan if isinstance(plan, Plan) else load_plan(Path(plan))
    opened.check(network)
    return opened


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _read(record: Any) -> Plan:
    hardware = record["hardware"]
    return Plan(
        _typed(record["network"], str),
        _typed(record["sha256"], str),
        _size(record["image"]),
        tuple(
            Group(
                tuple(_typed(name, str) for name in group["populations"]),
                _size(group["tile"]),
                Halo(*_size(group["halo"])),
            )
            for group in record["groups"]
        ),
        _typed(record["exact"], bool),
        Hardware(_typed(hardware["target"], str), _typed(hardware["chips"], int), _typed(hardware["cores"], int)),
        _typed(record["figures"], dict),
    )


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{shortened(value)} where {kind.__name__} was expected")
    return value


def _size(value: Any) -> Size:
    first, second = _typed(value, list)
    return _typed(first, int), _typed(second, int)
