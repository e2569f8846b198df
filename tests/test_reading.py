"""What is read is a regular file of a bounded size: a pipe, a device or a folder is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.cli.project import _read
from snn_deploy.data.images import read_image
from snn_deploy.errors import ModelError, SnnDeployError
from snn_deploy.exchange.netx import read_net
from snn_deploy.exchange.nir import read_nir
from snn_deploy.files import check_regular, read_limited
from snn_deploy.frontend.onnx import inspect, portable, read
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_unet
from snn_deploy.verification.certificate import digest_file, read_certificate
from snn_deploy.verification.traces.nir_data import read_nir_data
from snn_deploy.verification.traces.sana_fe import is_potentials, read_sana_fe
from snn_deploy.verification.traces.trace_file import TraceFile

READERS: dict[str, Callable[[Path, Network], object]] = {
    "model": lambda path, _: read(path),
    "model to inspect": lambda path, _: inspect(path),
    "model to send": lambda path, _: portable(path),
    "artifact": lambda path, _: artifact.load(path),
    "project": lambda path, _: _read(path),
    "target": lambda path, _: load_target(path),
    "certificate": lambda path, _: read_certificate(path),
    "certified file": lambda path, _: digest_file(path),
    "trace": lambda path, _: TraceFile(path),
    "NIRData": read_nir_data,
    "SANA-FE spikes": lambda path, network: read_sana_fe(network, path),
    "SANA-FE potentials": lambda path, _: is_potentials(path),
    "NIR": lambda path, _: read_nir(path, steps=4),
    "lava-dl": lambda path, _: read_net(path),
    "picture": lambda path, _: read_image(path, 1),
}


@pytest.fixture
def special(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "array.npy").mkdir()
    return {
        "a pipe": (tmp_path / "pipe.toml", "is a pipe; name a regular file"),
        "a folder": (tmp_path / "folder.toml", "is a folder; name a regular file"),
        "a device": (tmp_path / "zero.toml", "is a device; name a regular file"),
        "nothing": (tmp_path / "absent.toml", "cannot be read: No such file or directory"),
    }


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a device", "nothing"])
@pytest.mark.parametrize("reader", READERS)
def test_only_regular_files_are_read(reader: str, kind: str, special: dict[str, tuple[Path, str]]) -> None:
    path, reason = special[kind]
    with pytest.raises(SnnDeployError, match=rf"{path}: {reason}$"):
        READERS[reader](path, random_unet())


def test_an_array_that_is_a_folder(special: dict[str, tuple[Path, str]]) -> None:
    path = special["nothing"][0].with_name("array.npy")
    with pytest.raises(SnnDeployError, match=rf"{path}: is a folder; name a regular file$"):
        read_image(path, 1)


def test_the_size_is_limited_before_and_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_limited(path, ModelError, 5) == b"12345"
    check_regular(path, ModelError, 5)
    for reader in (check_regular, read_limited):
        with pytest.raises(ModelError, match=r"file: 5 bytes; at most 4 are read$"):
            reader(path, ModelError, 4)
    with pytest.raises(ModelError, match=r"holds more bytes than its size says; copy it to a regular file$"):
        read_limited(Path("/proc/self/status"), ModelError, 4)


def test_a_sparse_array_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.npy"
    np.save(path, np.zeros((1, 1, 4, 4), np.float32))
    os.truncate(path, 2**40)
    with pytest.raises(SnnDeployError, match=r"sparse\.npy: 1099511627776 bytes; at most 2147483648 are read$"):
        read_image(path, 1)
