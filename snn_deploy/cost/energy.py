"""Joules and seconds of one image, each with its error band and the sources of its coefficients.

On a chip (Davies et al. 2018, Table 2, and SANA-FE, TCAD 2025, give coefficients for the same events)::

    E_dynamic = sum over layers of  SOP e_syn + active e_act + inactive e_inact + events e_spike
                                    + messages e_message + hops_ew e_ew + hops_ns e_ns
    E_total   = E_dynamic + E_static
    EDP       = E_total latency

Durations of steps, latency, throughput and leakage are those of :mod:`snn_deploy.cost.timeline`, from the same loads of every
step (:mod:`snn_deploy.cost.loads`). Images one at a time (the default): every neuron is updated in all ``duration`` steps, and
the chips leak all that time. ``streamed``: the next image follows ``steps`` later, so an image takes the updates and the leakage
of ``steps`` steps; these are longer, because all layers work at once.

The boundary is the chips: input and output of the host are in no figure (``EnergyEstimate.excluded``).

A coefficient that the target lacks is a :class:`TargetError`, never zero. No published coefficient is known for messages
between chips: they are counted, have no energy, and are not in any sum. Where no message stays on its chip, there are no
hops to count.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.activity.activity import Activity, ConnectionActivity
from snn_deploy.cost.estimates import EnergyEstimate, LayerEnergy, Part, Timing
from snn_deploy.cost.loads import Loads, measure_loads, share
from snn_deploy.cost.timeline import time_steps
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.mapping.traffic import Traffic, measure_traffic
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target
from snn_deploy.targets.quantity import Quantity, total

EVENT_COEFFICIENTS = (
    "energy.neuron_active_pj",
    "energy.neuron_inactive_pj",
    "energy.spike_pj",
    "energy.message_pj",
    "energy.hop_ew_pj",
    "energy.hop_ns_pj",
)
"""Energy coefficients that a target of kind ``chip`` must have, besides that of the synapse."""

OPERATIONS, INACTIVE = "synaptic operations", "inactive neuron updates"
"""Parts that are not spread over the steps as a population's events are."""

BETWEEN_CHIPS = "messages between chips"
"""A part that is counted and has no energy."""

HOST, BARRIERS = "host input and output", "barriers between steps"
"""What no joule of a chip contains: no energy of either was published."""

TIME_COEFFICIENTS = (
    "time.synapse_ns",
    "time.neuron_ns",
    "time.step_floor_ns",
    "time.barrier_chip_ns",
    "time.barrier_chips_ns",
    "power.static_chip_w",
)
"""Coefficients of time and leakage that it must have."""


def estimate(
    network: Network,
    activity: Activity,
    target: Target,
    *,
    mapping: Mapping | None = None,
    streamed: bool = False,
) -> EnergyEstimate:
    """Energy and time of one image (the mean of those in ``activity``) on ``target``.

    A chip's network is mapped first unless ``mapping`` is given. A ``[measured]`` section of the target's file
    replaces the modelled numbers.
    """
    if activity.network != network.name:
        raise TargetError(f"the activity is of network {activity.network!r}, not of {network.name!r}")
    if target.kind != "chip":
        return _operations(network, activity, target)
    mapped = mapping or map_network(network, target)
    if (mapped.network, mapped.target) != (network.name, target.name):
        raise TargetError(f"the mapping is of {mapped.network!r} on {mapped.target!r}")
    return _chip(network, activity, target, mapped, streamed=streamed)


def _synapse_key(target: Target, connection: ConnectionActivity) -> str:
    """The coefficient of this kind of synapse, or the general one where the target does not distinguish kinds."""
    special = f"energy.synapse_{'dense' if connection.dense else 'conv'}_pj"
    return special if special in target.figures else "energy.synapse_pj"


def _chip(network: Network, activity: Activity, target: Target, mapping: Mapping, *, streamed: bool) -> EnergyEstimate:
    synapse_keys = dict.fromkeys(_synapse_key(target, connection) for connection in activity.connections)
    used = (*synapse_keys, *EVENT_COEFFICIENTS, *TIME_COEFFICIENTS)
    target.require(*used)
    traffic = measure_traffic(network, activity, mapping, target)
    loads = measure_loads(network, activity, traffic, period=network.steps if streamed else network.duration)
    layers = tuple(
        LayerEnergy(population.name, _parts(network, activity, population.name, target, traffic, loads.period))
        for population in network.populations
    )
    timeline = time_steps(
        loads, _joules_by_step(network, layers, loads, traffic), traffic, mapping, target, network.duration
    )
    measured = [key for key in target.figures if key.startswith("measured.")]
    dynamic_j = _measurement(target, "measured.dynamic_per_image_uj")
    static_w = _measurement(target, "measured.static_w") or target.quantity("power.static_chip_w") * float(
        mapping.chips
    )
    return EnergyEstimate(
        network.name,
        target.name,
        activity.basis,
        layers,
        Timing(timeline, mapping.cores, mapping.chips, static_w),
        tuple(target.figure(key) for key in (*used, *measured)),
        (*target.notes, *_notes(mapping, traffic, loads, streamed=streamed)),
        (HOST,) if dynamic_j else (HOST, BARRIERS, *((BETWEEN_CHIPS,) if traffic.between_chips else ())),
        dynamic_j,
    )


def _measurement(target: Target, key: str) -> Quantity | None:
    return target.quantity(key) if key in target.figures else None


