"""Builds Lava's process graph of a network. Import it after :func:`snn_deploy_lava.runtime.lava_import.prepare`.

Every synapse process adds one step, so a connection of delay d is a synapse behind ``d - 1`` steps of delay line; all
connections of one source share one line, which each taps at its own delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.proc.conv.process import Conv
from lava.proc.graded.process import GradedVec
from lava.proc.io.reset import Reset
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIFReset
from lava.proc.sdn.process import SigmaDelta
from lava.proc.sparse.process import Sparse

from snn_deploy_lava.runtime import axes, stock
from snn_deploy_lava.runtime.arithmetic import Array
from snn_deploy_lava.runtime.chip import Adapters
from snn_deploy_lava.runtime.description import Description, Record
from snn_deploy_lava.runtime.models import ConvModel
from snn_deploy_lava.runtime.processes.neuron import MultiThreshold, ProbedMultiThreshold
from snn_deploy_lava.runtime.processes.synapse import Correlate, SumPixels, Transpose
from snn_deploy_lava.runtime.processes.traffic import Delay, Recorder, Source
from snn_deploy_lava.runtime.processes.two_sided import ProbedTwoSided, TwoSided
from snn_deploy_lava.runtime.schedule import Schedule
from snn_deploy_lava.runtime.trace import record_path

Carried: TypeAlias = dict[str, tuple[Array, Array]]
"""Membranes and counts (B, C, H, W) int64 by population."""

Fire: TypeAlias = MultiThreshold | LIFReset | SigmaDelta | GradedVec


@dataclass(frozen=True)
class Recording:
    """What recorders save besides counts, the folder they save to, and the populations that have one (empty: all)."""

    folder: Path
    trains: bool = False
    states: bool = False
    populations: tuple[str, ...] = ()

    def wants(self, population: str) -> bool:
        """Whether ``population`` is recorded."""
        return not self.populations or population in self.populations


@dataclass(eq=False)
class Graph:
    """Lava processes of one network: neurons by population, the others as lists."""

    source: Source | RingBuffer
    source_port: OutPort
    neurons: dict[str, Fire] = field(default_factory=dict)
    resets: list[Reset] = field(default_factory=list)
    synapses: list[AbstractProcess] = field(default_factory=list)
    delays: list[AbstractProcess] = field(default_factory=list)
    recorders: list[Recorder] = field(default_factory=list)
    biases: RingBuffer | None = None
    late_biases: list[stock.LateBias] = field(default_factory=list)
    adapters: list[AbstractProcess] = field(default_factory=list)

    @property
    def processes(self) -> tuple[AbstractProcess, ...]:
        """All of them."""
        biases = () if self.biases is None else (self.biases,)
        fired = (*self.neurons.values(), *self.resets, *self.synapses, *self.delays)
        return (self.source, *biases, *fired, *self.recorders, *self.adapters)

    def output(self, population: str) -> OutPort:
        """Port that sends the events of ``population``."""
        return self.neurons[population].s_out if population in self.neurons else self.source_port

    def counters(self) -> Iterator[tuple[str, MultiThreshold]]:
        """Populations that count their saturations, which Lava's own neurons do not."""
        return ((name, neuron) for name, neuron in self.neurons.items() if isinstance(neuron, MultiThreshold))


def plan(network: Description, images: int, *, stream: bool, frames: bool = False) -> Schedule:
    """Schedule of ``images`` images; in ``exact`` mode each has one extra step, in which every neuron must be silent.

    Lava's own neurons need a stream, since only a reset starts them; off the schedule of one they run one image, from rest.
    """
    manifest = network.manifest
    window, spare = int(manifest["steps"]), int(manifest["mode"] == "exact")
    stream = stream or (network.needs_stream and network.aligned)
    if stream and not network.aligned:
        raise ValueError("only networks with aligned delays can process a stream of images")
    if network.needs_stream and not stream and images != 1:
        raise ValueError("Lava's own neurons run one image at a time where delays are not aligned")
    interval = (window if stream else network.duration) + spare
    return Schedule(images, window, interval, network.duration - window, stream, frames)


