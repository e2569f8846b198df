"""The ``.snn`` file: one network, one file; and whatever a stranger sends, a network or one ArtifactError."""

import hashlib
import io
import json
import os
import pickle  # noqa: TID251 - to show that it is refused
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.network import artifact
from snn_deploy.network.artifact import decode, digest, encode, load, save
from snn_deploy.network.bounds import sum_weights
from snn_deploy.network.kernels import ConvKernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Output, Population
from snn_deploy.testing import random_unet

Constant = str | int | float | bool | None
CONFIG: dict[str, Constant] = {
    "levels": 63,
    "percentile": 99.9,
    "mode": "exact",
    "signed": True,
    "seed": None,
    "name": "Übung 重み",
}
NETWORK = replace(random_unet(size=8, width=2), config=CONFIG)
DATA = encode(NETWORK)


def rebuilt(change: Callable[[dict[str, Any], dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The file after ``change`` to its manifest and entries, with honest hashes again: what a careful forger makes."""
    with zipfile.ZipFile(io.BytesIO(DATA)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(manifest, files)
    if isinstance(manifest.get("sha256"), dict):
        manifest["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
        for name, data in {"manifest.json": text.encode(), **files}.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = compression
            archive.writestr(entry, data)
    return buffer.getvalue()


def npy(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["exact", "rate"])
@pytest.mark.parametrize("seed", range(3))
def test_writing_reading_writing_gives_the_same_bytes_and_every_value(mode: Mode, seed: int, tmp_path: Path) -> None:
    network = replace(random_unet(mode, seed), config=CONFIG)
    path = tmp_path / "net.snn"
    name = save(network, path)
    again = load(path)
    assert path.read_bytes() == encode(network) == encode(again)
    assert name == digest(network) == digest(again) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (again.name, again.mode, again.steps) == (network.name, mode, network.steps)
    assert [vars(output) for output in again.outputs] == [vars(output) for output in network.outputs]
    assert dict(again.config) == CONFIG
    for ours, theirs in zip(network.populations, again.populations, strict=True):
        assert (ours.name, ours.shape, ours.start, ours.origin) == (
            theirs.name,
            theirs.shape,
            theirs.start,
            theirs.origin,
        )
        assert (ours.payload_range, ours.count_range) == (theirs.payload_range, theirs.count_range)
        assert np.array_equal(ours.bias, theirs.bias)
        assert np.array_equal(ours.unit, theirs.unit)
        if ours.neuron is not None:
            assert theirs.neuron is not None
            assert np.array_equal(ours.neuron.theta, theirs.neuron.theta)
            assert np.array_equal(ours.neuron.v0, theirs.neuron.v0)
            assert ours.neuron.strict == theirs.neuron.strict
    for left, right in zip(network.connections, again.connections, strict=True):
        assert (left.name, left.source, left.target) == (right.name, right.source, right.target)
        assert (left.exponent, left.delay, left.origin) == (right.exponent, right.delay, right.origin)
        assert type(left.kernel) is type(right.kernel)
        if isinstance(left.kernel, SpatialKernel):
            assert isinstance(right.kernel, SpatialKernel)
            assert np.array_equal(left.kernel.data, right.kernel.data)
            assert np.array_equal(left.kernel.indices, right.kernel.indices)
        else:
            assert not isinstance(right.kernel, SpatialKernel)
            assert np.array_equal(left.kernel.weight, right.kernel.weight)
            assert (left.kernel.pads, left.kernel.groups) == (right.kernel.pads, right.kernel.groups)


def test_equal_networks_share_a_name_and_any_change_gives_another() -> None:
    assert digest(random_unet(size=8)) == digest(random_unet(size=8))
    names = {
        digest(network)
        for network in (
            NETWORK,
            replace(NETWORK, name="other"),
            replace(NETWORK, steps=2),
            replace(NETWORK, config={}),
            random_unet(size=8, width=2, seed=1),
        )
    }
    assert len(names) == 5


def test_the_layout_is_the_one_of_the_manual() -> None:
    """Any change of these bytes is a new schema version."""
    with zipfile.ZipFile(io.BytesIO(DATA)) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())
        assert np.array_equal(
            np.load(io.BytesIO(archive.read("tensors/connection0000.weight.npy"))),
            NETWORK.connections[0].kernel.weight,  # type: ignore[union-attr]
        )
    assert artifact.SCHEMA == 1
    assert names[:3] == ["manifest.json", "tensors/population0000.bias.npy", "tensors/population0000.unit.npy"]
    assert sorted(manifest) == [
        "config", "connections", "mode", "name", "outputs", "populations", "schema", "sha256", "steps",
    ]  # fmt: skip
    assert manifest["connections"][0]["kernel"] == {
        "kind": "conv",
        "weight": "tensors/connection0000.weight.npy",
        "strides": [1, 1],
        "pads": [1, 1, 1, 1],
        "dilations": [1, 1],
        "groups": 1,
    }


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.snn"
    save(NETWORK, path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ArtifactError, match=r"net\.snn: cannot be written: No space left on device$"):
        save(random_unet(), path)
    assert path.read_bytes() == DATA
    assert os.listdir(tmp_path) == ["net.snn"]  # noqa: PTH208 - Path is patched


def test_errors_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.snn"
    with pytest.raises(ArtifactError, match=r"net\.snn: cannot be read: No such file or directory$"):
        load(path)
    with pytest.raises(ArtifactError, match=r": is a folder; name a regular file$"):
        load(tmp_path)
    with pytest.raises(ArtifactError, match=r"net\.snn: cannot be written: No such file or directory$"):
        save(NETWORK, tmp_path / "missing" / "net.snn")
    path.write_bytes(b"not a zip")
    with pytest.raises(
        ArtifactError, match=r"net\.snn: not an \.snn file; an ONNX model becomes one by snn-deploy convert$"
    ):
        load(path)
    path.write_bytes(DATA)
    monkeypatch.setattr(artifact, "SIZE_LIMIT", len(DATA) - 1)
    with pytest.raises(ArtifactError, match=rf"net\.snn: {len(DATA)} bytes; at most {len(DATA) - 1} are read$"):
        load(path)


def _set(*keys: str | int, to: object) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


def _delete(*keys: str | int) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def _file(name: str, data: bytes) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(_: dict[str, Any], files: dict[str, bytes]) -> None:
        files[name] = data

    return change


BIAS = "tensors/population0001.bias.npy"
WEIGHT = "tensors/connection0000.weight.npy"
NO_ARRAY = "is not a little-endian int8, int64 or float64 array in C order$"
SURPLUS = r"holds something that the network in it does not need; it was not written by this program$"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("schema", to=2), "^schema version 2; this program reads version 1, convert the model again$"),
        (_set("schema", to=None), "^schema version None; this program reads version 1"),
        (_delete("schema"), r"no readable manifest\.json \(KeyError\)$"),
        (_delete("mode"), r"^manifest\.json is incomplete or contradictory: KeyError: 'mode'$"),
        (_delete("sha256"), "KeyError: 'sha256'$"),
        (_set("sha256", to=[1]), "entries and manifest disagree on|TypeError"),
        (_set("mode", to="burst"), "^not a valid network: mode 'burst' is neither 'exact' nor 'rate'$"),
        (_set("mode", to=["exact"]), "^not a valid network: mode"),
        (_set("steps", to=0), r"^not a valid network: 0 steps"),
        (_set("steps", to=10**30), r"^not a valid network: 10+ steps"),
        (_set("steps", to=1.0), "^steps: 1.0 stands where an integer belongs$"),
        (_set("steps", to=True), "^steps: True stands where an integer belongs$"),
        (_set("name", to=7), "^name: 7 stands where a string belongs$"),
        (_set("surprise", to=1), SURPLUS),
        (_set("config", "levels", to=float("nan")), "ValueError: Out of range float values are not JSON compliant"),
        (_set("config", to=[["levels", 3]]), SURPLUS),
        (_set("config", to=7), r"^manifest\.json is incomplete or contradictory: TypeError"),
        (_set("populations", to=[]), "^not a valid network: "),
        (_set("populations", to={"a": 1}), "contradictory: TypeError"),
        (_set("name", to="\ud800"), "contradictory: UnicodeEncodeError: .* surrogates not allowed$"),
        (_set("populations", 0, "shape", to=[1, 8]), r"^shape: \[1, 8\] stands where 3 integers belong$"),
        (_set("populations", 0, "shape", to="188"), "^shape: '188' stands where 3 integers belong$"),
        (
            _set("populations", 0, "shape", to=[1, 10**9, 10**9]),
            "^not a valid network: input: 10+ neurons; at most",
        ),
        (_set("populations", 0, "input_max", to=2**70), "^not a valid network: input: input payloads"),
        (_set("populations", 1, "start", to=-1), "^not a valid network: enc1/a: starts at step -1"),
        (_set("populations", 1, "neuron", "strict", to=1), "^strict: 1 stands where true or false belongs$"),
        (_set("populations", 1, "neuron", "count_max", to=2**80), "^not a valid network: count limits"),
        (_set("populations", 1, "neuron", to=None), "contradictory: TypeError"),
        (_set("populations", 1, "bias", to="tensors/nothing.npy"), "contradictory: KeyError"),
        (_set("populations", 1, "bias", to=["a"]), "contradictory: TypeError"),
        (_set("populations", 1, "bias", to="tensors/population0001.unit.npy"), "unit.npy is float64, not int64$"),
        (_set("populations", 1, "unit", to=BIAS), "bias.npy is int64, not float64$"),
        (_set("populations", 1, "origin", to="ab"), SURPLUS),
        (_set("connections", 0, "delay", to=10**12), "^not a valid network: input->enc1/a: delay"),
        (
            _set("connections", 0, "exponent", to=40),
            r"^not a valid network: input->enc1/a: exponent 40 outside 0\.\.15$",
        ),
        (
            _set("connections", 0, "source", to="absent"),
            "^not a valid network: .*: unknown population 'absent'$",
        ),
        (_set("connections", 0, "kernel", "kind", to="magic"), "^kernel kind 'magic' is unknown$"),
        (_set("connections", 0, "kernel", "kind", to=["conv"]), r"^kind: \['conv'\] stands where a string belongs$"),
        (
            _set("connections", 0, "kernel", "groups", to=0),
            "^not a valid network: .* groups 0 must be at least 1$",
        ),
        (
            _set("connections", 0, "kernel", "strides", to=[10**9, 1]),
            "^not a valid network: strides .* exceed 4096$",
        ),
        (_set("connections", 0, "kernel", "pads", to=[10**9, 1, 1, 1]), "^not a valid network: .* exceed 4096$"),
        (_set("connections", 0, "kernel", "pads", to=[1, 1, 1]), "stands where 4 integers belong$"),
        (_set("connections", 0, "kernel", "weight", to=BIAS), "bias.npy is int64, not int8$"),
        (_set("outputs", to=[]), "^not a valid network: no output$"),
        (
            _set("outputs", 0, "host", to="a"),
            "^not a valid network: output output: unknown host function 'a'; available",
        ),
        (_set("outputs", 0, "host", to=["take:1.5"]), "take:1.5': channels are whole numbers from 0 on$"),
        (_file("tensors/extra.npy", npy(np.zeros(3, np.int64))), SURPLUS),
        (_file("../../escape.npy", npy(np.zeros(3, np.int64))), SURPLUS),
        (_file("readme.txt", b"hello"), f"^readme.txt {NO_ARRAY}"),
        (_file(BIAS, pickle.dumps({"a": 1})), NO_ARRAY),
        (_file(BIAS, npy(np.array([print], object), allow_pickle=True)), NO_ARRAY),
        (_file(BIAS, npy(np.zeros((2, 1, 1), np.int64), version=(2, 0))), NO_ARRAY),
        (_file(BIAS, npy(np.zeros((2, 1, 1), ">i8"))), NO_ARRAY),
        (_file(BIAS, npy(np.zeros((2, 1, 1), np.int32))), NO_ARRAY),
        (_file(BIAS, npy(np.array(["1", "2"]).reshape(2, 1, 1))), NO_ARRAY),
        (_file(WEIGHT, npy(np.asfortranarray(np.ones((2, 1, 3, 3), np.int8)))), NO_ARRAY),
        (_file(BIAS, npy(np.zeros((3, 1, 1), np.int64))), r"^not a valid network: enc1/a: bias \(3, 1, 1\)"),
        (
            _file(BIAS, npy(np.full((2, 1, 1), 2**40))),
            "^not a valid network: enc1/a: bias reaches 1099511627776",
        ),
        (_file(BIAS, npy(np.zeros((2, 1, 1), np.int64)) + b"x"), "contradictory: ValueError"),
        (_file(BIAS, npy(np.zeros((2, 1, 1), np.int64))[:-8]), "contradictory: ValueError"),
        (_file(BIAS, npy(np.zeros((2, 1, 1), np.int64)).replace(b"(2, 1", b"(9, 9")), "contradictory: ValueError"),
        (_file(BIAS, b""), NO_ARRAY),
    ],
)
def test_a_careful_forger_is_refused(change: Callable[[dict[str, Any], dict[str, bytes]], None], message: str) -> None:
    try:
        data = rebuilt(change)
    except UnicodeEncodeError:
        data = _with_manifest(change)
    with pytest.raises(ArtifactError, match=message) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


def _with_manifest(change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> bytes:
    """The file with a manifest in ASCII escapes, as a lone surrogate needs."""
    with zipfile.ZipFile(io.BytesIO(DATA)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["manifest.json"])
    change(manifest, {})
    return _zipped(files | {"manifest.json": json.dumps(manifest).encode()})


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def test_an_honest_rebuild_is_accepted() -> None:
    """Otherwise the forgeries above would prove nothing."""
    assert rebuilt(_set("schema", to=1)) == DATA
    assert digest(decode(DATA)) == digest(NETWORK)


def test_a_renamed_entry_is_refused() -> None:
    def rename(manifest: dict[str, Any], files: dict[str, bytes]) -> None:
        files["tensors/bias.npy"] = files.pop(BIAS)
        manifest["populations"][1]["bias"] = "tensors/bias.npy"

    with pytest.raises(ArtifactError, match=SURPLUS):
        decode(rebuilt(rename))


def test_a_changed_tensor_is_named() -> None:
    with zipfile.ZipFile(io.BytesIO(DATA)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files[BIAS] = files[BIAS][:-1] + b"\x07"
    with pytest.raises(ArtifactError, match=rf"^{BIAS} is altered: its SHA-256 is not the one in the manifest$"):
        decode(_zipped(files))


def test_missing_and_surplus_entries_are_named() -> None:
    with zipfile.ZipFile(io.BytesIO(DATA)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with pytest.raises(ArtifactError, match=r"^entries and manifest disagree on tensors/more\.npy$"):
        decode(_zipped(files | {"tensors/more.npy": b""}))
    del files[BIAS]
    with pytest.raises(ArtifactError, match=rf"^entries and manifest disagree on {BIAS}$"):
        decode(_zipped(files))
    del files["manifest.json"]
    with pytest.raises(ArtifactError, match=r"^not an \.snn file: no readable manifest\.json \(KeyError\)$"):
        decode(_zipped(files))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema": ' + b"9" * 9999 + b"}"]
)
def test_a_manifest_that_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^not an \.snn file: no readable manifest\.json \(\w+\)$"):
        decode(_zipped({"manifest.json": text}))


def test_two_entries_of_one_name_are_refused() -> None:
    buffer = io.BytesIO(DATA)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(ArtifactError, match="^holds two entries of one name$"):
        decode(buffer.getvalue())


def test_compressed_files_are_refused_before_anything_is_unpacked() -> None:
    """A zip bomb: ten megabytes of zeros in a few kilobytes."""
    bomb = rebuilt(_file("tensors/zeros.npy", bytes(10_000_000)), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(ArtifactError, match=r"^holds compressed entries; an \.snn file is stored uncompressed$"):
        decode(bomb)


def test_entries_that_claim_one_anothers_bytes_are_refused() -> None:
    """The other zip bomb: many directory entries over the same stored bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.json", bytes(10_000))
        first = archive.infolist()[0]
        for index in range(9):
            entry = zipfile.ZipInfo(f"copy{index}")
            entry.file_size = entry.compress_size = first.file_size
            entry.CRC, entry.header_offset = first.CRC, first.header_offset
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry
    data = buffer.getvalue()
    with pytest.raises(ArtifactError, match=rf"^claims more than the {len(data)} bytes it has$"):
        decode(data)


def test_trailing_leading_and_hidden_bytes_are_refused() -> None:
    commented = io.BytesIO(DATA)
    with zipfile.ZipFile(commented, "a") as archive:
        archive.comment = b"hidden"
    for data in (b"MZ" + DATA, commented.getvalue(), DATA + b"\0" * 9):
        with pytest.raises(ArtifactError, match=rf"{SURPLUS}|^not an \.snn file;|^damaged or cut short: "):
            decode(data)


@pytest.mark.parametrize("cut", [0, 1, 21, 22, 100, len(DATA) // 2, len(DATA) - 22, len(DATA) - 1])
def test_truncated_files_are_refused(cut: int) -> None:
    with pytest.raises(ArtifactError, match=r"^not an \.snn file; " if cut < 2 else "^damaged or cut short: "):
        decode(DATA[:cut])


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_no_flipped_byte_gets_through(flips: list[tuple[int, int]]) -> None:
    """Anywhere: headers, names, hashes, weights, directory. Never another exception, never another network."""
    data = bytearray(DATA)
    for place, flip in flips:
        data[place] ^= flip
    if bytes(data) == DATA:
        return
    with pytest.raises(ArtifactError, match="."):
        decode(bytes(data))


@settings(max_examples=200)
@given(st.integers(0, 7), st.data())
def test_cut_pasted_and_grown_files_never_get_through(pieces: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(DATA)))
    stuff = data.draw(st.one_of(st.binary(max_size=64), st.just(DATA), st.just(DATA[-22:])))
    length = data.draw(st.integers(0, 400))
    forged = DATA[:place] + stuff * (pieces % 3) + DATA[place + length :]
    if forged == DATA:
        return
    with pytest.raises(ArtifactError, match="."):
        decode(forged)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _places(inner, (*path, key))
    return found


with zipfile.ZipFile(io.BytesIO(DATA)) as _archive:
    PLACES = [place for place in _places(json.loads(_archive.read("manifest.json"))) if place[0] != "sha256"]


@settings(max_examples=60)  # `make fuzz` draws on
@given(st.sampled_from(PLACES), _JSON)
def test_any_value_anywhere_in_the_manifest_gives_a_network_or_an_artifact_error(
    place: tuple[str | int, ...], value: object
) -> None:
    """A forger with honest hashes. What is accepted must be a whole network that writes these very bytes."""
    try:
        data = rebuilt(_set(*place, to=value))
    except UnicodeEncodeError:
        data = _with_manifest(_set(*place, to=value))
    try:
        network = decode(data)
    except ArtifactError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a network is the other good outcome
    else:
        assert encode(network) == data


GEOMETRY: dict[str, dict[str, Any]] = {
    "pads": {"pads": (4096, 4096, 4096, 4096), "strides": (4096, 4096)},
    "cropped strides": {"pads": (4096, 4096, 4096, 4096), "strides": (4096, 4096)},
    "appended": {"pads": (0, 0, -4096, -4096)},
}


def of_one_kernel(kernel: ConvKernel | TransposedKernel) -> Network:
    shape, zeros = (8, 16, 16), np.zeros((8, 1, 1), np.int64)
    image = Population("image", shape, None, zeros, np.ones(8), input_max=1)
    neuron = MultiThreshold(np.ones(8, np.int64), np.zeros(8, np.int64), 0, 1, 0, 1)
    target = Population("y", kernel.output_shape(shape), neuron, zeros, np.ones(8), start=1)
    return Network("n", "exact", 1, (image, target), (Connection("c", "image", "y", kernel),), (Output("y", "y"),))


@pytest.mark.parametrize("case", GEOMETRY)
def test_small_files_do_not_lead_to_large_maps(case: str) -> None:
    """Strides and pads of 4096 pixels: a few kilobytes that would take gigabytes and a minute."""
    kind = ConvKernel if case == "pads" else TransposedKernel
    with pytest.raises(NetworkError, match=r"at most (16777216|134217728) are allowed$"):
        of_one_kernel(kind(np.ones((8, 8, 2, 2), np.int8), **GEOMETRY[case]))


def test_phases_of_wide_strides_are_counted_quickly() -> None:
    kernel = TransposedKernel(np.arange(1, 5, dtype=np.int8).reshape(1, 1, 2, 2), strides=(4096, 4096))
    positive, negative = sum_weights(kernel)
    assert (positive.tolist(), negative.tolist()) == ([4], [0])


def test_a_tensor_is_used_once() -> None:
    """A thousand populations that share one tensor would copy it a thousand times."""

    def share(manifest: dict[str, Any], files: dict[str, bytes]) -> None:
        largest = max(files, key=lambda name: len(files[name]))
        for population in manifest["populations"]:
            population["origin"] = [largest] * 10

    with pytest.raises(ArtifactError, match=r"^uses a tensor several times; it was not written by this program$"):
        decode(rebuilt(share))
