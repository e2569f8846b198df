"""The outputs of a network as files: arrays, pictures and label images, one for each output and each image of a batch.

====================  =================================================================================================
what is written       where
====================  =================================================================================================
one output, one image ``x.png``
several outputs       ``x.NAME.png`` for each, characters other than letters, digits, ``.``, ``_`` and ``-`` replaced
several images        ``x.0.png``, ``x.1.png``, ...; ``x.npy`` holds the whole batch
both                  ``x.NAME.0.png``, ...
====================  =================================================================================================

A picture has one or three channels of values in [0, 1]. An output after argmax is a label image; logits and
probabilities of classes are labels only where that is asked for. What cannot be written is refused before a run.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Array, Float64
from snn_deploy.backend.protocol import Run
from snn_deploy.data.images import choose_format, encode_image
from snn_deploy.data.label_image import choose_label_format, encode_labels, narrow_labels
from snn_deploy.errors import ReportError
from snn_deploy.files import check_writable, write_all
from snn_deploy.network.host import choose_classes, count_channels, count_classes, put_channels_first
from snn_deploy.network.network import Network, Output

NAME_CHARACTERS = 80
"""How much of an output's name a file's name repeats."""


@dataclass(frozen=True)
class Written:
    """One file, and the share of its values outside of [0, 1], which a picture does not keep."""

    path: Path
    clipped: float = 0.0


@dataclass(frozen=True, eq=False)
class ResultFiles:
    """Where the outputs of ``network`` for ``images`` images go; :class:`ReportError` where ``path`` cannot hold them.

    ``labels``: write the class of every pixel instead of logits or probabilities. ``colors``: label images get a palette.
    """

    path: Path
    network: Network
    images: int
    labels: bool = False
    colors: bool = False

    def __post_init__(self) -> None:
        if self.colors and (self.is_array or not any(map(self._is_labels, self.network.outputs))):
            raise ReportError(f"{self.path}: colors are those of label images, and none is written")
        for output in self.network.outputs:
            self._check(output)
        for path in self.paths:
            check_writable(path)

    @property
    def is_array(self) -> bool:
        """Whether arrays are written, not pictures."""
        return self.path.suffix == ".npy"

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file, output by output."""
        return tuple(path for output in self.network.outputs for path in self._paths_of(output))

    def write(self, run: Run) -> tuple[Written, ...]:
        """Write all files, or none where one cannot be written."""
        contents: dict[Path, bytes] = {}
        written = []
        values = run.read_outputs(self.network)
        for output in self.network.outputs:
            for path, each in zip(self._paths_of(output), self._parts(values[output.name]), strict=True):
                contents[path] = self._encoded(output, path, each)
                shown = self._picture(output, each)
                outside = 0.0 if self.is_array or self._is_labels(output) else np.mean((shown < 0) | (shown > 1))
                written.append(Written(path, float(outside)))
        write_all(contents)
        return tuple(written)

    def _is_labels(self, output: Output) -> bool:
        return self.labels or "argmax" in output.host

    def _classes(self, output: Output) -> int:
        return count_classes(self.network.population(output.population).shape[0], output.host)

    def _picture(self, output: Output, values: Float64) -> Float64:
        return self.network.picture.as_picture(values, output.host)

    def _check(self, output: Output) -> None:
        if self.is_array:
            return
        if self._is_labels(output):
            choose_label_format(self.path, self._classes(output), colors=self.colors)
            return
        choose_format(self.path)
        channels = count_channels(self.network.population(output.population).shape[0], output.host)
        if channels not in (1, 3) or (channels > 1 and "softmax" in output.host):
            what = "probabilities of classes" if "softmax" in output.host else "channels"
            raise ReportError(
                f"{self.path}: output {output.name} has {channels} {what}, not gray values or colors; "
                "write .npy, or the class of every pixel as a label image (labels, or a model that ends in ArgMax)"
            )

    def _paths_of(self, output: Output) -> tuple[Path, ...]:
        names = _file_names(self.network.outputs)
        stem = self.path.stem if len(names) == 1 else f"{self.path.stem}.{names[output.name]}"
        if self.images == 1 or self.is_array:
            return (self.path.with_name(f"{stem}{self.path.suffix}"),)
        digits = len(str(self.images - 1))
        return tuple(self.path.with_name(f"{stem}.{index:0{digits}}{self.path.suffix}") for index in range(self.images))

    def _parts(self, values: Float64) -> Iterator[Float64]:
        """What each file holds: the batch, or one image of it."""
        return iter([values] if self.is_array else [values[index : index + 1] for index in range(self.images)])

    def _encoded(self, output: Output, path: Path, values: Float64) -> bytes:
        classes = self._classes(output)
        if self.is_array:
            return _npy(narrow_labels(choose_classes(output.host, values), classes) if self.labels else values)
        if self._is_labels(output):
            return encode_labels(choose_classes(output.host, values)[0], classes, path, colors=self.colors)
        return encode_image(put_channels_first(output.host, self._picture(output, values))[1], choose_format(path))


def _file_names(outputs: tuple[Output, ...]) -> dict[str, str]:
    """A part of a file name for each output; those that would be the same, on any file system, are numbered."""
    cleaned = [re.sub(r"[^A-Za-z0-9._-]+", "_", output.name)[:NAME_CHARACTERS].strip("._") for output in outputs]
    if len({name.casefold() for name in cleaned}) < len(cleaned) or "" in cleaned:
        cleaned = [f"{index}{name and '_'}{name}" for index, name in enumerate(cleaned)]
    return dict(zip((output.name for output in outputs), cleaned, strict=True))


def _npy(values: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
