"""Laws for every table: at any width of the terminal no number is cut, no row is lost, and foreign text is shown as it is."""

from __future__ import annotations

import ast
import io
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import onnx
import pytest
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from snn_deploy.activity.counting import assume_activity
from snn_deploy.activity.stream import FrameActivity, StreamCounter
from snn_deploy.backend.protocol import Run
from snn_deploy.backend.simulation import SimulatedStep, Simulation
from snn_deploy.cli.commands import (
    backends,
    demo,
    diff,
    estimate,
    estimate_stream,
    finetune,
    inspect,
    schema,
    targets,
    verify_folder,
)
from snn_deploy.cli.commands import evaluate as scores
from snn_deploy.conversion.choose import Choice, Trial
from snn_deploy.conversion.convert import Converted
from snn_deploy.conversion.convert import convert as convert_model
from snn_deploy.conversion.loss import LayerLoss, Loss
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.options import Options
from snn_deploy.cost.against import Against, Comparison, Difference
from snn_deploy.cost.energy import estimate as estimate_energy
from snn_deploy.data.metrics import ClassScore
from snn_deploy.display import (
    against_table,
    conversion_tables,
    counter_table,
    plan_table,
    proof_table,
    score_tables,
    stream_tables,
    tables,
    verdict_table,
)
from snn_deploy.display.columns import fit
from snn_deploy.display.labels import labels
from snn_deploy.display.names import visible
from snn_deploy.evaluation.evaluate import Cost, Evaluation, Score
from snn_deploy.evaluation.stream import Comparisons, FrameScore, StreamEvaluation
from snn_deploy.evaluation.sweep import Point, Settings
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.frontend.ledger import Row as LedgerRow
from snn_deploy.mapping.fit import map_network
from snn_deploy.network.difference import Change
from snn_deploy.network.network import Network
from snn_deploy.planning.halo import Halo
from snn_deploy.planning.measure import GroupCost, PlanCost
from snn_deploy.planning.plan import Group as LayerGroup
from snn_deploy.planning.plan import Hardware, Plan
from snn_deploy.planning.weigh import Option
from snn_deploy.targets.load import load_target
from snn_deploy.targets.quantity import Quantity
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Verdict
from snn_deploy.verification.comparison.spread import Distance, PopulationSpread, Spread
from snn_deploy.verification.counters import Count
from snn_deploy.verification.proof import Obligation, Outcome, Proof
from snn_deploy.verification.session import Session
from snn_deploy.verification.stimuli import Stimuli
from tests.cli.models import write_unet

ROOT = Path(__file__).resolve().parents[2]

FOREIGN = (
    "enc[/b]",
    "im[final].png",
    "[bold red]x[/bold red]",
    "conv:smile:",
    "/encoders.0/encoders.0.1/Relu",
    "a b [dB]",
)
"""Names that markup, emoji codes or a narrow column would change."""

HUGE = 13_843_016_965


def named(index: int) -> str:
    return f"{FOREIGN[index % len(FOREIGN)]}{index // len(FOREIGN) or ''}"


@cache
def network() -> Network:
    """A random U-Net whose populations have foreign names, at a size that gives long numbers."""
    source = random_unet("exact", 0, size=128)
    names = {population.name: named(index) for index, population in enumerate(source.populations)}
    return replace(
        source,
        name="net[/x]",
        populations=tuple(replace(each, name=names[each.name]) for each in source.populations),
        connections=tuple(
            replace(each, name=f"[{each.name}]", source=names[each.source], target=names[each.target])
            for each in source.connections
        ),
        outputs=tuple(replace(each, population=names[each.population]) for each in source.outputs),
    )


