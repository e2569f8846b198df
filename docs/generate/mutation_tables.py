"""The mutation table of ``docs/reference/verification.md``: every fault in every population, caught, located and named.

``python docs/generate/mutation_tables.py docs/reference/verification.md out/denoiser.snn ...`` writes one table for each
artifact between the marks in the page. The stimulus is the middle of scikit-image's photograph ``camera`` with noise of
sigma 25/255 (seed 0), cut to the network's input.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snn_deploy.arrays import Int64
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.data.images import add_noise, center_crop, load_photograph
from snn_deploy.errors import SnnDeployError, VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.attribution import attribute
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.comparison.replay import Replay, Site, forward, repeat
from snn_deploy.verification.diagnosis.autopsy import diagnose
from snn_deploy.verification.diagnosis.cuba_faults import CUBA_FAULTS
from snn_deploy.verification.diagnosis.faults import Fault
from snn_deploy.verification.diagnosis.mutation import INVISIBLE, find_levels

BEGIN, END = "<!-- mutation tables begin -->", "<!-- mutation tables end -->"


@dataclass(frozen=True)
class TableRow:
    """One fault: populations that can have it, how many are proved invisible, and what became of the others.

    ``caught`` has one number for each level; ``located``: the fault's own population is the first that introduced an
    error; ``named``: the autopsy's causes hold the fault; ``alone``: they hold nothing else.
    """

    fault: str
    mutants: int
    invisible: int
    caught: tuple[int, ...]
    located: int
    named: int
    alone: int


def table_rows(network: Network, stimulus: Int64, faults: Sequence[Fault] = CUBA_FAULTS) -> tuple[TableRow, ...]:
    """One row for each of ``faults`` that any population of ``network`` can have."""
    right = forward(network, repeat(network, stimulus))
    rows = []
    for fault in faults:
        sites = {name: site for name in right.trace.probes if (site := _site(network, fault, name)) is not None}
        if sites:
            rows.append(_row(network, right, fault, sites))
    return tuple(rows)


def _site(network: Network, fault: Fault, name: str) -> Site | None:
    return None if network.population(name).neuron is None else fault.change(Site.of(network, name))


def _row(network: Network, right: Replay, fault: Fault, sites: dict[str, Site]) -> TableRow:
    levels, located, named, alone = [], 0, 0, 0
    for name, site in sites.items():
        wrong = forward(network, right.sent[network.input.name], {name: site}, right)
        level = min(find_levels(network, right, wrong))
        levels.append(level)
        if level == INVISIBLE:
            continue
        located += _first_culprit(network, right, wrong) == name
        causes = diagnose(network, wrong.trace, name).causes
        named += (fault.name,) in causes
        alone += causes == ((fault.name,),)
    caught = tuple(sum(level <= limit for level in levels) for limit in Level)
    return TableRow(fault.name, len(sites), levels.count(INVISIBLE), caught, located, named, alone)


def _first_culprit(network: Network, right: Replay, wrong: Replay) -> str | None:
    """The first population that introduced an error, of those whose trace is not ``right``'s own."""
    for population, _ in network.layers():
        name = population.name
        if wrong.trace.probes[name] is not right.trace.probes[name]:
            errors = attribute(network, right.trace, wrong.trace, name)
            if errors is not None and errors.introduced:
                return name
    return None


def markdown(network: Network, rows: Sequence[TableRow]) -> str:
    """The table, with a line of totals and a caption."""
    levels = [level.label for level in Level]
    head = ["fault", "populations", "invisible", *levels, "located", "named", "named alone"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in (*rows, _totals(rows)):
        cells = [row.fault, row.mutants, row.invisible, *row.caught, row.located, row.named, row.alone]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    size = "x".join(str(axis) for axis in network.input.shape)
    caption = f"**{network.name}** ({network.mode} mode, input {size}, {network.steps} step(s) a window)"
    return caption + "\n\n" + "\n".join(lines)


def _totals(rows: Sequence[TableRow]) -> TableRow:
    return TableRow(
        fault="all",
        mutants=sum(row.mutants for row in rows),
        invisible=sum(row.invisible for row in rows),
        caught=tuple(sum(row.caught[level] for row in rows) for level in Level),
        located=sum(row.located for row in rows),
        named=sum(row.named for row in rows),
        alone=sum(row.alone for row in rows),
    )


def noisy_photograph(network: Network) -> Int64:
    """Input payloads (1, C, H, W) of the noisy middle of ``camera``."""
    channels, height, width = network.input.shape
    image = center_crop(load_photograph("camera", channels), height, width)
    return quantize_images(network, add_noise(image, 25, seed=0))


def main(arguments: Sequence[str]) -> int:
    """Rewrite the tables in the page ``arguments[0]`` from the artifacts that follow; returns the exit status."""
    if len(arguments) < 2:
        sys.stderr.write("usage: python docs/generate/mutation_tables.py PAGE.md ARTIFACT.snn ...\n")
        return 3
    try:
        tables = []
        for name in arguments[1:]:
            network = artifact.load(Path(name))
            tables.append(markdown(network, table_rows(network, noisy_photograph(network))))
            sys.stdout.write(f"{tables[-1]}\n\n")
        _insert(Path(arguments[0]), "\n\n".join(tables))
    except SnnDeployError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


def _insert(page: Path, text: str) -> None:
    try:
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise VerificationError(f"{page}: cannot be rewritten between {BEGIN} and {END}: {error}") from error


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
