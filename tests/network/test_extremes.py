"""Every integer that a file can carry, at the extremes of int64 and beyond: one clear error, never a network of other numbers.

The magnitude of the least int64 is no int64, so a check by ``abs`` lets it pass, and a difference of two int64 can wrap.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snn_deploy.arrays import find_largest_magnitude, lies_within, round_to_int64
from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.network.artifact import decode, encode
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.testing import random_unet

LEAST, GREATEST = -(2**63), 2**63 - 1
BEYOND_24_BITS = (LEAST, LEAST + 1, -STATE_MAX - 1, STATE_MAX + 1, GREATEST)
FREE = {"origin", "config", "sha256"}
"""Fields of a manifest whose numbers mean nothing to a run."""


def every_kind() -> Network:
    """Two levels with every kernel, in ``rate`` mode, and one population of each of Lava's own neurons."""
    network = random_unet("rate", size=8, width=2)
    theta, offset = np.full(2, 640), np.array([3, -3])
    stock = {
        "enc1/a": CubaLif.of(theta, offset, current_decay=2048, voltage_decay=128),
        "dec": SigmaDelta.of(offset, shift=4, payloads=(-99, 99)),
    }
    populations = (
        replace(population, neuron=stock.get(population.name, population.neuron)) for population in network.populations
    )
    return replace(network, populations=tuple(populations))


NETWORKS = {"exact": random_unet("exact", size=8, width=2), "rate, every kind": every_kind()}


def parts(network: Network) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and tensors of a file."""
    with zipfile.ZipFile(io.BytesIO(encode(network))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("manifest.json")), files


def forged(manifest: dict[str, Any], files: dict[str, bytes]) -> bytes:
    """A file of these parts with honest hashes."""
    manifest["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
        for name, data in {"manifest.json": text.encode(), **files}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def integers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all integers in a manifest, but for those in FREE."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in FREE:
                yield from integers(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from integers(part, (*path, index))
    elif type(value) is int:
        yield path


def fields(manifest: dict[str, Any]) -> list[tuple[Any, ...]]:
    """One path for every field: the first population or connection that has it stands for all."""
    first: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for path in integers(manifest):
        kernel = manifest["connections"][path[1]]["kernel"]["kind"] if "kernel" in path else ""
        first.setdefault((kernel, path[0], *path[2:]), path)
    return list(first.values())


def put(manifest: dict[str, Any], path: tuple[Any, ...], value: int) -> None:
    place: Any = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value


def test_the_forger_changes_nothing_else() -> None:
    for network in NETWORKS.values():
        assert encode(decode(forged(*parts(network)))) == encode(network)
    paths = {path[-1] for network in NETWORKS.values() for path in fields(parts(network)[0])}
    assert paths >= {"steps", "start", "delay", "exponent", "groups", "payload_min", "payload_max", "count_min",
                     "count_max", "input_min", "input_max", "current_decay", "voltage_decay", "shift"}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_of_the_manifest(name: str) -> None:
    manifest, files = parts(NETWORKS[name])
    for path in fields(manifest):
        for value in (LEAST, GREATEST, -(2**64), 2**64):
            changed = json.loads(json.dumps(manifest))
            put(changed, path, value)
            with pytest.raises(ArtifactError) as caught:
                decode(forged(changed, files))
            assert "\n" not in str(caught.value), path
            assert "contradictory" not in str(caught.value), (path, value, str(caught.value))


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_of_the_tensors(name: str) -> None:
    """All entries, and the last one alone: an extreme must not hide behind others."""
    manifest, files = parts(NETWORKS[name])
    seen = set()
    for tensor, data in files.items():
        array, field = np.load(io.BytesIO(data)), tensor.split(".")[-2]
        if array.dtype != np.int64 or field in seen:
            continue
        seen.add(field)
        for value in BEYOND_24_BITS:
            for chosen in (slice(None), slice(-1, None)):
                changed = array.copy()
                changed.reshape(-1)[chosen] = value
                with pytest.raises(ArtifactError, match=r"^not a valid network: .*") as caught:
                    decode(forged(json.loads(json.dumps(manifest)), files | {tensor: npy(changed)}))
                assert "\n" not in str(caught.value), tensor
    assert seen >= {"bias", "theta", "v0", "indptr", "indices"}
    assert name == "exact" or "offset" in seen


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0))
    return buffer.getvalue()


def test_weights_are_all_of_int8() -> None:
    """-128 is a weight like any other, though its magnitude does not fit int8."""
    manifest, files = parts(NETWORKS["exact"])
    for tensor, data in files.items():
        array = np.load(io.BytesIO(data))
        if array.dtype == np.int8:
            for value in (-128, 127):
                extreme = np.full_like(array, value)
                network = decode(forged(json.loads(json.dumps(manifest)), files | {tensor: npy(extreme)}))
                kernel = network.connections[int(tensor.split("connection")[1][:4])].kernel
                weight = kernel.data if isinstance(kernel, SpatialKernel) else kernel.weight
                assert np.array_equal(weight, extreme)


def test_row_pointers_that_wrap_are_refused() -> None:
    """Each difference to the next, modulo 2**64, is positive."""
    pointers = np.array([0, 2**62, -(2**63), -(2**62), 1])
    assert np.all(np.diff(pointers) > 0)
    with pytest.raises(NetworkError, match="row pointers do not describe 4 rows$"):
        SpatialKernel((1, 1), (2, 2), pointers, np.zeros(1, np.int64), np.ones(1, np.int8))


def test_ranges_are_checked_without_magnitudes() -> None:
    least = np.array([0, LEAST])
    assert np.abs(least).max() == 0  # the trap
    assert find_largest_magnitude(least) == 2**63
    assert not lies_within(least, -5, 5)
    assert lies_within(np.array([-5, 5]), -5, 5)
    assert not lies_within(np.array([-6, 5]), -5, 5)
    assert not lies_within(np.array([0.0, np.nan]), -5, 5)
    assert lies_within(np.array([]), 1, 0)
    assert find_largest_magnitude(np.array([], np.int64)) == 0


def test_rounding_gives_integers_or_an_error() -> None:
    assert round_to_int64(np.array([0.5, 1.5, -0.5, -2.6])).tolist() == [0, 2, 0, -3]
    assert round_to_int64(np.array([2.0**53, -(2.0**53)])).tolist() == [2**53, -(2**53)]
    for value in (np.nan, np.inf, -np.inf, 2.0**54, -1e300):
        with pytest.raises(ValueError, match=r"have no exact integers; \+-2\*\*53 is the limit$"):
            round_to_int64(np.array([0.0, value]))
