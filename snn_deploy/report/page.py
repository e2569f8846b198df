"""The report as HTML. Everything is inside the file; a policy in its head forbids scripts and any network."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from importlib.resources import files

import numpy as np

from snn_deploy.cost.estimates import BOUNDARY, Timing
from snn_deploy.data import images
from snn_deploy.display.labels import labels
from snn_deploy.report import charts
from snn_deploy.report.contents import Contents, Picture
from snn_deploy.report.text import escape
from snn_deploy.verification import Status

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

SVG = "http://www.w3.org/2000/svg"
"""Name space of drawings, which HTML knows without being told."""

SMALL = 96
"""Pictures of fewer pixels a side are shown with visible pixels."""

_COLORS = {Status.EQUAL: "good", Status.DIFFERENT: "bad", Status.NOT_COMPARED: "warn", Status.WITHIN_SPREAD: "warn"}


def render_page(contents: Contents) -> str:
    """The whole file."""
    sections = [
        ("Images", _pictures(contents)),
        ("Quality over the budget", _curve(contents)),
        ("Spikes of every population", _activity(contents)),
        ("Energy and time", _energy(contents)),
        ("Cores", _cores(contents)),
        ("Verification", _verification(contents)),
        ("Operators", _ledger(contents)),
        ("Provenance", _provenance(contents)),
    ]
    links = "".join(f'<a href="#{_anchor(title)}">{title}</a>' for title, _ in sections)
    body = "".join(f'<section><h2 id="{_anchor(title)}">{title}</h2>{text}</section>' for title, text in sections)
    style = (files("snn_deploy.report") / "style.css").read_text(encoding="utf-8")
    name = escape(contents.network.name)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{name}: spiking network report</title><link rel="icon" href="data:,"><style>\n{style}</style></head>\n'
        f"<body><header><h1>{name}</h1>{_lead(contents)}{_tiles(contents)}<nav>{links}</nav></header>\n"
        f"<main>{body}</main>\n<footer>snn-deploy {escape(contents.provenance.get('snn-deploy', ''))}</footer></body></html>\n"
    )


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _lead(contents: Contents) -> str:
    network = contents.network
    budget = network.config.get("levels") if network.mode == "exact" else network.steps
    word = "counts up to" if network.mode == "exact" else "time steps:"
    shape = " x ".join(map(str, network.input.shape))
    return (
        f'<p class="lead">Spiking network in {network.mode} mode, {word} {escape(budget)}; {len(network.populations)} populations, '
        f"{sum(population.size for population in network.populations):,} neurons at an image of {shape}.</p>"
    )


def _tiles(contents: Contents) -> str:
    energy, verdict = contents.energy, contents.verdict
    tiles = [_tile(name, escape(value)) for name, value in contents.scores]
    if verdict is not None:
        compared = f"{', '.join(verdict.backends)}; every {_strictness(verdict.asked.label)}"
        status = f'<span class="{_COLORS[verdict.status]}">{escape(verdict.status.value)}</span>'
        tiles.append(_tile("counts of the backends", status, compared))
    if energy is not None:
        value, band = _split(energy.total_j.text("J"))
        boundary = "" if energy.static_share is None else f"; {energy.static_share:.0%} static, {BOUNDARY}"
        tiles.append(_tile(f"energy per image on {energy.target}", escape(value), band + boundary))
        if energy.timing is not None:
            value, band = _split(energy.timing.latency_s.text("s"))
            tiles.append(_tile("latency", escape(value), band))
    operations = contents.activity.synaptic_operations / contents.activity.images
    share = operations / contents.activity.macs if contents.activity.macs else 0
    part = f"{share:.0%} of the multiplications of the ANN"
    tiles.append(_tile("synaptic operations per image", f"{operations:,.0f}", part))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, small: str = "") -> str:
    """``value`` is HTML already."""
    return f'<div class="tile"><span>{escape(name)}</span><b>{value}</b><small>{escape(small)}</small></div>'


def _split(text: str) -> tuple[str, str]:
    """Value and band of ``15 mJ (7.3 mJ to 23 mJ)``."""
    value, _, rest = text.partition(" (")
    return value, rest.rstrip(")")


def _strictness(level: str) -> str:
    return {"train": "event of every step", "state": "event and membrane of every step"}.get(level, level)


def _missing(contents: Contents, title: str) -> str:
    return f'<p class="quiet">Not here: {escape(contents.missing.get(title, "nothing was given to show"))}.</p>'


def _pictures(contents: Contents) -> str:
    if not contents.pictures:
        return _missing(contents, "Images")
    return '<div class="pictures">' + "".join(map(_figure, contents.pictures)) + "</div>"


def _figure(picture: Picture) -> str:
    small = ' class="small"' if max(picture.values.shape[2:]) < SMALL else ""
    source = f"data:image/png;base64,{b64encode(images.encode_image(picture.values)).decode()}"
    return (
        f'<figure><img{small} src="{source}" alt="{escape(picture.title)}">'
        f"<figcaption><b>{escape(picture.title)}</b>{escape(picture.note)}</figcaption></figure>"
    )


def _curve(contents: Contents) -> str:
    curve = contents.curve
    if curve is None:
        return _missing(contents, "Quality over the budget")
    finite = [point for point in curve.points if math.isfinite(point[1])]
    limit = curve.limit if curve.limit is not None and math.isfinite(curve.limit[1]) else None
    equal = ", ".join(str(budget) for budget, score in curve.points if not math.isfinite(score))
    left_out = f"Without any error, and not drawn: {curve.budget} = {equal}." if equal else ""
    if len(finite) < 2:
        return f'<p class="quiet">{escape(left_out)}</p>'
    drawn = charts.line(finite, curve.budget, f"PSNR in dB {curve.against}", curve.chosen, limit)
    ring = f"The ring marks the budget of this network, {curve.chosen}. {left_out}".strip()
    return f'{drawn}<p class="quiet">{escape(ring)}</p>'


def _activity(contents: Contents) -> str:
    short = labels(population.name for population in contents.network.populations)
    rows = []
    for population in contents.network.populations:
        counts, events = contents.run.counts[population.name], contents.run.events[population.name]
        active = float((events > 0).mean())
        rows.append(
            (
                _name(population.name, short),
                _map(counts),
                f"{population.size:,}",
                f"{int(events.sum()) / counts.shape[0]:,.0f}",
                charts.bar(active, f"{active:.1%}"),
                f"{int(np.abs(counts).max()):,}",
                charts.histogram(counts),
                f"{contents.run.saturations.get(population.name, 0):,}",
            )
        )
    headings = ("population", "where", "neurons", "events", "neurons that fired", "top count", "counts", "saturated")
    return (
        f"<p>One image on {escape(contents.run.backend)}. <em>Where</em>: spikes summed over channels. <em>Counts</em>: how many "
        "neurons have which count, height logarithmic, silent ones left out.</p>"
        + _table(headings, rows, numbers=(2, 3, 5, 7), wide=(4,))
    )


def _map(counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    """Spikes of the first image over its pixels, as a thumbnail."""
    plane = np.abs(counts[0]).sum(0).astype(np.float64)
    step = max(1, min(plane.shape) // 48)
    plane = plane[::step, ::step]
    top = plane.max()
    values = (plane / top if top else plane)[None, None].astype(np.float32)
    return f'<img class="map" alt="" src="data:image/png;base64,{b64encode(images.encode_image(values)).decode()}">'


def _energy(contents: Contents) -> str:
    energy = contents.energy
    if energy is None:
        return _missing(contents, "Energy and time")
    known = [*(part.energy for part in energy.parts), energy.static_j]
    top = max(each.high for each in known if each is not None)
    rows = [
        (escape(part.name), escape(text), "" if part.energy is None else charts.band(part.energy, top), count)
        for part in energy.parts
        for count, text in [part.texts]
    ]
    if energy.static_j is not None and energy.timing is not None:
        machine = f"{energy.timing.cores:,} cores, {energy.timing.chips:,} chip(s)"
        rows.append(("leakage", escape(energy.static_j.text("J")), charts.band(energy.static_j, top), machine))
    share = "" if energy.static_share is None else f"{energy.static_share:.0%} static, {BOUNDARY}"
    rows.append(("total", escape(energy.total_j.text("J")), "", share))
    short = labels(layer.population for layer in energy.layers)
    peak = max(layer.energy.high for layer in energy.layers) or 1.0
    layers = [
        (_name(layer.population, short), escape(layer.energy.text("J")), charts.band(layer.energy, peak))
        for layer in energy.layers
    ]
    figures = "".join(f"<li>{escape(figure.citation)}</li>" for figure in energy.figures)
    notes = "".join(f"<li>{escape(note)}</li>" for note in energy.notes)
    return (
        f"<p>One image on {escape(energy.target)}, {escape(energy.activity)}. Bars span the bands, ticks are the values.</p>"
        + _table(("part", "energy", "band", "per image"), rows, numbers=(1, 3), wide=(2,), total=True)
        + _timeline(energy.timing)
        + f"<ul><li>not in the energy: {escape(', '.join(energy.excluded))}</li>{notes}</ul>"
        + "<details><summary>dynamic energy of every population</summary>"
        + _table(("population", "energy", "band"), layers, numbers=(1,), wide=(2,))
        + "</details><details>"
        + f"<summary>all {len(energy.figures)} energy coefficients and sources</summary><ul>{figures}</ul></details>"
    )


def _timeline(timing: Timing | None) -> str:
    """Durations of the steps of one image, and the population whose core the others wait for."""
    if timing is None:
        return ""
    timeline = timing.timeline
    short = labels((step.busiest for step in timeline.steps if step.busiest is not None), 16)
    names = [short.get(step.busiest or "", "") for step in timeline.steps]
    titles = [
        f"step {index}: {step.duration_s.text('s')}, busiest core: {step.busiest or 'none'}; "
        f"{step.operations:,.0f} synaptic operations, {step.messages:,.0f} messages, {step.dynamic_j.text('J')} dynamic"
        for index, step in enumerate(timeline.steps)
    ]
    images_per_s = timing.interval_s.inverse().text("")
    flow = "images stream" if timeline.is_streamed else "one image at a time"
    said = "measured" if timeline.is_measured else timeline.basis
    return (
        f"<h3>Timeline</h3><p>{len(names)} steps from one image to the next, {flow}: {escape(said)}. Latency "
        f"{escape(timing.latency_s.text('s'))}, {escape(images_per_s)} images/s. Below each step the population whose core the "
        "others wait for; lines span the bands.</p>"
        + charts.bars([step.duration_s for step in timeline.steps], names, titles)
    )


def _cores(contents: Contents) -> str:
    mapping = contents.mapping
    if mapping is None:
        return _missing(contents, "Cores")
    color, text = ("good", "fits") if mapping.fits else ("bad", "does not fit")
    board = "" if mapping.board is None else f", on {mapping.board.name}"
    placed = f"{mapping.cores:,} cores, {mapping.chips:,} chip(s){board}"
    if not mapping.is_placed:
        placed = f"no total, {len(mapping.unplaced):,} of {len(mapping.layers):,} populations fit on no core"
    reasons = [("bad", problem.text) for problem in mapping.problems] + [
        ("warn", warning) for warning in mapping.warnings
    ]
    listed = "".join(f'<li class="{kind}">{escape(reason)}</li>' for kind, reason in reasons)
    drawn = "" if contents.core_map is None else contents.core_map.replace(f' xmlns="{SVG}"', "")
    short = labels(mapped.layer.name for mapped in mapping.layers)
    rows = [
        (
            _name(mapped.layer.name, short),
            "none" if mapped.tile is None else f"{mapped.cores:,}",
            "" if mapped.tile is None else f"{mapped.tile.channels} x {mapped.tile.rows} x {mapped.tile.columns}",
            charts.bar(mapped.limit.fraction, f"{mapped.limit.fraction:.0%}"),
            escape(mapped.limit.resource),
        )
        for mapped in mapping.layers
    ]
    return (
        f'<p class="verdict {color}">{text} {escape(mapping.target)}: {escape(placed)}</p>'
        + (f"<ul>{listed}</ul>" if listed else "")
        + f'<div class="scroll">{drawn}</div><details><summary>cores of every population</summary>'
        + _table(("population", "cores", "neurons of a core", "used", "of"), rows, numbers=(1,), wide=(3,))
        + "</details>"
    )


def _verification(contents: Contents) -> str:
    verdict = contents.verdict
    if verdict is None:
        return _missing(contents, "Verification")
    short = labels(row.population for row in verdict.rows)
    rows = []
    for row in verdict.rows:
        counts = ["-" if side.counts is None else f"{side.counts:,}" for side in row.sides]
        differ = [sum(number for _, number in side.differing) for side in row.sides[1:]]
        rows.append(
            (
                _name(row.population, short),
                f"{row.probed:,} of {row.neurons:,}",
                *counts,
                f"{max(differ, default=0):,}",
                f'<span class="{_COLORS[row.status]}">{row.status.value}</span>' + (" (silent)" if row.silent else ""),
            )
        )
    headings = (
        "population",
        "neurons compared",
        *(f"{name} counts" for name in verdict.backends),
        "values differ",
        "status",
    )
    warnings = "".join(f'<li class="warn">{escape(text)}</li>' for text in verdict.warnings)
    return (
        f'<p class="verdict {_COLORS[verdict.status]}">{escape(verdict.line)}</p>'
        + (f"<ul>{warnings}</ul>" if warnings else "")
        + (f"<p>{escape(contents.missing['compared'])}</p>" if "compared" in contents.missing else "")
        + _table(headings, rows, numbers=tuple(range(1, len(headings) - 1)))
    )


def _ledger(contents: Contents) -> str:
    if contents.ledger is None:
        return _missing(contents, "Operators")
    rows = [
        (
            f'<code title="{escape(row.node)}">{escape(row.node)}</code>',
            escape(row.operator),
            escape(row.fate),
            escape(row.note),
        )
        for row in contents.ledger.rows
    ]
    counts = ", ".join(f"{number} {fate}" for fate, number in contents.ledger.counts.items() if number)
    return (
        f"<p>{len(rows)} nodes of the ONNX file: {counts}.</p><details><summary>every node</summary>"
        + _table(("node", "operator", "fate", "into what"), rows)
        + "</details>"
    )


def _provenance(contents: Contents) -> str:
    rows = [(escape(name), f"<code>{escape(text)}</code>") for name, text in contents.provenance.items()]
    options = [(escape(name), f"<code>{escape(str(value))}</code>") for name, value in contents.network.config.items()]
    return (
        _table(("what", "value"), rows)
        + "<details><summary>resolved configuration of the conversion</summary>"
        + _table(("option", "value"), options)
        + "</details>"
    )


def _name(name: str, short: dict[str, str]) -> str:
    return f'<span title="{escape(name)}">{escape(short[name])}</span>'


def _table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[int] = (),
    wide: Sequence[int] = (),
    *,
    total: bool = False,
) -> str:
    """Cells are HTML already; columns ``numbers`` go to the right, ``wide`` ones are wide, the last row may be a total."""

    def style(index: int) -> str:
        kinds = ["number"] * (index in numbers) + ["wide"] * (index in wide) + ["name"] * (index == 0)
        return f' class="{" ".join(kinds)}"' if kinds else ""

    listed = list(rows)
    head = "".join(f"<th{style(index)}>{escape(heading)}</th>" for index, heading in enumerate(headings))
    lines = []
    for place, row in enumerate(listed):
        mark = ' class="total"' if total and place == len(listed) - 1 else ""
        lines.append(
            f"<tr{mark}>" + "".join(f"<td{style(index)}>{cell}</td>" for index, cell in enumerate(row)) + "</tr>"
        )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
