"""A chip's activity counters beside the prediction, population by population and core by core.

A table (``.csv``) holds what was counted: a line for a population as a whole, or for one of its cores, numbered from 0 in the order
of ``estimate --map``::

    population,core,syn_ops,neuron_updates,spikes_in,spikes_out
    layer/2,,16134000000,,,
    layer/3,0,1508000000,26880000,,

Empty cells were not counted, and are not compared.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from snn_deploy.errors import VerificationError
from snn_deploy.files import check_regular
from snn_deploy.mapping.counters import PopulationCounters
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.checks import check_names

COUNTERS = ("syn_ops", "neuron_updates", "spikes_in", "spikes_out")

SIZE_LIMIT = 2**26
"""Largest table in bytes."""


@dataclass(frozen=True)
class Count:
    """One counter of ``population``, on its core number ``core`` or (``None``) on all of them; how often it was, or is, counted."""

    population: str
    core: int | None
    counter: str
    counted: float
    predicted: float

    @property
    def deviation(self) -> float:
        """The prediction's relative error."""
        if self.counted == self.predicted:
            return 0.0
        return math.inf if self.counted == 0 else self.predicted / self.counted - 1


def compare_counters(
    path: Path, network: Network, predicted: Mapping[str, PopulationCounters], images: float, steps: int
) -> tuple[Count, ...]:
    """Every cell of the table at ``path`` beside what ``images`` images in ``steps`` steps must count."""
    found = []
    for where, population, core, counted in _read(path, network):
        of = predicted.get(population)
        if of is None:
            raise VerificationError(f"{where}: {population} is the input, which takes no core")
        if core is not None and core >= of.neurons.size:
            raise VerificationError(f"{where}: core {core} of {population}, which is mapped to {of.neurons.size} cores")
        for counter, value in counted.items():
            expected = _expected(of, counter, core, images, steps)
            if expected is None:
                raise VerificationError(
                    f"{where}: {counter} is predicted for a population as a whole; leave core empty"
                )
            found.append(Count(population, core, counter, value, expected))
    if not found:
        raise VerificationError(f"{path}: holds no counter; nothing would be compared")
    return tuple(found)


def _expected(of: PopulationCounters, counter: str, core: int | None, images: float, steps: int) -> float | None:
    if counter == "syn_ops":
        return images * float(of.syn_ops.sum() if core is None else of.syn_ops[core])
    if counter == "neuron_updates":
        return steps * float(of.neurons.sum() if core is None else of.neurons[core])
    if core is not None:
        return None
    return images * (of.spikes_in if counter == "spikes_in" else of.spikes_out)


def _read(path: Path, network: Network) -> Iterator[tuple[str, str, int | None, dict[str, float]]]:
    """Lines of the table: where it stands, population, core, and the cells that are not empty."""
    check_regular(path, VerificationError)
    if path.stat().st_size > SIZE_LIMIT:
        raise VerificationError(f"{path}: {path.stat().st_size} bytes; {SIZE_LIMIT} are allowed")
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
        names = rows.fieldnames or ()
        unknown = sorted(set(names) - {"population", "core", *COUNTERS})
        if "population" not in names or unknown:
            raise VerificationError(
                f"{path}: columns {', '.join(names)}; population, core and {', '.join(COUNTERS)} are read"
            )
        for row in rows:
            where = f"{path}: line {rows.line_num}"
            population = row["population"] or ""
            check_names(where, network, [population])
            cells = {name: (row.get(name) or "").strip() for name in ("core", *COUNTERS)}
            core = int(_number(where, "core", cells["core"])) if cells["core"] else None
            yield where, population, core, {name: _number(where, name, cells[name]) for name in COUNTERS if cells[name]}
    except (csv.Error, UnicodeDecodeError) as error:
        raise VerificationError(f"{path}: not a table of counters: {error}") from error


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf or (name == "core" and value != int(value)):
        raise VerificationError(f"{where}: {name} is {text!r}; a number that is not negative is needed")
    return value
