"""``snn-deploy estimate``: spikes, synaptic operations, joules and seconds of an image on a device."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snn_deploy.activity.counting import assume_activity, count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import arguments as shared
from snn_deploy.cli import streams
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cli.commands import estimate_against, estimate_stream
from snn_deploy.cli.modes import NOISE, Mode, Modes, Need
from snn_deploy.cost.balancing import GOALS, map_balanced, measure_evenness
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.display.console import note, progress, show, show_json, suggest_next, verbose
from snn_deploy.display.plan_table import cost_table
from snn_deploy.display.tables import activity_table, energy_table, mapping_table
from snn_deploy.errors import StimulusError
from snn_deploy.files import check_writable, write
from snn_deploy.mapping.fit import Mapping
from snn_deploy.network import artifact
from snn_deploy.planning.measure import measure_plan
from snn_deploy.planning.plan import open_plan
from snn_deploy.report.core_map import core_map
from snn_deploy.targets.device import Target
from snn_deploy.targets.load import load_target

OPTIONAL = ("MACs", "unit spikes", "operations / MAC", "neurons")
"""Columns that a narrow terminal can miss."""


def _chip_is_given(arguments: argparse.Namespace) -> bool:
    """Whether ``--target`` is not what decides about the chip."""
    return arguments.plan is not None or arguments.against is not None


MODES = Modes(
    (
        streams.mode("backend target streamed map json"),
        Mode(
            "with --plan",
            "network input crop noise seed backend plan json",
            lambda arguments: arguments.plan is not None,
        ),
        Mode(
            "with --against, whose chip is estimated",
            "network input crop noise seed backend against json",
            lambda arguments: arguments.against is not None,
        ),
        Mode(
            "with --rate", "network rate target streamed balance map json", lambda arguments: arguments.rate is not None
        ),
        Mode("without --rate", "network input bin crop noise seed backend target streamed balance map json"),
    ),
    (
        Need("crop noise seed backend", "without --input or --stream", streams.is_shown),
        NOISE,
        streams.BIN,
        Need(
            "map streamed balance",
            "with a --target that is not a chip",
            lambda arguments: _chip_is_given(arguments) or load_target(arguments.target).kind == "chip",
        ),
    ),
)


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "estimate",
        description="Count the synaptic operations of an image or of the frames of a stream, map the network to cores, and "
        "estimate energy and time; status 1 if it does not fit.",
        epilog="example: snn-deploy estimate out/denoiser.snn --input photo.png --noise 25 --target loihi2",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser, required=False)
    streams.add_options(parser)
    parser.add_argument(
        "--rate", type=shared.real(0, 1), metavar="R", help="assume R events per neuron and step; runs nothing"
    )
    shared.add_backend(parser)
    shared.add_plan(parser, "execute, on the hardware that the plan names, and estimate")
    parser.add_argument(
        "--against",
        choices=estimate_against.SIMULATORS,
        help="run the image on this simulator of a chip, too, and explain every difference to what it reports",
    )
    parser.add_argument("--target", default="loihi2", help="device name, or a TOML file (default: loihi2)")
    parser.add_argument(
        "--streamed", action="store_true", help="images follow each other through the pipeline (default: one at a time)"
    )
    parser.add_argument(
        "--balance",
        choices=GOALS,
        help="tiles of any size, not the compiler's: the fewest cores, or up to a tenth more for latency or energy",
    )
    parser.add_argument("--map", type=Path, metavar="FILE.svg", help="draw the cores, coloured by load")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Count, map, estimate, show."""
    if arguments.plan is not None:
        return _planned(arguments)
    if arguments.against is not None:
        return estimate_against.execute(arguments)
    if arguments.map is not None:
        check_writable(arguments.map)
    target = load_target(arguments.target)
    network = artifact.load(arguments.network)
    if sum(given is not None for given in (arguments.input, arguments.rate, arguments.stream)) != 1:
        raise StimulusError("give --input FILE, or --stream PATH, or --rate R to assume an activity: one of them")
    first = None
    if arguments.stream is not None:
        network, first, activity = estimate_stream.count(arguments, network)
    elif arguments.rate is not None:
        activity = assume_activity(network, arguments.rate)
    else:
        network, payloads = shared.stimulus(arguments, network)
        record = choose_record(network, payloads.shape[0])
        activity = count_activity(network, shared.run(arguments.backend, network, payloads, record))
    goal, streamed = arguments.balance, arguments.streamed
    mapping = map_balanced(network, activity, target, goal, streamed=streamed) if target.kind == "chip" else None
    is_placed = mapping is None or mapping.is_placed
    energy = estimate(network, activity, target, mapping=mapping, streamed=arguments.streamed) if is_placed else None
    balanced = mapping if goal is not None and is_placed else None
    evenness = None if balanced is None else measure_evenness(network, activity, target, balanced)
    if mapping is not None and arguments.map is not None:
        _draw(arguments.map, mapping, target)
    begin = None
    if first is not None and is_placed:
        begin = estimate(network, first, target, mapping=mapping, streamed=arguments.streamed)
    if arguments.json:
        estimated = {
            "energy": None if energy is None else energy.record(),
            "mapping": None if mapping is None else mapping.record(),
            "clipped": record_clipping(arguments),
        }
        if first is None:
            evened = None if evenness is None else evenness.record()
            show_json("estimate", estimated | {"evenness": evened})
        else:
            show_json("estimate-stream", estimated | estimate_stream.record(first, activity, begin))
        return 0 if mapping is None else mapping.exit_status
    show(activity_table(activity), optional=OPTIONAL)
    if mapping is not None:
        table, *remarks = mapping_table(mapping).renderables
        show(table)
        for remark in remarks:
            show(str(remark))
    if evenness is not None:
        show(evenness.text)
    if energy is not None:
        show_energy(energy)
    if begin is not None and first is not None and energy is not None:
        show(estimate_stream.tabulate_frames(first, activity, begin, energy))
    if mapping is not None and mapping.exit_status == 0:
        bundle = arguments.network.with_name(f"{arguments.network.stem}_bundle")
        suggest_next("snn-deploy", "emit", arguments.network, "--to", "lava", "--out", bundle)
    return 0 if mapping is None else mapping.exit_status


