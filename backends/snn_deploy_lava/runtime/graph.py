"""Builds Lava's process graph of a network. Import it after :func:`snn_deploy_lava.runtime.lava_import.prepare`.

Every synapse process adds one step, so a connection of delay d is a synapse behind ``d - 1`` steps of delay line; all
connections of one source share one line, tapped where they need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.conv.process import Conv

from snn_deploy_lava.runtime import axes
from snn_deploy_lava.runtime.arithmetic import Array, legal_weights
from snn_deploy_lava.runtime.chip import Adapters
from snn_deploy_lava.runtime.description import Description, Record
from snn_deploy_lava.runtime.processes.lif import LeakyFire, PyLeakyFire
from snn_deploy_lava.runtime.processes.neuron import MultiThreshold, PyMultiThreshold, PyMultiThresholdLadder
from snn_deploy_lava.runtime.processes.synapse import (
    Correlate,
    PyConvExact,
    PyCorrelate,
    PySumPixels,
    PyTranspose,
    SumPixels,
    Transpose,
)
from snn_deploy_lava.runtime.processes.traffic import Delay, PyDelay, PyRecorder, PySource, Recorder, Source
from snn_deploy_lava.runtime.schedule import Schedule
from snn_deploy_lava.runtime.trace import record_path

ConvModel = Literal["exact", "stock", "chip"]
FireModel = Literal["closed", "ladder"]

MESSAGE_BITS = 24
"""Bits of a graded event; 0 would turn every payload into 1."""


@dataclass(frozen=True)
class Keep:
    """What recorders keep beside counts, and in which folder they save."""

    folder: Path
    trains: bool = False
    states: bool = False


@dataclass(eq=False)
class Graph:
    """Lava processes of one network, by population (``neurons``), and in one list each."""

    source: Source
    source_port: OutPort
    neurons: dict[str, MultiThreshold | LeakyFire] = field(default_factory=dict)
    synapses: list[AbstractProcess] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)
    recorders: list[Recorder] = field(default_factory=list)

    def output(self, population: str) -> OutPort:
        """Port that sends the events of ``population``."""
        return self.neurons[population].s_out if population in self.neurons else self.source_port

    def counters(self) -> Iterator[tuple[str, MultiThreshold]]:
        """Populations that count their saturations; Lava's own neurons do not."""
        return ((name, neuron) for name, neuron in self.neurons.items() if isinstance(neuron, MultiThreshold))


def plan(network: Description, images: int, *, stream: bool, power_of_two: bool = False) -> Schedule:
    """Schedule of ``images`` images; in ``exact`` mode each has one more step, in which every neuron must be silent.

    Leaky neurons always take a stream: their reset is the only thing that starts them. The chip resets at intervals
    that are powers of two (lava-dl, mnist/run.ipynb): ``power_of_two`` rounds up.
    """
    manifest = network.manifest
    window, spare = int(manifest["steps"]), int(manifest["mode"] == "exact")
    stream = stream or network.leaky
    if stream and not network.aligned:
        raise ValueError("images can be streamed only through a network whose delays are aligned")
    interval = (window if stream else network.duration) + spare
    if power_of_two:
        interval = 1 << (interval - 1).bit_length()
    return Schedule(images, window, interval, network.duration - window, stream)


def build(
    network: Description,
    stimulus: Array,
    schedule: Schedule,
    keep: Keep,
    conv: ConvModel = "exact",
    adapters: Adapters | None = None,
) -> Graph:
    """The graph that sends ``stimulus`` (B, C, H, W) through ``network``.

    ``stock`` folds exponents into the weights of ``Conv``, because Lava's own CPU model ignores ``weight_exp``;
    ``chip`` writes weights as the chip stores them (:func:`snn_deploy_lava.runtime.arithmetic.legal_weights`).
    ``adapters`` stand between host and chip.
    """
    repeats = int(network.manifest["steps"]) if network.manifest["mode"] == "rate" else 1
    first, *others = network.manifest["populations"]
    images = axes.maps_to_lava(stimulus.astype(np.int32))
    source = Source(images=images, repeats=repeats, clock=schedule.clock(0), name=first["name"])
    graph = Graph(source, source.s_out if adapters is None else adapters.to_chip(source.s_out))
    for record in others:
        graph.neurons[record["name"]] = _neuron(network, record, schedule)
    for name in network.populations:
        _connect(graph, network, name, schedule, conv)
    for index, record in enumerate(network.manifest["populations"]):
        graph.recorders.append(_recorder(graph, record, schedule, keep, record_path(keep.folder, index), adapters))
    return graph


def run_configuration(conv: ConvModel = "exact", fire: FireModel = "closed") -> Loihi2SimCfg:
    """Lava's simulator configuration with the models chosen: of ``Conv`` ours or its own, of the neuron either form."""
    return Loihi2SimCfg(
        select_tag="fixed_pt",
        exception_proc_model_map={
            Conv: PyConvModelFixed if conv == "stock" else PyConvExact,
            Correlate: PyCorrelate,
            Transpose: PyTranspose,
            SumPixels: PySumPixels,
            MultiThreshold: PyMultiThreshold if fire == "closed" else PyMultiThresholdLadder,
            LeakyFire: PyLeakyFire,
            Source: PySource,
            Delay: PyDelay,
            Recorder: PyRecorder,
        },
    )


