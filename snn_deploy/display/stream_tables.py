"""Terminal tables of streams. Imports rich, so import it only where a table is shown."""

from __future__ import annotations

from collections.abc import Sequence

from snn_deploy.activity.stream import FrameActivity, StreamCounter
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.network.network import Network


def stream_table(network: Network, counter: StreamCounter, backend: str) -> PlainTable:
    """One row per population: means of the frames after the first."""
    what = "means after the first" if counter.frames > 1 else "its only one"
    table = PlainTable(title=f"{network.name} on {backend}: {counter.frames:,} frame(s), {what}")
    for heading in ("population", "neurons", "events", "synaptic operations", "MACs", "operations / MAC"):
        table.add_column(heading, justify="left" if heading == "population" else "right")
    for means in counter.means():
        table.add_row(
            means.name,
            f"{means.neurons:,}",
            f"{means.events:,.0f}",
            f"{means.synaptic_operations:,.0f}",
            f"{means.macs:,}",
            f"{means.synaptic_operations / means.macs:.4f}" if means.macs else "",
        )
    return table


def stream_line(counter: StreamCounter, frames: Sequence[FrameActivity], seconds: float) -> str:
    """Operations per MAC of the first frame and of those after it, and how long frames took."""
    macs = max(counter.macs, 1)
    first = f"first frame {frames[0].synaptic_operations / macs:.4f} operations per MAC"
    later = [frame.synaptic_operations / macs for frame in frames[1:]]
    spread = f", later ones {sum(later) / len(later):.4f} ({min(later):.4f} to {max(later):.4f})" if later else ""
    return f"{first}{spread}; {seconds / len(frames) * 1e3:.1f} ms per frame"
