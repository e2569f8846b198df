"""Joules and seconds of one image, each with its band and the sources of its prices (loihi.md, section 2.3).

On a chip::

    E_dynamic = sum over layers of  SOP e_syn + active e_act + inactive e_inact + events e_spike
                                    + messages (e_message + hops_ew e_ew + hops_ns e_ns)
    t_step    = max(t_floor, busiest core: SOP t_syn + neurons t_neuron) + barrier
    latency   = duration t_step          duration: steps from the first input event to the end of the last window
    E_total   = E_dynamic + chips P_static latency
    EDP       = E_total latency

Images one at a time (the default): every neuron is updated in all ``duration`` steps, and leaks for as long.
``streamed``: the next image follows ``steps`` later through the pipeline, so an image pays for ``steps`` steps only;
its latency stays.

Prices that a target does not have are refused with :class:`TargetError`, never taken as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snn_deploy.counting import Activity, ConnectionActivity
from snn_deploy.errors import TargetError
from snn_deploy.network import Network
from snn_deploy.quantity import Quantity, largest, total
from snn_deploy.target import Figure, Target

CHIP_PRICES = (
    "energy.neuron_active_pj",
    "energy.neuron_inactive_pj",
    "energy.spike_pj",
    "energy.message_pj",
    "energy.hop_ew_pj",
    "energy.hop_ns_pj",
    "time.synapse_ns",
    "time.neuron_ns",
    "time.step_floor_ns",
    "time.barrier_chip_ns",
    "time.barrier_chips_ns",
    "power.static_chip_w",
    "limits.neurons_per_core",
    "limits.compartments_per_neuron",
    "limits.cores_per_chip",
)
"""What a target of kind ``chip`` must price, besides the synapse."""


@dataclass(frozen=True)
class Part:
    """One kind of event: how often per image it happens, and what all of them cost."""

    name: str
    count: float
    energy: Quantity


@dataclass(frozen=True)
class LayerEnergy:
    """The parts of one population: its neurons, the synapses that end at it and the messages it sends."""

    population: str
    parts: tuple[Part, ...]

    @property
    def energy(self) -> Quantity:
        """Joules per image."""
        return total([part.energy for part in self.parts])


@dataclass(frozen=True)
class Timing:
    """Seconds per step and per image, the interval between images, and the machine they hold for."""

    step_s: Quantity
    latency_s: Quantity
    interval_s: Quantity
    cores: int
    chips: int
    static_w: Quantity


@dataclass(frozen=True, eq=False)
class EnergyEstimate:
    """Energy of one image. ``timing`` is ``None`` where the target prices arithmetic only: then without leakage."""

    network: str
    target: str
    activity: str
    layers: tuple[LayerEnergy, ...]
    timing: Timing | None
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The same kinds of events summed over all populations."""
        names = dict.fromkeys(part.name for layer in self.layers for part in layer.parts)
        return tuple(
            Part(name, sum(part.count for part in found), total([part.energy for part in found]))
            for name in names
            for found in [[part for layer in self.layers for part in layer.parts if part.name == name]]
        )

    @property
    def dynamic_j(self) -> Quantity:
        """Joules of all events of one image."""
        return total([layer.energy for layer in self.layers])

    @property
    def static_j(self) -> Quantity | None:
        """Joules of leakage during one image's interval."""
        return None if self.timing is None else self.timing.static_w * self.timing.interval_s

    @property
    def total_j(self) -> Quantity:
        """Joules of one image; without leakage where the target does not price it (``notes`` say so)."""
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
        rows = [(part.name, f"{part.count:,.0f}", part.energy.text("J")) for part in self.parts]
        rows.append(("dynamic energy per image", "", self.dynamic_j.text("J")))
        if (
            self.timing is not None
            and self.static_j is not None
            and self.images_per_s is not None
            and self.edp_js is not None
        ):
            machine = f"{self.timing.cores:,} cores, {self.timing.chips:,} chip(s)"
            rows += [
                ("static energy per image", machine, self.static_j.text("J")),
                ("energy per image", f"{self.static_share:.0%} static", self.total_j.text("J")),
                ("step", "", self.timing.step_s.text("s")),
                ("latency", "", self.timing.latency_s.text("s")),
                ("images per second", "", self.images_per_s.text("")),
                ("energy-delay product", "", self.edp_js.text("Js")),
            ]
        return tuple(rows)

    def record(self) -> dict[str, object]:
        """For JSON: SI units, every figure with its band."""
        return {
            "network": self.network,
            "target": self.target,
            "activity": self.activity,
            "parts": [
                {"name": part.name, "count": part.count, "energy_j": part.energy.record()} for part in self.parts
            ],
            "layers": [{"population": item.population, "energy_j": item.energy.record()} for item in self.layers],
            "dynamic_j": self.dynamic_j.record(),
            "static_j": _record(self.static_j),
            "total_j": self.total_j.record(),
            "static_share": self.static_share,
            "step_s": _record(self.timing.step_s if self.timing else None),
            "latency_s": _record(self.timing.latency_s if self.timing else None),
            "images_per_s": _record(self.images_per_s),
            "edp_js": _record(self.edp_js),
            "cores": self.timing.cores if self.timing else None,
            "chips": self.timing.chips if self.timing else None,
            "basis": [figure.citation for figure in self.figures],
            "notes": list(self.notes),
        }


def _record(quantity: Quantity | None) -> dict[str, float] | None:
    return None if quantity is None else quantity.record()


def estimate(network: Network, activity: Activity, target: Target, *, streamed: bool = False) -> EnergyEstimate:
    """Energy and time of one image of ``activity`` (the mean of its images) on ``target``."""
    if activity.network != network.name:
        raise TargetError(f"the activity is of network {activity.network!r}, not of {network.name!r}")
    if target.kind == "chip":
        return _chip(network, activity, target, streamed=streamed)
    return _operations(network, activity, target)