def _neuron(network: Description, record: Record, schedule: Schedule) -> MultiThreshold | LeakyFire:
    neuron, tensors = record["neuron"], network.tensors
    if "cuba_lif" in neuron:
        lif = neuron["cuba_lif"]
        return LeakyFire(
            shape=axes.shape_to_lava(record["shape"]),
            theta=tensors[neuron["theta"]],
            offset=tensors[lif["offset"]],
            current_decay=lif["current_decay"],
            voltage_decay=lif["voltage_decay"],
            clock=schedule.clock(record["start"]),
            name=record["name"],
        )
    bounded = neuron["count_min"] is not None
    return MultiThreshold(
        shape=axes.shape_to_lava(record["shape"]),
        theta=tensors[neuron["theta"]],
        v0=tensors[neuron["v0"]],
        bias=axes.maps_to_lava(tensors[record["bias"]]),
        payloads=(neuron["payload_min"], neuron["payload_max"]),
        counts=(neuron["count_min"], neuron["count_max"]) if bounded else None,
        strict=neuron["strict"],
        hard=neuron.get("reset") == "zero",
        bias_repeats=network.manifest["mode"] == "rate",
        clock=schedule.clock(record["start"]),
        start=record["start"],
        end=record["start"] + schedule.window,
        name=record["name"],
    )


def _connect(graph: Graph, network: Description, source: str, schedule: Schedule, conv: ConvModel) -> None:
    """Synapses of every connection out of ``source``, along one line of delays."""
    port, reached = graph.output(source), 1
    connections = [item for item in network.manifest["connections"] if item["source"] == source]
    for item in sorted(connections, key=lambda item: int(item["delay"])):
        if item["delay"] > reached:
            line = Delay(
                shape=port.shape,
                steps=item["delay"] - reached,
                clear=0 if schedule.stream else schedule.interval,
                name=f"{source} after {item['delay'] - 1}",
            )
            port.connect(line.s_in)
            port, reached = line.s_out, item["delay"]
            graph.delays.append(line)
        synapse = _synapse(item, network, port.shape, conv)
        port.connect(synapse.s_in)
        synapse.a_out.connect(graph.neurons[item["target"]].a_in)
        graph.synapses.append(synapse)


def _synapse(item: Record, network: Description, shape: tuple[int, int, int], conv: ConvModel) -> Any:
    kernel, exponent = item["kernel"], int(item["exponent"])
    target = axes.shape_to_lava(network.populations[item["target"]]["shape"])
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
            name=item["name"],
        )
    weight = axes.kernel_to_lava(network.tensors[kernel["weight"]]).astype(np.int32)
    if conv == "chip":
        weight, exponent = legal_weights(weight, exponent)
    left, top, right, bottom = axes.pads_to_lava(kernel["pads"])
    if kernel["kind"] == "conv" and left == right >= 0 and top == bottom >= 0:
        stock = conv == "stock"
        return Conv(
            weight=np.ascontiguousarray(weight[:, ::-1, ::-1] << (exponent if stock else 0)),
            weight_exp=0 if stock else exponent,
            input_shape=shape,
            padding=(left, top),
            stride=axes.pair_to_lava(kernel["strides"]),
            dilation=axes.pair_to_lava(kernel["dilations"]),
            groups=kernel["groups"],
            num_message_bits=MESSAGE_BITS,
            name=item["name"],
        )
    process = Correlate if kernel["kind"] == "conv" else Transpose
    return process(
        weight=weight,
        input_shape=shape,
        output_shape=target,
        strides=axes.pair_to_lava(kernel["strides"]),
        pads=(left, top, right, bottom),
        dilations=axes.pair_to_lava(kernel["dilations"]),
        groups=kernel["groups"],
        exponent=exponent,
        name=item["name"],
    )


def _recorder(
    graph: Graph, record: Record, schedule: Schedule, keep: Keep, path: Path, adapters: Adapters | None
) -> Recorder:
    name = record["name"]
    neuron = graph.neurons.get(name)
    states = keep.states and neuron is not None
    sent = graph.source.s_out if neuron is None else neuron.s_out
    from_chip = adapters is not None and neuron is not None
    recorder = Recorder(
        shape=axes.shape_to_lava(record["shape"]),
        images=schedule.images,
        window=schedule.window,
        start=record["start"],
        steps=schedule.steps,
        clock=schedule.clock(record["start"]),
        trains=keep.trains,
        states=states,
        currents=states and isinstance(neuron, LeakyFire),
        sign_bits=MESSAGE_BITS if from_chip else 0,
        path=str(path),
        name=f"{name} recorder",
    )
    (adapters.from_chip(sent) if adapters is not None and from_chip else sent).connect(recorder.s_in)
    if states and neuron is not None:
        neuron.v_out.connect(recorder.v_in)
        if isinstance(neuron, LeakyFire):
            neuron.u_out.connect(recorder.u_in)
    return recorder