def _joules_by_step(
    network: Network, layers: tuple[LayerEnergy, ...], loads: Loads, traffic: Traffic
) -> tuple[Quantity, ...]:
    """Dynamic joules of each step: every part of a layer falls into the steps in which its events do."""
    ends = np.zeros((3, loads.period))
    for layer in layers:
        sent = loads.sent[layer.population]
        population = network.population(layer.population)
        idle = (population.size if population.neuron is None else traffic.count_neurons(population.name)) - sent
        shares = {OPERATIONS: share(loads.received[layer.population]), INACTIVE: share(idle)}
        for part in layer.parts:
            if part.energy is not None:
                ends += np.outer(part.energy.ends, shares.get(part.name, share(sent)))
    return tuple(Quantity(*map(float, joules)) for joules in ends.T)


def _notes(mapping: Mapping, traffic: Traffic, loads: Loads, *, streamed: bool) -> tuple[str, ...]:
    between = traffic.between_chips
    notes = [
        "images stream through the pipeline: all layers work at once"
        if streamed
        else "images one at a time; streamed images share leakage and idle updates",
        f"{loads.basis}; a step is as long as its busiest core takes; messages from the host are counted without hops",
    ]
    if between:
        notes.append(
            f"{between:,.0f} messages per image cross chips; their hops and energy are unknown and not included"
        )
    if mapping.problems:
        notes.append(f"the network does not fit: {len(mapping.problems)} problem(s), see the mapping")
    return tuple(notes)


def _parts(
    network: Network, activity: Activity, name: str, target: Target, traffic: Traffic, steps: int
) -> tuple[Part, ...]:
    operations = {
        connection.name: (_synapse_key(target, connection), float(traffic.loads[connection.name].sum()))
        for connection in activity.connections
        if connection.target == name
    }
    active = int(activity.population(name).active.sum()) / activity.images
    inactive = 0.0 if name == network.input.name else traffic.count_neurons(name) * steps - active
    sent = [traffic.sent(connection.name) for connection in network.outgoing(name)]
    messages, hops_ew, hops_ns, between = (
        sum(getattr(messages, field) for messages in sent) for field in ("sent", "hops_ew", "hops_ns", "between_chips")
    )

    def part(name: str, key: str, number: float) -> Part:
        return Part(name, number, target.quantity(key) * number)

    def hops(name: str, key: str, number: float) -> Part:
        if traffic.between_chips and not traffic.within_chips:
            return Part(name, None, None, "no message stays on its chip")
        return part(name, key, number)

    return (
        Part(
            OPERATIONS,
            sum(number for _, number in operations.values()),
            total([target.quantity(key) * number for key, number in operations.values()]),
        ),
        part("active neuron updates", "energy.neuron_active_pj", active),
        part(INACTIVE, "energy.neuron_inactive_pj", inactive),
        part("spikes", "energy.spike_pj", active),
        part("messages to cores", "energy.message_pj", messages),
        hops("hops east-west", "energy.hop_ew_pj", hops_ew),
        hops("hops north-south", "energy.hop_ns_pj", hops_ns),
        *([Part(BETWEEN_CHIPS, between, None, "no published coefficient")] if traffic.between_chips else []),
    )


def _operations(network: Network, activity: Activity, target: Target) -> EnergyEstimate:
    """Targets with energy per arithmetic operation, or a paper's formula: no neurons, routing, leakage or time."""
    model = _additions if target.kind == "arithmetic" else _published
    layers, keys, note = model(network, activity, target)
    return EnergyEstimate(
        network.name,
        target.name,
        activity.basis,
        layers,
        None,
        tuple(target.figure(key) for key in keys),
        (*target.notes, note),
        ("neuron updates", "routing", "leakage", HOST),
    )


LayerEstimate = tuple[tuple[LayerEnergy, ...], tuple[str, ...], str]


def _additions(network: Network, activity: Activity, target: Target) -> LayerEstimate:
    keys = ("energy.accumulate_pj", "energy.mac_pj")
    target.require(*keys)
    layers = tuple(
        _layer(
            population.name,
            "synaptic operations as additions",
            int(activity.arriving(population.name).sum()) / activity.images,
            target,
            keys[0],
        )
        for population in network.populations[1:]
    )
    ann = (target.quantity(keys[1]) * float(activity.macs)).text("J")
    return layers, keys, f"the ANN's {activity.macs:,} multiplications cost {ann} by the same table"


def _published(network: Network, activity: Activity, target: Target) -> LayerEstimate:
    keys = ("energy.spike_pj", "energy.mac_pj")
    target.require(*keys)
    layers = []
    for counts in activity.populations[1:]:
        if counts.unit_spikes is None:
            raise TargetError(f"target {target.name}: unit spikes of {counts.name} are unknown; record trains in a run")
        spikes = int(counts.unit_spikes.sum()) / activity.images
        layers.append(_layer(counts.name, "unit spikes", spikes, target, keys[0]))
    first = sum(connection.dense_macs for connection in activity.connections if connection.source == network.input.name)
    layers.append(_layer(network.input.name, "first-layer multiplications", float(first), target, keys[1]))
    operations = activity.synaptic_operations / activity.images
    return tuple(layers), keys, f"the formula ignores the {operations:,.0f} synaptic operations"


def _layer(population: str, name: str, number: float, target: Target, key: str) -> LayerEnergy:
    return LayerEnergy(population, (Part(name, number, target.quantity(key) * number),))
