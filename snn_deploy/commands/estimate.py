"""``snn-deploy estimate``: spikes, synaptic operations, joules and seconds of an image on a device."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from snn_deploy import artifact
from snn_deploy.backend import backend_names, load_backend
from snn_deploy.commands import arguments as shared
from snn_deploy.console import progress, show, show_json
from snn_deploy.counting import Activity, assume, count
from snn_deploy.energy import EnergyEstimate, estimate
from snn_deploy.errors import StimulusError
from snn_deploy.network import Network
from snn_deploy.target import load_target


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "estimate",
        help="estimate energy and time on a device",
        description="Count synaptic operations of an image and price them; every figure names its basis.",
        epilog="example: snn-deploy estimate out/denoiser.snn --input photo.png --noise 25 --target loihi2",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser, required=False)
    parser.add_argument("--rate", type=float, metavar="R", help="assume R events per neuron and step; runs nothing")
    parser.add_argument("--backend", choices=backend_names(), default="cpu", help="default: cpu")
    parser.add_argument("--target", default="loihi2", help="device name, or a TOML file (default: loihi2)")
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Count, price, show."""
    target = load_target(arguments.target)
    network = artifact.load(arguments.network)
    if (arguments.input is None) == (arguments.rate is None):
        raise StimulusError("give either --input FILE, or --rate R to assume an activity")
    if arguments.rate is not None:
        activity = assume(network, arguments.rate)
    else:
        network, _, stimulus = shared.stimulus(arguments, network)
        with progress(f"{arguments.backend}: {network.name}") as report:
            activity = count(network, load_backend(arguments.backend).run(network, stimulus, progress=report))
    found = estimate(network, activity, target)
    if arguments.json:
        show_json(found.record())
    else:
        show(activity_table(network, activity))
        show(energy_table(found))
    return 0


def activity_table(network: Network, activity: Activity) -> Table:
    """Events and synaptic operations of every population, per image."""
    shown = Table(title=f"{network.name}: activity per image ({activity.basis})")
    for heading in ("population", "neurons", "events", "active", "synaptic operations in", "MACs of the ANN"):
        shown.add_column(heading, justify="left" if heading == "population" else "right")
    for item in activity.populations:
        macs = sum(connection.synapses for connection in activity.connections if connection.target == item.name)
        events = int(item.events.sum()) // activity.images
        shown.add_row(
            item.name,
            f"{item.neurons:,}",
            f"{events:,}",
            f"{events / item.neurons / network.steps:.1%}",
            f"{int(activity.arriving(item.name).sum()) // activity.images:,}",
            f"{macs:,}",
        )
    shown.add_section()
    total = activity.synaptic_operations // activity.images
    shown.add_row("all", "", f"{activity.events // activity.images:,}", "", f"{total:,}", f"{activity.macs:,}")
    return shown


def energy_table(found: EnergyEstimate) -> Table:
    """Joules and seconds with their bands, and what they rest on."""
    shown = Table(title=f"{found.network} on {found.target}", caption="\n".join(found.notes))
    for heading in ("figure", "per image", "value and band"):
        shown.add_column(heading, justify="left" if heading == "figure" else "right")
    for row in found.rows():
        shown.add_row(*row)
    return shown
