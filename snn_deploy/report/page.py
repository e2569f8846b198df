"""The report as HTML, from ``templates``. Everything is inside the file; a policy in its head forbids scripts and any network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from snn_deploy.cost.estimates import BOUNDARY
from snn_deploy.display.names import visible
from snn_deploy.evaluation.stream import StreamEvaluation
from snn_deploy.report import sections
from snn_deploy.report.contents import Contents
from snn_deploy.report.nodes import name_populations, number_nodes
from snn_deploy.report.sections import COLORS
from snn_deploy.report.stream_section import STREAM, show_stream
from snn_deploy.templates import open_templates

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Tile:
    """One result at the top: its name, the value, in a color where it has one, and a line below it."""

    name: str
    value: str
    small: str = ""
    color: str | None = None


@dataclass(frozen=True)
class Section:
    """A part: its heading, its template and what that shows; ``missing`` says why there is nothing to show."""

    title: str
    template: str
    view: sections.View | None
    missing: str | None = None

    @property
    def anchor(self) -> str:
        """Where links to it lead."""
        return self.title.lower().replace(" ", "-")


def render_page(contents: Contents) -> str:
    """The whole file."""
    return (
        _open_templates()
        .get_template("report.html")
        .render(
            name=contents.network.name,
            lead=_lead(contents),
            tiles=list(_tiles(contents)),
            warnings=list(_warnings(contents)),
            sections=list(_sections(contents)),
            version=contents.provenance.get("snn-deploy", ""),
        )
        + "\n"
    )


@cache
def _open_templates() -> Environment:
    return open_templates("snn_deploy.report", visible)


def _lead(contents: Contents) -> str:
    network = contents.network
    levels = network.config.get("levels")  # not of networks that were not converted
    budget = (
        f", time steps: {network.steps}" if network.mode == "rate" else f", counts up to {levels}" if levels else ""
    )
    neurons = sum(population.size for population in network.populations)
    return (
        f"Spiking network in {network.mode} mode{budget}; {len(network.populations)} populations, "
        f"{neurons:,} neurons at an image of {' x '.join(map(str, network.input.shape))}."
    )


def _tiles(contents: Contents) -> Iterator[Tile]:
    energy, verdict, mapping = contents.energy, contents.verdict, contents.mapping
    for score in contents.scores:
        yield Tile(score.name, score.text, color="bad" if score.is_bad else None)
    compared = f"{', '.join(verdict.backends)}; every {_strictness(verdict.asked.label)}"
    yield Tile("counts of the backends", verdict.status.value, compared, COLORS[verdict.status])
    if mapping is not None and not mapping.fits:
        yield Tile(f"cores of {mapping.target}", "does not fit", mapping.problems[0].text, "bad")
    elif mapping is not None:
        yield Tile(f"cores of {mapping.target}", f"{mapping.cores:,}", sections.describe_chips(mapping))
    if energy is not None:
        value, band = _split(energy.total_j.text("J"))
        boundary = "" if energy.static_share is None else f"; {energy.static_share:.0%} static, {BOUNDARY}"
        yield Tile(f"energy per image on {energy.target}", value, band + boundary)
        if energy.timing is not None:
            yield Tile("latency", *_split(energy.timing.latency_s.text("s")))
    operations = contents.activity.synaptic_operations / contents.activity.images
    share = operations / contents.activity.macs if contents.activity.macs else 0
    part = f"{share:.0%} of the multiplications of the ANN"
    yield Tile("synaptic operations per image", f"{operations:,.0f}", part)
    if contents.stream is not None:
        yield from _stream_tile(contents.stream)


def _stream_tile(stream: StreamEvaluation) -> Iterator[Tile]:
    """Operations of a frame after the first; the first is sent as a whole."""
    ratio, first = stream.operations_per_mac, stream.frames[0].activity.synaptic_operations
    if ratio is not None:
        small = f"mean of {len(stream.frames) - 1} frame(s) after the first, which takes {first / stream.macs:.4f}"
        yield Tile("operations per MAC of a frame", f"{ratio:.4f}", small)


def _warnings(contents: Contents) -> Iterator[str]:
    yield from contents.warnings
    yield from contents.verdict.warnings
    if contents.mapping is not None:
        yield from contents.mapping.warnings
    saturated = sum(contents.run.saturations.values())
    if saturated:
        yield f"{saturated:,} values were limited to 24 bits; see Spikes of every population"


def _split(text: str) -> tuple[str, str]:
    """Value and band of ``15 mJ (7.3 mJ to 23 mJ)``."""
    value, _, rest = text.partition(" (")
    return value, rest.rstrip(")")


def _strictness(level: str) -> str:
    return {"train": "event of every step", "state": "event and membrane of every step"}.get(level, level)


def _sections(contents: Contents) -> Iterator[Section]:
    anchors = number_nodes(contents.ledger)
    names = name_populations(contents.network, anchors)
    views: tuple[tuple[str, str, sections.View | None], ...] = (
        ("Images", "images", sections.show_pictures(contents)),
        ("Quality over the budget", "curve", sections.show_curve(contents)),
        ("Network", "network", sections.show_network(contents, names)),
        ("Loss of every layer", "losses", sections.show_losses(contents, names)),
        ("Spikes of every population", "activity", sections.show_activity(contents, names)),
        ("Energy and time", "energy", sections.show_energy(contents, names)),
        ("Cores", "cores", sections.show_cores(contents, names)),
        ("Verification", "verification", sections.show_verification(contents, names)),
        ("Operators", "operators", sections.show_operators(contents, anchors)),
        ("Provenance", "provenance", sections.show_provenance(contents)),
    )
    for title, template, view in views:
        if (
            title == "Network" and contents.stream is not None
        ):  # no other report has this part, nor says that it lacks it
            yield Section(STREAM, "stream.html", show_stream(contents.stream))
        missing = contents.missing.get(title, "nothing was given to show") if view is None else None
        yield Section(title, f"{template}.html", view, missing)