@cache
def conversion() -> Conversion:
    image = np.random.default_rng(1).random((1, 1, 16, 16)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = write_unet(Path(folder) / "unet.onnx")
        model = onnx.load(path)
        for index, node in enumerate(model.graph.node):
            node.name = named(index)
        onnx.save(model, path)
        return convert_model(path, [image], Options(levels=15)).conversion


def stream() -> RenderableType:
    counter = StreamCounter(network())
    for _ in range(2):
        counter.add({each.name: np.full((1, *each.shape), 10**5, np.int64) for each in network().populations})
    return stream_tables.stream_table(network(), counter, "cpu[x]")


def against() -> Against:
    """An estimate beside a simulation, with long numbers and reasons that look like markup."""
    differences = tuple(Difference(named(index), (-1.0) ** index * HUGE / (index + 1)) for index in range(8))
    comparisons = tuple(
        Comparison(what, unit, 1.0 * HUGE, 1.5 * HUGE, differences)
        for what, unit in (("synaptic operations", ""), ("energy of synapses", "J"))
    )
    found = estimate_energy(network(), assume_activity(network(), 0.5), LOIHI)
    assert found.timing is not None
    simulated = SimulatedStep(0.123, HUGE, HUGE, HUGE)
    simulation = SimpleNamespace(simulator="made [up]", lead=1, steps=(simulated,) * 9)
    return Against(comparisons, found.timing.timeline.steps, cast(Simulation, simulation))


def frames() -> RenderableType:
    first, later = (assume_activity(network(), rate) for rate in (0.5, 0.01))
    begin, energy = (estimate_energy(network(), each, load_target("loihi2")) for each in (first, later))
    return estimate_stream.tabulate_frames(first, later, begin, energy)


@cache
def verdict() -> Verdict:
    small = random_unet("exact", 0)
    stimuli = Stimuli.of_payloads(small, random_stimulus(small, 0, 1))
    found = Session(("reference", "reference"), Level.STATE).verify(stimuli, lambda _: nullcontext(None)).verdict
    rows = tuple(
        replace(row, population=named(index), sides=tuple(replace(side, counts=HUGE) for side in row.sides))
        for index, row in enumerate(found.rows)
    )
    return replace(found, network="net[/x]", rows=rows)


def huge_run() -> Run:
    counts = {each.name: np.full((1, *each.shape), 10**9, np.int64) for each in network().populations}
    return Run("cpu", "net", "", counts, counts, engines={FOREIGN[0]: "oneDNN [x]"})


def loss() -> Loss:
    names = [layer.name for layer in conversion().layers.layers]
    return Loss(tuple(LayerLoss(name, 12.3456, 11.2345, 10.1234) for name in names), 0.0648)


def spread() -> Spread:
    far = Distance(HUGE, HUGE, HUGE)
    populations = tuple(PopulationSpread(name, HUGE, (far,), (far, far)) for name in FOREIGN)
    return Spread((FOREIGN[0], FOREIGN[1]), populations)


def activity_table() -> RenderableType:
    return tables.activity_table(assume_activity(network(), 0.5))


def energy_table() -> RenderableType:
    return tables.energy_table(estimate_energy(network(), assume_activity(network(), 0.5), load_target("loihi2")))


CLASSES = tuple(ClassScore(number, 12_345_678_901, 0.0, 1.0) for number in (0, 65_535))


def evaluation(task: str) -> Evaluation:
    names = ("psnr_db", "ssim") if task == "denoise" else ("accuracy", "miou", "f1", "jaccard")
    values = dict.fromkeys(names, 12.34567)
    images = tuple(Score(name, values) for name in FOREIGN)
    return Evaluation(task, images, values, Cost(HUGE, HUGE, 7.0, 1.25e-3))  # type: ignore[arg-type]


def sequence(*kinds: str) -> RenderableType:
    values = {"psnr_db": 12.34567, "ssim": 0.12345}
    compared = Comparisons(*(values if kind in kinds else {} for kind in ("scores", "model", "agreement")))
    scored = tuple(FrameScore(name, compared, FrameActivity(HUGE, HUGE, 7)) for name in FOREIGN)
    return score_tables.sequence_table(
        StreamEvaluation("denoise", scored, compared, 1000, 1000), "net[/x] on im[final]"
    )


def checks() -> RenderableType:
    listed = [SimpleNamespace(iteration=HUGE + index, score=12.3456, operations=0.1234) for index in range(3)]
    return finetune.tabulate_checks(SimpleNamespace(metric="psnr [db]", checks=listed, best=listed[1]))  # type: ignore[arg-type]


def point(index: int) -> Point:
    names = ("quality_db", "energy_j", "latency_s", "synaptic_operations", "a", "b")
    scored = dict.fromkeys(names, 1234567.0 + index)
    settings: Settings = {"[steps]": index, "normalization": "connection-wise", "scale": FOREIGN[index]}
    return (
        Point(settings, scored)
        if index
        else Point(settings, {}, "ConversionError: enc[/b]: too long, use fewer levels")
    )


LOIHI = load_target("loihi2")


def planned() -> Option:
    amount = Quantity(1.2345, 0.5, 2.5)
    groups = tuple(LayerGroup((name,), (512, 1024), Halo(23, 24)) for name in FOREIGN[:3])
    cost = GroupCost(HUGE, 12.34, 123_456, 12, amount, amount, HUGE, HUGE, HUGE)
    plan = Plan("net[/x]", "", (4096, 8192), groups, False, Hardware("loihi2", 1152, 138_240))
    return Option(plan, PlanCost((cost,) * 3, amount, ("host [x]", "reloading")), 0.0123, 0.1234)


CHANGES = [Change(name, "weight [x]", "1,324,553 13,843,016,965", "[1.25, -0.5, 3.75] " * 4) for name in FOREIGN]
LEDGER = Ledger(
    tuple(LedgerRow(name, "Conv", "refused", f"reads {HUGE} [x]; " + "use fewer of them " * 4) for name in FOREIGN)
)
PROOF = Proof(
    "net[/x]", "", "cpu", "", tuple(Obligation("linear", name, Outcome.OPEN, f"{HUGE} [/b] " * 5) for name in FOREIGN)
)
TRIALS = (
    Trial(Options(), Loss((), 0.0648)),
    Trial(Options(scale="max", levels=65535), None, "enc[/b]: needs 13843016965 levels, use fewer of them"),
)
CHOICE = Choice(cast("Converted", None), TRIALS[0], TRIALS, "6.48% error with the options as given; [/x] " * 2)

Optional = tuple[str, ...]
COUNTS = [
    Count(name, core, "synaptic_operations", 16_134_000_000.0, 16_158_000_123.0)
    for name, core in zip(FOREIGN, (None, 3, 117), strict=False)
]

TABLES: Mapping[str, tuple[Callable[[], RenderableType], Optional, Optional]] = {
    "tabulate_proof": (lambda: proof_table.tabulate_proof(PROOF), (), ()),
    "trial_table": (lambda: conversion_tables.trial_table(CHOICE), (), ()),
    "population_table": (
        lambda: conversion_tables.population_table(conversion(), loss()),
        conversion_tables.SILENT,
        conversion_tables.OPTIONAL,
    ),
    "connection_table": (lambda: conversion_tables.connection_table(conversion()), (), ()),
    "tabulate": (lambda: verdict_table.tabulate(verdict()), (), verdict_table.OPTIONAL),
    "tabulate_spread": (lambda: verdict_table.tabulate_spread(spread()), (), ()),
    "activity_table": (activity_table, (), estimate.OPTIONAL),
    "energy_table": (energy_table, (), ()),
    "mapping_table": (lambda: tables.mapping_table(map_network(network(), LOIHI)), (), ()),
    "sweep_table": (lambda: tables.sweep_table([point(index) for index in range(4)], {"energy_j": "min"}), (), ()),
    "network_table": (lambda: tables.network_table(network()), (), ("unit", "sources")),
    "run_table": (lambda: tables.run_table(network(), huge_run()), ("saturated",), ("engine", "neurons")),
    "tabulate_verdicts": (
        lambda: verify_folder.tabulate_verdicts([(n, verdict()) for n in FOREIGN], "net[/x]"),
        (),
        (),
    ),
    "stream_table": (stream, (), ()),
    "against_table": (lambda: against_table.against_table(against(), "net[/x]", "chip"), (), ()),
    "steps_table": (lambda: against_table.steps_table(against()), (), against_table.OPTIONAL),
    "tabulate_frames": (frames, (), ()),
    "tabulate_counters": (lambda: counter_table.tabulate_counters(COUNTS, 0.01), (), ()),
    "tabulate_changes": (lambda: diff.tabulate_changes(CHANGES, "a[/b] -> b"), (), ()),
    "tabulate_targets": (lambda: targets.tabulate_targets([load_target(n) for n in ("loihi1", "loihi2")]), (), ()),
    "tabulate_figures": (
        lambda: targets.tabulate_figures(LOIHI, list(dict.fromkeys(each.source for each in LOIHI.figures.values()))),
        (),
        (),
    ),
    "tabulate_quality": (
        lambda: demo.tabulate_quality("[x]", {"noisy": 20.123, "float": 29.871, "spiking": 29.853}, HUGE),
        (),
        (),
    ),
    "tabulate_ledger": (lambda: inspect.tabulate_ledger(LEDGER, "model[/b].onnx"), (), ()),
    "score_table": (lambda: scores.score_table(evaluation("denoise"), "net[/x] on im[final]"), (), ()),
    "score_table of labels": (lambda: scores.score_table(evaluation("segment"), "net[/x] on im[final]"), (), ()),
    "sequence_table": (lambda: sequence("scores", "model"), (), ()),
    "sequence_table of agreement": (lambda: sequence("agreement"), (), ()),
    "class_table": (lambda: scores.class_table(replace(evaluation("segment"), classes=CLASSES)), (), ()),
    "options_table": (
        lambda: plan_table.options_table([planned(), replace(planned(), loss_db=None)], planned()),
        (),
        plan_table.OPTIONAL,
    ),
    "cost_table": (lambda: plan_table.cost_table(planned().plan, planned().cost), (), ()),
    "tabulate_kinds": (lambda: schema.tabulate_kinds([(n, f"{n}: {HUGE}") for n in FOREIGN]), (), ()),
    "tabulate_checks": (checks, (), ()),
    "tabulate_backends": (
        lambda: backends.tabulate_backends(
            [{"name": n, "installed": True, "runs": False, "note": f"{n}: {HUGE} " * 6} for n in FOREIGN]
        ),
        (),
        (),
    ),
}
"""Every function that makes a table, with the columns that may be left out where the command line shows it."""

NUMBER = re.compile(r"[+-]?\d[\d,.]*\d|\d")

BAND = re.compile(r"\(\d\S*(?: [^\s()]+)? to \d[^()]*\)")
"""The band of a quantity, which stays on one line, units and all."""


def plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def tables_in(shown: RenderableType) -> list[Table]:
    if isinstance(shown, Group):
        return [table for part in shown.renderables for table in tables_in(part)]
    return [shown] if isinstance(shown, Table) else []


def drawn(shown: RenderableType, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None, markup=False, emoji=False, highlight=False)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def squeezed(text: str) -> str:
    """Without the white space and the lines that wrapping and drawing add."""
    return re.sub(r"[\s─]+", "", text)


def column_texts(shown: RenderableType, width: int) -> dict[str, list[str]]:
    """What stands below each heading on the screen: the columns of the drawn tables, cut where these say they begin."""
    found: dict[str, list[str]] = {}
    for table in tables_in(shown):
        lines = drawn(table, width).splitlines()
        rule = next(index for index, text in enumerate(lines) if set(text.strip()) == {"─"})
        first = 0
        for column in table.columns:
            assert column.width is not None
            cut = [text[first : first + column.width] for text in lines[rule + 1 :]]
            found.setdefault(squeezed(plain(column.header)), []).extend(cut)
            first += column.width + 2
    return found


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("name", TABLES)
def test_no_number_is_cut_and_no_text_is_changed(name: str, width: int) -> None:
    build, silent, optional = TABLES[name]
    (table,) = tables_in(build())
    shown = fit(table, width, silent=silent, optional=optional)
    text = drawn(shown, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    seen = column_texts(shown, width)
    names = [column for column in table.columns if plain(column.header) in ("population", "node", "source", "target")]
    short = labels(sorted({plain(cell) for column in names for cell in column.cells}))
    for column in table.columns:
        heading = squeezed(plain(column.header))
        if heading not in seen:
            assert plain(column.header) in (*silent, *optional)
            continue
        below = "\n".join(seen[heading])
        for cell in map(plain, column.cells):
            expected = short[cell] if column in names else cell
            assert squeezed(visible(expected)) in squeezed(below)
            if column not in names and cell not in FOREIGN:  # a number in a name may be wrapped, as any text
                for number in (*NUMBER.findall(cell), *BAND.findall(cell)):
                    assert number in below
    for part in tables_in(shown):
        assert part.row_count == table.row_count
        assert plain(part.columns[0].header) == plain(table.columns[0].header)
    for whole in (table.title, table.caption):
        assert whole is None or squeezed(plain(whole)) in squeezed(text)
        assert whole is None or all(line in text for line in plain(whole).splitlines() if len(line) <= width)


def test_every_function_that_makes_a_table_is_among_them() -> None:
    """Also: no table is made from rich's own class, whose cells are markup."""
    made, others = set(), []
    for path in (*(ROOT / "snn_deploy").rglob("*.py"), *(ROOT / "backends").rglob("*.py")):
        if path.name in ("columns.py", "plain_table.py"):
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            calls = {
                call.func.id
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            }
            if "PlainTable" in calls:
                made.add(getattr(node, "name", path.name))
            if ("Table" in calls and "from rich.table" in text) or {"Text.from_markup", "from_markup"} & {
                ast.unparse(each) for each in ast.walk(node) if isinstance(each, (ast.Name, ast.Attribute))
            }:
                others.append(f"{path.name}: {getattr(node, 'name', '')}")
    assert made == {name.partition(" ")[0] for name in TABLES}
    assert not others


def test_wide_tables_are_split_below_each_other_with_their_rows_named() -> None:
    shown = fit(tables.mapping_table(map_network(network(), LOIHI)).renderables[0], 60)
    parts = tables_in(shown)
    assert len(parts) > 1
    assert [plain(part.title) if part.title is not None else "" for part in parts][1:] == [""] * (len(parts) - 1)
    assert all(
        [plain(cell) for cell in part.columns[0].cells] == [plain(cell) for cell in parts[0].columns[0].cells]
        for part in parts
    )
    assert len(tables_in(fit(tables.mapping_table(map_network(network(), LOIHI)).renderables[0], 200))) == 1
