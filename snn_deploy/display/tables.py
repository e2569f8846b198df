"""Terminal tables of networks, runs, and what was counted and estimated. Imports rich, so import it only where a table is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Group

from snn_deploy.activity.activity import Activity
from snn_deploy.backend.protocol import Run
from snn_deploy.cost.estimates import BOUNDARY, EnergyEstimate
from snn_deploy.display.labels import labels
from snn_deploy.display.plain_table import PlainTable, line
from snn_deploy.evaluation.sweep import Goal, Point, select_pareto_front
from snn_deploy.mapping.fit import Mapping as NetworkMapping
from snn_deploy.network.network import Network, Population


def activity_table(activity: Activity) -> PlainTable:
    """One row per population, mean per image: neurons, events, unit spikes, synaptic operations that arrive, MACs."""
    table = PlainTable(title=f"{activity.network}: activity per image, {activity.basis}")
    for column in ("population", "neurons", "events", "unit spikes", "synaptic operations", "MACs", "operations / MAC"):
        table.add_column(column, justify="left" if column == "population" else "right")
    for population in activity.populations:
        operations = int(activity.arriving(population.name).sum()) / activity.images
        macs = sum(connection.synapses for connection in activity.connections if connection.target == population.name)
        units = None if population.unit_spikes is None else int(population.unit_spikes.sum()) / activity.images
        table.add_row(
            population.name,
            f"{population.neurons:,}",
            f"{int(population.events.sum()) / activity.images:,.0f}",
            "unknown" if units is None else f"{units:,.0f}",
            f"{operations:,.0f}",
            f"{macs:,}",
            f"{operations / macs:.2f}" if macs else "",
        )
    total = activity.synaptic_operations / activity.images
    units = activity.unit_spikes
    table.add_section()
    table.add_row(
        "total",
        f"{sum(population.neurons for population in activity.populations):,}",
        f"{activity.events / activity.images:,.0f}",
        "unknown" if units is None else f"{units / activity.images:,.0f}",
        f"{total:,.0f}",
        f"{activity.macs:,}",
        f"{total / activity.macs:.2f}" if activity.macs else "",
    )
    return table


def energy_table(estimate: EnergyEstimate) -> Group:
    """Parts, totals and times with their bands; below them every coefficient with its basis and source, and the notes."""
    table = PlainTable(title=f"{estimate.network} on {estimate.target}: one image, {estimate.activity}")
    table.add_column("what")
    table.add_column("per image", justify="right")
    table.add_column("value (band)", justify="right")
    short = labels(layer.population for layer in estimate.layers)
    busiest = estimate.timing.longest_step.busiest if estimate.timing else None
    for what, how, figure in estimate.rows():
        table.add_row(what, how.replace(busiest, short.get(busiest, busiest)) if busiest else how, figure)
    basis = [line(figure.citation, style="dim") for figure in estimate.figures]
    boundary = line(f"not in the energy: {', '.join(estimate.excluded)}")
    notes = [line(f"note: {note}", style="yellow") for note in estimate.notes]
    return Group(table, boundary, *basis, *notes)


def mapping_table(mapping: NetworkMapping) -> Group:
    """Tile, cores and used / limit of every resource per population; bounds, machine, problems and warnings below."""
    resources = list(dict.fromkeys(use.resource for mapped in mapping.layers for use in mapped.uses))
    table = PlainTable(title=f"{mapping.network} on {mapping.target}: {'fits' if mapping.fits else 'does not fit'}")
    for column in ("population", "shape", "tile (C x H x W)", "cores", *resources, "limited by"):
        table.add_column(column, justify="left" if column in ("population", "limited by") else "right")
    for mapped in mapping.layers:
        tile = mapped.tile
        table.add_row(
            mapped.layer.name,
            "x".join(map(str, mapped.layer.shape)),
            "none" if tile is None else f"{tile.channels}x{tile.rows}x{tile.columns}",
            "none" if tile is None else f"{mapped.cores:,}",
            *(f"{mapped.used(resource).used:,} / {mapped.used(resource).limit:,}" for resource in resources),
            mapped.limit.resource,
        )
    free = "unknown" if mapping.free_bound is None else f"{mapping.free_bound:,}"
    board = "no board holds it" if mapping.board is None else f"{mapping.board.name} ({mapping.board.chips:,} chips)"
    machine = f"{mapping.cores:,} cores, {mapping.chips:,} chip(s) of {mapping.cores_per_chip}: {board}"
    if not mapping.is_placed:
        machine = f"no total: {len(mapping.unplaced):,} of {len(mapping.layers):,} populations fit on no core"
    lines = [
        line(machine),
        line(f"lower bounds: {mapping.neuron_bound:,} cores by neurons, {free} with tiles of free size", style="dim"),
        *(line(f"problem: {problem.text}", style="red") for problem in mapping.problems),
        *(line(f"warning: {warning}", style="yellow") for warning in mapping.warnings),
    ]
    return Group(table, *lines)


def sweep_table(points: Sequence[Point], goals: Mapping[str, Goal]) -> PlainTable:
    """One row per point in the order given; those on the Pareto front of ``goals`` are marked, failures say why."""
    front = select_pareto_front(points, goals)
    settings = list(dict.fromkeys(name for point in points for name in point.settings))
    scores = list(dict.fromkeys(name for point in points for name in point.scores))
    boundary = f"energy_j: dynamic and static_j, images one at a time, {BOUNDARY}" if "static_j" in scores else None
    table = PlainTable(title="sweep: * marks what no other point beats in " + ", ".join(goals), caption=boundary)
    for column in ("point", *settings, *scores):
        table.add_column(column, justify="right")
    for number, point in enumerate(points, 1):
        marks = f"* {number}" if point in front else str(number)
        texts = [f"{point.scores[name]:.4g}" if name in point.scores else "" for name in scores]
        if point.error is not None and texts:
            texts[0] = point.error
        table.add_row(marks, *(str(point.settings.get(name, "")) for name in settings), *texts)
    return table


def network_table(network: Network) -> PlainTable:
    """Populations: shape, start step, thresholds, what one count is worth."""
    table = PlainTable(title=f"{network.name}: {network.mode} mode, {network.duration} steps")
    for heading in ("population", "shape", "start", "threshold", "unit", "sources"):
        table.add_column(heading, justify="left" if heading == "population" else "right")
    for population in network.populations:
        table.add_row(
            population.name,
            "x".join(map(str, population.shape)),
            str(population.start),
            *thresholds_and_unit(population),
            str(len(network.incoming(population.name)) or ""),
        )
    return table


def thresholds_and_unit(population: Population) -> tuple[str, str]:
    """Cells: smallest and largest threshold, smallest and largest real value of one count."""
    theta = None if population.neuron is None else population.neuron.theta
    low, high = float(population.unit.min()), float(population.unit.max())
    unit = f"{low:.4g}" if low == high else f"{low:.3g}..{high:.3g}"
    if theta is None:
        return "input", unit
    return (f"{theta.min()}..{theta.max()}" if theta.min() < theta.max() else str(theta[0])), unit


def run_table(network: Network, run: Run) -> PlainTable:
    """Events, and magnitudes of counts, of every population, summed over the images of one run."""
    batch = next(iter(run.counts.values())).shape[0]
    table = PlainTable(
        title=f"{network.name} on {run.backend}: {batch} image(s) of "
        f"{'x'.join(map(str, network.input.shape))} in {run.seconds:.2f} s"
    )
    for heading in ("population", "neurons", "engine", "events", "spikes", "active", "saturated"):
        table.add_column(heading, justify="left" if heading in ("population", "engine") else "right")
    for population in network.populations:
        events = run.events[population.name]
        table.add_row(
            population.name,
            f"{population.size:,}",
            run.engines.get(population.name, "host"),
            f"{int(events.sum()):,}",
            f"{int(np.abs(run.counts[population.name]).sum()):,}",
            f"{float((events > 0).mean()):.1%}",
            f"{run.saturations.get(population.name, 0):,}",
        )
    return table
