"""The ``.snn`` file: a stored ZIP of ``manifest.json`` and ``tensors/*.npy``. No pickle, a SHA-256 for every tensor.

Writing the same network twice gives the same bytes (fixed order, fixed dates, no compression), so a file's hash
names the network. Reading trusts nothing: it checks the schema version, every hash, every dtype and, by building
frozen values, every invariant, and last that writing the network again gives the very bytes read. So one network
has one file, and nothing surplus, renamed, reordered or hidden is ever accepted. Arrays are parsed here and not by
:func:`numpy.load`, whose header parser takes more than we write and allocates what a header claims.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from snn_deploy.arrays import Array
from snn_deploy.errors import ArtifactError, NetworkError
from snn_deploy.files import replacing
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.network import Connection, Network, Neuron, Output, Population, StockNeuron
from snn_deploy.network.sigma_delta import SigmaDelta

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

Record: TypeAlias = dict[str, Any]


def save(network: Network, path: Path) -> str:
    """Write ``network`` to ``path`` atomically; returns the file's SHA-256."""
    data = encode(network)
    with replacing(path, ArtifactError) as partial:
        partial.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load(path: Path) -> Network:
    """Read and check ``path``; :class:`ArtifactError` for anything that :func:`save` did not write."""
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise ArtifactError(f"{path}: larger than {SIZE_LIMIT} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror or error}") from error
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
    tensors[f"{key}.theta.npy"] = population.neuron.theta
    tensors[f"{key}.v0.npy"] = population.neuron.v0
    record["neuron"] = {
        "theta": f"{key}.theta.npy",
        "v0": f"{key}.v0.npy",
        "payload_min": population.neuron.payload_min,
        "payload_max": population.neuron.payload_max,
        "count_min": population.neuron.count_min,
        "count_max": population.neuron.count_max,
        "strict": population.neuron.strict,
        **({} if population.neuron.reset == "subtract" else {"reset": population.neuron.reset}),
    }
    if isinstance(population.neuron, StockNeuron):
        tensors[f"{key}.offset.npy"] = population.neuron.offset
        record["neuron"] |= _stock_record(population.neuron, f"{key}.offset.npy")
    return record


