"""The threshold scan compiled; :mod:`snn_deploy_cpu.firing` describes the arguments.

The inner loops index one-dimensional contiguous views only: indexing two dimensions there costs a factor of 30
(performance.md, section 5). No fast-math: every operation is exact and must stay in this order.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy.network import STATE_MAX

_M = np.float32(STATE_MAX)


@numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def scan(  # type: ignore[no-untyped-def]
    v,
    count,
    events,
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
    """T steps of a run of neurons, tile by tile."""
    real, quotient = v.dtype.type, inverse.dtype.type
    steps, neurons, tile = payloads.shape[0], currents.shape[1], theta.size
    nothing = np.zeros(tile, v.dtype)
    h, lo, hi, a_min, a_max = real(half), real(lowest), real(highest), real(count_min), real(count_max)
    top, bottom = real(_M), real(-_M)
    limited = np.int64(0)
    for low in range(0, neurons, tile):
        size = min(tile, neurons - low)
        here = first + low
        vv, aa, ee = v[here : here + size], count[here : here + size], events[here : here + size]
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
                beyond += np.int32(x != y)
                k = real(np.floor(quotient(x + h) * inverse[i]))
                k = min(max(k, lo), hi)
                a = aa[i]
                k = min(max(k, a_min - real(a)), a_max - real(a))
                vv[i] = x - k * theta[i]
                aa[i] = a + np.int32(k)
                ee[i] += np.int32(k != real(0))
                oo[i] = np.int32(k)
            limited += beyond
    return limited


@numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def fire_once(  # type: ignore[no-untyped-def]
    currents, drive, whole, payloads, first, start, theta, inverse, half, lowest, highest
):
    """One step of a run of neurons from rest."""
    real, quotient = currents.dtype.type, inverse.dtype.type
    neurons, tile = currents.size, theta.size
    h, lo, hi = real(half), real(lowest), real(highest)
    top, bottom = real(_M), real(-_M)
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
            beyond += np.int32(x != y)
            k = real(np.floor(quotient(x + h) * inverse[i]))
            oo[i] = np.int32(min(max(k, lo), hi))
        limited += beyond
    return limited
