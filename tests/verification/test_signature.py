"""Signed certificates: other implementations accept them, and no altered one is accepted."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snn_deploy.errors import VerificationError
from snn_deploy.network import artifact
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Session, Stimuli
from snn_deploy.verification.certificate import (
    Certificate,
    PrivateKey,
    certify,
    check_certificate,
    read_certificate,
    read_private_key,
    read_public_key,
    write_certificate,
)
from snn_deploy.verification.certificate.envelope import PAYLOAD_TYPE, Signature, encode_signed, wrap
from snn_deploy.verification.comparison.verdict_record import Json

pytest.importorskip("cryptography", reason="needs the extra sign")

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

TAMPERED = [1_000, pytest.param(10_000, marks=pytest.mark.slow)]


def private_pem(key: Any, encryption: KeySerializationEncryption | None = None) -> bytes:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return data


def public_pem(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    network = random_unet("exact", 1, size=8, width=2)
    file = tmp_path_factory.mktemp("net") / "größe.snn"
    artifact.save(network, file)
    session = Session(("reference", "reference"), Level.TRAIN)
    outcome = session.verify(Stimuli.of_payloads(network, random_stimulus(network)))
    assert outcome.verdict.exit_code == 0
    options: dict[str, Json] = {"backends": "reference,reference", "noise": 12.5}
    return certify(
        outcome.verdict,
        network,
        files={"artifact": file},
        stimuli=outcome.stimuli,
        backends=outcome.backends,
        options=options,
    )


@pytest.fixture
def path(unsigned: Certificate, key: PrivateKey, tmp_path: Path) -> Path:
    """A signed certificate."""
    write_certificate(unsigned.sign(key), tmp_path / "c.json")
    return tmp_path / "c.json"


def refusal(path: Path, data: bytes, key: PrivateKey | None) -> str:
    """Why the certificate ``data`` is not accepted; empty if it is."""
    path.write_bytes(data)
    try:
        return "; ".join(check_certificate(path, key=None if key is None else key.public))
    except VerificationError as error:
        return str(error)


def test_a_signed_certificate_is_accepted(path: Path, unsigned: Certificate, key: PrivateKey) -> None:
    assert check_certificate(path, key=key.public) == ()
    assert check_certificate(path) == (), "without the key, it is as good as one that is not signed"
    envelope = json.loads(path.read_bytes())
    assert base64.b64decode(envelope["payload"]) + b"\n" == unsigned.data
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert [entry["keyid"] for entry in envelope["signatures"]] == [key.public.keyid]
    path.with_suffix(".html").unlink()
    path.with_suffix(".xml").unlink()
    assert check_certificate(path, key=key.public) == (), "the pages prove nothing"


def test_the_encoding_is_that_of_the_specification(key: PrivateKey) -> None:
    """The example of protocol.md of DSSE v1, and RFC 8032, test 1."""
    assert encode_signed(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    first = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signature = PrivateKey(ed25519.Ed25519PrivateKey.from_private_bytes(first)).key.sign(b"")
    assert signature.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


def test_other_implementations_accept_it(path: Path, key: PrivateKey) -> None:
    dsse = pytest.importorskip("securesystemslib.dsse", reason="needs the extra dev (securesystemslib)")
    signer = pytest.importorskip("securesystemslib.signer")
    statements = pytest.importorskip(
        "in_toto_attestation.v1.statement", reason="needs the extra dev (in-toto-attestation)"
    )
    json_format = pytest.importorskip("google.protobuf.json_format")
    protobuf = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    rfc8785 = pytest.importorskip("rfc8785", reason="needs the extra dev (rfc8785)")

    envelope = dsse.Envelope.from_dict(json.loads(path.read_bytes()))
    known = signer.SSlibKey.from_crypto(key.key.public_key(), keyid=key.public.keyid)
    assert set(envelope.verify([known], 1)) == {key.public.keyid}
    stranger = signer.SSlibKey.from_crypto(ed25519.Ed25519PrivateKey.generate().public_key(), keyid=key.public.keyid)
    with pytest.raises(Exception, match=r"do not match threshold"):
        envelope.verify([stranger], 1)

    statement = json_format.Parse(envelope.payload, protobuf.Statement())
    statements.Statement.copy_from_pb(statement).validate()
    assert statement.subject[0].name == "größe.snn"
    assert rfc8785.dumps(json.loads(envelope.payload)) == envelope.payload
    assert rfc8785.dumps(json.loads(path.read_bytes())) + b"\n" == path.read_bytes()


def tampered(data: bytes, rng: random.Random) -> bytes:
    """``data`` with one byte flipped, another put in its place, deleted, inserted or doubled, or two neighbors swapped."""
    place, new = rng.randrange(len(data)), rng.randrange(256)
    before, byte, after = data[:place], data[place : place + 1], data[place + 1 :]
    other = (
        before + bytes([byte[0] ^ 1 << rng.randrange(8)]) + after,
        before + bytes([new]) + after,
        before + after,
        before + bytes([new]) + byte + after,
        before + byte + byte + after,
        before + after[:1] + byte + after[1:],
    )[rng.randrange(6)]
    return tampered(data, rng) if other == data else other


@pytest.mark.parametrize("number", TAMPERED)
@pytest.mark.parametrize("signed", [True, False])
def test_no_tampered_certificate_is_accepted(
    unsigned: Certificate, key: PrivateKey, tmp_path: Path, signed: bool, number: int
) -> None:
    """Also without a signature, whose digest then finds what was not meant as a forgery."""
    data = (unsigned.sign(key) if signed else unsigned).data
    path, rng = tmp_path / "c.json", random.Random(number)
    accepted = [
        other
        for other in (tampered(data, rng) for _ in range(number))
        if not refusal(path, other, key if signed else None)
    ]
    assert accepted == []
    assert refusal(path, data, key if signed else None) == ""


def test_every_byte_counts(unsigned: Certificate, key: PrivateKey, tmp_path: Path) -> None:
    """Around payload type, key and signature, every byte by itself."""
    data = unsigned.sign(key).data
    path, tail = tmp_path / "c.json", len(data) - data.index(b'","payloadType"')
    for place in (*range(12), *range(len(data) - tail, len(data))):
        other = data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]
        assert refusal(path, other, key), place


def envelope_with(**changes: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda values: dump({**values, **changes})


def dump(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def swapped(old: bytes, new: bytes) -> Callable[[dict[str, Any]], bytes]:
    def attack(values: dict[str, Any]) -> bytes:
        assert old in dump(values)
        return dump(values).replace(old, new, 1)

    return attack


def with_signatures(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], bytes]:
    return lambda values: dump({**values, "signatures": change(values["signatures"][0])})


def payload_of(values: dict[str, Any]) -> bytes:
    return base64.b64decode(values["payload"])


def with_payload(change: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], bytes]:
    return lambda values: dump({**values, "payload": base64.b64encode(change(payload_of(values))).decode()})


def loose(values: dict[str, Any]) -> bytes:
    """Base64 whose unused last bits are set, which most decoders ignore: the same bytes in another spelling."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sig = values["signatures"][0]["sig"]
    assert sig.endswith("==")
    other = sig[:-3] + alphabet[alphabet.index(sig[-3]) + 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(sig)
    return dump({**values, "signatures": [{**values["signatures"][0], "sig": other}]})


ATTACKS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "not signed any more": lambda values: payload_of(values) + b"\n",
    "no signature": with_signatures(lambda _: []),
    "the signature twice": with_signatures(lambda entry: [entry, entry]),
    "another signature first": with_signatures(lambda entry: [{**entry, "sig": "AA" * 43 + "=="}, entry]),
    "another signature last": with_signatures(lambda entry: [entry, {**entry, "keyid": "0" * 64}]),
    "signatures as a record": with_signatures(lambda entry: {"0": entry}),
    "a signature that is not text": with_signatures(lambda entry: [{**entry, "sig": 1}]),
    "a short signature": with_signatures(lambda entry: [{**entry, "sig": entry["sig"][4:]}]),
    "a long signature": with_signatures(lambda entry: [{**entry, "sig": "AAAA" + entry["sig"]}]),
    "no key": with_signatures(lambda entry: [{"sig": entry["sig"]}]),
    "another field beside the signature": with_signatures(lambda entry: [{**entry, "cert": "x"}]),
    "loose base64": loose,
    "base64 for addresses": swapped(b"+", b"-"),
    "base64 without padding": swapped(b'=="', b'"'),
    "base64 in lines": with_signatures(lambda entry: [{**entry, "sig": entry["sig"][:64] + "\n" + entry["sig"][64:]}]),
    "another payload type": envelope_with(payloadType="application/json"),
    "payload type in capitals": envelope_with(payloadType=PAYLOAD_TYPE.upper()),
    "payload type with a space": envelope_with(payloadType=PAYLOAD_TYPE + " "),
    "no payload type": lambda values: dump({key: values[key] for key in ("payload", "signatures")}),
    "another field": envelope_with(comment=""),
    "payload as a record": envelope_with(payload={}),
    "a key twice": swapped(b'"payloadType"', b'"payloadType":"x","payloadType"'),
    "a payload twice": lambda values: b'{"payload":"e30=",' + dump(values)[1:],
    "an escaped key": swapped(b'"sig"', b'"si\\u0067"'),
    "an escaped slash": swapped(b"application/", b"application\\/"),
    "spaces": swapped(b'":"', b'": "'),
    "carriage return": lambda values: dump(values)[:-1] + b"\r\n",
    "no line feed": lambda values: dump(values)[:-1],
    "two line feeds": lambda values: dump(values) + b"\n",
    "trailing data": lambda values: dump(values) + b"{}",
    "a second envelope": lambda values: dump(values) * 2,
    "a byte order mark": lambda values: b"\xef\xbb\xbf" + dump(values),
    "UTF-16": lambda values: dump(values).decode().encode("utf-16"),
    "a NUL": lambda values: dump(values) + b"\0",
    "nested deeply": lambda _: b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "a payload nested deeply": with_payload(lambda _: b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a payload with NaN": with_payload(lambda data: data.replace(b"12.5", b"NaN", 1)),
    "a payload with infinity": with_payload(lambda data: data.replace(b"12.5", b"1e999", 1)),
    "a number of a million digits": with_payload(lambda data: data.replace(b"12.5", b"1" * 10**6, 1)),
    "12.50": with_payload(lambda data: data.replace(b"12.5", b"12.50", 1)),
    "a payload in another Unicode form": with_payload(
        lambda data: unicodedata.normalize("NFD", data.decode()).encode()
    ),
    "a payload that is not UTF-8": with_payload(lambda data: data.replace("ö".encode(), b"\xff")),
    "a payload with spaces": with_payload(lambda data: json.dumps(json.loads(data)).encode()),
    "a payload with a key twice": with_payload(lambda data: data.replace(b'"cause"', b'"cause":"x","cause"', 1)),
    "a payload with trailing data": with_payload(lambda data: data + b" "),
    "an empty payload": with_payload(lambda _: b""),
    "another statement type": with_payload(lambda data: data.replace(b"Statement/v1", b"Statement/v0.1")),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(unsigned: Certificate, key: PrivateKey, tmp_path: Path, name: str) -> None:
    data = unsigned.sign(key).data
    attacked = ATTACKS[name](json.loads(data))
    assert attacked != data
    found = refusal(tmp_path / "c.json", attacked, key)
    assert found
    assert len(found) < 400
    assert "\n" not in found


def test_signatures_of_other_keys_and_contents(unsigned: Certificate, key: PrivateKey, tmp_path: Path) -> None:
    other = PrivateKey(ed25519.Ed25519PrivateKey.generate())
    path = tmp_path / "c.json"
    assert refusal(path, unsigned.sign(other).data, key).endswith(f", not by {key.public.keyid[:16]}, the key given")
    renamed = Signature(key.public.keyid, other.sign(unsigned.payload).value)
    assert refusal(path, wrap(unsigned.payload, renamed) + b"\n", key).endswith(
        "not that of its content; it was edited"
    )
    plain = Signature(key.public.keyid, key.key.sign(unsigned.payload))
    assert refusal(path, wrap(unsigned.payload, plain) + b"\n", key), "a signature without the payload's type"
    order = 2**252 + 27742317777372353535851937790883648493
    value = key.sign(unsigned.payload).value
    again = value[:32] + (int.from_bytes(value[32:], "little") + order).to_bytes(32, "little")
    malleable = Signature(key.public.keyid, again)
    assert refusal(path, wrap(unsigned.payload, malleable) + b"\n", key), "S + L is not another signature"
    assert refusal(path, unsigned.data, key).startswith("it is not signed; ")


def test_what_is_signed_is_still_checked(unsigned: Certificate, key: PrivateKey, tmp_path: Path) -> None:
    """A key does not vouch for a verdict that contradicts itself."""
    statement = json.loads(unsigned.payload)
    statement["predicate"]["verdict"]["exit_code"] = 2
    found = refusal(tmp_path / "c.json", Certificate(statement).sign(key).data, key)
    assert found == "its digest is not that of its content; it was edited; its exit_code does not follow from its rows"


KEYS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "ECPrivate": lambda: both(ec.generate_private_key(ec.SECP256R1())),
    "RSAPrivate": lambda: both(rsa.generate_private_key(65537, 2048)),
    "Ed448": lambda: both(ed448.Ed448PrivateKey.generate()),
}


def both(key: Any) -> tuple[bytes, bytes]:
    return private_pem(key), public_pem(key)


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_other_kinds_are_refused(tmp_path: Path, kind: str) -> None:
    private, public = KEYS[kind]()
    (tmp_path / "k.pem").write_bytes(private)
    (tmp_path / "p.pem").write_bytes(public)
    remedy = r"signed with Ed25519, make one with: openssl genpkey -algorithm ed25519 -out KEY\.pem$"
    with pytest.raises(VerificationError, match=rf"k\.pem: a key of kind \w+; certificates are {remedy}"):
        read_private_key(tmp_path / "k.pem")
    with pytest.raises(VerificationError, match=rf"p\.pem: a key of kind \w+; certificates are {remedy}"):
        read_public_key(tmp_path / "p.pem")


def test_keys_that_cannot_be_read(tmp_path: Path, key: PrivateKey) -> None:
    file = tmp_path / "k.pem"
    for content, reader, message in (
        (
            private_pem(key.key, BestAvailableEncryption(b"x")),
            read_private_key,
            r"openssl pkey -in k\.pem -out KEY\.pem$",
        ),
        (private_pem(key.key), read_public_key, r"openssl pkey -in k\.pem -pubout -out PUB\.pem$"),
        (public_pem(key.key), read_private_key, r"checks signatures \(--key\); sign with the private one$"),
        (private_pem(key.key)[:-60] + b"\n-----END PRIVATE KEY-----\n", read_private_key, r"private key: ValueError$"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", read_public_key, r"public key: ValueError$"),
        (b"{}", read_public_key, r"not a public key in PEM; make one with: .* -out KEY\.pem$"),
        (b"\xff" * 100, read_private_key, r"not a private key in PEM; make one with: .* -out KEY\.pem$"),
        (b"x" * 100_000, read_private_key, r"100000 bytes; at most 65536 are read$"),
    ):
        file.write_bytes(content)
        with pytest.raises(VerificationError, match=message):
            reader(file)
    with pytest.raises(VerificationError, match=r"none\.pem: cannot be read: No such file or directory$"):
        read_private_key(tmp_path / "none.pem")


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k.pem").write_bytes(private_pem(key.key))
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(VerificationError, match=r'pip install "snn-deploy\[sign\]"$'):
        read_private_key(tmp_path / "k.pem")


def test_keys_of_openssl(tmp_path: Path, unsigned: Certificate) -> None:
    """The commands of docs/reference/verification.md, and openssl checks our signature."""

    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    try:
        run("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs openssl with Ed25519")
    run("pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
    key, public = read_private_key(tmp_path / "key.pem"), read_public_key(tmp_path / "pub.pem")
    assert key.public.keyid == public.keyid
    assert "PRIVATE" not in repr(key)
    (tmp_path / "message").write_bytes(encode_signed(unsigned.payload))
    (tmp_path / "sig").write_bytes(key.sign(unsigned.payload).value)
    run("pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", "message", "-sigfile", "sig")


def test_reading_does_not_need_the_library(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert read_certificate(path).signature is not None
    assert check_certificate(path) == ()
