"""An energy estimate: parts per population, times, and every figure with its error band and source."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.cost.timeline import Step, Timeline
from snn_deploy.targets.device import Figure
from snn_deploy.targets.quantity import Quantity, total

BOUNDARY = "without host I/O"
"""What stands beside every joule of a chip."""


@dataclass(frozen=True)
class Part:
    """One kind of event: occurrences per image, and the energy of all of them.

    Either is ``None`` where it is not known, never 0; then ``missing`` gives the reason.
    """

    name: str
    count: float | None
    energy: Quantity | None
    missing: str | None = None

    @property
    def texts(self) -> tuple[str, str]:
        """Count and energy for a table; ``-`` and the reason where there is none."""
        energy = f"- ({self.missing})" if self.energy is None else self.energy.text("J")
        return ("-" if self.count is None else f"{self.count:,.0f}"), energy


@dataclass(frozen=True)
class LayerEnergy:
    """The parts of one population: its neurons, the synapses that end at it and the messages it sends."""

    population: str
    parts: tuple[Part, ...]

    @property
    def energy(self) -> Quantity:
        """Joules per image."""
        return total([part.energy for part in self.parts if part.energy is not None])


@dataclass(frozen=True)
class Timing:
    """The timeline of an image, and the machine that it is valid for: cores, chips, and their leakage in watts."""

    timeline: Timeline
    cores: int
    chips: int
    static_w: Quantity

    @property
    def latency_s(self) -> Quantity:
        """Seconds from the first input event of an image to the end of the last window."""
        return self.timeline.latency_s

    @property
    def interval_s(self) -> Quantity:
        """Seconds from one image to the next."""
        return self.timeline.interval_s

    @property
    def step_s(self) -> Quantity:
        """Mean duration of a step."""
        return self.timeline.mean_step_s

    @property
    def longest_step(self) -> Step:
        """The longest step."""
        return self.timeline.steps[self.timeline.longest]


@dataclass(frozen=True, eq=False, repr=False)
class EnergyEstimate:
    """Energy of one image.

    ``timing`` is ``None`` where the target has coefficients of arithmetic only: then without leakage. ``measured_j``
    replaces the modelled dynamic energy where the target file has a measurement; ``layers`` and the timeline keep the
    modelled values. ``excluded``: what no figure contains.
    """

    network: str
    target: str
    activity: str
    layers: tuple[LayerEnergy, ...]
    timing: Timing | None
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    excluded: tuple[str, ...]
    measured_j: Quantity | None = None

    def __repr__(self) -> str:
        return f"EnergyEstimate({self.network} on {self.target}: {self.total_j.text('J')} per image)"

    def __str__(self) -> str:
        """In ten lines at most: energy and times of one image, and what is not in them."""
        whole = self.rows()[len(self.parts) :]
        lines = [f"{what}: {figure}" + (f", {how}" if how else "") for what, how, figure in whole]
        return "\n".join(
            [f"{self.network} on {self.target}, {self.activity}", *lines, f"not in it: {', '.join(self.excluded)}"]
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The same kinds of events summed over all populations; a sum of which one term is missing is missing, too."""
        names = dict.fromkeys(part.name for layer in self.layers for part in layer.parts)
        return tuple(
            _summed([part for layer in self.layers for part in layer.parts if part.name == name]) for name in names
        )

    @property
    def model_j(self) -> Quantity:
        """Joules of all events of one image by the coefficients of the target."""
        return total([layer.energy for layer in self.layers])

    @property
    def dynamic_j(self) -> Quantity:
        """Joules of all events of one image: measured, where a measurement was given."""
        return self.model_j if self.measured_j is None else self.measured_j

    @property
    def static_j(self) -> Quantity | None:
        """Joules of leakage during one image's interval."""
        return None if self.timing is None else self.timing.static_w * self.timing.interval_s

    @property
    def total_j(self) -> Quantity:
        """Joules of one image; without leakage where the target has no coefficient for it (``notes`` say so)."""
        return self.dynamic_j if self.static_j is None else self.dynamic_j + self.static_j

    @property
    def static_share(self) -> float | None:
        """Leakage over total, 0..1."""
        return None if self.static_j is None else self.static_j.value / self.total_j.value

    @property
    def images_per_s(self) -> Quantity | None:
        """Images per second."""
        return None if self.timing is None else self.timing.interval_s.inverse()

    @property
    def edp_js(self) -> Quantity | None:
        """Energy-delay product in J s."""
        return None if self.timing is None else self.total_j * self.timing.latency_s

    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """(what, events per image, figure with band) for a table."""
        rows = [(part.name, *part.texts) for part in self.parts]
        if self.measured_j is not None:
            rows.append(("dynamic energy per image by the model", "", self.model_j.text("J")))
        how = "" if self.measured_j is None else "measured"
        rows.append(("dynamic energy per image", how, self.dynamic_j.text("J")))
        if (
            self.timing is not None
            and self.static_j is not None
            and self.images_per_s is not None
            and self.edp_js is not None
        ):
            machine = f"{self.timing.cores:,} cores, {self.timing.chips:,} chip(s)"
            rows += [
                ("static energy per image", machine, self.static_j.text("J")),
                ("energy per image", f"{self.static_share:.0%} static, {BOUNDARY}", self.total_j.text("J")),
                ("mean step", f"{len(self.timing.timeline.steps):,} steps per image", self.timing.step_s.text("s")),
                ("longest step", _waits(self.timing), self.timing.longest_step.duration_s.text("s")),
                ("latency", "", self.timing.latency_s.text("s")),
                ("images per second", "", self.images_per_s.text("")),
                ("energy-delay product", "", self.edp_js.text("Js")),
            ]
        return tuple(rows)

    def record(self) -> dict[str, object]:
        """For JSON: SI units, every figure with its band."""
        timeline = self.timing.timeline if self.timing else None
        return {
            "network": self.network,
            "target": self.target,
            "activity": self.activity,
            "parts": [
                {
                    "name": part.name,
                    "count": part.count,
                    "energy_j": _record(part.energy),
                    "missing": part.missing,
                }
                for part in self.parts
            ],
            "layers": [{"population": layer.population, "energy_j": layer.energy.record()} for layer in self.layers],
            "model_j": self.model_j.record(),
            "dynamic_j": self.dynamic_j.record(),
            "static_j": _record(self.static_j),
            "total_j": self.total_j.record(),
            "static_share": self.static_share,
            "excluded": list(self.excluded),
            "step_s": _record(self.timing.step_s if self.timing else None),
            "longest_step_s": _record(self.timing.longest_step.duration_s if self.timing else None),
            "latency_s": _record(self.timing.latency_s if self.timing else None),
            "images_per_s": _record(self.images_per_s),
            "edp_js": _record(self.edp_js),
            "cores": self.timing.cores if self.timing else None,
            "chips": self.timing.chips if self.timing else None,
            "timeline": timeline.record() if timeline else None,
            "basis": [figure.citation for figure in self.figures],
            "notes": list(self.notes),
        }


def _summed(same: list[Part]) -> Part:
    counts = [part.count for part in same if part.count is not None]
    energies = [part.energy for part in same if part.energy is not None]
    return Part(
        same[0].name,
        sum(counts) if len(counts) == len(same) else None,
        total(energies) if len(energies) == len(same) else None,
        next((part.missing for part in same if part.missing is not None), None),
    )


def _record(quantity: Quantity | None) -> dict[str, float] | None:
    return None if quantity is None else quantity.record()


def _waits(timing: Timing) -> str:
    """What the longest step waits for."""
    timeline = timing.timeline
    if timeline.is_measured:
        return "measured"
    busiest = timing.longest_step.busiest
    return f"step {timeline.longest}, busiest core: {busiest}" if busiest else "no synaptic operations"
