"""Public records of chips and of their makers' simulators, reproduced with ``==``: what was found in a search on 2026-11-28.

Each has its source, licence and hash below; the files are not part of this repository. No claim is made about records that the
search did not find.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.exchange.netx import read_net
from snn_deploy.network import dynamics
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, CubaLif
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.decoding import REFRACTORY_MARK

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared/golden, with the records, is absent")

LAVA_DL = "lava_dl-0.6.0 (PyPI), tests/lava/lib/dl/netx"


@dataclass(frozen=True)
class Source:
    """Where a record comes from; ``sha256`` of its files one after the other, in the order of ``files``."""

    made_by: str
    source: str
    licence: str
    files: tuple[str, ...]
    sha256: str


PILOTNET = ("input", *(f"conv-{index}" for index in range(5)), "fc-0", "fc-1", "fc-2")

SOURCES = {
    "pilotnet_lif": Source(
        "a chip (its read-out holds 128 at spikes; inferred)",
        f"{LAVA_DL}/gts/pilotnet_lif",
        "BSD-3-Clause",
        tuple(f"pilotnet_lif/{name}" for name in ("network.net", "image.npy", *(f"{name}.npy" for name in PILOTNET))),
        "b9fd1fb63ac6830fd77a173ab07cb9ec25e19099b4460599fb679191725eb2f6",
    ),
    "nir_lif_loihi2": Source(
        "Loihi 2",
        "neuromorphs/NIR, paper/01_lif/lif_lava_loihi_fixed.csv",
        "BSD-3-Clause",
        ("nir_lif_loihi2/lif_lava_loihi_fixed.csv",),
        "8c721d7eed09623de92429c3eb8b0321f9b69c4ce759f0d8651940d976159081",
    ),
    "tinynet": Source(
        "SLAYER",
        f"{LAVA_DL}/tiny.net and gts/tinynet",
        "BSD-3-Clause",
        ("netx/tiny.net", *(f"netx/tinynet/{name}.npy" for name in ("input_bias", "input", "layer1", "output"))),
        "1a279d542dbe775727c7706053b24808f50949a599daf8e6cec53520992246db",
    ),
    "pilotnet_sdnn": Source(
        "Lava (asserted on Loihi 2 by the same repository's tests)",
        f"{LAVA_DL}/gts/pilotnet_sdnn",
        "BSD-3-Clause",
        (
            "netx/pilotnet_sdnn.net",
            *(f"netx/pilotnet_sdnn.{name}.npy" for name in ("input", "act0", "sigma2", "output")),
        ),
        "391d966f2e35dd023011325e2b2c2e8facd003ecbdcf028927ff624edba2dc1e",
    ),
}


def recorded(name: str) -> Int64:
    """A file's array with its axes reversed, which makes (T, C, H, W) of Lava's (W, H, C, T)."""
    array: Int64 = np.load(GOLDEN / name).astype(np.int64).T
    return array


def run(network: Network, image: Int64, backend: str) -> Run:
    return load_backend(backend).run(network, image[None], Record.STATES)


@pytest.mark.parametrize("name", SOURCES)
def test_the_record_is_the_one_that_was_found(name: str) -> None:
    record = SOURCES[name]
    content = b"".join((GOLDEN / file).read_bytes() for file in record.files)
    assert hashlib.sha256(content).hexdigest() == record.sha256, record


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_pilotnet_lif(backend: str) -> None:
    """All spikes of the 16 steps between two resets; every layer is reset one step after that before it."""
    network = read_net(GOLDEN / "pilotnet_lif/network.net")
    trains = run(network, recorded("pilotnet_lif/image.npy") - 36, backend).trains
    assert trains is not None
    layers = [f"layer/{index}" for index in (0, 1, 2, 3, 4, 5, 7, 8, 9)]
    for reset, (layer, name) in enumerate(zip(layers, PILOTNET, strict=True)):
        expected = recorded(f"pilotnet_lif/{name}.npy")[reset : reset + 16]
        assert np.array_equal(trains[layer][0].reshape(expected.shape), expected), layer


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_tinynet(backend: str) -> None:
    """All spikes of 15 steps; SLAYER writes them one step late."""
    network = read_net(GOLDEN / "netx/tiny.net", steps=15)
    trains = run(network, recorded("netx/tinynet/input_bias.npy") - 34, backend).trains
    assert trains is not None
    for layer, name in (("layer/0", "input"), ("layer/1", "layer1"), ("layer/2", "output")):
        expected = np.load(GOLDEN / f"netx/tinynet/{name}.npy")[0]
        assert np.array_equal(np.moveaxis(trains[layer][0], 0, -1), expected[..., 1:]), layer


@pytest.mark.parametrize("backend", ["reference", "cpu", "lava"])
def test_pilotnet_sdnn(backend: str) -> None:
    """Changes of the input, the second layer's sums and the output, in all 9 steps; netx starts all layers together."""
    if backend == "lava":
        pytest.importorskip("lava.magma", reason="lava-nc is not installed", exc_type=ImportError)
    network = read_net(GOLDEN / "netx/pilotnet_sdnn.net", aligned=False)
    image = recorded("netx/pilotnet_sdnn.input.npy")[0]
    found, expected = run(network, image, backend), run(network, image, "reference")
    for kind in ("counts", "events", "trains", "states", "second_states"):
        own, others = getattr(found, kind), getattr(expected, kind)
        assert set(own) == set(others), kind
        assert all(np.array_equal(own[name], others[name]) for name in others), kind
    assert found.trains is not None
    assert found.states is not None
    steps = network.steps
    assert steps == 9
    assert np.array_equal(found.trains["layer/0"][0], recorded("netx/pilotnet_sdnn.act0.npy")[:steps])
    assert np.array_equal(found.states["layer/2"][0], recorded("netx/pilotnet_sdnn.sigma2.npy")[:steps])
    output = np.cumsum(found.trains["layer/9"][0].reshape(steps))
    assert np.array_equal(output, recorded("netx/pilotnet_sdnn.output.npy").reshape(steps))
    assert not any(found.saturations.values())


def test_nir_lif_on_loihi_2() -> None:
    """4 of 4 spikes and 1000 of 1000 membranes, the mark at spikes decoded; weight 10, decay 163, threshold 25, found by search."""
    with (GOLDEN / "nir_lif_loihi2/lif_lava_loihi_fixed.csv").open(newline="") as file:
        sent, membranes, spikes = np.array([[int(float(cell)) for cell in row] for row in csv.reader(file)]).T
    neuron = CubaLif.of(np.array([25 << CURRENT_SHIFT]), np.array([0]), current_decay=4096, voltage_decay=163)
    v = u = np.zeros((1, 1, 1), np.int64)
    found = []
    for current in 10 * np.concatenate([[0], sent[:-1]]):
        v, u, payload = dynamics.advance(neuron, v, u, np.full((1, 1, 1), current))
        found.append((int(v.item()), int(payload.item())))
    marked = (spikes == 1) & (membranes == REFRACTORY_MARK)
    assert marked.sum() == 4
    assert found == list(zip(np.where(marked, 0, membranes), spikes, strict=True))