def build(
    network: Description,
    stimulus: Array,
    schedule: Schedule,
    recording: Recording,
    conv: ConvModel = "exact",
    carried: Carried | None = None,
) -> Graph:
    """The simulator's graph that sends ``stimulus`` (B, C, H, W), or (B, T, C, H, W) step by step, through ``network``.

    ``stock`` folds exponents into the weights of ``Conv``, because Lava's own CPU model ignores ``weight_exp``. Networks of
    Lava's own neurons become Lava's own processes (:mod:`snn_deploy_lava.runtime.stock`); recorders are ours. ``carried``:
    membranes and counts of each population from which the frames of a stream go on, one for each of ``stimulus``. Of the frames
    of one stream (``schedule.frames``) ``stimulus`` are the changes.
    """
    repeats = int(network.manifest["steps"]) if network.manifest["mode"] == "rate" else 1
    first, *others = network.manifest["populations"]
    images = axes.maps_to_lava(stimulus.astype(np.int32))
    source = (
        stock.build_source(images, repeats, schedule, first["name"])
        if network.stock
        else Source(images=images, repeats=repeats, clock=schedule.clock(0), name=first["name"])
    )
    graph = Graph(source, source.s_out)
    for record in others:
        neuron = record["neuron"]
        if "cuba_lif" in neuron or "sigma_delta" in neuron:
            process, resets = stock.build_neurons(network, record, schedule, probed=recording.states)
            graph.resets.extend(resets)
            if not schedule.stream and record["start"] > 0:
                graph.late_biases.append(stock.LateBias.of(process, record["start"]))
        else:
            states = None if carried is None else carried[record["name"]]
            process = build_neuron(network, record, schedule, probed=recording.states, carried=states)
        graph.neurons[record["name"]] = process
    for name in network.populations:
        _connect(graph, network, name, schedule, conv)
    add_recorders(graph, network, schedule, recording)
    return graph


def build_neuron(
    network: Description,
    record: Record,
    schedule: Schedule,
    *,
    probed: bool = False,
    scale: int = 0,
    carried: tuple[Array, Array] | None = None,
) -> MultiThreshold:
    """One population of multi-threshold or two-sided neurons, all numbers of its membrane times ``2**scale``.

    With ``carried`` membranes and counts (B, C, H, W), in which the bias is already, none joins.
    """
    neuron, tensors = record["neuron"], network.tensors
    bounded = neuron["count_min"] is not None
    own = {
        "shape": axes.shape_to_lava(record["shape"]),
        "theta": tensors[neuron["theta"]] << scale,
        "v0": tensors[neuron["v0"]] << scale,
        "bias": axes.maps_to_lava(tensors[record["bias"]] * (carried is None)) << scale,
        "payloads": (neuron["payload_min"], neuron["payload_max"]),
        "counts": (neuron["count_min"], neuron["count_max"]) if bounded else None,
        "strict": neuron["strict"],
        "hard": neuron.get("reset") == "zero",
        "hold": neuron.get("hold", 0),
        "frames": schedule.frames,
        "bias_repeats": network.manifest["mode"] == "rate",
        "clock": schedule.clock(record["start"]),
        "start": record["start"],
        "end": record["start"] + schedule.window,
        "name": record["name"],
        "carried": None if carried is None else (axes.maps_to_lava(carried[0]), axes.maps_to_lava(carried[1])),
    }
    sides = neuron.get("two_sided")
    if sides is None:
        return (ProbedMultiThreshold if probed else MultiThreshold)(**own)
    below = {name: tensors[sides[name]] << scale for name in ("theta_below", "offset_below")}
    return (ProbedTwoSided if probed else TwoSided)(**own | below | {"hold": sides["hold"]})


def _connect(graph: Graph, network: Description, source: str, schedule: Schedule, conv: ConvModel) -> None:
    """Synapses of every outgoing connection of ``source``, along one delay line."""
    port, reached = graph.output(source), 1
    connections = [connection for connection in network.manifest["connections"] if connection["source"] == source]
    for connection in sorted(connections, key=lambda connection: int(connection["delay"])):
        if connection["delay"] > reached and network.stock:
            name = f"{source} after {connection['delay'] - 1}"
            port, added = stock.build_delay(port.flatten(), port.shape, connection["delay"] - reached, name)
            reached = connection["delay"]
            graph.delays.extend(added)
        elif connection["delay"] > reached:
            line = Delay(
                shape=port.shape,
                steps=connection["delay"] - reached,
                clear=0 if schedule.stream else schedule.interval,
                name=f"{source} after {connection['delay'] - 1}",
            )
            port.connect(line.s_in)
            port, reached = line.s_out, connection["delay"]
            graph.delays.append(line)
        synapse = _synapse(connection, network, port.shape, conv)
        target = graph.neurons[connection["target"]].a_in
        flat = isinstance(synapse, Sparse)
        (port.flatten() if flat else port).connect(synapse.s_in)
        (synapse.a_out.reshape(target.shape) if flat else synapse.a_out).connect(target)
        graph.synapses.append(synapse)


