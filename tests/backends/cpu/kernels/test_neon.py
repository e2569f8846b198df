"""Kernels for aarch64, on any processor: compiled for it and run by an emulator, they compute what plain C does here."""

from __future__ import annotations

import platform
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[3]
KERNELS = ROOT / "backends/snn_deploy_cpu/kernels"
BUILD = runpy.run_path(str(ROOT / "backends/hatch_build.py"))
SOURCES = (FOLDER / "digests.c", *(KERNELS / name for name in ("direct_conv.c", "sparse_conv.c", "neurons.c")))


def find_cross_compiler() -> list[str]:
    if shutil.which("aarch64-linux-gnu-gcc"):
        return ["aarch64-linux-gnu-gcc"]
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl"]
    pytest.skip("needs a cross compiler for aarch64: aarch64-linux-gnu-gcc, or the package ziglang")


def digests(folder: Path, compiler: list[str], flags: tuple[str, ...], run: tuple[str, ...] = ()) -> list[str]:
    """What ``digests.c`` prints."""
    program = folder / "digests"
    options = [flag for flag in BUILD["FLAGS"] if flag not in ("-shared", "-dynamiclib", "-s", "-O3")]
    sources = map(str, SOURCES)
    command = [*compiler, "-O1", "-Werror", *options, *flags, f"-I{KERNELS}", *sources, "-o", str(program)]
    subprocess.run(command, check=True, timeout=300)
    done = subprocess.run([*run, str(program)], check=True, timeout=300, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Those of plain C, which other tests hold equal to the reference."""
    compiler = BUILD["find_compiler"]()
    if compiler is None or platform.machine() != "x86_64":
        pytest.skip("plain C is what x86-64 has, and needs a C compiler")
    return digests(tmp_path_factory.mktemp("plain"), compiler, BUILD["X86_FLAGS"]["baseline"])


@pytest.mark.extended
@pytest.mark.parametrize("name", BUILD["ARM_FLAGS"])
def test_neon_computes_what_plain_c_does(name: str, expected: list[str], tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if emulator is None:
        pytest.skip("needs qemu-aarch64-static or qemu-aarch64")
    compiler = find_cross_compiler()
    flags = BUILD["flags_for"]("aarch64", compiler)[name]
    found = digests(tmp_path, compiler, ("-static", *flags), (*shlex.split(emulator), "-cpu", "max"))
    different = [line for line, other in zip(found, expected, strict=True) if line != other]
    assert (len(found) > 1000, different) == (True, [])
