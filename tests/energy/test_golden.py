"""The recorded CUBA-LIF network of lava-dl: its spikes and the synaptic operations they cause, exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy import dynamics
from snn_deploy.kernels import ConvKernel
from snn_deploy.layout import weight_bits
from snn_deploy.synapses import dense_macs, fan_out

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "pilotnet_lif"

pytestmark = pytest.mark.skipif(
    not (GOLDEN / "network.net").exists(), reason="the golden record stands in ../shared/golden/pilotnet_lif"
)

Int64 = npt.NDArray[np.int64]

STEPS = 24

SPIKES = {
    "input": 843_085,
    "conv-0": 166_897,
    "conv-1": 63_672,
    "conv-2": 23_247,
    "conv-3": 14_567,
    "conv-4": 6_770,
    "fc-0": 226,
    "fc-1": 49,
    "fc-2": 8,
}
"""Spikes of each recorded population in 24 steps (of arrays nobody here wrote)."""


def spikes(name: str) -> Int64:
    """Recorded spikes (T, C, H, W); the record has (W, H, C, T) and (N, T)."""
    array: Int64 = np.load(GOLDEN / f"{name}.npy").astype(np.int64)
    if array.ndim == 2:
        return array.T[:, :, None, None]
    return np.transpose(array, (3, 2, 1, 0))


def kernels() -> dict[str, ConvKernel]:
    """Kernel after each population; a dense layer is a convolution as large as its map."""
    h5py = pytest.importorskip("h5py")
    names = list(SPIKES)
    found = {}
    with h5py.File(GOLDEN / "network.net") as file:
        for source, key in zip(names, ("1", "2", "3", "4", "5", "7", "8", "9", "10"), strict=True):
            layer = file["layer"][key]
            weight = layer["weight"][()].astype(np.int64)
            if "stride" in layer:
                strides, pads = layer["stride"][()], layer["padding"][()]
                found[source] = ConvKernel(
                    weight, (int(strides[0]), int(strides[1])), (int(pads[0]), int(pads[1]), int(pads[0]), int(pads[1]))
                )
            else:
                shape = (
                    (64, 2, 20) if source == "conv-4" else (weight.size if weight.ndim == 1 else weight.shape[1], 1, 1)
                )
                found[source] = ConvKernel(weight.reshape(-1, *shape))
    return found


def test_the_record_is_the_one_described() -> None:
    assert {name: int(spikes(name).sum()) for name in SPIKES} == SPIKES


def test_stored_weight_bits() -> None:
    """The widths from which the compiler's printed memory words follow."""
    assert [weight_bits(kernel.weight) for kernel in kernels().values()] == [5, 4, 4, 4, 4, 3, 4, 5, 6]


def test_synaptic_operations_of_the_record() -> None:
    """Operations by fan-out equal those of a convolution of the spikes with the non-zero pattern, layer by layer."""
    usual = exact = 0
    for source, kernel in kernels().items():
        events = spikes(source)
        pattern = ConvKernel((kernel.weight != 0).astype(np.int8), kernel.strides, kernel.pads)
        walked = dynamics.apply(pattern, events)
        shape = (events.shape[1], events.shape[2], events.shape[3])
        operations = np.tensordot(events, fan_out(kernel, shape), 3)
        assert operations.shape == (STEPS,)
        assert np.array_equal(operations, walked.sum((1, 2, 3)))
        if source.startswith("conv"):
            exact += int(operations.sum())
            usual += int(events.sum()) * dense_macs(kernel, shape) // int(np.prod(shape))
    assert usual > 1.3 * exact
