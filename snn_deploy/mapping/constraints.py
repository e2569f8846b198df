"""Constraint checks: why a network does not fit a device, each violation with place, number, limit and remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from snn_deploy.mapping.layout import Layer, SynapseGroup, measure_receptive_field
from snn_deploy.mapping.tiling import ONE_NEURON, Use, count_synaptic_words, shares_taps
from snn_deploy.network import bounds
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target


@dataclass(frozen=True)
class Problem:
    """One violation: where, the number and its limit, and the remedy."""

    where: str
    violation: str
    remedy: str

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.where}: {self.violation}; {self.remedy}"


def check_layer(layer: Layer, uses: Sequence[Use], target: Target) -> list[Problem]:
    """Resources of which a single neuron of ``layer`` exceeds a core's, and weights that are too wide.

    ``uses`` are those of a tile that fits, or of one neuron where none does.
    """
    problems = [
        Problem(
            layer.name,
            f"one neuron alone needs {use.used:,} {use.resource}, {target.name} has {use.limit:,} per core",
            _smaller_fan_in(layer, target, parts=-(-use.used // use.limit)),
        )
        for use in uses
        if use.used > use.limit
    ]
    bits = target.integer("limits.weight_bits")
    problems += [
        Problem(
            layer.name,
            f"weights from {group.source} take {group.weight_bits} bits, {target.name} stores {bits}",
            f"convert with {bits} weight bits",
        )
        for group in layer.groups
        if group.weight_bits > bits
    ]
    return problems


def _smaller_fan_in(layer: Layer, target: Target, *, parts: int) -> str:
    """Remedy for a fan-in that exceeds a core: a convolution is the sum of convolutions over parts of its channels."""
    if all(group.kind == "pixels" for group in layer.groups):
        pixels = max(math.prod(measure_receptive_field(group, axis, 1) for axis in (0, 1)) for group in layer.groups)
        return f"it reads up to {pixels:,} pixels of its channel: resample in several steps, each of which reads fewer"
    largest = max(layer.groups, key=lambda group: group.shape[0] * math.prod(group.taps))
    rows, columns = largest.taps
    return (
        f"at most {_channels_allowed(layer, largest, target):,} input channels fit a {rows}x{columns} kernel: "
        f"use fewer, or split them into {parts} convolutions, each into a linear population of its own, "
        "and add these"
    )


def _channels_allowed(layer: Layer, group: SynapseGroup, target: Target) -> int:
    """Channels of ``group`` alone with which one neuron would fit."""
    alone = Layer(layer.name, layer.shape, (group,))
    words = count_synaptic_words(target, alone, ONE_NEURON)
    allowed = target.integer("limits.synaptic_memory_words") * group.shape[0] // words
    if shares_taps(target):
        return allowed
    return min(allowed, target.integer("limits.input_axons_per_core") // math.prod(group.taps))


def check_network(network: Network, target: Target) -> tuple[Problem, ...]:
    """Payloads, accumulators and delays: the constraints that depend on values and schedule, not on shapes."""
    return (*_payload_problems(network, target), *_state_problems(network, target), *_delays(network, target))


def _payload_problems(network: Network, target: Target) -> list[Problem]:
    bits = target.integer("limits.payload_bits")
    ranges = {population.name: bounds.bound_payloads(network, population) for population in network.populations}
    if bits == 1:
        graded = [name for name, (low, high) in ranges.items() if (low, high) != (0, 1)]
        widest = (min(low for low, _ in ranges.values()), max(high for _, high in ranges.values()))
        violation = f"events carry payloads {widest[0]}..{widest[1]}; {target.name} sends binary spikes"
        remedy = "convert in rate mode with one threshold and a spike-coded input, or choose a chip with graded spikes"
        return [Problem(_names(graded), violation, remedy)] if graded else []
    return [
        Problem(
            name,
            f"events carry {low}..{high}, {needed} bits; {target.name} sends {bits}",
            "lower the payload limit",
        )
        for name, (low, high) in ranges.items()
        if (needed := max(high, -low).bit_length() + int(low < 0)) > bits
    ]


def _state_problems(network: Network, target: Target) -> list[Problem]:
    """Currents and membranes that the target's words cannot hold."""
    accumulator, state = (2 ** (target.integer(f"limits.{key}_bits") - 1) - 1 for key in ("accumulator", "state"))
    found = [bounds.bound_population(network, population) for population in network.populations]
    currents = [
        Problem(
            bound.population,
            f"the current of a step can reach {bound.current:,}; {target.name}'s accumulator wraps beyond {accumulator:,}",
            "use fewer weight bits or smaller payloads",
        )
        for bound in found
        if bound.current > accumulator
    ]
    membranes = [
        Problem(
            bound.population,
            f"a membrane can reach {bound.membrane:,}; {target.name}'s states hold {state:,}",
            "use fewer weight bits or smaller counts",
        )
        for bound in found
        if bound.membrane is not None and bound.membrane > state
    ]
    return currents + membranes


def _delays(network: Network, target: Target) -> list[Problem]:
    longest = target.integer("limits.delay_max_steps")
    return [
        Problem(
            connection.name,
            f"delay {connection.delay}, {target.name} has at most {longest}",
            f"pass the spikes through {-(-connection.delay // longest) - 1} relay population(s)",
        )
        for connection in network.connections
        if connection.delay > longest
    ]


def check_widths(layers: Sequence[Layer], target: Target) -> tuple[str, ...]:
    """Warning for maps wider than the chip's convolutions address exactly (issued by Intel's compiler, netx/yolo_kp)."""
    if "limits.map_width_max_pixels" not in target.figures:
        return ()
    widest = target.integer("limits.map_width_max_pixels")
    wide = [
        layer.name
        for layer in layers
        if layer.shape[2] > widest or any(group.shape[2] > widest for group in layer.groups)
    ]
    text = (
        f"{_names(wide)}: maps wider than {widest} pixels; Intel's compiler warns that spikes from columns "
        f"n*{widest + 1}-1 and their neighbours might get dropped: split the image into strips"
    )
    return (text,) if wide else ()


def check_resets(network: Network, target: Target) -> tuple[str, ...]:
    """Warning for image durations other than the powers of two at which Loihi 2 resets (lava-dl, netx/mnist/run.ipynb)."""
    period = network.duration
    if not shares_taps(target) or period & (period - 1) == 0:
        return ()
    interval = 1 << period.bit_length()
    return (
        f"an image takes {period} steps, but Loihi 2 resets only every 2**n steps, here {interval}: throughput is "
        f"{interval / period:.2f}x lower and static energy {interval / period:.2f}x higher than estimated",
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
