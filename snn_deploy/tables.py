"""Terminal tables of what was counted and estimated. Imports rich, so import it only where a table is shown."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from snn_deploy.counting import Activity
from snn_deploy.estimates import EnergyEstimate


def activity_table(activity: Activity) -> Table:
    """One row per population, mean per image: neurons, events, unit spikes, synaptic operations that arrive, MACs."""
    table = Table(title=f"{activity.network}: activity per image, {activity.basis}")
    for column in ("population", "neurons", "events", "unit spikes", "synaptic operations", "MACs", "operations / MAC"):
        table.add_column(column, justify="left" if column == "population" else "right")
    for population in activity.populations:
        operations = int(activity.arriving(population.name).sum()) / activity.images
        macs = sum(item.synapses for item in activity.connections if item.target == population.name)
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
        f"{sum(item.neurons for item in activity.populations):,}",
        f"{activity.events / activity.images:,.0f}",
        "unknown" if units is None else f"{units / activity.images:,.0f}",
        f"{total:,.0f}",
        f"{activity.macs:,}",
        f"{total / activity.macs:.2f}" if activity.macs else "",
    )
    return table


def energy_table(estimate: EnergyEstimate) -> Group:
    """Parts, totals and times with their bands; below them every price with its basis and source, and the notes."""
    table = Table(title=f"{estimate.network} on {estimate.target}: one image, {estimate.activity}")
    table.add_column("what")
    table.add_column("per image", justify="right")
    table.add_column("value (band)", justify="right")
    for row in estimate.rows():
        table.add_row(*row)
    basis = [Text(figure.citation, style="dim") for figure in estimate.figures]
    notes = [Text(f"note: {note}", style="yellow") for note in estimate.notes]
    return Group(table, *basis, *notes)
