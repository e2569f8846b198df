"""The threshold scan compiled; :mod:`snn_deploy_cpu.neurons.multi_threshold` describes the arguments.

Inner loops index one-dimensional contiguous views only: indexing two dimensions there costs a factor of 30. They count in 32
bits, to which numba's sums of smaller integers must be cut back: one 64-bit number in a loop halves the width of its
vectors. No fast-math: every operation is exact and must stay in this order.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy.network.limits import STATE_MAX

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def scan(  # type: ignore[no-untyped-def]
    v, currents, drive, whole, driven, payloads, first, theta, inverse, half, lowest, highest
):
    """T steps of a run of neurons, tile by tile."""
    real, quotient = v.dtype.type, inverse.dtype.type
    steps, neurons, tile = payloads.shape[0], currents.shape[1], theta.size
    nothing = np.zeros(tile if steps > driven else 0, v.dtype)
    h, lo, hi, top, bottom = real(half), real(lowest), real(highest), real(STATE_MAX), real(-STATE_MAX)
    limited = np.int64(0)
    for low in range(0, neurons, tile):
        size = min(tile, neurons - low)
        here = first + low
        vv = v[here : here + size]
        for step in range(steps):
            cc, oo = currents[step % currents.shape[0], low : low + size], payloads[step, here : here + size]
            if step >= driven:
                dd = nothing[:size]
            elif whole:
                dd = drive[here : here + size]
            else:
                dd = drive[:size]
            beyond = np.int32(0)
            for i in range(size):
                y = vv[i] + cc[i] + dd[i]
                x = min(max(y, bottom), top)
                beyond = np.int32(beyond + (x != y))
                k = real(min(max(np.floor(quotient(x + h) * inverse[i]), quotient(lo)), quotient(hi)))
                vv[i] = x - k * theta[i]
                oo[i] = np.int32(k)
            limited += beyond
    return limited


@compiled
def fire_rows(neurons, out, target, line, rows, m, first):  # type: ignore[no-untyped-def]
    """One step of the neurons, where there are any, of rows ``line .. line + rows`` of map m, which stands for a step and an image.

    Their currents are those rows of ``out[target]``, whose row 0 is row ``first`` of the map; returns how many were limited.
    """
    v, drive, whole, driven, images, payloads, theta, inverse, half, lowest, highest = neurons
    limited, (_, lines, columns, depth) = np.int64(0), out.shape
    if v.size == 0:
        return limited
    step, begin, row = m // images, m % images * (v.size // images), columns * depth
    sent = payloads[step : step + 1]
    for done in range(max(line, 0), min(line + rows, lines)):
        currents, place = out[target, done].reshape(1, row), begin + (first + done) * row
        limited += scan(v, currents, drive, whole, driven - step, sent, place, theta, inverse, half, lowest, highest)
    return limited


@compiled
def scan_limited(  # type: ignore[no-untyped-def]
    v,
    count,
    currents,
    drive,
    whole,
    driven,
    payloads,
    first,
    theta,
    inverse,
    half,
    lowest,
    highest,
    count_min,
    count_max,
):
    """T steps of a run of neurons whose running counts are limited."""
    real, quotient = v.dtype.type, inverse.dtype.type
    steps, neurons, tile = payloads.shape[0], currents.shape[1], theta.size
    nothing = np.zeros(tile, v.dtype)
    h, lo, hi, top, bottom = real(half), real(lowest), real(highest), real(STATE_MAX), real(-STATE_MAX)
    least, most = real(count_min), real(count_max)
    limited = np.int64(0)
    for low in range(0, neurons, tile):
        size = min(tile, neurons - low)
        here = first + low
        vv, aa = v[here : here + size], count[here : here + size]
        for step in range(steps):
            cc, oo = currents[step % currents.shape[0], low : low + size], payloads[step, here : here + size]
            if step >= driven:
                dd = nothing[:size]
            elif whole:
                dd = drive[here : here + size]
            else:
                dd = drive[:size]
            beyond = np.int32(0)
            for i in range(size):
                y = vv[i] + cc[i] + dd[i]
                x = min(max(y, bottom), top)
                beyond = np.int32(beyond + (x != y))
                k = real(min(max(np.floor(quotient(x + h) * inverse[i]), quotient(lo)), quotient(hi)))
                k = min(max(k, least - aa[i]), most - aa[i])
                vv[i] = x - k * theta[i]
                aa[i] += k
                oo[i] = np.int32(k)
            limited += beyond
    return limited


@compiled
def fire_once(  # type: ignore[no-untyped-def]
    currents, drive, whole, payloads, first, start, theta, inverse, half, lowest, highest
):
    """One step of a run of neurons from rest."""
    real, quotient = currents.dtype.type, inverse.dtype.type
    neurons, tile = currents.size, theta.size
    h, lo, hi, top, bottom = real(half), quotient(lowest), quotient(highest), real(STATE_MAX), real(-STATE_MAX)
    limited = np.int64(0)
    for low in range(0, neurons, tile):
        size = min(tile, neurons - low)
        here = first + low
        cc, oo = currents[low : low + size], payloads[here : here + size]
        dd = drive[here : here + size] if whole else drive[:size]
        beyond = np.int32(0)
        for i in range(size):
            y = cc[i] + dd[i] + start[i]
            x = min(max(y, bottom), top)
            beyond = np.int32(beyond + (x != y))
            oo[i] = np.int32(min(max(np.floor(quotient(x + h) * inverse[i]), lo), hi))
        limited += beyond
    return limited


@compiled
def tally(payloads, counts, events, first, last, peaks):  # type: ignore[no-untyped-def]
    """Sums and numbers of events over steps, tile by tile, and the largest payload of each channel in ``peaks``, 0 before.

    Returns the smallest payload, or 0, and the number of events.
    """
    steps, channels, total, number = payloads.shape[0], peaks.size, counts.dtype.type, events.dtype.type
    tile, active, least = channels * max(1, 4096 // channels), np.int64(0), np.int64(0)
    most = np.empty(tile, payloads.dtype)
    for low in range(first, last, tile):
        size = min(tile, last - low)
        aa, ee = counts[low : low + size], events[low : low + size]
        most[:] = 0
        for step in range(steps):
            oo, found, lowest = payloads[step, low : low + size], np.int32(0), np.int32(0)
            for i in range(size):
                aa[i] += total(oo[i])
                ee[i] += number(oo[i] != 0)
                most[i] = max(most[i], oo[i])
                found = np.int32(found + (oo[i] != 0))
                lowest = np.int32(min(lowest, oo[i]))
            active, least = active + found, min(least, np.int64(lowest))
        raise_peaks(peaks, most[:size])
    return least, active


@compiled
def tally_bytes(payloads, counts, events, first, last, peaks):  # type: ignore[no-untyped-def]
    """The same where the sums of these steps fit into a byte: added as bytes, four times as many at once."""
    steps, channels, total, number = payloads.shape[0], peaks.size, counts.dtype.type, events.dtype.type
    tile, active = channels * max(1, 4096 // channels), np.int64(0)
    sums, numbers, most = np.empty(tile, np.uint8), np.empty(tile, np.uint8), np.empty(tile, np.uint8)
    for low in range(first, last, tile):
        size, found = min(tile, last - low), np.int32(0)
        aa, ee = counts[low : low + size], events[low : low + size]
        sums[:], numbers[:], most[:] = 0, 0, 0
        for step in range(steps):
            oo = payloads[step, low : low + size]
            for i in range(size):
                sums[i] += oo[i]
                numbers[i] += np.uint8(oo[i] != 0)
                most[i] = max(most[i], oo[i])
        for i in range(size):
            aa[i] += total(sums[i])
            ee[i] += number(numbers[i])
            found = np.int32(found + numbers[i])
        active += found
        raise_peaks(peaks, most[:size])
    return np.int64(0), active


@compiled
def raise_peaks(peaks, most):  # type: ignore[no-untyped-def]
    """``peaks`` (C,) at least as large as ``most`` (W * C,)."""
    for first in range(0, most.size, peaks.size):
        here = most[first : first + peaks.size]
        for channel in range(peaks.size):
            peaks[channel] = max(peaks[channel], here[channel])


@compiled
def pool(maps, weight, strides, dilations, out):  # type: ignore[no-untyped-def]
    """``out[m, y, x, c] = sum weight[h, w, c] * maps[m, y s_y + h d_y, x s_x + w d_x, c]``, in 32 bits."""
    count, rows, columns, channels = out.shape
    total = np.empty(channels, np.int32)
    for m in range(count):
        for y in range(rows):
            for x in range(columns):
                total[:] = 0
                for h in range(weight.shape[0]):
                    line = maps[m, y * strides[0] + h * dilations[0]]
                    for w in range(weight.shape[1]):
                        source, factor = line[x * strides[1] + w * dilations[1]], weight[h, w]
                        for c in range(channels):
                            total[c] += factor[c] * np.int32(source[c])
                target = out[m, y, x]
                for c in range(channels):
                    target[c] = total[c]


@compiled
def gather(maps, indices, out):  # type: ignore[no-untyped-def]
    """``out[m, p] = maps[m, indices[p]]``, whole pixels (m, p, c)."""
    for m in range(maps.shape[0]):
        for p in range(indices.size):
            source, target = maps[m, indices[p]], out[m, p]
            for c in range(target.size):
                target[c] = source[c]
