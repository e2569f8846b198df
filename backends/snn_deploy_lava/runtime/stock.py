"""Graphs of Lava's own processes only, for networks of Lava's own neurons.

======================  ======================================  ==================================================================
part of the network     process                                 why it is exact
======================  ======================================  ==================================================================
input                   ``io.source.RingBuffer``                sends the columns that stand in it
CUBA-LIF                ``LIFReset``                            the equations of ``network.cuba_lif``; a reset at each onset
sigma-delta, read-outs  ``SigmaDelta`` and three ``io.Reset``   those of ``network.sigma_delta``; resets of sigma, act, residue
convolution             ``Conv``                                sums below 24 bits; concatenation is several into one port, average
                                                                pooling a depthwise one, a dense layer one as large as the map
transposed convolution, ``Sparse``                              one sign, or even weights and an exponent one less: no lowest bit
pixel map, pads that                                            to lose; the sum of even products is shifted right without rest
``Conv`` cannot have
delay of d steps        ``DelaySparse`` of ones, ``GradedVec``  one sign, weight 1, delay d - 2; a synapse takes one step more, a
                                                                vector with threshold 0 passes on what it gets in the same step
======================  ======================================  ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.proc.graded.process import GradedVec
from lava.proc.io.reset import Reset
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIFReset
from lava.proc.sdn.process import SigmaDelta
from lava.proc.sparse.process import DelaySparse, Sparse
from scipy.sparse import csr_matrix

from snn_deploy_lava.runtime import axes
from snn_deploy_lava.runtime.arithmetic import Array, Int64, encode_weights
from snn_deploy_lava.runtime.description import Description, Record
from snn_deploy_lava.runtime.processes import lif, sigma_delta
from snn_deploy_lava.runtime.schedule import Clock, Schedule
from snn_deploy_lava.runtime.synapses import list_synapses

MESSAGE_BITS = 24
"""Bits of a graded event; 0 would turn every payload into 1."""


def build_source(images: Array, repeats: int, schedule: Schedule, name: str) -> RingBuffer:
    """Source that sends image k of ``images`` (B, X, Y, C) in the first ``repeats`` steps of its interval.

    Images (B, T, X, Y, C) are sent step by step.
    """
    frames = np.zeros((*images.shape[-3:], schedule.steps), np.int32)
    clock = schedule.clock(0)
    for step in range(schedule.steps):
        sent = clock.select(images, repeats, step)
        if sent is not None:
            frames[..., step] = sent
    ring = RingBuffer(data=frames)
    ring.name = name
    return ring


def build_neurons(
    network: Description, record: Record, schedule: Schedule, *, probed: bool
) -> tuple[LIFReset | SigmaDelta, list[Reset]]:
    """The neurons of one population and their resets; ``probed`` neurons have output ports for their states."""
    fields, tensors = record["neuron"], network.tensors
    shape, clock = axes.shape_to_lava(record["shape"]), schedule.clock(record["start"])
    common = {"shape": shape, "theta": tensors[fields["theta"]], "name": record["name"]}
    if "cuba_lif" in fields:
        own = fields["cuba_lif"]
        decays = {key: own[key] for key in ("current_decay", "voltage_decay")}
        leaky = lif.make_parameters(**common, **decays, offset=tensors[own["offset"]], clock=clock)
        return (lif.ProbedLif if probed else LIFReset)(**leaky), []
    own = fields["sigma_delta"]
    changing = sigma_delta.make_parameters(
        **common, offset=tensors[own["offset"]], shift=own["shift"], rectify=own["rectify"]
    )
    process = (sigma_delta.ProbedSigmaDelta if probed else SigmaDelta)(**changing)
    return process, [_reset(var, clock) for var in (process.sigma, process.act, process.residue)]


@dataclass(frozen=True, eq=False)
class LateBias:
    """``var``, the bias of a process, is 0 before ``step`` and ``values`` from then on."""

    step: int
    var: Any
    values: Array

    @classmethod
    def of(cls, process: LIFReset | SigmaDelta, step: int) -> LateBias:
        """Takes the bias from ``process``: without it, and before anything arrives, its neurons are silent and at rest."""
        var = process.bias if isinstance(process, SigmaDelta) else process.bias_mant
        values = np.array(np.broadcast_to(var.init, var.shape))
        var.init = np.zeros_like(values)
        return cls(step, var, values)


def _reset(var: Any, clock: Clock) -> Reset:
    """Zeros ``var`` at the end of the step before every onset; steps count from 0 here and in ``Reset.offset``."""
    reset = Reset(interval=clock.interval, offset=(clock.onset - 1) % clock.interval)
    reset.connect_var(var)
    reset.name = f"{var.process.name} reset {var.name}"
    return reset


def build_delay(
    port: OutPort, shape: tuple[int, int, int], steps: int, name: str
) -> tuple[OutPort, list[AbstractProcess]]:
    """The events of ``port`` (X * Y * C,), ``steps`` (at least 1) later, as maps of ``shape``."""
    size = int(np.prod(shape))
    identity = csr_matrix((np.ones(size, np.int32), (np.arange(size), np.arange(size))), shape=(size, size))
    if steps == 1:
        line = Sparse(weights=identity, num_message_bits=MESSAGE_BITS, name=name)
    else:
        line = DelaySparse(
            weights=identity, delays=identity.astype(int) * (steps - 1), num_message_bits=MESSAGE_BITS, name=name
        )
    relay = GradedVec(shape=shape, vth=0)
    relay.name = f"{name} relay"
    port.connect(line.s_in)
    line.a_out.reshape(shape).connect(relay.a_in)
    return relay.s_out, [line, relay]


def build_sparse(connection: Record, network: Description, exponent: int | None = None) -> Sparse:
    """A connection as a matrix over flat (X, Y, C) maps; ``exponent`` in place of its own."""
    source_shape, target_shape = (
        axes.shape_to_lava(network.populations[connection[end]]["shape"]) for end in ("source", "target")
    )
    rows, columns, weights = list_synapses(connection, network, source_shape, target_shape)
    shape = (int(np.prod(target_shape)), int(np.prod(source_shape)))
    own = int(connection["exponent"]) if exponent is None else exponent
    return build_matrix(rows, columns, weights, shape, own, connection["name"])


def build_matrix(
    rows: Int64, columns: Int64, weights: Array, shape: tuple[int, int], exponent: int, name: str
) -> Sparse:
    """``weights * 2**exponent`` at (rows, columns) of a matrix of ``shape``, as the chip stores them."""
    data, stored = encode_weights(weights, exponent)
    matrix = csr_matrix((data.astype(np.int32), (rows, columns)), shape=shape)
    return Sparse(weights=matrix, weight_exp=stored, num_message_bits=MESSAGE_BITS, name=name)
