"""Packed weights: every weight where kernels look for it, zeros elsewhere, from aligned memory."""

from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy_cpu.kernels.packing import ALIGNMENT, pack_rows, pack_tiles


@pytest.mark.parametrize(
    ("outputs", "lanes", "most", "tiles", "vectors"),
    [
        (1, 8, 2, 1, 1),
        (8, 8, 2, 1, 1),
        (9, 8, 2, 1, 2),
        (24, 8, 2, 3, 1),  # two vectors would leave one without an output
        (32, 16, 3, 1, 2),
        (33, 16, 3, 1, 3),
        (64, 16, 3, 2, 2),
        (96, 16, 3, 2, 3),
    ],
)
@pytest.mark.parametrize(("dtype", "per_word"), [(np.int8, 4), (np.int16, 2)])
def test_tiles(outputs: int, lanes: int, most: int, tiles: int, vectors: int, dtype: type, per_word: int) -> None:
    weight: Array = np.arange(outputs * 5 * 6).reshape(outputs, 5, 2, 3).astype(dtype)
    packed = pack_tiles(weight, lanes, most)
    words = -(-5 // per_word)
    assert packed.shape == (tiles, 2, 3, words, vectors, lanes, per_word)
    assert packed.ctypes.data % ALIGNMENT == 0
    for index in np.ndindex(packed.shape):
        tile, h, w, word, vector, lane, place = index
        output, channel = (tile * vectors + vector) * lanes + lane, word * per_word + place
        expected = weight[output, channel, h, w] if output < outputs and channel < 5 else 0
        assert packed[index] == expected


@pytest.mark.parametrize("payload", [np.uint8, np.int16])
@pytest.mark.parametrize(
    ("outputs", "tiles", "width"), [(5, (1, 1), (16, 16)), (60, (1, 1), (64, 64)), (150, (2, 3), (80, 64))]
)
def test_rows(payload: type, outputs: int, tiles: tuple[int, int], width: tuple[int, int]) -> None:
    weight: Array = np.arange(outputs * 2 * 6).reshape(outputs, 2, 2, 3) % 251 - 123
    plain = pack_rows(weight, payload, interleaves=False)
    wide = payload is np.int16
    assert plain.shape == (tiles[wide], 2, 3, 2, width[wide])
    joined = plain.transpose(0, 4, 3, 1, 2).reshape(-1, 2, 2, 3)
    np.testing.assert_array_equal(joined[:outputs], weight)
    assert not joined[outputs:].any()
    # in each 32 bytes the second and the third quarter change places, in a last 16 bytes nothing does
    quarter = 4 if wide else 8
    swapped, whole = pack_rows(weight, payload, interleaves=True), width[wide] // (4 * quarter) * 4 * quarter
    blocks = plain[..., :whole].reshape(*plain.shape[:-1], -1, 4, quarter)[..., [0, 2, 1, 3], :]
    np.testing.assert_array_equal(swapped[..., :whole], blocks.reshape(*plain.shape[:-1], whole))
    np.testing.assert_array_equal(swapped[..., whole:], plain[..., whole:])
    assert swapped.ctypes.data % ALIGNMENT == 0
