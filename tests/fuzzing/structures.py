"""Mutations that keep a container whole, so that what lies in it is reached: protobuf, ZIP, NumPy headers, HDF5, PNG."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import onnx

from tests.fuzzing.mutations import EXTREMES, FLOATS, TEXTS, change_bytes, change_text, change_tree


def change_onnx(data: bytes, random: Random) -> bytes:
    """A model with one to three fields changed, entries removed, doubled or moved."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        _change_message(model, random)
    return bytes(model.SerializeToString())


def _change_message(message: Any, random: Random) -> None:
    """One field of ``message``, or of a message in it."""
    fields = message.ListFields()
    if not fields:
        return None
    field, value = random.choice(fields)
    if not (isinstance(value, (int, float, str, bytes)) or hasattr(value, "ListFields")):
        return _change_list(value, field.message_type is not None, random)
    if hasattr(value, "ListFields"):
        return _change_message(value, random)
    setattr(message, field.name, _scalar(value, random))
    return None


def _change_list(values: Any, messages: bool, random: Random) -> None:
    if not len(values):
        return
    place, kind = random.randrange(len(values)), random.randrange(8)
    if messages and kind < 5:
        _change_message(values[place], random)
    elif kind == 5:
        del values[place]
    elif kind == 6 and messages:
        values.add().CopyFrom(values[place])
    elif kind == 6:
        values.append(values[place])
    elif messages:
        values[place].CopyFrom(random.choice(values))
    else:
        values[place] = _scalar(values[place], random)


