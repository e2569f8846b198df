"""Convolutions fused with the nearest-neighbour upsampling before them: each low-resolution pixel times every tap, once.

:class:`snn_deploy_cpu.conv.geometry.UpsampledConv` says which products a pixel of the target adds. A row ring buffer
``products`` (slots, pixel, product) holds those of as many rows of the input as one row of the target reads, products
being (h, w, o): int16 sums for int8 weights, int32 for int16. ``geometry`` are the fields of
:class:`snn_deploy_cpu.kernels.arguments.UpsampleGeometry`. Other arguments are those of
:func:`snn_deploy_cpu.kernels.sparse_conv.convolve` and :func:`snn_deploy_cpu.kernels.direct_conv.convolve`, and exact for the same
reasons.
"""

from __future__ import annotations

import numba
import numpy as np

from snn_deploy_cpu.kernels.direct_conv import accumulate_run, copy_row
from snn_deploy_cpu.kernels.pixel_shuffle import group_offsets, scatter_pixel
from snn_deploy_cpu.kernels.register_tile import KR_BYTES, MR, store_tile, vectors_per_tile, zero_tile
from snn_deploy_cpu.kernels.simd import GROUP, WIDE, accumulate_wide, black_box, load, scatter_scaled, store, zero_wide
from snn_deploy_cpu.kernels.sparse_conv import accumulate_events, list_row
from snn_deploy_cpu.kernels.sparse_rows import row_bytes, row_width, zero_row
from snn_deploy_cpu.kernels.threshold import step_rows

compiled = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@compiled
def rows_read(line, height, geometry):  # type: ignore[no-untyped-def]
    """The rows ``low .. high`` of the input that row ``line`` of the target reads."""
    factor, kernel, pads, _ = geometry
    low, high = (line - pads[0]) // factor, (line - pads[0] + kernel[0] - 1) // factor + 1
    return min(max(low, 0), height), min(max(high, 0), height)


