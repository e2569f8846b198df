"""From bytes to a checked ``ModelProto``: size limits, decoding, ``onnx.checker``, external data, local functions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError, EncodeError
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from snn_deploy.errors import ModelError
from snn_deploy.files import read_limited

MAX_BYTES = 2**31
"""Largest file, external data included: what one protobuf message can hold."""

MAX_NODES = 100_000
MIN_OPSET = 9
"""Operators of older sets have other attributes; ``onnx.version_converter`` upgrades such files."""


@dataclass(frozen=True, eq=False)
class Source:
    """A checked model, what to call it in messages, and the SHA-256 of the file."""

    model: onnx.ModelProto
    where: str
    sha256: str

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return int(next(entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")))


def load(given: str | Path | bytes) -> Source:
    """Read and check a model; :class:`ModelError` says in one line what is wrong with it."""
    if isinstance(given, bytes):
        return _checked(given, "model", None)
    path = Path(given)
    return _checked(read_limited(path, ModelError), path.name, path.parent)


def portable(given: str | Path | bytes) -> bytes:
    """The file's bytes for another machine, weights that lie in other files included."""
    if isinstance(given, bytes):
        return given
    whole, content = load(given).model, read_limited(Path(given), ModelError)
    return whole.SerializeToString() if _external(onnx.ModelProto.FromString(content)) else content


def _external(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]


def _checked(content: bytes, where: str, folder: Path | None) -> Source:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RuntimeError) as error:
        raise ModelError(f"{where}: not an ONNX file, or a truncated one ({_line(error)})") from error
    if not model.ir_version or not model.graph.node:
        raise ModelError(f"{where}: not an ONNX file, or one without nodes")
    if not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        raise ModelError(f"{where}: imports no operator set of ONNX")
    if len(model.graph.node) > MAX_NODES:
        raise ModelError(f"{where}: {len(model.graph.node)} nodes are more than {MAX_NODES}")
    _load_external(model, where, folder)
    try:
        onnx.checker.check_model(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, DecodeError, EncodeError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{where}: breaks the ONNX specification ({_line(error)})") from error
    source = Source(model, where, hashlib.sha256(content).hexdigest())
    if source.opset < MIN_OPSET:
        raise ModelError(
            f"{where}: operator set {source.opset} is older than {MIN_OPSET};"
            " export it again, or upgrade it with onnx.version_converter"
        )
    return source


def _load_external(model: onnx.ModelProto, where: str, folder: Path | None) -> None:
    outside = _external(model)
    if not outside:
        return
    if folder is None:
        raise ModelError(f"{where}: weight {outside[0].name!r} lies in another file; give a path, not bytes")
    size = 0
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = Path(entries.get("location", ""))
        inside = not location.is_absolute() and ".." not in location.parts
        if not inside or not (folder / location).is_file() or (folder / location).is_symlink():
            raise ModelError(
                f"{where}: weight {tensor.name!r} should lie in {str(location)!r} beside the file; it does not"
            )
        size = max(size, (folder / location).stat().st_size)
    if size > MAX_BYTES:
        raise ModelError(f"{where}: {size} bytes of external weights are more than {MAX_BYTES}")
    try:
        load_external_data_for_model(model, str(folder))
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{where}: its external weights cannot be read ({_line(error)})") from error


def _line(error: Exception) -> str:
    """The first line of a library's message, cut to a readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
