"""Files of input payloads: known by their format, at their own size, within the limits of the input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.data.payload_file import fit_payloads, holds_payloads, read_payloads
from snn_deploy.errors import StimulusError
from snn_deploy.network.network import Output
from snn_deploy.testing import random_unet

NETWORK = random_unet("rate", size=8)


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((1, 1, 8, 8), np.int64, True),
        ((2, 3, 1, 8, 8), np.int64, True),
        ((1, 8, 8), np.int64, False),
        ((0, 1, 8, 8), np.int64, False),
        ((1, 1, 8, 8), np.int32, False),
        ((1, 1, 8, 8), np.float32, False),
    ],
)
def test_only_int64_of_batches_are_payloads(
    shape: tuple[int, ...], dtype: type[np.generic], expected: bool, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, dtype))
    assert holds_payloads(tmp_path / "x.npy") is expected
    (tmp_path / "x.npy").rename(tmp_path / "x.bin")
    assert not holds_payloads(tmp_path / "x.bin")


def test_what_is_no_array_holds_none(tmp_path: Path) -> None:
    for content in (b"no array", b""):
        (tmp_path / "x.npy").write_bytes(content)
        assert not holds_payloads(tmp_path / "x.npy")
    assert not holds_payloads(tmp_path / "missing.npy")


@pytest.mark.parametrize("steps", [(), (8,)])
def test_the_network_takes_the_size_of_its_payloads(steps: tuple[int, ...], tmp_path: Path) -> None:
    payloads = np.arange(np.prod(steps, dtype=int) * 12 * 16).reshape(1, *steps, 1, 12, 16) % 511 - 255
    np.save(tmp_path / "x.npy", payloads)
    first, fires = NETWORK.populations[:2]
    single = replace(
        NETWORK,
        populations=(first, fires),
        connections=NETWORK.incoming(fires.name),
        outputs=(Output("output", fires.name),),
    )
    sized, read = read_payloads(single, tmp_path / "x.npy")
    assert sized.input.shape == (1, 12, 16)
    assert read.dtype == np.int64
    assert np.array_equal(read, payloads)
    assert read_payloads(sized, tmp_path / "x.npy")[0] is sized


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([np.full((1, 1, 8, 8), 256)], r"^p\.npy: payloads 256\.\.256; the input's limits are -255\.\.255$"),
        ([np.full((1, 1, 8, 8), -256)], r"^p\.npy: payloads -256\.\.-256; the input's limits are -255\.\.255$"),
        ([np.zeros((1, 2, 8, 8), np.int64)], r"^p\.npy: stimuli \[\(2, 8, 8\)\]; random-rate-0 reads 1 channel"),
        (
            [np.zeros((1, 1, 8, 8), np.int64), np.zeros((1, 1, 8, 4), np.int64)],
            r"^p\.npy: stimuli \[\(1, 8, 4\), \(1, 8, 8\)\]",
        ),
        ([np.zeros((1, 1, 7, 8), np.int64)], r"^p\.npy: its images have 7x8 pixels: "),
    ],
)
def test_payloads_that_do_not_fit_are_refused(found: list[Int64], message: str) -> None:
    with pytest.raises(StimulusError, match=message):
        fit_payloads(NETWORK, found, Path("p.npy"))
