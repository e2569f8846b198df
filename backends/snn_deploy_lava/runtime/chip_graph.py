"""Builds the graph that runs on the chip, of Lava's own processes and, at most, the neuron of this project.

======================  ======================================  ====================================================================
part of the network     process                                 why it is exact
======================  ======================================  ====================================================================
input                   ``io.source.RingBuffer`` on the host    sends the columns that stand in it
multi-threshold neuron  ``MultiThreshold``                      the team's model of it
two-sided neuron        ``TwoSided``                            the team's model of it
CUBA-LIF                ``LIFReset``                            the equations of ``network.cuba_lif``; a reset at each onset
sigma-delta             ``SigmaDelta``, bias 0                  the bias is a current at the onset, so that the neuron is silent
                                                                before; one image for each program, so that nothing is reset
read-out of stock nets  ``GradedVec``                           passes on what it gets in the same step, and remembers nothing
convolution             ``Conv``, several where one is too      sums below 24 bits; no exponents, weights even where signs are mixed
                        small (``chip_weights``)
transposed convolution, ``Sparse``                              sums are shifted by its exponent, without rest
pixel map, other pads
delay (``rate`` mode)   ``DelaySparse``, ``GradedVec``          a vector with threshold 0 passes on what it gets in the same step
======================  ======================================  ====================================================================

``exact`` networks of multi-threshold neurons come without delays (``network.schedule.undelay``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.proc.graded.process import GradedVec
from lava.proc.io.source import RingBuffer
from lava.proc.sdn.process import SigmaDelta
from lava.proc.sparse.process import Sparse

from snn_deploy_lava.runtime import axes, stock
from snn_deploy_lava.runtime.arithmetic import Array, Int64
from snn_deploy_lava.runtime.chip import Adapters
from snn_deploy_lava.runtime.chip_plan import ChipPlan
from snn_deploy_lava.runtime.chip_weights import split_offset, split_weights
from snn_deploy_lava.runtime.description import Description, Record
from snn_deploy_lava.runtime.graph import Fire, Graph, Recording, add_recorders, build_conv, build_neuron, is_plain
from snn_deploy_lava.runtime.processes import sigma_delta
from snn_deploy_lava.runtime.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the events of one population are read: through ``adapters`` where it is on the host."""

    port: OutPort
    bits: int
    adapters: Adapters | None = None
    name: str = ""

    @cached_property
    def maps(self) -> OutPort:
        """For ``Conv``: (X, Y, C)."""
        return self.port if self.adapters is None else self.adapters.to_conv(self.port, self.name)

    @cached_property
    def flat(self) -> OutPort:
        """For ``Sparse``: (X * Y * C,)."""
        return self.port.flatten() if self.adapters is None else self.adapters.to_dense(self.port, self.name)


def plan_schedule(network: Description, images: int, *, frames: bool = False) -> Schedule:
    """Schedule of ``images`` images on the chip, which resets at intervals of 2**n steps (lava-dl, ``mnist/run.ipynb``).

    Without delays all populations begin an image together; else, and where only resets start neurons, each as its wave arrives.
    """
    window, spare = int(network.manifest["steps"]), int(network.manifest["mode"] == "exact")
    stream = network.needs_stream or any(connection["delay"] > 1 for connection in network.manifest["connections"])
    if stream and not network.aligned:
        raise ValueError("only networks with aligned delays, or without, run on the chip")
    interval = 1 << ((window if stream else network.duration) + spare - 1).bit_length()
    return Schedule(images, window, interval, network.duration - window, stream, frames)


def build(
    network: Description,
    plan: ChipPlan,
    stimulus: Array,
    schedule: Schedule,
    recording: Recording,
    adapters: Adapters | None = None,
) -> Graph:
    """The graph that sends ``stimulus`` (B, C, H, W) through ``network``; without ``adapters``, all of it in the simulator.

    Of the frames of a stream (``schedule.frames``) ``stimulus`` are the changes.
    """
    repeats = int(network.manifest["steps"]) if network.manifest["mode"] == "rate" else 1
    first, *others = network.manifest["populations"]
    images = axes.maps_to_lava(stimulus.astype(np.int32))
    source = stock.build_source(images, repeats, schedule, first["name"])
    graph = Graph(source, source.s_out)
    biases: list[tuple[Record, tuple[tuple[int, Int64], ...]]] = []
    for record in others:
        process, offset = _build_neurons(network, record, schedule, plan.scales[record["name"]])
        graph.neurons[record["name"]] = process
        digits = split_offset(offset)
        if digits:
            biases.append((record, digits))
    for name in network.populations:
        on_host = adapters if name == first["name"] else None
        origin = Origin(graph.output(name), plan.message_bits[name], on_host, name)
        _connect(graph, network, name, origin, plan)
    if biases:
        _connect_biases(graph, biases, schedule, adapters)
    add_recorders(graph, network, schedule, recording, adapters)
    graph.adapters = [] if adapters is None else adapters.processes
    return graph


