r"""Streams: frames one after the other, of which a network computes the changes alone.

A *frame* is ``network.duration`` steps. States are carried over: membranes, running counts and second states are those that
the frame before left. The input sends :math:`x_f - x_{f-1}` (:math:`x_{-1} = 0`) in the frame's first step, and biases join in
the first frame only. Outputs are read after the frame's last step: they are running counts, not what the frame sent.

With :math:`S = \sum W a + b + v_0`, where a are the counts of the sources, a membrane is :math:`v = S - \theta\, acc` at any
time, so that a neuron which has become silent has

.. math::

    acc = \mathrm{clip}\Big(\Big\lfloor \frac{S - \mathrm{strict}}{\theta} \Big\rfloor,\; a_{min},\; a_{max}\Big)

whatever it counted before: layer by layer, the counts after a frame are those of the integer network for this frame alone
(:func:`snn_deploy.backend.integer_ann.compute_integer_counts`). What it takes is that every neuron may take back what it has
sent, and that no sum leaves 24 bits on the way from any frame to any other; :func:`prepare_stream` sees to both.

Sigma-delta neurons are made for streams, and what their shift drops is lost in every change of its own: their counts are
those of the specification, and of the integer network only where ``shift`` is 0 and ``theta`` 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError, OverflowProofError
from snn_deploy.network.bounds import prove
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network, Population
from snn_deploy.network.schedule import bound_free_window, bound_window


def hold_small_changes(frame: Int64, held: Int64, width: Int64 | int) -> Int64:
    r"""What is sent of ``frame`` where changes of at most ``width`` are sensor noise: the value that was sent last.

    .. math::

        h \leftarrow x \quad \text{where } |x - h| > \mathrm{width}, \text{ else } h

    From input counts ``frame`` and ``held`` (B, C, H, W) int64, ``width`` an integer or (C, 1, 1). No value is ever wrong by more
    than ``width``, and counts are exactly those of the frame that is returned. A value that is sent once is measured from
    there: noise around the threshold does not send it in every frame (hysteresis).
    """
    return np.where(np.abs(frame - held) > width, frame, held)


def prepare_stream(network: Network, hold: int = 0) -> Network:
    """``network`` for streams: the same counts, payloads wide enough for a swing from one end of a count range to the other.

    Payload limits that hold every count become those that hold every change of it; narrower ones stay, and frames take more
    steps. With ``hold`` neurons do not send changes of at most so many counts: no count differs by more from what the
    integer network makes of the counts that its sources hold. Outputs, and populations that pass sums on (maxima, copies),
    send every change.

    :class:`~snn_deploy.errors.NetworkError` where a neuron cannot take back what it has sent, or counts depend on the
    schedule; :class:`~snn_deploy.errors.OverflowProofError` where a change may leave 24 bits.
    """
    if network.stream:
        return network if not hold else replace(network, populations=_holding(network, hold))
    if network.mode != "exact":
        raise NetworkError(
            f"{network.name}: is in rate mode, whose counts are those of one image from rest; convert it in exact mode to stream"
        )
    try:
        stream = _scheduled(network, tuple(map(_widen, network.populations)))
        if hold:
            stream = replace(stream, populations=_holding(stream, hold))
        prove(stream)
    except OverflowProofError as error:
        raise OverflowProofError(
            f"as a stream, in which one step may change every count: {error}; or convert the model with --stream "
            "(Options.stream), which leaves room for it"
        ) from error
    return stream


def _holding(network: Network, hold: int) -> tuple[Population, ...]:
    """The populations of ``network``, whose neurons hold back changes of at most ``hold`` counts."""
    if not network.aligned:
        raise NetworkError(
            f"{network.name}: is not aligned, and what neurons hold back would depend on which input arrives first; align it, or "
            "hold nothing back"
        )
    outputs = {output.population for output in network.outputs}

    def held(population: Population) -> Population:
        neuron, counts = population.neuron, population.count_range
        if neuron is None or counts is None or population.name in outputs or np.all(neuron.theta == 1):
            return population
        if not 0 < hold < counts[1]:
            raise NetworkError(
                f"hold {hold}: {population.name} counts up to {counts[1]}; hold 1 to {counts[1] - 1} counts back"
            )
        try:
            return replace(population, neuron=neuron.holding(hold))
        except NetworkError as error:
            raise NetworkError(f"{population.name}: {error}") from error

    return tuple(map(held, network.populations))


def _scheduled(network: Network, populations: tuple[Population, ...]) -> Network:
    """``network`` with these ``populations`` and the steps that a frame takes."""
    edges = [(connection.source, connection.target) for connection in network.connections]
    if network.aligned:
        steps = bound_window({each.name: each for each in populations}, edges, "exact", 1, from_rest=False)
    else:
        steps = max(population.start for population in populations) + bound_free_window(
            populations, network.connections
        )
    return replace(network, populations=populations, steps=steps, stream=True)


def _widen(population: Population) -> Population:
    """``population`` with payloads that hold every change of a count, if they held every count."""
    neuron, counts = population.neuron, population.count_range
    if neuron is None or counts is None:
        return population
    fewest, most = counts
    if not (neuron.payload_min <= fewest and most <= neuron.payload_max):
        if neuron.payload_min == 0:
            raise NetworkError(
                f"{population.name}: cannot take spikes back (payload_min 0) when a frame has less than the one before; "
                "allow payloads below 0"
            )
        return population
    swing = most - fewest
    if swing > STATE_MAX:
        raise OverflowProofError(
            f"{population.name}: a count may change by {swing} at once, more than {STATE_MAX} (2**23 - 1); use fewer levels"
        )
    wide = replace(
        neuron,
        payload_min=min(neuron.payload_min, -swing),
        payload_max=max(neuron.payload_max, swing),
        # neurons that never take back count from 0, whatever their limit says
        count_min=fewest,
    )
    return replace(population, neuron=wide)
