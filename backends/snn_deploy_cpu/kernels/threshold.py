"""Loops over neurons and payloads, compiled: multi-threshold steps, counts of events, pooling, resampling.

Neurons are flat and channels last (:mod:`snn_deploy_cpu.neurons.protocol`). Membranes and currents are integers in
float32, exact because the plan admits only populations whose currents and membranes stay within ``2**23 - 1`` in
magnitude: every sum of two is at most 2**24, which float32 holds.

No fast-math: every operation is exact and must stay in this order.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy.network.limits import STATE_MAX
from snn_deploy_cpu.kernels.arguments import Thresholds

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def step_many(  # type: ignore[no-untyped-def]
    v, count, count_limits, currents, drive, per_neuron, driven_steps, payloads, begin, fields, reset_value
):
    """T steps of n neurons from number ``begin`` on, tile by tile; returns how many membranes left 24 bits.

    ``v`` (N,) float32 and ``count`` (N,) float32, or ``None`` with ``count_limits`` ``None``, are updated; ``currents``
    (T or 1, n) float32; ``drive`` (N,) where ``per_neuron``, else (tile,), float32, enters the first ``driven_steps``
    steps; ``payloads`` (T, N) uint8, int16 or int32 are written. ``fields`` are those of
    :class:`snn_deploy_cpu.kernels.arguments.Thresholds`; ``reset_value`` is a float, or ``None`` where spikes subtract.
    Quotients have the format of ``reciprocal``, in which they are exact
    (:func:`snn_deploy_cpu.conv.exactness.divides_exactly`).
    """
    thresholds = Thresholds(*fields)
    theta, reciprocal = thresholds.theta, thresholds.reciprocal
    real, quotient = v.dtype.type, reciprocal.dtype.type
    steps, n, tile = payloads.shape[0], currents.shape[1], theta.size
    zeros = np.zeros(tile if steps > driven_steps else 0, v.dtype)
    rounding, top, bottom = real(thresholds.rounding), real(STATE_MAX), real(-STATE_MAX)
    least, most = quotient(thresholds.payload_min), quotient(thresholds.payload_max)
    saturated = np.int64(0)
    for low in range(0, n, tile):
        size = min(tile, n - low)
        here = begin + low
        # one-dimensional contiguous views: indexing two dimensions in the inner loop costs a factor of 30
        tile_v = v[here : here + size]
        if count is not None:  # numba drops these branches when it compiles for count=None
            tile_count = count[here : here + size]
            count_least, count_most = real(count_limits[0]), real(count_limits[1])
        for step in range(steps):
            current = currents[step % currents.shape[0], low : low + size]
            sent = payloads[step, here : here + size]
            if step >= driven_steps:
                added = zeros[:size]
            elif per_neuron:
                added = drive[here : here + size]
            else:
                added = drive[:size]
            # 32 bits, to which numba's sums of integers must be cut back: a 64-bit number here halves the vectors
            overflows = np.int32(0)
            for i in range(size):
                y = tile_v[i] + current[i] + added[i]
                x = min(max(y, bottom), top)
                overflows = np.int32(overflows + (x != y))
                k = real(min(max(np.floor(quotient(x + rounding) * reciprocal[i]), least), most))
                if count is not None:
                    k = min(max(k, count_least - tile_count[i]), count_most - tile_count[i])
                    tile_count[i] += k
                if reset_value is None:
                    tile_v[i] = x - k * theta[i]
                else:
                    tile_v[i] = x if k == 0 else real(reset_value)
                sent[i] = np.int32(k)
            saturated += overflows
    return saturated


@compiled
def step_rows(neurons, out, slot, line, rows, n, row_begin):  # type: ignore[no-untyped-def]
    """One step of ``neurons`` (the fields of :class:`snn_deploy_cpu.kernels.arguments.FusedNeurons`) of a few rows, if any.

    Their currents are rows ``line .. line + rows`` of ``out[slot]``, of ``out`` (n_slots, rows, W, C) float32, whose
    row 0 is row ``row_begin`` of the map. Map ``n`` is one image at one step. Returns how many membranes left 24 bits.
    """
    v, drive, per_neuron, driven_steps, images, payloads, fields = neurons
    saturated, (_, lines, columns, channels) = np.int64(0), out.shape
    if v.size == 0:
        return saturated
    step, image_begin, row_size = n // images, n % images * (v.size // images), columns * channels
    sent = payloads[step : step + 1]
    for row in range(max(line, 0), min(line + rows, lines)):
        currents, begin = out[slot, row].reshape(1, row_size), image_begin + (row_begin + row) * row_size
        saturated += step_many(
            v, None, None, currents, drive, per_neuron, driven_steps - step, sent, begin, fields, None
        )
    return saturated


@compiled
def step_once(currents, drive, per_neuron, payloads, begin, start, fields):  # type: ignore[no-untyped-def]
    """One step of n neurons from rest (``start`` (tile,)), which leaves no membrane; otherwise as :func:`step_many`.

    ``currents`` (n,) float32, ``payloads`` (N,).
    """
    thresholds = Thresholds(*fields)
    reciprocal = thresholds.reciprocal
    real, quotient = currents.dtype.type, reciprocal.dtype.type
    n, tile = currents.size, start.size
    rounding, top, bottom = real(thresholds.rounding), real(STATE_MAX), real(-STATE_MAX)
    least, most = quotient(thresholds.payload_min), quotient(thresholds.payload_max)
    saturated = np.int64(0)
    for low in range(0, n, tile):
        size = min(tile, n - low)
        here = begin + low
        current, sent = currents[low : low + size], payloads[here : here + size]
        added = drive[here : here + size] if per_neuron else drive[:size]
        overflows = np.int32(0)
        for i in range(size):
            y = current[i] + added[i] + start[i]
            x = min(max(y, bottom), top)
            overflows = np.int32(overflows + (x != y))
            sent[i] = np.int32(min(max(np.floor(quotient(x + rounding) * reciprocal[i]), least), most))
        saturated += overflows
    return saturated


@compiled
def count_events(payloads, counts, events, begin, end, channel_max):  # type: ignore[no-untyped-def]
    """Add sums over steps and numbers of events of neurons ``begin .. end``; returns the smallest payload, or 0, and all events.

    ``payloads`` (T, N) uint8, int16 or int32; ``counts`` and ``events`` (N,) in formats that hold T payloads;
    ``channel_max`` (C,), 0 before, becomes the largest payload of each channel.
    """
    steps, channels, total, number = payloads.shape[0], channel_max.size, counts.dtype.type, events.dtype.type
    tile, nonzero, least = channels * max(1, 4096 // channels), np.int64(0), np.int64(0)
    largest = np.empty(tile, payloads.dtype)
    for low in range(begin, end, tile):
        size = min(tile, end - low)
        tile_counts, tile_events = counts[low : low + size], events[low : low + size]
        largest[:] = 0
        for step in range(steps):
            sent, tile_nonzero, lowest = payloads[step, low : low + size], np.int32(0), np.int32(0)
            for i in range(size):
                tile_counts[i] += total(sent[i])
                tile_events[i] += number(sent[i] != 0)
                largest[i] = max(largest[i], sent[i])
                tile_nonzero = np.int32(tile_nonzero + (sent[i] != 0))
                lowest = np.int32(min(lowest, sent[i]))
            nonzero, least = nonzero + tile_nonzero, min(least, np.int64(lowest))
        raise_channel_max(channel_max, largest[:size])
    return least, nonzero


@compiled
def count_events_bytes(payloads, counts, events, begin, end, channel_max):  # type: ignore[no-untyped-def]
    """As :func:`count_events` for uint8 payloads whose sums over the T steps are at most 255: added as bytes.

    A vector then holds four times as many sums as in 32 bits.
    """
    steps, channels, total, number = payloads.shape[0], channel_max.size, counts.dtype.type, events.dtype.type
    tile, nonzero = channels * max(1, 4096 // channels), np.int64(0)
    sums, numbers, largest = np.empty(tile, np.uint8), np.empty(tile, np.uint8), np.empty(tile, np.uint8)
    for low in range(begin, end, tile):
        size, tile_nonzero = min(tile, end - low), np.int32(0)
        tile_counts, tile_events = counts[low : low + size], events[low : low + size]
        sums[:], numbers[:], largest[:] = 0, 0, 0
        for step in range(steps):
            sent = payloads[step, low : low + size]
            for i in range(size):
                sums[i] += sent[i]
                numbers[i] += np.uint8(sent[i] != 0)
                largest[i] = max(largest[i], sent[i])
        for i in range(size):
            tile_counts[i] += total(sums[i])
            tile_events[i] += number(numbers[i])
            tile_nonzero = np.int32(tile_nonzero + numbers[i])
        nonzero += tile_nonzero
        raise_channel_max(channel_max, largest[:size])
    return np.int64(0), nonzero


@compiled
def raise_channel_max(channel_max, largest):  # type: ignore[no-untyped-def]
    """``channel_max`` (C,) at least as large as ``largest`` (W * C,)."""
    for begin in range(0, largest.size, channel_max.size):
        pixel = largest[begin : begin + channel_max.size]
        for channel in range(channel_max.size):
            channel_max[channel] = max(channel_max[channel], pixel[channel])


@compiled
def sum_pool(x, weight, strides, dilations, out):  # type: ignore[no-untyped-def]
    """``out[n, i, j, c] = sum weight[h, w, c] * x[n, i s_y + h d_y, j s_x + w d_x, c]``.

    ``x`` and ``out`` (N, H, W, C) integers, ``weight`` (K_h, K_w, C) int32. Sums in 32 bits are exact: the population
    passes them on within its payload limits, which are below 2**23.
    """
    count, rows, columns, channels = out.shape
    total = np.empty(channels, np.int32)
    for n in range(count):
        for i in range(rows):
            for j in range(columns):
                total[:] = 0
                for h in range(weight.shape[0]):
                    line = x[n, i * strides[0] + h * dilations[0]]
                    for w in range(weight.shape[1]):
                        source, factor = line[j * strides[1] + w * dilations[1]], weight[h, w]
                        for c in range(channels):
                            total[c] += factor[c] * np.int32(source[c])
                target = out[n, i, j]
                for c in range(channels):
                    target[c] = total[c]


@compiled
def gather_pixels(x, indices, out):  # type: ignore[no-untyped-def]
    """``out[n, p] = x[n, indices[p]]``, whole pixels: ``x`` (N, H * W, C) and ``out`` (N, P, C), ``indices`` (P,) int."""
    for n in range(x.shape[0]):
        for p in range(indices.size):
            source, target = x[n, indices[p]], out[n, p]
            for c in range(target.size):
                target[c] = source[c]
