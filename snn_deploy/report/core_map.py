"""Pictures of a mapping as self-contained SVG: the cores of every chip coloured by load, and bars per population.

Colours are seven steps of cividis (Nunez, Anderton, Renslow 2018), made to be read by people who see no difference
between red and green; light to dark also reads in grey. Text follows the reader's light or dark scheme. No script, no
link.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.errors import ReportError
from snn_deploy.mapping.fit import LayerMapping, Mapping
from snn_deploy.mapping.traffic import Traffic, list_places, locate_cores, place_layers
from snn_deploy.report.svg import COLOURS, STYLE
from snn_deploy.report.text import escape
from snn_deploy.targets.device import Target
from snn_deploy.targets.quantity import rounded

CORE, GAP, MARGIN, HEAD = 10, 2, 24, 28
"""Side of a core, gap between mesh tiles, margin around chips and height of the title, in pixels."""


def core_map(mapping: Mapping, target: Target, traffic: Traffic | None = None) -> str:
    """Every core of every chip, coloured by synaptic operations, or by its scarcest resource without ``traffic``."""
    blocks = place_layers(mapping, target)
    load, what = _loads(mapping, traffic)
    places = list_places(mapping)
    chip, column, row = locate_cores(target, places)
    place = places % target.integer("limits.cores_per_chip") % target.integer("mesh.tile_cores")
    tile = _tile_side(target)
    across = min(mapping.chips, max(1, round(mapping.chips**0.5 * 1.4)))
    width = target.integer("mesh.tile_columns") * (tile * CORE + GAP) + MARGIN
    height = target.integer("mesh.tile_rows") * (tile * CORE + GAP) + MARGIN
    x = chip % across * width + MARGIN / 2 + column * (tile * CORE + GAP) + place % tile * CORE
    y = HEAD + chip // across * height + MARGIN + row * (tile * CORE + GAP) + place // tile * CORE
    shade = np.minimum((load * len(COLOURS)).astype(np.int64), len(COLOURS) - 1)
    body = []
    for mapped in mapping.layers:
        block = blocks[mapped.layer.name]
        cores = range(block.first, block.first + mapped.cores)
        squares: dict[int, list[str]] = defaultdict(list)
        for core in cores:
            squares[int(shade[core])].append(f"M{x[core]:g} {y[core]:g}h{CORE - 1}v{CORE - 1}h-{CORE - 1}z")
        paths = "".join(f'<path fill="{COLOURS[key]}" d="{"".join(parts)}"/>' for key, parts in sorted(squares.items()))
        body.append(f"<g><title>{escape(_caption(mapped))}</title>{paths}</g>")
    frames = []
    for number in range(mapping.chips):
        left, top = number % across * width + MARGIN / 2, HEAD + number // across * height + MARGIN
        frames.append(
            f'<rect class="chip" x="{left - 4:g}" y="{top - 4:g}" width="{width - MARGIN + 6}" '
            f'height="{height - MARGIN + 6}"/><text x="{left:g}" y="{top - 8:g}">chip {number}</text>'
        )
    bottom = HEAD + -(-mapping.chips // across) * height + MARGIN
    total = max(across * width, 640)
    title = f"{mapping.network} on {mapping.target}: {mapping.cores:,} cores, {mapping.chips:,} chip(s), by {what}"
    return _svg(total, bottom + 48, title, [*frames, *body, *_legend(bottom, what)])


def _tile_side(target: Target) -> int:
    side = math.isqrt(target.integer("mesh.tile_cores"))
    if side * side != target.integer("mesh.tile_cores"):
        raise ReportError(
            f"target {target.name}: {target.integer('mesh.tile_cores')} cores per tile is not a square number"
        )
    return side


def _loads(mapping: Mapping, traffic: Traffic | None) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], str]:
    if traffic is not None:
        busiest = max(float(traffic.operations.max()), 1e-300)
        return np.asarray(
            traffic.operations / busiest, np.float64
        ), "synaptic operations over those of the busiest core"
    parts = [np.full(mapped.cores, mapped.limit.fraction) for mapped in mapping.layers]
    return np.concatenate(parts), "share of the scarcest resource of a core"


def _caption(mapped: LayerMapping) -> str:
    tile = mapped.tile
    size = "" if tile is None else f", tiles of {tile.channels} x {tile.rows} x {tile.columns}"
    return f"{mapped.layer.name}: {mapped.cores:,} cores{size}, {mapped.limit.resource} {mapped.limit.fraction:.0%}"


def _legend(top: int, what: str) -> list[str]:
    boxes = [
        f'<rect class="bar" x="{MARGIN / 2 + 40 * index:g}" y="{top}" width="40" height="12" fill="{colour}"/>'
        f'<text x="{MARGIN / 2 + 40 * index:g}" y="{top + 26}">{index / len(COLOURS):.0%}</text>'
        for index, colour in enumerate(COLOURS)
    ]
    return [*boxes, f'<text x="{MARGIN / 2 + 40 * len(COLOURS) + 8:g}" y="{top + 10}">{escape(what)}</text>']


def layer_bars(mapping: Mapping, estimate: EnergyEstimate | None = None) -> str:
    """Two bars per population: its cores, and its dynamic energy per image where an ``estimate`` is given."""
    energies = {} if estimate is None else {layer.population: layer.energy.value for layer in estimate.layers}
    most_cores = max(mapped.cores for mapped in mapping.layers)
    most_joules = max([energies.get(mapped.layer.name, 0.0) for mapped in mapping.layers] + [1e-300])
    body = []
    for index, mapped in enumerate(mapping.layers):
        top = 44 + 22 * index
        joules = energies.get(mapped.layer.name)
        body.append(f'<text x="8" y="{top + 12}">{escape(mapped.layer.name)}</text>')
        body += _bar(180, top, mapped.cores / most_cores, COLOURS[4], f"{mapped.cores:,}", _caption(mapped))
        if joules is not None:
            text = rounded(joules, "J")
            body += _bar(480, top, joules / most_joules, COLOURS[1], text, f"{mapped.layer.name}: {text} per image")
    heads = [(180, "cores")] + ([(480, "dynamic energy per image")] if energies else [])
    body += [f'<text x="{x}" y="36">{escape(text)}</text>' for x, text in heads]
    return _svg(800, 56 + 22 * len(mapping.layers), f"{mapping.network} on {mapping.target}, by population", body)


def _bar(x: int, y: int, share: float, colour: str, text: str, title: str) -> list[str]:
    width = max(200 * share, 1)
    return [
        f'<rect class="bar" x="{x}" y="{y}" width="{width:.1f}" height="16" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>",
        f'<text x="{x + width + 6:.1f}" y="{y + 12}">{escape(text)}</text>',
    ]


def _svg(width: float, height: float, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'role="img" aria-label="{escape(title)}">{STYLE}'
        f'<text x="{MARGIN / 2:g}" y="16">{escape(title)}</text>{"".join(body)}</svg>\n'
    )
