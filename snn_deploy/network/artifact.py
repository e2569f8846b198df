"""The ``.snn`` file: a stored ZIP of ``manifest.json`` and ``tensors/*.npy``. No pickle, a SHA-256 for every tensor.

Writing the same network twice gives the same bytes (fixed order, fixed dates, no compression), so a file's hash
names the network. Reading trusts nothing: it checks the schema version, every hash, every dtype and, by building
frozen values, every invariant, and last that writing the network again gives the very bytes read. So one network
has one file, and nothing surplus, renamed, reordered or hidden is ever accepted. Arrays are parsed here and not by
:func:`numpy.load`, whose header parser takes more than we write and allocates what a header claims.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.files import read_limited, write
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.network.record import Record, RecordReader
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.network.two_sided import TwoSided

SCHEMA = 1
"""Version of the layout below; a reader refuses every other."""

SIZE_LIMIT = 2**31
"""Largest file, in bytes, that a reader accepts."""

_DATE = (1980, 1, 1, 0, 0, 0)

_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<i8|<f8|\|i1)', 'fortran_order': False, 'shape': \(([0-9, ]*)\), \} *\n",
    re.DOTALL,
)
"""The header that :func:`_npy` writes: version 1.0, C order, little endian."""

NEURON_KINDS: tuple[type[Neuron], ...] = (MultiThreshold, TwoSided, CubaLif, SigmaDelta)
"""The kinds of neurons that a file can hold."""


def save(network: Network, path: Path) -> str:
    """Write ``network`` to ``path`` atomically; returns the file's SHA-256."""
    data = encode(network)
    write(path, data, ArtifactError)
    return hashlib.sha256(data).hexdigest()


def load(path: Path) -> Network:
    """Read and check ``path``; :class:`ArtifactError` for anything that :func:`save` did not write."""
    data = read_limited(path, ArtifactError, SIZE_LIMIT)
    try:
        return decode(data)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error


def digest(network: Network) -> str:
    """SHA-256 that names the network: that of its file."""
    return hashlib.sha256(encode(network)).hexdigest()


