"""Tables show every figure with its band, and the basis below."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.cost.energy import estimate
from snn_deploy.display.tables import activity_table, energy_table
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet


def rendered(item: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=240)
    console.print(item)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables() -> None:
    network = random_unet("rate", 1)
    activity = count_activity(network, load_backend("reference").run(network, random_stimulus(network, 1)))
    text = rendered(activity_table(activity))
    assert f"{activity.synaptic_operations / 2:,.0f}" in text
    assert "unknown" in text
    found = estimate(network, activity, load_target("loihi2"))
    text = rendered(energy_table(found))
    assert found.total_j.text("J") in text
    assert all(figure.citation in text for figure in found.figures)
    assert all(note in text for note in found.notes)