def _synapse_key(target: Target, connection: ConnectionActivity) -> str:
    """The price of this kind of synapse, or the general one where the target does not tell kinds apart."""
    special = f"energy.synapse_{'dense' if connection.dense else 'conv'}_pj"
    return special if special in target.figures else "energy.synapse_pj"


def _chip(network: Network, activity: Activity, target: Target, *, streamed: bool) -> EnergyEstimate:
    synapse_keys = {connection.name: _synapse_key(target, connection) for connection in activity.connections}
    target.require(*dict.fromkeys(synapse_keys.values()), *CHIP_PRICES)
    price = {key: target.quantity(key) for key in (*synapse_keys.values(), *CHIP_PRICES)}
    steps = network.steps if streamed else network.duration
    layers = tuple(
        LayerEnergy(population.name, _chip_parts(network, activity, population.name, price, synapse_keys, steps))
        for population in network.populations
    )
    timing = _timing(network, activity, target, price, streamed=streamed)
    used = (*dict.fromkeys(synapse_keys.values()), *CHIP_PRICES)
    return EnergyEstimate(
        network.name,
        target.name,
        activity.basis,
        layers,
        timing,
        tuple(target.figure(key) for key in used),
        (
            *target.notes,
            "images stream through the pipeline"
            if streamed
            else "images one at a time; streaming shares the static energy",
            "lower bounds: cores by the neuron limit alone; one message per event and connection, no mesh hops",
        ),
    )


def _chip_parts(
    network: Network,
    activity: Activity,
    name: str,
    price: Mapping[str, Quantity],
    synapse_keys: Mapping[str, str],
    steps: int,
) -> tuple[Part, ...]:
    images = activity.images
    counts = next(item for item in activity.populations if item.name == name)
    events = int(counts.events.sum()) / images
    messages = events * len(network.outgoing(name))
    incoming = [item for item in activity.connections if item.target == name]
    operations = {item.name: int(item.synaptic_operations.sum()) / images for item in incoming}
    active = int(counts.active.sum()) / images
    inactive = 0.0 if name == network.input.name else counts.neurons * steps - active
    return (
        Part(
            "synaptic operations",
            sum(operations.values()),
            total([price[synapse_keys[key]] * number for key, number in operations.items()]),
        ),
        Part("active neuron updates", active, price["energy.neuron_active_pj"] * active),
        Part("inactive neuron updates", inactive, price["energy.neuron_inactive_pj"] * inactive),
        Part("spikes", active, price["energy.spike_pj"] * active),
        Part("messages", messages, price["energy.message_pj"] * messages),
    )


def _timing(
    network: Network, activity: Activity, target: Target, price: Mapping[str, Quantity], *, streamed: bool
) -> Timing:
    """Step time of the busiest core, from the mean load of a step; the input takes no core."""
    per_core = target.integer("limits.neurons_per_core") // target.integer("limits.compartments_per_neuron")
    cores = 0
    busy = [price["time.step_floor_ns"]]
    for population in network.populations[1:]:
        needed = -(-population.size // per_core)
        cores += needed
        operations = int(activity.arriving(population.name).sum()) / activity.images / network.steps
        busy.append(
            price["time.synapse_ns"] * (operations / needed) + price["time.neuron_ns"] * (population.size / needed)
        )
    chips = -(-cores // target.integer("limits.cores_per_chip"))
    step = largest(*busy) + price["time.barrier_chip_ns" if chips == 1 else "time.barrier_chips_ns"]
    latency = step * float(network.duration)
    return Timing(
        step_s=step,
        latency_s=latency,
        interval_s=step * float(network.steps) if streamed else latency,
        cores=cores,
        chips=chips,
        static_w=price["power.static_chip_w"] * float(chips),
    )


def _operations(network: Network, activity: Activity, target: Target) -> EnergyEstimate:
    """Targets that price arithmetic (or a paper's formula) only: no neurons, no routing, no leakage, no time."""
    from_input = [item for item in activity.connections if item.source == network.input.name]
    layers = []
    if target.kind == "arithmetic":
        keys: tuple[str, ...] = ("energy.accumulate_pj", "energy.mac_pj")
        target.require(*keys)
        for population in network.populations[1:]:
            operations = int(activity.arriving(population.name).sum()) / activity.images
            layers.append(_layer(population.name, "synaptic operations as additions", operations, target, keys[0]))
        note = (
            f"the ANN's {activity.macs:,} multiplications cost {(target.quantity(keys[1]) * activity.macs).text('J')}"
        )
    else:
        keys = ("energy.spike_pj", "energy.mac_pj")
        target.require(*keys)
        for counts in activity.populations[1:]:
            if counts.unit_spikes is None:
                raise TargetError(
                    f"target {target.name}: unit spikes of {counts.name} are unknown; record trains in a run"
                )
            layers.append(
                _layer(counts.name, "unit spikes", int(counts.unit_spikes.sum()) / activity.images, target, keys[0])
            )
        first = sum(item.dense_macs for item in from_input)
        layers.append(_layer(network.input.name, "first-layer multiplications", first, target, keys[1]))
        note = (
            f"the formula sees nothing of the {activity.synaptic_operations / activity.images:,.0f} synaptic operations"
        )
    return EnergyEstimate(
        network.name,
        target.name,
        activity.basis,
        tuple(layers),
        None,
        tuple(target.figure(key) for key in keys),
        (*target.notes, note, "no neuron updates, routing, leakage or time"),
    )


def _layer(population: str, name: str, number: float, target: Target, key: str) -> LayerEnergy:
    return LayerEnergy(population, (Part(name, number, target.quantity(key) * number),))