def _synapse(connection: Record, network: Description, shape: tuple[int, int, int], conv: ConvModel) -> Any:
    kernel, exponent = connection["kernel"], int(connection["exponent"])
    target = axes.shape_to_lava(network.populations[connection["target"]]["shape"])
    if is_plain(kernel):
        weight = axes.kernel_to_lava(network.tensors[kernel["weight"]]).astype(np.int32)
        folded = exponent if conv == "stock" else 0
        return build_conv(connection, weight << folded, shape, exponent=exponent - folded, name=connection["name"])
    if network.stock:
        return stock.build_sparse(connection, network)
    if kernel["kind"] == "spatial":
        indptr, indices, data = (network.tensors[kernel[part]] for part in ("indptr", "indices", "data"))
        rows = np.repeat(np.arange(indptr.size - 1, dtype=np.int64), np.diff(indptr))
        return SumPixels(
            rows=axes.pixels_to_lava(rows, kernel["output_size"]),
            indices=axes.pixels_to_lava(indices, kernel["input_size"]),
            data=data.astype(np.int32),
            input_shape=shape,
            output_shape=target,
            exponent=exponent,
            name=connection["name"],
        )
    process = Correlate if kernel["kind"] == "conv" else Transpose
    return process(
        weight=axes.kernel_to_lava(network.tensors[kernel["weight"]]).astype(np.int32),
        input_shape=shape,
        output_shape=target,
        strides=axes.pair_to_lava(kernel["strides"]),
        pads=axes.pads_to_lava(kernel["pads"]),
        dilations=axes.pair_to_lava(kernel["dilations"]),
        groups=kernel["groups"],
        exponent=exponent,
        name=connection["name"],
    )


def is_plain(kernel: Record) -> bool:
    """Whether Lava's ``Conv`` has it: a convolution that pads both sides alike."""
    left, top, right, bottom = axes.pads_to_lava(kernel.get("pads", (0, 0, 0, 0)))
    return bool(kernel["kind"] == "conv" and left == right >= 0 and top == bottom >= 0)


def build_conv(
    connection: Record,
    weight: Array,
    shape: tuple[int, int, int],
    *,
    name: str,
    exponent: int = 0,
    message_bits: int = stock.MESSAGE_BITS,
) -> Conv:
    """Lava's ``Conv`` of a plain kernel with ``weight`` (C_out, K_x, K_y, C_in / groups), unflipped, on maps of ``shape``."""
    kernel = connection["kernel"]
    return Conv(
        weight=np.ascontiguousarray(weight[:, ::-1, ::-1]),
        weight_exp=exponent,
        input_shape=shape,
        padding=axes.pads_to_lava(kernel["pads"])[:2],
        stride=axes.pair_to_lava(kernel["strides"]),
        dilation=axes.pair_to_lava(kernel["dilations"]),
        groups=kernel["groups"],
        num_message_bits=message_bits,
        name=name,
    )


def add_recorders(
    graph: Graph, network: Description, schedule: Schedule, recording: Recording, adapters: Adapters | None = None
) -> None:
    """A recorder on every population that ``recording`` wants; those of the chip's are read through ``adapters``."""
    for index, record in enumerate(network.manifest["populations"]):
        if recording.wants(record["name"]):
            path = record_path(recording.folder, index)
            graph.recorders.append(_recorder(graph, record, schedule, recording, path, adapters))


def _recorder(
    graph: Graph, record: Record, schedule: Schedule, recording: Recording, path: Path, adapters: Adapters | None
) -> Recorder:
    name = record["name"]
    neuron = graph.neurons.get(name)
    states = recording.states and neuron is not None
    sent = graph.source.s_out if neuron is None else neuron.s_out
    from_chip = adapters is not None and neuron is not None
    if adapters is not None and neuron is not None:
        sent = adapters.from_chip(sent, name)
    recorder = Recorder(
        shape=axes.shape_to_lava(record["shape"]),
        images=schedule.images,
        window=schedule.window,
        start=record["start"],
        steps=schedule.steps,
        clock=schedule.clock(record["start"]),
        trains=recording.trains,
        states=states,
        currents=states and not isinstance(neuron, MultiThreshold),
        sign_bits=stock.MESSAGE_BITS if from_chip else 0,
        path=str(path),
        name=f"{name} recorder",
    )
    sent.connect(recorder.s_in)
    if states and neuron is not None:
        neuron.v_out.connect(recorder.v_in)
        if not isinstance(neuron, MultiThreshold):
            neuron.u_out.connect(recorder.u_in)
    return recorder
