"""Compiles the cpu backend's kernels when the package is built: one library for each instruction set, beside its sources.

The compiler is ``$CC``, else cc, gcc or clang, else that of the package ziglang, which a build that has none asks for. A
package that is built without any works, in NumPy and onnxruntime. ``python backends/hatch_build.py`` compiles in place.
"""

from __future__ import annotations

import os
import platform
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).resolve().parent / "snn_deploy_cpu" / "kernels"

# floor, least and greatest become instructions: no number is infinite, no zero has a sign that matters, nothing traps
FLAGS = (
    *(("-dynamiclib",) if sys.platform == "darwin" else ("-shared", "-s")),
    *("-O3", "-std=c11", "-fPIC", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffinite-math-only", "-ffp-contract=off"),
    "-fno-strict-aliasing",
)

AVX2 = ("-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mlzcnt", "-mpopcnt", "-mf16c", "-mmovbe")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl", "-mavx512vnni")

X86_FLAGS = {
    "baseline": ("-msse4.2", "-mpopcnt"),
    "avx2": AVX2,
    "avxvnni": (*AVX2, "-mavxvnni"),
    "avx512vnni": AVX2 + AVX512,
}

ARM_FLAGS = {
    "baseline": (),
    "dotprod": ("-march=armv8.2-a+dotprod",),
    "i8mm": ("-march=armv8.2-a+dotprod+i8mm",),
}

MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())

FLAGS_OF = {"x86_64": X86_FLAGS, "aarch64": ARM_FLAGS}
"""Flags for each instruction set of :data:`snn_deploy_cpu.kernels.library.INSTRUCTION_SETS`, by machine."""

ZIG_TARGETS = {machine: f"{machine}-linux-gnu.2.17" for machine in FLAGS_OF}
"""What ziglang compiles for, instead of the machine it runs on: any Linux since 2012."""


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the libraries to a wheel, or to the tree of an editable installation."""

    def dependencies(self) -> list[str]:
        """A compiler, where there is none."""
        return [] if find_compiler() else ["ziglang>=0.14"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, and name the platform in the wheel's tag; without a compiler the wheel is for any."""
        if self.target_name != "wheel":
            return
        compiler = find_compiler()
        if compiler is None:
            self.app.display_warning("no C compiler: the cpu backend will do without compiled kernels")
            return
        try:
            libraries = find_kernels(compiler) or compile_kernels(compiler)
        except subprocess.CalledProcessError as error:
            self.app.display_warning(f"the cpu backend will do without compiled kernels: {error.cmd}\n{error.stderr}")
            return
        build_data["artifacts"] += [f"/{library.relative_to(self.root)}" for library in libraries]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(compiler)}"


def find_compiler() -> list[str] | None:
    """The command that compiles C, ``None`` where there is none."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path:
            return [path]
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else None


def find_kernels(compiler: list[str]) -> list[Path]:
    """The libraries that ``compiler`` makes, if all are there and none is older than what it is made of."""
    libraries = [FOLDER / f"kernels_{name}.so" for name in _flags(compiler)]
    made_of = [*FOLDER.glob("*.[ch]"), Path(__file__)]
    newest = max(path.stat().st_mtime for path in made_of)
    return libraries if all(path.exists() and path.stat().st_mtime >= newest for path in libraries) else []


def compile_kernels(compiler: list[str]) -> list[Path]:
    """The libraries, all or none; :class:`subprocess.CalledProcessError` says what the compiler did not like."""
    sources = sorted(str(file) for file in FOLDER.glob("*.c"))
    digest: int = runpy.run_path(str(FOLDER / "sources.py"))["digest_sources"](FOLDER)
    target = ("-target", ZIG_TARGETS[MACHINE]) if _is_portable(compiler) else ()
    chosen = _flags(compiler)
    made = {FOLDER / f"kernels_{name}.so": FOLDER / f"kernels_{name}.so.{os.getpid()}" for name in chosen}

    def compile_one(flags: tuple[str, ...], out: Path) -> None:
        command = [*compiler, *target, *FLAGS, *flags, f"-DSOURCE_DIGEST={digest}", *sources, "-o", str(out)]
        subprocess.run(command, check=True, capture_output=True, text=True)

    try:
        with ThreadPoolExecutor(len(chosen)) as threads:
            list(threads.map(compile_one, chosen.values(), made.values()))
        for library, temporary in made.items():
            temporary.replace(library)
    finally:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)
    return list(made)


def platform_tag(compiler: list[str]) -> str:
    """The platforms that the libraries run on, as wheels name them."""
    if _is_portable(compiler):
        return f"manylinux_2_17_{MACHINE}.manylinux2014_{MACHINE}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_").replace("universal2", platform.machine())


def flags_for(machine: str, compiler: list[str]) -> dict[str, tuple[str, ...]]:
    """Flags for each instruction set of ``machine`` (x86_64, aarch64), as ``compiler`` spells them."""
    flags: dict[str, tuple[str, ...]] = FLAGS_OF.get(machine, {"baseline": ()})
    if "ziglang" not in compiler:
        return flags
    return {
        name: tuple(flag.replace("-march=armv8.2-a", "-mcpu=generic+v8_2a") for flag in flags[name]) for name in flags
    }


def _flags(compiler: list[str]) -> dict[str, tuple[str, ...]]:
    """Those that ``compiler`` knows: GCC has AVX-VNNI since version 11."""
    return {name: own for name, own in flags_for(MACHINE, compiler).items() if _knows(compiler, own)}


def _knows(compiler: list[str], flags: tuple[str, ...]) -> bool:
    command = [*compiler, *flags, "-x", "c", "-E", "-o", os.devnull, "-"]
    return subprocess.run(command, input="", capture_output=True, text=True, check=False).returncode == 0


def _is_portable(compiler: list[str]) -> bool:
    """Whether libraries run on any Linux with the same processor."""
    return "ziglang" in compiler and sys.platform == "linux" and MACHINE in ZIG_TARGETS


if __name__ == "__main__":
    found = find_compiler()
    if found is None:
        sys.exit("no C compiler: install one, or the package ziglang")
    try:
        compile_kernels(found)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{shlex.join(error.cmd)}\n{error.stderr}")
