"""What a bundle's README says of the chip: its processes, whose models they need, and how the network was laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from snn_deploy.network.network import Network
from snn_deploy_lava.chip_layout import Layout, is_plain


@dataclass(frozen=True)
class ProcessKind:
    """A class of processes: what it is here for, where it runs, and what is public of its model for the chip."""

    name: str
    role: str
    model: str
    source: str


_KINDS = {
    kind.name: kind
    for kind in (
        ProcessKind("io.source.RingBuffer", "images", "host: `PySendModelFixed`", "published: lava-nc `io/source.py`"),
        ProcessKind("Recorder", "read-out", "host: `PyRecorder` of this folder", "this folder"),
        ProcessKind(
            "PyToN3ConvAdapter",
            "images into `Conv`",
            "lava-loihi",
            "published: lava-dl `pilotnet_sdnn/utils.py`, `yolo_kp`, `test_hdf5_nx.py`; `spike_exp` 0 is inferred",
        ),
        ProcessKind(
            "PyToNxAdapter",
            "biases or images into `Sparse`",
            "lava-loihi",
            "published: lava-nc `networks/gradedvecnetwork.py`",
        ),
        ProcessKind(
            "NxToPyAdapter",
            "events out of the chip",
            "lava-loihi",
            "published: the same; words of 24 bits lose their sign",
        ),
        ProcessKind(
            "MultiThreshold",
            "neurons",
            "**the team's own**, by `chip_models.py`",
            "equations there; untested on a chip",
        ),
        ProcessKind(
            "TwoSided",
            "neurons of LeakyReLU",
            "**the team's own**, by `chip_models.py`",
            "equations there; untested on a chip",
        ),
        ProcessKind(
            "LIFReset", "neurons", "lava-loihi", "published: lava-dl netx runs it on Loihi 2; resets every 2**n steps"
        ),
        ProcessKind("SigmaDelta", "neurons", "lava-loihi", "published: lava-dl netx runs it on Loihi 2"),
        ProcessKind("GradedVec", "relays", "lava-loihi", "published: lava-nc `networks/gradedvecnetwork.py`"),
        ProcessKind(
            "Conv",
            "convolutions",
            "lava-loihi",
            "published: netx (no `weight_exp`); groups, and several into one port, are inferred",
        ),
        ProcessKind(
            "Sparse", "all other synapses", "lava-loihi: `NcModelSparse`", "published: lava-optimization imports it"
        ),
        ProcessKind("DelaySparse", "delays", "unknown", "untested: no public program runs it on a chip"),
    )
}


def describe_processes(layout: Layout) -> str:
    """A table of the process classes of the chip's graph."""
    rows = [_KINDS[name] for name in list_processes(layout)]
    lines = ["| process | for | model | source |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| `{row.name}` | {row.role} | {row.model} | {row.source} |" for row in rows)])


def list_processes(layout: Layout) -> tuple[str, ...]:
    """Names of the process classes of the chip's graph, host and adapters first."""
    network = layout.network
    neurons = [population.neuron for population in network.populations[1:] if population.neuron is not None]
    plain = [
        connection
        for connection in network.connections
        if is_plain(connection) and connection.name not in layout.plan.sparse
    ]
    lines = list(_delay_lines(network))
    stock = [neuron for neuron in neurons if neuron.is_stock and not neuron.is_leaky]
    biased = any(np.any(neuron.membrane_bias) for neuron in stock)
    used = {
        "io.source.RingBuffer": True,
        "Recorder": True,
        "PyToN3ConvAdapter": any(connection.source == network.input.name for connection in plain),
        "PyToNxAdapter": biased or _has_flat_input(network, layout),
        "NxToPyAdapter": True,
        "MultiThreshold": any(neuron.section is None for neuron in neurons),
        "TwoSided": any(neuron.section == "two_sided" for neuron in neurons),
        "LIFReset": any(neuron.is_leaky for neuron in neurons),
        "SigmaDelta": any(neuron.adds_up for neuron in neurons),
        "GradedVec": bool(lines) or any(not neuron.adds_up for neuron in stock),
        "Conv": bool(plain),
        "Sparse": biased or 1 in lines or len(plain) < len(network.connections),
        "DelaySparse": any(steps > 1 for steps in lines),
    }
    return tuple(name for name, present in used.items() if present)


def _delay_lines(network: Network) -> Iterator[int]:
    """Steps of every piece of delay line: all connections of a source share one, which each taps at its own delay."""
    for population in network.populations:
        delays = sorted({1, *(connection.delay for connection in network.outgoing(population.name))})
        yield from (after - before for before, after in pairwise(delays))


def _has_flat_input(network: Network, layout: Layout) -> bool:
    """Whether images enter a ``Sparse``, or a delay line."""
    return any(
        connection.delay > 1 or not is_plain(connection) or connection.name in layout.plan.sparse
        for connection in network.outgoing(network.input.name)
    )


def describe_layout(layout: Layout) -> str:
    """What else a team must know of the chip's form of the network."""
    doubled = [name for name, scale in layout.plan.scales.items() if scale]
    own: list[str] = [name for name in ("MultiThreshold", "TwoSided") if name in list_processes(layout)]
    lines = [
        f"* The only models that a team must bring are those of {_listed(own)}."
        if len(own) > 1
        else f"* The only model that a team must bring is that of {_listed(own)}."
        if own
        else "* Every process of the network is Lava's own: a team brings no model."
    ]
    if not any(connection.delay > 1 for connection in layout.network.connections):
        lines.append(
            "* There are no delay lines: what arrives early waits in neurons that do not fire before their start."
        )
    if layout.plan.one_image:
        lines.append(
            "* Each image is a program of its own, since lava-dl says that resets of sigma-delta neurons are ignored. Biases come "
            "as currents from the host at each layer's onset; before, all is silent."
        )
    if doubled:
        lines.append(
            f"* Thresholds, biases and membranes are doubled, so that odd weights are even: {_listed(doubled)}."
        )
    if layout.split:
        parts = [f"{name} ({count})" for name, count in layout.split.items()]
        lines.append(f"* Several `Conv` side by side where one cannot hold the weights: {_listed(parts)}.")
    if layout.plan.sparse:
        lines.append(f"* `Sparse` with an exponent in place of a `Conv`: {_listed(list(layout.plan.sparse))}.")
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