def encode(network: Network) -> bytes:
    """The bytes of the artifact."""
    tensors: dict[str, Array] = {}
    manifest: Record = {
        "schema": SCHEMA,
        "name": network.name,
        "mode": network.mode,
        "steps": network.steps,
        "config": dict(network.config),
        "populations": [
            _population_record(index, population, tensors) for index, population in enumerate(network.populations)
        ],
        "connections": [
            _connection_record(index, connection, tensors) for index, connection in enumerate(network.connections)
        ],
        "outputs": [
            {"name": output.name, "population": output.population, "host": list(output.host)}
            for output in network.outputs
        ],
    }
    if not network.picture.is_plain:
        manifest["picture"] = network.picture.to_record()
    if network.stream:
        manifest["stream"] = True
    files = {name: _npy(array) for name, array in tensors.items()}
    manifest["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        for name, data in {"manifest.json": text.encode(), **files}.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3  # otherwise the platform's number
            archive.writestr(entry, data)
    return buffer.getvalue()


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(
        buffer, np.ascontiguousarray(array, array.dtype.newbyteorder("<")), version=(1, 0), allow_pickle=False
    )
    return buffer.getvalue()


def _population_record(index: int, population: Population, tensors: dict[str, Array]) -> Record:
    key = f"tensors/population{index:04d}"
    tensors[f"{key}.bias.npy"] = population.bias
    tensors[f"{key}.unit.npy"] = population.unit
    record: Record = {
        "name": population.name,
        "shape": list(population.shape),
        "start": population.start,
        "origin": list(population.origin),
        "bias": f"{key}.bias.npy",
        "unit": f"{key}.unit.npy",
    }
    if population.neuron is None:
        return record | {"input_min": population.input_min, "input_max": population.input_max}
    if type(population.neuron) not in NEURON_KINDS:
        raise ArtifactError(f"{population.name}: {population.neuron.kind} neurons have no place in an .snn file")
    return record | {"neuron": _with_names(population.neuron.to_record(), key, tensors)}


def _with_names(record: Record, key: str, tensors: dict[str, Array]) -> Record:
    """``record`` with the name of its tensor in place of each array, which joins ``tensors``."""
    named: Record = {}
    for field, value in record.items():
        named[field] = value
        if isinstance(value, dict):
            named[field] = _with_names(value, key, tensors)
        elif isinstance(value, np.ndarray):
            named[field] = f"{key}.{field}.npy"
            tensors[named[field]] = value
    return named


def _connection_record(index: int, connection: Connection, tensors: dict[str, Array]) -> Record:
    key = f"tensors/connection{index:04d}"
    kernel = connection.kernel
    if isinstance(kernel, SpatialKernel):
        tensors |= {f"{key}.{part}.npy": getattr(kernel, part) for part in ("indptr", "indices", "data")}
        shape: Record = {
            "kind": "spatial",
            "input_size": list(kernel.input_size),
            "output_size": list(kernel.output_size),
            **{part: f"{key}.{part}.npy" for part in ("indptr", "indices", "data")},
        }
    else:
        tensors[f"{key}.weight.npy"] = kernel.weight
        shape = {
            "kind": "conv" if isinstance(kernel, ConvKernel) else "transposed",
            "weight": f"{key}.weight.npy",
            "strides": list(kernel.strides),
            "pads": list(kernel.pads),
            "dilations": list(kernel.dilations),
            "groups": kernel.groups,
        }
    return {
        "name": connection.name,
        "source": connection.source,
        "target": connection.target,
        "exponent": connection.exponent,
        "delay": connection.delay,
        "origin": list(connection.origin),
        "kernel": shape,
    }


def decode(data: bytes) -> Network:
    """The network in ``data``; :class:`ArtifactError` where anything is missing, altered or surplus."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ArtifactError("holds compressed entries; an .snn file is stored uncompressed")
            if sum(entry.file_size for entry in entries) > len(data):
                raise ArtifactError(f"claims more than the {len(data)} bytes it has")
            files = {entry.filename: archive.read(entry) for entry in entries}
            if len(files) != len(entries):
                raise ArtifactError("holds two entries of one name")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        if data[:2] != b"PK":
            raise ArtifactError("not an .snn file; an ONNX model becomes one by snn-deploy convert") from error
        raise ArtifactError(f"damaged or cut short: {' '.join(str(error).split())[:160]}") from error
    try:
        manifest = json.loads(files.pop("manifest.json"))
        schema = manifest["schema"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"not an .snn file: no readable manifest.json ({type(error).__name__})") from error
    if schema != SCHEMA:
        raise ArtifactError(f"schema version {schema!r}; this program reads version {SCHEMA}, convert the model again")
    try:
        tensors = _tensors(manifest["sha256"], files)
        _check_references(manifest, tensors)
        network = _network(RecordReader(manifest, tensors))
        if encode(network) != data:
            raise ArtifactError(
                "holds something that the network in it does not need; it was not written by this program"
            )
        return network
    except NetworkError as error:
        raise ArtifactError(f"not a valid network: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise ArtifactError(f"manifest.json is incomplete or contradictory: {said}") from error


def _check_references(manifest: Record, tensors: Mapping[str, Array]) -> None:
    """Tensors are copied where they are used: one that is used a thousand times would make a small file a large network."""
    used, waiting = 0, [value for key, value in manifest.items() if key != "sha256"]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and value in tensors:
            used += tensors[value].nbytes
    if used > 2 * sum(array.nbytes for array in tensors.values()):
        raise ArtifactError("uses a tensor several times; it was not written by this program")


def _tensors(hashes: Mapping[str, str], files: Mapping[str, bytes]) -> dict[str, Array]:
    if set(hashes) != set(files):
        odd = sorted(set(hashes) ^ set(files))
        raise ArtifactError(f"entries and manifest disagree on {', '.join(odd[:4])}")
    tensors = {}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise ArtifactError(f"{name} is altered: its SHA-256 is not the one in the manifest")
        tensors[name] = _array(name, data)
    return tensors


def _array(name: str, data: bytes) -> Array:
    """The array in ``data``, a view of it; :class:`ArtifactError` unless :func:`_npy` could have written it."""
    header = _NPY.match(data)
    if header is None:
        raise ArtifactError(f"{name} is not a little-endian int8, int64 or float64 array in C order")
    shape = tuple(int(size) for size in header[2].decode().split(",") if size.strip())
    return np.frombuffer(data, header[1].decode(), offset=header.end()).reshape(shape)


def _network(manifest: RecordReader) -> Network:
    return Network(
        name=manifest.text("name"),
        mode=manifest.record["mode"],
        steps=manifest.integer("steps"),
        populations=tuple(_population(record) for record in manifest.several("populations")),
        connections=tuple(_connection(record) for record in manifest.several("connections")),
        outputs=tuple(
            Output(record.text("name"), record.text("population"), record.texts("host"))
            for record in manifest.several("outputs")
        ),
        config=dict(manifest.record["config"]),
        picture=_picture(manifest.nested("picture")) if "picture" in manifest else PictureScale(),
        stream=manifest.flag("stream") if "stream" in manifest else False,
    )


def _picture(record: RecordReader) -> PictureScale:
    return PictureScale(record.number("low"), record.number("high"), record.numbers("mean"), record.numbers("std"))


def _population(record: RecordReader) -> Population:
    return Population(
        name=record.text("name"),
        shape=record.triple("shape"),
        neuron=_neuron(record.nested("neuron")) if "neuron" in record else None,
        bias=record.int64_array("bias"),
        unit=record.float64_array("unit"),
        start=record.integer("start"),
        input_min=record.integer("input_min") if "input_min" in record else 0,
        input_max=record.integer("input_max") if "input_max" in record else 0,
        origin=record.texts("origin"),
    )


def _neuron(record: RecordReader) -> Neuron:
    kind = next((kind for kind in NEURON_KINDS if kind.section is not None and kind.section in record), MultiThreshold)
    return kind.from_record(record)


def _connection(record: RecordReader) -> Connection:
    return Connection(
        name=record.text("name"),
        source=record.text("source"),
        target=record.text("target"),
        kernel=_kernel(record.nested("kernel")),
        exponent=record.integer("exponent"),
        delay=record.integer("delay"),
        origin=record.texts("origin"),
    )


def _kernel(record: RecordReader) -> Kernel:
    if record.text("kind") == "spatial":
        return SpatialKernel(
            record.pair("input_size"),
            record.pair("output_size"),
            record.int64_array("indptr"),
            record.int64_array("indices"),
            record.int8_array("data"),
        )
    kinds: dict[str, type[ConvKernel] | type[TransposedKernel]] = {"conv": ConvKernel, "transposed": TransposedKernel}
    if record.text("kind") not in kinds:
        raise ArtifactError(f"kernel kind {record.text('kind')!r} is unknown")
    return kinds[record.text("kind")](
        record.int8_array("weight"),
        record.pair("strides"),
        record.quadruple("pads"),
        record.pair("dilations"),
        record.integer("groups"),
    )