@compiled
def gather_plan(products, out, geometry):  # type: ignore[no-untyped-def]
    """Where column X of the target finds the products of tap w in a row of the ring, (X, w), and where its sums go.

    That is the offsets of whole groups of outputs, and for others a place aside.
    """
    factor, kernel, pads, left = geometry
    _, _, columns, channels = out.shape
    entries = np.empty(columns * kernel[1], np.int64)
    for column in range(columns):
        for w in range(kernel[1]):
            pixel = (column - pads[1] + w) // factor + left
            entries[column * kernel[1] + w] = pixel * products.shape[2] + w * channels
    groups = group_offsets(-(-channels // WIDE) * WIDE, (1, 1), columns, channels)
    return entries, groups, np.arange(0, WIDE, GROUP), np.empty(WIDE, np.float32)


@compiled
def sum_row(products, plan, line, height, geometry, target, n, neurons):  # type: ignore[no-untyped-def]
    """Row ``line`` of ``target`` from ``products``, after which its neurons step; ``plan`` is :func:`gather_plan`.

    Returns how many membranes left 24 bits.
    """
    (factor, kernel, pads, _), (out, row_begin, scale, overwrite) = geometry, target
    entries, groups, aside, sums = plan
    n_slots, lines, columns, channels = out.shape
    slots, row_size = products.shape[0], products.shape[1] * products.shape[2]
    ring, flat, slot = products.reshape(products.size), out.reshape(out.size), n % n_slots
    rows, last = np.empty(kernel[0], np.int64), 0
    for h in range(kernel[0]):
        y = (row_begin + line - pads[0] + h) // factor
        if 0 <= y < height:
            rows[last] = y % slots * row_size + h * kernel[1] * channels
            last += 1
    for column in range(columns):
        base = ((slot * lines + line) * columns + column) * channels
        for tile in range(-(-channels // WIDE)):
            total, row = zero_wide(), 0
            while row < last:
                begin, entry = load(rows, row) + tile * WIDE, column * kernel[1]
                while entry < (column + 1) * kernel[1]:
                    total = accumulate_wide(total, ring, begin + load(entries, entry))
                    entry = black_box(entry + 1)
                row = black_box(row + 1)
            if groups.size > 0:
                scatter_scaled(total, flat, base, groups, tile * (WIDE // GROUP), scale, overwrite)
            else:
                scatter_scaled(total, sums, 0, aside, 0, scale, True)
                scatter_pixel(sums, tile, line, column, (1, 1), overwrite, out, slot)
    return step_rows(neurons, out, slot, line, 1, n, row_begin)


@compiled
def multiply_events(x, n, y, bits, table, rows, payloads, offsets, starts, products, left):  # type: ignore[no-untyped-def]
    """The products of row y of map n, event by event, into its row of ``products``, ``left`` pixels before the first."""
    _, _, width, channels = x.shape
    (slots, pixels, row_products), size, pitch = products.shape, row_width(rows), row_bytes(rows)
    ring = products.reshape(products.size)
    list_row(x, n, y, bits, table, pitch, payloads, offsets, starts, 1)
    for tile in range(row_products // size):
        for pixel in range(width):
            weight = (tile - pixel) * channels * pitch
            event, end = load(starts, pixel), load(starts, pixel + 1)
            total = accumulate_events(zero_row(rows), rows, weight, offsets, payloads, event, end)
            store(total, ring, (y % slots * pixels + left + pixel) * row_products + tile * size)


@compiled
def convolve_events(x, bits, table, rows, geometry, products, payloads, target, neurons):  # type: ignore[no-untyped-def]
    """Products event by event; ``payloads`` holds the list of one row of the input."""
    count, height, width, _ = x.shape
    (out, row_begin, _, _), (_, _, _, left) = target, geometry
    offsets, starts = np.empty(payloads.size, np.int32), np.empty(width + 1, np.int64)
    plan, saturated = gather_plan(products, out, geometry), np.int64(0)
    for n in range(count):
        done = 0
        for line in range(out.shape[1]):
            low, high = rows_read(row_begin + line, height, geometry)
            for y in range(max(low, done), high):
                multiply_events(x, n, y, bits, table, rows, payloads, offsets, starts, products, left)
            # rows of products are used by several rows of the target and made once
            done = max(done, high)
            saturated += sum_row(products, plan, line, height, geometry, target, n, neurons)
    return saturated


@compiled
def multiply_words(row, width, weights, words, depth, products, slot, left):  # type: ignore[no-untyped-def]
    """The products of a ``row`` of ``width`` pixels, ``words`` each, into row ``slot`` of ``products``."""
    (_, pixels, row_products), size = products.shape, vectors_per_tile(weights) * GROUP
    ring, pitch = products.reshape(products.size), words * KR_BYTES
    for tile in range(row_products // size):
        for pixel in range(0, width, MR):
            word = tile * words
            total = accumulate_run(zero_tile(weights), weights, word, word + words, depth, row, pixel * pitch, pitch)
            store_tile(total, ring, (slot * pixels + left + pixel) * row_products + tile * size, row_products)


@compiled
def convolve_words(x, bits, weights, depth, geometry, products, row, target, neurons):  # type: ignore[no-untyped-def]
    """Products of everything; ``row``, zeros, holds one row of the input, filled up to whole tiles of positions."""
    count, height, width, channels = x.shape
    (out, row_begin, _, _), (_, _, _, left) = target, geometry
    per_word = KR_BYTES // row.itemsize
    words = -(-channels // per_word)
    plan, saturated = gather_plan(products, out, geometry), np.int64(0)
    for n in range(count):
        done = 0
        for line in range(out.shape[1]):
            low, high = rows_read(row_begin + line, height, geometry)
            for y in range(max(low, done), high):
                copy_row(x[n, y].reshape(width * channels), bits, channels, row, 0, words * per_word)
                multiply_words(row, width, weights, words, depth, products, y % products.shape[0], left)
            done = max(done, high)
            saturated += sum_row(products, plan, line, height, geometry, target, n, neurons)
    return saturated
