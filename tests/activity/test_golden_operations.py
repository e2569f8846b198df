"""The recorded CUBA-LIF network of lava-dl: its spikes and the synaptic operations they cause, exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.activity.synapses import count_dense_macs, count_fan_out
from snn_deploy.mapping.layout import count_weight_bits
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.targets.load import load_target

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
"""Spikes of each recorded population in 24 steps (of published arrays of other authors)."""


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
                shape = (64, 2, 20) if source == "conv-4" else (weight.shape[-1], 1, 1)
                found[source] = ConvKernel(weight.reshape(-1, *shape))
    return found


def test_the_record_is_the_one_described() -> None:
    assert {name: int(spikes(name).sum()) for name in SPIKES} == SPIKES


def test_stored_weight_bits() -> None:
    """The widths from which the compiler's printed memory words follow."""
    assert [count_weight_bits(kernel.weight) for kernel in kernels().values()] == [5, 4, 4, 4, 4, 3, 4, 5, 6]


def test_synaptic_operations_of_the_record() -> None:
    """Operations by fan-out equal those of a convolution of the spikes with the non-zero pattern, layer by layer."""
    usual = exact = 0
    for source, kernel in kernels().items():
        events = spikes(source)
        pattern = ConvKernel((kernel.weight != 0).astype(np.int8), kernel.strides, kernel.pads)
        walked = dynamics.apply(pattern, events)
        shape = (events.shape[1], events.shape[2], events.shape[3])
        operations = np.tensordot(events, count_fan_out(kernel, shape), 3)
        assert operations.shape == (STEPS,)
        assert np.array_equal(operations, walked.sum((1, 2, 3)))
        if source.startswith("conv"):
            exact += int(operations.sum())
            usual += int(events.sum()) * count_dense_macs(kernel, shape) // int(np.prod(shape))
    assert usual > 1.3 * exact


STEADY = slice(16, 32)
"""Steps of one image once the pipeline is full; the network is reset every 16 steps, layer i at phase i + 3."""


def silent_run() -> tuple[npt.NDArray[np.float64], float]:
    """Operations per step (layers,) and spikes per step of the published benchmark's run.

    The notebook sets the input's bias too late, so its network is driven by the biases of the first layer alone and
    follows from ``network.net``: u = current << 6, v decays by 1024 / 4096 toward zero, fires above its threshold and
    is then reset to 0 (lava, proc/lif/models.py).
    """
    h5py = pytest.importorskip("h5py")
    steps = kernels()
    shapes = [(3, 66, 200)]
    for kernel in steps.values():
        shapes.append(kernel.output_shape(shapes[-1]))
    with h5py.File(GOLDEN / "network.net") as file:
        layers = [file["layer"][key] for key in ("1", "2", "3", "4", "5", "7", "8", "9", "10")]
        bias = [layer["bias"][()].astype(np.int64)[:, None, None] << 6 for layer in layers]
        numbers = [(int(layer["neuron"]["vDecay"][()]), int(layer["neuron"]["vThMant"][()]) << 6) for layer in layers]
    fans = [count_fan_out(kernel, shape) for kernel, shape in zip(steps.values(), shapes, strict=False)]
    sent = [np.zeros(shape, np.int64) for shape in shapes]
    membranes = [np.zeros(shape, np.int64) for shape in shapes[1:]]
    operations, fired = [], []
    for step in range(STEADY.stop):
        now = [np.zeros(shape, np.int64) for shape in shapes]
        for index, kernel in enumerate(steps.values()):
            decay, threshold = numbers[index]
            v = membranes[index] * (0 if step and (step - index - 3) % 16 == 0 else 1)
            v = np.sign(v) * ((np.abs(v) * (4096 - decay)) >> 12) + bias[index]
            if sent[index].any():
                v += dynamics.apply(kernel, sent[index].reshape(1, *sent[index].shape))[0] << 6
            now[index + 1] = (v > threshold).astype(np.int64)
            membranes[index] = np.where(now[index + 1], 0, v)
        sent = now
        operations.append([int((events * fan).sum()) for events, fan in zip(sent, fans, strict=False)])
        fired.append(sum(int(events.sum()) for events in sent))
    return np.mean(operations[STEADY], axis=0), float(np.mean(fired[STEADY]))


def test_the_chip_counted_the_same_operations_and_energy() -> None:
    """Loihi 2 on PilotNet LIF: its counters say 2.291 M operations per step, its power meter 68.3 uJ.

    (0.447 W dynamic in steps of 152.85 us.) Ours: 2.270 M, 0.9 % below, and 62.8 uJ with Loihi 1's coefficients, 8 % below.
    The usual rules are 31 to 48 % above.
    """
    operations, fired = silent_run()
    assert operations.sum() == pytest.approx(2.270e6, rel=1e-3)
    assert operations.sum() == pytest.approx(2.291e6, rel=0.01)
    target = load_target("loihi1")
    neurons = sum(int(np.prod(shape)) for shape in ((3, 66, 200), (24, 32, 99), (36, 15, 49), (48, 7, 24), (64, 4, 22)))
    neurons += 64 * 2 * 20 + 100 + 50 + 10 + 1
    joules = (
        target.quantity("energy.synapse_pj") * float(operations.sum())
        + target.quantity("energy.neuron_active_pj") * fired
        + target.quantity("energy.neuron_inactive_pj") * (neurons - fired)
    )
    assert joules.value == pytest.approx(62.8e-6, rel=0.01)
    assert joules.value == pytest.approx(68.3e-6, rel=0.09)
    inherited = load_target("loihi2").figure("energy.synapse_pj").band
    assert inherited[0] * joules.value < 68.3e-6 < inherited[1] * joules.value
