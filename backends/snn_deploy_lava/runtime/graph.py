"""Builds Lava's process graph of a network. Import it after :func:`snn_deploy_lava.runtime.lava_import.prepare`.

Every synapse process adds one step, so a connection of delay d is a synapse behind ``d - 1`` steps of delay line; all
connections of one source share one line, which each taps at its own delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.conv.process import Conv
from lava.proc.graded.models import PyGradedVecModelFixed
from lava.proc.graded.process import GradedVec
from lava.proc.io.reset import PyResetFixed, Reset
from lava.proc.io.source import PySendModelFixed, RingBuffer
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset
from lava.proc.sdn.models import PySigmaDeltaModelFixed
from lava.proc.sdn.process import SigmaDelta
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc
from lava.proc.sparse.process import DelaySparse, Sparse

from snn_deploy_lava.runtime import axes, stock
from snn_deploy_lava.runtime.arithmetic import Array, encode_weights
from snn_deploy_lava.runtime.chip import Adapters
from snn_deploy_lava.runtime.description import Description, Record
from snn_deploy_lava.runtime.processes.lif import ProbedLif, PyProbedLif
from snn_deploy_lava.runtime.processes.neuron import MultiThreshold, PyMultiThreshold, PyMultiThresholdLadder
from snn_deploy_lava.runtime.processes.sigma_delta import ProbedSigmaDelta, PyProbedSigmaDelta
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

Fire: TypeAlias = MultiThreshold | LIFReset | SigmaDelta
ConvModel = Literal["exact", "stock", "chip"]
FireModel = Literal["closed", "ladder"]


@dataclass(frozen=True)
class Recording:
    """What recorders save besides counts, and the folder they save to."""

    folder: Path
    trains: bool = False
    states: bool = False


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

    def output(self, population: str) -> OutPort:
        """Port that sends the events of ``population``."""
        return self.neurons[population].s_out if population in self.neurons else self.source_port

    def counters(self) -> Iterator[tuple[str, MultiThreshold]]:
        """Populations that count their saturations, which Lava's own neurons do not."""
        return ((name, neuron) for name, neuron in self.neurons.items() if isinstance(neuron, MultiThreshold))


def plan(network: Description, images: int, *, stream: bool, power_of_two: bool = False) -> Schedule:
    """Schedule of ``images`` images; in ``exact`` mode each has one extra step, in which every neuron must be silent.

    Lava's own neurons always need a stream, since only a reset starts them. The chip resets at intervals
    that are powers of two (lava-dl, mnist/run.ipynb): ``power_of_two`` rounds up.
    """
    manifest = network.manifest
    window, spare = int(manifest["steps"]), int(manifest["mode"] == "exact")
    stream = stream or network.needs_stream
    if stream and not network.aligned:
        raise ValueError("only networks with aligned delays can process a stream of images")
    interval = (window if stream else network.duration) + spare
    if power_of_two:
        interval = 1 << (interval - 1).bit_length()
    return Schedule(images, window, interval, network.duration - window, stream)


def build(
    network: Description,
    stimulus: Array,
    schedule: Schedule,
    recording: Recording,
    conv: ConvModel = "exact",
    adapters: Adapters | None = None,
) -> Graph:
    """The graph that sends ``stimulus`` (B, C, H, W) through ``network``.

    ``stock`` folds exponents into the weights of ``Conv``, because Lava's own CPU model ignores ``weight_exp``;
    ``chip`` writes weights as the chip stores them (:func:`snn_deploy_lava.runtime.arithmetic.encode_weights`).
    ``adapters`` stand between host and chip. Networks of Lava's own neurons become Lava's own processes
    (:mod:`snn_deploy_lava.runtime.stock`); recorders are ours.
    """
    repeats = int(network.manifest["steps"]) if network.manifest["mode"] == "rate" else 1
    first, *others = network.manifest["populations"]
    images = axes.maps_to_lava(stimulus.astype(np.int32))
    source = (
        stock.build_source(images, repeats, schedule, first["name"])
        if network.stock
        else Source(images=images, repeats=repeats, clock=schedule.clock(0), name=first["name"])
    )
    graph = Graph(source, source.s_out if adapters is None else adapters.to_chip(source.s_out))
    for record in others:
        neuron = record["neuron"]
        if "cuba_lif" in neuron or "sigma_delta" in neuron:
            process, resets = stock.build_neurons(network, record, schedule, probed=recording.states)
            graph.resets.extend(resets)
        else:
            process = _neuron(network, record, schedule)
        graph.neurons[record["name"]] = process
    for name in network.populations:
        _connect(graph, network, name, schedule, conv)
    for index, record in enumerate(network.manifest["populations"]):
        graph.recorders.append(
            _recorder(graph, record, schedule, recording, record_path(recording.folder, index), adapters)
        )
    return graph


