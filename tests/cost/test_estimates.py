"""What an estimate says, from numbers chosen by hand: sums, rows of the table, the record for JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snn_deploy.cost.estimates import EnergyEstimate, LayerEnergy, Part, Timing
from snn_deploy.cost.timeline import Step, Timeline
from snn_deploy.targets.load import load_target
from snn_deploy.targets.quantity import Quantity

STEPS = (
    Step(Quantity(1.0, 0.5, 2.0), "enc", 7, 100.0, 30.0, Quantity(2.0, 1.5, 4.0)),
    Step(Quantity(3.0, 1.5, 6.0), "dec", 9, 300.0, 0.0, Quantity(4.0, 2.0, 6.0)),
)
TIMING = Timing(Timeline(STEPS, 4, "by hand"), 1200, 3, Quantity(0.5, 0.5, 1.0))
LAYERS = (
    LayerEnergy("a", (Part("spikes", 1500.0, Quantity(3.0, 2.0, 6.0)), Part("hops", 4.0, Quantity(1.0, 0.5, 2.0)))),
    LayerEnergy("b", (Part("spikes", 500.0, Quantity(2.0, 1.0, 2.0)),)),
)
FIGURE = load_target("loihi1").figure("energy.spike_pj")
ENERGY = EnergyEstimate("net", "chip", "measured activity", LAYERS, TIMING, (FIGURE,), ("one note",), ("host",))
MEASURED = replace(ENERGY, measured_j=Quantity(10.0, 9.0, 11.0))
UNTIMED = replace(ENERGY, timing=None)


def test_parts_are_summed_over_layers() -> None:
    assert ENERGY.parts == (
        Part("spikes", 2000.0, Quantity(5.0, 3.0, 8.0)),
        Part("hops", 4.0, Quantity(1.0, 0.5, 2.0)),
    )
    assert [layer.energy for layer in LAYERS] == [Quantity(4.0, 2.5, 8.0), Quantity(2.0, 1.0, 2.0)]


def test_a_sum_with_a_missing_term_is_missing() -> None:
    crossing = Part("crossing", 7.0, None, "no coefficient")
    layers = (
        LayerEnergy("a", (Part("hops", 4.0, Quantity(1.0, 0.5, 2.0)), crossing)),
        LayerEnergy("b", (Part("hops", None, None, "no hops"), replace(crossing, count=1.0))),
    )
    energy = replace(ENERGY, layers=layers)
    assert energy.parts == (Part("hops", None, None, "no hops"), replace(crossing, count=8.0))
    assert energy.rows()[:2] == (("hops", "-", "- (no hops)"), ("crossing", "8", "- (no coefficient)"))
    assert [layer.energy for layer in layers] == [Quantity(1.0, 0.5, 2.0), Quantity(0.0, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("energy", "dynamic", "static", "total"),
    [
        (ENERGY, Quantity(6.0, 3.5, 10.0), Quantity(2.0, 1.0, 8.0), Quantity(8.0, 4.5, 18.0)),
        (MEASURED, Quantity(10.0, 9.0, 11.0), Quantity(2.0, 1.0, 8.0), Quantity(12.0, 10.0, 19.0)),
        (UNTIMED, Quantity(6.0, 3.5, 10.0), None, Quantity(6.0, 3.5, 10.0)),
    ],
)
def test_energies_add_up(energy: EnergyEstimate, dynamic: Quantity, static: Quantity | None, total: Quantity) -> None:
    assert energy.model_j == Quantity(6.0, 3.5, 10.0)
    assert (energy.dynamic_j, energy.static_j, energy.total_j) == (dynamic, static, total)
    assert energy.static_share == (None if static is None else static.value / total.value)
    assert energy.images_per_s == (None if static is None else Quantity(0.25, 0.125, 0.5))
    assert energy.edp_js == (None if static is None else total * TIMING.latency_s)


EVENTS = [("spikes", "2,000", "5.0 J (3.0 J to 8.0 J)"), ("hops", "4", "1.0 J (500 mJ to 2.0 J)")]
TIMES = [("latency", "", "8.0 s (4.0 s to 16 s)"), ("images per second", "", "0.25 (0.12 to 0.5)")]


@pytest.mark.parametrize(
    ("energy", "rows"),
    [
        (
            ENERGY,
            [
                *EVENTS,
                ("dynamic energy per image", "", "6.0 J (3.5 J to 10 J)"),
                ("static energy per image", "1,200 cores, 3 chip(s)", "2.0 J (1.0 J to 8.0 J)"),
                ("energy per image", "25% static, without host I/O", "8.0 J (4.5 J to 18 J)"),
                ("mean step", "2 steps per image", "2.0 s (1.0 s to 4.0 s)"),
                ("longest step", "step 1, busiest core: dec", "3.0 s (1.5 s to 6.0 s)"),
                *TIMES,
                ("energy-delay product", "", "64 Js (18 Js to 290 Js)"),
            ],
        ),
        (
            replace(MEASURED, timing=replace(TIMING, timeline=replace(TIMING.timeline, is_measured=True))),
            [
                *EVENTS,
                ("dynamic energy per image by the model", "", "6.0 J (3.5 J to 10 J)"),
                ("dynamic energy per image", "measured", "10 J (9.0 J to 11 J)"),
                ("static energy per image", "1,200 cores, 3 chip(s)", "2.0 J (1.0 J to 8.0 J)"),
                ("energy per image", "17% static, without host I/O", "12 J (10 J to 19 J)"),
                ("mean step", "2 steps per image", "2.0 s (1.0 s to 4.0 s)"),
                ("longest step", "measured", "3.0 s (1.5 s to 6.0 s)"),
                *TIMES,
                ("energy-delay product", "", "96 Js (40 Js to 300 Js)"),
            ],
        ),
        (UNTIMED, [*EVENTS, ("dynamic energy per image", "", "6.0 J (3.5 J to 10 J)")]),
    ],
)
def test_the_table_names_every_figure(energy: EnergyEstimate, rows: list[tuple[str, str, str]]) -> None:
    assert list(energy.rows()) == rows


def test_the_record_holds_every_figure_with_its_band() -> None:
    def band(value: float, low: float, high: float) -> dict[str, float]:
        return {"value": value, "low": low, "high": high}

    common: dict[str, Any] = {
        "network": "net",
        "target": "chip",
        "activity": "measured activity",
        "parts": [
            {"name": "spikes", "count": 2000.0, "energy_j": band(5.0, 3.0, 8.0), "missing": None},
            {"name": "hops", "count": 4.0, "energy_j": band(1.0, 0.5, 2.0), "missing": None},
        ],
        "layers": [
            {"population": "a", "energy_j": band(4.0, 2.5, 8.0)},
            {"population": "b", "energy_j": band(2.0, 1.0, 2.0)},
        ],
        "model_j": band(6.0, 3.5, 10.0),
        "dynamic_j": band(6.0, 3.5, 10.0),
        "basis": [FIGURE.citation],
        "excluded": ["host"],
        "notes": ["one note"],
    }
    assert ENERGY.record() == common | {
        "static_j": band(2.0, 1.0, 8.0),
        "total_j": band(8.0, 4.5, 18.0),
        "static_share": 0.25,
        "step_s": band(2.0, 1.0, 4.0),
        "longest_step_s": band(3.0, 1.5, 6.0),
        "latency_s": band(8.0, 4.0, 16.0),
        "images_per_s": band(0.25, 0.125, 0.5),
        "edp_js": band(64.0, 18.0, 288.0),
        "cores": 1200,
        "chips": 3,
        "timeline": {
            "streamed": True,
            "duration_steps": 4,
            "basis": "by hand",
            "measured": False,
            "steps": [
                {
                    "duration_s": band(1.0, 0.5, 2.0),
                    "busiest": "enc",
                    "core": 7,
                    "synaptic_operations": 100.0,
                    "messages": 30.0,
                    "dynamic_j": band(2.0, 1.5, 4.0),
                },
                {
                    "duration_s": band(3.0, 1.5, 6.0),
                    "busiest": "dec",
                    "core": 9,
                    "synaptic_operations": 300.0,
                    "messages": 0.0,
                    "dynamic_j": band(4.0, 2.0, 6.0),
                },
            ],
        },
    }
    absent = ["static_j", "static_share", "step_s", "longest_step_s", "latency_s", "images_per_s", "edp_js"]
    absent += ["cores", "chips", "timeline"]
    assert UNTIMED.record() == common | {"total_j": band(6.0, 3.5, 10.0)} | dict.fromkeys(absent)
