"""``verify --certificate --sign`` and ``--check --key``: exit statuses, messages, and the same bytes on every machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snn_deploy.verification.certificate import Certificate
from snn_deploy.verification.certificate.statement import digest_statement
from tests.cli.conftest import Tool

CROP = ("--crop", "16x16")
RFC8032 = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
"""The private key of RFC 8032, section 7.1, test 1."""


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    pytest.importorskip("cryptography", reason="needs the extra sign")
    return write_keys(tmp_path, "key", bytes.fromhex(RFC8032))


def write_keys(folder: Path, name: str, seed: bytes) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(seed)
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signature_is_made_and_checked(
    tool: Tool, network: Path, picture: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    (private, public), path = keys, tmp_path / "c.json"
    words = ("verify", network, "--input", picture, *CROP)
    made = tool(*words, "--certificate", path, "--sign", private)
    assert made.status == 0, made.err
    assert ", signed by key " in made.err
    accepted = tool("verify", network, "--check", path, "--key", public, "--input", picture)
    assert accepted.status == 0
    assert "is valid; signed by key " in accepted.out
    assert "; a new run agrees\n" in accepted.out
    unchecked = tool("verify", network, "--check", path)
    assert unchecked.status == 0
    assert "is valid; signed, not checked; give --key PUB.pem; not run again" in unchecked.out
    other = write_keys(tmp_path, "other", bytes(32))[1]
    refused = tool("verify", network, "--check", path, "--key", other)
    assert (refused.status, refused.err) == (1, "")
    assert refused.out.endswith(", the key given\n")
    for key, status in ((None, 0), (public, 0), (other, 1)):
        values = json.loads(tool("verify", network, "--check", path, *(("--key", key) if key else ()), "--json").out)
        assert values["exit_code"] == status
        assert (values["signed_by"] is not None) == (key is public)
        assert bool(values["wrong"]) == (key is other)
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"A', 1))
    assert tool("verify", network, "--check", path, "--key", public).status == 3

    assert tool(*words, "--certificate", path).status == 0
    assert "is valid; not signed; not run again" in tool("verify", network, "--check", path).out
    refused = tool("verify", network, "--check", path, "--key", public)
    assert (refused.status, "it is not signed; ask for one that is" in refused.out) == (1, True)


def test_keys_are_read_before_the_work(
    tool: Tool, network: Path, keys: tuple[Path, Path], tmp_path: Path, empty_folder: Path
) -> None:
    private, public = keys
    words = ("verify", network, "--input", tmp_path / "none.png", "--certificate", "c.json", "--sign")
    for key, message in (
        (tmp_path / "none.pem", "none.pem: cannot be read: No such file or directory\n"),
        (public, "a public key, which checks signatures (--key); sign with the private one\n"),
        (network, "not a private key in PEM; make one with: openssl genpkey -algorithm ed25519 -out KEY.pem\n"),
    ):
        found = tool(*words, key)
        assert (found.status, found.out, found.err.count("\n")) == (3, "", 1)
        assert found.err.endswith(message)
    found = tool("verify", network, "--check", "none.json", "--key", private)
    assert found.status == 3
    assert "-pubout -out PUB.pem" in found.err
    for option, other in (("--sign", "--certificate"), ("--key", "--check")):
        found = tool("verify", network, "--input", "x.png", option, private)
        assert (found.status, found.out) == (3, "")
        assert f"{option} has no effect " in found.err, other
    assert list(empty_folder.iterdir()) == []


def test_a_forged_option_does_not_end_the_check(tool: Tool, network: Path, picture: Path, tmp_path: Path) -> None:
    """``--help`` among the certified options would print help and end with status 0."""
    path = tmp_path / "c.json"
    words = ("verify", network, "--input", picture, *CROP)
    assert tool(*words, "--certificate", path).status == 0
    statement = json.loads(path.read_bytes())
    for page in (path.with_suffix(".html"), path.with_suffix(".xml")):
        page.unlink()
    for name in ("help", "check", "json"):
        statement["predicate"]["options"] = {name: True}
        statement["predicate"]["digest"] = digest_statement(Certificate(statement))
        path.write_bytes(Certificate(statement).data)
        found = tool("verify", network, "--check", path, "--input", picture)
        assert (found.status, found.out) == (3, "")
        assert found.err.endswith(f"unknown option '{name}'\n")


def test_the_same_run_elsewhere_writes_the_same_bytes(
    network: Path, picture: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Another folder, user, time zone, language, order of sets and instruction set; only the versions are the same."""
    written = []
    for number, environment in enumerate(
        (
            {
                "PYTHONHASHSEED": "1",
                "TZ": "Asia/Tokyo",
                "LC_ALL": "C",
                "HOME": "/nonexistent",
                "SNN_DEPLOY_INSTRUCTION_SET": "baseline",
            },
            {"PYTHONHASHSEED": "2", "TZ": "America/Lima", "LC_ALL": "C.UTF-8", "USER": "other", "HOSTNAME": "other"},
        )
    ):
        folder = tmp_path / f"machine {number}"
        folder.mkdir()
        for name, source in (("net.snn", network), ("photo.png", picture), ("key.pem", keys[0])):
            shutil.copy(source, folder / name)
        net, photo = ("net.snn", "./photo.png") if number else (folder / "net.snn", folder / "photo.png")
        command = (sys.executable, "-m", "snn_deploy", "verify", net, "--input", photo, *CROP, "--noise", "12.5")
        result = subprocess.run(
            (*command, "--mutation", "--level", "state", "--certificate", "c.json", "--sign", "key.pem"),
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        files = {path.name: path.read_bytes() for path in folder.glob("c.*")}
        assert set(files) == {"c.json", "c.html", "c.xml"}
        assert not any(str(tmp_path).encode() in data for data in files.values())
        written.append(files)
    assert written[0] == written[1]
