"""What a bundle checks before it runs: Lava's version, and the file that names a board."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from snn_deploy_lava.runtime import board, versions


def test_other_versions_of_lava_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PYTHONS", (sys.version_info[:2],))
    monkeypatch.setattr(metadata, "version", lambda _: "0.9.0")
    with pytest.raises(
        versions.VersionError, match=r"^lava-nc 0.9.0; this was tested with .*, or try with --any-lava$"
    ):
        versions.check()
    monkeypatch.setattr(metadata, "version", lambda _: versions.TESTED[1])
    versions.check()

    def missing(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(
        versions.VersionError, match=r"^lava-nc is not installed in this Python 3\.\d+; README.md says "
    ):
        versions.check()
    monkeypatch.setattr(versions, "PYTHONS", ())
    with pytest.raises(
        versions.VersionError, match=r"lava-nc runs on 3.10, 3.11 and 3.12: make an environment of one of"
    ):
        versions.check()


def test_a_board(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text("# ours\n\npartition = 'oheogulch'  # a cluster\n", "utf-8")
    assert board.read(file) == {"partition": "oheogulch", "generation": "N3B3"}
    file.write_text('host = "192.168.0.2"\ngeneration = "N3C1"\n', "utf-8")
    assert board.read(file) == {"host": "192.168.0.2", "generation": "N3C1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("generation = 'N3B3'\n", r"^board.toml: no place; give one of partition, board and host$"),
        ("board = 'a'\nhost = 'b'\n", r"^board.toml: board and host; give one of partition, board and host$"),
        ("board = 'a'\nboard = 'b'\n", r"^board.toml: line 2: board is given twice$"),
        ("cores = 'a'\n", r"^board.toml: line 1: \"cores = 'a'\"; write KEY = \"TEXT\", with a key of partition, .*$"),
        ("[chip]\n", r"^board.toml: line 1: '\[chip\]'; write KEY = "),
        ("board = 'a'\ngeneration = 'N2A2'\n", r"^board.toml: generation 'N2A2'; Loihi 2 has N3B2, N3B3, N3C1, N3D1$"),
    ],
)
def test_wrong_boards(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        board.read(file)
