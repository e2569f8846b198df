"""A plan as files: every group as a network of a tile's size, with the places of its tiles, for a backend that writes them."""

from __future__ import annotations

from pathlib import Path

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Progress
from snn_deploy.backend.registry import run_backend
from snn_deploy.backend.tiled_group import Box, PlanEmitter, TiledGroup, TilePlace
from snn_deploy.errors import BackendUnavailableError, PlanError
from snn_deploy.files import check_new_folder
from snn_deploy.network.network import Network
from snn_deploy.planning.groups import Stage
from snn_deploy.planning.halo import find_ratios
from snn_deploy.planning.plan import Plan
from snn_deploy.planning.planned import PlannedBackend, check_image, cut_stages
from snn_deploy.planning.windows import Rectangle, Tiling


def emit_plan(
    plan: Plan,
    network: Network,
    stimulus: Int64 | None,
    emitter: Backend,
    directory: Path,
    runner: Backend,
    *,
    checked: bool = True,
    progress: Progress | None = None,
) -> str:
    """Write ``plan`` of ``network``, which has the image's size, into the new ``directory``; the SHA-256 of its manifest.

    ``runner`` executes the plan on ``stimulus`` (B, C, H, W) int64, payloads: the counts that the files must give.
    :class:`~snn_deploy.errors.PlanError` without a stimulus, or one of another size;
    :class:`~snn_deploy.errors.BackendUnavailableError` for an ``emitter`` that does not write plans.
    """
    if not isinstance(emitter, PlanEmitter):
        raise BackendUnavailableError(f"backend {emitter.name} cannot write a plan; choose lava")
    if stimulus is None:
        raise PlanError("a plan is written with an image, which its files compare; give one of the plan's size")
    if network.stream:
        raise PlanError(
            f"{network.name} is prepared for streams, and a plan runs still images; emit the network as it was converted"
        )
    check_image(plan, network)
    check_new_folder(directory)
    groups = tuple(
        describe_group(stage, tiling, (network.input.name,) if number == 0 else ())
        for number, (stage, tiling) in enumerate(cut_stages(network, plan.groups))
    )
    run = run_backend(PlannedBackend(runner, plan), network, stimulus, progress=progress)
    expected = {output.population: run.counts[output.population] for output in network.outputs}
    return emitter.emit_plan(network, groups, directory, stimulus, expected, checked=checked)


def describe_group(stage: Stage, tiling: Tiling, also: tuple[str, ...]) -> TiledGroup:
    """``stage`` in the tiles of ``tiling``; of populations ``also`` the parts are kept, too."""
    members = (*also, *stage.members)
    places = tiling.places(stage.network, find_ratios(stage.network))
    return TiledGroup(
        stage.network.at_size(*tiling.tile),
        members,
        tuple((source.name, source.block) for source in stage.sources),
        tuple(
            TilePlace(
                _box(place.read),
                {name: (_box(place.kept[name][0]), _box(place.kept[name][1])) for name in members},
            )
            for place in places
        ),
    )


def _box(part: Rectangle) -> Box:
    rows, columns = part
    return rows.start, rows.stop, columns.start, columns.stop
