"""Published figures of chips beside what the estimator predicts: the table between the marks of ``docs/how-to/energy-and-time.md``.

``make anchors`` writes it. A row is predicted from the published description only: shapes, weight bits, operations. Rows on
which a coefficient of ``snn_deploy/targets`` was fitted are named so, and are predicted without themselves, too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snn_deploy.mapping.fit import map_layers
from snn_deploy.mapping.layout import Layer, SynapseGroup
from snn_deploy.targets.device import Target
from snn_deploy.targets.load import load_target
from snn_deploy.targets.quantity import Quantity, largest, rounded

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "energy-and-time.md"
PUBLISHED = ROOT / "tests" / "mapping" / "published.toml"

BEGIN, END = "<!-- anchors: begin -->\n", "<!-- anchors: end -->"

PILOTNET_OPERATIONS = {"conv-1": 16_134e6, "conv-2": 4_524e6, "conv-3": 1_516e6, "conv-4": 678e6}
"""Synaptic operations of PilotNet (LIF) in 10,000 steps on Loihi 2, read off the notebook's plots; 16 steps are an image."""

PILOTNET_STEPS = 10_000

NOTEBOOK = "lava-dl, netx/pilotnet_snn/benchmark.ipynb, 2023"

Prediction = Callable[[Target], Quantity]


@dataclass(frozen=True)
class Anchor:
    """One published figure.

    ``fitted``: coefficients that this row decides, each with the value that other sources alone would give; a row without
    any is predicted from coefficients of other sources. ``remark`` explains a figure outside the band.
    """

    net: str
    target: str
    quantity: str
    unit: str
    measured: float
    predict: Prediction
    boundary: str
    source: str
    fitted: Mapping[str, float] | None = None
    remark: str = ""

    @property
    def predicted(self) -> Quantity:
        """By the target as it is."""
        return self.predict(load_target(self.target))

    @property
    def without_itself(self) -> Quantity | None:
        """By the target without what was fitted on this row; ``None`` where nothing was."""
        if self.fitted is None:
            return None
        target = load_target(self.target)
        changed = {key: replace(target.figure(key), value=value) for key, value in self.fitted.items()}
        return self.predict(replace(target, figures={**target.figures, **changed}))

    @property
    def is_inside(self) -> bool:
        """Whether the measurement lies in the band of the prediction."""
        return self.predicted.low <= self.measured <= self.predicted.high

    @property
    def is_priced(self) -> bool:
        """Whether it is a time, an energy or a power; numbers of cores have no band."""
        return self.unit in ("s", "J", "W", "1/s")


def _networks() -> dict[str, Any]:
    return {each["name"]: each for each in tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))["networks"]}


def _layer(row: Mapping[str, Any]) -> Layer:
    group = SynapseGroup(
        "before", tuple(row["source"]), taps=tuple(row["taps"]), strides=tuple(row["strides"]), weight_bits=row["bits"]
    )
    return Layer(row["name"], tuple(row["shape"]), (group,), by_neuron=row.get("by_neuron", False))


def _cores(net: str) -> Prediction:
    """Cores of its convolutions."""

    def predict(target: Target) -> Quantity:
        rows = [row for row in _networks()[net]["layers"] if "taps" in row]
        return Quantity.exact(float(map_layers(net, [_layer(row) for row in rows], target).cores))

    return predict


def _published_cores(net: str) -> float:
    return float(sum(row["cores"] for row in _networks()[net]["layers"] if "taps" in row))


def _pilotnet_step(target: Target) -> Quantity:
    """The layer whose cores have most operations, evenly spread over them, and their updates."""
    rows = {row["name"]: row for row in _networks()["PilotNet LIF"]["layers"]}
    loads = [
        target.quantity("time.synapse_ns") * (operations / PILOTNET_STEPS / rows[name]["cores"])
        + target.quantity("time.neuron_ns") * float(rows[name]["neurons"])
        for name, operations in PILOTNET_OPERATIONS.items()
    ]
    return largest(*loads) + target.quantity("time.barrier_chip_ns")


def _pilotnet_dynamic(target: Target) -> Quantity:
    """Operations and updates of an image; messages, a few percent, are not in the description."""
    neurons = sum(float(row["neurons"] * row["cores"]) for row in _networks()["PilotNet LIF"]["layers"])
    operations = sum(PILOTNET_OPERATIONS.values()) / PILOTNET_STEPS * 16
    return (
        target.quantity("energy.synapse_pj") * operations
        + target.quantity("energy.neuron_inactive_pj") * neurons * 16.0
    )


def _static(target: Target) -> Quantity:
    return target.quantity("power.static_chip_w")


def _barrier(target: Target) -> Quantity:
    return target.quantity("time.barrier_chips_ns")


def _dense(synapses: int, neurons: int) -> Prediction:
    return lambda target: (
        target.quantity("energy.synapse_pj") * float(synapses)
        + target.quantity("energy.neuron_active_pj") * float(neurons)
    )