def _draw(path: Path, mapping: Mapping, target: Target) -> None:
    if mapping.is_placed:
        write(path, core_map(mapping, target, None))
        note(f"wrote {path}")
    else:
        note(f"{path} is not written: {', '.join(mapping.unplaced)} fit on no core of {target.name}")


def _planned(arguments: argparse.Namespace) -> int:
    """Execute a plan on the image, and show what that costs."""
    if arguments.input is None:
        raise StimulusError("give --input FILE, the image on which the plan is executed")
    own = artifact.load(arguments.network)
    plan = open_plan(arguments.plan, own)
    target = load_target(plan.hardware.target)
    network, payloads = shared.stimulus(arguments, own)
    with progress(f"{arguments.backend}: {own.name} in tiles") as report:
        _, cost = measure_plan(plan, network, payloads, load_backend(arguments.backend), target, report)
    if arguments.json:
        show_json("estimate-plan", {"plan": cost.record(), "clipped": record_clipping(arguments)})
    else:
        show(cost_table(plan, cost))
    return 0


def show_energy(energy: EnergyEstimate) -> None:
    """Energy with its bands, and the basis of its coefficients; with ``--verbose`` every coefficient."""
    table, *basis = energy_table(energy).renderables
    show(table)
    if verbose():
        for line in basis:
            show(str(line))
        return
    kinds: dict[str, int] = {}
    for figure in energy.figures:
        kinds[figure.basis] = kinds.get(figure.basis, 0) + 1
    known = ", ".join(f"{number} {basis}" for basis, number in kinds.items())
    show(f"energy coefficients: {known}; sources with --verbose, all in --json")
    show(f"not in the energy: {', '.join(energy.excluded)}")
    for text in energy.notes:
        show(f"note: {text}")
