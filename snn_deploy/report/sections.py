"""What each part of a report shows, as values for its template; ``None`` where there is nothing."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping as Record
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from markupsafe import Markup

from snn_deploy.arrays import Int64
from snn_deploy.conversion.layer_loss import name_causes
from snn_deploy.cost.estimates import BOUNDARY, Timing
from snn_deploy.data import images
from snn_deploy.display.labels import labels
from snn_deploy.mapping.fit import Mapping
from snn_deploy.report import charts
from snn_deploy.report.contents import Contents
from snn_deploy.report.network_picture import draw_network
from snn_deploy.report.tables import Cell, Code, Marked, Named, Table
from snn_deploy.verification import Status

SMALL = 96
"""Pictures of fewer pixels a side are shown with visible pixels."""

SVG = "http://www.w3.org/2000/svg"
"""Name space of drawings, which HTML knows without being told."""

COLORS = {Status.EQUAL: "good", Status.DIFFERENT: "bad", Status.NOT_COMPARED: "warn", Status.WITHIN_SPREAD: "warn"}

View: TypeAlias = dict[str, Any]
"""Values by the names that a template has for them."""

Names: TypeAlias = Record[str, Named]


@dataclass(frozen=True)
class Shown:
    """A picture as an address with the data in it."""

    title: str
    note: str
    source: str
    small: bool


def show_pictures(contents: Contents) -> View | None:
    """The images, side by side."""
    shown = [
        Shown(picture.title, picture.note, _address(picture.values), max(picture.values.shape[2:]) < SMALL)
        for picture in contents.pictures
    ]
    return {"pictures": shown} if shown else None


def _address(values: images.Image) -> str:
    return f"data:image/png;base64,{b64encode(images.encode_image(values)).decode()}"


def show_curve(contents: Contents) -> View | None:
    """PSNR over the budget; infinite points are said, not drawn."""
    curve = contents.curve
    if curve is None:
        return None
    finite = [point for point in curve.points if math.isfinite(point[1])]
    limit = curve.limit if curve.limit is not None and math.isfinite(curve.limit[1]) else None
    equal = ", ".join(str(budget) for budget, score in curve.points if not math.isfinite(score))
    left_out = f"Without any error, and not drawn: {curve.budget} = {equal}." if equal else ""
    if len(finite) < 2:
        return {"drawn": "", "note": left_out}
    drawn = charts.line(finite, curve.budget, f"PSNR in dB {curve.against}", curve.chosen, limit)
    ring = f"The ring marks the budget of this network, {curve.chosen}. {left_out}".strip()
    return {"drawn": drawn, "note": ring}


def show_network(contents: Contents, names: Names) -> View:
    """Populations, connections and events as a picture."""
    return {"picture": draw_network(contents.network, contents.run, names)}


def show_losses(contents: Contents, names: Names) -> View | None:
    """Error of every layer, and its cause."""
    losses = contents.losses
    if losses is None:
        return None
    top = max((loss.error for loss in losses.layers if math.isfinite(loss.error)), default=0.0) or 1.0
    causes = name_causes(losses.layers, contents.network)
    rows = []
    for loss in losses.layers:
        own = bool(loss.clipping or loss.rounding)
        parts = (f"{loss.clipping:.2%}", f"{loss.rounding:.2%}") if own else ("", "")
        rows.append((names[loss.name], charts.bar(loss.error / top, f"{loss.error:.2%}"), *parts, causes[loss.name]))
    headings = ("layer", "error", "by clipping", "by rounding", "cause")
    return {"table": Table(headings, rows, numbers=(2, 3), wide=(1,)), "pixels": losses.pixels}


def show_activity(contents: Contents, names: Names) -> View:
    """Events and counts of every population."""
    rows = []
    for population in contents.network.populations:
        counts, events = contents.run.counts[population.name], contents.run.events[population.name]
        active = float((events > 0).mean())
        rows.append(
            (
                names[population.name],
                Markup('<img class="map" alt="" src="{}">').format(_thumbnail(counts)),
                f"{population.size:,}",
                f"{int(events.sum()) / counts.shape[0]:,.0f}",
                charts.bar(active, f"{active:.1%}"),
                f"{int(np.abs(counts).max()):,}",
                charts.histogram(counts),
                f"{contents.run.saturations.get(population.name, 0):,}",
            )
        )
    headings = ("population", "where", "neurons", "events", "neurons that fired", "top count", "counts", "saturated")
    linked = any(named.anchor for named in names.values())
    table = Table(headings, rows, numbers=(2, 3, 5, 7), wide=(4,))
    return {"backend": contents.run.backend, "linked": linked, "table": table}


def _thumbnail(counts: Int64) -> str:
    """Spikes of the first image over its pixels."""
    plane = np.abs(counts[0]).sum(0).astype(np.float64)
    step = max(1, min(plane.shape) // 48)
    plane = plane[::step, ::step]
    top = plane.max()
    return _address((plane / top if top else plane)[None, None].astype(np.float32))


def show_energy(contents: Contents, names: Names) -> View | None:
    """Energy by part and by population, the timeline, and every coefficient."""
    energy = contents.energy
    if energy is None:
        return None
    known = [*(part.energy for part in energy.parts), energy.static_j]
    top = max(each.high for each in known if each is not None)
    rows: list[tuple[str | Markup, ...]] = []
    for part in energy.parts:
        count, text = part.texts
        rows.append((part.name, text, "" if part.energy is None else charts.band(part.energy, top), count))
    if energy.static_j is not None and energy.timing is not None:
        machine = f"{energy.timing.cores:,} cores, {energy.timing.chips:,} chip(s)"
        rows.append(("leakage", energy.static_j.text("J"), charts.band(energy.static_j, top), machine))
    share = "" if energy.static_share is None else f"{energy.static_share:.0%} static, {BOUNDARY}"
    rows.append(("total", energy.total_j.text("J"), "", share))
    peak = max(layer.energy.high for layer in energy.layers) or 1.0
    layers = [
        (names[layer.population], layer.energy.text("J"), charts.band(layer.energy, peak)) for layer in energy.layers
    ]
    return {
        "target": energy.target,
        "activity": energy.activity,
        "parts": Table(("part", "energy", "band", "per image"), rows, numbers=(1, 3), wide=(2,), total=True),
        "timeline": None if energy.timing is None else _timeline(energy.timing),
        "notes": [f"not in the energy: {', '.join(energy.excluded)}", *energy.notes],
        "layers": Table(("population", "energy", "band"), layers, numbers=(1,), wide=(2,)),
        "summary": f"all {len(energy.figures)} energy coefficients and sources",
        "figures": [figure.citation for figure in energy.figures],
    }


def _timeline(timing: Timing) -> View:
    """Durations of the steps of one image, and the population whose core the others wait for."""
    timeline = timing.timeline
    short = labels((step.busiest for step in timeline.steps if step.busiest is not None), 16)
    names = [short.get(step.busiest or "", "") for step in timeline.steps]
    titles = [
        f"step {index}: {step.duration_s.text('s')}, busiest core: {step.busiest or 'none'}; "
        f"{step.operations:,.0f} synaptic operations, {step.messages:,.0f} messages, {step.dynamic_j.text('J')} dynamic"
        for index, step in enumerate(timeline.steps)
    ]
    flow = "images stream" if timeline.is_streamed else "one image at a time"
    said = "measured" if timeline.is_measured else timeline.basis
    text = (
        f"{len(names)} steps from one image to the next, {flow}: {said}. Latency {timing.latency_s.text('s')}, "
        f"{timing.interval_s.inverse().text('')} images/s. Below each step the population whose core the others wait for; "
        "lines span the bands."
    )
    return {"text": text, "drawn": charts.bars([step.duration_s for step in timeline.steps], names, titles)}


def describe_chips(mapping: Mapping) -> str:
    """Chips and board of a mapping that is placed."""
    board = "" if mapping.board is None else f", on {mapping.board.name}"
    return f"{mapping.chips:,} chip(s){board}"


def show_cores(contents: Contents, names: Names) -> View | None:
    """Where the network goes on a chip, or why it does not fit."""
    mapping = contents.mapping
    if mapping is None:
        return None
    color, text = ("good", "fits") if mapping.fits else ("bad", "does not fit")
    placed = f"{mapping.cores:,} cores, {describe_chips(mapping)}"
    if not mapping.is_placed:
        placed = f"no total, {len(mapping.unplaced):,} of {len(mapping.layers):,} populations fit on no core"
    rows = [
        (
            names[mapped.layer.name],
            "none" if mapped.tile is None else f"{mapped.cores:,}",
            "" if mapped.tile is None else f"{mapped.tile.channels} x {mapped.tile.rows} x {mapped.tile.columns}",
            charts.bar(mapped.limit.fraction, f"{mapped.limit.fraction:.0%}"),
            mapped.limit.resource,
        )
        for mapped in mapping.layers
    ]
    drawn = "" if contents.core_map is None else contents.core_map.replace(f' xmlns="{SVG}"', "")
    return {
        "color": color,
        "line": f"{text} {mapping.target}: {placed}",
        "problems": [problem.text for problem in mapping.problems],
        "warnings": mapping.warnings,
        "drawn": Markup(drawn),  # made by core_map, which escapes what it is given
        "table": Table(("population", "cores", "neurons of a core", "used", "of"), rows, numbers=(1,), wide=(3,)),
    }


def show_verification(contents: Contents, names: Names) -> View:
    """The verdict, population by population."""
    verdict = contents.verdict
    rows: list[tuple[Cell, ...]] = []
    for row in verdict.rows:
        counts = ["-" if side.counts is None else f"{side.counts:,}" for side in row.sides]
        differ = max((sum(number for _, number in side.differing) for side in row.sides[1:]), default=0)
        status = Marked(row.status.value, COLORS[row.status], " (silent)" if row.silent else "")
        rows.append(
            (names[row.population], f"{row.probed:,} of {row.neurons:,}", *counts, f"{differ:,}", status),
        )
    sides = (f"{name} counts" for name in verdict.backends)
    headings = ("population", "neurons compared", *sides, "values differ", "status")
    return {
        "color": COLORS[verdict.status],
        "line": verdict.line,
        "warnings": verdict.warnings,
        "compared": contents.missing.get("compared"),
        "table": Table(headings, rows, numbers=tuple(range(1, len(headings) - 1))),
    }


def show_operators(contents: Contents, anchors: Record[str, str]) -> View | None:
    """Every node of the ONNX file, where links from populations lead."""
    ledger = contents.ledger
    if ledger is None:
        return None
    rows = [(Code(row.node, anchors[row.node]), row.operator, row.fate, row.note) for row in ledger.rows]
    counts = ", ".join(f"{number} {fate}" for fate, number in ledger.counts.items() if number)
    return {
        "counts": f"{len(rows)} nodes of the ONNX file: {counts}.",
        "table": Table(("node", "operator", "fate", "into what"), rows),
    }


def show_provenance(contents: Contents) -> View:
    """What was run, on what, by which versions, and the options of the conversion."""
    facts = [(name, Code(text)) for name, text in contents.provenance.items()]
    options = [(name, Code(str(value))) for name, value in contents.network.config.items()]
    return {"facts": Table(("what", "value"), facts), "options": Table(("option", "value"), options)}
