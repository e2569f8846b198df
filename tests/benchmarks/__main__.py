"""Time the cpu backend: ``python tests/benchmarks [--quick] [--peers VENV] [--write out/performance.md] [--record HISTORY]``.

The unit is one onnxruntime float32 pass of the float network of the same shape, one thread. Every figure is the median
of ratios of process CPU time, each taken between two groups of unit passes in this process, so that other load on the
machine falls on both. Nothing here asserts; nothing runs with the tests.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import history
import numpy as np
import onnxruntime
from networks import integer_unet, macs, photograph
from timing import Unit, ratio

from snn_deploy.backend.protocol import Backend
from snn_deploy.network.network import Mode
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.kernels.library import select_kernels
from snn_deploy_lava import LavaBackend
from snn_deploy_reference import ReferenceBackend

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""An idle thread pool spins, and its CPU time would be counted."""

ROOT = Path(__file__).resolve().parents[2]

SIZES = {"small": (8, 2, 64), "medium": (32, 3, 128), "large": (64, 4, 256)}


@dataclass
class Table:
    """Lines of a Markdown table, printed as they come."""

    title: str
    columns: tuple[str, ...]
    lines: list[str] = field(default_factory=list)
    rows: list[tuple[object, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._say(f"\n## {self.title}\n")
        self._say("| " + " | ".join(self.columns) + " |")
        self._say("|" + "|".join("---" for _ in self.columns) + "|")

    def row(self, *cells: object) -> None:
        """Add one line."""
        self.rows.append(cells)
        self._say("| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |")

    def _say(self, line: str) -> None:
        self.lines.append(line)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def passes(
    shape: tuple[int, int, int],
    mode: Mode,
    steps: int,
    backend: Backend,
    rounds: int,
    levels: int = 127,
    batch: int = 1,
) -> float:
    """Cost of one run for each image, in passes of the float network."""
    network, stimulus = integer_unet(mode, *shape, levels=levels, steps=steps), photograph(shape[2], batch)
    return ratio(Unit(shape), lambda: backend.run(network, stimulus), rounds) / batch


def bars(rounds: int, sizes: tuple[str, ...]) -> Table:
    """Engines, modes and sizes."""
    table = Table("Passes of the float network", ("network", "run", "engine", "passes", "passes per step"))
    engines = ("automatic", "f32") if select_kernels() is not None else ("automatic",)
    for name, shape in ((name, SIZES[name]) for name in sizes):
        for mode, steps, levels in (
            ("exact", 1, 127),
            ("exact", 1, 255),
            ("rate", 4, 15),
            ("rate", 16, 15),
            ("rate", 32, 15),
        ):
            for engine in engines:
                if engine == "f32" and (name != "medium" or levels == 255 or steps in (4, 16)):
                    continue
                backend = CpuBackend() if engine == "automatic" else CpuBackend("f32")
                few = rounds if name != "large" else max(rounds // 3, 1)
                cost = passes(shape, mode, steps, backend, few, levels)  # type: ignore[arg-type]
                run = f"exact, N = {levels}" if mode == "exact" else f"rate, T = {steps}"
                table.row(name, run, engine, cost, cost / steps)
    reference = passes((8, 2, 64), "exact", 1, ReferenceBackend(), 1)
    table.row("small", "exact, N = 127", "reference backend", reference, reference)
    return table


def growth(rounds: int) -> Table:
    """Cost as one quantity grows; each cost in passes of its own float network."""
    table = Table("Growth", ("what", "value", "run", "passes", "passes per step"))
    for steps in (1, 8, 64, 128):
        cost = passes((16, 2, 64), "rate", steps, CpuBackend(), rounds)
        table.row("steps", steps, "rate, base 16, 64x64", cost, cost / steps)
    for size in (64, 128, 256, 512):
        cost = passes((16, 2, size), "exact", 1, CpuBackend(), rounds)
        table.row("pixels", f"{size}x{size}", "exact, base 16", cost, cost)
    for base in (8, 16, 32, 64):
        cost = passes((base, 2, 64), "exact", 1, CpuBackend(), rounds)
        table.row("channels", base, "exact, 64x64", cost, cost)
    for batch in (1, 4, 16):
        cost = passes((16, 2, 64), "exact", 1, CpuBackend(), rounds, batch=batch)
        table.row("images", batch, "exact, base 16, 64x64, each image", cost, cost)
    return table


def memory() -> Table:
    """Peak memory over that of the process before the run, each case in a process of its own."""
    table = Table("Memory", ("network", "run", "MiB over the idle process", "wall seconds"))
    cases = [
        ("medium", "rate", 32),
        ("medium", "rate", 128),
        ("512x512, base 64", "exact", 1),
        ("512x512, base 64", "rate", 4),
    ]
    for name, mode, steps in cases:
        shape = SIZES.get(name, (64, 3, 512))
        arguments = [sys.executable, __file__, "--peak", mode, str(steps), *map(str, shape)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        used, seconds = map(float, done.stdout.split())
        table.row(name, f"{mode}, T = {steps}", used, seconds)
    return table


def peak(mode: Mode, steps: int, shape: tuple[int, int, int]) -> None:
    """Print the memory that one run adds, in MiB, and its wall time."""
    network, stimulus = integer_unet(mode, *shape, steps=steps), photograph(shape[2])
    small = integer_unet(mode, 8, 1, 16, steps=steps)
    backend = CpuBackend()
    backend.run(small, photograph(16))
    before = peak_mebibytes()
    started = time.perf_counter()
    backend.run(network, stimulus)
    spent = time.perf_counter() - started
    sys.stdout.write(f"{peak_mebibytes() - before} {spent}\n")


def peak_mebibytes() -> float:
    """The most memory that this process has had."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage of a new process begins with the memory of the one that started it
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def threads(rounds: int) -> Table:
    """Wall time with two threads."""
    table = Table(
        "Threads (wall time; only meaningful on an idle machine)", ("network", "run", "one", "two", "faster by")
    )
    modes: tuple[tuple[Mode, int], ...] = (("exact", 1), ("rate", 32))
    for mode, steps in modes:
        network, stimulus = integer_unet(mode, *SIZES["medium"], steps=steps), photograph(128)
        spent: dict[int, list[float]] = {1: [], 2: []}
        backends = {count: CpuBackend(threads=count) for count in spent}
        for _ in range(rounds + 1):
            for count, backend in backends.items():
                started = time.perf_counter()
                backend.run(network, stimulus)
                spent[count].append(time.perf_counter() - started)
        one, two = (float(np.median(values[1:])) for values in spent.values())
        table.row("medium", f"{mode}, T = {steps}", f"{one * 1e3:.0f} ms", f"{two * 1e3:.0f} ms", one / two)
    return table


def lava() -> Table:
    """Wall time of Lava's simulation of the same network, the start of its processes taken off, over ours."""
    title = "Lava: wall time of the same network and steps, without the start of its processes"
    table = Table(title, ("network", "T", "convolution in Lava", "lava", "cpu", "faster by"))
    for size, steps, stocks in (("small", 32, (False, True)), ("medium", 2, (False, True))):
        network, stimulus = integer_unet("rate", *SIZES[size], steps=steps), photograph(SIZES[size][2])
        tiny, speck = integer_unet("rate", 8, SIZES[size][1], 16, steps=1), photograph(16)
        ours = CpuBackend()
        ours.run(network, stimulus)
        spent = float(np.median([_wall(lambda: ours.run(network, stimulus)) for _ in range(9)]))  # noqa: B023 - at once
        for stock in stocks:
            theirs = LavaBackend(stock_conv=stock)
            start, whole = _wall(partial(theirs.run, tiny, speck)), _wall(partial(theirs.run, network, stimulus))
            name = "Lava's own" if stock else "exact, BLAS (this project's)"
            table.row(size, steps, name, f"{whole - start:.2f} s", f"{spent * 1e3:.1f} ms", (whole - start) / spent)
    return table


def _wall(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peers(rounds: int, folder: Path) -> Table:
    """Float simulators of plain integrate-and-fire neurons, in a virtual environment of their own beside this one."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        packages = next((folder / "lib").glob("python*/site-packages"))
        (packages / "shared.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        wanted = ["--no-deps", "spikingjelly", "sinabs", "snntorch"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "matplotlib", "tqdm", "nir", "nirtorch", "loguru", "pbr"],
            check=True,
        )
    table = Table("Peers: float32, plain integrate-and-fire, T = 32, medium network", ("simulator", "passes"))
    program = Path(__file__).with_name("peers.py")
    paths = os.pathsep.join([str(program.parent), *sys.path])
    done = subprocess.run(
        [str(python), str(program), str(rounds)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    for line in done.stdout.splitlines():
        name, cost = line.split("\t")
        table.row(name, float(cost))
    return table


def describe_run(table: Table) -> history.BenchRun:
    """Where and when the figures of ``table``, which :func:`bars` made, were measured."""
    return history.BenchRun(
        date=date.today().isoformat(),
        commit=history.name_commit(ROOT),
        machine=processor(),
        cores=os.cpu_count() or 0,
        instruction_set=instruction_set(),
        load=round(os.getloadavg()[0], 1),
        versions={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        figures=history.figures_of(table.rows),
    )


def processor() -> str:
    """Its name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.processor())


def instruction_set() -> str:
    """The one that the kernels use."""
    kernels = select_kernels()
    return "no kernels" if kernels is None else kernels.instruction_set


def heading() -> list[str]:
    """What was measured, where and when."""
    load = os.getloadavg()[0]
    return [
        "# Performance",
        "",
        "Written by `python tests/benchmarks --write`, whose text says how things are measured.",
        "",
        f"* {date.today().isoformat()}, {processor()}, {os.cpu_count()} cores, load {load:.1f} at the end of the run",
        f"* Python {platform.python_version()}, NumPy {np.__version__}, onnxruntime {onnxruntime.__version__}",
        f"* kernels: {instruction_set()}",
        "* unit: one onnxruntime float32 pass of the float network, one thread; medians of CPU-time ratios",
        *(
            f"* {name}: base {shape[0]}, {shape[1]} poolings, {shape[2]}x{shape[2]}, {macs(*shape) / 1e9:.3g} GMAC"
            for name, shape in SIZES.items()
        ),
    ]


def show_history(record: Path) -> None:
    """Draw the history at ``record`` and put it into the page beside it."""
    runs = history.read_runs(record)
    picture = ROOT / "docs/img/performance.png"
    history.draw(runs, picture)
    page = record.with_name("performance.md")
    history.update_page(page, history.tabulate(runs), os.path.relpath(picture, page.parent))


def main() -> None:
    """Run what was asked for, in an environment without thread pools."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of nine")
    parser.add_argument("--only", choices=("bars", "growth", "memory", "threads", "lava"), help="one table")
    parser.add_argument("--size", choices=tuple(SIZES), help="the networks of this size only")
    parser.add_argument("--peers", type=Path, metavar="VENV", help="also time spikingjelly, sinabs and snntorch there")
    parser.add_argument("--write", type=Path, help="write the tables to this file")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="add a line to this history, and show it in performance.md beside it",
    )
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        mode, steps, *shape = given.peak
        peak(mode, int(steps), (int(shape[0]), int(shape[1]), int(shape[2])))
        return
    rounds = 3 if given.quick else 9
    makers = {
        "bars": lambda: bars(rounds, (given.size,) if given.size else tuple(SIZES)),
        "growth": lambda: growth(rounds),
        "memory": memory,
        "threads": lambda: threads(rounds),
        "lava": lava,
    }
    chosen = {name: maker() for name, maker in makers.items() if given.only in (None, name)}
    tables = list(chosen.values())
    if given.record and "bars" in chosen:
        history.append_run(given.record, describe_run(chosen["bars"]))
        show_history(given.record)
    if given.peers:
        tables.append(peers(rounds, given.peers))
    if given.write:
        given.write.parent.mkdir(parents=True, exist_ok=True)
        given.write.write_text("\n".join([*heading(), *(line for table in tables for line in table.lines)]) + "\n")


if __name__ == "__main__":
    main()
