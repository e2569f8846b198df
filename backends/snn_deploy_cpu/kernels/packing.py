"""Weights in the orders in which kernels read them."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Array

WORD_BYTES = 4
"""Bytes of payloads of a position that one instruction multiplies: four of 8 bits or two of 16."""

ROW_GROUP = 16
"""Rows of weights are a multiple of so many wide."""

TILE_CHANNELS: dict[type[np.generic], int] = {np.uint8: 128, np.int16: 64}
"""Most output channels that events are added to at once, for each format of payloads: 8 registers of AVX2."""

ALIGNMENT = 64
"""Bytes at whose multiples packed weights begin: a vector of AVX-512, and a line of the cache."""


def pack_tiles(weight: Array, lanes: int, max_vectors: int) -> Array:
    """``weight`` (O, I, K_h, K_w) int8 or int16 as (tile, h, w, word, vector, lane, input of the word), zeros beside it.

    A tile has up to ``max_vectors`` vectors of ``lanes`` outputs, as many as leave the fewest without an output.
    """
    outputs, inputs, height, width = weight.shape
    per_word = WORD_BYTES // weight.itemsize
    needed = -(-outputs // lanes)
    vectors = min(range(min(max_vectors, needed), 0, -1), key=lambda count: -needed % count)
    tiles, words = -(-needed // vectors), -(-inputs // per_word)
    padded = np.zeros((tiles * vectors * lanes, words * per_word, height, width), weight.dtype)
    padded[:outputs, :inputs] = weight
    split = padded.reshape(tiles, vectors, lanes, words, per_word, height, width)
    return align(split.transpose(0, 5, 6, 3, 1, 2, 4))


def pack_rows(weight: Array, payload: type[np.generic], interleaves: bool) -> Array:
    """``weight`` (O, I, K_h, K_w) as (tile, h, w, input, output), int8 for uint8 payloads, int16 for int16, zeros beside it.

    Where kernels ``interleaves`` two rows, the second and third quarter of every 32 bytes change places: unpack
    instructions work on each half of a register by itself.
    """
    outputs, inputs, height, width = weight.shape
    tiles = -(-outputs // TILE_CHANNELS[payload])
    row = -(-outputs // (ROW_GROUP * tiles)) * ROW_GROUP
    padded = np.zeros((tiles * row, inputs, height, width), np.int8 if payload is np.uint8 else np.int16)
    padded[:outputs] = weight
    rows = padded.reshape(tiles, row, inputs, height, width).transpose(0, 3, 4, 2, 1)
    if interleaves:
        size = 32 // padded.itemsize
        order = np.arange(row)
        whole = order[: row - row % size].reshape(-1, 2, 2, size // 4)
        order[: whole.size] = whole.swapaxes(1, 2).reshape(-1)
        rows = rows[..., order]
    return align(rows)


def pack_taps(weight: Array) -> tuple[Array, Array]:
    """Depthwise ``weight`` (C, 1, K_h, K_w) as (taps, C) int32, and the rows and columns of these taps (taps, 2) int64.

    Taps that no channel has a weight for are left out.
    """
    places = np.argwhere(weight[:, 0].any(axis=0))
    taps = weight[:, 0, places[:, 0], places[:, 1]].T
    return np.ascontiguousarray(taps, np.int32), np.ascontiguousarray(places, np.int64)


def align(numbers: Array) -> Array:
    """A copy that begins at a multiple of :data:`ALIGNMENT`; NumPy aligns to 16 bytes."""
    buffer = np.empty(numbers.nbytes + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    aligned: Array = buffer[start : start + numbers.nbytes].view(numbers.dtype).reshape(numbers.shape)
    aligned[...] = numbers
    return aligned
