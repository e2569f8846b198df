"""Convolutions of maps that repeat pixels, compiled: each pixel times every tap once, folded into what the repetitions see.

:class:`snn_deploy_cpu.conv.geometry.Fold` says what is added. A ring (row, pixel, lane) holds the products of as many rows of the
input as one row of the target sees, lanes being (h, w, o). Arguments are those of
:func:`snn_deploy_cpu.kernels.sparse_conv.convolve` and :func:`snn_deploy_cpu.kernels.direct_conv.convolve`.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.direct_conv import hold
from snn_deploy_cpu.kernels.pixel_shuffle import handed_out, spread
from snn_deploy_cpu.kernels.register_tile import (
    POSITIONS,
    WORD,
    add_word,
    keep_tile,
    moved,
    no_part,
    no_sums,
    vectors_of,
)
from snn_deploy_cpu.kernels.simd import TOGETHER, WIDE, add_wide, keep, no_wide, opaque, peek, put
from snn_deploy_cpu.kernels.sparse_conv import enlist
from snn_deploy_cpu.kernels.sparse_rows import add_products, bytes_of, lanes_of, zeros
from snn_deploy_cpu.kernels.threshold import fire_rows

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def seen(line, height, fold):  # type: ignore[no-untyped-def]
    """The rows ``low .. high`` of the input that row ``line`` of the target sees."""
    factor, kernel, before, _ = fold
    low, high = (line - before[0]) // factor, (line - before[0] + kernel[0] - 1) // factor + 1
    return min(max(low, 0), height), min(max(high, 0), height)


@compiled
def tables(ring, out, fold):  # type: ignore[no-untyped-def]
    """Where column X of the target finds the products of tap w in a row of the ring, (X, w), and what :func:`put` is given.

    That is for whole groups of outputs where they go, and for others a place aside.
    """
    factor, kernel, before, left = fold
    _, _, columns, depth = out.shape
    steps = np.empty(columns * kernel[1], np.int64)
    for column in range(columns):
        for w in range(kernel[1]):
            pixel = (column - before[1] + w) // factor + left
            steps[column * kernel[1] + w] = pixel * ring.shape[2] + w * depth
    groups = handed_out(-(-depth // WIDE) * WIDE, (1, 1), columns, depth)
    return steps, groups, np.arange(0, WIDE, TOGETHER), np.empty(WIDE, np.float32)


@compiled
def fold_row(ring, found, line, height, fold, scale, new, out, m, first, neurons):  # type: ignore[no-untyped-def]
    """Row ``line`` of ``out`` from the products in ``ring``, whose neurons then fire; ``found`` are :func:`tables`."""
    factor, kernel, before, _ = fold
    steps, groups, aside, sums = found
    maps, lines, columns, depth = out.shape
    slots, room = ring.shape[0], ring.shape[1] * ring.shape[2]
    products, flat, target = ring.reshape(ring.size), out.reshape(out.size), m % maps
    rows, last = np.empty(kernel[0], np.int64), 0
    for h in range(kernel[0]):
        y = (first + line - before[0] + h) // factor
        if 0 <= y < height:
            rows[last] = y % slots * room + h * kernel[1] * depth
            last += 1
    for column in range(columns):
        base = ((target * lines + line) * columns + column) * depth
        for tile in range(-(-depth // WIDE)):
            total, row = no_wide(), 0
            while row < last:
                begin, entry = peek(rows, row) + tile * WIDE, column * kernel[1]
                while entry < (column + 1) * kernel[1]:
                    total = add_wide(total, products, begin + peek(steps, entry))
                    entry = opaque(entry + 1)
                row = opaque(row + 1)
            if groups.size > 0:
                put(total, flat, base, groups, tile * (WIDE // TOGETHER), scale, new)
            else:
                put(total, sums, 0, aside, 0, scale, True)
                spread(sums, tile, line, column, (1, 1), new, out, target)
    return fire_rows(neurons, out, target, line, 1, m, first)


@compiled
def fold_events(maps, bits, orders, rows, fold, first, scale, new, ring, factors, out, neurons):  # type: ignore[no-untyped-def]
    """Products event by event; ``factors`` has room for those of one row of the input."""
    count, height, width, channels = maps.shape
    (slots, pixels, pitch), left = ring.shape, fold[3]
    lanes, step = lanes_of(rows), bytes_of(rows)
    places, starts = np.empty(factors.size, np.int32), np.empty(width + 1, np.int64)
    found, products, limited = tables(ring, out, fold), ring.reshape(ring.size), np.int64(0)
    for m in range(count):
        done = 0
        for line in range(out.shape[1]):
            low, high = seen(first + line, height, fold)
            for y in range(max(low, done), high):
                enlist(maps, m, y, bits, orders, step, 0, 0, places, factors, starts)
                for tile in range(pitch // lanes):
                    for x in range(width):
                        total, event, end = zeros(rows), peek(starts, x), peek(starts, x + 1)
                        weight = (tile - x) * channels * step
                        while event < end:
                            total = add_products(total, rows, weight, places, factors, event)
                            event = opaque(event + 2)
                        keep(total, products, (y % slots * pixels + left + x) * pitch + tile * lanes)
            done = max(done, high)
            limited += fold_row(ring, found, line, height, fold, scale, new, out, m, first, neurons)
    return limited


@compiled
def fold_words(maps, bits, weights, at_once, fold, first, scale, new, ring, held, out, neurons):  # type: ignore[no-untyped-def]
    """Products of everything; ``held``, zeros, has room for one row of the input, filled up to whole tiles of positions."""
    count, height, width, channels = maps.shape
    (slots, pixels, pitch), left = ring.shape, fold[3]
    inputs, lanes = WORD // held.itemsize, vectors_of(weights) * TOGETHER
    words = -(-channels // inputs)
    found, products, limited = tables(ring, out, fold), ring.reshape(ring.size), np.int64(0)
    for m in range(count):
        done = 0
        for line in range(out.shape[1]):
            low, high = seen(first + line, height, fold)
            for y in range(max(low, done), high):
                hold(maps[m, y].reshape(width * channels), bits, channels, held, 0, words * inputs)
                for block in range(pitch // lanes):
                    for x in range(0, width, POSITIONS):
                        total, word, place = no_sums(weights), block * words, x * words * WORD
                        while word < (block + 1) * words:
                            part, end = no_part(weights), min((block + 1) * words, word + at_once)
                            while word < end:
                                part = add_word(part, weights, word, held, place, words * WORD)
                                word, place = opaque(word + 1), place + WORD
                            total = moved(total, part)
                        base = (y % slots * pixels + left + x) * pitch + block * lanes
                        keep_tile(total, products, base, pitch)
            done = max(done, high)
            limited += fold_row(ring, found, line, height, fold, scale, new, out, m, first, neurons)
    return limited