def _scalar(value: Any, random: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        limited = [number for number in EXTREMES if abs(number) < 2**31]
        return random.choice((*limited, value + 1, max(value - 1, 0), value * 2 % 2**30))
    if isinstance(value, float):
        return random.choice(FLOATS[:5])
    if isinstance(value, bytes):
        return change_bytes(value, [value], random) if value else b"\xff"
    return random.choice((*(text for text in TEXTS if "\ud800" not in text), value + "x", value[:-1]))


def change_zip(data: bytes, random: Random) -> bytes:
    """A ZIP with one entry changed, renamed, dropped or doubled, and a right CRC."""
    entries = read_zip(data)
    names = list(entries)
    name, kind = random.choice(names), random.randrange(8)
    if kind == 0:
        del entries[name]
    elif kind == 1:
        entries[random.choice((*TEXTS[:8], name + "x", "/" + name)).replace("\x00", "") or "x"] = entries.pop(name)
    elif kind == 2:
        entries[name] = entries[random.choice(names)]
    elif name.endswith(".npy"):
        entries[name] = change_npy(entries[name], random)
    else:
        entries[name] = change_bytes(entries[name], list(entries.values()), random)
    return write_zip(entries, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def read_zip(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def write_zip(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return target.getvalue()


def change_artifact(data: bytes, random: Random) -> bytes:
    """An artifact whose manifest or tensors were changed, with right SHA-256 of every tensor and canonical JSON."""
    entries = read_zip(data)
    manifest = json.loads(entries.pop("manifest.json"))
    if random.randrange(2):
        name = random.choice(list(entries))
        entries[name] = change_npy(entries[name], random)
    else:
        sums = manifest.pop("sha256")
        manifest = change_tree(manifest, random)
        if isinstance(manifest, dict):
            manifest["sha256"] = sums
    if isinstance(manifest, dict):
        manifest["sha256"] = {name: hashlib.sha256(tensor).hexdigest() for name, tensor in entries.items()}
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"manifest.json": text, **entries}.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            archive.writestr(entry, content)
    return target.getvalue()


def change_npy(data: bytes, random: Random) -> bytes:
    """An array in NumPy's format: other values, another shape or type, or a header that promises more."""
    if random.randrange(4) == 0:
        return change_text(data, random)
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception:  # a change of a change: NumPy raises anything
        return change_bytes(data, [data], random)
    kind = random.randrange(6)
    if kind == 0 and array.size and array.dtype.kind in "if":
        array = array.copy()
        number = random.choice(EXTREMES if array.dtype.kind == "i" else FLOATS)
        info = np.iinfo(array.dtype) if array.dtype.kind == "i" else None
        array.reshape(-1)[random.randrange(array.size)] = (
            number if info is None else min(max(number, int(info.min)), int(info.max))
        )
    elif kind == 1:
        array = array.reshape(random.choice(((1, *array.shape), (*array.shape, 1), (array.size,))))
    elif kind == 2:
        array = array[:0] if array.ndim else array
    elif kind == 3 and array.dtype.kind in "ifu":
        with np.errstate(all="ignore"):
            array = array.astype(
                random.choice(("<i8", "<i4", "<f4", "<f8", "<u8", "|u1", "<f2", "<c8", ">i4", "|b1", "<U3"))
            )
    elif kind == 4 and array.size < 10**5:
        array = np.repeat(array.reshape(-1), 40)
    else:
        array = np.asfortranarray(array)
    target = io.BytesIO()
    np.lib.format.write_array(target, array, allow_pickle=False)
    return target.getvalue()


def change_hdf5(data: bytes, random: Random, folder: Path) -> bytes:
    """An HDF5 file with a dataset, attribute, group or link changed."""
    path = folder / "seed.h5"
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        for _ in range(random.choice((1, 1, 2))):
            _change_member(file, random)
    return path.read_bytes()


def _change_member(file: Any, random: Random) -> None:
    members: list[str] = []
    file.visit(members.append)
    if not members:
        return
    name, kind = random.choice(members), random.randrange(9)
    if kind == 0:
        del file[name]
    elif kind == 1:
        new = random.choice(("x", "nodes", "0", name + "x", "input"))
        if new not in file:
            file.move(name, new)
    elif kind == 2:
        file[f"{name}_link" if random.randrange(2) else "loop"] = random.choice(
            (h5py.SoftLink("/"), h5py.SoftLink("/" + name), h5py.ExternalLink("other.h5", "/"))
        )
    elif kind == 3 and isinstance(file[name], h5py.Group):
        file[name].create_dataset(random.choice(("x", "bias", "weight")), data=random.choice(EXTREMES[:16]))
    elif isinstance(file[name], h5py.Dataset):
        _change_dataset(file, name, random)


def _change_dataset(file: Any, name: str, random: Random) -> None:
    old = file[name]
    values: Any = None if old.shape is None else old[()]
    del file[name]
    kind = random.randrange(8)
    if kind == 0:
        file.create_dataset(
            name, shape=(random.choice((2**20, 2**40)),), dtype="<f4", chunks=(1024,), compression="gzip"
        )
    elif kind == 1:
        file.create_dataset(
            name, data=random.choice([text for text in TEXTS if "\x00" not in text and "\ud800" not in text])
        )
    elif kind == 2:
        file[name] = h5py.Empty("f")
    elif kind == 3:
        file[name] = np.asarray(random.choice((*FLOATS, *EXTREMES[:16])))
    elif kind == 4:
        file.create_group(name)
    elif isinstance(values, (np.ndarray, np.generic)) and np.asarray(values).dtype.kind in "if":
        array = np.array(values)
        if kind == 5 and array.size:
            array.reshape(-1)[random.randrange(array.size)] = random.choice((0, 1, -1, 127, 100))
        elif kind == 6:
            array = random.choice(
                (array[None], array.reshape(-1), np.repeat(array.reshape(-1), 3), array.reshape(-1)[:0])
            )
        else:
            with np.errstate(all="ignore"):
                array = array.astype(random.choice(("<i8", "<f8", "<u1", "<f2", "<c8")))
        file[name] = array
    else:
        file[name] = random.choice((0, 1.5, "Conv2d", "LIF", b"\xff"))


def change_png(data: bytes, random: Random) -> bytes:
    """A PNG with one chunk changed and right checksums."""
    chunks, place = [], 8
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    index = random.randrange(len(chunks))
    kind, body = chunks[index]
    if random.randrange(3):
        chunks[index] = (kind, change_bytes(body, [body or b"x"], random))
    elif random.randrange(2):
        chunks.insert(index, random.choice(chunks))
    else:
        text = (
            (b"tEXt", b"k\x00" + bytes(100)),
            (b"iCCP", b"x\x00\x00" + zlib.compress(bytes(10**6))),
            (b"eXIf", b"II*\x00"),
        )
        chunks.insert(1, random.choice(text))
    whole = data[:8]
    for name, content in chunks:
        whole += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return whole