def _build_neurons(network: Description, record: Record, schedule: Schedule, scale: int) -> tuple[Fire, Int64]:
    """The neurons of one population, and the bias (C,) that must reach them as a current at each onset."""
    fields, tensors = record["neuron"], network.tensors
    shape = axes.shape_to_lava(record["shape"])
    none = np.zeros(shape[2], np.int64)
    if "cuba_lif" in fields:
        return stock.build_neurons(network, record, schedule, probed=False)[0], none
    if "sigma_delta" not in fields:
        return build_neuron(network, record, schedule, scale=scale), none
    own, theta = fields["sigma_delta"], tensors[fields["theta"]]
    offset = tensors[own["offset"]] << scale
    if passes_on(fields, theta):
        relay = GradedVec(shape=shape, vth=0)
        relay.name = record["name"]
        return relay, offset
    parameters = sigma_delta.make_parameters(
        shape=shape, theta=theta, offset=none, shift=own["shift"], rectify=own["rectify"], name=record["name"]
    )
    return SigmaDelta(**{**parameters, "state_exp": own["shift"] + scale}), offset


def passes_on(neuron: Record, theta: Int64) -> bool:
    """Whether a sigma-delta neuron sends the sum of every step and nothing else."""
    own = neuron["sigma_delta"]
    return bool(np.all(theta == 1)) and own["shift"] == 0 and not own["rectify"]


def _connect(graph: Graph, network: Description, source: str, origin: Origin, plan: ChipPlan) -> None:
    """Synapses of every outgoing connection of ``source``, along one delay line."""
    shape = axes.shape_to_lava(network.populations[source]["shape"])
    reached = 1
    connections = [connection for connection in network.manifest["connections"] if connection["source"] == source]
    for connection in sorted(connections, key=lambda connection: int(connection["delay"])):
        if connection["delay"] > reached:
            name = f"{source} after {connection['delay'] - 1}"
            port, added = stock.build_delay(origin.flat, shape, connection["delay"] - reached, name)
            origin, reached = Origin(port, origin.bits), connection["delay"]
            graph.delays.extend(added)
        target = graph.neurons[connection["target"]].a_in
        exponent = int(connection["exponent"]) + plan.scales[connection["target"]]
        if not is_plain(connection["kernel"]) or connection["name"] in plan.sparse:
            matrix = stock.build_sparse(connection, network, exponent)
            origin.flat.connect(matrix.s_in)
            matrix.a_out.reshape(target.shape).connect(target)
            graph.synapses.append(matrix)
            continue
        parts = split_weights(axes.kernel_to_lava(network.tensors[connection["kernel"]["weight"]]), exponent)
        for index, part in enumerate(parts):
            name = connection["name"] + (f" part {index + 1}" if len(parts) > 1 else "")
            synapse = build_conv(connection, part.astype(np.int32), shape, name=name, message_bits=origin.bits)
            origin.maps.connect(synapse.s_in)
            synapse.a_out.connect(target)
            graph.synapses.append(synapse)


def _connect_biases(
    graph: Graph,
    biases: list[tuple[Record, tuple[tuple[int, Int64], ...]]],
    schedule: Schedule,
    adapters: Adapters | None,
) -> None:
    """One source on the host, which sends each population's bias a step before its onset."""
    frames = np.zeros((sum(len(digits) for _, digits in biases), schedule.steps), np.int32)
    row = 0
    for record, digits in biases:
        clock = schedule.clock(record["start"])
        onsets = [step for step in range(schedule.steps) if clock.image_step(step + 1) == clock.onset]
        for payload, _ in digits:
            frames[row, onsets] = payload
            row += 1
    ring = RingBuffer(data=frames)
    ring.name = "biases"
    graph.biases = ring
    origin = Origin(ring.s_out, stock.MESSAGE_BITS, adapters, "biases")
    column = 0
    for record, digits in biases:
        matrix = _spread(record, [weights for _, weights in digits], column, len(frames))
        origin.flat.connect(matrix.s_in)
        target = graph.neurons[record["name"]].a_in
        matrix.a_out.reshape(target.shape).connect(target)
        graph.synapses.append(matrix)
        column += len(digits)


def _spread(record: Record, digits: list[Int64], column: int, columns: int) -> Sparse:
    """Weights (neurons, ``columns``) of which ``digits`` (C,) stand in those from ``column`` on, the same for every pixel."""
    width, height, channels = axes.shape_to_lava(record["shape"])
    pixels = np.arange(width * height)[:, None] * channels
    rows, places, values = [], [], []
    for index, digit in enumerate(digits):
        (used,) = np.nonzero(digit)
        rows.append((pixels + used).reshape(-1))
        places.append(np.full(rows[-1].size, column + index))
        values.append(np.tile(digit[used], width * height))
    name = f"{record['name']} bias"
    shape = (width * height * channels, columns)
    return stock.build_matrix(np.concatenate(rows), np.concatenate(places), np.concatenate(values), shape, 0, name)