def _stock_record(neuron: StockNeuron, offset: str) -> Record:
    if isinstance(neuron, CubaLif):
        decays = {"current_decay": neuron.current_decay, "voltage_decay": neuron.voltage_decay}
        return {"cuba_lif": decays | {"offset": offset}}
    if isinstance(neuron, SigmaDelta):
        return {"sigma_delta": {"shift": neuron.shift, "rectify": neuron.rectify, "offset": offset}}
    raise ArtifactError(f"{type(neuron).__name__} has no place in an .snn file")


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
        raise ArtifactError(f"damaged or cut short: {error}") from error
    try:
        manifest = json.loads(files.pop("manifest.json"))
        schema = manifest["schema"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"not an .snn file: no readable manifest.json ({type(error).__name__})") from error
    if schema != SCHEMA:
        raise ArtifactError(f"schema version {schema!r}; this program reads version {SCHEMA}, convert the model again")
    try:
        network = _network(manifest, _tensors(manifest["sha256"], files))
        if encode(network) != data:
            raise ArtifactError(
                "holds something that the network in it does not need; it was not written by this program"
            )
        return network
    except NetworkError as error:
        raise ArtifactError(f"describes no valid network: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ArtifactError(f"manifest.json is incomplete or contradictory: {type(error).__name__}: {error}") from error


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
        raise ArtifactError(f"{name} is no little-endian int8, int64 or float64 array in C order")
    shape = tuple(int(size) for size in header[2].decode().split(",") if size.strip())
    return np.frombuffer(data, header[1].decode(), offset=header.end()).reshape(shape)


def _typed(tensors: Mapping[str, Array], name: str, dtype: type[np.generic]) -> Array:
    if tensors[name].dtype != dtype:
        raise ArtifactError(f"{name} is {tensors[name].dtype}, not {np.dtype(dtype)}")
    return tensors[name]


def _network(manifest: Record, tensors: Mapping[str, Array]) -> Network:
    return Network(
        name=str(manifest["name"]),
        mode=manifest["mode"],
        steps=_integer(manifest["steps"]),
        populations=tuple(_population(record, tensors) for record in manifest["populations"]),
        connections=tuple(_connection(record, tensors) for record in manifest["connections"]),
        outputs=tuple(
            Output(str(record["name"]), str(record["population"]), tuple(map(str, record["host"])))
            for record in manifest["outputs"]
        ),
        config=dict(manifest["config"]),
    )


def _integer(value: object) -> int:
    if type(value) is not int:
        raise ArtifactError(f"{value!r} stands where an integer belongs")
    return value


def _integers(values: object, length: int) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != length:
        raise ArtifactError(f"{values!r} stands where {length} integers belong")
    return tuple(_integer(value) for value in values)


def _limit(value: object) -> int | None:
    return None if value is None else _integer(value)


def _population(record: Record, tensors: Mapping[str, Array]) -> Population:
    neuron = _neuron(record["neuron"], tensors) if "neuron" in record else None
    channels, height, width = _integers(record["shape"], 3)
    return Population(
        name=str(record["name"]),
        shape=(channels, height, width),
        neuron=neuron,
        bias=_typed(tensors, record["bias"], np.int64),
        unit=_typed(tensors, record["unit"], np.float64),
        start=_integer(record["start"]),
        input_min=_integer(record.get("input_min", 0)),
        input_max=_integer(record.get("input_max", 0)),
        origin=tuple(map(str, record["origin"])),
    )


def _neuron(item: Record, tensors: Mapping[str, Array]) -> Neuron:
    theta = _typed(tensors, item["theta"], np.int64)
    if "cuba_lif" in item:
        lif = item["cuba_lif"]
        return CubaLif.of(
            theta,
            _typed(tensors, lif["offset"], np.int64),
            current_decay=_integer(lif["current_decay"]),
            voltage_decay=_integer(lif["voltage_decay"]),
        )
    plain = Neuron(
        theta=theta,
        v0=_typed(tensors, item["v0"], np.int64),
        payload_min=_integer(item["payload_min"]),
        payload_max=_integer(item["payload_max"]),
        count_min=_limit(item["count_min"]),
        count_max=_limit(item["count_max"]),
        strict=bool(item["strict"]),
        reset=item.get("reset", "subtract"),
    )
    if "sigma_delta" not in item:
        return plain
    own = item["sigma_delta"]
    offset, shift = _typed(tensors, own["offset"], np.int64), _integer(own["shift"])
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
    return SigmaDelta(**fields, offset=offset, shift=shift, rectify=bool(own["rectify"]))


def _connection(record: Record, tensors: Mapping[str, Array]) -> Connection:
    return Connection(
        name=str(record["name"]),
        source=str(record["source"]),
        target=str(record["target"]),
        kernel=_kernel(record["kernel"], tensors),
        exponent=_integer(record["exponent"]),
        delay=_integer(record["delay"]),
        origin=tuple(map(str, record["origin"])),
    )


def _kernel(record: Record, tensors: Mapping[str, Array]) -> Kernel:
    if record["kind"] == "spatial":
        rows, columns = _integers(record["input_size"], 2)
        output_rows, output_columns = _integers(record["output_size"], 2)
        return SpatialKernel(
            (rows, columns),
            (output_rows, output_columns),
            _typed(tensors, record["indptr"], np.int64),
            _typed(tensors, record["indices"], np.int64),
            _typed(tensors, record["data"], np.int8),
        )
    kinds: dict[str, type[ConvKernel] | type[TransposedKernel]] = {"conv": ConvKernel, "transposed": TransposedKernel}
    if record["kind"] not in kinds:
        raise ArtifactError(f"kernel kind {record['kind']!r} is unknown")
    step_y, step_x = _integers(record["strides"], 2)
    top, left, bottom, right = _integers(record["pads"], 4)
    gap_y, gap_x = _integers(record["dilations"], 2)
    weight = _typed(tensors, record["weight"], np.int8)
    return kinds[record["kind"]](
        weight, (step_y, step_x), (top, left, bottom, right), (gap_y, gap_x), _integer(record["groups"])
    )
