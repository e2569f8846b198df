"""Files from strangers: every damaged or forged one is read whole or refused in one line, by nothing but our own errors."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import app as cli
from snn_deploy.cli import project
from snn_deploy.data.images import read_image
from snn_deploy.errors import SnnDeployError, VerificationError
from snn_deploy.evaluation.sweep import Grid, sweep
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.targets import load
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Trace, compare
from snn_deploy.verification.certificate import certify, read_certificate, write_certificate
from snn_deploy.verification.traces.sana_fe import read_sana_fe
from snn_deploy.verification.traces.trace_file import read_trace, write_trace

COPIES = 120
"""Damaged copies of each file."""

NUMBERS = (
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"\xff\xfe",
    b"[" * 3000,
)


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("rate", 1, size=8, width=2)


@pytest.fixture(scope="module")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sound file of every kind that is read."""
    folder = tmp_path_factory.mktemp("sound")
    run = load_backend("reference").run(network, random_stimulus(network, 1), Record.STATES)
    artifact.save(network, folder / "net.snn")
    write_trace(folder / "trace.npz", [Trace.of(run, "chip")])
    np.save(folder / "image.npy", np.zeros((1, 1, 8, 8), np.float32))
    write_certificate(
        certify(compare(network, [run, run], Level.TRAIN), network, stimuli=["x"]), folder / "certificate.json"
    )
    (folder / "snn-deploy.toml").write_text('[inspect]\nmodel = "unet.onnx"\nsize = "8x8"\n\n[estimate]\nrate = 0.5\n')
    (folder / "target.toml").write_text((Path(load.__file__).parent / "loihi2.toml").read_text())
    sweep(Grid("g", (("a", (1, 2)),)), lambda settings: {"x": 1.0}, journal=folder / "journal.jsonl")
    rows = [f"{population.name}.0,{step}" for population in network.populations for step in range(3)]
    (folder / "spikes.csv").write_text("neuron,timestep\n" + "\n".join(rows) + "\n")
    return folder


PARSER = cli.parser()
READERS: dict[str, Callable[[Path, Network], object]] = {
    "net.snn": lambda path, network: artifact.load(path),
    "trace.npz": lambda path, network: [dict(trace.probes) for trace in read_trace(path)],
    "image.npy": lambda path, network: read_image(path, 1),
    "certificate.json": lambda path, network: read_certificate(path),
    "snn-deploy.toml": lambda path, network: project.apply(PARSER, ["inspect", "--project", str(path)]),
    "target.toml": lambda path, network: load_target(path),
    "journal.jsonl": lambda path, network: sweep(Grid("g", (("a", (1, 2)),)), lambda _: {"x": 1.0}, journal=path),
    "spikes.csv": lambda path, network: read_sana_fe(network, path),
}


def damaged(content: bytes, rng: random.Random) -> bytes:
    """``content`` with a few bytes flipped, cut, doubled, moved, or a number in the place of another."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(data) + 1), rng.randint(1, 40)
        kind = rng.randrange(6)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place : place + length]
        elif kind == 2:
            data[place:place] = data[place : place + length]
        elif kind == 3:
            data[place : place + rng.randint(0, 3)] = rng.choice(NUMBERS)
        elif kind == 4:
            del data[place:]
        else:
            data[place : place + length] = rng.randbytes(length)
    return bytes(data)


@pytest.mark.parametrize("name", READERS)
def test_damaged_copies(name: str, folder: Path, network: Network, tmp_path: Path) -> None:
    content, rng, path = (folder / name).read_bytes(), random.Random(0), tmp_path / name
    READERS[name](folder / name, network)
    refused: list[str] = []
    for _ in range(COPIES):
        path.write_bytes(damaged(content, rng))
        try:
            READERS[name](path, network)
        except SnnDeployError as error:
            refused.append(str(error))
    assert len(refused) > COPIES // 10
    assert all(len(message) < 5000 for message in refused)


def entry(name: str, data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file with one entry."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        archive.writestr(name, data)
    return target.getvalue()


@pytest.mark.parametrize("name", ["../manifest.json", "/manifest.json", "manifest.json", "tensors/../../x.npy"])
def test_bombs_and_paths_that_lead_out(name: str, tmp_path: Path) -> None:
    """100 MB of zeros in 100 kB, or a name that points elsewhere: refused, and nothing is written anywhere."""
    (folder := tmp_path / "bombs").mkdir()
    path = folder / "bomb.snn"
    path.write_bytes(entry(name, bytes(10**8)))
    with pytest.raises(SnnDeployError, match="bomb.snn"):
        artifact.load(path)
    path.rename(folder / "bomb.npz")
    with pytest.raises(VerificationError, match="bomb.npz"):
        list(read_trace(folder / "bomb.npz"))
    assert [path.name for path in folder.iterdir()] == ["bomb.npz"]


@pytest.mark.parametrize(
    "header", ["{'descr': '<f4', 'shape': (", "{'descr': '<f4'}}", "[" * 300, "\x00", "1 if 1 else"]
)
def test_array_headers_that_are_no_python(header: str, tmp_path: Path) -> None:
    """NumPy reads headers with Python's tokenizer and parser, which have errors of their own; checksums are right here."""
    data = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n"
    (tmp_path / "image.npy").write_bytes(data)
    with pytest.raises(SnnDeployError, match="image.npy: not a readable .npy array"):
        read_image(tmp_path / "image.npy", 1)
    (tmp_path / "trace.npz").write_bytes(entry("manifest.npy", data))
    with pytest.raises(VerificationError, match="trace.npz: damaged"):
        list(read_trace(tmp_path / "trace.npz"))


@pytest.mark.parametrize("shape", ["(9223372036854775807,)", "(1099511627776, 1, 8, 8)", "(8,)"])
def test_absurd_shapes(shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(256)
    (tmp_path / "image.npy").write_bytes(data)
    with pytest.raises(SnnDeployError, match="image.npy"):
        read_image(tmp_path / "image.npy", 1)
    (tmp_path / "trace.npz").write_bytes(entry("0/trains/a.npy", data))
    with pytest.raises(VerificationError, match="trace.npz"):
        list(read_trace(tmp_path / "trace.npz"))


def test_links_are_followed(tmp_path: Path, network: Network) -> None:
    """A link to an artifact is read, and saving replaces the file that it points to."""
    artifact.save(network, tmp_path / "real.snn")
    (tmp_path / "link.snn").symlink_to("real.snn")
    assert artifact.digest(artifact.load(tmp_path / "link.snn")) == artifact.digest(network)
    other = random_unet(size=8, width=2, seed=5)
    artifact.save(other, tmp_path / "link.snn")
    assert (tmp_path / "link.snn").is_symlink()
    assert artifact.digest(artifact.load(tmp_path / "real.snn")) == artifact.digest(other)
    (tmp_path / "loop.snn").symlink_to("loop.snn")
    with pytest.raises(SnnDeployError, match=r"loop.snn: cannot be read: .*"):
        artifact.load(tmp_path / "loop.snn")


def test_project_files_refuse_what_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    for text, message in (
        ("[inspect]\nmodle = 'a'\n", "'modle' is not an option"),
        ("[inspct]\n", "'inspct' is not a verb"),
        ("inspect = 3\n", "must be a table"),
        ("[inspect]\nmodel = ['a']\n", "must be a string or a number"),
        ("[inspect]\njson = 1\n", "must be true or false"),
        ("[inspect]\nmodel = 'a'\nmodel = 'b'\n", "not a TOML file"),
    ):
        path.write_text(text)
        with pytest.raises(SnnDeployError, match=message):
            project.apply(PARSER, ["inspect", "--project", str(path)])