def make_run_configuration(conv: ConvModel = "exact", fire: FireModel = "closed") -> Loihi2SimCfg:
    """Lava's simulator configuration with the models chosen: of ``Conv`` ours or its own, of the neuron either form."""
    return Loihi2SimCfg(
        select_tag="fixed_pt",
        exception_proc_model_map={
            Conv: PyConvModelFixed if conv == "stock" else PyConvExact,
            Correlate: PyCorrelate,
            Transpose: PyTranspose,
            SumPixels: PySumPixels,
            MultiThreshold: PyMultiThreshold if fire == "closed" else PyMultiThresholdLadder,
            LIFReset: PyLifResetModelBitAcc,
            ProbedLif: PyProbedLif,
            SigmaDelta: PySigmaDeltaModelFixed,
            ProbedSigmaDelta: PyProbedSigmaDelta,
            Sparse: PySparseModelBitAcc,
            DelaySparse: PyDelaySparseModelBitAcc,
            GradedVec: PyGradedVecModelFixed,
            Reset: PyResetFixed,
            RingBuffer: PySendModelFixed,
            Source: PySource,
            Delay: PyDelay,
            Recorder: PyRecorder,
        },
    )


def _neuron(network: Description, record: Record, schedule: Schedule) -> MultiThreshold:
    neuron, tensors = record["neuron"], network.tensors
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
    """Synapses of every outgoing connection of ``source``, along one delay line."""
    port, reached = graph.output(source), 1
    connections = [connection for connection in network.manifest["connections"] if connection["source"] == source]
    for connection in sorted(connections, key=lambda connection: int(connection["delay"])):
        if connection["delay"] > reached and network.stock:
            port, added = stock.build_delay(
                port, connection["delay"] - reached, f"{source} after {connection['delay'] - 1}"
            )
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
    left, top, right, bottom = axes.pads_to_lava(kernel.get("pads", (0, 0, 0, 0)))
    plain = kernel["kind"] == "conv" and left == right >= 0 and top == bottom >= 0
    if network.stock and not plain:
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
    weight = axes.kernel_to_lava(network.tensors[kernel["weight"]]).astype(np.int32)
    if conv == "chip":
        weight, exponent = encode_weights(weight, exponent)
    if plain:
        folded = exponent if conv == "stock" else 0
        return Conv(
            weight=np.ascontiguousarray(weight[:, ::-1, ::-1] << folded),
            weight_exp=exponent - folded,
            input_shape=shape,
            padding=(left, top),
            stride=axes.pair_to_lava(kernel["strides"]),
            dilation=axes.pair_to_lava(kernel["dilations"]),
            groups=kernel["groups"],
            num_message_bits=stock.MESSAGE_BITS,
            name=connection["name"],
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
        name=connection["name"],
    )


def _recorder(
    graph: Graph, record: Record, schedule: Schedule, recording: Recording, path: Path, adapters: Adapters | None
) -> Recorder:
    name = record["name"]
    neuron = graph.neurons.get(name)
    states = recording.states and neuron is not None
    sent = graph.source.s_out if neuron is None else neuron.s_out
    from_chip = adapters is not None and neuron is not None
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
    (adapters.from_chip(sent) if adapters is not None and from_chip else sent).connect(recorder.s_in)
    if states and neuron is not None:
        neuron.v_out.connect(recorder.v_in)
        if not isinstance(neuron, MultiThreshold):
            neuron.u_out.connect(recorder.u_in)
    return recorder