def _chips(cores: int) -> Prediction:
    return lambda target: Quantity.exact(float(-(-cores // target.integer("limits.cores_per_chip"))))


SLOWER_SYNAPSE = {"time.synapse_ns": 0.7}
"""Of Loihi 2 without PilotNet: a fifth of Loihi 1's 3.5 ns, as the technology brief of 2021 claims."""

ANCHORS = (
    Anchor(
        "PilotNet LIF",
        "loihi2",
        "cores of the convolutions",
        "",
        _published_cores("PilotNet LIF"),
        _cores("PilotNet LIF"),
        "compiler",
        NOTEBOOK,
    ),
    Anchor(
        "PilotNet SDNN",
        "loihi2",
        "cores of the convolutions",
        "",
        _published_cores("PilotNet SDNN"),
        _cores("PilotNet SDNN"),
        "compiler",
        "lava-dl, netx/pilotnet_sdnn, 2023",
    ),
    Anchor("YOLO-KP", "loihi2", "cores", "", 574.0, _cores("YOLO-KP"), "compiler", "lava-dl, netx/yolo_kp, 2024"),
    Anchor("MobileNet, NxTF", "loihi1", "chips of 861 cores", "", 7.0, _chips(861), "compiler", "arXiv 2101.04261"),
    Anchor("PilotNet LIF", "loihi2", "mean step", "s", 152.85e-6, _pilotnet_step, "chip", NOTEBOOK, SLOWER_SYNAPSE),
    Anchor(
        "PilotNet LIF",
        "loihi2",
        "images a second",
        "1/s",
        408.9,
        lambda target: (_pilotnet_step(target) * 16.0).inverse(),
        "chip",
        NOTEBOOK,
        SLOWER_SYNAPSE,
    ),
    Anchor("PilotNet LIF", "loihi2", "dynamic energy of an image", "J", 1.094e-3, _pilotnet_dynamic, "chip", NOTEBOOK),
    Anchor(
        "PilotNet LIF", "loihi2", "static power", "W", 0.232, _static, "chip", NOTEBOOK, {"power.static_chip_w": 0.282}
    ),
    Anchor(
        "PilotNet LIF",
        "loihi2",
        "energy of an image",
        "J",
        1.661e-3,
        lambda target: _pilotnet_dynamic(target) + _static(target) * (_pilotnet_step(target) * 16.0),
        "chip",
        NOTEBOOK,
        SLOWER_SYNAPSE | {"power.static_chip_w": 0.282},
    ),
    Anchor(
        "PilotNet SDNN",
        "loihi2",
        "static power",
        "W",
        0.282,
        _static,
        "chip",
        "lava-dl, netx/pilotnet_sdnn, 2023",
        {"power.static_chip_w": 0.232},
    ),
    Anchor(
        "CLP-SNN, 1280 inputs, 300 prototypes",
        "loihi2",
        "dynamic energy of a sample",
        "J",
        12.87e-6,
        _dense(1280 * 300, 300),
        "chip",
        "CLP-SNN data",
    ),
    Anchor(
        "CLP-SNN, 1280 inputs, 300 prototypes",
        "loihi2",
        "static power",
        "W",
        0.12,
        _static,
        "chip",
        "CLP-SNN data",
        remark="half of what PilotNet's two notebooks show of the same chip; which supplies are in it is not said",
    ),
    Anchor(
        "none, 2 chips of Nahuku 32",
        "loihi1",
        "empty step",
        "s",
        16.5e-6,
        _barrier,
        "chips",
        "Huizerd, thesis; Science Robotics 2024",
        {"time.barrier_chips_ns": 14_300.0},
    ),
    Anchor(
        "nearest neighbors, 256 chips",
        "loihi1",
        "empty step",
        "s",
        14.3e-6,
        _barrier,
        "chips",
        "Frady et al. 2020",
        {"time.barrier_chips_ns": 16_350.0},
    ),
    Anchor(
        "nearest neighbors, 768 chips",
        "loihi1",
        "empty step",
        "s",
        16.2e-6,
        _barrier,
        "chips",
        "Frady et al. 2020",
        {"time.barrier_chips_ns": 14_300.0},
    ),
    Anchor(
        "nearest neighbors, 32 chips",
        "loihi1",
        "static power of a chip",
        "W",
        3.34 / 32,
        _static,
        "chips",
        "Frady et al. 2020, Table 1",
        {"power.static_chip_w": 0.089},
    ),
    Anchor(
        "tactile braille",
        "loihi1",
        "static power of a chip",
        "W",
        0.089,
        _static,
        "chip",
        "intel-nrc-ecosystem/models, notebook",
    ),
    Anchor(
        "optical flow, 2 chips of Nahuku 32",
        "loihi1",
        "idle power",
        "W",
        0.94,
        lambda target: _static(target) * 2.0,
        "board",
        "Huizerd, thesis; Science Robotics 2024",
        remark="inferred: the board's supply, of whose 32 chips two are used; 9 chips' leakage by our figure",
    ),
)
"""Rows whose published description is enough; the other figures of the literature lack shapes, operations or the boundary."""


def table() -> str:
    """The rows, and how many are inside."""
    head = "| network | chip | figure | boundary | measured | predicted (band) | inside | without itself | source |\n"
    lines = [head, "|---|---|---|---|---|---|---|---|---|\n"]
    for anchor in ANCHORS:
        alone = anchor.without_itself
        cells = (
            anchor.net,
            anchor.target,
            anchor.quantity,
            anchor.boundary,
            _text(anchor, anchor.measured),
            _text(anchor, anchor.predicted.value)
            + (
                f" ({_text(anchor, anchor.predicted.low)} to {_text(anchor, anchor.predicted.high)})"
                if anchor.is_priced
                else ""
            ),
            "yes" if anchor.is_inside else f"no: {anchor.remark}",
            "" if alone is None else f"{_text(anchor, alone.value)}, {alone.value / anchor.measured - 1:+.0%}",
            anchor.source,
        )
        lines.append(f"| {' | '.join(cells)} |\n")
    priced = [anchor for anchor in ANCHORS if anchor.is_priced]
    inside = sum(anchor.is_inside for anchor in priced)
    lines.append(f"\n{inside} of {len(priced)} times, energies and powers lie inside their bands.\n")
    return "".join(lines)


def _text(anchor: Anchor, value: float) -> str:
    return rounded(value, "" if anchor.unit == "1/s" else anchor.unit) if anchor.is_priced else f"{value:,.0f}"


def page() -> str:
    """The whole page with the table of now."""
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: BEGIN + table() + END, text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(table())
